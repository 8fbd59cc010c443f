"""Benchmark: what an executor takes besides its runs, whose processes do nothing but wait.

python benchmarks/executor_overhead.py --seconds=60 --runs=6 --workers=3

Each run is a process that waits for --seconds. With w workers, n runs need n / w times that; the
rest is the executor's: starting processes, noticing that they have ended, and for Dask asking its
scheduler. Its start (workers, versions, paths) is told apart, since a sweep has one.
"""

from __future__ import annotations

import pathlib
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.sweeps.executors import base
from bert_glue_tf.sweeps.executors.dask_executor import DaskExecutor
from bert_glue_tf.sweeps.executors.local import LocalExecutor

flags.DEFINE_integer("runs", 6, "Runs.")
flags.DEFINE_integer("workers", 3, "Runs at a time.")
flags.DEFINE_float("seconds", 60.0, "That each run takes.")
FLAGS = flags.FLAGS
# What `process.Process` passes is not read; the file is the run's result.
_WAITING = "import pathlib, sys, time; time.sleep({}); pathlib.Path(sys.argv[-1]).touch()"


class Waiting(base.Task):
    """A process that waits, and then leaves a file."""

    def __init__(self, folder: pathlib.Path, number: int) -> None:
        self._folder, self._number = folder, number

    @property
    def name(self) -> str:
        return f"run-{self._number}"

    @property
    def log(self) -> pathlib.Path:
        return self._folder / f"{self.name}.log"

    @property
    def command(self) -> Sequence[str]:
        return ("none", str(self._folder / self.name))

    @property
    def root(self) -> pathlib.Path:
        return self._folder

    def open(self) -> None:
        return None

    def record(self) -> bool | None:
        return (self._folder / self.name).exists() or None


def measure(executor: base.Executor[Any], folder: pathlib.Path) -> tuple[float, float]:
    """Return the seconds of the start, and those of all runs."""
    waiting: list[base.Task] = [Waiting(folder, number) for number in range(FLAGS.runs)]
    running: list[base.Job] = []
    began = time.perf_counter()
    executor.check(waiting)
    ready = time.perf_counter()
    while waiting or running:
        while waiting and len(running) < executor.workers:
            begun = executor.begin(waiting.pop(0))
            assert isinstance(begun, base.Job)
            running.append(begun)
        for job in [one for one in running if one.is_over()]:
            running.remove(job)
            assert isinstance(executor.collect(job), base.Finished)
        time.sleep(0.1)  # As a sweep does.
    seconds = time.perf_counter() - ready
    executor.close()
    return ready - began, seconds


def main() -> None:
    program = [sys.executable, "-c", _WAITING.format(FLAGS.seconds)]
    needed = FLAGS.seconds * -(-FLAGS.runs // FLAGS.workers)
    for name, executor in (
        ("local", LocalExecutor(FLAGS.workers, program)),
        ("dask", DaskExecutor(f"local:{FLAGS.workers}", program)),
    ):
        with tempfile.TemporaryDirectory() as folder:
            start, seconds = measure(executor, pathlib.Path(folder))
        print(
            f"{name}: {seconds:.2f} s for {needed:.0f} s of runs: {seconds / needed - 1:.2%} more; "
            f"{start:.2f} s to start",
            flush=True,
        )


if __name__ == "__main__":
    cli.run(main, __doc__)
