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
# Trials after which a search ends where each one that it has asked for has failed in one way.
_HOPELESS = 3
_NEEDED = ("encoder", "preprocessing", "teacher", "start")  # Settings of what may not be there.


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
        self._one, self._root, self._given = one, root, given
        self._space, self._trials = space, trials
        self.sweep = Sweep([], executor, total=trials)
        # Run's name -> the trials that it is for: two may come to the same settings.
        self._asked: dict[str, list[Any]] = {}
        self._stopped: dict[str, str] = {}  # Run's name -> why it was stopped.
        self._looked = -math.inf
        self._good: set[tuple[str, ...]] = set()  # Encoders and teachers that can be had.
        self._new = 0  # Trials that were asked for here.

    def run(self) -> None:
        """Run trials until so many have ended, here or in other processes that share the journal.

        Raises:
          KeyboardInterrupt: as `Sweep.run`; the trials go on when the search is started again.
          UserError: as `Sweep.run`; or what all trials need, as their data, cannot be had.
        """
        begun = list(self.journal.begun())
        if (begun or not self._are_enough()) and not self._space.keys() & set(_NEEDED):
            self._check(self._one)  # Else no trial could be run.
        for trial in begun:
            self._add(trial)
        is_told = False
        with self.sweep.working() as bar:
            while True:
                while not self._are_enough() and self.sweep.room > 0 and not self._is_in_vain():
                    self._new += 1
                    self._add(self.journal.ask())
                    self._settle()
                self._settle()
                if self.sweep.missing():
                    self.sweep.step(bar)
                elif self._are_enough() or self._is_in_vain():
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

    def _is_in_vain(self) -> bool:
        """Tell whether more trials would most likely fail as all have that were asked for here.

        Those of an earlier process do not count, so that the same command gets further each time.
        Whether a training diverges is of its settings alone, so that others may not.
        """
        return self._new >= _HOPELESS and self._failed_alike() not in ("", self._not_a_number)

    def why(self, trial: Any) -> str:
        """Return why a trial of the journal was stopped or has failed; empty where neither."""
        failure = self.sweep.failures.get(trial.user_attrs.get(RUN, ""), "")
        return str(trial.user_attrs.get(WHY, failure))

    def _failed_alike(self) -> str:
        """Return the message with which all trials have failed; empty where one has not."""
        messages = {
            self.why(one) if one.state.name in ("FAIL", "RUNNING") else ""
            for one in self.journal.trials()
        }
        return messages.pop() if len(messages) == 1 else ""

    def require_result(self) -> None:
        """Refuse a search that has come to nothing.

        Raises:
          UserError: all its trials have failed in one way.
        """
        message = self._failed_alike()
        if message:
            raise UserError(
                f"--search: all {len(self.journal.trials())} trial(s) so far have failed in one "
                f"way: {message}"
            )

    @property
    def _not_a_number(self) -> str:
        return (
            f"its {self.metric} is not a number: the training diverged, or the model gives one "
            "answer to all. Good: smaller values of learning_rate"
        )

    def config_of(self, trial: Any) -> ExperimentConfig:
        """Return the settings of a trial's run, which Optuna proposes if they are not known."""
        chosen = {name: values.suggest(trial, name) for name, values in self._space.items()}
        return grid.configuration(self._given, chosen)

    def _add(self, trial: Any) -> None:
        """Add the run of a trial.

        One whose settings do not fit together has failed for good. One that cannot be run here, as
        where its encoder cannot be had, fails as a run does: the same command tries it again.
        """
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
        try:
            self.sweep.add(runs)
            if config.run_name not in self.sweep.records:
                self._check(config)
        except UserError as error:
            logging.warning("trial %d: %s", trial.number, error)
            self.sweep.failures[config.run_name] = str(error)

    def _check(self, config: ExperimentConfig) -> None:
        """Check that what a run needs can be had, unless another run needed the same.

        Raises:
          UserError: as `plan.check`.
        """
        needed = tuple(getattr(config, name) for name in _NEEDED)
        if needed not in self._good:
            plan.check(plan.plan([config], self._root))
            self._good.add(needed)

    def _ended(self) -> set[int]:
        """Return the numbers of the trials that have ended, here or in another process."""
        return {one.number for one in self.journal.trials() if one.state.is_finished()}

    def _settle(self) -> None:
        """Tell the journal of trials whose runs are finished or were stopped."""
        ended = self._ended()
        for name, trials in self._asked.items():
            record = self.sweep.records.get(name)
            for trial in trials:
                if trial.number in ended or (record is None and name not in self._stopped):
                    continue
                if record is None:
                    self._end(trial, self._stopped[name])
                elif math.isnan(value := float(record.metrics[self.metric])):
                    self._end(trial, self._not_a_number)
                else:
                    self.journal.tell(trial.number, value)

    def _end(self, trial: Any, why: str) -> None:
        """Tell the journal that a trial has no value."""
        with contextlib.suppress(RuntimeError):  # Another process has told so.
            trial.set_user_attr(WHY, why)
        self.journal.tell(trial.number, None, why=why)

    def _compare(self, bar: progress.Bar) -> None:
        """Report each new epoch to Optuna's pruner, and stop the runs that it gives up."""
        ended = self._ended()
        for run in self.sweep.missing():
            trials = self._asked.get(run.name, [])
            if trials and all(trial.number in ended for trial in trials):  # By another process.
                self.sweep.drop(run)
                continue
            for trial in trials:
                why = "" if trial.number in ended else self._why_hopeless(run, trial)
                if why:
                    self._stopped[run.name] = why
                    # First, so that another process does not go on with it.
                    self._settle()
                    self.sweep.drop(run)
                    bar.say(f"trial {trial.number}, {run.title}: {why}")
                    break

    def _why_hopeless(self, run: Run, trial: Any) -> str:
        """Report the epochs that are new of a run; return why the pruner stops it, if it does."""
        known = self.journal.trials()[trial.number].intermediate_values
        for epoch, value in _epochs(run, self.metric):
            # Of the last epoch, only the record is still to be written.
            if epoch not in known and epoch < run.config.epochs:
                with contextlib.suppress(RuntimeError):  # Another process has ended it.
                    trial.report(value, epoch)
                    if trial.should_prune():
                        if math.isnan(value):
                            return self._not_a_number
                        return f"stopped after epoch {epoch} of {run.config.epochs}"
        return ""


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
