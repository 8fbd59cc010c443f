"""The answer to an example, and the scores of a label."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Answer:
    """A model's answer to one example, as `predict` shows it.

    Attributes:
      label: the most probable class; for regression the score as text.
      probabilities: class -> probability; empty for regression.
      score: the probability of `label`; for regression the score itself.
    """

    label: str
    probabilities: dict[str, float]
    score: float


@dataclasses.dataclass(frozen=True)
class LabelScore:
    """Hold the precision and recall of one label.

    Attributes:
      label: its name.
      examples: that have it.
      precision, recall, f1: 0.0 where they are not defined, as in scikit-learn.
    """

    label: str
    examples: int
    precision: float
    recall: float
    f1: float

    @classmethod
    def of(cls, label: str, right: int, examples: int, answered: int) -> LabelScore:
        """Return the scores of a label that `answered` examples get, `right` of them rightly."""
        return cls(
            label,
            int(examples),
            float(right / answered) if answered else 0.0,
            float(right / examples) if examples else 0.0,
            float(2 * right / (examples + answered)) if examples + answered else 0.0,
        )
