"""What the studies share: their flags, their runs through a sweep, and the rows of their tables."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from absl import flags

from bert_glue_tf.compression.registry import NO_PRUNING
from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.data import tasks
from bert_glue_tf.reports import measured, reading, verdicts
from bert_glue_tf.reports import rows as report_rows
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import Model
from bert_glue_tf.reports.verdicts import Comparison
from bert_glue_tf.runs import command_line
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.sweeps import grid as grids
from bert_glue_tf.sweeps import plan, table
from bert_glue_tf.sweeps.executors.local import LocalExecutor
from bert_glue_tf.sweeps.sweep import Sweep

flags.disclaim_key_flags()  # They are those of the command that asks for them.

ABSENT = "not at hand"
# The settings of a training that every study leaves to its user.
_SETTINGS = (
    "encoder",
    "preprocessing",
    "data",
    "epochs",
    "finetune_epochs",
    "batch_size",
    "learning_rate",
    "warmup_fraction",
    "weight_decay",
    "dropout",
    "encoder_dropout",
    "seq_length",
    "train_examples",
    "group_by_length",
    "strategy",
)

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


# Flags.


def define_flags(name: str, **defaults: Any) -> None:
    """Defines the flags of a study.

    Args:
      name: of its default folder.
      defaults: further settings of `ExperimentConfig`, or other defaults than its own.
    """
    own = ExperimentConfig().to_json()
    command_line.define_settings({key: own[key] for key in _SETTINGS} | defaults)
    flags.DEFINE_list("seeds", ["1"], "Seeds, separated by commas; tables show their mean.")
    flags.DEFINE_string(
        "runs_dir", "runs", "Folder of the runs; what is finished there is not run again."
    )
    flags.DEFINE_string("output", f"studies/{name}", "Folder of the tables and the figures.")
    flags.DEFINE_integer("workers", 1, "Runs at a time on this machine.", lower_bound=1)


def numbers(flag: str, good: str = "1,2,3") -> tuple[int, ...]:
    """The whole numbers of a list flag, each once.

    Raises:
      UserError: it is empty, or holds something else.
    """
    values = flags.FLAGS[flag].value
    if not values or not all(re.fullmatch("[0-9]{1,10}", value) for value in values):
        raise UserError(f"--{flag}={','.join(values)}: give whole numbers, as in {good}.")
    return tuple(dict.fromkeys(map(int, values)))


def settings(*names: str) -> dict[str, str]:
    """The settings that the flags give, and further ones by name, for `configurations`."""
    return {name: str(flags.FLAGS[name].value) for name in (*_SETTINGS, *names)}


def folder(flag: str) -> pathlib.Path:
    """The folder that a flag names."""
    return cli.path(flag, flags.FLAGS[flag].value)


# Runs.


@dataclasses.dataclass(frozen=True)
class Cell:
    """One model of a table, with all its seeds.

    Attributes:
      label: what it is called there.
      configs: its runs' settings, which differ in the seed only.
    """

    label: str
    configs: tuple[ExperimentConfig, ...]

    @property
    def task(self) -> str:
        return self.configs[0].task

    @property
    def starting_point(self) -> Cell | None:
        """The fine-tuned model that its runs start from."""
        found = [start for one in self.configs if (start := one.starting_point) is not None]
        return Cell(f"{self.label}, starting point", tuple(found)) if found else None


def cell(label: str, given: Mapping[str, str], method: str, seeds: Sequence[int]) -> Cell:
    """A model by its settings.

    Raises:
      UserError: they are none of a run.
    """
    grid = {"pruning_method": [method], "seed": [str(seed) for seed in seeds]}
    return Cell(label, tuple(grids.configurations(given, grid)))


class Study:
    """The runs behind some cells, and what came out of them.

    Attributes:
      failures: run -> why it failed.
      records: run -> its record.
    """

    def __init__(self, cells: Sequence[Cell], root: pathlib.Path, workers: int = 1) -> None:
        """Raises UserError if a setting does not fit, or the encoder or the data cannot be had."""
        self._runs = plan.plan([one for c in cells for one in c.configs], root)
        sweep = Sweep(self._runs, LocalExecutor(workers))
        plan.check_methods(sweep.missing())
        plan.check(sweep.missing())
        self._sweep = sweep
        self._models: dict[str, Model] = {}

    def run(self) -> None:
        """Runs what is missing.

        Raises:
          UserError: nothing could be run; the message has the reasons.
        """
        self._sweep.run()
        folders = [run.folder.path for run in self._runs if run.name in self.records]
        if not folders:
            raise UserError("no run could be finished.\n" + "\n".join(self.told_failures()))
        self._models = {
            model.run: model for model in reading.read(folders) if model.recipe == measured.KERAS
        }

    @property
    def records(self) -> dict[str, ExperimentResult]:
        return self._sweep.records

    @property
    def failures(self) -> dict[str, str]:
        return self._sweep.failures

    def told_failures(self) -> list[str]:
        """Each failed run with its message and the place of its log."""
        return table.told_failures(self._runs, self.failures)

    def group(self, cell: Cell) -> Group | None:
        """A cell's finished models, by rising seed; None where there is none."""
        found = [self._models[c.run_name] for c in cell.configs if c.run_name in self._models]
        found.sort(key=lambda model: model.seed)
        return Group(tuple(found), label=cell.label) if found else None

    def record_of(self, cell: Cell) -> list[ExperimentResult]:
        """The records of a cell's finished runs."""
        return [self.records[c.run_name] for c in cell.configs if c.run_name in self.records]

    def folder(self, config: ExperimentConfig) -> pathlib.Path:
        """Where one of its runs lies."""
        return next(run.folder.path for run in self._runs if run.name == config.run_name)

    def reason(self, cell: Cell) -> str:
        """Why runs of a cell failed, the first line of each message; empty where none did."""
        found = [
            self.failures[c.run_name].splitlines()[0]
            for c in cell.configs
            if c.run_name in self.failures
        ]
        return "; ".join(dict.fromkeys(found))

    def compare(self, judged: Cell, base: Cell) -> Comparison | None:
        """A cell against another; None where one is missing."""
        first, second = self.group(base), self.group(judged)
        return verdicts.compare(second, first) if first and second else None

    def notes(self) -> list[str]:
        """What has to be known to read the tables, a line each."""
        return table.notes(self.records)


