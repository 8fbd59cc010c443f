"""The metrics of the tasks, in NumPy: accuracy, F1, macro F1, Matthews, Pearson, Spearman.

They agree with scikit-learn (`accuracy_score`, `f1_score`, `matthews_corrcoef`) and SciPy
(`pearsonr`, `spearmanr`) to 1e-9, degenerate cases included, without their import time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

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


METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    metric.__name__: metric for metric in (accuracy, f1, macro_f1, matthews, pearson, spearman)
}


def to_predictions(task: TaskSpec, logits: np.ndarray) -> np.ndarray:
    """What a model's outputs stand for: class ids int64 [n], or scores float64 [n].

    Args:
      task: classification or regression.
      logits: [n, classes], or [n, 1] for regression.

    Raises:
      ValueError: `logits` has another shape.
    """
    logits = np.asarray(logits)
    if logits.ndim != 2 or logits.shape[1] != task.num_classes:
        raise ValueError(
            f"{task.name}: logits of shape {logits.shape}, but [n, {task.num_classes}] is expected."
        )
    if task.is_regression:
        return logits[:, 0].astype(np.float64)
    return np.argmax(logits, axis=1)


def diverged(logits: np.ndarray) -> bool:
    """Whether a model's outputs are no numbers any more: any of `logits` is NaN or infinite."""
    return not np.isfinite(logits).all()


def compute(task: TaskSpec, labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """All of a task's metrics, by name, in the table's order.

    A NaN or an infinity among the logits makes every metric NaN: argmax would take it for the
    largest value, and a model that has diverged would get the score of a constant answer.

    Args:
      task: names the metrics.
      labels: [n] class ids, or numbers for regression.
      logits: [n, classes], or [n, 1] for regression.

    Raises:
      ValueError: no examples, lengths that differ, or logits of another width.
    """
    predicted = to_predictions(task, logits)
    labels, predicted = _paired(labels, predicted)
    if diverged(logits):
        return {name: float("nan") for name in task.metrics}
    return {name: METRICS[name](labels, predicted) for name in task.metrics}


def chance(task: TaskSpec, labels: np.ndarray) -> float:
    """The primary metric of an answer that does not look at the text.

    That of the best single class; 0 for a correlation, which a constant does not have.
    """
    if task.is_regression or task.primary_metric == "matthews":
        return 0.0
    metric = METRICS[task.primary_metric]
    return max(metric(labels, np.full_like(labels, label)) for label in range(task.num_classes))


def collapse(task: TaskSpec, labels: np.ndarray, logits: np.ndarray) -> str:
    """Why a model's predictions are worthless, or an empty text.

    Either all predictions are one class while the labels are not, or the 95 % bootstrap
    interval of the primary metric reaches down to chance.
    """
    if diverged(logits):
        return "the logits are not numbers"
    predictions = to_predictions(task, logits)
    if len(np.unique(predictions)) == 1 and len(np.unique(labels)) > 1:
        constant = task.labels[int(predictions[0])] if task.labels else f"{predictions[0]:.3g}"
        return f"every prediction is {constant}"
    name, floor = task.primary_metric, chance(task, labels)
    value = METRICS[name](labels, predictions)
    low, _ = bootstrap_interval(METRICS[name], labels, predictions)
    if not low > floor:
        return f"{name} {value:.3f} is not above chance ({floor:.3f}) by more than its noise"
    return ""


def bootstrap_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    labels: np.ndarray,
    predictions: np.ndarray,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap over examples (Efron 1979) of one of the metrics above.

    It measures the luck of the evaluation split alone, not that of the training seed.

    Args:
      metric: (labels [n], predictions [n]) -> float.
      labels: [n].
      predictions: [n], resampled together with the labels.
      confidence: the interval's share of the resamples, between 0 and 1.
      resamples: how many to draw.
      seed: decides the draws.

    Returns:
      (low, high). Both are NaN for a single example, which tells nothing of the spread,
      and where the metric is NaN on a resample.

    Raises:
      ValueError: no examples, or the two differ in length.
    """
    labels, predictions = _paired(labels, predictions)
    if len(labels) == 1:
        return float("nan"), float("nan")
    # scipy.stats.bootstrap gives the same interval (a test compares them), but costs a
    # second to import and warns of a failed BCa interval where the metric is NaN.
    rng = np.random.default_rng(seed)
    draws = (rng.integers(len(labels), size=len(labels)) for _ in range(resamples))
    values = [metric(labels[draw], predictions[draw]) for draw in draws]
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
