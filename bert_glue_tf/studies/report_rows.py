"""Rows of the report's tables, and the columns that show them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bert_glue_tf.reports import formats
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import Interval
from bert_glue_tf.reports.tables import Column, Tone
from bert_glue_tf.studies import shares

INTERVAL = "val_accuracy: interval"
CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")


@dataclasses.dataclass(frozen=True)
class CurveRow:
    """One epoch.

    Attributes:
      is_pruned: whether it is of the pruned model.
      epoch: from 1.
      theirs: the report's values by name; empty of an epoch that it has not.
      each: ours by name, one for each seed.
      trained_on: number of the training examples.
      examples: number of the validation examples.
      majority: accuracy of the most frequent class of these.
    """

    is_pruned: bool
    epoch: int
    theirs: Mapping[str, float]
    each: Mapping[str, Sequence[float]]
    trained_on: int
    examples: int
    majority: float

    def mean(self, name: str) -> float:
        """Return the mean of our values over the seeds."""
        return sum(self.each[name]) / len(self.each[name])

    def ours(self, name: str) -> tuple[float, float, float]:
        """Return the mean of our values, the smallest and the largest."""
        return self.mean(name), min(self.each[name]), max(self.each[name])

    @property
    def interval(self) -> Interval:
        """95 % interval of the mean validation accuracy over the examples."""
        return shares.interval(self.mean("val_accuracy"), self.examples)


@dataclasses.dataclass(frozen=True)
class DifferenceRow:
    """The differences of one epoch, with pruning minus without.

    Attributes:
      epoch: from 1.
      theirs: the report's, by name; empty of an epoch that it has not.
      each: ours by name, one for each seed that has both trainings.
    """

    epoch: int
    theirs: Mapping[str, float]
    each: Mapping[str, Sequence[float]]

    def ours(self, name: str) -> tuple[float, Interval | None]:
        """Return the mean of our differences and its 95 % interval, Student's, over the seeds.

        Of one seed there is no interval.
        """
        found = self.each[name]
        mean = sum(found) / len(found)
        return mean, shares.over_seeds(found) if len(found) > 1 else None


def differences(
    pruned: Group, without: Group, theirs: Sequence[Mapping[str, float]]
) -> Iterator[DifferenceRow]:
    """Yield the differences of each epoch that both trainings of every seed have.

    Args:
      pruned: models of several seeds, and
      without: those of the same seeds that were not pruned.
      theirs: of the report, by epoch.
    """
    known = {model.seed: model.history for model in without.models}
    pairs = [(m.history, known[m.seed]) for m in pruned.models if m.seed in known]
    for epoch in range(min((len(one) for pair in pairs for one in pair), default=0)):
        yield DifferenceRow(
            epoch + 1,
            theirs[epoch] if epoch < len(theirs) else {},
            {
                name: [float(a[epoch][name]) - float(b[epoch][name]) for a, b in pairs]
                for name in CURVES
            },
        )


@dataclasses.dataclass(frozen=True)
class QuantizationRow:
    """The files of a task, quantized or not.

    Attributes:
      task: its name.
      examples: how many it was trained and scored on, in words.
      is_quantized: which of the two files.
      theirs: the report's values of the task, by name.
      accuracy: ours, mean over the seeds.
      spread: the smallest and the largest of ours; both ends are `accuracy` of one seed.
      interval: 95 % interval over the examples.
      majority: the accuracy of the most frequent class.
      bytes: of our files, mean over the seeds.
      saved: the fraction of the float32 file that quantization saves; None for float32 itself.
      is_collapsed: whether one of our files is worthless.
    """

    task: str
    examples: str
    is_quantized: bool
    theirs: Mapping[str, float]
    accuracy: float
    spread: Interval
    interval: Interval | None
    majority: float
    bytes: float
    saved: float | None
    is_collapsed: bool

    def published(self, name: str) -> float:
        """Return the report's value for this file."""
        return self.theirs[f"quantized_{name}" if self.is_quantized else name]


def _number(digits: int) -> Any:
    return lambda value: "" if value is None else f"{value:.{digits}f}"


def _over_seeds(value: tuple[float, float, float]) -> str:
    """Return `0.812`, or with several seeds `0.812 (0.799 to 0.821)`."""
    mean, low, high = value
    return f"{mean:.3f}" if low == high else f"{mean:.3f} ({low:.3f} to {high:.3f})"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def _heads(*names: str) -> tuple[str, ...]:
    return tuple(column.head for name in names for column in _curve(name))


def _curve(name: str) -> tuple[Column[CurveRow], Column[CurveRow]]:
    return (
        Column(f"{name}: report", lambda row: row.theirs.get(name), _number(3)),
        Column(f"{name}: ours", lambda row: row.ours(name), _over_seeds, may_wrap=True),
    )


CURVE: tuple[Column[CurveRow], ...] = (
    Column("pruning", lambda row: row.is_pruned, lambda value: "with" if value else "without"),
    Column("epoch", lambda row: row.epoch),
    *itertools.chain.from_iterable(map(_curve, CURVES)),
    Column(INTERVAL, lambda row: row.interval, formats.span),
    Column("majority", lambda row: row.majority, _number(3)),
)
# What a terminal and a page show of it side by side.
PARTS: Mapping[str, tuple[str, ...]] = {
    "training": ("pruning", "epoch", *_heads("loss", "accuracy")),
    "validation": ("pruning", "epoch", *_heads("val_loss", "val_accuracy"), INTERVAL, "majority"),
}


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+z.3f}"


def _with_interval(value: tuple[float, Interval | None]) -> str:
    """Return `+0.100`, or with several seeds `+0.100 (-0.050 to +0.250)`."""
    mean, interval = value
    told = _signed(mean)
    return told if interval is None else f"{told} ({interval[0]:+z.3f} to {interval[1]:+z.3f})"


def _difference(name: str) -> tuple[Column[DifferenceRow], Column[DifferenceRow]]:
    return (
        Column(f"{name}: report", lambda row: row.theirs.get(name), _signed),
        Column(f"{name}: ours", lambda row: row.ours(name), _with_interval, may_wrap=True),
    )


DIFFERENCE: tuple[Column[DifferenceRow], ...] = (
    Column("epoch", lambda row: row.epoch),
    *itertools.chain.from_iterable(map(_difference, CURVES)),
)
DIFFERENCE_PARTS: Mapping[str, tuple[str, ...]] = {
    "difference in training": ("epoch", *_heads("loss", "accuracy")),
    "difference in validation": ("epoch", *_heads("val_loss", "val_accuracy")),
}
QUANTIZATION: tuple[Column[QuantizationRow], ...] = (
    Column("task", lambda row: f"{row.task}, {row.examples}", may_wrap=True),
    Column("quantized", lambda row: row.is_quantized, _yes),
    Column("accuracy: report", lambda row: row.published("accuracy"), _number(4)),
    Column("accuracy: ours", lambda row: (row.accuracy, *row.spread), _over_seeds, may_wrap=True),
    Column("accuracy's interval", lambda row: row.interval, formats.span),
    Column("majority", lambda row: row.majority, _number(3)),
    Column("MB: report", lambda row: row.published("mb"), _number(2)),
    Column("MB: ours", lambda row: row.bytes, formats.megabytes(2)),
    Column("smaller by", lambda row: row.saved, _percent),
    Column("report's", lambda row: row.theirs["reduction"] if row.is_quantized else None, _percent),
    Column(
        formats.COLLAPSED,
        lambda row: row.is_collapsed,
        lambda value: "yes" if value else "",
        lambda value: Tone.BAD if value else Tone.PLAIN,
    ),
)
