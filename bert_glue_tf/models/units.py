"""The units in which weights are kept or removed, and the weights that they are parts of.

A unit is what is kept or removed as a whole: one weight, a row, a block, an attention head.
A `Group` is a set of units that are ranked together (those of one matrix, the heads of one
layer); its `Member`s are the weights of which the units are parts.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from bert_glue_tf.core import lazy

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy.module("tensorflow")


@dataclasses.dataclass(frozen=True)
class Member:
    """A weight of which each unit of a group is a part.

    Attributes:
      name: of the weight.
      variable: the weight itself.
      view: shape to which the weight is brought, of the same number of elements.
      unit_axes: axes of the view that number the units, in the order of the group's; a unit is
        all elements along the other axes.
    """

    name: str
    variable: tf.Variable
    view: tuple[int, ...]
    unit_axes: tuple[int, ...]

    @property
    def unit_size(self) -> int:
        """Number of weights that a unit has here."""
        return math.prod(self.view) // math.prod(self.view[axis] for axis in self.unit_axes)

    def expand(self, units: tf.Tensor) -> tf.Tensor:
        """Return a value for each weight (the weight's shape) from one for each unit."""
        if len(self.unit_axes) == len(self.view):
            return tf.reshape(units, self.variable.shape)  # A unit is one weight.
        shape = [n if axis in self.unit_axes else 1 for axis, n in enumerate(self.view)]
        spread = tf.broadcast_to(tf.reshape(units, shape), self.view)
        return tf.reshape(spread, self.variable.shape)

    @property
    def others(self) -> tuple[int, ...]:
        """Axes of the view along which a unit extends."""
        return tuple(axis for axis in range(len(self.view)) if axis not in self.unit_axes)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return the sums over each unit (the group's shape) of a value for each weight."""
        return values.reshape(self.view).sum(self.others) if self.others else values


@dataclasses.dataclass(frozen=True)
class Reader:
    """A weight by which another part of the network reads what units give.

    Attributes:
      variable: the weight itself.
      axis: of it, along which what is read is numbered.
      start: number there of the first unit's.
    """

    variable: tf.Variable
    axis: int
    start: int

    def total(self, values: np.ndarray, count: int) -> np.ndarray:
        """Return the sums over what reads each of `count` units of a value for each weight."""
        others = tuple(axis for axis in range(values.ndim) if axis != self.axis)
        return values.sum(others)[self.start : self.start + count]


@dataclasses.dataclass(frozen=True)
class Group:
    """Units that are ranked together.

    Attributes:
      name: of the weight, or of the layer whose units these are.
      units: shape of what numbers the units.
      members: the weights; the last one is where a unit leaves what it has computed.
      what: the unit's name in messages ("weight", "row", ...).
      readers: the weights that read what the units give, where a method may judge by them.
    """

    name: str
    units: tuple[int, ...]
    members: tuple[Member, ...]
    what: str = "weight"
    readers: tuple[Reader, ...] = ()

    @property
    def count(self) -> int:
        """Number of units."""
        return math.prod(self.units)

    @property
    def unit_size(self) -> int:
        """Number of weights of a unit, over all members."""
        return sum(member.unit_size for member in self.members)

    @property
    def is_elementwise(self) -> bool:
        """True where a unit is a single weight, so that a whole matrix of them may go."""
        return self.what == "weight"
