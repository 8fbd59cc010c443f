"""The scores of a model on the validation splits, while it trains and when it is saved."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import tf_keras

from bert_glue_tf.data import problems
from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.layouts import Layout
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import bootstrap, evaluator, metrics, operating_point
from bert_glue_tf.evaluation.evaluator import EVALUATION_BATCH, Evaluation, PredictFn
from bert_glue_tf.evaluation.operating_point import OperatingPoint
from bert_glue_tf.models import classifiers, heads

# Name of a metric with its split's suffix -> the 95 % bootstrap interval over the examples.
Intervals = Mapping[str, tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Scoring:
    """The validation of a run.

    Attributes:
      task: of the run.
      splits: suffix of the metrics' names -> validation or test split in word pieces.
      layout: how the texts of a batch lie in arrays.
      held_out: training examples that no training sees, on which thresholds are chosen; None where
        none is needed.
    """

    task: TaskSpec
    splits: Mapping[str, Split]
    layout: Layout
    held_out: Split | None = None

    def predict_fn(self, model: tf_keras.Model) -> PredictFn:
        """Return the model as a function of features to logits; see `classifiers.predict_fn`."""
        return classifiers.predict_fn(model, self.layout)

    def while_training(
        self, predict_fn: PredictFn, model: tf_keras.Model
    ) -> Callable[[], dict[str, float]]:
        """Return a function that scores a model, of which `predict_fn` is, as it stands."""
        return lambda: self.of(model).validate(predict_fn)

    def of(self, model: tf_keras.Model) -> Scoring:
        """Return the scoring that decodes answers as the head of a model has learned to."""
        head = heads.word_head_of(model)
        if head is None or not (learned := head.learned()):
            return self
        problem = dataclasses.replace(self.task.problem, **learned)  # type: ignore[type-var]
        return dataclasses.replace(self, task=dataclasses.replace(self.task, problem=problem))

    def validate(self, predict_fn: PredictFn) -> dict[str, float]:
        """Return the scores of a model as it stands on the validation splits, by their names.

        A threshold is chosen for it as for the trained model, on the same held-out examples, so
        that the epochs are judged by what each would be as the run's result.
        """
        scoring = self
        if self.held_out is not None and self.task.problem.fits_threshold:
            scoring = self.fitted(self.held_out_logits(predict_fn))
        return flatten(scoring._evaluate(predict_fn, self.task.validation_splits))

    def held_out_logits(self, predict_fn: PredictFn) -> np.ndarray:
        """Return the logits float32 [n, width] of the examples that are held out."""
        assert self.held_out is not None
        return evaluator.predict(predict_fn, self.held_out.tokens, EVALUATION_BATCH, self.layout)

    def fitted(self, logits: np.ndarray) -> Scoring:
        """Return the scoring with the problem's own threshold, if it has one.

        Args:
          logits: as `held_out_logits` gives them.
        """
        assert self.held_out is not None
        problem = self.task.problem.fitted(self.held_out.labels, logits)
        return dataclasses.replace(self, task=dataclasses.replace(self.task, problem=problem))

    def evaluate(self, predict_fn: PredictFn) -> dict[str, Evaluation]:
        """Return the scores on every split, by its suffix.

        The model is called once before: it may not have been traced yet, which is not to count as
        the time that it takes for its examples.
        """
        tokens = next(iter(self.splits.values())).tokens
        batch = self.layout.batches(tokens.lengths, EVALUATION_BATCH)[0]
        predict_fn(self.layout.features(tokens, batch))
        return self._evaluate(predict_fn, self.splits)

    def _evaluate(self, predict_fn: PredictFn, suffixes: Collection[str]) -> dict[str, Evaluation]:
        return {
            suffix: evaluator.evaluate(
                predict_fn,
                split,
                self.task,
                batch_size=EVALUATION_BATCH,
                layout=self.layout,
            )
            for suffix, split in self.splits.items()
            if suffix in suffixes
        }


def at_points(
    task: TaskSpec,
    splits: Mapping[str, Split],
    points: Sequence[OperatingPoint],
    evaluations: Mapping[str, Evaluation],
) -> dict[str, float]:
    """Return precision and recall at chosen thresholds on every split; empty without points.

    Args:
      task: of the run.
      splits: suffix of the metrics' names -> split.
      points: chosen on other examples.
      evaluations: of the splits.
    """
    return {
        f"{name}{suffix}": value
        for suffix, done in evaluations.items()
        for name, value in operating_point.measured(
            task.problem, points, splits[suffix].labels, done.logits
        ).items()
    }


def flatten(evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
    """Return the metrics of all validation splits, the split's suffix behind each name."""
    return {
        f"{name}{suffix}": value
        for suffix, done in evaluations.items()
        for name, value in done.metrics.items()
    }


def intervals(
    task: TaskSpec, validation: Mapping[str, Split], evaluations: Mapping[str, Evaluation]
) -> Intervals:
    """Return the interval of each of the task's metrics, of every split with finite outputs."""
    intervals = {}
    for suffix, done in evaluations.items():
        if problems.diverged(done.logits):
            continue  # A diverged model: its metrics are NaN, and so has no interval.
        outputs = task.problem.decode(done.logits)
        for name in task.metrics:
            intervals[f"{name}{suffix}"] = bootstrap.interval(
                task.problem, metrics.of(task.problem, name), validation[suffix].labels, outputs
            )
    return intervals
