"""The sweep: runs what is missing of a plan, on an executor, and shows how far it is."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import logging

from bert_glue_tf.core import interrupts, progress
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
        total: int = 0,
    ) -> None:
        """Read the records of the runs that are finished.

        Args:
          runs: of the plan, each after the runs that it needs.
          executor: where they are run; by default one process at a time of this machine.
          told: record -> what is said of a finished run.
          total: number of runs, where some are added later; by default that of `runs`.

        Raises:
          UserError: a folder holds another run, or a record that cannot be read.
        """
        self._runs: dict[str, Run] = {}
        self._executor: base.Executor[Any] = executor or choice.executor()
        self._told = told
        self._total = total
        self._running: dict[str, base.Job] = {}
        self._looked: dict[str, float] = {}
        self._measured: list[tuple[float, int]] = []  # Seconds and epochs of runs done here.
        self._is_told = self._is_checked = False
        self._dropped: set[str] = set()
        self.failures: dict[str, str] = {}
        self.records: dict[str, ExperimentResult] = {}
        self.add(runs)

    def add(self, runs: Sequence[Run]) -> None:
        """Add runs, each after the runs that it needs; one that is known stays as it is.

        Raises:
          UserError: as the constructor.
        """
        for run in runs:
            if run.name not in self._runs:
                record = run.folder.record()
                self._runs[run.name] = run
                if record is not None:
                    self.records[run.name] = record

    def drop(self, run: Run) -> None:
        """Stop a run and leave it as it is: neither finished nor failed."""
        self._dropped.add(run.name)
        job = self._running.pop(run.name, None)
        if job is not None:
            self._executor.stop([job])

    @property
    def runs(self) -> list[Run]:
        """The runs in their order."""
        return list(self._runs.values())

    @property
    def workers(self) -> int:
        """The number of runs that are run at a time."""
        return self._executor.workers

    @property
    def room(self) -> int:
        """The number of runs that may be added and be begun at once.

        A run that another process has takes no place here.
        """
        known = self._running.keys() | self._looked.keys()
        waiting = [run for run in self.missing() if run.name not in known]
        return self.workers - len(self._running) - len(waiting)

    def missing(self) -> list[Run]:
        """Return the runs that are neither finished nor failed nor dropped, in their order."""
        ended = self.records.keys() | self.failures.keys() | self._dropped
        return [run for name, run in self._runs.items() if name not in ended]

    def run(self) -> None:
        """Run until each run is finished or has failed, here or in another sweep.

        Raises:
          KeyboardInterrupt: Ctrl-C or SIGTERM came. The jobs have been ended, and each run goes
            on from its last saved state when it is started again.
          UserError: the executor cannot run them, or what runs them is gone. What is finished
            stays.
        """
        if self.records:
            logging.info("%d of %d runs are finished already", len(self.records), len(self._runs))
        with self.working() as bar:
            while self.missing():
                self.step(bar)

    @contextlib.contextmanager
    def working(self) -> Iterator[progress.Bar]:
        """Yield the bar of a block that calls `step`; at its end no job is left.

        Raises:
          KeyboardInterrupt: SIGTERM came.
        """
        total = self._total or len(self._runs)
        with interrupts.terminating(), progress.Bar(total, "sweep") as bar:
            try:
                yield bar
            finally:
                self._executor.stop(list(self._running.values()))
                self._running.clear()
                self._executor.close()

    def step(self, bar: progress.Bar) -> None:
        """Collect what has ended, begin what has room, and wait a moment.

        Raises:
          UserError: as `run`.
        """
        if not self._is_checked:
            self._executor.check(self.missing())
            self._is_checked = True
        self._advance(bar)
        self._is_told = self._is_told or self._tell_of_others()
        bar.show(len(self._runs) - len(self.missing()), self._status())
        if self.missing():
            time.sleep(_TICK)

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
        busy = [
            one.name for one in self.missing() if one.name in self._looked.keys() - self._running
        ]
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
        run = self._runs[job.task.name]
        del self._running[run.name]
        ended = self._executor.collect(job)
        return self._settled(run, ended) if ended else ""

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
        return f"{number}/{self._total or len(self._runs)} {run.title}: {text}{end}"

    def _status(self) -> str:
        left = self._left()
        return f"{len(self._running)} running" + (f", {left}" if left else "")

    def _left(self) -> str:
        """Return the time to the end in words; empty before anything is known of it."""
        if len(self._runs) < self._total:  # What comes is not known, and some of it is stopped.
            return ""
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
        return rest / max(1, min(self._executor.workers, len(self.missing())))
