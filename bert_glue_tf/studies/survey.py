"""Every pruning method at one sparsity, trained alike: what each costs and buys."""

from __future__ import annotations

import dataclasses
import itertools
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.models import families
from bert_glue_tf.reports import formats, plots, reading, tables, times
from bert_glue_tf.reports.formats import Score
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.tables import Column, Table
from bert_glue_tf.reports.verdicts import Comparison
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.studies import columns, survey_measure, words
from bert_glue_tf.studies.cells import Cell, cell
from bert_glue_tf.studies.survey_measure import FLOAT32, INT8, Costs, MeasureSettings
from bert_glue_tf.studies.swept import Section, SweptStudy

# Name of a figure, with the cost on its axis -> its text.
_FIGURES = {
    "survey_latency": "score against latency",
    "survey_size": "score against size",
}


# --- rows ---


@dataclasses.dataclass(frozen=True)
class Row:
    """One method.

    Attributes:
      method: its name, or `unpruned`.
      group: its finished models; None where there is none.
      difference: to the unpruned model.
      costs: of the model of the first seed; None where it was not trained.
      base: those of the unpruned model.
      reason: why it was not trained or exported; empty where it was.
      int8_mark: of its dynamic_int8 file; None where it has none.
    """

    method: str
    group: Group | None
    difference: Comparison | None
    costs: Costs | None
    base: Costs
    reason: str
    int8_mark: Mark | None

    @property
    def int8(self) -> ExportResult | None:
        """The record of its dynamic_int8 file."""
        return self.costs.files[INT8] if self.costs and self.costs.files else None

    @property
    def milliseconds(self) -> float | None:
        """Median time of one example in the dynamic_int8 file, at the longest length."""
        return _longest(self.costs)["p50"] if self.costs and self.costs.files else None


def _longest(costs: Costs) -> Mapping[str, float]:
    return costs.latency[max(costs.latency, key=int)]


def scope(record: ExperimentResult) -> str:
    """Return the part of the model that a method has pruned, by the names in its run's record."""
    if not record.sparsity:
        return ""
    method = registry.of_finished(record.config["pruning_method"])
    family = families.get(record.encoder["family"])
    return method.prunes or family.region_of(record.sparsity)


def robust_score(costs: Costs, kind: str) -> float | None:
    """Return the primary metric's mean over the validation splits; None where it is not known.

    Args:
      costs: of the model.
      kind: of the examples, a key of `Costs.robustness`.
    """
    name = tasks.of(costs.record).primary_metric
    found = [split[kind] for split in costs.robustness.values()]
    if not found or any(values is None for values in found):
        return None
    values = [math.nan if split[name] is None else split[name] for split in found]
    return float(np.mean(values))


def _sparsity(costs: Costs) -> float | None:
    prunable = costs.record.parameters.get("prunable", 0)
    return costs.record.parameters["pruned"] / prunable if prunable else None


def _share(row: Row) -> float | None:
    """Return the share of the unpruned model's weights among which was pruned."""
    prunable = row.costs.record.parameters.get("prunable", 0) if row.costs else 0
    return prunable / row.base.record.parameters["total"] if prunable else None


def _of_costs(head: str, value: Callable[[Costs], Any], text: Callable[[Any], str]) -> Column[Row]:
    return Column(head, lambda row: None if row.costs is None else value(row.costs), text)


def _robust(head: str, kind: str) -> Column[Row]:
    return _of_costs(head, lambda costs: robust_score(costs, kind), formats.number)


def _size(head: str, recipe: str, kind: str) -> Column[Row]:
    def value(costs: Costs) -> int | None:
        return costs.files[recipe].bytes[kind] if costs.files else None

    return _of_costs(head, value, formats.megabytes(2))


def _smaller(row: Row) -> float | None:
    """Return the weights of the unpruned model over those that are not zero."""
    if row.costs is None:
        return None
    return row.base.record.parameters["total"] / row.costs.record.parameters["nonzero"]


def _gzip_ratio(row: Row) -> float | None:
    if row.int8 is None:
        return None
    return row.base.files[INT8].bytes["gzip"] / row.int8.bytes["gzip"]


def _int8_score(row: Row) -> Score | None:
    if row.costs is None or row.int8 is None:
        return None
    task = tasks.of(row.costs.record)
    names = [f"{task.primary_metric}{suffix}" for suffix in task.validation_splits]
    mean = float(np.mean([row.int8.metrics[name] for name in names]))
    return Score(mean, row.int8_mark)


def _speed(row: Row) -> float | None:
    if row.milliseconds is None:
        return None
    return _longest(row.base)["float32_p50"] / row.milliseconds


