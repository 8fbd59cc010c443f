"""The blocks of an encoder: half layers that are computed, looked into and cut one by one.

A transformer is a row of residual blocks: the attention of a layer, whose units are heads, and its
feed-forward block, whose units are neurons. The last product of a block reads what its units give,
so that a block without some of them is that product without their rows. A family of encoders whose
blocks can be told apart returns its `Blocks` from `Backbone.blocks`.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    import tf_keras

ATTENTION, FEED_FORWARD = KINDS = ("attention", "feed_forward")
# Of a block, float32: the kernel [units * size, hidden] of its last product, and the bias [hidden].
Output = tuple["np.ndarray", "np.ndarray"]


@dataclasses.dataclass(frozen=True)
class LayerSize:
    """The units of a layer.

    Attributes:
      heads: of its attention.
      head_size: numbers that a head gives for each token.
      neurons: of its feed-forward block, each of which gives one number.
    """

    heads: int
    head_size: int
    neurons: int

    def units(self, kind: str) -> int:
        """Return the number of units of a block, one of `KINDS`."""
        return self.heads if kind == ATTENTION else self.neurons

    def unit_size(self, kind: str) -> int:
        """Return how many numbers a unit of a block gives for each token."""
        return self.head_size if kind == ATTENTION else 1


@dataclasses.dataclass(frozen=True)
class EncoderSizes:
    """The sizes of a classifier that the cost of its file depends on.

    Attributes:
      layers: the units of each layer.
      pieces: rows of the word embeddings.
      positions: the longest text, in word pieces.
      same: name -> what stays as it is when units and pieces go, as a token's size. JSON types.
    """

    layers: tuple[LayerSize, ...]
    pieces: int
    positions: int
    same: Mapping[str, Any]

    @property
    def weights(self) -> int:
        """Return the weights of the layers, about: those of their products."""
        of_layers = (4 * one.heads * one.head_size + 2 * one.neurons for one in self.layers)
        return int(self.same["hidden_size"]) * sum(of_layers)


@dataclasses.dataclass(frozen=True)
class BlockCut:
    """A block with some of its units only.

    Attributes:
      units: indices of those that stay, ascending; there may be none.
      output: its last product for them.
    """

    units: tuple[int, ...]
    output: Output


# Layer from 0 and kind of block -> its cut, for each block that is not whole.
Cuts = Mapping[tuple[int, str], BlockCut]


@dataclasses.dataclass(frozen=True)
class Seen:
    """The values of a block in one pass, for the tokens that anybody reads.

    Attributes:
      inputs: float32 [tokens, units * size], of the block's last product.
      skipped: float32 [tokens, hidden], to which the block's output is added.
      total: float32 [tokens, hidden], the sum, before the layer norm.
    """

    inputs: np.ndarray
    skipped: np.ndarray
    total: np.ndarray


@dataclasses.dataclass(frozen=True)
class State:
    """The tokens of a batch between two layers.

    Attributes:
      hidden: float32 [rows, width, hidden]; behind the last layer [texts, 1, hidden].
      mask: what the family computes attention with.
      features: of the batch.
      tokens: bool [rows, width], False for padding.
    """

    hidden: tf.Tensor
    mask: Any
    features: Any
    tokens: np.ndarray


class Blocks(abc.ABC):
    """A saved classifier as a row of blocks, without dropout and without training.

    Attributes:
      sizes: of its encoder.
    """

    sizes: EncoderSizes

    @abc.abstractmethod
    def begin(self, features: Mapping[str, np.ndarray]) -> State:
        """Return the embeddings of packed features (`data.packing.INPUTS`)."""

    @abc.abstractmethod
    def layer(self, index: int, state: State, cuts: Cuts) -> State:
        """Return what a layer makes of the one before."""

    @abc.abstractmethod
    def look(self, index: int, state: State, cuts: Cuts) -> tuple[State, dict[str, Seen]]:
        """Return what `layer` returns, and kind of block -> its values."""

    @abc.abstractmethod
    def gradients(
        self, features: Mapping[str, np.ndarray], direction: Callable[[np.ndarray], np.ndarray]
    ) -> dict[tuple[int, str], tuple[Seen, np.ndarray]]:
        """Return layer and kind of each block -> its values, and how logits depend on its total.

        Args:
          features: packed.
          direction: logits float32 [texts, width] -> that in which they are to move, of their
            shape.

        Returns:
          With the values the gradient of the sum of logits times direction, of the shape of
          `Seen.total`.
        """

    @abc.abstractmethod
    def logits(self, state: State) -> np.ndarray:
        """Return float32 [texts, width] of the last layer's state, in the order of the features."""

    @abc.abstractmethod
    def output(self, index: int, kind: str) -> Output:
        """Return the last product of a whole block."""

    @abc.abstractmethod
    def cut(self, cuts: Cuts, pieces: Sequence[int] | np.ndarray) -> tf_keras.Model:
        """Return the smaller classifier, of plain layers.

        Args:
          cuts: of its blocks.
          pieces: ids of the word pieces that stay, in their new order.
        """
