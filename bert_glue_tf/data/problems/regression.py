"""A number."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core import lazy
from bert_glue_tf.data.problems.answers import Answer
from bert_glue_tf.data.problems.base import Metric, Problem

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    import tf_keras
else:
    np = lazy.module("numpy")


@dataclasses.dataclass(frozen=True)
class Regression(Problem):
    """A number. The head has one output, which is the prediction.

    Attributes:
      low: the smallest label.
      high: the largest label.
    """

    low: float
    high: float

    labels = ()
    label_dtype = "float32"
    wide_dtype = "float64"
    score_name = "score"
    is_right_or_wrong = False
    usual_metrics = ("pearson", "spearman")
    usual_primary_metric = "pearson"
    # Scores that differ by less are the same to a user.
    FLIP = 0.1

    @property
    def output_names(self) -> tuple[str, ...]:
        return ("score",)

    @property
    def output_text(self) -> str:
        return "the score"

    @property
    def title(self) -> str:
        return f"a number, in training from {self.low:g} to {self.high:g}"

    @property
    def scale(self) -> tuple[float, float]:
        return self.low, self.high

    def is_label(self, values: np.ndarray) -> np.ndarray:
        return np.isfinite(values)

    def parse_label(self, text: str, spellings: Sequence[str]) -> float:
        del spellings
        try:
            score = float(text)
        except ValueError:
            score = math.nan
        if not self.low <= score <= self.high:  # True for NaN.
            raise ValueError(f"a number from {self.low:g} to {self.high:g}")
        return score

    def label_from(self, value: str | Sequence[str | None]) -> float:
        try:
            score = float(value) if isinstance(value, str) else math.nan
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise ValueError("a number, as the training texts have one")
        return score

    def _decode(self, logits: np.ndarray) -> np.ndarray:
        return logits[:, 0].astype(np.float64)

    def _loss(self, labels: np.ndarray, logits: np.ndarray) -> float:
        """Return the mean squared error."""
        return float(np.mean(np.square(logits[:, 0] - labels)))

    def keras_loss(self) -> tf_keras.losses.Loss:
        import tf_keras

        return tf_keras.losses.MeanSquaredError()

    def keras_metrics(self, is_filled_up: bool) -> list[tf_keras.metrics.Metric | str]:
        del is_filled_up
        return []

    def distillation_loss(
        self, teacher: tf.Tensor, logits: tf.Tensor, temperature: float
    ) -> tf.Tensor:
        """Return the squared difference from the teacher's number, which no temperature softens."""
        import tensorflow as tf

        del temperature
        return tf.reduce_mean(tf.square(logits - teacher), axis=-1)

    def _differ(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return np.abs(before - after) >= self.FLIP

    def chance(self, metric: Metric, labels: np.ndarray) -> float:
        """Return 0: a constant has no correlation."""
        del metric, labels
        return 0.0

    def _name(self, prediction: Any) -> str:
        return f"{prediction:.3g}"

    def answers(self, logits: np.ndarray, texts: Sequence[Sequence[str]] = ()) -> list[Answer]:
        return [Answer(f"{value:.3f}", {}, float(value)) for value in logits[:, 0]]

    def served(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the `score` of each text."""
        return {"score": logits[:, 0]}

    def submission(self, logits: np.ndarray, spellings: Sequence[str]) -> list[str]:
        """Return the scores, kept within the smallest and the largest label."""
        del spellings
        return [f"{value:.3f}" for value in np.clip(logits[:, 0], self.low, self.high)]
