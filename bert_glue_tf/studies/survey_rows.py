"""A row of the survey, one method, and the columns of its table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bert_glue_tf.compression import registry
from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.models import families
from bert_glue_tf.reports import formats
from bert_glue_tf.reports.formats import Score
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.tables import Column
from bert_glue_tf.reports.verdicts import Comparison
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.studies import columns, printed
from bert_glue_tf.studies.survey_measure import FLOAT32, INT8, Costs

PRINTED = "the survey prints"
OWN = "own file"  # The recipe of the file that a row is about.


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
      marks: recipe -> mark of its file; None where it has none.
      majority: score of the best answer that is always the same; None where that is not known.
    """

    method: str
    group: Group | None
    difference: Comparison | None
    costs: Costs | None
    base: Costs
    reason: str
    marks: Mapping[str, Mark | None]
    majority: float | None = None

    @property
    def int8(self) -> ExportResult | None:
        """The record of its dynamic_int8 file."""
        return self.costs.files[INT8] if self.costs and self.costs.files else None

    @property
    def milliseconds(self) -> float | None:
        """Median time of one example in the dynamic_int8 file, at the longest length."""
        return _longest(self.costs)["p50"] if self.costs and self.costs.files else None

    @property
    def own(self) -> ExportResult | None:
        """The record of the file that the row is about, as the one it was trained for."""
        return self.costs.own if self.costs else None


def _longest(costs: Costs) -> Mapping[str, float]:
    return _at_longest(costs.latency)


def _at_longest(latency: Mapping[str, Mapping[str, float]]) -> Mapping[str, float]:
    return latency[max(latency, key=int)]


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


def _file_score(row: Row, file: ExportResult | None) -> Score | None:
    """Return the primary metric's mean over the validation splits of a file of the row."""
    if row.costs is None or file is None:
        return None
    task = tasks.of(row.costs.record)
    names = [f"{task.primary_metric}{suffix}" for suffix in task.validation_splits]
    mean = float(np.mean([file.metrics[name] for name in names]))
    return Score(mean, row.marks.get(file.recipe))


def _own_milliseconds(row: Row) -> float | None:
    if row.costs is None or row.own is None:
        return None
    return _at_longest(row.costs.own_latency)["p50"]


def _score_text(score: Score | None) -> str:
    return formats.score(score) if score else ""


def _speed(row: Row) -> float | None:
    if row.milliseconds is None:
        return None
    return _longest(row.base)["float32_p50"] / row.milliseconds


def printed_text(method: str) -> str:
    """Return what the survey's Table 1 prints of a method; empty where it prints nothing."""
    return printed.survey_values().get(method, "")


def _seeds(seeds: tuple[int, ...] | None) -> str:
    return formats.listed(seeds) if seeds else ""


def _two_digits(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


COLUMNS: tuple[Column[Row], ...] = (
    Column("method", lambda row: row.method),
    _of_costs("scope", lambda costs: scope(costs.record), formats.plain),
    _of_costs("sparsity", _sparsity, formats.percent),
    Column("of all weights", _share, _two_digits),
    columns.score("score", lambda row: row.group),
    columns.spread("range", lambda row: row.group),
    Column("score's interval", lambda row: row.group and row.group.interval, formats.span),
    Column("majority", lambda row: row.majority, formats.number),
    Column("seeds", lambda row: row.group and row.group.seeds, _seeds),
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
    Column("int8 score", lambda row: _file_score(row, row.int8), _score_text),
    Column("ms", lambda row: row.milliseconds, formats.milliseconds),
    Column("speed", _speed, formats.ratio),
    Column(
        "peak MB",
        lambda row: row.int8.peak_memory_bytes["total"] if row.int8 else None,
        formats.megabytes(0),
    ),
    Column(OWN, lambda row: row.own and row.own.recipe, formats.plain),
    Column("own MB", lambda row: row.own and row.own.bytes["plain"], formats.megabytes(2)),
    Column("own ms", _own_milliseconds, formats.milliseconds),
    Column("own score", lambda row: _file_score(row, row.own), _score_text),
    Column(PRINTED, lambda row: row.method, printed_text, may_wrap=True),
    Column("why not", lambda row: row.reason),
)
