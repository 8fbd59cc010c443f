"""The protocol of an executor: it runs tasks, each a command in a process of its own, somewhere.

A sweep (`sweeps/sweep.py`) and a labelling (`labelling/`) decide what is run and when; an executor
only runs it, keeps two processes from doing the same, and says how it ended.
`tests/sweeps/test_executor_contract.py` says what every executor has to do.
"""

from __future__ import annotations

import abc
import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs.run_folder import BusyError


class Task(abc.ABC):
    """A command that is run in a process of its own, until its result is there."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The name by which it is told from the others."""

    @property
    @abc.abstractmethod
    def log(self) -> pathlib.Path:
        """The file for what its process prints."""

    @property
    @abc.abstractmethod
    def command(self) -> Sequence[str]:
        """The name of the module whose `command` is called, and its flags; paths are absolute."""

    @property
    def lock(self) -> pathlib.Path | None:
        """The file whose lock the process holds while it runs; None where several may run."""
        return None

    @property
    def paths(self) -> Sequence[pathlib.Path]:
        """The files and folders that its process reads, as absolute paths."""
        return ()

    @property
    def beside(self) -> Sequence[str] | None:
        """The names of folders in `root` that it reads, besides its own, which has its name.

        None where its process needs more than these, so that they cannot be carried to a worker
        that does not see them.
        """
        return None

    @property
    @abc.abstractmethod
    def root(self) -> pathlib.Path:
        """The folder that its process writes into, or the one that will hold it."""

    @abc.abstractmethod
    def open(self) -> int | None:
        """Prepare what the process writes into, and return the descriptor of the lock on it.

        Raises:
          BusyError: another process holds the lock.
          UserError: the folder holds something else, or cannot be written.
        """

    @abc.abstractmethod
    def record(self) -> Any | None:
        """Return the result; None where it is not there yet.

        Raises:
          UserError: it cannot be read.
        """


@dataclasses.dataclass(frozen=True)
class Finished:
    """A task that has its record.

    Attributes:
      record: of the task.
      seconds: that it took here; None where another process did it.
    """

    record: Any
    seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Failed:
    """A task that has failed; `message` says why and is never empty."""

    message: str


def settled(
    task: Task, status: int, seconds: float, why_it_failed: Callable[[], str]
) -> Finished | Failed:
    """Return how a task has ended whose process has ended.

    Args:
      task: the task.
      status: exit status of its process.
      seconds: that it took.
      why_it_failed: returns what its process said.
    """
    try:
        record = None if status else task.record()
    except UserError as error:
        return Failed(str(error))
    return Failed(why_it_failed()) if record is None else Finished(record, seconds)


class Job(abc.ABC):
    """A task that is being run.

    Attributes:
      task: the task.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._began = time.monotonic()

    def seconds(self) -> float:
        """Return the seconds since it was started."""
        return time.monotonic() - self._began

    @abc.abstractmethod
    def is_over(self) -> bool:
        """Tell whether it has ended, by itself or by a fault.

        Raises:
          UserError: what runs it is gone, so that nothing more can be said of any job.
        """


J = TypeVar("J", bound=Job)


class Executor(abc.ABC, Generic[J]):
    """A place where tasks are run."""

    @property
    @abc.abstractmethod
    def workers(self) -> int:
        """The number of tasks that it runs at a time; it may change."""

    def reach(self) -> None:
        """Look if the place is there at all, and start nothing.

        Raises:
          UserError: it is not.
        """

    @abc.abstractmethod
    def check(self, tasks: Sequence[Task]) -> None:
        """Look, before the first of these tasks is begun, if they can be run there.

        Raises:
          UserError: they cannot, as where a worker does not see a path; the message names it.
        """

    def begin(self, task: Task) -> J | Finished | None:
        """Start a task; return its record where it has one, and None where another has it.

        Raises:
          UserError: its folder holds something else, or cannot be written.
          OSError: its process cannot be started.
        """
        try:
            lock = task.open()
        except BusyError:
            return None
        try:
            # Only now, since another process may have finished it just before.
            record = self._found(task)
            return self._start(task, lock) if record is None else Finished(record)
        finally:
            if lock is not None:  # A process that was given it holds it as long as it lives.
                os.close(lock)

    def _found(self, task: Task) -> Any | None:
        """Return the result that a task has already; None where it has none."""
        return task.record()

    def _start(self, task: Task, lock: int | None) -> J | None:
        """Start a task's process; None where it cannot be started now.

        Args:
          task: that `open` has prepared.
          lock: descriptor of the lock on its folder, which is closed when this has ended.
        """
        raise NotImplementedError

    @abc.abstractmethod
    def collect(self, job: J) -> Finished | Failed | None:
        """Return how a job that is over has ended; None where another process has it now."""

    @abc.abstractmethod
    def stop(self, jobs: Sequence[J]) -> None:
        """End jobs: each is asked to save its state, and killed where that takes too long."""

    @abc.abstractmethod
    def close(self) -> None:
        """Release everything that the executor holds, when the work has ended."""
