"""Lays the tokens of each text into a row of their own, for the heads that tag words.

A head sees one text a row, whether texts were padded or packed, so that it need not know of
packing: a recurrent layer, or a chain of tags, must not go on from one text to the next.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import tensorflow as tf
import tf_keras

from bert_glue_tf.data import packing
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.models.word_heads.names import WORD_HEAD

_MASK = INPUTS[1]


class Sequences(tf_keras.layers.Layer):
    """Lays the outputs of an encoder into one row for each text."""

    def call(
        self, hidden: tf.Tensor, features: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the outputs of each text's tokens, and which of them are tokens.

        Args:
          hidden: float [rows, width, size], the output of the encoder's last layer.
          features: padded or packed, that it is of.

        Returns:
          float [texts, positions, size], zero where there is no token, and bool
          [texts, positions].
        """
        if packing.FIRSTS not in features:
            is_token = tf.cast(features[_MASK], tf.bool)
            return _only(hidden, is_token), is_token
        firsts, texts = features[packing.FIRSTS], features[packing.TEXTS]
        width = tf.shape(texts)[1]
        columns = firsts[:, 1:] + tf.range(width)
        rows = tf.broadcast_to(firsts[:, :1], tf.shape(columns))
        places = tf.stack([rows, tf.minimum(columns, width - 1)], axis=-1)
        number = tf.gather_nd(texts, firsts)
        is_token = (tf.gather_nd(texts, places) == number[:, None]) & (columns < width)
        return _only(tf.gather_nd(hidden, places), is_token), is_token


def _only(hidden: tf.Tensor, is_token: tf.Tensor) -> tf.Tensor:
    return hidden * tf.cast(is_token, hidden.dtype)[..., None]


@runtime_checkable
class TagsWords(Protocol):
    """An encoder that is told where its pooled output is not used."""

    def answer_every_token(self) -> None:
        """Leave the pooler untrained, since the answers are those of the last layer's tokens."""


class WordHead(tf_keras.layers.Layer, abc.ABC):
    """A head below the dense layer that gives each token its tags.

    Args:
      width: number of the tags.
      seed: of its first weights and its dropout.
      dropout: rate, where it has some.
      arguments: of Keras's layer.
    """

    def __init__(self, width: int, seed: int = 0, dropout: float = 0.0, **arguments: Any) -> None:
        super().__init__(**{"name": WORD_HEAD, **arguments})
        self.width = width
        self.seed = seed
        self.dropout_rate = dropout

    @abc.abstractmethod
    def call(
        self, hidden: tf.Tensor, is_token: tf.Tensor, training: bool | None = None
    ) -> tf.Tensor:
        """Return what the dense layer behind the head takes.

        Args:
          hidden: float [texts, positions, size], of `Sequences`.
          is_token: bool [texts, positions].
          training: whether dropout applies.

        Returns:
          float [texts, positions, any].
        """

    def dropouts(self, count: int) -> list[tf_keras.layers.Layer]:
        """Return so many layers of dropout; kept as an attribute, checkpoints hold their state."""
        seeds = range(self.seed + 1, self.seed + 1 + count)
        return [tf_keras.layers.Dropout(self.dropout_rate, seed=seed) for seed in seeds]

    def losses(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor | None:
        """Return the loss of each text where the head has one of its own, float32 [texts].

        Args:
          labels: int [texts, some], ids of the tags of tokens; -1 where none is learned.
          logits: float32 [texts, positions, tags].
        """
        del labels, logits
        return None

    def learned(self) -> dict[str, Any]:
        """Return what decoding needs of the head: fields of the problem, in JSON types."""
        return {}

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` makes the layer from, with first weights of its own."""
        own = {"width": self.width, "seed": self.seed, "dropout": self.dropout_rate}
        return {**super().get_config(), **own}
