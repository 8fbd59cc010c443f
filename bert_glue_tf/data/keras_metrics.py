"""The loss and the metric that Keras has not. Imports TensorFlow."""

from __future__ import annotations

import tensorflow as tf
import tf_keras


class CrossEntropyOfLabels(tf_keras.losses.Loss):
    """Cross-entropy of several labels, each yes or no by itself: the sum over an example's labels.

    Keras's BinaryCrossentropy is the mean over them.
    """

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the loss of each example: labels 0 or 1 [b, width], logits [b, width] to [b]."""
        labels = tf.cast(y_true, y_pred.dtype)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=y_pred)
        return tf.reduce_sum(losses, axis=-1)


class MeanOfExamples(tf_keras.metrics.MeanMetricWrapper):
    """Mean over the examples of an epoch, each counted once, and those of weight 0 not at all.

    The weights that `layouts.fill_up` gives are right for a batch's gradient, but larger in a
    batch that was filled up; a weighted mean over an epoch would count its examples for more.
    """

    def update_state(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Operation:
        """Add a batch: labels [b], logits [b, width], weights [b]."""
        if sample_weight is not None:
            sample_weight = tf.cast(sample_weight > 0, tf.float32)
        return super().update_state(y_true, y_pred, sample_weight)