def _two_digits(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


_COLUMNS: tuple[Column[Row], ...] = (
    Column("method", lambda row: row.method),
    _of_costs("scope", lambda costs: scope(costs.record), formats.plain),
    _of_costs("sparsity", _sparsity, formats.percent),
    Column("of all weights", _share, _two_digits),
    columns.score("score", lambda row: row.group),
    columns.spread("range", lambda row: row.group),
    *columns.difference(lambda row: row.difference),
    _robust("typos", "typos"),
    _robust("in domain", "in_domain"),
    _robust("out of domain", "out_of_domain"),
    _of_costs("parameters", lambda costs: costs.record.parameters["total"], formats.count),
    _of_costs("non-zero", lambda costs: costs.record.parameters["nonzero"], formats.count),
    Column("ratio", _smaller, formats.ratio),
    _size("float32 MB", FLOAT32, "plain"),
    _size("float32 gzip", FLOAT32, "gzip"),
    _size("int8 MB", INT8, "plain"),
    _size("int8 gzip", INT8, "gzip"),
    Column("gzip ratio", _gzip_ratio, formats.ratio),
    Column("int8 score", _int8_score, lambda score: formats.score(score) if score else ""),
    Column("ms", lambda row: row.milliseconds, lambda value: formats.number(value, 2)),
    Column("speed", _speed, formats.ratio),
    Column(
        "peak MB",
        lambda row: row.int8.peak_memory_bytes["total"] if row.int8 else None,
        formats.megabytes(0),
    ),
    Column("why not", lambda row: row.reason),
)


# --- the study ---


class Survey(SweptStudy):
    """The unpruned model, and a model for each method.

    Args:
      methods: names; none means all.
      given: settings of the trainings.
      options: settings of the methods' own, as `method.name=value` with spaces between them.
      seeds: of each.
      settings: of the measurements.

    Raises:
      UserError: an unknown method or option, or a setting is none of a run.

    Attributes:
      costs: label of a cell -> what `measure` has found; cells without a finished run have none.
    """

    name = "survey"

    def __init__(
        self,
        methods: Sequence[str],
        given: Mapping[str, str],
        options: str,
        seeds: Sequence[int],
        settings: MeasureSettings | None = None,
    ) -> None:
        super().__init__(_cells(methods, given, options, seeds))
        self.settings = settings or MeasureSettings()
        self.costs: dict[str, Costs] = {}

    def measure(self, output: pathlib.Path) -> None:
        """Export and measure the first finished run of each cell; what is measured is kept.

        Args:
          output: the folder that keeps it.

        Raises:
          UserError: the unpruned model was not trained or cannot be exported, since everything is
            compared with it; or the folder cannot be written.
        """
        first = {
            one.label: next(c for c in one.configs if c.run_name in self.records)
            for one in self.cells
            if self.records_of(one)
        }
        unpruned = self.cells[0].label
        if unpruned not in first:
            raise UserError(
                "the unpruned model was not trained, and everything is compared with it: "
                f"{self.reason(self.cells[0])}"
            )
        folders = {label: self.folder(config) for label, config in first.items()}
        self.costs = survey_measure.measure(folders, first, unpruned, self.settings, output)

    @property
    def base(self) -> Costs:
        """The costs of the unpruned model."""
        return self.costs[self.cells[0].label]

    @property
    def table(self) -> Table[Row]:
        """A row for each method, the unpruned model first."""
        base, *pruned = self.cells
        found = self.compare_together([(one, base) for one in pruned])
        rows = zip(self.cells, (None, *found), strict=True)
        return Table(_COLUMNS, tuple(self._row(one, difference) for one, difference in rows))

    def _row(self, one: Cell, difference: Comparison | None) -> Row:
        own = self.costs.get(one.label)
        reasons = [self.reason(one), own.reason if own else ""]
        return Row(
            method=one.label,
            group=self.group(one),
            difference=difference,
            costs=own,
            base=self.base,
            reason="; ".join(filter(None, reasons)),
            int8_mark=self._int8_mark(own) if own and own.files else None,
        )

    def _int8_mark(self, own: Costs) -> Mark | None:
        export = ExportFolder(self.folder(own.config) / FOLDER)
        return reading.marked_file(own.files[INT8], export).mark

    def tables(self) -> dict[str, Table[Row]]:
        """Return one table: a row for each method, the unpruned model first."""
        return {self.name: self.table}

    def sections(self) -> Iterator[Section]:
        """Yield the table in two parts, and the notes on it."""
        title = f"{self.cells[0].task}{self.sample_mark}"
        bought = ("score", "difference", "95 % interval", "verdict", "typos", "out of domain")
        cost = ("scope", "sparsity", "ratio", "int8 MB", "int8 gzip", "gzip ratio", "ms", "peak MB")
        yield Section(f"{title}: Scores", self.table.pick("method", *bought))
        costs = self.table.pick("method", *cost)
        yield Section(f"{title}: Costs (files: {INT8})", costs)
        yield Section(lines=(*self.findings(), *self.explanations(), *self.notes()))

    def findings(self) -> list[str]:
        """Return each method that was not measured, with its reason."""
        return [
            f"Not measured: {row.method}: {row.reason}" for row in self.table.rows if row.reason
        ]

    def file_groups(self) -> list[Group]:
        """Return the dynamic_int8 files with their times in the survey's session, for a plot."""
        labels = {
            self.folder(own.config).resolve(): one.label
            for one in self.cells
            if (own := self.costs.get(one.label)) and own.files
        }
        models = times.share(reading.every(labels), self.base.session)
        by_label = {labels[model.folder]: model for model in models if model.recipe == INT8}
        return [Group((by_label[label],), name=label) for label in labels.values()]

    def figures(self) -> dict[str, Any]:
        """Return score against latency and against size."""
        groups = self.file_groups()
        return {
            name: figure
            for name in _FIGURES
            if (figure := plots.score_against(groups, name.removeprefix("survey_"))) is not None
        }

    def explanations(self) -> list[str]:
        """Return the meaning of the columns, a line each."""
        length = max(self.base.latency, key=int)
        lines = [
            "Score and difference: of the trained model, means over the seeds; the other columns: "
            "the model of the first seed. of all weights: the share of the unpruned model's "
            "weights among which was pruned, and sparsity, how much of that is gone. ratio: "
            "weights of the unpruned model over those that are left and not zero.",
            f"ms: median of one example of {length} word pieces in the {INT8} file, "
            f"{self.settings.threads} threads, {self.settings.repetitions} runs, all files in "
            f"turns (the unpruned float32 file: {self.base.latency[length]['float32_p50']:.2f} ms)"
            f"; speed: times as fast as that one. peak MB: of a fresh process that loads the "
            f"{INT8} file and predicts once. gzip ratio: the unpruned {INT8} file, gzipped, over "
            "this one's.",
            f"typos: score with spelling mistakes in {self.settings.rate:.0%} of the words that "
            "can have one; in and out of domain: on sources that the training split has, and that "
            "it has not.",
        ]
        told = {one.label: registry.of_finished(one.label).sparsity_note for one in self.cells[1:]}
        return [*lines, *(f"{label}: {note}." for label, note in told.items() if note)]

    def text(self) -> str:
        """Return the whole survey in Markdown."""
        task, figures = self.cells[0].task, self.figures()
        return "\n".join(
            [
                f"# Pruning methods on {task}{self.sample_mark}",
                "",
                self.settings_line(),
                "",
                f"{task}: {self.examples(self.base.record)}. Differences: to the unpruned model. "
                f"{words.tests('all methods')}",
                "",
                tables.markdown(self.table.filled()),
                *(f"- {line}" for line in self.findings()),
                *(f"- {line}" for line in self.explanations()),
                *(f"- {line}" for line in self.notes()),
                "",
                *itertools.chain.from_iterable(
                    (f"![{title}]({name}.png)", "")
                    for name, title in _FIGURES.items()
                    if name in figures
                ),
                *self.failed_section(),
            ]
        )


def _cells(
    methods: Sequence[str], given: Mapping[str, str], options: str, seeds: Sequence[int]
) -> list[Cell]:
    asked = map(registry.canonical, methods or registry.names())
    chosen = [name for name in asked if name != NO_PRUNING]
    if not chosen:
        raise UserError(f"--methods={','.join(methods)}: give methods to compare with no pruning.")
    own: dict[str, list[str]] = {name: [] for name in chosen}
    for name, value in registry.parse_options(registry.canonical_options(options)).items():
        method = name.partition(".")[0]
        if method not in own or "." not in name:
            raise UserError(
                f"--pruning_options={options}: {name} is not METHOD.OPTION of a method that is "
                "run. Good: --pruning_options='block.block=8x8 lottery_ticket.rounds=2'."
            )
        own[method].append(f"{name}={value}")
    pruned = [
        cell(name, {**given, "pruning_options": " ".join(found)} if found else given, name, seeds)
        for name, found in own.items()
    ]
    return [cell("unpruned", given, NO_PRUNING, seeds), *pruned]
