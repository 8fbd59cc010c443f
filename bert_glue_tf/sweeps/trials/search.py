"""The search: trials of a space, each a run of a sweep; a hopeless one is stopped early."""

from __future__ import annotations

import contextlib
import math
import pathlib
import time
from collections.abc import Iterator
from typing import Any

from absl import logging

from bert_glue_tf.core import progress
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers
from bert_glue_tf.runs import history
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.sweeps import grid, plan
from bert_glue_tf.sweeps.executors import base
from bert_glue_tf.sweeps.plan import Run
from bert_glue_tf.sweeps.sweep import Sweep
from bert_glue_tf.sweeps.trials.journal import RUN, WHY, Journal
from bert_glue_tf.sweeps.trials.space import Space

_LOOK = 2.0  # Seconds between two looks at the histories and at the trials of other processes.


class Search:
    """Trials of a space until there are enough of them.

    Attributes:
      journal: of the search.
      sweep: that makes its runs.
      metric: name of the metric that is maximised.

    Args:
      journal: as `Journal.open` returns it.
      one: settings of one of its runs.
      root: folder of the runs.
      given: flag -> text, as given besides the space.
      space: of the search.
      trials: number of them, those of earlier processes too.
      executor: where runs are run; by default one process at a time of this machine.
    """

    def __init__(
        self,
        journal: Journal,
        one: ExperimentConfig,
        root: pathlib.Path,
        given: grid.Settings,
        space: Space,
        trials: int,
        executor: base.Executor[Any] | None = None,
    ) -> None:
        self.journal = journal
        self.metric = metric_of(one)
        self._root, self._given, self._space, self._trials = root, given, space, trials
        self.sweep = Sweep([], executor, total=trials)
        # Run's name -> the trials that it is for: two may come to the same settings.
        self._asked: dict[str, list[Any]] = {}
        self._told: set[int] = set()  # Numbers of the trials whose end is told.
        self._stopped: dict[str, str] = {}  # Run's name -> why it was stopped.
        self._reported: dict[int, int] = {}
        self._looked = -math.inf
        self._is_checked = False

    def run(self) -> None:
        """Run trials until so many have ended, here or in other processes that share the journal.

        Raises:
          KeyboardInterrupt: as `Sweep.run`; the trials go on when the search is started again.
          UserError: as `Sweep.run`, or the encoder or the data of a run cannot be had.
        """
        for trial in self.journal.begun():
            self._add(trial)
        is_told = False
        with self.sweep.working() as bar:
            while True:
                while not self._are_enough() and self.sweep.room > 0:
                    self._add(self.journal.ask())
                    self._settle()
                self._settle()
                if self.sweep.missing():
                    self.sweep.step(bar)
                elif self._are_enough():
                    break
                else:
                    if not is_told:
                        logging.info("no worker has a place; waiting for one")
                    is_told = True
                    time.sleep(_LOOK)
                if time.monotonic() - self._looked > _LOOK:
                    self._looked = time.monotonic()
                    self._compare(bar)
        for one in self.journal.failed():
            self.sweep.failures.setdefault(*one)

    def _are_enough(self) -> bool:
        return len(self.journal.trials()) >= self._trials

    def config_of(self, trial: Any) -> ExperimentConfig:
        """Return the settings of a trial's run, which Optuna proposes if they are not known."""
        chosen = {name: values.suggest(trial, name) for name, values in self._space.items()}
        return grid.configuration(self._given, chosen)

    def _add(self, trial: Any) -> None:
        """Add the run of a trial; one whose settings do not fit together has failed for good."""
        try:
            config = self.config_of(trial)
            runs = plan.plan([config], self._root, list(self._space))
            plan.check_methods(runs)
        except UserError as error:  # Were it left open, the same command would begin with it.
            logging.warning("trial %d: %s", trial.number, error)
            self._end(trial, str(error))
            return
        self._asked.setdefault(config.run_name, []).append(trial)
        trial.set_user_attr(RUN, config.run_name)
        known = self.journal.trials()[trial.number].intermediate_values
        self._reported[trial.number] = max(known, default=0)
        if not self._is_checked:
            self._is_checked = True
            plan.check(runs)
        self.sweep.add(runs)

    def _settle(self) -> None:
        """Tell the journal of trials whose runs are finished or were stopped."""
        for name, trials in self._asked.items():
            record = self.sweep.records.get(name)
            for trial in trials:
                if trial.number in self._told or (record is None and name not in self._stopped):
                    continue
                self._told.add(trial.number)
                if record is None:
                    self._end(trial, self._stopped[name])
                    continue
                value = float(record.metrics[self.metric])
                if math.isnan(value):
                    self._end(trial, "its primary metric is not a number: the training diverged")
                else:
                    self.journal.tell(trial.number, value)

    def _end(self, trial: Any, why: str) -> None:
        """Tell the journal that a trial has no value."""
        with contextlib.suppress(RuntimeError):  # Another process has told so.
            trial.set_user_attr(WHY, why)
        self.journal.tell(trial.number, None, why=why)

    def _compare(self, bar: progress.Bar) -> None:
        """Report each new epoch to Optuna's pruner, and stop the runs that it gives up."""
        ended = {one.number for one in self.journal.trials() if one.state.is_finished()}
        for run in self.sweep.missing():
            trials = self._asked.get(run.name, [])
            if trials and all(trial.number in ended for trial in trials):  # By another process.
                self._told.update(trial.number for trial in trials)
                self.sweep.drop(run)
                continue
            for trial in trials:
                if trial.number not in ended and self._is_hopeless(run, trial):
                    epoch = self._reported[trial.number]
                    why = f"stopped after epoch {epoch} of {run.config.epochs}"
                    self._stopped[run.name] = why
                    # First, so that another process does not go on with it.
                    self._settle()
                    self.sweep.drop(run)
                    bar.say(f"trial {trial.number}, {run.title}: {why}")
                    break

    def _is_hopeless(self, run: Run, trial: Any) -> bool:
        """Report the epochs that are new of a run, and ask the pruner about it."""
        for epoch, value in _epochs(run, self.metric):
            if epoch <= self._reported.get(trial.number, 0):
                continue
            self._reported[trial.number] = epoch
            # Of the last epoch, only the record is still to be written.
            if epoch < run.config.epochs:
                with contextlib.suppress(RuntimeError):  # Another process has ended it.
                    trial.report(value, epoch)
                    if trial.should_prune():
                        return True
        return False


def metric_of(config: ExperimentConfig) -> str:
    """Return the name of the metric that a search maximises: the primary one."""
    task = readers.task_of(config)
    return f"{task.primary_metric}{next(iter(task.validation_splits))}"


def _epochs(run: Run, metric: str) -> Iterator[tuple[int, float]]:
    """Yield the epochs of a run that is at work, each with its metric."""
    column = f"val_{metric}"
    try:
        rows = history.read_history(run.folder.history_file)
    except UserError as error:
        logging.warning("%s", error)
        return
    for row in rows:
        if row.get(column):
            yield int(row["epoch"]), float(row[column])
