"""Tells if a difference between two models is more than luck: both answered the same examples."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from bert_glue_tf.data.problems import Metric, Problem
from bert_glue_tf.evaluation import bootstrap, metrics


@dataclasses.dataclass(frozen=True)
class Difference:
    """A model's score minus another's, over one or several training seeds.

    Attributes:
      mean: of the seeds' differences.
      interval: 95 % paired bootstrap over the examples; NaN where it is not defined.
      by_seed: each seed's difference.
      mcnemar: each seed's p-value of McNemar's exact test; empty for regression.
      of_accuracy: whether the score is the accuracy, which is what McNemar's test compares.
    """

    mean: float
    interval: tuple[float, float]
    by_seed: tuple[float, ...]
    mcnemar: tuple[float, ...]
    of_accuracy: bool = False

    @property
    def is_defined(self) -> bool:
        """Tell if both scores are numbers: a diverged model's and a constant answer's are NaN."""
        return not math.isnan(self.mean)

    @property
    def is_noise(self) -> bool:
        """Tell if the interval holds 0, the seeds disagree on the sign, or McNemar's test objects.

        The test objects to a difference in accuracy for which no seed has a p-value below 0.05:
        where only a handful of examples tell two models apart, the bootstrap's interval is too
        narrow (four against none gives one above 0, and p = 0.125).
        """
        low, high = self.interval
        agree = min(self.by_seed) > 0 or max(self.by_seed) < 0
        objects = self.of_accuracy and not any(p < 0.05 for p in self.mcnemar)
        return not (low > 0 or high < 0) or not agree or objects


def mcnemar(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Return the two-sided p-value of McNemar's exact test: binomial, on discordant pairs (1947).

    Args:
      labels: int [n], the right classes.
      first: int [n], one model's answers.
      second: int [n], the other's.

    Returns:
      The probability of a split of the examples that only one of the two got right at least as
      uneven as this one, were both equally good; 1 where there is no such example.
    """
    from scipy import stats

    right, also = first == labels, second == labels
    only_first, only_second = int(np.sum(right & ~also)), int(np.sum(also & ~right))
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second, 0.5).pvalue)


def compare(
    problem: Problem,
    metric: Metric,
    labels: np.ndarray,
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Compare two models: the score of `second` minus that of `first`, seed by seed.

    The bootstrap draws the problem's units (the same ones for both models and all seeds; Efron and
    Tibshirani 1993, chapter 16; Berg-Kirkpatrick et al. 2012) and averages over the seeds, so it
    measures the luck of the evaluation split; the luck of training shows in `by_seed`.

    Args:
      problem: says what is drawn, and whether McNemar's test applies.
      metric: (labels [n], predictions [n]) -> float.
      labels: [n].
      first: for each seed the predictions [n] of the model that is compared with.
      second: for each seed those of the other model.
      resamples: how many to draw.
      seed: of the draws.

    Raises:
      ValueError: no seeds, different numbers of them, or lengths that differ.
    """
    if not first or len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} seeds: one or more pairs are needed.")
    if any(len(values) != len(labels) for values in (*first, *second)):
        raise ValueError("both models must have answered the same examples.")
    by_seed = [metric(labels, b) - metric(labels, a) for a, b in zip(first, second, strict=True)]
    scores = bootstrap.resampled(problem, metric, labels, [*first, *second], resamples, seed)
    differences = scores[:, len(first) :] - scores[:, : len(first)]
    low, high = np.quantile([np.mean(row) for row in differences], [0.025, 0.975])
    return Difference(
        mean=float(np.mean(by_seed)),
        interval=(float(low), float(high)),
        by_seed=tuple(float(value) for value in by_seed),
        mcnemar=tuple(mcnemar(labels, a, b) for a, b in zip(first, second, strict=True))
        if problem.is_right_or_wrong
        else (),
        of_accuracy=problem.is_right_or_wrong and metric is metrics.accuracy,
    )
