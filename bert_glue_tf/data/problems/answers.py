"""Answers to examples, their scores by label, and labels in messages."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class AnsweredSpan:
    """Words of a sentence that belong together, as a model has found them.

    Attributes:
      text: the words, with blanks between.
      type: of the span.
      start: number of its first word, from 0.
      end: number of the word behind its last one.
      score: the probability of the tag of its least sure word.
    """

    text: str
    type: str
    start: int
    end: int
    score: float


@dataclasses.dataclass(frozen=True)
class Answer:
    """A model's answer to one example, as `predict` shows it.

    Attributes:
      label: the most probable class; for regression the score as text; for words their tags, with
        blanks between.
      probabilities: class -> probability; empty for regression and for words.
      score: the probability of `label`; for regression the score itself; for words that of the
        least sure one.
      spans: of words, as their tags say; None for all other answers.
    """

    label: str
    probabilities: dict[str, float]
    score: float
    spans: tuple[AnsweredSpan, ...] | None = None


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


class NoLabelError(ValueError):
    """A predictions file has a row whose label is none.

    Args:
      row: its number, from 0.
    """

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row}: no label")
        self.row = row


def listed(names: Sequence[str]) -> str:
    """Return names for a message, the first twelve of them."""
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(names[:12]) + more
