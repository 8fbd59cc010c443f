"""The computation of a small network, which training and export go through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from bert_glue_tf.models.small.architecture import DEVIATION, MEAN, Architecture, weight_of
from bert_glue_tf.models.small.designs import INPUT, Layer

EPSILON = 1e-3  # Beside the variance, as Keras has it.
# A layer and what its convolution gives [batch, height, width, filters] -> the same, normalized.
Normalize = Callable[[Layer, tf.Tensor], tf.Tensor]
# What the last layer is to read -> what it reads, as after dropout.
Drop = Callable[[tf.Tensor], tf.Tensor]


def encode(
    weights: Mapping[str, Any],
    architecture: Architecture,
    values: tf.Tensor,
    normalize: Normalize,
    drop: Drop = lambda hidden: hidden,
) -> dict[str, tf.Tensor]:
    """Return the features of each example.

    Args:
      weights: name -> weight, of the shapes of `Architecture.shapes`.
      architecture: of the network.
      values: float32 [batch, *shape], as the files have them.
      normalize: applied to the convolutions that are normalized.
      drop: dropout before the last layer.

    Returns:
      pooled_output [batch, hidden], the mean over the last map; and sequence_output
      [batch, 1, hidden], the same as a sequence of one.
    """
    # As a factor and a summand: LiteRT has both in int8, and a division by constants not.
    factor = 1.0 / tf.convert_to_tensor(weights[DEVIATION])
    scaled = values * factor - tf.convert_to_tensor(weights[MEAN]) * factor
    maps = {INPUT: tf.reshape(scaled, [-1, *architecture.map_shape])}
    for layer in architecture.layers:
        hidden = maps[layer.reads]
        if layer is architecture.layers[-1] or layer.name == architecture.layers[-1].name:
            hidden = drop(hidden)
        with tf.name_scope(layer.name):
            maps[layer.name] = _layer(weights, layer, hidden, maps.get(layer.adds), normalize)
    last = maps[architecture.layers[-1].name]
    if last.shape[1:3] == (1, 1):
        pooled = tf.reshape(last, [-1, architecture.hidden])
    else:
        pooled = tf.reduce_mean(last, axis=[1, 2])
    return {"pooled_output": pooled, "sequence_output": pooled[:, None]}


def _layer(
    weights: Mapping[str, Any],
    layer: Layer,
    hidden: tf.Tensor,
    summand: tf.Tensor | None,
    normalize: Normalize,
) -> tf.Tensor:
    """Return what a layer gives."""
    kernel = weights[weight_of(layer.name, "kernel")]
    found = tf.nn.conv2d(hidden, kernel, strides=layer.stride, padding=layer.padding)
    if layer.norm:
        found = normalize(layer, found)
    found = tf.nn.bias_add(found, weights[weight_of(layer.name, "bias")])
    if layer.adds and summand is not None:
        found += summand
    if layer.relu:
        found = tf.nn.relu(found)
    if layer.pool != (1, 1):
        step = tuple(own or size for own, size in zip(layer.pool_stride, layer.pool, strict=True))
        found = tf.nn.max_pool2d(found, layer.pool, step, "SAME")
    return found


def learned_norm(weights: Mapping[str, Any]) -> Normalize:
    """Return the normalization by the mean and the variance that a training has gathered.

    A filter of zeros gives zero, whatever it gave before it was pruned.
    """

    def normalize(layer: Layer, values: tf.Tensor) -> tf.Tensor:
        scale, mean, variance = (
            weights[weight_of(layer.name, leaf)] for leaf in ("scale", "mean", "variance")
        )
        kernel = weights[weight_of(layer.name, "kernel")]
        is_left = tf.reduce_any(tf.not_equal(kernel, 0.0), axis=[0, 1, 2])
        factor = scale * tf.math.rsqrt(variance + EPSILON)
        return (values - tf.where(is_left, mean, tf.zeros_like(mean))) * factor

    return normalize
