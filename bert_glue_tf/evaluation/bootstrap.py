"""The bootstrap: how far a score would move with other examples of the same kind (Efron 1979)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from bert_glue_tf.data.problems import Metric, Problem
from bert_glue_tf.evaluation import metrics
from bert_glue_tf.evaluation.word_metrics import Summed

RESAMPLES = 1000


def interval(
    problem: Problem,
    metric: Metric,
    labels: np.ndarray,
    predictions: np.ndarray,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a metric.

    It measures the luck of the evaluation split alone, not that of the training seed.

    Args:
      problem: says which units are drawn.
      metric: (labels [n], predictions [n]) -> float.
      labels: [n].
      predictions: [n], resampled together with the labels.
      confidence: the interval's share of the resamples, between 0 and 1.
      resamples: how many to draw.
      seed: decides the draws.

    Returns:
      (low, high). Both are NaN for a single unit, which tells nothing of the spread,
      and where the metric is NaN on a resample.

    Raises:
      ValueError: no examples, or the two differ in length.
    """
    labels, predictions = metrics.require_pairs(labels, predictions)
    if problem.units(labels) == 1:
        return float("nan"), float("nan")
    # scipy.stats.bootstrap gives the same interval (a test compares them), but draws in another
    # order, and warns of a failed BCa interval where the metric is NaN.
    values = resampled(problem, metric, labels, [predictions], resamples, seed)[:, 0]
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def resampled(
    problem: Problem,
    metric: Metric,
    labels: np.ndarray,
    predictions: Sequence[np.ndarray],
    resamples: int,
    seed: int,
) -> np.ndarray:
    """Return the scores of some models on resamples of the examples, the same for all models.

    Args:
      problem: says which units are drawn.
      metric: (labels [n], predictions [n]) -> float.
      labels: [n].
      predictions: for each model [n].
      resamples: how many to draw.
      seed: decides the draws.

    Returns:
      float64 [resamples, models].
    """
    draws = _draws(problem, labels, resamples, seed)
    if isinstance(metric, Summed):
        each = [metric.counts(labels, own) for own in predictions]
        sums = [[problem.draw(own, draw).sum(axis=0) for own in each] for draw in draws]
        return metric.score(np.array(sums))
    counted = counted_by(metric, labels)
    if counted is None:
        return np.array(
            [
                [metric(problem.draw(labels, d), problem.draw(own, d)) for own in predictions]
                for d in draws
            ]
        )
    # scikit-learn takes 1 to 6 ms a call, however few the examples, and so seconds for the
    # thousand calls of one interval. The confusion matrix of a resample takes microseconds.
    classes, ids = np.unique(np.concatenate([labels, *predictions]), return_inverse=True)
    own, *found = ids.reshape(1 + len(predictions), len(labels))
    cells = [own * len(classes) + other for other in found]

    def confusions(draw: np.ndarray) -> list[np.ndarray]:
        drawn = [problem.draw(cell, draw) for cell in cells]
        return [np.bincount(cell, minlength=len(classes) ** 2) for cell in drawn]

    counts = np.array([confusions(draw) for draw in draws])
    return counted(counts.reshape(*counts.shape[:2], len(classes), len(classes)), classes)


def _draws(problem: Problem, labels: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the units of each resample, as many as there are."""
    rng = np.random.default_rng(seed)
    units = problem.units(labels)
    return (rng.integers(units, size=units) for _ in range(resamples))


def _accuracy(counts: np.ndarray, classes: np.ndarray) -> np.ndarray:
    del classes
    return np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))


def _f1(counts: np.ndarray, classes: np.ndarray) -> np.ndarray:
    if not np.isin(classes, (0, 1)).all():
        raise ValueError("f1 is for labels and predictions of 0 and 1 only.")
    (place,) = np.nonzero(classes == 1)
    if not len(place):
        return np.zeros(counts.shape[:-2])
    one = place[0]
    # 2 TP + FP + FN counts each positive once per side that has it.
    positives = counts[..., one, :].sum(axis=-1) + counts[..., :, one].sum(axis=-1)
    return _quotient(2 * counts[..., one, one], positives)


def _macro_f1(counts: np.ndarray, classes: np.ndarray) -> np.ndarray:
    del classes
    members = counts.sum(axis=-2) + counts.sum(axis=-1)
    each = _quotient(2 * np.diagonal(counts, axis1=-2, axis2=-1), members)
    return each.sum(axis=-1) / (members > 0).sum(axis=-1)


def _matthews(counts: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return R_K (Gorodkin 2004) with scikit-learn's operations in their order."""
    del classes
    # Floats, since the products below pass 2**63 on a split of QQP's size.
    true, predicted = (counts.sum(axis=axis).astype(np.float64) for axis in (-1, -2))
    right = np.trace(counts, axis1=-2, axis2=-1).astype(np.float64)
    n = true.sum(axis=-1)
    covariance = right * n - (true * predicted).sum(axis=-1)
    spread_true = n * n - (true * true).sum(axis=-1)
    spread_predicted = n * n - (predicted * predicted).sum(axis=-1)
    return _quotient(covariance, np.sqrt(spread_predicted * spread_true))


def _quotient(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return `above` / `below`, and 0.0 where `below` is 0."""
    return np.divide(above, below, out=np.zeros(below.shape), where=below != 0)


def counted_by(
    metric: Metric, labels: np.ndarray
) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
    """Return the function of confusion matrices that gives a metric; None where there is none.

    Args:
      metric: (labels, predictions) -> score.
      labels: [n] for classes; where each example has several labels there is no such matrix.
    """
    return COUNTED.get(metric) if labels.ndim == 1 else None


# Metrics that a confusion matrix [..., classes, classes] (labels by predictions) determines. Each
# gives the same numbers [...] as the metric itself, to the last bit; a test compares them.
COUNTED: Mapping[Metric, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    metrics.accuracy: _accuracy,
    metrics.f1: _f1,
    metrics.macro_f1: _macro_f1,
    metrics.matthews: _matthews,
}
