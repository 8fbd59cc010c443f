"""The scores of a model on the validation splits, while it trains and when it is saved."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping

import tf_keras

from bert_glue_tf.data import problems
from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.layouts import Layout
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import bootstrap, evaluator, metrics
from bert_glue_tf.evaluation.evaluator import EVALUATION_BATCH, Evaluation, PredictFn
from bert_glue_tf.models import classifiers

# Name of a metric with its split's suffix -> the 95 % bootstrap interval over the examples.
Intervals = Mapping[str, tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Scoring:
    """The validation of a run.

    Attributes:
      task: of the run.
      splits: suffix of the metrics' names -> validation or test split in word pieces.
      layout: how the texts of a batch lie in arrays.
    """

    task: TaskSpec
    splits: Mapping[str, Split]
    layout: Layout

    def predict_fn(self, model: tf_keras.Model) -> PredictFn:
        """Return the model as a function of features to logits; see `classifiers.predict_fn`."""
        return classifiers.predict_fn(model, self.layout)

    def while_training(self, predict_fn: PredictFn) -> Callable[[], dict[str, float]]:
        """Return a function that scores the model of a `predict_fn` as it stands."""
        validation = self.task.validation_splits
        return lambda: flatten(self._evaluate(predict_fn, validation))

    def evaluate(self, predict_fn: PredictFn) -> dict[str, Evaluation]:
        """Return the scores on every split, by its suffix."""
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
                task.problem, metrics.METRICS[name], validation[suffix].labels, outputs
            )
    return intervals