# Rows and words.


def score(group: Group | None) -> str:
    """Mean of the primary metric over the seeds."""
    if group is None:
        return "failed"
    text = "undefined" if group.mean != group.mean else f"{group.mean:.4f}"
    return text + (" COLLAPSED" if group.collapsed else "")


def spread(group: Group | None) -> str:
    """`0.81 to 0.83` over the seeds; empty for one seed."""
    if group is None or len(group.seeds) < 2:
        return ""
    low, high = group.spread
    return f"{low:.3f} to {high:.3f}"


def difference(found: Comparison | None) -> dict[str, str]:
    """The columns of a difference, empty where there is none."""
    heads = ("difference", "95 % interval", "seeds' range", "McNemar p", "verdict")
    if found is None:
        return dict.fromkeys(heads, "")
    (row,) = report_rows.differences([found]).texts()
    return {head: row[head] for head in heads}


def interval(found: Comparison) -> str:
    """`+0.012 (+0.001 to +0.023)`."""
    if not found.difference.is_defined:
        return "undefined"
    low, high = found.difference.interval
    return f"{found.difference.mean:+.3f} ({low:+.3f} to {high:+.3f})"


def pick(rows: Iterable[dict[str, str]], heads: Sequence[str]) -> list[dict[str, str]]:
    """Some of the columns."""
    return [{head: row[head] for head in heads} for row in rows]


def examples(record: ExperimentResult) -> str:
    """How many examples a run was trained and scored on, in words."""
    task = tasks.get(record.config["task"])
    used, of = record.data["train"]["examples"], record.data["train"]["split_examples"]
    scored = sum(record.data[split]["examples"] for split in task.validation_splits.values())
    limited = f"{used:,} of its {of:,}" if used != of else f"all {of:,}"
    return f"trained on {limited} examples, scored on {scored:,} ({task.primary_metric})"


def sample_mark(study: Study) -> str:
    """` (sample)` where the data is the generated sample."""
    sources = {record.data["train"]["name"] for record in study.records.values()}
    return " (sample)" if "sample" in sources else ""


def settings_line(cells: Sequence[Cell], study: Study) -> str:
    """The settings behind a table, but those that the table varies."""
    configs = [one for c in cells for one in c.configs]
    first = next(one for one in configs if one.pruning_method != NO_PRUNING)
    record = next(iter(study.records.values()))
    seeds = sorted({one.seed for one in configs})
    pruned = [one for one in configs if one.pruning_method != NO_PRUNING]
    defaults = ExperimentConfig().to_json()
    alike = [
        f"{name} {value}"
        for name, value in first.to_json().items()
        if name not in _SAID_ELSEWHERE
        and (value != defaults[name] or name in _ALWAYS_SAID)
        and all(getattr(one, name) == value for one in pruned)
    ]
    return (
        f"Ours: encoder `{record.encoder['name']}`, data "
        f"{record.data['train']['name']}, {', '.join(alike)}; "
        f"mean of seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}."
    )


def reasons(study: Study) -> list[str]:
    """The runs that failed, as a section of a page."""
    if not study.failures:
        return []
    return ["## What failed", "", "```", *study.told_failures(), "```", ""]


# Files.


def write(
    output: pathlib.Path,
    texts: Mapping[str, str],
    figures: Mapping[str, Any] | None = None,
) -> None:
    """Writes a study's files; they are made from the records alone, so nothing is lost by it.

    Args:
      output: the folder.
      texts: file -> content.
      figures: name without ending -> figure; each becomes an SVG and a PNG.

    Raises:
      UserError: the folder cannot be written.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_atomically(output / name, text)
        if figures:
            from bert_glue_tf.reports import plots

            for name, figure in figures.items():
                write_atomically(output / f"{name}.svg", plots.svg(figure) + "\n")
                plots.save_png(figure, output / f"{name}.png")
    except OSError as error:
        raise UserError(
            f"--output={output}: cannot be written ({error.strerror}). "
            "Give a folder that you may write, on a disk with space left."
        ) from error
