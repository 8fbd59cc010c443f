"""Computes the steps that several heads share, in operations that TFLite's kernels take whole."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from bert_glue_tf.models.parts import MASKED

_INITIALIZER_RANGE = 0.02  # BERT's own, as of the dense layer behind a head.
_EPSILON = 1e-5  # Of layer norms, as in the code of Li et al. 2019.
_MOST_HEADS = 12  # Of its attention.


class Weights:
    """Makes the weights of a layer, with first values drawn from its seed.

    Args:
      layer: that they belong to.
      seed: of the first values.
    """

    def __init__(self, layer: tf_keras.layers.Layer, seed: int) -> None:
        self._layer, self._seed = layer, seed

    def dense(self, name: str, inputs: int, outputs: int) -> tuple[Any, Any]:
        """Return the kernel [inputs, outputs] and the bias [outputs] of a product."""
        self._seed += 1  # Kernels of one shape would begin alike.
        initializer = tf_keras.initializers.TruncatedNormal(_INITIALIZER_RANGE, seed=self._seed)
        kernel = self._layer.add_weight(f"{name}/kernel", (inputs, outputs), None, initializer)
        return kernel, self._layer.add_weight(f"{name}/bias", (outputs,), None, "zeros")

    def norm(self, name: str, width: int) -> tuple[Any, Any]:
        """Return gamma and beta [width] of a layer norm; its name ends with `layer_norm`."""
        gamma = self._layer.add_weight(f"{name}/gamma", (width,), None, "ones")
        return gamma, self._layer.add_weight(f"{name}/beta", (width,), None, "zeros")


def dense(values: tf.Tensor, weights: tuple[Any, Any]) -> tf.Tensor:
    """Return `values @ kernel + bias` over the last axis, as a product of two matrices."""
    kernel, bias = (tf.cast(one, values.dtype) for one in weights)
    flat = tf.reshape(values, [-1, kernel.shape[0]])
    product = tf.nn.bias_add(tf.matmul(flat, kernel), bias)
    shape = values.shape if values.shape.is_fully_defined() else tf.shape(values)
    return tf.reshape(product, tf.concat([shape[:-1], [kernel.shape[1]]], axis=0))


def norm(values: tf.Tensor, weights: tuple[Any, Any]) -> tf.Tensor:
    """Return the layer norm over the last axis (Ba et al. 2016), computed in float32."""
    gamma, beta = (tf.cast(one, tf.float32) for one in weights)
    exact = tf.cast(values, tf.float32)
    mean = tf.reduce_mean(exact, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(exact, mean), axis=-1, keepdims=True)
    found = (exact - mean) * tf.math.rsqrt(variance + _EPSILON) * gamma + beta
    return tf.cast(found, values.dtype)


class Attention:
    """Self-attention over the tokens of each text, with its sum and its layer norm.

    Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762), section 3.2: 12 heads, or the most that
    divide the width.

    Args:
      weights: makes them.
      width: of the tokens.
      of_weights: layer, the dropout of the attention's weights.
      of_output: layer, the dropout of its output.
    """

    def __init__(self, weights: Weights, width: int, of_weights: Any, of_output: Any) -> None:
        self._heads = next(n for n in range(_MOST_HEADS, 0, -1) if width % n == 0)
        self._size = width // self._heads
        names = ("query", "key", "value")
        self._parts = [weights.dense(f"self_attention/{name}", width, width) for name in names]
        self._output = weights.dense("self_attention/output", width, width)
        self._norm = weights.norm("self_attention/layer_norm", width)
        self._of_weights, self._of_output = of_weights, of_output

    def __call__(self, hidden: tf.Tensor, is_token: tf.Tensor) -> tf.Tensor:
        """Return float [texts, positions, width] of tokens that read those of their text."""
        query, key, value = (self._by_head(dense(hidden, part)) for part in self._parts)
        scores = tf.matmul(query, key, transpose_b=True) / self._size**0.5
        mask = (1.0 - tf.cast(is_token, scores.dtype))[:, None, None, :] * _masked(scores.dtype)
        weights = self._of_weights(tf.nn.softmax(scores + mask))
        context = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])
        shape = hidden.shape if hidden.shape.is_fully_defined() else tf.shape(hidden)
        attended = self._of_output(dense(tf.reshape(context, shape), self._output))
        return norm(hidden + attended, self._norm)

    def _by_head(self, values: tf.Tensor) -> tf.Tensor:
        """Return [texts, heads, positions, size] of [texts, positions, width]."""
        shape = values.shape if values.shape.is_fully_defined() else tf.shape(values)
        split = tf.concat([shape[:-1], [self._heads, self._size]], axis=0)
        return tf.transpose(tf.reshape(values, split), [0, 2, 1, 3])


def _masked(dtype: tf.DType) -> float:
    """Return what takes a score out of a softmax; float16 holds no smaller number."""
    return max(MASKED, float(dtype.min) / 2)
