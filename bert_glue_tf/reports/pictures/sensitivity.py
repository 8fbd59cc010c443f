"""Sensitivity: what the loss of a model rises by where a part of it is removed or rounded."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from bert_glue_tf.analysis.record import REMOVED, Sensitivity
from bert_glue_tf.reports import formats
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import KERAS

_LEFT, _TOP, _HIGH, _GAP = 66.0, 30.0, 20.0, 2.0
_WIDE, _NARROW = 56.0, 16.0  # Of a part of a layer, and of a head.
# Kind and change -> head of the column, from left to right; heads stand below.
_COLUMNS = {
    ("layer", REMOVED): "layer",
    ("attention", REMOVED): "attention",
    ("feed_forward", REMOVED): "feed-fwd",
    ("layer", "int8"): "int8",
    ("layer", "int4"): "int4",
}


@dataclasses.dataclass(frozen=True)
class Square:
    """The cost of one part.

    Attributes:
      x: of its left end.
      y: of its upper end.
      width: of it.
      height: of it.
      text: the rise of the loss; empty for a head.
      title: the part and its cost in words.
      share: of the largest cost, from 0 to 1.
    """

    x: float
    y: float
    width: float
    height: float
    text: str
    title: str
    share: float


@dataclasses.dataclass(frozen=True)
class Label:
    """A text beside the squares; `anchor` as SVG has it."""

    x: float
    y: float
    text: str
    anchor: str


@dataclasses.dataclass(frozen=True)
class Map:
    """The parts of one model: of its lowest seed that was measured.

    Attributes:
      number: of the model in the table of the models.
      name: of the model.
      seed: of the run.
      width: of the picture.
      height: of the picture.
      squares: of the parts.
      labels: of rows and columns.
      description: the picture in words.
    """

    number: int
    name: str
    seed: int
    width: float
    height: float
    squares: list[Square]
    labels: list[Label]
    description: str


def maps(models: Sequence[tuple[int, Group]]) -> list[Map]:
    """Return the maps of the trained models whose sensitivity was measured.

    Args:
      models: with their numbers in the table of the models.
    """
    found = []
    for number, one in models:
        measured = [model for model in one.models if model.sensitivity]
        if one.first.recipe == KERAS and measured:
            name = one.name.replace(f", {KERAS}", "")
            found.append(_map(number, name, measured[0].seed, measured[0].sensitivity))
    return found


def _map(number: int, name: str, seed: int, lines: Sequence[Sensitivity]) -> Map:
    layers = sorted({one.layer for one in lines if one.layer}, reverse=True)  # The last on top.
    largest = max((_rise(one) for one in lines if one.layer), default=0.0)
    columns = [key for key in _COLUMNS if any((one.what, one.change) == key for one in lines)]
    heads = max((one.head for one in lines if one.is_measured), default=0)
    # Below the others, so that the picture is no wider than a phone.
    lower = _TOP + len(layers) * (_HIGH + _GAP) + _TOP
    squares, labels = [], []
    for place, layer in enumerate(layers):
        y = place * (_HIGH + _GAP)
        for top in (_TOP, lower) if heads else (_TOP,):
            labels.append(Label(_LEFT - 6, top + y + _HIGH * 0.7, f"layer {layer}", "end"))
        for one in (line for line in lines if line.layer == layer):
            x, wide = _place(one, columns)
            if x is not None:
                share = math.sqrt(_rise(one) / largest) if largest else 0.0
                text = "" if one.head else formats.signed(one.rise)
                told = f"{one.part}, {one.change}: loss {formats.signed(one.rise)}"
                top = lower if one.head else _TOP
                squares.append(Square(x, top + y, wide, _HIGH, text, told, round(share, 3)))
    for place, key in enumerate(columns):
        labels.append(Label(_LEFT + place * (_WIDE + _GAP), _TOP - 8, _COLUMNS[key], "start"))
    if heads:
        labels.append(Label(_LEFT, lower - 8, "heads, removed", "start"))
    height = len(layers) * (_HIGH + _GAP)
    return Map(
        number,
        name,
        seed,
        width=_LEFT + max(len(columns) * (_WIDE + _GAP), heads * (_NARROW + _GAP)),
        height=(lower if heads else _TOP) + height,
        squares=squares,
        labels=labels,
        description=_description(lines),
    )


def _rise(one: Sensitivity) -> float:
    """Return the measured rise of the loss; 0 where it was not measured, or falls."""
    return max(0.0, one.rise) if one.is_measured else 0.0


def _place(one: Sensitivity, columns: Sequence[tuple[str, str]]) -> tuple[float | None, float]:
    """Return left end and width of a part's square; no left end where it has none."""
    if one.head:
        left = _LEFT + (one.head - 1) * (_NARROW + _GAP)
        return (left if one.is_measured else None), _NARROW
    key = one.what, one.change
    return (_LEFT + columns.index(key) * (_WIDE + _GAP) if key in columns else None), _WIDE


def _description(lines: Sequence[Sensitivity]) -> str:
    told = [
        f"{one.part} {one.change}: {formats.signed(one.rise)}"
        for one in lines
        if (one.what, one.change) in _COLUMNS
    ]
    return f"Rise of the loss. {'; '.join(told)}."
