"""One of several classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core import lazy
from bert_glue_tf.data.problems.answers import Answer, LabelScore, listed
from bert_glue_tf.data.problems.base import Metric, Problem
from bert_glue_tf.data.problems.probabilities import SOFTMAX, of_logits

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    import tf_keras
else:
    np = lazy.module("numpy")


@dataclasses.dataclass(frozen=True)
class Classification(Problem):
    """One of several classes. Labels and predictions are class ids, from 0.

    Attributes:
      labels: the classes' names in the order of their ids.
    """

    labels: tuple[str, ...]

    label_dtype = "int32"
    wide_dtype = "int64"
    score_name = "probability"
    to_probabilities = SOFTMAX
    is_right_or_wrong = True
    usual_metrics = ("accuracy", "macro_f1")
    usual_primary_metric = "macro_f1"

    @property
    def output_names(self) -> tuple[str, ...]:
        return self.labels

    @property
    def output_text(self) -> str:
        return ", ".join(self.labels)

    @property
    def title(self) -> str:
        return f"{self.width} classes"

    def strata(self, labels: np.ndarray) -> list[tuple[str, np.ndarray]]:
        order = np.argsort(labels, kind="stable")
        ids, starts = np.unique(labels[order], return_index=True)
        groups = np.split(order, starts[1:])
        return [(self._name(label), group) for label, group in zip(ids, groups, strict=True)]

    def is_label(self, values: np.ndarray) -> np.ndarray:
        return np.isin(values, range(self.width))

    def parse_label(self, text: str, spellings: Sequence[str]) -> float:
        if text not in spellings:
            raise ValueError(", ".join(spellings))
        return spellings.index(text)

    def label_from(self, value: str | Sequence[str | None]) -> int:
        if not isinstance(value, str) or value not in self.labels:
            raise ValueError(f"{listed(self.labels)}, as the training texts have them")
        return self.labels.index(value)

    def _decode(self, logits: np.ndarray) -> np.ndarray:
        return np.argmax(logits, axis=1)

    def _loss(self, labels: np.ndarray, logits: np.ndarray) -> float:
        """Return the mean cross-entropy of the labels under softmax(logits)."""
        from scipy import special  # Here, since a wrong flag is answered without it.

        log_probabilities = special.log_softmax(logits.astype(np.float64), axis=-1)
        return float(-np.mean(log_probabilities[np.arange(len(labels)), labels]))

    def keras_loss(self) -> tf_keras.losses.Loss:
        import tf_keras

        return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def keras_metrics(self, is_filled_up: bool) -> list[tf_keras.metrics.Metric | str]:
        if not is_filled_up:
            return ["accuracy"]
        import tf_keras

        from bert_glue_tf.data.keras_metrics import MeanOfExamples

        return [MeanOfExamples(tf_keras.metrics.sparse_categorical_accuracy, name="accuracy")]

    def distillation_loss(
        self, teacher: tf.Tensor, logits: tf.Tensor, temperature: float
    ) -> tf.Tensor:
        """Return the divergence of the softened probabilities from the teacher's.

        T^2 KL(softmax(teacher / T) || softmax(logits / T)), as Hinton et al. 2015
        (https://arxiv.org/abs/1503.02531, section 2): T^2 keeps the gradient's size whatever T is.
        """
        import tensorflow as tf

        wanted = tf.nn.log_softmax(teacher / temperature)
        found = tf.nn.log_softmax(logits / temperature)
        return temperature**2 * tf.reduce_sum(tf.exp(wanted) * (wanted - found), axis=-1)

    def _differ(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return before != after

    def confusion(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray | None:
        from sklearn import metrics  # Here, since a wrong flag is answered without it.

        counts: np.ndarray = metrics.confusion_matrix(labels, predictions, labels=range(self.width))
        return counts

    @property
    def has_positives(self) -> bool:
        return self.width == 2

    def positives(self, labels: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not self.has_positives:
            return super().positives(labels, logits)
        return labels == 1, of_logits(SOFTMAX, logits)[:, 1]

    def at(self, threshold: float) -> Problem:
        if not self.has_positives:
            return super().at(threshold)
        return _TwoClasses(self.labels, threshold)

    def balance(self, labels: np.ndarray) -> np.ndarray:
        """Return n / (classes * examples of the class), as scikit-learn's "balanced"."""
        counts = np.bincount(labels, minlength=self.width)
        occurring = int(np.count_nonzero(counts))
        weights: np.ndarray = (len(labels) / (occurring * counts[labels])).astype(np.float32)
        return weights

    def per_label(self, labels: np.ndarray, predictions: np.ndarray) -> list[LabelScore]:
        counts = self.confusion(labels, predictions)
        assert counts is not None
        numbers = zip(np.diag(counts), counts.sum(axis=1), counts.sum(axis=0), strict=True)
        return [LabelScore.of(n, *m) for n, m in zip(self.labels, numbers, strict=True)]

    def chance(self, metric: Metric, labels: np.ndarray) -> float:
        """Return the score of the best single class: 0 for Matthews correlation."""
        return max(metric(labels, np.full_like(labels, label)) for label in range(self.width))

    def _name(self, prediction: Any) -> str:
        return self.labels[int(prediction)]

    def answers(self, logits: np.ndarray, texts: Sequence[Sequence[str]] = ()) -> list[Answer]:
        answers = []
        for row, found in zip(of_logits(SOFTMAX, logits), self.decode(logits), strict=True):
            named = dict(zip(self.labels, map(float, row), strict=True))
            label = self._name(found)
            answers.append(Answer(label, named, named[label]))
        return answers

    def served(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return `label`, `probabilities` and, beside these, the names of the `classes`."""
        import tensorflow as tf

        classes = tf.constant(self.labels)
        return {
            "label": tf.gather(classes, tf.argmax(logits, axis=-1)),
            "probabilities": tf.nn.softmax(logits),
            "classes": tf.repeat(classes[None], tf.shape(logits)[0], axis=0),
        }

    def submission(self, logits: np.ndarray, spellings: Sequence[str]) -> list[str]:
        return [spellings[int(index)] for index in self.decode(logits)]


@dataclasses.dataclass(frozen=True)
class _TwoClasses(Classification):
    """Two classes, of which the second is answered from a probability on that was chosen."""

    threshold: float

    def _decode(self, logits: np.ndarray) -> np.ndarray:
        return (of_logits(SOFTMAX, logits)[:, 1] >= self.threshold).astype(self.wide_dtype)
