"""A trained classifier on a small network as a plain TensorFlow function, for the converter."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from bert_glue_tf.data.arrays import VALUES
from bert_glue_tf.models.small import forward
from bert_glue_tf.models.small.architecture import weight_of
from bert_glue_tf.models.small.classifier_weights import ClassifierWeights


class ExportGraph(tf.Module):
    """The classifier for so many examples at a time; shapes are static, a function for each.

    What normalizes a convolution's outputs is multiplied into its kernel and bias.

    Args:
      weights: of the trained classifier.
    """

    def __init__(self, weights: ClassifierWeights) -> None:
        super().__init__(name="classifier")
        self._architecture = weights.architecture
        head = {"classifier/kernel": weights.kernel, "classifier/bias": weights.bias}
        # One variable for a value, whatever number of functions reads it.
        self._variables = {
            name: tf.Variable(value, trainable=False, name=name)
            for name, value in {**folded(weights), **head}.items()
        }

    def function(self, length: int, texts: int = 1) -> tf.types.experimental.ConcreteFunction:
        """Return float32 [texts, *shape] values to {"logits": [texts, classes]}.

        `length` is 1, that of an array.
        """
        del length
        spec = tf.TensorSpec([texts, *self._architecture.shape], tf.float32, name=VALUES)

        # No branch or loop of Python depends on a tensor.
        @tf.function(autograph=False)
        def classify(values: tf.Tensor) -> dict[str, tf.Tensor]:
            encoded = forward.encode(
                self._variables, self._architecture, values, lambda layer, hidden: hidden
            )
            with tf.name_scope("classifier"):
                logits = tf.matmul(encoded["pooled_output"], self._variables["classifier/kernel"])
                logits = tf.nn.bias_add(logits, self._variables["classifier/bias"])
            return {"logits": logits}

        return classify.get_concrete_function(spec)

    def without_table(self) -> None:
        """Return None: there is no table of word embeddings."""


def folded(weights: ClassifierWeights) -> Mapping[str, np.ndarray]:
    """Return the network's weights with each normalization as a part of kernel and bias."""
    found = dict(weights.encoder)
    for layer in weights.architecture.layers:
        if not layer.norm:
            continue
        scale, mean, variance = (
            found.pop(weight_of(layer.name, leaf)) for leaf in ("scale", "mean", "variance")
        )
        kernel, bias = (weight_of(layer.name, leaf) for leaf in ("kernel", "bias"))
        factor = scale / np.sqrt(variance + np.float32(forward.EPSILON))
        is_left = found[kernel].any(axis=(0, 1, 2))
        found[bias] = found[bias] - np.where(is_left, mean, np.float32(0)) * factor
        found[kernel] = found[kernel] * factor
    return found
