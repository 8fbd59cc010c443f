"""SweptStudy: a study whose runs a sweep makes; what is finished is not run again."""

from __future__ import annotations

import pathlib
from collections.abc import Collection, Sequence
from typing import Any

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.reports.measured import SAMPLE
from bert_glue_tf.runs.config import PRUNING, ExperimentConfig, short
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.studies import words
from bert_glue_tf.studies.cells import Cell
from bert_glue_tf.studies.study import Study
from bert_glue_tf.sweeps import plan, table
from bert_glue_tf.sweeps.executors import base
from bert_glue_tf.sweeps.sweep import Sweep

# Of these the line of settings says nothing, or each time.
_SAID_ELSEWHERE = ("task", "encoder", "preprocessing", "data", "seed", "pruning_method")
_ALWAYS_SAID = (
    "epochs",
    "finetune_epochs",
    "batch_size",
    "learning_rate",
    "final_sparsity",
    "pruning_schedule",
    "pruning_scope",
)


class SweptStudy(Study[Cell]):
    """A study whose runs a sweep makes.

    Attributes:
      records: run -> its record.
      failures: run -> why it failed.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        super().__init__(cells)
        self.records: dict[str, ExperimentResult] = {}
        self.failures: dict[str, str] = {}
        self._runs: Sequence[plan.Run] = ()

    def planned(self, root: pathlib.Path) -> list[dict[str, str]]:
        """Return a row for each run of the study, and whether it is finished; nothing is run.

        Raises:
          UserError: a setting does not fit, or a folder of `root` holds another run.
        """
        runs = plan.plan([one for c in self.cells for one in c.configs], root)
        sweep = Sweep(runs)
        plan.check_methods(sweep.missing())
        return table.dry_rows(runs, sweep.records)

    def run(self, root: pathlib.Path, executor: base.Executor[Any] | None = None) -> None:
        """Run what is missing, and read all records.

        Args:
          root: folder of the runs.
          executor: where they are run; by default as `Sweep` does.

        Raises:
          UserError: a setting does not fit, or the encoder or the data cannot be had; or nothing
            could be run, and the message has the reasons.
        """
        self._runs = plan.plan([one for c in self.cells for one in c.configs], root)
        sweep = Sweep(self._runs, executor)
        plan.check_methods(sweep.missing())
        plan.check(sweep.missing())
        sweep.run()
        self.records, self.failures = dict(sweep.records), dict(sweep.failures)
        folders = [run.folder.path for run in self._runs if run.name in self.records]
        if not folders:
            raise UserError("no run could be finished.\n" + "\n".join(self.told_failures()))
        self.read(folders)

    def run_names(self, cell: Cell) -> list[str]:
        """Return the names of a cell's run folders, one for each seed."""
        return [config.run_name for config in cell.configs]

    def records_of(self, cell: Cell) -> list[ExperimentResult]:
        """Return the records of a cell's finished runs."""
        return [self.records[name] for name in self.run_names(cell) if name in self.records]

    def folder(self, config: ExperimentConfig) -> pathlib.Path:
        """Return the folder of one of its runs."""
        return next(run.folder.path for run in self._runs if run.name == config.run_name)

    # --- words ---

    def told_failures(self) -> list[str]:
        """Return each failed run with its message and the place of its log."""
        return table.told_failures(self._runs, self.failures)

    def reason(self, cell: Cell) -> str:
        """Return the first line of each message of a cell's failed runs; empty for none."""
        found = [
            self.failures[name].splitlines()[0]
            for name in self.run_names(cell)
            if name in self.failures
        ]
        return "; ".join(dict.fromkeys(found))

    def notes(self) -> list[str]:
        """Return the facts that a reader of the tables has to know, a line each."""
        return table.notes(self.records)

    @property
    def sample_mark(self) -> str:
        """A mark, ` (sample)`, where the data is the generated sample; else empty."""
        sources = {record.data["train"]["name"] for record in self.records.values()}
        return f" ({SAMPLE})" if SAMPLE in sources else ""

    def settings_line(
        self, cells: Sequence[Cell] | None = None, unused: Collection[str] = ()
    ) -> str:
        """Return the settings behind the tables, but those that the tables vary.

        Args:
          cells: whose settings they are, of which at least one is finished; by default all.
          unused: names of settings that do not come into it.
        """
        configs = [one for c in (cells or self.cells) for one in c.configs]
        pruned = [one for one in configs if one.pruning_method != NO_PRUNING]
        # Of a study without pruning these settings say nothing.
        left_out = {*_SAID_ELSEWHERE, *unused, *(() if pruned else PRUNING)}
        names = [one.run_name for one in configs]
        record = next(record for name, record in self.records.items() if name in names)
        defaults = ExperimentConfig().to_json()
        everyone: list[dict[str, Any]] = [one.to_json() for one in pruned or configs]
        alike = [
            f"{name} {value}"
            for name, value in everyone[0].items()
            if name not in left_out
            and (value != defaults[name] or name in _ALWAYS_SAID)
            and all(one[name] == value for one in everyone)
        ]
        return (
            f"Ours: encoder `{short(record.encoder['name'])}`, data "
            f"{record.data['train']['name']}, {', '.join(alike)}; "
            f"{words.listed_seeds(sorted({one.seed for one in configs}))}."
        )

    def examples(self, record: ExperimentResult) -> str:
        """Return how many examples a run was trained and scored on, and by which metric."""
        task = tasks.of(record)
        return f"{words.examples(task, record.data)} ({task.primary_metric})"

    def failed_section(self) -> list[str]:
        """Return the runs that failed, as a section of a page."""
        if not self.failures:
            return []
        return ["## Failures", "", "```", *self.told_failures(), "```", ""]
