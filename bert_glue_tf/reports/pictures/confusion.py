"""Confusion: which answer a model gives to the examples of each class."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from bert_glue_tf.data import problems
from bert_glue_tf.evaluation import predictions
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import Model

# On the page a letter of a label is about so wide, a cell has so much room at its sides, and a
# matrix has at least so much; the style has the same sizes.
_LETTER, _SIDES, _WIDTH = 6.7, 14.4, 350
_LONGEST = 20  # Letters; a longer word is broken, since nothing else makes room for it.
MOST_CLASSES = 20  # Of a matrix; of more classes those that are confused most are shown.


@dataclasses.dataclass(frozen=True)
class Confusion:
    """The answers of one model over its seeds and validation splits.

    Attributes:
      number: of the model in the table of the models.
      name: of the model.
      labels: the classes that are shown, `MOST_CLASSES` at most.
      counts: int [classes, classes], rows are the labels and columns the answers; the sum over
        the seeds.
      seeds: how many.
      examples: int [classes], of each label; more than the sum of its row where answers are classes
        that are not shown.
      classes: how many there are, shown or not.
    """

    number: int
    name: str
    labels: tuple[str, ...]
    counts: np.ndarray
    seeds: int
    examples: np.ndarray
    classes: int

    @property
    def shares(self) -> np.ndarray:
        """Float [classes, classes]: of the examples of a row's label; 0 for one without any."""
        sums = self.examples[:, np.newaxis]
        shares: np.ndarray = np.divide(
            self.counts, sums, out=np.zeros(self.counts.shape), where=sums > 0
        )
        return shares

    @property
    def is_turned(self) -> bool:
        """Tell if the heads of the columns are turned, since side by side they have no room."""
        words = [_longest_word(label) for label in self.labels]
        letters = max(words) + sum(words)  # Of the heads of the rows and of the columns.
        return letters * _LETTER + (len(words) + 1) * _SIDES > _WIDTH

    @property
    def has_long_words(self) -> bool:
        """Tell if a label has a word that no page has room for."""
        return max(map(_longest_word, self.labels)) > _LONGEST


def _longest_word(label: str) -> int:
    """Return the letters of the longest part that is not broken into lines."""
    return max(map(len, re.split(r"(?<=[ _-])", label)))


def confusions(models: Sequence[tuple[int, Group]]) -> list[Confusion]:
    """Return the matrices of the models whose answers are classes.

    A model whose outputs are no numbers gives no answers, and has none.

    Args:
      models: with their numbers in the table of the models.

    Raises:
      UserError: a file of answers is missing or damaged.
    """
    found = []
    for number, one in models:
        counts = [matrix for model in one.models if (matrix := _counts(model)) is not None]
        if counts:
            total = np.sum(counts, axis=0)
            labels = one.first.task.problem.labels
            shown = most_confused(total)
            found.append(
                Confusion(
                    number,
                    one.name,
                    tuple(labels[place] for place in shown),
                    total[np.ix_(shown, shown)],
                    len(counts),
                    total[shown].sum(axis=1),
                    len(labels),
                )
            )
    return found


def most_confused(counts: np.ndarray) -> np.ndarray:
    """Return the places of the classes that are shown, in their order.

    All of them up to `MOST_CLASSES`; else those with the most wrong answers, that are theirs or
    should have been.

    Args:
      counts: int [classes, classes], rows are the labels and columns the answers.
    """
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")
    return np.sort(order[:MOST_CLASSES])


def _counts(model: Model) -> np.ndarray | None:
    """Return the matrix of a model over its validation splits; None where there is none."""
    problem = model.task.problem
    found = []
    for split, path in model.predictions.items():
        read = predictions.read(path, model.task, model.data[split]["examples"])
        if problems.diverged(read.logits):
            return None
        found.append(problem.confusion(read.labels, problem.decode(read.logits)))
    matrices = [matrix for matrix in found if matrix is not None]
    return np.sum(matrices, axis=0) if matrices else None
