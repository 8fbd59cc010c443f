"""Benchmark: time and memory of `label` for more and more lines, and batches against single texts.

python benchmarks/label_speed.py --model=RUN/tflite/dynamic_int8.tflite --input=sentences.txt

The texts of --input are written over and over, in parts of --part lines. A small network shows what
reading, writing and tokenizing need, which is the same for every model. Its tokenizer has to be a
vocabulary: one that is held as a SavedModel takes milliseconds a call, which makes batches look
better than they are.
"""

from __future__ import annotations

import itertools
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence

import psutil
from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.labelling.folder import LabelFolder
from bert_glue_tf.labelling.plan import parts
from bert_glue_tf.serving.classifier import Classifier

flags.DEFINE_string("model", None, "Folder of a run, or a .tflite file.", required=True)
flags.DEFINE_string("input", None, "Text file, a text a line.", required=True)
flags.DEFINE_list("lines", ["10000", "100000", "1000000"], "How many lines, one labelling each.")
flags.DEFINE_integer("part", 250_000, "Lines of a part.")
flags.DEFINE_integer("workers", 2, "Processes at a time.")
flags.DEFINE_string("scratch", "", "Folder for the texts and labels; by default a temporary one.")
flags.DEFINE_integer("single", 500, "Texts that are predicted one by one, for comparison.")
flags.DEFINE_integer("rounds", 5, "Rounds of the comparison.")
FLAGS = flags.FLAGS


def write(folder: pathlib.Path, texts: Sequence[bytes], count: int) -> None:
    """Write parts with `count` lines in all."""
    folder.mkdir(parents=True)
    source = itertools.islice(itertools.cycle(texts), count)
    for number in itertools.count():
        some = list(itertools.islice(source, FLAGS.part))
        if not some:
            return
        (folder / f"{number:05d}.txt").write_bytes(b"".join(some))


class Memory(threading.Thread):
    """The largest memory of a process of a labelling, looked at twice a second."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(process)
        self.largest = 0

    def run(self) -> None:
        while self._process.is_running():
            try:
                for one in [self._process, *self._process.children(recursive=True)]:
                    self.largest = max(self.largest, one.memory_info().rss)
            except psutil.Error:
                pass  # It has just ended.
            time.sleep(0.5)


def measure(texts: Sequence[bytes], count: int, folder: pathlib.Path) -> str:
    """Label so many lines, and return what that took."""
    source, target = folder / f"texts_{count}", folder / f"labelled_{count}"
    write(source, texts, count)
    pattern = f"{source}/*.txt"
    began = time.perf_counter()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "bert_glue_tf.label", f"--model={FLAGS.model}"),
            *(f"--input={pattern}", f"--output={target}", f"--workers={FLAGS.workers}"),
        ],
        stdout=subprocess.DEVNULL,
    )
    memory = Memory(process.pid)
    memory.start()
    if process.wait():
        raise UserError(f"label ended with status {process.returncode}; it says why above.")
    seconds = time.perf_counter() - began
    states = [LabelFolder(target).state(part) for part in parts(pattern)]
    done = [state for state in states if state]
    rows = sum(state.rows for state in done)
    if rows != count:
        raise UserError(f"{rows:,} of {count:,} lines were labelled.")
    # Of the parts alone: without the seconds in which each process loads its model.
    work = sum(state.seconds for state in done)
    return (
        f"{count:,} lines in {len(done):,} part(s): {seconds:.1f} s in all with {FLAGS.workers} "
        f"process(es); {1e6 * work / count:.1f} microseconds a line in a process, without the "
        f"loading of its model; the largest process had {memory.largest / 2**20:,.0f} MiB"
    )


def compare(texts: Sequence[str]) -> tuple[float, float]:
    """Return the sentences a second one at a time and in batches, on one thread; medians.

    A file answers a single text on one thread, however many it may have.
    """
    classifier = Classifier.load(FLAGS.model, 1)
    given = [(text,) for text in itertools.islice(itertools.cycle(texts), 1024)]
    single: list[float] = []
    batched: list[float] = []
    for turn in range(FLAGS.rounds + 1):
        began = time.perf_counter()
        for text in given[: FLAGS.single]:
            classifier.predict([text])
        middle = time.perf_counter()
        classifier.predict(given)
        end = time.perf_counter()
        if turn:  # The first one warms up.
            single.append(FLAGS.single / (middle - began))
            batched.append(len(given) / (end - middle))
    return sorted(single)[len(single) // 2], sorted(batched)[len(batched) // 2]


def main() -> None:
    raw = [line + b"\n" for line in pathlib.Path(FLAGS.input).read_bytes().split(b"\n") if line]
    one, many = compare([line.decode().strip() for line in raw])
    print(
        f"on one thread: {one:,.0f} texts a second one at a time, {many:,.0f} in batches: "
        f"{many / one:.2f} times as many",
        flush=True,
    )
    with tempfile.TemporaryDirectory(dir=FLAGS.scratch or None) as folder:
        for count in map(int, FLAGS.lines):
            print(measure(raw, count, pathlib.Path(folder)), flush=True)


if __name__ == "__main__":
    cli.run(main, __doc__)
