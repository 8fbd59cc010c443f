"""The capabilities and the parts of an encoder that a caller of `Backbone` is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from bert_glue_tf.core import lazy

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
else:
    np = lazy.module("numpy")  # A wrong flag is answered without it.

# A capability that some families lack -> the reason that it needs, as the beginning of a sentence.
CAPABILITIES: Mapping[str, str] = MappingProxyType(
    {
        "head": "the heads have to be found in its weights",
        "neuron": "the feed-forward layers have to be found in its weights",
        "filter": "the filters of convolutions have to be found in its weights",
        "kernel": "the 3 x 3 kernels of convolutions have to be found in its weights",
        "layer": "layers can only be taken out of a network that can be built anew",
        "vocabulary": "rows can only be cut out of a network that can be built anew",
        "shrink": "only a network that can be built anew can be built smaller",
        "dropout": "its dropout can only be set in a network that can be built anew",
        "packing": "texts of one row can only be kept apart in a network that can be built anew",
        "states": "the outputs of its layers can only be read in a network that can be built anew",
        "quantization": "weights can only be put onto a file's grid in a network that can be built "
        "anew",
        "mixed_precision": "only a network that can be built anew can compute in another precision",
        "products": "only a network that can be built anew can multiply in another precision",
    }
)


# The number that an exported graph adds to the attention scores of padding. float32's exp is 0
# from -104 on, so that padding is left out to the last bit unless scores differ by almost 900;
# those of trained networks differ by some tens. With -1e4 or -1e9 the scale of the mask in int8
# could be more than 256 times as large as that of the sum, which XNNPACK has no kernel for.
MASKED = -1000.0


# The end of a remedy for who wants to prune filters.
GIVE_A_CNN = "give a CNN (docs/cnn.md says how to make one)"
# And for who wants patterns of kernels.
GIVE_A_SMALL_CNN = "give a network with kernels of 3 x 3, as okg_net (docs/small_networks.md)"


class Graph(Protocol):
    """A classifier for the converter of an export."""

    def function(self, length: int, texts: int = 1) -> tf.types.experimental.ConcreteFunction:
        """Return int32 [texts, length] features, by name, to {"logits": [texts, classes]}."""

    def without_table(self) -> WithoutTable | None:
        """Return the graph with a few rows in the place of its word embeddings, if it can."""


@dataclasses.dataclass(frozen=True)
class WithoutTable:
    """A graph for a converter that need not hold the word embeddings: it makes copies of them.

    Attributes:
      graph: its functions hold `stand_in(width)` as the table, and give nothing of use.
      table: reads the table itself, float32 [pieces, width], which belongs there.
    """

    graph: Graph
    table: Callable[[], np.ndarray]


def stand_in(width: int) -> np.ndarray:
    """Return the rows float32 [3, width] that stand for a table; no weights are such numbers."""
    return np.arange(3 * width, dtype=np.float32).reshape(3, width) + np.float32(0.5)


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a network that zeros take out: what is left is what skips it.

    Attributes:
      kind: layer, attention (all heads of a layer), head, feed_forward, or embedding (a table).
      name: of the part, as in "layer 3, head 5".
      layer: its number from 1; 0 for a part of no layer.
      head: its number from 1; 0 for all others.
      zeros: names of the weights that become zero -> which entries of their first axis; None for
        all of them.
      weights: number of weights that need not be kept without the part.
    """

    kind: str
    name: str
    layer: int
    head: int
    zeros: Mapping[str, int | None]
    weights: int


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
class Attention:
    """The attention of a layer.

    Attributes:
      heads: number of them.
      widths: features of the queries, the keys and the values of a token, of all heads together.
    """

    heads: int
    widths: tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class States:
    """The outputs of an encoder's layers, for each token.

    Attributes:
      count: number of layers.
      width: features of each output.
      attention: of each layer.
    """

    count: int
    width: int
    attention: tuple[Attention, ...] = ()


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
