"""The losses and the metric that Keras has not. Imports TensorFlow."""

from __future__ import annotations

from typing import Any

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


class CrossEntropyOfTags(tf_keras.losses.Loss):
    """Cross-entropy of the tags of an example's positions: their sum, divided by a fixed number.

    Args:
      usual: what the sum is divided by.
    """

    def __init__(self, usual: int) -> None:
        super().__init__()
        self._usual = usual

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the loss of each example: labels [b, some], logits [b, positions, tags] to [b].

        Labels are ids, -1 where none is scored; behind the last ones none is.
        """
        labels = as_long(tf.cast(y_true, tf.int32), y_pred, -1)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(labels, 0), y_pred)
        return tf.reduce_sum(tf.where(labels >= 0, losses, 0.0), axis=-1) / self._usual


class LossOfChains(tf_keras.losses.Loss):
    """Negative log-likelihood of an example's tags in a linear chain, divided by a fixed number.

    Lafferty et al. 2001, "Conditional Random Fields". The chain goes over the positions whose tag
    is known, one behind the other.

    Args:
      usual: what it is divided by.
      transitions: float32 [tags + 2, tags]: the scores of a tag behind another, behind the
        beginning (row -2), and before the end (row -1).
    """

    def __init__(self, usual: int, transitions: Any) -> None:
        super().__init__()
        self._usual, self._transitions = usual, transitions

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the loss of each example; labels and logits as for `CrossEntropyOfTags`."""
        labels = as_long(tf.cast(y_true, tf.int32), y_pred, -1)
        order = tf.argsort(tf.cast(labels < 0, tf.int32), axis=-1, stable=True)
        labels = tf.gather(labels, order, batch_dims=1)
        scores = tf.gather(tf.cast(y_pred, tf.float32), order, batch_dims=1)
        table = tf.convert_to_tensor(self._transitions)
        found = _partition(scores, labels >= 0, table) - _score(scores, labels, table)
        # Without any known tag there is no chain.
        return tf.where(labels[:, 0] >= 0, found, 0.0) / self._usual


def _partition(scores: tf.Tensor, is_known: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """Return the logarithm of the sum over all chains, [b], by the forward algorithm."""
    behind, first, last = table[:-2], table[-2], table[-1]

    def step(before: tf.Tensor, now: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        own, known = now
        sums = tf.reduce_logsumexp(before[:, :, None] + behind, axis=1) + own
        return tf.where(known[:, None], sums, before)

    times = (tf.transpose(scores[:, 1:], [1, 0, 2]), tf.transpose(is_known[:, 1:]))
    end = tf.foldl(step, times, first + scores[:, 0])
    return tf.reduce_logsumexp(end + last, axis=-1)


def _score(scores: tf.Tensor, labels: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """Return the score of the chain of the known tags, [b]."""
    is_known = tf.cast(labels >= 0, tf.float32)
    tags = tf.maximum(labels, 0)
    own = tf.reduce_sum(tf.gather(scores, tags, batch_dims=2) * is_known, axis=-1)
    pairs = tf.gather_nd(table, tf.stack([tags[:, :-1], tags[:, 1:]], axis=-1))
    between = tf.reduce_sum(pairs * is_known[:, 1:], axis=-1)
    count = tf.maximum(tf.reduce_sum(tf.cast(labels >= 0, tf.int32), axis=-1), 1)
    ends = tf.gather(tags, count - 1, batch_dims=1)
    return own + between + tf.gather(table[-2], tags[:, 0]) + tf.gather(table[-1], ends)


def as_long(values: tf.Tensor, logits: tf.Tensor, filling: float) -> tf.Tensor:
    """Return values of positions for as many positions as logits have.

    Args:
      values: [b, some, ...]; what has no position is cut off.
      logits: [b, positions, width].
      filling: stands behind the last value.
    """
    positions = tf.shape(logits)[1]
    missing = tf.maximum(positions - tf.shape(values)[1], 0)
    paddings = [[0, 0], [0, missing]] + [[0, 0]] * (len(values.shape) - 2)
    return tf.pad(values, paddings, constant_values=filling)[:, :positions]


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
