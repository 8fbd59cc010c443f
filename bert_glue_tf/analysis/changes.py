"""The changes of a classifier whose cost is measured: parts removed, and parts rounded."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bert_glue_tf.analysis.record import REMOVED

if TYPE_CHECKING:
    import numpy as np

    from bert_glue_tf.models.parts import Part

Arrays = Mapping[str, "np.ndarray"]  # Name of a weight -> float32 of its shape.


@dataclasses.dataclass(frozen=True)
class Change(abc.ABC):
    """Other values for the weights of a part.

    Attributes:
      part: which is changed.
    """

    part: Part

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Return what a record calls the change."""

    @property
    @abc.abstractmethod
    def names(self) -> list[str]:
        """Return the names of the weights that change."""

    @abc.abstractmethod
    def values(self, now: Arrays) -> dict[str, np.ndarray]:
        """Return the new values of the weights that change; `now` has those of all weights."""

    @abc.abstractmethod
    def estimate(self, now: Arrays, gradients: Arrays) -> float:
        """Return the sum of change * gradient over all weights: the first-order rise of a loss."""


@dataclasses.dataclass(frozen=True)
class Removal(Change):
    """Zeros for the weights of a part; see `models.parts.Part`."""

    @property
    def name(self) -> str:
        return REMOVED

    @property
    def names(self) -> list[str]:
        return list(self.part.zeros)

    def values(self, now: Arrays) -> dict[str, np.ndarray]:
        changed = {}
        for name, place in self.part.zeros.items():
            changed[name] = now[name].copy()
            changed[name][slice(None) if place is None else place] = 0.0
        return changed

    def estimate(self, now: Arrays, gradients: Arrays) -> float:
        total = 0.0
        for name, place in self.part.zeros.items():
            some = slice(None) if place is None else place
            total -= float((now[name][some] * gradients[name][some]).sum(dtype="float64"))
        return total


@dataclasses.dataclass(frozen=True)
class Rounding(Change):
    """The weights of a part on the grid of integers that a recipe's file holds.

    Attributes:
      recipe: its name.
      rounded: weights of the part -> their values on the grid.
    """

    recipe: str
    rounded: Arrays

    @property
    def name(self) -> str:
        return self.recipe

    @property
    def names(self) -> list[str]:
        return list(self.rounded)

    def values(self, now: Arrays) -> dict[str, np.ndarray]:
        del now
        return dict(self.rounded)

    def estimate(self, now: Arrays, gradients: Arrays) -> float:
        return sum(
            float(((value - now[name]) * gradients[name]).sum(dtype="float64"))
            for name, value in self.rounded.items()
        )
