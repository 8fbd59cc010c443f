"""Curves: loss and the task's own metric over the epochs, a small picture for each model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from bert_glue_tf.reports import formats
from bert_glue_tf.reports.counterparts import Counterparts
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import KERAS
from bert_glue_tf.reports.pictures import axes
from bert_glue_tf.reports.pictures.labels import Box

WIDTH, HEIGHT = 172, 126
AREA = Box(34.0, 22.0, 164.0, 104.0)  # Of the curves in a panel.
_Rows = Sequence[Mapping[str, str]]


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve of a panel.

    Attributes:
      kind: `training`, `validation`, `second` (of two validation splits) or `other`, the
        unpruned model's; the page's style knows them.
      points: (x, y) of the epochs whose value is known.
    """

    kind: str
    points: list[tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Panel:
    """The curves of one quantity.

    Attributes:
      title: the quantity.
      x_ticks: epochs.
      y_ticks: of the quantity.
      lines: those behind come first.
      description: the panel in words.
      width: of the whole picture.
      height: of the whole picture.
      area: where the curves are.
    """

    title: str
    x_ticks: list[axes.Tick]
    y_ticks: list[axes.Tick]
    lines: list[Line]
    description: str
    width: int = WIDTH
    height: int = HEIGHT
    area: Box = AREA


@dataclasses.dataclass(frozen=True)
class Curves:
    """The curves of one model: of its lowest seed.

    Attributes:
      number: of the model in the table of the models.
      name: of the model.
      seed: of the run.
      panels: one for each quantity.
    """

    number: int
    name: str
    seed: int
    panels: list[Panel]


def curves(models: Sequence[tuple[int, Group]]) -> list[Curves]:
    """Return the curves of the trained models of one subject.

    Empty where no history has more than one epoch.

    Args:
      models: with their numbers in the table of the models.
    """
    trained = [(i, g) for i, g in models if g.first.recipe == KERAS and g.first.history]
    if all(len(one.first.history) < 2 for _, one in trained):
        return []
    counterparts = Counterparts(g for _, g in trained)
    metric = trained[0][1].first.task.primary_metric
    # The panels of one quantity have one axis, so that models can be compared by eye.
    shared = {name: _axes([g for _, g in trained], name) for name in (metric, "loss")}
    return [
        Curves(
            number,
            one.name.replace(f", {KERAS}", ""),
            one.first.seed,
            [_panel(one, counterparts.unpruned(one), name, *shared[name]) for name in shared],
        )
        for number, one in trained
    ]


def _columns(one: Group, name: str) -> dict[str, str]:
    """Return column of the history -> kind of its line."""
    suffixes = zip(one.first.task.validation_splits, ("validation", "second"), strict=False)
    return {name: "training"} | {f"val_{name}{suffix}": kind for suffix, kind in suffixes}


def _values(rows: _Rows, column: str) -> list[tuple[int, float]]:
    """Return (epoch, value) of the epochs whose value is a number."""
    found = [(int(row["epoch"]), float(row.get(column) or "nan")) for row in rows]
    return [(epoch, value) for epoch, value in found if math.isfinite(value)]


def _axes(trained: Sequence[Group], name: str) -> tuple[axes.Axis, axes.Axis]:
    epochs = [int(row["epoch"]) for one in trained for row in one.first.history]
    values = [
        value
        for one in trained
        for column in _columns(one, name)
        for _, value in _values(one.first.history, column)
    ]
    first, last = min(epochs), max(epochs)
    x = axes.Axis(first, max(last, first + 1), AREA.left, AREA.right)
    return x, axes.of_scores(values, AREA.bottom, AREA.top)


def _panel(one: Group, other: Group | None, name: str, x: axes.Axis, y: axes.Axis) -> Panel:
    def line(group: Group, column: str, kind: str) -> Line:
        values = _values(group.first.history, column)
        return Line(kind, [(x.place(epoch), y.place(value)) for epoch, value in values])

    columns = _columns(one, name)
    lines = [line(one, column, kind) for column, kind in columns.items()]
    if other is not None:
        first = next(c for c, kind in columns.items() if kind == "validation")
        lines.insert(0, line(other, first, "other"))
    told = [
        f"{kind if kind != 'second' else 'second validation split'} from "
        f"{formats.number(values[0][1], 3)} to {formats.number(values[-1][1], 3)}"
        for column, kind in columns.items()
        if (values := _values(one.first.history, column))
    ]
    epochs = len(one.first.history)
    return Panel(
        name,
        [axes.Tick(x.place(epoch), str(epoch)) for epoch in _whole(x)],
        y.ticks(4),
        [found for found in lines if found.points],
        f"{name} over {epochs} epoch{'s' if epochs > 1 else ''}: {'; '.join(told)}.",
    )


def _whole(x: axes.Axis) -> list[int]:
    """Return about five epochs of the axis."""
    first, last = int(x.low), int(x.high)
    return list(range(first, last + 1, max(1, math.ceil((last - first) / 5))))
