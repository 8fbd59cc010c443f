"""The gradients of a training's objective while its weights stand still, for rankings."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from bert_glue_tf.compression.gradients import Batch, See
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.progress import Bar
from bert_glue_tf.training.objective import Trainee

# In float16 small gradients of the scores vanish, so that the loss is multiplied by this or, where
# a gradient becomes too large, by the half, the quarter and so on.
_FLOAT16_SCALE = 2.0**15


class TrainingGradients:
    """The gradients of a classifier that trains, for the first batches of its first epoch.

    Layout, devices, precision and loss are those of the training; dropout is left out, as Michel et
    al. 2019 do (https://arxiv.org/abs/1905.10650), so that a training that goes on draws the same.
    See `compression.gradients.Gradients`.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        trainee: Trainee,
        sizes: Sequence[int],
        dataset: Callable[[], Iterable[Any]],
    ) -> None:
        """Take what trains.

        Args:
          strategy: of the training.
          trainee: the classifier with its objective and its optimizer.
          sizes: examples of each batch of an epoch, those that fill it up not counted.
          dataset: returns the epoch's batches, as `trainee.fit` takes them.
        """
        self._strategy = strategy
        self._trainee = trainee
        self._sizes = sizes
        self._dataset = dataset

    def show(self, variables: Sequence[tf.Variable], examples: int, see: See) -> int:
        """Show the gradients of one batch after the other; see `compression.gradients`."""
        sizes = self._enough(examples)
        compute, hand_over = self._compute(variables), self._hand_over(see)
        logging.info("measuring the gradients of %s training examples", f"{sum(sizes):,}")
        # Within an epoch there is its bar already.
        is_drawn = not int(self._trainee.optimizer.iterations.numpy())
        with Bar(len(sizes), "gradients") if is_drawn else contextlib.nullcontext() as bar:
            for number, (size, batch) in enumerate(zip(sizes, self._dataset(), strict=False), 1):
                found = self._finite(compute, batch)
                hand_over(found, tf.constant(number), tf.constant(size / sum(sizes), tf.float32))
                if bar is not None:
                    bar.show(number, "")
        return sum(sizes)

    def _enough(self, examples: int) -> Sequence[int]:
        """Return the sizes of the first batches that have so many examples; of all for 0."""
        together = np.cumsum(self._sizes)
        if not examples or examples >= together[-1]:
            return self._sizes
        return self._sizes[: int(np.searchsorted(together, examples)) + 1]

    def _compute(self, variables: Sequence[tf.Variable]) -> Callable[..., Any]:
        """Return the function of a batch and a scale to gradients, and whether all are numbers."""
        strategy, trainee = self._strategy, self._trainee
        replicas = strategy.num_replicas_in_sync

        def on_replica(scale: tf.Tensor, features: Any, targets: Any, weights: Any = 1.0) -> Any:
            with tf.GradientTape() as tape:
                outputs = trainee(features, training=False)
                losses = trainee.example_losses(targets, outputs, features) * weights
                # Of a batch that is filled up the weights make the sum over the replicas the mean
                # over its examples.
                loss = tf.reduce_mean(losses) * scale / replicas
            found = tape.gradient(
                loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            dense = [tf.cast(tf.convert_to_tensor(one), tf.float32) / scale for one in found]
            if replicas > 1:
                context = tf.distribute.get_replica_context()
                dense = context.all_reduce(tf.distribute.ReduceOp.SUM, dense)
            finite = [tf.reduce_all(tf.math.is_finite(one)) for one in dense]
            return dense, tf.reduce_all(tf.stack(finite))

        # Batches that are packed differ in their rows; for each number of them it would be traced.
        @tf.function(reduce_retracing=True)
        def compute(batch: Any, scale: tf.Tensor) -> Any:
            return strategy.run(on_replica, args=(scale, *batch))

        return compute

    def _hand_over(self, see: See) -> Callable[..., None]:
        """Return the function that shows the gradients of a batch on each replica."""

        @tf.function
        def hand_over(found: Any, number: tf.Tensor, share: tf.Tensor) -> None:
            self._strategy.run(lambda each: see(each, Batch(number, share)), args=(found,))

        return hand_over

    def _finite(self, compute: Callable[..., Any], batch: Any) -> Any:
        """Return the gradients of a batch, which are numbers.

        Raises:
          UserError: they are not, however small the loss is made.
        """
        is_float16 = self._trainee.compute_dtype == "float16"
        scale = _FLOAT16_SCALE if is_float16 else 1.0
        while scale >= 1.0:
            found, finite = compute(batch, tf.constant(scale))
            if self._strategy.experimental_local_results(finite)[0]:
                return found
            scale /= 2.0
        raise UserError(
            "--pruning_schedule=one_shot: the units cannot be ranked by gradients that are not "
            "numbers: the training has diverged. Give a smaller --learning_rate, or rank by "
            "magnitude."
        )
