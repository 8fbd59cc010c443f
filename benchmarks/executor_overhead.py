"""Benchmark: what an executor takes besides its runs, whose processes do nothing but wait.

python benchmarks/executor_overhead.py --seconds=60 --runs=6 --workers=3
python benchmarks/executor_overhead.py --runs=6 -- --task=sst2 --data=sample --encoder=...

Each run is a process that waits for --seconds. `plain` starts these processes without an executor,
as many at a time; what an executor takes more is its own: noticing that they have ended, locks, and
for Dask asking its scheduler. Its start (workers, versions, paths) is told apart, since a sweep has
one.

With flags of the train command behind `--`, runs with the seeds 1 to --runs are trained instead, by
that many `train` commands, one after the other, and by one `sweep` command with one worker.
"""

from __future__ import annotations

import concurrent.futures
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.sweeps.executors import base
from bert_glue_tf.sweeps.executors.dask_executor import DaskExecutor
from bert_glue_tf.sweeps.executors.local import LocalExecutor

flags.DEFINE_integer("runs", 6, "Runs.")
flags.DEFINE_integer("workers", 3, "Runs at a time.")
flags.DEFINE_float("seconds", 60.0, "That each run takes.")
FLAGS = flags.FLAGS
MORE: list[str] = []  # Flags of the train command, which stand behind `--`.
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


def plain(program: Sequence[str], folder: pathlib.Path) -> float:
    """Return the seconds of all runs without an executor."""
    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(FLAGS.workers) as threads:
        commands = [[*program, str(folder / str(number))] for number in range(FLAGS.runs)]
        for _ in threads.map(lambda command: subprocess.run(command, check=True), commands):
            pass  # One that has failed raises here.
    return time.perf_counter() - began


def compare_waiting() -> None:
    """Run processes that wait without an executor, and by each executor."""
    program = [sys.executable, "-c", _WAITING.format(FLAGS.seconds)]
    with tempfile.TemporaryDirectory() as folder:
        needed = plain(program, pathlib.Path(folder))
    print(
        f"plain: {needed:.2f} s for {FLAGS.runs} runs of {FLAGS.seconds:g} s, {FLAGS.workers} at a "
        "time",
        flush=True,
    )
    for name, executor in (
        ("local", LocalExecutor(FLAGS.workers, program)),
        ("dask", DaskExecutor(f"local:{FLAGS.workers}", program)),
    ):
        with tempfile.TemporaryDirectory() as folder:
            start, seconds = measure(executor, pathlib.Path(folder))
        print(
            f"{name}: {seconds:.2f} s, {seconds / needed - 1:+.2%} against plain; before that, "
            f"{start:.2f} s to start",
            flush=True,
        )


def called(module: str, *arguments: str) -> tuple[float, float]:
    """Return the seconds that a command takes, and those of the processor in all its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    command = [sys.executable, "-m", f"bert_glue_tf.{module}", *MORE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise UserError(f"{module} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare_trainings() -> None:
    """Train runs by a command for each, and by a sweep."""
    seeds = [str(seed) for seed in range(1, FLAGS.runs + 1)]
    with tempfile.TemporaryDirectory() as folder:
        # What the first one caches would be the others' gain.
        called("train", "--seed=1", f"--workdir={folder}/warm")
        each = [called("train", f"--seed={seed}", f"--workdir={folder}/{seed}") for seed in seeds]
        swept, work = called("sweep", f"--grid=seed={','.join(seeds)}", f"--runs_dir={folder}/runs")
    trained, trained_work = (sum(column) for column in zip(*each, strict=True))
    print(
        f"train: {trained:.1f} s ({trained_work:.1f} of processors) for {len(seeds)} commands, one "
        f"after the other\nsweep: {swept:.1f} s ({work:.1f} of processors) for one command, "
        f"{swept / trained - 1:+.1%} ({work / trained_work - 1:+.1%}) against these"
    )


def main() -> None:
    if MORE:
        compare_trainings()
    else:
        compare_waiting()


if __name__ == "__main__":
    if "--" in sys.argv:
        place = sys.argv.index("--")
        MORE += sys.argv[place + 1 :]
        del sys.argv[place:]
    cli.run(main, __doc__)
