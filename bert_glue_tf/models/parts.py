"""The parts of an encoder that a caller of `Backbone` is given."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import tensorflow as tf


class Graph(Protocol):
    """A classifier for the converter of an export.

    Attributes:
      lowest: constants below it are raised to it, so that a mask of -1e9 does not take an int8
        scale for itself.
    """

    lowest: float

    def function(self, length: int) -> tf.types.experimental.ConcreteFunction:
        """Return int32 [1, length] features, by name, to {"logits": float32 [1, classes]}."""


class Cut(Protocol):
    """A report of what was cut out of a network."""

    def lines(self) -> list[str]:
        """Return the report as text."""


@dataclasses.dataclass(frozen=True)
class Layers:
    """The layers of an encoder.

    Attributes:
      count: number of layers.
      parameters: number of weights in all of them.
      pattern: regular expression that the names of these weights begin with.
    """

    count: int
    parameters: int
    pattern: str


@dataclasses.dataclass(frozen=True)
class Table:
    """The word embeddings of an encoder.

    Attributes:
      name: of the variable, from `Backbone.name_of`.
      rows: number of word pieces.
      width: of a row.
    """

    name: str
    rows: int
    width: int
