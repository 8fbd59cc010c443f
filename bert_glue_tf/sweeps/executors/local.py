"""The local executor: each task is a process of this machine.

The lock of a run's folder keeps several sweeps on one machine from running the same run: the sweep
takes it and hands it over to the run's process, and the system gives it back when that one dies,
however it dies.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from bert_glue_tf.sweeps.executors import base
from bert_glue_tf.sweeps.executors.process import BUSY, GRACE, PROGRAM, Process


class LocalJob(base.Job):
    """A task in a process of this machine."""

    def __init__(self, task: base.Task, process: Process) -> None:
        super().__init__(task)
        self.process = process

    def is_over(self) -> bool:
        return self.process.is_over()


class LocalExecutor(base.Executor[LocalJob]):
    """Processes of this machine.

    Args:
      workers: number of processes at a time.
      program: of a task's process; tests give one that stands in for a training.
    """

    def __init__(self, workers: int = 1, program: Sequence[str] = PROGRAM) -> None:
        self._workers = workers
        self._program = program

    @property
    def workers(self) -> int:
        return self._workers

    def check(self, tasks: Sequence[base.Task]) -> None:
        del tasks  # This machine sees what the command sees.

    def _start(self, task: base.Task, lock: int | None) -> LocalJob:
        shares_gpu = self.workers > 1
        return LocalJob(
            task,
            Process(
                task.command, task.log, program=self._program, lock=lock, shares_gpu=shares_gpu
            ),
        )

    def collect(self, job: LocalJob) -> base.Finished | base.Failed | None:
        if job.process.status == BUSY:
            return None
        return base.settled(job.task, job.process.status, job.seconds(), job.process.why_it_failed)

    def stop(self, jobs: Sequence[LocalJob]) -> None:
        for job in jobs:
            job.process.interrupt()
        until = time.monotonic() + GRACE
        for job in jobs:
            job.process.end(until - time.monotonic())

    def close(self) -> None:
        """Nothing is held."""
