"""The Keras metric that a training on several replicas needs. Imports TensorFlow."""

from __future__ import annotations

import tensorflow as tf
import tf_keras


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
