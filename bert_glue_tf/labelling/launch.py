"""A labelling from its settings to its result: what is missing is labelled, by an executor."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from absl import logging

from bert_glue_tf.core import interrupts, progress
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import reason
from bert_glue_tf.labelling.folder import LabelFolder, State
from bert_glue_tf.labelling.plan import LabelSettings, Part, parts
from bert_glue_tf.labelling.shares import Share, shared
from bert_glue_tf.sweeps.executors import base

_TICK = 0.2  # Seconds between two looks at the processes,
_LOOK = 1.0  # and at the parts.


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Holds what a labelling has come to.

    Attributes:
      folder: of the output.
      states: name of each part that is labelled -> what is known of it.
      failures: name of each part that is not -> why.
      earlier: names of the parts that were labelled before.
      seconds: that this process took.
    """

    folder: pathlib.Path
    states: dict[str, State]
    failures: dict[str, str]
    earlier: frozenset[str]
    seconds: float

    @property
    def rows(self) -> int:
        """Return the number of rows that have labels."""
        return sum(state.rows for state in self.states.values())

    @property
    def new_rows(self) -> int:
        """Return the number of rows that were labelled now."""
        return sum(one.rows for name, one in self.states.items() if name not in self.earlier)

    @property
    def labels(self) -> dict[str, int]:
        """Return label -> number of rows, the most frequent first; empty of a regression."""
        total: collections.Counter[str] = collections.Counter()
        for state in self.states.values():
            total.update(state.labels)
        return dict(total.most_common())


def label(
    model: str | pathlib.Path,
    pattern: str,
    output: str | pathlib.Path,
    *,
    text_columns: Sequence[str] = (),
    at: str = "",
    threads: int = 0,
    executor: base.Executor[Any],
) -> Outcome:
    """Label the parts of an input that have no labels yet, and return what all have come to.

    Args:
      model: folder of a run, or a .tflite file.
      pattern: of the input's files, as `plan.parts` reads it.
      output: folder of the parts with their labels.
      text_columns: columns of the texts; by default those of the training.
      at: "recall" or "precision", whose threshold answers; empty for none.
      threads: of a .tflite file in each process; 0: the processors, shared by the processes.
      executor: where the processes run.

    Raises:
      UserError: as `LabelSettings.of`, `parts`, `LabelFolder.claimed` and `Executor.check`.
      KeyboardInterrupt: Ctrl-C or SIGTERM came. What is labelled stays.
    """
    began = time.monotonic()
    settings = LabelSettings.of(pathlib.Path(model).expanduser(), pattern, text_columns, at)
    found = parts(pattern, pathlib.Path(output).expanduser())
    with LabelFolder.claimed(pathlib.Path(output).expanduser(), settings, found) as folder:
        folder.forget_failures(found)
        states = {part.name: folder.state(part) for part in found}
        missing = [part for part in found if states[part.name] is None]
        earlier = frozenset(name for name, state in states.items() if state and not state.message)
        if earlier:
            logging.info("%d of %d parts are labelled already", len(earlier), len(found))
        failed: dict[str, str] = {}
        if missing:
            try:
                failed = _Work(folder, settings, missing, threads, executor).run()
            finally:
                executor.close()
        done = {part.name: folder.state(part) for part in found}
    failures = {
        name: state.message if state else failed.get(name, "was not labelled")
        for name, state in done.items()
        if state is None or state.message
    }
    whole = {name: state for name, state in done.items() if state and not state.message}
    return Outcome(folder.path, whole, failures, earlier, time.monotonic() - began)


