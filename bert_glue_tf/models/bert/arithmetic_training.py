"""The steps of BERT's computation as Keras computes them, for batches and with dropout.

Every step gives, bit for bit, what tf-models-official's `BertEncoderV2` gives, and its
gradient: the same operations on the same dtypes. With a mixed precision, a product's input and
weights are cast to its compute dtype; layer norms stay in float32, and so does the activation
under bfloat16.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from bert_glue_tf.models.bert.architecture import LAYER_NORM_EPSILON
from bert_glue_tf.models.bert.forward import Inputs

Dropout = Callable[[tf.Tensor], tf.Tensor]


def _forbidden(dtype: tf.DType) -> float:
    """Return what is added to a score that is not to be read, as Keras's `Softmax` has it."""
    return dtype.min / 2 if dtype == tf.float16 else -1e9


@dataclasses.dataclass(frozen=True)
class TrainingArithmetic:
    """The `forward.Arithmetic` of a Keras layer.

    Weights are variables or tensors, features int32 [batch, length].

    Attributes:
      activation: one of `architecture.ACTIVATIONS`.
      dtype: of products and of what is between them.
      dropouts: name of a point -> what drops there; it knows whether it is called in training.
    """

    activation: str
    dtype: tf.DType
    dropouts: Mapping[str, Dropout]

    def scope(self, name: str) -> contextlib.AbstractContextManager[Any]:
        return tf.name_scope(name)

    def embed(self, inputs: Inputs, words: Any, positions: Any, types: Any) -> tf.Tensor:
        with tf.name_scope("word_embeddings"):
            total = self._rows(inputs.word_ids, lambda ids: tf.gather(words, ids))
        # A product, which is faster than to gather rows where there are few to choose from.
        with tf.name_scope("type_embeddings"):
            one_hot = functools.partial(tf.one_hot, depth=types.shape[0], dtype=self.dtype)
            segments = self._rows(
                inputs.type_ids, lambda ids: tf.matmul(one_hot(ids), self._cast(types))
            )
        with tf.name_scope("position_embedding"):
            if inputs.positions is None:
                # A slice, since its gradient is dense: that of rows by number is not.
                shape = tf.shape(total)
                places = self._cast(positions[: shape[1], :])
                places = tf.reshape(places, [1, shape[1], positions.shape[1]])
                places = tf.broadcast_to(places, shape)
            else:
                places = self._rows(inputs.positions, lambda ids: tf.gather(positions, ids))
        return total + places + segments

    def normalize(self, total: tf.Tensor, name: str, gamma: Any, beta: Any) -> tf.Tensor:
        total = tf.cast(total, tf.float32)
        mean, variance = tf.nn.moments(total, [-1], keepdims=True)
        return tf.nn.batch_normalization(
            total, mean, variance, offset=beta, scale=gamma, variance_epsilon=LAYER_NORM_EPSILON
        )

    def change(self, hidden: tf.Tensor, function: Callable[[Any], Any]) -> tf.Tensor:
        return function(hidden)

    def dropout(self, name: str, hidden: tf.Tensor) -> tf.Tensor:
        return self.dropouts[name](hidden)

    def prepare_mask(self, mask: tf.Tensor) -> tf.Tensor:
        bias = (1.0 - self._cast(mask)) * _forbidden(self.dtype)
        # [batch, heads, from, to], with 1 for what all share.
        return bias[:, tf.newaxis, tf.newaxis] if len(mask.shape) == 2 else bias[:, tf.newaxis]

    def enter_layer(self, hidden: tf.Tensor, is_last: bool) -> tuple[tf.Tensor, tf.Tensor]:
        hidden = self._cast(hidden)
        return hidden, hidden

    def dense(self, source: tf.Tensor, name: str, kernel: Any, bias: Any) -> tf.Tensor:
        source, kernel, bias = self._cast(source), self._cast(kernel), self._cast(bias)
        if len(source.shape) == 2:
            return tf.nn.bias_add(tf.matmul(source, kernel), bias)
        equation = "abcd,cde->abe" if len(kernel.shape) == 3 else "abc,cd->abd"
        return tf.einsum(equation, source, kernel) + bias

    def project(self, source: tf.Tensor, name: str, kernel: Any, bias: Any) -> tf.Tensor:
        source, kernel, bias = self._cast(source), self._cast(kernel), self._cast(bias)
        return tf.einsum("abc,cde->abde", source, kernel) + bias

    def project_query(self, source: tf.Tensor, name: str, kernel: Any, bias: Any) -> tf.Tensor:
        return self.project(source, name, kernel, bias)

    def scores(self, query: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        query = tf.multiply(query, 1.0 / math.sqrt(float(query.shape[-1])))
        return tf.einsum("aecd,abcd->acbe", key, query)

    def masked(self, scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        return scores + mask

    def softmax(self, scores: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(scores)

    def context(self, weights: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        return tf.einsum("acbe,aecd->abcd", weights, value)

    def add(self, left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
        return tf.cast(left, right.dtype) + right

    def activate(self, inner: tf.Tensor) -> tf.Tensor:
        # As tf-models-official does, with which BERT converges better.
        inner = tf.cast(inner, tf.float32 if self.dtype == tf.bfloat16 else self.dtype)
        if self.activation == "relu":
            return tf.nn.relu(inner)
        return tf.nn.gelu(inner, approximate=self.activation == "gelu_tanh")

    def firsts(self, hidden: tf.Tensor, inputs: Inputs) -> tf.Tensor:
        if inputs.firsts is None:
            return hidden[:, 0, :]
        return tf.gather_nd(hidden, inputs.firsts)

    def tanh(self, pooled: tf.Tensor) -> tf.Tensor:
        return tf.tanh(pooled)

    def _rows(self, ids: tf.Tensor, look_up: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Return the row of each id: [batch, length, hidden]."""
        rows = self._cast(look_up(tf.reshape(ids, [-1])))
        rows = tf.reshape(rows, tf.concat([tf.shape(ids), [rows.shape[1]]], axis=0))
        rows.set_shape([*ids.shape, rows.shape[2]])
        return rows

    def _cast(self, tensor: Any) -> tf.Tensor:
        return tf.cast(tensor, self.dtype)
