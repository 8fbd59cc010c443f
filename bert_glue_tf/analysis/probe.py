"""A saved classifier whose weights are changed for a while, and what it answers to some texts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import layouts
from bert_glue_tf.data.batching import Split
from bert_glue_tf.evaluation import evaluator, metrics
from bert_glue_tf.evaluation.evaluator import EVALUATION_BATCH
from bert_glue_tf.models import saving
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.training import objective as objectives

GRADIENT_BATCH = 32  # Texts whose gradients are summed before an absolute value is taken.


class Probe:
    """A finished run's classifier as TensorFlow loads it, whatever its encoder is held as.

    Attributes:
      family: of the encoder.
      variables: name -> variable, of all weights.
      labels: of the texts.
      reference: logits float32 [n, width] of the classifier as it is.
    """

    def __init__(self, run: Run, split: Split) -> None:
        """Load the classifier and let it answer.

        Args:
          run: a finished one.
          split: texts with labels.

        Raises:
          UserError: the model cannot be loaded, or its answers are no numbers.
        """
        self._task = run.task
        self._split = split
        self._classifier = saving.SavedClassifier.load(run.folder.model)
        lengths = layouts.bucket_lengths(run.config.seq_length, run.config.length_buckets)
        self._layout = self._classifier.layout(lengths)
        self._predict = self._classifier.predict_fn(self._layout)
        # The labels' own loss: a teacher's answers are not kept.
        self._objective = objectives.build(run.config, run.task)
        self._targets = self._objective.targets(split)
        self.family = saving.family_of(run.folder.model)
        self.variables: dict[str, tf.Variable] = {
            self.family.name_of(variable): variable for variable in self._classifier.saved.variables
        }
        self.labels = split.labels
        self.reference = self.logits()
        if not np.isfinite(self.reference).all():
            raise UserError(
                f"--run={run.path}: the classifier answers with values that are no numbers, since "
                "its training diverged. Give another run."
            )

    def logits(self) -> np.ndarray:
        """Return the answers of the classifier as it stands, float32 [n, width]."""
        return evaluator.predict(self._predict, self._split.tokens, EVALUATION_BATCH, self._layout)

    def losses(self, logits: np.ndarray) -> np.ndarray:
        """Return the loss of each text, float32 [n]."""
        targets = {name: tf.constant(values) for name, values in self._targets.items()}
        outputs = self._split.at_tokens(logits, 0.0)
        return self._objective.losses(targets, tf.constant(outputs)).numpy()

    def score(self, logits: np.ndarray) -> float:
        """Return the task's primary metric."""
        found = metrics.compute(self._task, self.labels, logits)
        return float(found[self._task.primary_metric])

    def flips(self, logits: np.ndarray) -> int:
        """Return how many texts have another label than by the classifier as it is."""
        return self._task.problem.flips(self.reference, logits)

    @contextlib.contextmanager
    def changed(self, values: Mapping[str, np.ndarray]) -> Iterator[None]:
        """Give some weights other values while the block runs.

        Args:
          values: name of a weight -> float32 of its shape.
        """
        before = {name: self.variables[name].numpy() for name in values}
        try:
            for name, value in values.items():
                self.variables[name].assign(value)
            yield
        finally:
            for name, value in before.items():
                self.variables[name].assign(value)

    def gradients(self, names: list[str]) -> Iterator[tuple[float, dict[str, np.ndarray]]]:
        """Yield the gradients of one batch's mean loss after the other.

        Args:
          names: of the weights.

        Yields:
          The share of the batch among all texts, and name -> float32 of the weight's shape.
        """
        tokens = self._split.tokens
        weights = [self.variables[name] for name in names]
        order = np.random.default_rng(0).permutation(len(tokens))
        for start in range(0, len(order), GRADIENT_BATCH):
            batch = order[start : start + GRADIENT_BATCH]
            features = self._layout.features(tokens, batch)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                for weight in weights:
                    tape.watch(weight)
                logits = self._classifier.call(self._layout, features)[: len(batch)]
                targets = {
                    name: tf.constant(values[batch]) for name, values in self._targets.items()
                }
                loss = tf.reduce_mean(self._objective.losses(targets, logits))
            found = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            dense = (tf.convert_to_tensor(one).numpy() for one in found)
            yield len(batch) / len(order), dict(zip(names, dense, strict=True))
