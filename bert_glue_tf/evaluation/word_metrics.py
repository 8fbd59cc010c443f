"""Metrics of tagged words: F1 of entities, of exactly matching spans, and accuracy of tags.

Each is a quotient of counts that are summed over the sentences, so that a bootstrap draws the
counts of sentences and need not find their spans anew.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np

from bert_glue_tf.data.problems import Problem
from bert_glue_tf.data.problems.tagging import NOT_SCORED


@dataclasses.dataclass(frozen=True)
class Summed(abc.ABC):
    """A metric of counts that are summed over the examples.

    Attributes:
      problem: says what labels mean.
    """

    problem: Problem

    name: ClassVar[str]

    def __call__(self, labels: np.ndarray, predictions: np.ndarray) -> float:
        """Return the score of ids [n, words]; words whose label is -1 do not count.

        Raises:
          ValueError: no examples, or the two differ in shape.
        """
        labels, predictions = np.asarray(labels), np.asarray(predictions)
        if labels.ndim != 2 or labels.shape != predictions.shape or not len(labels):
            raise ValueError(
                f"labels of shape {labels.shape} and predictions of shape {predictions.shape}: "
                "both have to be [n, words], of one example at least."
            )
        return float(self.score(self.counts(labels, predictions).sum(axis=0)))

    @abc.abstractmethod
    def counts(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """Return what is counted in each example: int64 [n, kinds], what is right first."""

    @abc.abstractmethod
    def score(self, sums: np.ndarray) -> np.ndarray:
        """Return the scores [...] of summed counts [..., kinds]; 0.0 where it is not defined."""

    def step(self, sums: np.ndarray) -> float:
        """Return what one right answer less costs, of summed counts [kinds]."""
        fewer = sums - np.eye(len(sums), dtype=sums.dtype)[0] * min(1, int(sums[0]))
        return abs(float(self.score(sums) - self.score(fewer)))


class TagAccuracy(Summed):
    """The share of the words that get their tag."""

    name = "tag_accuracy"

    def counts(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        scored = labels != NOT_SCORED
        right = ((labels == predictions) & scored).sum(axis=1)
        return np.stack([right, scored.sum(axis=1)], axis=1).astype(np.int64)

    def score(self, sums: np.ndarray) -> np.ndarray:
        return _quotient(sums[..., 0], sums[..., 1])


class _SpanF1(Summed):
    """Micro F1 of spans: one is right where its words and its type are."""

    is_strict: ClassVar[bool]

    def counts(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        found = np.empty((len(labels), 3), np.int64)
        for place, (label, answer) in enumerate(zip(labels, predictions, strict=True)):
            answer = np.where(label == NOT_SCORED, NOT_SCORED, answer)
            real = set(self.problem.spans(label, self.is_strict))
            answered = set(self.problem.spans(answer, self.is_strict))
            found[place] = len(real & answered), len(real), len(answered)
        return found

    def score(self, sums: np.ndarray) -> np.ndarray:
        return _quotient(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


class EntityF1(_SpanF1):
    """Micro F1 of entities as conlleval and seqeval find them, in broken sequences too.

    Tjong Kim Sang and De Meulder 2003 (https://aclanthology.org/W03-0419/).
    """

    name = "entity_f1"
    is_strict = False


class SpanF1(_SpanF1):
    """Micro F1 of spans that keep to the scheme from their first word to their last one.

    As Li et al. 2019 score (https://arxiv.org/abs/1910.00883), what begins or ends without its tag
    is no answer; but their code takes a span with an O inside of it, and this does not. Without
    prefixes it is that of entities.
    """

    name = "span_f1"
    is_strict = True


def _quotient(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return `above` / `below`, and 0.0 where `below` is 0."""
    below = np.asarray(below)
    return np.divide(above, below, out=np.zeros(below.shape), where=below != 0)


def _of(kind: type[Summed]) -> Callable[[Problem], Summed]:
    def bound(problem: Problem) -> Summed:
        if not problem.tags_words:
            raise ValueError(f"{kind.name} is for words with a tag each, not for {problem.title}.")
        return kind(problem)

    return bound


# Name -> the metric of a problem.
OF_WORDS: Mapping[str, Callable[[Problem], Summed]] = {
    kind.name: _of(kind) for kind in (EntityF1, SpanF1, TagAccuracy)
}
