"""The objective of a training: a loss for every example, applied in `compute_loss` alone.

A new objective is one subclass of `Objective`, which `build` returns where settings ask for it, and
a case in `tests/programs/objectives.py`; `tests/training/test_objective_contract.py` tests it.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from bert_glue_tf.data.batching import Ragged, Split
from bert_glue_tf.data.problems import Problem
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.models import heads
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training.hints import Hint
from bert_glue_tf.training.steps import TrainingStep

HeadLoss = Callable[[tf.Tensor, tf.Tensor], "tf.Tensor | None"]
LABELS = "labels"  # The target that every objective has, and that metrics are computed from.


class Objective(abc.ABC):
    """A loss for every example, from its logits and from what is known of it.

    What is known stands in arrays over the training split, its `targets`: the labels, and for
    example what a teacher answered. Batches are indices into these arrays, so that an array is
    computed once, before the training.

    Attributes:
      hints: what is learned of the inside of an encoder as well; most have none.
    """

    hints: Sequence[Hint] = ()

    @abc.abstractmethod
    def targets(self, split: Split) -> dict[str, np.ndarray | Ragged]:
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

    def __init__(self, problem: Problem, of_head: HeadLoss | None = None) -> None:
        """Take the loss from a problem.

        Args:
          problem: of the run.
          of_head: labels and logits to the losses [batch], where the classifier's head has a loss
            of its own; it may return None.
        """
        self._problem = problem
        self._loss = problem.keras_loss()
        self._of_head = of_head

    def targets(self, split: Split) -> dict[str, np.ndarray | Ragged]:
        return {LABELS: split.learned}

    def losses(self, targets: Mapping[str, tf.Tensor], logits: tf.Tensor) -> tf.Tensor:
        labels = targets[LABELS]
        found = self._of_head(labels, logits) if self._of_head else None
        return (
            self._loss.call(self._problem.keras_labels(labels), logits) if found is None else found
        )


class BalancedLoss(Objective):
    """The task's loss, weighted so that all classes count alike (scikit-learn's "balanced")."""

    _WEIGHTS = "class_weights"

    def __init__(self, problem: Problem, of_head: HeadLoss | None = None) -> None:
        """Take loss and weights from a problem; `of_head` is as for `TaskLoss`."""
        self._problem = problem
        self._loss = TaskLoss(problem, of_head)

    def targets(self, split: Split) -> dict[str, np.ndarray | Ragged]:
        return {**self._loss.targets(split), self._WEIGHTS: self._problem.balance(split.labels)}

    def losses(self, targets: Mapping[str, tf.Tensor], logits: tf.Tensor) -> tf.Tensor:
        return self._loss.losses(targets, logits) * targets[self._WEIGHTS]


class DistilledLoss(Objective):
    """A mixture of a loss of the labels and of the distance from a teacher's answers.

    (1 - weight) * labels + weight * distance (Hinton et al. 2015, "Distilling the Knowledge in a
    Neural Network", https://arxiv.org/abs/1503.02531); the distance is the problem's own
    `distillation_loss`, the same for all classes where the labels' loss is balanced.
    """

    TEACHER = "teacher"  # Of the targets, a teacher's logits.

    def __init__(
        self,
        problem: Problem,
        labels: Objective,
        answers: np.ndarray,
        weight: float,
        temperature: float,
        hints: Sequence[Hint] = (),
    ) -> None:
        """Take all parts.

        Args:
          problem: gives the distance.
          labels: the loss of the labels.
          answers: float32 [n, width] or [n, words, width], the teacher's logits for the training
            split, in the order of the problem's outputs.
          weight: in [0, 1], of the distance.
          temperature: of the distance.
          hints: of the inside of the teacher, if they are learned as well.
        """
        self._problem = problem
        self._labels = labels
        self._answers = answers
        self._weight = weight
        self._temperature = temperature
        self.hints = hints

    def targets(self, split: Split) -> dict[str, np.ndarray | Ragged]:
        if len(split) != len(self._answers):
            raise ValueError(f"{len(self._answers)} answers for {len(split)} examples")
        answers = split.at_tokens(self._answers, float("nan"))
        found: dict[str, Any] = {**self._labels.targets(split), self.TEACHER: answers}
        for hint in self.hints:
            found |= hint.targets()
        return found

    def losses(self, targets: Mapping[str, tf.Tensor], logits: tf.Tensor) -> tf.Tensor:
        distance = self._problem.distillation_loss(targets[self.TEACHER], logits, self._temperature)
        labels = self._labels.losses(targets, logits)
        return (1.0 - self._weight) * labels + self._weight * distance


def build(
    config: ExperimentConfig,
    task: TaskSpec,
    answers: np.ndarray | None = None,
    hints: Sequence[Hint] = (),
    of_head: HeadLoss | None = None,
) -> Objective:
    """Return the objective that a run's settings ask for.

    Args:
      config: the run's settings.
      task: gives the kind of problem, and with it the loss.
      answers: the teacher's, as `DistilledLoss` takes them; None without a teacher.
      hints: of the inside of the teacher.
      of_head: as for `TaskLoss`.
    """
    kind = BalancedLoss if config.class_weights == "balanced" else TaskLoss
    labels = kind(task.problem, of_head)
    if answers is None:
        return labels
    return DistilledLoss(
        task.problem, labels, answers, config.distill_weight, config.distill_temperature, hints
    )


class Trainee(tf_keras.Model):
    """A classifier as it trains: the same layers and variables, with an objective as its loss.

    Only the training sees it. What is pruned, scored and saved is the classifier itself, so that
    nothing of the objective gets into a saved model. Its batches are (features, targets) or
    (features, targets, weights).

    Attributes:
      objective: what it minimises.
    """

    def __init__(
        self,
        classifier: tf_keras.Model,
        objective: Objective,
        step: TrainingStep | None = None,
    ) -> None:
        """Wrap a classifier, under the scope of the strategy that it was built under.

        Args:
          classifier: a functional model of features to logits float32 [batch, width].
          objective: what to minimise.
          step: how a step computes; None for one network.
        """
        # The same name, since it is a part of the names in the training's graph.
        super().__init__(inputs=classifier.input, outputs=classifier.output, name=classifier.name)
        self.objective = objective
        self._step = step or TrainingStep()
        self._mean_of_examples: tf_keras.metrics.Mean | None = None

    @property
    def own_state(self) -> dict[str, Any]:
        """The variables that it trains besides the classifier, by name, for a checkpoint."""
        return {}

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Update the variables by one batch, and return the metrics."""
        return self._step.run(self, data)

    def logits_of(self, outputs: Any) -> tf.Tensor:
        """Return the logits [batch, width] of what a call of the model returns."""
        return outputs

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
        return self._mean(x, self.example_losses(y, y_pred, x), y_pred, sample_weight)

    def example_losses(
        self, targets: Mapping[str, tf.Tensor], outputs: Any, features: Any
    ) -> tf.Tensor:
        """Return the loss of each example of a batch, float32 [batch].

        Args:
          targets: name -> [batch, ...].
          outputs: what a call of the model returns.
          features: of the batch.
        """
        del features
        return self.objective.losses(targets, outputs)

    def _mean(
        self, x: Any, losses: tf.Tensor, logits: tf.Tensor, sample_weight: tf.Tensor | None
    ) -> tf.Tensor:
        """Return the mean of a batch's losses, as `compute_loss`."""
        if self._mean_of_examples is not None:
            assert sample_weight is not None
            is_real = tf.cast(sample_weight > 0, tf.float32)
            self._mean_of_examples.update_state(losses, sample_weight=is_real)
        return super().compute_loss(x, losses, logits, sample_weight)

    def compute_metrics(
        self,
        x: Any,
        y: Mapping[str, tf.Tensor],
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None,
    ) -> dict[str, tf.Tensor]:
        """Update the metrics, which are computed from the labels, and return their values."""
        return super().compute_metrics(x, y[LABELS], y_pred, sample_weight)


class HintedTrainee(Trainee):
    """A classifier that learns by what its encoder computes inside, besides its logits."""

    def __init__(
        self,
        classifier: tf_keras.Model,
        objective: Objective,
        whole: tf_keras.Model,
        seed: int,
        step: TrainingStep | None = None,
    ) -> None:
        """Wrap a classifier as `Trainee`.

        Args:
          classifier: as for `Trainee`.
          objective: what to minimise; it may have `hints`.
          whole: of `heads.with_inside`: the same layers and features, to logits and by name what
            each hint and the step select.
          seed: of the first values of what is trained for a hint alone.
          step: as for `Trainee`.
        """
        super().__init__(classifier, objective, step)
        made = {hint.name: hint.projection(seed) for hint in objective.hints}
        self.projections = {name: one for name, one in made.items() if one is not None}
        # Within a function, so that Keras does not count the same layers twice.
        self._whole = lambda features, training: whole(features, training=training)

    @property
    def own_state(self) -> dict[str, Any]:
        """As that of `Trainee`."""
        return {"projections": self.projections} if self.projections else {}

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> dict[str, tf.Tensor]:
        """Return `logits` [batch, width] and, by its name, what hints and step select."""
        del mask
        return self._whole(inputs, training)

    def logits_of(self, outputs: Any) -> tf.Tensor:
        """Return the logits of what `call` returns."""
        return outputs["logits"]

    def compute_loss(
        self, x: Any, y: Any, y_pred: Any, sample_weight: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Return the mean of a batch's losses; `y_pred` is what `call` returns."""
        return self._mean(x, self.example_losses(y, y_pred, x), y_pred["logits"], sample_weight)

    def example_losses(
        self, targets: Mapping[str, tf.Tensor], outputs: Any, features: Any
    ) -> tf.Tensor:
        """Return the loss of each example of a batch, that of its hints included."""
        found = self.objective.losses(targets, outputs["logits"])
        for hint in self.objective.hints:
            projection = self.projections.get(hint.name)
            found += hint.losses(targets, outputs[hint.name], features, projection)
        return found

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        """Update the metrics of the logits, and return their values."""
        return super().compute_metrics(x, y, y_pred["logits"], sample_weight)


def _as_computed(losses: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the losses that the objective has computed, where Keras asks for its own.

    Keras then takes their mean, counts it, and divides it among the replicas.
    """
    del logits
    return losses


def trainee(
    model: tf_keras.Model,
    inputs: Iterable[str],
    objective: Objective,
    seed: int,
    step: TrainingStep | None = None,
) -> Trainee:
    """Return a classifier as it trains, with what its encoder computes where that is learned.

    Args:
      model: from `build_classifier`, under the scope of the strategy that it was built under.
      inputs: names of the features that its batches have.
      objective: what to minimise.
      seed: of the run.
      step: how a step computes; None for one network.
    """
    classifier = heads.over(model, inputs)
    select = {hint.name: hint.select for hint in objective.hints}
    if step is not None:
        select |= step.select
    if not select:
        return Trainee(classifier, objective, step)
    whole = heads.with_inside(model, inputs, select)
    return HintedTrainee(classifier, objective, whole, seed, step)
