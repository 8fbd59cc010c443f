"""The objective of a training: a loss for every example, applied in `compute_loss` alone.

A new objective is one subclass of `Objective`, which `build` returns where the settings ask for it,
and a case in `tests/programs/objectives.py`; `tests/training/test_objective_contract.py` is its
contract.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.problems import Problem
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.runs.config import ExperimentConfig

LABELS = "labels"  # The target that every objective has, and that metrics are computed from.


class Objective(abc.ABC):
    """A loss for every example, from its logits and from what is known of it.

    What is known stands in arrays over the training split, its `targets`: the labels, and for
    example what a teacher answered. Batches are indices into these arrays, so that an array is
    computed once, before the training.
    """

    @abc.abstractmethod
    def targets(self, split: Split) -> dict[str, np.ndarray]:
        """Return name -> array [n, ...] over the examples of a split, `LABELS` among them."""

    @abc.abstractmethod
    def losses(self, targets: Mapping[str, tf.Tensor], logits: tf.Tensor) -> tf.Tensor:
        """Return the loss of each example of a batch.

        Args:
          targets: name -> [batch, ...], the rows of `targets(split)` of these examples.
          logits: float32 [batch, width].

        Returns:
          float32 [batch].
        """


class TaskLoss(Objective):
    """The loss of the task's own kind of problem, from the labels alone."""

    def __init__(self, problem: Problem) -> None:
        """Take the loss from a problem."""
        self._problem = problem
        self._loss = problem.keras_loss()

    def targets(self, split: Split) -> dict[str, np.ndarray]:
        return {LABELS: split.labels}

    def losses(self, targets: Mapping[str, tf.Tensor], logits: tf.Tensor) -> tf.Tensor:
        return self._loss.call(self._problem.keras_labels(targets[LABELS]), logits)


class BalancedLoss(Objective):
    """The task's loss, weighted so that all classes count alike (scikit-learn's "balanced")."""

    _WEIGHTS = "class_weights"

    def __init__(self, problem: Problem) -> None:
        """Take loss and weights from a problem."""
        self._problem = problem
        self._loss = TaskLoss(problem)

    def targets(self, split: Split) -> dict[str, np.ndarray]:
        return {**self._loss.targets(split), self._WEIGHTS: self._problem.balance(split.labels)}

    def losses(self, targets: Mapping[str, tf.Tensor], logits: tf.Tensor) -> tf.Tensor:
        return self._loss.losses(targets, logits) * targets[self._WEIGHTS]


def build(config: ExperimentConfig, task: TaskSpec) -> Objective:
    """Return the objective that a run's settings ask for.

    Args:
      config: the run's settings.
      task: gives the kind of problem, and with it the loss.
    """
    kind = BalancedLoss if config.class_weights == "balanced" else TaskLoss
    return kind(task.problem)


class Trainee(tf_keras.Model):
    """A classifier as it trains: the same layers and variables, with an objective as its loss.

    Only the training sees it. What is pruned, scored and saved is the classifier itself, so that
    nothing of the objective gets into a saved model. Its batches are (features, targets) or
    (features, targets, weights).

    Attributes:
      objective: what it minimises.
    """

    def __init__(self, classifier: tf_keras.Model, objective: Objective) -> None:
        """Wrap a classifier, under the scope of the strategy that it was built under.

        Args:
          classifier: a functional model of features to logits float32 [batch, width].
          objective: what to minimise.
        """
        # The same name, since it is a part of the names in the training's graph.
        super().__init__(inputs=classifier.input, outputs=classifier.output, name=classifier.name)
        self.objective = objective
        self._mean_of_examples: tf_keras.metrics.Mean | None = None

    def compile(self, *, is_filled_up: bool, **arguments: Any) -> None:
        """Set the optimizer and the metrics of the labels; the loss is the objective's.

        Args:
          is_filled_up: whether batches are filled up with examples of weight 0. What Keras shows
            as the loss is a mean over all that the replicas were given; then it is replaced by
            the mean over the examples of the epoch, each counted once and those not at all.
          arguments: `optimizer` and `weighted_metrics` of `tf_keras.Model.compile`.
        """
        super().compile(loss=_as_computed, **arguments)
        if is_filled_up:
            self._mean_of_examples = tf_keras.metrics.Mean(name="loss")
        self._create_variables()

    def _create_variables(self) -> None:
        """Create what Keras would create inside the first training step.

        A function that creates variables is traced a second time, which doubles the wait for the
        first step.
        """
        # Mixed precision in float16 wraps the optimizer.
        optimizer: Any = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        optimizer.build(self.trainable_variables)
        self.compiled_loss.build(self.output)
        labels = tf.TensorSpec(self.output.shape[:-1])
        self.compiled_metrics.build(self.output, labels)

    def compute_loss(
        self,
        x: Any,
        y: Mapping[str, tf.Tensor],
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Return the mean of a batch's losses, each times its weight; the gradient's source.

        Args:
          x: the features.
          y: name -> [batch, ...], the targets.
          y_pred: float32 [batch, width], the logits.
          sample_weight: float32 [batch]; None for 1 each. A batch that is filled up has weights.
        """
        losses = self.objective.losses(y, y_pred)
        if self._mean_of_examples is not None:
            assert sample_weight is not None
            is_real = tf.cast(sample_weight > 0, tf.float32)
            self._mean_of_examples.update_state(losses, sample_weight=is_real)
        return super().compute_loss(x, losses, y_pred, sample_weight)

    def compute_metrics(
        self,
        x: Any,
        y: Mapping[str, tf.Tensor],
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None,
    ) -> dict[str, tf.Tensor]:
        """Update the metrics, which are computed from the labels, and return their values."""
        return super().compute_metrics(x, y[LABELS], y_pred, sample_weight)


def _as_computed(losses: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the losses that the objective has computed, where Keras asks for its own.

    Keras then takes their mean, counts it, and divides it among the replicas.
    """
    del logits
    return losses
