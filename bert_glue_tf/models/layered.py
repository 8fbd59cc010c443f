"""The methods of a `Backbone` on its layers: some of them left out, and the first units of each.

A caller asks `why_not("layer")` first.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import tf_keras

    from bert_glue_tf.models.parts import Layers


class Layered(abc.ABC):
    """The layers of an encoder, for whoever leaves some of them out."""

    @abc.abstractmethod
    def why_not(self, capability: str) -> str:
        """Return why the encoder lacks a capability; see `Backbone.why_not`."""

    @property
    def layers(self) -> Layers:
        """The layers that `drop_layers` can take out."""
        raise NotImplementedError(self.why_not("layer"))

    def drop_layers(self, keep: Sequence[int]) -> Self:
        """Return the encoder with some of its layers only.

        Args:
          keep: indices of the layers that stay, ascending; they are numbered anew.
        """
        raise NotImplementedError(self.why_not("layer"))

    def computing(
        self, model: tf_keras.Model, keep: Sequence[int]
    ) -> contextlib.AbstractContextManager[None]:
        """Return a context in which a call of a classifier leaves out all other layers.

        What is traced in it leaves them out for good.

        Args:
          model: built on this encoder.
          keep: indices of the layers that are computed, ascending.
        """
        raise NotImplementedError(self.why_not("layer"))

    def first_units(
        self, model: tf_keras.Model, widths: Sequence[tuple[int, int]], keep: Sequence[int]
    ) -> tf_keras.Model:
        """Return a classifier of some layers, and of the first heads and neurons of each.

        Args:
          model: built on this encoder, with plain layers; unchanged.
          widths: heads and neurons that stay, of each layer that is kept.
          keep: indices of the layers that stay, ascending; they are numbered anew.
        """
        raise NotImplementedError(self.why_not("layer"))

    @classmethod
    def layer_name(cls, index: int) -> str:
        """Return the part of the names of a layer's weights that tells it from the others."""
        raise NotImplementedError(f"{cls.__name__} does not show its layers")
