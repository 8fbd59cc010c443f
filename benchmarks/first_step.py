"""Seconds from the command `train` to its first training step, split by what it does.

python benchmarks/first_step.py --task=cola --data=/folder/with/glue --encoder=minilm_l6 --times=5

The command is started anew each time, as a user gives it, and stopped after its first step. A part
begins with the line of the log that tells it. Wall time is what a user waits, and depends on what
else the machine does; processor time (user and system, of all threads) hardly does. With
--other=FOLDER the command of another checkout takes turns with this one, in an order that changes
each time, and the differences are those of pairs.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

import psutil
from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.reports import terminal
from bert_glue_tf.runs import command_line, config

# What a line of the log begins with -> the part that begins there.
PARTS: Mapping[str, str] = {
    "starting TensorFlow": "importing TensorFlow",
    "loading the encoder": "the encoder, with its tokenizer",
    "training on": "the classifier and its optimizer",
    "tokenizing": "tokenizing",
    "tracing": "tracing and the first step",
    "first step done": "",
}
_FIRST = "Python, flags, a look at the data"
_TOTAL = "to the first step"
_HERE = pathlib.Path(__file__).resolve().parents[1]
FLAGS = flags.FLAGS


@dataclasses.dataclass(frozen=True)
class Moment:
    """A point of a start: seconds since the command began, of the clock and of the processors."""

    wall: float
    processor: float


def start_once(checkout: pathlib.Path, arguments: Sequence[str]) -> dict[str, Moment]:
    """Start the command, stop it after its first step, and return the seconds of each part.

    Args:
      checkout: the folder of the repository whose command it is.
      arguments: of `train`.

    Raises:
      UserError: it ended before its first step; the message ends with what it printed last.
    """
    command = [sys.executable, "-m", "bert_glue_tf.train", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONUNBUFFERED": "1"}
    begun = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=checkout,
        env=environment,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        watched, said = psutil.Process(process.pid), []
        moments, part = {_FIRST: Moment(0.0, 0.0)}, _FIRST
        try:
            for line in process.stderr:
                used = watched.cpu_times()
                now = Moment(time.perf_counter() - begun, used.user + used.system)
                said.append(line)
                text = line.partition(" ")[2]  # Behind the time of day.
                found = next(
                    (name for known, name in PARTS.items() if text.startswith(known)), None
                )
                if found is None:
                    continue
                before = moments[part]
                moments[part] = Moment(now.wall - before.wall, now.processor - before.processor)
                if not found:
                    return {**moments, _TOTAL: now}
                moments[found], part = now, found
        finally:
            process.kill()
    raise UserError("the command ended before its first step:\n" + "".join(said[-12:]))


def rows(starts: Sequence[Mapping[str, Moment]]) -> list[dict[str, str]]:
    """Return a line for each part: medians of the starts, and the range of the clock's seconds."""
    made = []
    for part in starts[0]:
        wall = [one[part].wall for one in starts if part in one]
        processor = [one[part].processor for one in starts if part in one]
        made.append(
            {
                "": part,
                "seconds (median)": f"{statistics.median(wall):.1f}",
                "range": f"{min(wall):.1f} to {max(wall):.1f}",
                "processor seconds (median)": f"{statistics.median(processor):.1f}",
            }
        )
    return made


def main() -> None:
    settings = command_line.from_flags(FLAGS)
    if FLAGS.times < 1:
        raise UserError(f"--times={FLAGS.times}: must be 1 or more.")
    checkouts = {"this": _HERE}
    if FLAGS.other:
        checkouts["other"] = pathlib.Path(FLAGS.other).resolve()
        if not (checkouts["other"] / "bert_glue_tf" / "train.py").is_file():
            raise UserError(f"--other={FLAGS.other}: no checkout of this repository.")
    starts: dict[str, list[dict[str, Moment]]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        # Those alone that are not the default, so that an older checkout knows them.
        defaults = config.ExperimentConfig().to_json()
        given = {k: v for k, v in settings.to_json().items() if k == "task" or v != defaults[k]}
        (folder / "settings.json").write_text(json.dumps(given), encoding="utf-8")
        # The first start of each is not counted: it imports the encoder, where that is to be done.
        for turn in range(FLAGS.times + 1):
            for which in sorted(checkouts, reverse=bool(turn % 2)):
                arguments = [
                    f"--config={folder / 'settings.json'}",
                    f"--workdir={folder / f'{which}{turn}'}",
                ]
                found = start_once(checkouts[which], arguments)
                starts[which] += [found] if turn else []
    for which, counted in starts.items():
        terminal.print_rows(
            f"{which}: {FLAGS.times} starts, load average {os.getloadavg()[0]:.1f}", rows(counted)
        )
    if FLAGS.other:
        pairs = zip(starts["this"], starts["other"], strict=True)
        differences = [one[_TOTAL].processor - other[_TOTAL].processor for one, other in pairs]
        print(
            f"processor seconds, this minus other: {statistics.median(differences):+.1f} (median)"
        )


if __name__ == "__main__":
    command_line.define_flags()
    flags.DEFINE_integer("times", 5, "Starts that are counted.")
    flags.DEFINE_string("other", "", "Folder of another checkout, to compare with.")
    cli.run(main, __doc__)
