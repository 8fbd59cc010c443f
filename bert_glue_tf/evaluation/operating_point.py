"""Precision and recall at a threshold that was chosen on other examples, for one of the two."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bert_glue_tf.data.problems import Problem


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """A threshold of the probability, and what it was chosen for.

    Attributes:
      name: "recall" or "precision", which has a lower limit.
      threshold: an example is positive where its probability is at least this.
    """

    name: str
    threshold: float

    def measure(self, truths: np.ndarray, scores: np.ndarray) -> dict[str, float]:
        """Return precision and recall on some examples, by their names in a record.

        Args:
          truths: bool [n], which are positive.
          scores: float [n], their probabilities.
        """
        found = scores >= self.threshold
        right = int(np.sum(found & truths))
        return {
            f"precision_at_{self.name}": right / max(1, int(found.sum())),
            f"recall_at_{self.name}": right / max(1, int(truths.sum())),
        }


def at_recall(truths: np.ndarray, scores: np.ndarray, limit: float) -> OperatingPoint:
    """Return the highest threshold whose recall is `limit` at least.

    Args:
      truths: bool [n], which are positive.
      scores: float [n].
      limit: above 0, at most 1.
    """
    values, right, _ = _curve(truths, scores)
    recall = right / max(1, int(truths.sum()))
    good = np.flatnonzero(recall >= limit - 1e-12)
    return OperatingPoint("recall", float(values[good[0] if len(good) else -1]))


def at_precision(truths: np.ndarray, scores: np.ndarray, limit: float) -> OperatingPoint:
    """Return the lowest threshold whose precision is `limit` at least, else the most precise.

    Args:
      truths: bool [n], which are positive.
      scores: float [n].
      limit: above 0, at most 1.
    """
    values, right, answered = _curve(truths, scores)
    precision = right / answered
    good = np.flatnonzero(precision >= limit - 1e-12)
    place = good[-1] if len(good) else int(np.argmax(precision))
    return OperatingPoint("precision", float(values[place]))


def _curve(truths: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the thresholds, descending, and how many are right and how many positive at each."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    return scores[order][ends], np.cumsum(truths[order])[ends], ends + 1


def of_record(thresholds: Mapping[str, float]) -> tuple[OperatingPoint, ...]:
    """Return the operating points of a run.

    Args:
      thresholds: of its record, by the names of the points.
    """
    return tuple(OperatingPoint(name, value) for name, value in thresholds.items())


def rows(thresholds: Mapping[str, float], settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the thresholds for a reader: a name and a text each.

    Args:
      thresholds: of a record, by the names of the points.
      settings: of the run, which say what was asked for.
    """
    return [
        (f"positive from, for {name} {settings.get(f'at_{name}')}", f"probability {value:.6g}")
        for name, value in thresholds.items()
    ]


def measured(
    problem: Problem, points: Sequence[OperatingPoint], labels: np.ndarray, logits: np.ndarray
) -> dict[str, float]:
    """Return the metrics of all points on a split; empty without points.

    Args:
      problem: gives the probabilities.
      points: chosen on other examples.
      labels: [n].
      logits: float [n, width].
    """
    if not points:
        return {}
    truths, scores = problem.positives(labels, logits)
    return {name: value for one in points for name, value in one.measure(truths, scores).items()}
