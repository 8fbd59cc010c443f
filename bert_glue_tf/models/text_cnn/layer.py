"""The network as a Keras layer."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from bert_glue_tf.models.text_cnn import forward
from bert_glue_tf.models.text_cnn.architecture import Architecture, by_name

NAME = "text_cnn"


class TextCnn(tf_keras.layers.Layer):
    """Convolutions over word vectors: int32 [texts, length] features in, a dict of outputs out.

    The word vectors are frozen: no training changes them.

    Args:
      architecture: of the network.
    """

    def __init__(self, architecture: Architecture, name: str = NAME) -> None:
        super().__init__(name=name)
        self.architecture = architecture
        self._dropouts = [tf_keras.layers.Dropout(rate) for rate in architecture.dropouts]
        # In here, so that a name has no layer's name in front of it.
        for weight, shape in architecture.shapes().items():
            self.add_weight(
                weight, shape, tf.float32, "zeros", trainable=not weight.startswith("words/")
            )
        self.built = True

    def call(
        self, inputs: Mapping[str, tf.Tensor], training: bool | None = None
    ) -> dict[str, tf.Tensor]:
        """Return what `forward.encode` does, of padded or of packed features."""
        return forward.encode(
            by_name(self.weights),
            self.architecture,
            inputs,
            lambda layer, features: self._dropouts[layer - 1](features, training=training),
        )

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` makes the layer from, with weights of its own."""
        return {"architecture": dataclasses.asdict(self.architecture), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TextCnn:
        """Return a new layer of the same architecture."""
        return cls(Architecture(**config["architecture"]), name=config["name"])


def build(architecture: Architecture, read: Callable[[str], np.ndarray]) -> TextCnn:
    """Return a layer whose weights have the values that `read` gives for their names."""
    layer = TextCnn(architecture)
    for name, variable in by_name(layer.weights).items():
        variable.assign(read(name))
    return layer


def first_weights(name: str, shapes: Mapping[str, tuple[int, ...]], seed: int) -> np.ndarray:
    """Draw the first value of a convolution's kernel or bias, float32.

    Uniform within 1 / sqrt(fan in), as PyTorch begins, with which the documents' networks were
    trained.

    Args:
      name: of the weight.
      shapes: of all weights.
      seed: of the draw; each weight has its own stream.
    """
    width, inputs, _ = shapes[name.rpartition("/")[0] + "/kernel"]
    bound = 1.0 / np.sqrt(width * inputs)
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return random.uniform(-bound, bound, shapes[name]).astype(np.float32)
