"""Benchmark: memory and time of `predict` for more and more lines from standard input.

python benchmarks/predict_memory.py --model=RUN/tflite/dynamic_int8.tflite --input=sentences.txt

The texts of --input are given over and over, and every answer is read. A tiny model shows what the
streaming needs, which is the same for every model, in minutes.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import BinaryIO

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError

flags.DEFINE_string("model", None, "Folder of a run, or a .tflite file.", required=True)
flags.DEFINE_string("input", None, "Text file, a text a line.", required=True)
flags.DEFINE_list("lines", ["1000", "100000", "1000000"], "How many lines, one process for each.")
FLAGS = flags.FLAGS


def feed(stream: BinaryIO, texts: Sequence[bytes], count: int) -> None:
    """Writes `count` lines; where `predict` has ended, it says why itself."""
    with contextlib.suppress(BrokenPipeError), stream:
        for text in itertools.islice(itertools.cycle(texts), count):
            stream.write(text)


def measure(texts: Sequence[bytes], count: int) -> dict[str, str]:
    """A row of the table."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "bert_glue_tf.predict", f"--model={FLAGS.model}"]
    process = subprocess.Popen(
        [*command, "--format=tsv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    feeder = threading.Thread(target=feed, args=(process.stdin, texts, count), daemon=True)
    feeder.start()
    answers = max(0, sum(1 for _ in process.stdout) - 1)  # Without the header.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or answers != count:
        raise UserError(
            f"predict answered {answers:,} of {count:,} lines, with exit status "
            f"{process.returncode}. What it says stands above."
        )
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024  # Bytes there, KiB on Linux.
    return {
        "lines": f"{count:,}",
        "answers": f"{answers:,}",
        "peak memory (MiB)": f"{usage.ru_maxrss * unit / 2**20:.0f}",
        "seconds": f"{seconds:.0f}",
    }


def main() -> None:
    from bert_glue_tf.reports import terminal

    try:
        content = pathlib.Path(FLAGS.input).read_bytes()
    except OSError as error:
        raise UserError(f"--input={FLAGS.input}: cannot be read ({error.strerror}).") from None
    texts = [line + b"\n" for line in content.splitlines()]
    if not texts:
        raise UserError(f"--input={FLAGS.input}: holds no text. Give a file with a text a line.")
    for count in FLAGS.lines:
        if not (count.isascii() and count.isdigit() and int(count)):
            raise UserError(f"--lines={count}: not a number of lines. Good: 1000,100000.")
    rows = [measure(texts, int(count)) for count in FLAGS.lines]
    terminal.print_rows(f"predict --model={FLAGS.model}", rows)


if __name__ == "__main__":
    cli.run(main, __doc__)
