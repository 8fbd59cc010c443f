"""The metrics of the tasks, in NumPy: accuracy, F1, macro F1, Matthews, Pearson, Spearman.

They agree with scikit-learn (`accuracy_score`, `f1_score`, `matthews_corrcoef`) and SciPy
(`pearsonr`, `spearmanr`) to 1e-9, degenerate cases included, without their import time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bert_glue_tf.data import problems
from bert_glue_tf.data.problems import Metric, Problem
from bert_glue_tf.data.tasks import TaskSpec


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """The share of predictions that equal their label.

    Args:
      labels: [n] class ids.
      predictions: [n] class ids.

    Raises:
      ValueError: no examples, or the two differ in length.
    """
    labels, predictions = _paired(labels, predictions)
    return float(np.mean(labels == predictions))


def f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    """F1 of class 1: 2 TP / (2 TP + FP + FN), and 0.0 where class 1 occurs nowhere.

    Args:
      labels: [n] of 0 and 1.
      predictions: [n] of 0 and 1.

    Raises:
      ValueError: no examples, the two differ in length, or a value is neither 0 nor 1.
    """
    labels, predictions = _paired(labels, predictions)
    if not (np.isin(labels, (0, 1)).all() and np.isin(predictions, (0, 1)).all()):
        raise ValueError("f1 is for labels and predictions of 0 and 1 only.")
    # 2 TP + FP + FN counts each positive once per side that has it.
    positives = np.count_nonzero(labels) + np.count_nonzero(predictions)
    true_positives = np.count_nonzero((labels == 1) & (predictions == 1))
    return 2 * true_positives / positives if positives else 0.0


def macro_f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    """The mean of the F1 of every class, each counting alike, however rare it is.

    Of the classes that occur on either side, as scikit-learn does; one that occurs on one side
    alone has an F1 of 0.

    Args:
      labels: [n] class ids.
      predictions: [n] class ids.

    Raises:
      ValueError: no examples, or the two differ in length.
    """
    labels, predictions = _paired(labels, predictions)
    classes, ids = np.unique(np.concatenate([labels, predictions]), return_inverse=True)
    # 2 TP + FP + FN counts each member of a class once per side that has it.
    members = np.bincount(ids, minlength=len(classes))
    right = ids[: len(labels)][labels == predictions]
    true_positives = np.bincount(right, minlength=len(classes))
    return float(np.mean(2 * true_positives / members))


def matthews(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Matthews correlation of two classes or more; 0.0 where either side has only one class.

    With two classes, (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)) (Matthews 1975,
    https://doi.org/10.1016/0005-2795(75)90109-9); with more, its form R_K (Gorodkin 2004,
    https://doi.org/10.1016/j.compbiolchem.2004.09.006), computed here for all.

    Args:
      labels: [n] class ids.
      predictions: [n] class ids.

    Raises:
      ValueError: no examples, or the two differ in length.
    """
    labels, predictions = _paired(labels, predictions)
    classes, ids = np.unique(np.concatenate([labels, predictions]), return_inverse=True)
    # Floats, since the products below pass 2**63 on a split of QQP's size.
    true = np.bincount(ids[: len(labels)], minlength=len(classes)).astype(np.float64)
    predicted = np.bincount(ids[len(labels) :], minlength=len(classes)).astype(np.float64)
    n = float(len(labels))
    covariance = np.count_nonzero(labels == predictions) * n - true @ predicted
    spread_true, spread_predicted = n * n - true @ true, n * n - predicted @ predicted
    if spread_true == 0 or spread_predicted == 0:
        return 0.0
    return float(covariance / (np.sqrt(spread_true) * np.sqrt(spread_predicted)))


def pearson(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Pearson's r, the cosine of the two centred vectors, in float64.

    NaN, with no warning, where it is not defined: either side is constant (a single
    example is) or holds a value that is not finite.

    Args:
      labels: [n] numbers.
      predictions: [n] numbers.

    Raises:
      ValueError: no examples, or the two differ in length.
    """
    labels, predictions = _paired(labels, predictions)
    return _correlation(labels.astype(np.float64), predictions.astype(np.float64))


def spearman(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Spearman's rho: Pearson's r of the ranks, ties taking their average rank.

    NaN, with no warning, where either side is constant (a single example is) or holds
    a NaN.

    Args:
      labels: [n] numbers.
      predictions: [n] numbers.

    Raises:
      ValueError: no examples, or the two differ in length.
    """
    labels, predictions = _paired(labels, predictions)
    if np.isnan(labels).any() or np.isnan(predictions).any():
        return float("nan")
    return _correlation(_ranks(labels), _ranks(predictions))


METRICS: Mapping[str, Metric] = {
    metric.__name__: metric for metric in (accuracy, f1, macro_f1, matthews, pearson, spearman)
}


def compute(
    task: TaskSpec, labels: np.ndarray, logits: np.ndarray, also: Sequence[str] = ()
) -> dict[str, float]:
    """Compute all of a task's metrics, by name, in the table's order.

    A NaN or an infinity among the logits makes every metric NaN: argmax would take it for the
    largest value, and a model that has diverged would get the score of a constant answer.

    Args:
      task: names the metrics.
      labels: [n] class ids, or numbers for regression.
      logits: [n, classes], or [n, 1] for regression.
      also: names of metrics to compute besides.

    Raises:
      ValueError: no examples, lengths that differ, or logits of another width.
    """
    predicted = task.problem.decode(logits)
    labels, predicted = _paired(labels, predicted)
    names = dict.fromkeys((*task.metrics, *also))
    if problems.diverged(logits):
        return dict.fromkeys(names, float("nan"))
    return {name: METRICS[name](labels, predicted) for name in names}


def bootstrap_interval(
    problem: Problem,
    metric: Metric,
    labels: np.ndarray,
    predictions: np.ndarray,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval (Efron 1979) of one of the metrics above.

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
    labels, predictions = _paired(labels, predictions)
    units = problem.units(labels)
    if units == 1:
        return float("nan"), float("nan")
    # scipy.stats.bootstrap gives the same interval (a test compares them), but costs a
    # second to import and warns of a failed BCa interval where the metric is NaN.
    rng = np.random.default_rng(seed)
    draws = (rng.integers(units, size=units) for _ in range(resamples))
    values = [metric(problem.draw(labels, d), problem.draw(predictions, d)) for d in draws]
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _paired(labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.ndim != 1 or labels.shape != predictions.shape:
        raise ValueError(
            f"labels of shape {labels.shape} and predictions of shape {predictions.shape}: "
            "both have to be [n]."
        )
    if not len(labels):
        raise ValueError("no examples: a metric needs at least one.")
    return labels, predictions


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r of two float64 [n], NaN where it is not defined."""
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return float("nan")
    # Compared before centring: rounding in the mean leaves a constant vector with a
    # tiny remainder, whose direction is noise.
    if (x == x[0]).all() or (y == y[0]).all():
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    # Scaled by the largest, so that the squares of tiny or huge values stay in range.
    x, y = x / np.abs(x).max(), y / np.abs(y).max()
    return float(np.clip((x @ y) / (np.linalg.norm(x) * np.linalg.norm(y)), -1.0, 1.0))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, float64 [n]; equal values share the mean of the ranks they span."""
    _, ids, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[ids]