class _Work:
    """The shares of a labelling while they are done."""

    def __init__(
        self,
        folder: LabelFolder,
        settings: LabelSettings,
        missing: Sequence[Part],
        threads: int,
        executor: base.Executor[Any],
    ) -> None:
        self._folder, self._settings = folder, settings
        self._missing = list(missing)
        self._threads = threads
        self._executor = executor
        self._looked = 0.0
        self._told = 0  # Parts of which was said that they are done,
        self._places: collections.Counter[int] = collections.Counter()  # and of each share.
        self._failed: dict[str, str] = {}
        self._number = 0  # Of the shares that were made.

    def run(self) -> dict[str, str]:
        """Label the parts; return those whose process has failed, with the reason."""
        running: list[base.Job] = []
        with interrupts.terminating(), progress.Bar(len(self._missing), "label") as bar:
            try:
                self._executor.check(self._shares(1))
                waiting = self._shares(max(1, self._executor.workers))
                while waiting or running:
                    while waiting and len(running) < self._executor.workers:
                        share = waiting.pop(0)
                        begun = self._begin(share)
                        if isinstance(begun, base.Job):
                            running.append(begun)
                        elif begun is None:  # Its worker has left: another one takes it.
                            waiting.append(share)
                            break
                    over = [one for one in running if one.is_over()]
                    for job in over:
                        running.remove(job)
                        waiting += self._collect(job)
                    self._tell(bar, running, over)
                    if running or waiting:
                        time.sleep(_TICK)
            finally:
                self._executor.stop(running)
        return self._failed

    def _shares(self, workers: int) -> list[Share]:
        threads = self._threads or max(1, (os.cpu_count() or 1) // workers)
        found = shared(self._folder, self._settings, self._missing, workers, threads)
        self._number = len(found)
        return found

    def _begin(self, share: Share) -> Any:
        """Begin a share.

        Raises:
          UserError: the folder cannot be written.
        """
        try:
            return self._executor.begin(share)
        except OSError as error:
            raise UserError(
                f"--output={self._folder.path}: cannot be written ({reason(error)}). What is "
                "labelled stays; the same command labels the rest."
            ) from error

    def _collect(self, job: base.Job) -> list[Share]:
        """Note how a job has ended; return what of its share is to be begun again.

        Where a process has ended with a fault, the part that it was at is noted, and the others
        begin again; where it has not done a single one and was begun again, all are.
        """
        share = job.task
        assert isinstance(share, Share)
        ended = self._executor.collect(job)
        if ended is None:
            return [share]
        if not isinstance(ended, base.Failed):
            return []
        undone = [part for part in share.parts if self._folder.state(part) is None]
        is_hopeless = share.is_again and len(undone) == len(share.parts)
        for part in undone if is_hopeless else undone[:1]:
            self._failed[part.name] = ended.message
        rest = undone[1:]
        if is_hopeless or not rest:
            return []
        self._number += 1
        again = dataclasses.replace(share, number=self._number, parts=tuple(rest), is_again=True)
        return [again]

    def _tell(
        self, bar: progress.Bar, running: Sequence[base.Job], over: Sequence[base.Job]
    ) -> None:
        """Say which parts are done: those of jobs that are over at once, others once a second."""
        is_time = time.monotonic() - self._looked >= _LOOK
        for job in [*over, *(running if is_time else ())]:
            while self._tell_next(bar, job):
                pass
        if over or is_time:
            bar.show(self._told, f"{len(running)} running")
        if is_time:
            self._looked = time.monotonic()

    def _tell_next(self, bar: progress.Bar, job: base.Job) -> bool:
        """Say that the next part of a job is done; False where it is not.

        A process does its parts in their order. So only the first that is not told has to be
        looked at, and a labelling of many parts does not look at each of them each time.
        """
        share = job.task
        assert isinstance(share, Share)
        place = self._places[share.number]
        state = self._folder.state(share.parts[place]) if place < len(share.parts) else None
        if state is None:
            return False
        self._places[share.number] += 1
        self._told += 1
        line = f"{self._told}/{len(self._missing)} {share.parts[place].name}"
        if state.message:
            bar.say(f"{line}: FAILED: {state.message.splitlines()[0]}")
        else:
            bar.say(f"{line}: {state.rows:,} rows, {progress.duration(state.seconds)}")
        return True


def require(value: str, flag: str, good: str) -> str:
    """Return the value of a flag that has to be given.

    Raises:
      UserError: it is empty.
    """
    if not value:
        raise UserError(f"--{flag} is missing. Give {good}.")
    return value
