"""The places of the tokens of a batch, whose texts are padded or packed into rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Self

import tensorflow as tf

from bert_glue_tf.data import packing


@dataclasses.dataclass(frozen=True)
class Tokens:
    """The tokens of b texts, one text after the other: m in all.

    Attributes:
      places: int32 [m, 2], the row and the column of each token.
      texts: int32 [m], the text of each token.
      firsts: int32 [b], which of the m is the first token of each text.
      lengths: int32 [b], the tokens of each text.
      is_there: bool [m], false for what fills the arrays up behind the last text.
    """

    places: tf.Tensor
    texts: tf.Tensor
    firsts: tf.Tensor
    lengths: tf.Tensor
    is_there: tf.Tensor

    @classmethod
    def of(cls, features: Mapping[str, tf.Tensor], lengths: tf.Tensor, count: tf.Tensor) -> Self:
        """Return the first tokens of each text of a batch.

        Args:
          features: of the batch, padded or packed.
          lengths: int32 [b], how many of each text, at least one.
          count: int32, m: the sum of the lengths, or more.
        """
        ends = tf.cumsum(lengths)
        firsts = ends - lengths
        numbers = tf.range(count)
        is_there = numbers < ends[-1]
        # Sums and comparisons alone, whose shapes a TPU knows.
        texts = tf.searchsorted(ends, numbers, side="right")
        texts = tf.minimum(texts, tf.shape(lengths)[0] - 1)
        columns = numbers - tf.gather(firsts, texts)
        if packing.FIRSTS in features:
            begins = tf.gather(features[packing.FIRSTS], texts)
        else:  # One text a row.
            begins = tf.stack([texts, tf.zeros_like(texts)], axis=1)
        places = begins + tf.stack([tf.zeros_like(columns), columns], axis=1)
        places = tf.where(is_there[:, None], places, 0)
        return cls(places, texts, firsts, lengths, is_there)

    def of_rows(self, hidden: tf.Tensor) -> tf.Tensor:
        """Return what each token has in rows [rows, width, ...]: float32 [m, ...]."""
        return tf.cast(tf.gather_nd(hidden, self.places), tf.float32)

    def in_rows(self, values: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
        """Return the values [m, ...] of the tokens in rows, [rows, width, ...]; zeros elsewhere.

        Args:
          values: of a number type; those of what fills the arrays up are not used.
          shape: int32 [2], rows and width.
        """
        there = tf.reshape(self.is_there, [-1] + [1] * (len(values.shape) - 1))
        values = tf.where(there, values, tf.zeros([], values.dtype))
        rows = tf.scatter_nd(self.places, values, tf.concat([shape, tf.shape(values)[1:]], axis=0))
        rows.set_shape([None, None, *values.shape[1:]])
        return rows

    def means(self, values: tf.Tensor) -> tf.Tensor:
        """Return the mean over the tokens of each text, float32 [b], of values float32 [m]."""
        values = tf.where(self.is_there, values, 0.0)
        sums = tf.math.unsorted_segment_sum(values, self.texts, tf.shape(self.lengths)[0])
        return sums / tf.cast(self.lengths, tf.float32)
