"""A small network as a Keras layer."""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from bert_glue_tf.data.arrays import VALUES
from bert_glue_tf.models.small import forward
from bert_glue_tf.models.small.architecture import (
    DEVIATION,
    MEAN,
    Architecture,
    by_name,
    weight_of,
)
from bert_glue_tf.models.small.designs import Layer

NAME = "small"
_MOMENTUM = 0.9  # Of the means and variances that are gathered: networks here train for few steps.
_GATHERED = ("/mean", "/variance")


class SmallNet(tf_keras.layers.Layer):
    """Convolutions over arrays: float32 [batch, *shape] in, a dict of outputs out.

    Args:
      architecture: of the network.
    """

    def __init__(self, architecture: Architecture, name: str = NAME) -> None:
        super().__init__(name=name)
        self.architecture = architecture
        self._dropout = tf_keras.layers.Dropout(architecture.dropout)
        # In here, so that a name has no layer's name in front of it.
        for weight, shape in architecture.shapes().items():
            is_gathered = weight.endswith(_GATHERED)
            self.add_weight(
                weight,
                shape,
                tf.float32,
                "zeros",
                trainable=not (is_gathered or weight in (MEAN, DEVIATION)),
                # Of several replicas each gathers its own, and their mean is kept.
                **(
                    {
                        "synchronization": tf.VariableSynchronization.ON_READ,
                        "aggregation": tf.VariableAggregation.MEAN,
                    }
                    if is_gathered
                    else {}
                ),
            )
        self.built = True

    def call(
        self, inputs: Mapping[str, tf.Tensor], training: bool | None = None
    ) -> dict[str, tf.Tensor]:
        """Return what `forward.encode` does."""
        weights = by_name(self.weights)
        return forward.encode(
            weights,
            self.architecture,
            inputs[VALUES],
            self._normalize_batch if training else forward.learned_norm(weights),
            lambda hidden: self._dropout(hidden, training=training),
        )

    def _normalize_batch(self, layer: Layer, values: tf.Tensor) -> tf.Tensor:
        """Normalize by the batch's own mean and variance, and gather these."""
        weights = by_name(self.weights)
        mean, variance = tf.nn.moments(values, axes=[0, 1, 2])
        for leaf, seen in (("mean", mean), ("variance", variance)):
            gathered = weights[weight_of(layer.name, leaf)]
            gathered.assign_sub((gathered - tf.stop_gradient(seen)) * (1.0 - _MOMENTUM))
        factor = weights[weight_of(layer.name, "scale")] * tf.math.rsqrt(variance + forward.EPSILON)
        return (values - mean) * factor

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` makes the layer from, with weights of its own."""
        return {"architecture": dataclasses.asdict(self.architecture), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SmallNet:
        """Return a new layer of the same architecture."""
        return cls(Architecture(**config["architecture"]), name=config["name"])


def build(architecture: Architecture, read: Callable[[str], np.ndarray]) -> SmallNet:
    """Return a layer whose weights have the values that `read` gives for their names."""
    layer = SmallNet(architecture)
    for name, variable in by_name(layer.weights).items():
        variable.assign(read(name))
    return layer


def first_weights(name: str, shapes: Mapping[str, tuple[int, ...]], seed: int) -> np.ndarray:
    """Draw the first value of a weight, float32.

    Kernels are drawn as He et al. 2015 do for ReLU, eq. (10) (https://arxiv.org/abs/1502.01852);
    scales and variances are 1, all others 0.

    Args:
      name: of the weight.
      shapes: of all weights.
      seed: of the draw; each kernel has its own stream.
    """
    shape = shapes[name]
    if name.endswith("/kernel"):
        random = np.random.default_rng([seed, zlib.crc32(name.encode())])
        deviation = math.sqrt(2.0 / math.prod(shape[:-1]))
        return (random.normal(size=shape) * deviation).astype(np.float32)
    if name.endswith(("/scale", "/variance", DEVIATION)):
        return np.ones(shape, np.float32)
    return np.zeros(shape, np.float32)
