"""The interface of a kind of problem. TensorFlow is imported where it is needed."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from bert_glue_tf.core import lazy
from bert_glue_tf.data.problems.answers import Answer, LabelScore, NoLabelError
from bert_glue_tf.data.tags import Span

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    import tf_keras
else:
    np = lazy.module("numpy")  # Any command that has settings imports this module.

Metric: TypeAlias = "Callable[[np.ndarray, np.ndarray], float]"


class Problem(abc.ABC):
    """A kind of answer. Logits are float [n, width], predictions and labels [n].

    Where `tags_words` is set each word of a text has an answer: logits [n, words, width].
    """

    # The classes' names in the order of their ids; empty where there are none.
    labels: tuple[str, ...]
    # The dtype, by its name, of labels in memory and in training.
    label_dtype: str
    # The dtype of labels that are read from a predictions file, and of predictions.
    wide_dtype: str
    # The heading of an answer's number where `predict` writes a table.
    score_name: str
    # Whether an answer is either right or wrong, so that accuracy and McNemar's test apply.
    is_right_or_wrong: bool
    # Whether each word of a text has an answer of its own, instead of the text as a whole.
    tags_words = False
    # Whether `fitted` chooses a threshold on held-out examples.
    fits_threshold = False
    # The function of `probabilities` that makes them of logits; empty where there are none.
    to_probabilities = ""
    # The metrics of a task of the user's own, and which of them is primary.
    usual_metrics: tuple[str, ...]
    usual_primary_metric: str

    @property
    @abc.abstractmethod
    def output_names(self) -> tuple[str, ...]:
        """Return the names of the head's outputs."""

    @property
    def width(self) -> int:
        """Return the width of the head's output."""
        return len(self.output_names)

    @property
    @abc.abstractmethod
    def output_text(self) -> str:
        """Return the head's outputs in words, for a model's card."""

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """Return what is predicted, in a few words: `77 classes`."""

    @property
    def scale(self) -> tuple[float, float] | None:
        """Return the smallest and the largest label; None where labels are no numbers."""
        return None

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Return a problem of its fields in JSON types.

        Raises:
          KeyError, TypeError: they are not the values of a problem.
        """
        labels = {"labels": tuple(map(str, fields["labels"]))} if "labels" in fields else {}
        return cls(**{**fields, **labels})

    @property
    def learned(self) -> dict[str, Any]:
        """Return the fields that a training finds, and no task knows before; empty without any."""
        return {}

    # --- labels ---

    def as_labels(self, values: Iterable[float]) -> np.ndarray:
        """Return labels [n] as they lie in memory, of `label_dtype`."""
        return np.asarray(values, dtype=self.label_dtype)

    @abc.abstractmethod
    def is_label(self, values: np.ndarray) -> np.ndarray:
        """Return bool [n]: which of the numbers [n] are labels of this problem."""

    @abc.abstractmethod
    def parse_label(self, text: str, spellings: Sequence[str]) -> float:
        """Return the label that a file of data holds as text.

        Args:
          text: as it stands in the file.
          spellings: the classes as the file spells them, in the order of their ids.

        Raises:
          ValueError: it is no label; the message says which values are good.
        """

    @abc.abstractmethod
    def label_from(self, value: str | Sequence[str | None]) -> Any:
        """Return the label, as `as_labels` takes it, that a table of the user's own holds.

        Args:
          value: name of a class or text of a number; several names where the table has a list.

        Raises:
          ValueError: it is no label that training has; the message says which values are good.
        """

    def repaired(self, label: Any) -> Any:
        """Return a label without what breaks its form: as it is, where it has none."""
        return label

    def strata(self, labels: np.ndarray) -> list[tuple[str, np.ndarray]]:
        """Return the groups that both sides of a division of labels [n] need: name, places [m]."""
        return [("any", np.arange(len(labels)))]

    def with_label(self, labels: np.ndarray) -> list[np.ndarray]:
        """Return for each label that labels [n] have the places of its examples, int [m]."""
        return [members for _, members in self.strata(labels)]

    def keras_labels(self, labels: tf.Tensor) -> tf.Tensor:
        """Return a batch of labels as `keras_loss` takes them beside logits [batch, width]."""
        import tensorflow as tf

        return tf.expand_dims(labels, -1)

    # --- logits ---

    def decode(self, logits: np.ndarray) -> np.ndarray:
        """Return the predictions [n] that the logits stand for, of `wide_dtype`.

        Logits that are not finite have no prediction: ask `diverged` first.

        Args:
          logits: [n, width], or [n, words, width].

        Raises:
          ValueError: `logits` has another shape.
        """
        logits = np.asarray(logits)
        if logits.ndim != 2 + self.tags_words or logits.shape[-1] != self.width:
            expected = f"[n, {'words, ' if self.tags_words else ''}{self.width}]"
            raise ValueError(f"logits of shape {logits.shape}, but {expected} is expected.")
        return self._decode(logits)

    def no_logits(self) -> np.ndarray:
        """Return the logits of no example: float32 [0, width] or [0, 0, width]."""
        return np.empty((0, *((0,) if self.tags_words else ()), self.width), np.float32)

    @abc.abstractmethod
    def _decode(self, logits: np.ndarray) -> np.ndarray:
        """Return the predictions of logits that have the right shape."""

    def loss(self, labels: np.ndarray, logits: np.ndarray) -> float:
        """Return the mean loss, which training minimises; NaN for a model that has diverged.

        Args:
          labels: [n].
          logits: float [n, width].
        """
        return float("nan") if diverged(logits) else self._loss(labels, logits)

    @abc.abstractmethod
    def _loss(self, labels: np.ndarray, logits: np.ndarray) -> float:
        """Return the mean loss of finite logits."""

    @abc.abstractmethod
    def keras_loss(self) -> tf_keras.losses.Loss:
        """Build Keras's loss of labels [n, 1] and logits [n, width]; its `call` gives [n]."""

    @abc.abstractmethod
    def keras_metrics(self, is_filled_up: bool) -> list[tf_keras.metrics.Metric | str]:
        """Build what Keras reports of the training besides the loss, as `weighted_metrics`.

        Args:
          is_filled_up: whether the batches come from `batching.replicas_dataset`; the metrics
            have to be made under the replicas' strategy.
        """

    @abc.abstractmethod
    def distillation_loss(
        self, teacher: tf.Tensor, logits: tf.Tensor, temperature: float
    ) -> tf.Tensor:
        """Return how far each example's answer is from a teacher's: float32 [n], 0 for the same.

        Args:
          teacher: float32 [n, width], the teacher's logits, in the order of the own outputs.
          logits: float32 [n, width].
          temperature: above 0; divides the logits before they become probabilities.
        """

    def fitted(self, labels: np.ndarray, logits: np.ndarray) -> Problem:
        """Return the problem with its threshold, if it has one, chosen on held-out examples.

        Args:
          labels: [n].
          logits: float [n, width].
        """
        del labels, logits
        return self

    @property
    def has_positives(self) -> bool:
        """Return whether answers are positive or negative, so that precision and recall apply."""
        return False

    def positives(self, labels: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which answers ought to be positive, bool [m], and their probabilities.

        The probabilities, float64 [m], are those that `answers` gives.

        Raises:
          ValueError: `has_positives` is False.
        """
        raise ValueError("no answer of this problem is positive or negative.")

    def at(self, threshold: float) -> Problem:
        """Return the problem whose answers are positive from another probability on.

        Raises:
          ValueError: `has_positives` is False.
        """
        raise ValueError("no answer of this problem is positive or negative.")

    def balance(self, labels: np.ndarray) -> np.ndarray:
        """Return weights float32 [n], of mean 1, with which all classes count alike; else ones."""
        return np.ones(len(labels), np.float32)

    def first_bias(self, labels: np.ndarray) -> np.ndarray:
        """Return the biases of a new head, float32 [width], from the labels of the training."""
        return np.zeros(self.width, np.float32)

    def per_label(self, labels: np.ndarray, predictions: np.ndarray) -> list[LabelScore]:
        """Return precision, recall and F1 of each label; empty where there are no labels.

        Args:
          labels: [n].
          predictions: [n].
        """
        del labels, predictions
        return []

    # --- scores ---

    def spans(self, label: Sequence[int] | np.ndarray, is_strict: bool = False) -> list[Span]:
        """Return the spans of a text whose words have labels or predictions of their own.

        Args:
          label: int [words]; -1 is outside of all spans.
          is_strict: whether only those are given that keep to the tags' scheme.

        Raises:
          ValueError: `tags_words` is False.
        """
        raise ValueError("no word has an answer of its own in this problem.")

    @property
    def always_scored(self) -> tuple[str, ...]:
        """Return the metrics that every evaluation reports, whatever the task names besides."""
        return ("accuracy",) if self.is_right_or_wrong else ()

    def flips(self, reference: np.ndarray, logits: np.ndarray) -> int:
        """Count the examples that get another answer than from the reference.

        Args:
          reference: float [n, width], one model's logits.
          logits: float [n, width], another's.
        """
        return int(np.sum(self._differ(self.decode(reference), self.decode(logits))))

    @abc.abstractmethod
    def _differ(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Return bool [n]: which predictions differ for a user."""

    def confusion(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray | None:
        """Count the answers to each class: int [classes, classes], rows are the labels.

        None where answers are no classes.

        Args:
          labels: [n].
          predictions: [n].
        """
        del labels, predictions
        return None

    @abc.abstractmethod
    def chance(self, metric: Metric, labels: np.ndarray) -> float:
        """Return the best score of an answer that does not look at the text.

        Args:
          metric: (labels [n], predictions [n]) -> score.
          labels: [n].
        """

    def only_answer(self, labels: np.ndarray, predictions: np.ndarray) -> str | None:
        """Return the answer that all examples get, though their labels differ; else None."""
        if len(np.unique(predictions)) > 1 or len(np.unique(labels)) == 1:
            return None
        return self._name(predictions[0])

    @abc.abstractmethod
    def _name(self, prediction: Any) -> str:
        """Return a prediction as text for a reader."""

    def units(self, labels: np.ndarray) -> int:
        """Return how many units a bootstrap can draw: the examples."""
        return len(labels)

    def draw(self, values: np.ndarray, units: np.ndarray) -> np.ndarray:
        """Return labels or predictions of the units that a bootstrap has drawn.

        Args:
          values: [n], labels or predictions.
          units: int, numbers from 0 below `units`.
        """
        return values[units]

    # --- files and users ---

    def header(self) -> list[str]:
        """Return the column names of a predictions file."""
        return ["index", "label", "prediction", *(f"logit_{name}" for name in self.output_names)]

    def rows(self, labels: np.ndarray, logits: np.ndarray) -> list[list[str]]:
        """Return the rows of a predictions file; "nan" is the prediction of a diverged model.

        Args:
          labels: [n].
          logits: float [n, width].
        """
        predictions = self.decode(logits)
        are_numbers = np.isfinite(logits).all(axis=1)
        return [
            [str(i), str(label), str(prediction) if is_number else "nan", *map(str, outputs)]
            for i, (label, prediction, is_number, outputs) in enumerate(
                zip(labels, predictions, are_numbers, logits, strict=True)
            )
        ]

    def read_rows(self, rows: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Return labels [n] of `wide_dtype` and logits float32 [n, width] of a predictions file.

        Raises:
          ValueError: a cell is no number, or the logits have not the problem's width.
          NoLabelError: a label is none of this problem.
        """
        logits = np.array([row[3:] for row in rows], np.float32)
        labels = np.array([float(row[1]) for row in rows])
        if logits.ndim != 2 or not logits.size:
            raise ValueError("no logits")
        if logits.shape[1] != self.width:
            raise ValueError(f"{logits.shape[1]} logits a line instead of {self.width}")
        are_labels = self.is_label(labels)
        if not are_labels.all():
            raise NoLabelError(int(np.argmin(are_labels)))
        return labels.astype(self.wide_dtype), logits

    @abc.abstractmethod
    def answers(self, logits: np.ndarray, texts: Sequence[Sequence[str]] = ()) -> list[Answer]:
        """Return what `predict` shows for each row of finite logits float32 [n, width].

        Args:
          logits: of n examples.
          texts: their texts, one or two each, for a problem that says something of their words.
        """

    @abc.abstractmethod
    def served(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return what a server answers, by name, each [n, ...], of logits float32 [n, width]."""

    @abc.abstractmethod
    def submission(self, logits: np.ndarray, spellings: Sequence[str]) -> list[str]:
        """Return each answer as the benchmark's server takes it.

        Args:
          logits: float [n, width].
          spellings: the classes as the benchmark spells them, in the order of their ids.
        """


def diverged(logits: np.ndarray) -> bool:
    """Return whether a model's outputs are no numbers any more: any is NaN or infinite."""
    return not np.isfinite(logits).all()
