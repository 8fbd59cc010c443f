"""The protocol of an executor: it runs one run of a sweep after the other somewhere.

A sweep (`sweeps/sweep.py`) decides what is run and when; an executor only runs it, keeps two
processes from running the same one, and says how it ended. `tests/sweeps/test_executor_contract.py`
says what every executor has to do.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Generic, TypeVar

from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.sweeps.plan import Run


@dataclasses.dataclass(frozen=True)
class Finished:
    """A run that has its record.

    Attributes:
      record: of the run.
      seconds: that it took here; None where another process ran it.
    """

    record: ExperimentResult
    seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Failed:
    """A run that has failed; `message` says why and is never empty."""

    message: str


@dataclasses.dataclass(frozen=True)
class TakenOver:
    """A run that another process runs now, so that the sweep waits for the end of that one."""


class Job(abc.ABC):
    """A run that is being run.

    Attributes:
      run: the run.
    """

    run: Run

    @abc.abstractmethod
    def seconds(self) -> float:
        """Return the seconds since it was started."""

    @abc.abstractmethod
    def is_over(self) -> bool:
        """Tell whether it has ended, by itself or by a fault."""

    @abc.abstractmethod
    def interrupt(self) -> None:
        """Ask it to save its state and to end."""

    @abc.abstractmethod
    def end(self, seconds: float) -> None:
        """Wait at most `seconds` for its end, and kill it then."""


J = TypeVar("J", bound=Job)


class Executor(abc.ABC, Generic[J]):
    """A place where runs are run.

    Attributes:
      workers: number of runs that it runs at a time.
    """

    workers: int = 1

    @abc.abstractmethod
    def watch(self, finished: Sequence[Run], missing: Sequence[Run]) -> None:
        """Begin the work of a sweep: a failure that comes from another sweep counts from now on.

        Args:
          finished: runs that have a record.
          missing: runs that have none.
        """

    @abc.abstractmethod
    def begin(self, run: Run) -> J | Finished | Failed | None:
        """Start a run, or return how another sweep has settled it; None where another has it.

        Raises:
          UserError: the run's folder holds something else, or cannot be written.
          OSError: its process cannot be started.
        """

    @abc.abstractmethod
    def collect(self, job: J) -> Finished | Failed | TakenOver:
        """Return how a job that is over has ended."""

    @abc.abstractmethod
    def stop(self, jobs: Sequence[J]) -> None:
        """End jobs: each is asked to save its state, and killed where that takes too long."""

    @abc.abstractmethod
    def close(self) -> None:
        """Release everything that the executor holds, when the sweep has ended."""
