"""The sweep: runs what is missing of a plan, on an executor, and shows how far it is."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import logging

from bert_glue_tf.core import progress
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.sweeps import table
from bert_glue_tf.sweeps.executors import base, choice
from bert_glue_tf.sweeps.plan import Run

_TICK = 0.1  # Seconds between two looks at the own jobs,
_LOOK = 2.0  # and at runs of others.


class Sweep:
    """The runs of a plan, and how far they are.

    Attributes:
      records: run -> its record, of what is finished.
      failures: run -> why it failed.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        executor: base.Executor[Any] | None = None,
        told: Callable[[ExperimentResult], str] = table.scores,
    ) -> None:
        """Read the records of the runs that are finished.

        Args:
          runs: of the plan, each after the runs that it needs.
          executor: where they are run; by default one process at a time of this machine.
          told: record -> what is said of a finished run.

        Raises:
          UserError: a folder holds another run, or a record that cannot be read.
        """
        self._runs = {run.name: run for run in runs}
        self._executor: base.Executor[Any] = executor or choice.executor()
        self._told = told
        self._running: dict[str, base.Job] = {}
        self._looked: dict[str, float] = {}
        self._measured: list[tuple[float, int]] = []  # Seconds and epochs of runs done here.
        self.failures: dict[str, str] = {}
        self.records: dict[str, ExperimentResult] = {
            run.name: record for run in runs if (record := run.folder.record()) is not None
        }
        finished = [self._runs[name] for name in self.records]
        self._executor.watch(finished, self.missing())

    def missing(self) -> list[Run]:
        """Return the runs that are neither finished nor failed, in their order."""
        return [
            run
            for name, run in self._runs.items()
            if name not in self.records and name not in self.failures
        ]

    def run(self) -> None:
        """Run until each run is finished or has failed, here or in another sweep.

        Raises:
          KeyboardInterrupt: Ctrl-C or SIGTERM came. The jobs have been ended, and each run goes
            on from its last saved state when it is started again.
        """
        if self.records:
            logging.info("%d of %d runs are finished already", len(self.records), len(self._runs))
        is_told = False
        with _terminating(), progress.Bar(len(self._runs), "sweep") as bar:
            try:
                while self.missing():
                    self._advance(bar)
                    is_told = is_told or self._tell_of_others()
                    bar.show(len(self._runs) - len(self.missing()), self._status())
                    if self.missing():
                        time.sleep(_TICK)
            finally:
                self._executor.stop(list(self._running.values()))
                self._running.clear()
        self._executor.close()

    def _advance(self, bar: progress.Bar) -> None:
        """Collect the jobs that are over, and begin others in their places."""
        for job in list(self._running.values()):
            if job.is_over():
                bar.say(self._collect(job))
        for run in self.missing():
            if run.name not in self._running and len(self._running) < self._executor.workers:
                line = self._begin(run)
                if line:
                    bar.say(line)

    def _tell_of_others(self) -> bool:
        """Say which runs are waited for where other processes have them all."""
        busy = [run.name for run in self.missing() if run.name not in self._running]
        if not busy or self._running:
            return False
        logging.info("waiting for %d run(s) of other processes: %s", len(busy), ", ".join(busy))
        return True

    def _begin(self, run: Run) -> str:
        """Start a run if it is free, and return a line if it was settled otherwise."""
        now = time.monotonic()
        if now - self._looked.get(run.name, -math.inf) < _LOOK:
            return ""
        for needed in run.needs:
            if needed in self.failures:
                return self._failed(run, f"not run, since its starting point {needed} failed")
        if any(needed not in self.records for needed in run.needs):
            return ""
        self._looked[run.name] = now
        try:
            begun = self._executor.begin(run)
        except (UserError, OSError) as error:
            return self._failed(run, str(error))
        if isinstance(begun, base.Job):
            logging.info("running %s", run.title)
            self._running[run.name] = begun
            return ""
        return self._settled(run, begun) if begun else ""

    def _collect(self, job: base.Job) -> str:
        del self._running[job.run.name]
        ended = self._executor.collect(job)
        if isinstance(ended, base.TakenOver):
            return self._line(job.run, "another machine has taken it over")
        return self._settled(job.run, ended)

    def _settled(self, run: Run, ended: base.Finished | base.Failed) -> str:
        if isinstance(ended, base.Failed):
            return self._failed(run, ended.message)
        if ended.seconds is not None:
            self._measured.append((ended.seconds, run.config.epochs))
        self.records[run.name] = ended.record
        took = "by another process" if ended.seconds is None else f"{ended.seconds:.0f} s"
        return self._line(run, f"{self._told(ended.record)}, {took}")

    def _failed(self, run: Run, message: str) -> str:
        self.failures[run.name] = message
        return self._line(run, f"FAILED: {message.splitlines()[0]}")

    def _line(self, run: Run, text: str) -> str:
        number = len(self._runs) - len(self.missing())
        left = self._left() if self.missing() else ""
        end = f"; {left}" if left else ""
        return f"{number}/{len(self._runs)} {run.title}: {text}{end}"

    def _status(self) -> str:
        left = self._left()
        return f"{len(self._running)} running" + (f", {left}" if left else "")

    def _left(self) -> str:
        """Return the time to the end in words; empty before anything is known of it."""
        left = self.seconds_left()
        if left is None:
            return ""
        if not left:  # All that run have taken the time that was estimated, and still run.
            return "longer than estimated"
        return f"about {progress.duration(max(1.0, left))} left"

    def seconds_left(self) -> float | None:
        """Estimate the seconds to the end by what an epoch has taken; None before a first run."""
        measured = self._measured or [
            (record.speed["seconds"], self._runs[name].config.epochs)
            for name, record in self.records.items()
            if record.speed.get("seconds")
        ]
        if not measured:
            return None
        seconds, epochs = (sum(column) for column in zip(*measured, strict=True))
        rest = 0.0
        for run in self.missing():
            job = self._running.get(run.name)
            whole = seconds / epochs * run.config.epochs
            rest += max(0.0, whole - (job.seconds() if job else 0.0))
        return rest / min(self._executor.workers, max(1, len(self.missing())))


@contextlib.contextmanager
def _terminating() -> Iterator[None]:
    """End the block on SIGTERM, as job schedulers send it, as on Ctrl-C."""
    earlier = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)
