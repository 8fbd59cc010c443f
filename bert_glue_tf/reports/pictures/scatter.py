"""Scatter: score against a cost, a point for each model, with the Pareto front."""

from __future__ import annotations

import dataclasses
import enum
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.reports import formats
from bert_glue_tf.reports.pictures import axes, labels
from bert_glue_tf.reports.pictures.labels import Box, Label
from bert_glue_tf.reports.plots import pareto

RADIUS = 5.0  # Of a point; its label begins 8 from its centre.


class Shown(Protocol):
    """A model over its seeds, or a file: it has a score, and is a point of a scatter.

    Attributes:
      name: which tells it from the others.
      metric: name of its score.
      mean: the score, over its seeds.
      interval: 95 % interval of the score; None where there is none.
      spread: smallest and largest score over the seeds.
      seeds: of its trainings.
      collapsed: 0 where it is not COLLAPSED.
      mark: that it is shown with; None where it needs none.
      session: of its time; None where it has none.
    """

    @property
    def name(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def mean(self) -> float: ...
    @property
    def interval(self) -> tuple[float, float] | None: ...
    @property
    def spread(self) -> tuple[float, float]: ...
    @property
    def seeds(self) -> tuple[int, ...]: ...
    @property
    def collapsed(self) -> int: ...
    @property
    def mark(self) -> Mark | None: ...
    @property
    def session(self) -> str | None: ...


@dataclasses.dataclass(frozen=True)
class Cost:
    """The quantity that stands on the horizontal axis.

    Attributes:
      name: of it, `size`.
      axis: the title of its axis, with the unit.
      of: what is shown -> the number on the axis; None for what lacks it.
      text: number -> text with its unit.
      is_timed: True for times, of which those of two sessions have no common axis.
    """

    name: str
    axis: str
    of: Callable[[Any], float | None]
    text: Callable[[float], str]
    is_timed: bool = False


SIZE = Cost(
    "size",
    "MB on disk",
    lambda g: g.bytes("plain") / 1e6,
    lambda megabytes: formats.size(1e6 * megabytes),
)
TIME = Cost(
    "time",
    "ms an example, in one session",
    lambda g: g.milliseconds,
    lambda milliseconds: f"{formats.milliseconds(milliseconds)} ms an example",
    is_timed=True,
)


class Kind(enum.Enum):
    """The three marks of a point; the values are the names that the page's style knows."""

    FRONT = "front"
    BEATEN = "beaten"
    COLLAPSED = "collapsed"


@dataclasses.dataclass(frozen=True)
class Point:
    """One model in the picture.

    Attributes:
      number: its number in the table of the models.
      x: place of its cost.
      y: place of its score.
      interval: places of the ends of its 95 % interval; None where there is none.
      kind: its mark.
      title: its name with its numbers, which a browser shows when the pointer is on it.
      label: the name, or the number where the name has no room; None where not even that has.
    """

    number: int
    x: float
    y: float
    interval: tuple[float, float] | None
    kind: Kind
    title: str
    label: Label | None


@dataclasses.dataclass(frozen=True)
class Scatter:
    """A picture of scores against a cost, in units of its own `width` and `height`.

    Attributes:
      width: of the whole picture.
      height: of the whole picture.
      area: where the points are.
      x_ticks: of the cost.
      y_ticks: of the score.
      x_title: with the unit.
      y_title: the metric.
      front: (x, y) of the steps of the Pareto front.
      points: one for each model.
      description: the picture in words.
    """

    width: int
    height: int
    area: Box
    x_ticks: list[axes.Tick]
    y_ticks: list[axes.Tick]
    x_title: str
    y_title: str
    front: list[tuple[float, float]]
    points: list[Point]
    description: str

    @property
    def has_line(self) -> bool:
        """True where the front is a line, and no single point."""
        return len(self.front) > 1

    @property
    def has_crosses(self) -> bool:
        """True where a model that is COLLAPSED is among the points."""
        return any(point.kind is Kind.COLLAPSED for point in self.points)


def scatter(
    models: Sequence[tuple[int, Shown]], cost: Cost, width: int, height: int, has_names: bool
) -> Scatter | None:
    """Place the models that have the cost and a score.

    None for fewer than two, and for times of several sessions, which have no common axis.

    Args:
      models: of one subject, with their numbers in the table of the models.
      cost: on the horizontal axis.
      width: of the picture.
      height: of the picture.
      has_names: whether the names stand at the points, or only the numbers.
    """
    known = [
        (number, one, value)
        for number, one in models
        if (value := cost.of(one)) is not None and not math.isnan(one.mean)
    ]
    sessions = {one.session for _, one, _ in known if one.session}
    if len(known) < 2 or (cost.is_timed and len(sessions) > 1):
        return None
    area = Box(48.0, 30.0, width - 14.0, height - 44.0)
    x = axes.of_costs([value for *_, value in known], area.left, area.right)
    ends = [end for _, one, _ in known for end in (one.interval or ())]
    y = axes.of_scores([*(one.mean for _, one, _ in known), *ends], area.bottom, area.top)
    sound = [(value, math.nan if one.collapsed else one.mean) for _, one, value in known]
    front = pareto(sound)
    places = [(x.place(value), y.place(one.mean)) for _, one, value in known]
    steps = _steps([places[i] for i in front])
    bars = [
        (place[0], bar[0], place[0], bar[1])
        for place, (_, one, _) in zip(places, known, strict=True)
        if (bar := _interval(one, y))
    ]
    found = _labels(known, places, front, steps, bars, area, has_names)
    points = [
        Point(
            number=number,
            x=places[i][0],
            y=places[i][1],
            interval=_interval(one, y),
            kind=_kind(one, i in front),
            title=_title(number, one, cost.text(value), i in front),
            label=found[i],
        )
        for i, (number, one, value) in enumerate(known)
    ]
    return Scatter(
        width=width,
        height=height,
        area=area,
        x_ticks=x.ticks(8 if has_names else 4),
        y_ticks=y.ticks(5),
        x_title=cost.axis,
        y_title=known[0][1].metric,
        front=steps,
        points=points,
        description=_description(known, cost, front),
    )


def _labels(
    known: Sequence[tuple[int, Shown, float]],
    places: Sequence[tuple[float, float]],
    front: Sequence[int],
    steps: Sequence[tuple[float, float]],
    bars: Sequence[labels.Line],
    area: Box,
    has_names: bool,
) -> list[Label | None]:
    """Return the labels in the order of the models; those on the front have the first choice."""
    order = sorted(range(len(known)), key=lambda i: (i not in front, i))
    numbers = [(str(known[i][0]),) for i in order]
    names = [labels.lines_of(_name(*known[i][:2])) for i in order]
    around = dataclasses.replace(area, top=area.top - 18, right=area.right + 12)
    lines = [*bars, *((*start, *end) for start, end in itertools.pairwise(steps))]
    place = functools.partial(
        labels.place, [places[i] for i in order], area=around, radius=RADIUS, lines=lines
    )
    texts = names if has_names else numbers
    found = place(texts)
    while None in found:
        shorter = _shortened(texts, numbers, found, [places[i] for i in order])
        if shorter == texts:
            break
        texts, found = shorter, place(shorter)
    by_place = dict(zip(order, found, strict=True))
    return [by_place[i] for i in range(len(known))]


def _shortened(
    texts: Sequence[tuple[str, ...]],
    numbers: Sequence[tuple[str, ...]],
    found: Sequence[Label | None],
    places: Sequence[tuple[float, float]],
) -> list[tuple[str, ...]]:
    """Return the texts with numbers for the names that have no room.

    Where a number has none either, the nearest name makes room for it.
    """
    shorter = list(texts)
    for i, label in enumerate(found):
        if label is not None:
            continue
        named = [k for k, text in enumerate(shorter) if text != numbers[k]]
        if shorter[i] != numbers[i]:
            shorter[i] = numbers[i]
        elif named:
            nearest = min(named, key=lambda k, i=i: math.dist(places[k], places[i]))  # type: ignore[misc]
            shorter[nearest] = numbers[nearest]
    return shorter


def _name(number: int, one: Shown) -> str:
    return formats.with_mark(f"{number} {one.name}", one.mark)


def _interval(one: Shown, y: axes.Axis) -> tuple[float, float] | None:
    return (y.place(one.interval[0]), y.place(one.interval[1])) if one.interval else None


def _kind(one: Shown, is_on_front: bool) -> Kind:
    if one.collapsed:
        return Kind.COLLAPSED
    return Kind.FRONT if is_on_front else Kind.BEATEN


def _title(number: int, one: Shown, cost: str, is_on_front: bool) -> str:
    """Return the numbers of a model, a line each."""
    score = f"{one.metric} {formats.number(one.mean)}"
    if one.interval:
        score += f" (95 % interval {formats.span(one.interval)})"
    if len(one.seeds) > 1:
        score += f", {len(one.seeds)} seeds from {formats.span(one.spread)}"
    marks = [one.mark.value] if one.mark else []
    marks += ["on the Pareto front"] if is_on_front else []
    return "\n".join([f"{number} {one.name}", score, cost, *marks])


def _steps(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the corners of the front: from one point to the right, then up to the next one."""
    corners: list[tuple[float, float]] = []
    for x, y in places:
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return corners


def _description(
    known: Sequence[tuple[int, Shown, float]], cost: Cost, front: Sequence[int]
) -> str:
    metric = known[0][1].metric
    best = "; ".join(
        f"{known[i][1].name}: {cost.text(known[i][2])}, {formats.number(known[i][1].mean)}"
        for i in front
    )
    told = f"{metric} against {cost.name} of {len(known)} models."
    return f"{told} On the Pareto front, from the smallest {cost.name}: {best}." if best else told
