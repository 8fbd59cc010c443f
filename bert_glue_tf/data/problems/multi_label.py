"""Several labels, or none, of a list."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core import lazy
from bert_glue_tf.data.problems.answers import Answer, LabelScore, listed
from bert_glue_tf.data.problems.base import Metric, NoLabelError, Problem
from bert_glue_tf.data.problems.probabilities import SIGMOID, of_logits

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    import tf_keras
else:
    np = lazy.module("numpy")

_NONE = "none"  # How a predictions file and a reader see that no label applies.


@dataclasses.dataclass(frozen=True)
class MultiLabel(Problem):
    """Any number of labels. Labels and predictions are 0 or 1 for each: [n, width].

    Each logit stands for a probability of its own, sigmoid(logit); a label is answered where its
    probability is `threshold` at least.

    Attributes:
      labels: their names, in the order of the outputs.
      threshold: of the probability, one for all labels.
    """

    labels: tuple[str, ...]
    threshold: float = 0.5

    label_dtype = "int8"
    wide_dtype = "int64"
    score_name = "probability"
    to_probabilities = SIGMOID
    is_right_or_wrong = False
    fits_threshold = True
    has_positives = True
    usual_metrics = ("micro_f1", "macro_f1")
    usual_primary_metric = "micro_f1"

    @property
    def output_names(self) -> tuple[str, ...]:
        return self.labels

    @property
    def output_text(self) -> str:
        return f"{', '.join(self.labels)}; each applies where its sigmoid is {self.threshold:.3g}"

    @property
    def title(self) -> str:
        return f"any of {self.width} labels"

    def strata(self, labels: np.ndarray) -> list[tuple[str, np.ndarray]]:
        """Return the examples by the rarest of their labels; what is alone goes with the others."""
        counts = labels.sum(axis=0)
        rarest = np.where(labels > 0, counts, len(labels) + 1).argmin(axis=1)
        group = np.where(labels.any(axis=1), rarest, self.width)
        alone = np.bincount(group, minlength=self.width + 1)[group] == 1
        group = np.where(alone, self.width, group)
        names = (*self.labels, _NONE)
        found = [(names[one], np.flatnonzero(group == one)) for one in np.unique(group)]
        if len(found) > 1 and len(found[-1][1]) == 1:
            (name, members), (_, last) = found[-2:]
            found[-2:] = [(name, np.append(members, last))]
        return found

    def with_label(self, labels: np.ndarray) -> list[np.ndarray]:
        return [np.flatnonzero(column) for column in labels.T if column.any()]

    def as_labels(self, values: Any) -> np.ndarray:
        return np.asarray(list(values), dtype=self.label_dtype).reshape(-1, self.width)

    def is_label(self, values: np.ndarray) -> np.ndarray:
        values = np.asarray(values)
        if values.ndim != 2:
            return np.zeros(len(values), bool)
        return np.asarray(np.isin(values, (0, 1)).all(axis=1))

    def parse_label(self, text: str, spellings: Sequence[str]) -> Any:
        """Return the row of labels that names with commas between them stand for."""
        names = [] if text == _NONE else text.split(",")
        if not all(name in spellings for name in names):
            raise ValueError(", ".join(spellings))
        return [int(name in names) for name in spellings]

    def label_from(self, value: str | Sequence[str | None]) -> list[int]:
        if isinstance(value, str):
            raise ValueError("a list of labels, as the training texts have it")
        if not all(name in self.labels for name in value):
            raise ValueError(f"a list of {listed(self.labels)}, as the training texts have them")
        return [int(name in value) for name in self.labels]

    def first_bias(self, labels: np.ndarray) -> np.ndarray:
        """Return the log odds of each label, so that a training begins with its frequency.

        From zero, the first steps of a training only learn that each of many labels is rare, and
        move the encoder to where all texts are alike (Lin et al. 2017, "Focal Loss for Dense
        Object Detection", https://arxiv.org/abs/1708.02002, section 3.3). Half an example of each
        kind is added, since a label that all texts have or none has no finite odds.
        """
        count = np.sum(labels, axis=0, dtype=np.float64)
        return np.log((count + 0.5) / (len(labels) - count + 0.5)).astype(np.float32)

    def keras_labels(self, labels: tf.Tensor) -> tf.Tensor:
        return labels

    def _decode(self, logits: np.ndarray) -> np.ndarray:
        return (of_logits(SIGMOID, logits) >= self.threshold).astype(self.wide_dtype)

    def _loss(self, labels: np.ndarray, logits: np.ndarray) -> float:
        """Return the mean over the examples of their cross-entropy, the sum over the labels.

        The sum is -log of the probability of an example's whole answer, as the loss of classes
        is; of a mean over 62 labels the gradients are that much smaller, and drown in Adam's
        epsilon.
        """
        logits = logits.astype(np.float64)
        # -log sigmoid(z) is log(1 + exp(-z)), and -log(1 - sigmoid(z)) is z more.
        each = np.logaddexp(0.0, -logits) + (1 - labels) * logits
        return float(np.mean(each.sum(axis=-1)))

    def keras_loss(self) -> tf_keras.losses.Loss:
        from bert_glue_tf.data.keras_metrics import CrossEntropyOfLabels

        return CrossEntropyOfLabels()

    def keras_metrics(self, is_filled_up: bool) -> list[tf_keras.metrics.Metric | str]:
        del is_filled_up
        return []

    def distillation_loss(
        self, teacher: tf.Tensor, logits: tf.Tensor, temperature: float
    ) -> tf.Tensor:
        """Return the sum over the labels of each one's divergence from the teacher's probability.

        T^2 KL of two answers, yes and no, of probability sigmoid(logit / T): the softened
        probabilities of `Classification.distillation_loss` for each label by itself.
        """
        import tensorflow as tf

        wanted, found = teacher / temperature, logits / temperature
        yes = tf.sigmoid(wanted) * (tf.math.log_sigmoid(wanted) - tf.math.log_sigmoid(found))
        no = tf.sigmoid(-wanted) * (tf.math.log_sigmoid(-wanted) - tf.math.log_sigmoid(-found))
        return temperature**2 * tf.reduce_sum(yes + no, axis=-1)

    def fitted(self, labels: np.ndarray, logits: np.ndarray) -> MultiLabel:
        """Return the problem with the threshold of the largest micro F1 on held-out examples.

        With logits of a training that diverged, the problem as it is.

        Lipton et al. 2014, https://arxiv.org/abs/1402.1892, on thresholds that maximise F1.
        """
        if not np.all(np.isfinite(logits)):
            return self
        probabilities = of_logits(SIGMOID, logits).ravel()
        order = np.argsort(-probabilities, kind="stable")
        found = np.cumsum(labels.ravel()[order])
        answered = np.arange(1, len(order) + 1)
        f1 = 2 * found / (answered + max(1, int(labels.sum())))
        # Answers of one probability are given together.
        ends = np.append(np.diff(probabilities[order]) != 0, True)
        best = int(np.argmax(np.where(ends, f1, -1.0)))
        return dataclasses.replace(self, threshold=float(probabilities[order][best]))

    def positives(self, labels: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return labels.ravel() > 0, of_logits(SIGMOID, logits).ravel()

    def at(self, threshold: float) -> MultiLabel:
        return dataclasses.replace(self, threshold=threshold)

    def per_label(self, labels: np.ndarray, predictions: np.ndarray) -> list[LabelScore]:
        right = (labels & predictions).sum(axis=0)
        numbers = zip(right, labels.sum(axis=0), predictions.sum(axis=0), strict=True)
        return [LabelScore.of(n, *m) for n, m in zip(self.labels, numbers, strict=True)]

    def _differ(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        differ: np.ndarray = (before != after).any(axis=1)
        return differ

    def chance(self, metric: Metric, labels: np.ndarray) -> float:
        """Return the best score of the same answer to all: the k most frequent labels."""
        order = np.argsort(-labels.sum(axis=0), kind="stable")
        answer, best = np.zeros_like(labels), 0.0
        for label in order[:50]:
            answer[:, label] = 1
            best = max(best, metric(labels, answer))
        return best

    def only_answer(self, labels: np.ndarray, predictions: np.ndarray) -> str | None:
        if (predictions != predictions[0]).any() or (labels == labels[0]).all():
            return None
        return self._name(predictions[0])

    def _name(self, prediction: Any) -> str:
        return ", ".join(self._names(prediction)) or _NONE

    def _names(self, prediction: Any) -> list[str]:
        return [name for name, is_there in zip(self.labels, prediction, strict=True) if is_there]

    def rows(self, labels: np.ndarray, logits: np.ndarray) -> list[list[str]]:
        """Return the rows of a predictions file: labels are their numbers, commas between."""
        are_numbers = np.isfinite(logits).all(axis=1)
        return [
            [str(i), _numbers(label), _numbers(found) if is_number else "nan", *map(str, outputs)]
            for i, (label, found, is_number, outputs) in enumerate(
                zip(labels, self.decode(logits), are_numbers, logits, strict=True)
            )
        ]

    def read_rows(self, rows: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        logits = np.array([row[3:] for row in rows], np.float32)
        if logits.ndim != 2 or not logits.size:
            raise ValueError("no logits")
        if logits.shape[1] != self.width:
            raise ValueError(f"{logits.shape[1]} logits a line instead of {self.width}")
        labels = np.zeros(logits.shape, self.wide_dtype)
        for number, row in enumerate(rows):
            if row[1] == _NONE:
                continue
            places = row[1].split(",")
            if not all(place.isdecimal() and int(place) < self.width for place in places):
                raise NoLabelError(number)
            labels[number, [int(place) for place in places]] = 1
        return labels, logits

    def answers(self, logits: np.ndarray, texts: Sequence[Sequence[str]] = ()) -> list[Answer]:
        """Return the labels that apply, commas between; the score is that of the surest one."""
        answers = []
        for row, found in zip(of_logits(SIGMOID, logits), self.decode(logits), strict=True):
            named = dict(zip(self.labels, map(float, row), strict=True))
            answers.append(Answer(self._name(found), named, float(row.max())))
        return answers

    def served(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return `label` (all that apply), `probabilities` and, beside these, their `classes`."""
        import tensorflow as tf

        probabilities = tf.sigmoid(logits)
        classes = tf.repeat(tf.constant(self.labels)[None], tf.shape(logits)[0], axis=0)
        found = tf.ragged.boolean_mask(classes, probabilities >= self.threshold)
        joined = tf.strings.reduce_join(found, axis=-1, separator=", ")
        return {
            "label": tf.where(joined == "", _NONE, joined),
            "probabilities": probabilities,
            "classes": classes,
        }

    def submission(self, logits: np.ndarray, spellings: Sequence[str]) -> list[str]:
        rows = (np.flatnonzero(found) for found in self.decode(logits))
        return [",".join(spellings[int(place)] for place in row) or _NONE for row in rows]


def _numbers(labels: np.ndarray) -> str:
    return ",".join(map(str, np.flatnonzero(labels))) or _NONE
