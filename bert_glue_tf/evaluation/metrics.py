"""The metrics of the tasks: accuracy, F1, macro F1, Matthews, Pearson, Spearman.

Accuracy and F1 are scikit-learn's, the ranks of Spearman's rho are SciPy's; both are imported
when the first metric is computed, so that a command that computes none starts without them.
`matthews_corrcoef`, `pearsonr` and `spearmanr` agree with the functions here to 1e-9, but not in
the last bit: they multiply and take roots in another order. The scores that are published in
docs/results, and the intervals from thousands of resamples, are those of the order here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bert_glue_tf.data import problems
from bert_glue_tf.data.problems import Metric
from bert_glue_tf.data.tasks import TaskSpec


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return the share of predictions that equal their label.

    Args:
      labels: [n] class ids.
      predictions: [n] class ids.

    Raises:
      ValueError: no examples, or the two differ in length.
    """
    from sklearn.metrics import accuracy_score

    labels, predictions = require_pairs(labels, predictions)
    return float(accuracy_score(labels, predictions))


def f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return the F1 of class 1: 2 TP / (2 TP + FP + FN), and 0.0 where class 1 occurs nowhere.

    Args:
      labels: [n] of 0 and 1.
      predictions: [n] of 0 and 1.

    Raises:
      ValueError: no examples, the two differ in length, or a value is neither 0 nor 1.
    """
    from sklearn.metrics import f1_score

    labels, predictions = require_pairs(labels, predictions)
    if not (np.isin(labels, (0, 1)).all() and np.isin(predictions, (0, 1)).all()):
        raise ValueError("f1 is for labels and predictions of 0 and 1 only.")
    return float(f1_score(labels, predictions, zero_division=0.0))


def macro_f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return the mean of the F1 of every class, each counting alike, however rare it is.

    Of the classes that occur on either side, as scikit-learn does; one that occurs on one side
    alone has an F1 of 0.

    Args:
      labels: [n] class ids.
      predictions: [n] class ids.

    Raises:
      ValueError: no examples, or the two differ in length.
    """
    from sklearn.metrics import f1_score

    labels, predictions = require_pairs(labels, predictions)
    return float(f1_score(labels, predictions, average="macro", zero_division=0.0))


def matthews(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return the Matthews correlation of two or more classes; 0.0 if a side has only one class.

    With two classes, (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)) (Matthews 1975,
    https://doi.org/10.1016/0005-2795(75)90109-9); with more, its form R_K (Gorodkin 2004,
    https://doi.org/10.1016/j.compbiolchem.2004.09.006), computed here for all.

    Args:
      labels: [n] class ids.
      predictions: [n] class ids.

    Raises:
      ValueError: no examples, or the two differ in length.
    """
    labels, predictions = require_pairs(labels, predictions)
    classes, ids = np.unique(np.concatenate([labels, predictions]), return_inverse=True)
    cells = ids[: len(labels)] * len(classes) + ids[len(labels) :]
    counts = np.bincount(cells, minlength=len(classes) ** 2)
    return float(matthews_of_counts(counts.reshape(len(classes), len(classes))))


def matthews_of_counts(counts: np.ndarray) -> np.ndarray:
    """Return the Matthews correlations of confusion matrices.

    Args:
      counts: int [..., classes, classes], how many examples have the label of the row and the
        prediction of the column.

    Returns:
      float64 [...].
    """
    # Floats, since the products below pass 2**63 on a split of QQP's size.
    true = counts.sum(axis=-1).astype(np.float64)
    predicted = counts.sum(axis=-2).astype(np.float64)
    n = true.sum(axis=-1)
    right = np.trace(counts, axis1=-2, axis2=-1).astype(np.float64)
    covariance = right * n - (true * predicted).sum(axis=-1)
    spread_true = n * n - (true * true).sum(axis=-1)
    spread_predicted = n * n - (predicted * predicted).sum(axis=-1)
    spread = np.sqrt(spread_true) * np.sqrt(spread_predicted)
    return np.divide(covariance, spread, out=np.zeros_like(spread), where=spread != 0)


def pearson(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return Pearson's r, the cosine of the two centred vectors, in float64.

    NaN, with no warning, where it is not defined: either side is constant (a single
    example is) or holds a value that is not finite.

    Args:
      labels: [n] numbers.
      predictions: [n] numbers.

    Raises:
      ValueError: no examples, or the two differ in length.
    """
    labels, predictions = require_pairs(labels, predictions)
    return _correlation(labels.astype(np.float64), predictions.astype(np.float64))


def spearman(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return Spearman's rho: Pearson's r of the ranks, ties taking their average rank.

    NaN, with no warning, where either side is constant (a single example is) or holds
    a NaN.

    Args:
      labels: [n] numbers.
      predictions: [n] numbers.

    Raises:
      ValueError: no examples, or the two differ in length.
    """
    from scipy import stats

    labels, predictions = require_pairs(labels, predictions)
    if np.isnan(labels).any() or np.isnan(predictions).any():
        return float("nan")
    return _correlation(stats.rankdata(labels), stats.rankdata(predictions))


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
    labels, predicted = require_pairs(labels, predicted)
    names = dict.fromkeys((*task.metrics, *also))
    if problems.diverged(logits):
        return dict.fromkeys(names, float("nan"))
    return {name: METRICS[name](labels, predicted) for name in names}


def require_pairs(labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and predictions as arrays [n].

    Raises:
      ValueError: no examples, the two differ in length, or have another number of dimensions.
    """
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
    """Return Pearson's r of two float64 [n], NaN where it is not defined."""
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
