"""The steps of BERT's computation as Keras computes them, for batches and with dropout.

The graph is that of tf-models-official's `BertEncoderV2`, node for node and with the names of its
nodes, so that a training gives the same bits. The names count: in a graph, TensorFlow adds three
tensors and more in an order that depends on them (measured on TensorFlow 2.20).

With a mixed precision, a product's input and weights are cast to the layer's compute dtype, and
layer norms stay in float32. Under `precision.ProductsPolicy` all is float32 but the products of the
layers, attention's own included. The pooler's, and those with the tables of types and positions,
stay float32, since they are too small to gain.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from bert_glue_tf.models.bert.forward import Inputs

_POOLER = "pooler_transform"


@dataclasses.dataclass(frozen=True)
class TrainingArithmetic:
    """The `forward.Arithmetic` of a Keras layer, called from within the layer's own call.

    Weights are variables or tensors, features int32 [batch, length].

    Attributes:
      dtype: of what is between products.
      products: dtype in which the layers multiply, attention's scores and values included; each
        result is cast to `dtype`.
      mask: makes [batch, from, to] of embeddings and a mask [batch, to].
      dropouts: name of a point -> Keras's layer of the dropout there.
      softmaxes: name of a point -> Keras's layer, of scores and a mask.
      activations: name of a point -> Keras's layer.
      pooler_activation: a function of tensors.
      epsilon: of the layer norms.
    """

    dtype: tf.DType
    products: tf.DType
    mask: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    dropouts: Mapping[str, Callable[[tf.Tensor], tf.Tensor]]
    softmaxes: Mapping[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]
    activations: Mapping[str, Callable[[tf.Tensor], tf.Tensor]]
    pooler_activation: Callable[[tf.Tensor], tf.Tensor]
    epsilon: float

    def scope(self, name: str) -> contextlib.AbstractContextManager[Any]:
        if name == "self_attention":
            return tf.name_scope(name)
        if name.startswith("layer_"):
            return tf.name_scope(f"transformer/{name}")
        return contextlib.nullcontext()  # The single steps have names of their own.

    def embed(self, inputs: Inputs, words: Any, positions: Any, types: Any) -> tf.Tensor:
        with tf.name_scope("word_embeddings"):
            total = self._rows(inputs.word_ids, lambda ids: self.row(tf.gather(words, ids)))
        # A product, which is faster than to gather rows where there are few to choose from.
        segments = None
        if types is not None:
            with tf.name_scope("type_embeddings"):
                one_hot = functools.partial(tf.one_hot, depth=types.shape[0], dtype=self.dtype)
                segments = self._rows(
                    inputs.type_ids,
                    lambda ids: tf.matmul(one_hot(ids), self._weight(self.row(types))),
                )
        with tf.name_scope("position_embedding"):
            if inputs.positions is None:
                # A slice, since its gradient is dense: that of rows by number is not.
                shape = tf.shape(total)
                length = shape[1]
                places = self._cast(positions[:length, :])
                places = tf.reshape(places, [1, length, positions.shape[1]])
                places = tf.broadcast_to(places, shape)
            else:
                # A product as well: a position is one of the few within a row, and the gradient
                # is dense.
                width = tf.minimum(tf.shape(total)[1], positions.shape[0])
                some = tf.cast(positions[:width, :], self.dtype)
                places = self._rows(
                    inputs.positions,
                    lambda ids: tf.matmul(tf.one_hot(ids, width, dtype=self.dtype), some),
                )
        total = total + places
        return total if segments is None else total + segments

    def row(self, rows: Any) -> Any:
        """Return what stands for rows of a table of words or types, or for all of them."""
        return rows

    def normalize(self, total: tf.Tensor, name: str, gamma: Any, beta: Any) -> tf.Tensor:
        with tf.name_scope(_layer_name(name)):
            total = tf.cast(total, tf.float32)
            mean, variance = tf.nn.moments(total, [len(total.shape) - 1], keepdims=True)
            return tf.nn.batch_normalization(
                total,
                mean,
                variance,
                offset=beta,
                scale=gamma,
                variance_epsilon=self.epsilon,
            )

    def change(self, hidden: tf.Tensor, function: Callable[[Any], Any]) -> tf.Tensor:
        return function(hidden)

    def dropout(self, name: str, hidden: tf.Tensor) -> tf.Tensor:
        return self.dropouts[name](hidden)

    def prepare_mask(self, mask: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
        return self._cast(mask) if len(mask.shape) == 3 else self.mask(hidden, mask)

    def enter_layer(self, hidden: tf.Tensor, is_last: bool) -> tuple[tf.Tensor, tf.Tensor]:
        hidden = self._cast(hidden)
        return hidden, hidden

    def keep_pooled(self, tokens: tf.Tensor, inputs: Inputs) -> tf.Tensor:
        if inputs.firsts is None:
            return tokens
        return tf.expand_dims(tf.gather_nd(tokens, inputs.firsts), axis=1)

    def dense(self, source: tf.Tensor, name: str, kernel: Any, bias: Any) -> tf.Tensor:
        if len(source.shape) == 2:
            with tf.name_scope(_layer_name(name)):
                product = tf.matmul(self._cast(source), self._weight(kernel))
                return tf.nn.bias_add(product, self._weight(bias))
        equation = "abcd,cde->abe" if len(kernel.shape) == 3 else "abc,cd->abd"
        return self._product(equation, source, name, kernel, bias)

    def project(self, source: tf.Tensor, name: str, kernel: Any, bias: Any) -> tf.Tensor:
        return self._product("abc,cde->abde", source, name, kernel, bias)

    def project_query(self, source: tf.Tensor, name: str, kernel: Any, bias: Any) -> tf.Tensor:
        return self.project(source, name, kernel, bias)

    def scores(self, query: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        query = tf.multiply(query, 1.0 / math.sqrt(float(query.shape[-1])))
        return self._multiply("aecd,abcd->acbe", key, query)

    def softmax(self, name: str, scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        # All heads share the mask.
        return self.softmaxes[name](scores, tf.expand_dims(mask, axis=-3))

    def context(self, weights: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        return self._multiply("acbe,aecd->abcd", weights, value)

    def add(self, left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
        return tf.cast(left, right.dtype) + right

    def activate(self, name: str, inner: tf.Tensor) -> tf.Tensor:
        return self.activations[name](inner)

    def firsts(self, hidden: tf.Tensor, inputs: Inputs) -> tf.Tensor:
        return hidden[:, 0, :]  # Of what `keep_pooled` has left, where it did.

    def activate_pooled(self, pooled: tf.Tensor) -> tf.Tensor:
        # A name that ends with a slash is entered again, and is not made a new one.
        # Absolute, with the slash at its end; called outside of any scope it has none before it.
        with tf.name_scope("/".join([tf.get_current_name_scope(), _POOLER, ""]).lstrip("/")):
            return self.pooler_activation(pooled)

    def is_nothing(self, kernel: Any) -> bool:
        return kernel.shape[0] == 0  # A zero may be trained to be another number.

    def constant(self, name: str, bias: Any) -> tf.Tensor:
        return self._weight(tf.convert_to_tensor(bias))

    def _product(
        self, equation: str, source: tf.Tensor, name: str, kernel: Any, bias: Any
    ) -> tf.Tensor:
        with tf.name_scope(_layer_name(name)):
            product = self._multiply(equation, self._cast(source), self._weight(kernel))
            return product + self._weight(bias)

    def _multiply(self, equation: str, left: Any, right: Any) -> tf.Tensor:
        """Return the einsum of factors of `dtype`, multiplied as `products`."""
        if self.products == self.dtype:
            return tf.einsum(equation, left, right)
        left, right = (tf.cast(factor, self.products) for factor in (left, right))
        return self._cast(tf.einsum(equation, left, right))

    def _rows(self, ids: tf.Tensor, look_up: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Return the row of each id: [batch, length, hidden]."""
        rows = self._cast(look_up(tf.reshape(ids, [-1])))
        rows = tf.reshape(rows, tf.concat([tf.shape(ids), [rows.shape[1]]], axis=0))
        rows.set_shape([*ids.shape, rows.shape[2]])
        return rows

    def _weight(self, weight: Any) -> Any:
        """Return a weight for a product: in a layer's call Keras casts what a variable gives."""
        return weight if isinstance(weight, tf.Variable) else self._cast(weight)

    def _cast(self, tensor: tf.Tensor) -> tf.Tensor:
        return tf.cast(tensor, self.dtype)


def _layer_name(name: str) -> str:
    """Return the name of Keras's layer: that of the weights without those of its parents."""
    return name if name.startswith("embeddings/") else name.rsplit("/", 1)[-1]
