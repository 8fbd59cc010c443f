"""Layers: how many units each layer of a pruned model has left."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import KERAS

_COUNTABLE = 16  # Up to so many units are drawn one by one, more of them as a bar.


@dataclasses.dataclass(frozen=True)
class Part:
    """The units of one kind in one layer.

    Attributes:
      unit: their name, in the plural.
      left: how many there are.
      of: how many there were.
    """

    unit: str
    left: int
    of: int

    @property
    def is_countable(self) -> bool:
        """True where the units can be drawn one by one."""
        return self.of <= _COUNTABLE

    @property
    def share(self) -> float:
        """The share that is left, from 0 to 1."""
        return min(1.0, self.left / self.of) if self.of else 0.0


@dataclasses.dataclass(frozen=True)
class Layers:
    """The layers of one model: of its lowest seed.

    Attributes:
      number: of the model in the table of the models.
      name: of the model.
      before: how many layers the encoder had.
      layers: the parts of those that are left, from the first to the last.
      description: the picture in words.
    """

    number: int
    name: str
    before: int
    layers: list[list[Part]]
    description: str


def layers(models: Sequence[tuple[int, Group]]) -> list[Layers]:
    """Return the layers of the trained models that have lost a unit or a layer.

    Args:
      models: with their numbers in the table of the models.
    """
    found = []
    for number, one in models:
        widths = one.first.widths
        if one.first.recipe != KERAS or not widths or widths["before"] == widths["after"]:
            continue
        before, after = widths["before"], widths["after"]
        # Which of the layers are left no record says; all of an encoder are alike.
        parts = [
            [Part(unit, left, was[unit]) for unit, left in layer.items()]
            for layer, was in zip(after, before, strict=False)
        ]
        name = one.name.replace(f", {KERAS}", "")
        found.append(Layers(number, name, len(before), parts, _description(len(before), parts)))
    return found


def _description(before: int, parts: Sequence[Sequence[Part]]) -> str:
    told = [
        f"layer {i}: " + ", ".join(f"{part.left:,} of {part.of:,} {part.unit}" for part in layer)
        for i, layer in enumerate(parts, start=1)
    ]
    return f"{len(parts)} of {before} layers left. {'; '.join(told)}."
