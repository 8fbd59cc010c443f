"""ExperimentResult: the one record that every table, plot and comparison is built from."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from bert_glue_tf.core import records
from bert_glue_tf.core.records import Record, check_types, with_nan

FILE_NAME = "results.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentResult(Record):
    """One measured model.

    Attributes:
      config: the run's `ExperimentConfig` as JSON.
      data: provenance of the examples by split (source, version, checksum, number).
      encoder: provenance of the encoder (name, version, checksum, family).
      pruning: the method's effective schedule; empty without pruning.
      metrics: name -> value on the validation split(s); NaN is stored as null.
      intervals: name -> 95 % bootstrap interval of the metric over the examples.
      sparsity: name of a pruned weight -> fraction of its elements that are zero.
      parameters: number of weights of the model (`total`), of those that are not zero, of those
        that were pruned and among which, and of the model before anything was cut out (`whole`).
      bytes: the saved model's size, plain and gzipped.
      speed: examples a second in training and evaluation, seconds in all, and `positions_used`, the
        share of the training's positions that hold a word piece and no padding.
      peak_memory_bytes: largest resident set of the process.
      environment: device, threads, library versions, commit.
      finished: time in UTC, ISO 8601.
      warnings: a sentence for each validation split on which the model is COLLAPSED (every
        prediction the same, or NaN) or not above chance; empty where there is none.
      collapsed: the reason why the model is COLLAPSED; empty where it is not; None in a record that
        is older than the field.
      at_chance: the reason why it is not above chance; empty where it is, or COLLAPSED; None as
        `collapsed`.
      widths: "before" and "after" the pruning, for each layer the number of its units by their
        name (heads, neurons); empty where the encoder does not show its layers.
      own_task: what describes a task of the user's own (columns, problem with the labels' names,
        how the validation texts came about), or of pictures (classes, shape); empty for others.
      epoch: whose weights the model has, from 1; 0 where nothing was trained; None as `collapsed`.
      thresholds: "recall" and "precision" -> the probability from which an answer is positive,
        chosen on held-out training examples for what --at_recall and --at_precision ask; the
        metrics `precision_at_recall` and so on are measured at it. Empty where neither is given.
      teacher: `run` (its folder's name), `encoder`, `metrics` on its validation split(s), and
        `train_metrics` on the texts that this run has learned from; empty without a teacher.
      size: name of the network, where the run's weights hold several; empty where they hold one.
      sizes: of the largest network of such a run: `names` of all, from the smallest on, and `bytes`
        of what they share; empty for others.
    """

    what_is_foreign: ClassVar[str] = "its settings, metrics and other fields are not those of a run"

    config: Mapping[str, Any]
    data: Mapping[str, Any]
    encoder: Mapping[str, Any]
    pruning: Mapping[str, Any]
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    sparsity: Mapping[str, float]
    parameters: Mapping[str, int]
    bytes: Mapping[str, int]
    speed: Mapping[str, float]
    peak_memory_bytes: int
    environment: Mapping[str, Any]
    finished: str = dataclasses.field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )
    warnings: tuple[str, ...] = ()
    collapsed: str | None = None
    at_chance: str | None = None
    widths: Mapping[str, Sequence[Mapping[str, int]]] = dataclasses.field(default_factory=dict)
    own_task: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    epoch: int | None = None
    thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    teacher: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    size: str = ""
    sizes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Return the record of a line's values; see `Record.of`."""
        check_types(cls, values)
        for group in ("metrics", "sparsity", "thresholds"):
            values[group] = with_nan(values.get(group, {}))
        return cls(**{**values, "warnings": tuple(values.get("warnings", ()))})


def load(path: str | pathlib.Path) -> list[ExperimentResult]:
    """Return all records of a run's file of JSON lines; see `records.load`."""
    return records.load(pathlib.Path(path), ExperimentResult)
