"""The metrics of the tasks: accuracy, F1, macro F1, micro F1, Matthews, Pearson, Spearman.

Those of classes are scikit-learn's, those of numbers SciPy's; both are imported when the first
metric is computed, so that a command that computes none starts without them. Those of tagged words
are in `word_metrics`; `of` gives each by its name. What a metric gives where it is not defined is
decided here, so that no library warns of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from bert_glue_tf.data import problems
from bert_glue_tf.data.problems import Metric, Problem
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation.word_metrics import OF_WORDS


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
      labels: [n] class ids, or [n, width] of 0 and 1 where each has several labels.
      predictions: as the labels.

    Raises:
      ValueError: no examples, or the two differ in length.
    """
    labels, predictions = require_pairs(labels, predictions)
    if labels.ndim == 2:
        each, occurs = _label_f1(labels, predictions)
        return float(each[occurs].mean()) if occurs.any() else 0.0
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="macro", zero_division=0.0))


def micro_f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return the F1 of all labels of all examples together: 2 TP / (2 TP + FP + FN).

    Args:
      labels: [n, width] of 0 and 1.
      predictions: [n, width] of 0 and 1.

    Raises:
      ValueError: no examples, the two differ in shape, or they are no rows of labels.
    """
    labels, predictions = require_pairs(labels, predictions)
    if labels.ndim != 2:
        raise ValueError("micro_f1 is for rows of labels only.")
    both = int(np.sum(labels & predictions))
    either = int(labels.sum() + predictions.sum())
    return 2 * both / either if either else 0.0


def matthews(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return the Matthews correlation of two or more classes; 0.0 if a side has only one class.

    With two classes, (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)) (Matthews 1975,
    https://doi.org/10.1016/0005-2795(75)90109-9); with more, its form R_K (Gorodkin 2004,
    https://doi.org/10.1016/j.compbiolchem.2004.09.006).

    Args:
      labels: [n] class ids.
      predictions: [n] class ids.

    Raises:
      ValueError: no examples, or the two differ in length.
    """
    from sklearn.metrics import matthews_corrcoef

    labels, predictions = require_pairs(labels, predictions)
    if _is_constant(labels) or _is_constant(predictions):
        return 0.0  # As scikit-learn has it, which warns where both sides have one class.
    return float(matthews_corrcoef(labels, predictions))


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
    from scipy import stats

    labels, predictions = require_pairs(labels, predictions)
    x, y = labels.astype(np.float64), predictions.astype(np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()) or _is_constant(x) or _is_constant(y):
        return float("nan")
    with warnings.catch_warnings():
        # Values that differ in their last digits alone have a correlation, if not an exact one.
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        return float(stats.pearsonr(_scaled(x), _scaled(y)).statistic)


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
    if _is_constant(labels) or _is_constant(predictions):
        return float("nan")
    return float(stats.spearmanr(labels, predictions).statistic)


METRICS: Mapping[str, Metric] = {
    metric.__name__: metric
    for metric in (accuracy, f1, macro_f1, micro_f1, matthews, pearson, spearman)
}


NAMES = (*METRICS, *OF_WORDS)


def of(problem: Problem, name: str) -> Metric:
    """Return a metric by its name, one of `NAMES`, for the labels of a problem.

    Args:
      problem: says what the labels mean.
      name: of the metric.

    Raises:
      KeyError: there is no such metric.
      ValueError: it is not for such a problem.
    """
    return OF_WORDS[name](problem) if name in OF_WORDS else METRICS[name]


def compute(
    task: TaskSpec, labels: np.ndarray, logits: np.ndarray, also: Sequence[str] = ()
) -> dict[str, float]:
    """Compute all of a task's metrics, by name, in the table's order.

    A NaN or an infinity among the logits makes every metric NaN: argmax would take it for the
    largest value, and a model that has diverged would get the score of a constant answer.

    Args:
      task: names the metrics.
      labels: [n] class ids, numbers for regression, or ids [n, words].
      logits: [n, classes], [n, 1] for regression, or [n, words, tags].
      also: names of metrics to compute besides.

    Raises:
      ValueError: no examples, lengths that differ, or logits of another width.
    """
    predicted = task.problem.decode(logits)
    labels, predicted = require_pairs(labels, predicted)
    names = dict.fromkeys((*task.metrics, *also))
    if problems.diverged(logits):
        return dict.fromkeys(names, float("nan"))
    return {name: of(task.problem, name)(labels, predicted) for name in names}


def _label_f1(labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the F1 of each label [width], and which of them occur at all, bool [width]."""
    both = (labels & predictions).sum(axis=0)
    either = labels.sum(axis=0, dtype=np.int64) + predictions.sum(axis=0, dtype=np.int64)
    occurs = either > 0
    return 2 * both / np.maximum(either, 1), occurs


def require_pairs(labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and predictions as arrays [n], or [n, width] for several labels.

    Raises:
      ValueError: no examples, the two differ in length, or have another number of dimensions.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.ndim not in (1, 2) or labels.shape != predictions.shape:
        raise ValueError(
            f"labels of shape {labels.shape} and predictions of shape {predictions.shape}: "
            "both have to be [n], or [n, width] for several labels."
        )
    if not len(labels):
        raise ValueError("no examples: a metric needs at least one.")
    return labels, predictions


def _is_constant(values: np.ndarray) -> bool:
    return bool((values == values[0]).all())


def _scaled(values: np.ndarray) -> np.ndarray:
    """Return float64 [n] whose largest has a magnitude below 1, as the sum of huge ones overflows.

    Divided by a power of two, which rounds nothing.
    """
    _, exponent = np.frexp(np.abs(values).max())
    return np.ldexp(values, -exponent)
