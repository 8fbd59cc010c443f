"""Scores a model through nothing but its `predict_fn`, before and after export alike."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import special

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.batching import Split, grouped_batches
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import metrics

# Batch of int32 [batch, length] features in, float32 [batch, classes] logits out.
PredictFn = Callable[[Mapping[str, np.ndarray]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a model scored on one split.

    Attributes:
      metrics: name -> value; the task's own metrics, `loss`, and `accuracy` for classes.
      logits: float32 [n, classes], in the order of the split.
      examples_per_second: of the predictions alone.
    """

    metrics: dict[str, float]
    logits: np.ndarray
    examples_per_second: float


def predict(
    predict_fn: PredictFn, split: Split, batch_size: int, buckets: Sequence[int]
) -> np.ndarray:
    """Logits float32 [n, classes] of every example, in the order of the split."""
    logits: np.ndarray | None = None
    for batch in grouped_batches(split.tokens.lengths, batch_size, buckets):
        output = np.asarray(predict_fn(split.tokens.batch(batch.indices, batch.length)))
        if logits is None:
            logits = np.empty((len(split), output.shape[-1]), np.float32)
        logits[batch.indices] = output
    if logits is None:
        raise ValueError(f"split {split.name!r} is empty")
    return logits


def loss(task: TaskSpec, labels: np.ndarray, logits: np.ndarray) -> float:
    """Mean cross-entropy of the labels under softmax(logits), or mean squared error.

    NaN for a model that has diverged.
    """
    if metrics.diverged(logits):
        return float("nan")
    if task.is_regression:
        return float(np.mean(np.square(logits[:, 0] - labels)))
    log_probabilities = special.log_softmax(logits.astype(np.float64), axis=-1)
    return float(-np.mean(log_probabilities[np.arange(len(labels)), labels]))


def evaluate(
    predict_fn: PredictFn,
    split: Split,
    task: TaskSpec,
    *,
    batch_size: int,
    buckets: Sequence[int],
) -> Evaluation:
    """Scores `predict_fn` over the whole split; no example is dropped by batching."""
    start = time.perf_counter()
    logits = predict(predict_fn, split, batch_size, buckets)
    seconds = time.perf_counter() - start
    scores = metrics.compute(task, split.labels, logits)
    if not task.is_regression and "accuracy" not in scores:
        predictions = metrics.to_predictions(task, logits)
        # As `metrics.compute` does, so that a diverged model gets no score.
        scores["accuracy"] = (
            float("nan")
            if metrics.diverged(logits)
            else metrics.accuracy(split.labels, predictions)
        )
    return Evaluation(
        metrics={"loss": loss(task, split.labels, logits), **scores},
        logits=logits,
        examples_per_second=len(split) / seconds,
    )


def flips(task: TaskSpec, reference: np.ndarray, logits: np.ndarray) -> int:
    """How many examples get another label; for regression, a score that moves by 0.1 or more."""
    before, after = (metrics.to_predictions(task, values) for values in (reference, logits))
    if task.is_regression:
        return int(np.sum(np.abs(before - after) >= 0.1))
    return int(np.sum(before != after))


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a model answered on one split.

    Attributes:
      labels: [n], int64, or float64 for regression.
      logits: float32 [n, classes].
    """

    labels: np.ndarray
    logits: np.ndarray


def read_predictions(
    path: pathlib.Path, task: TaskSpec, examples: int | None = None
) -> Predictions:
    """Reads what `experiment.write_predictions` wrote.

    Args:
      path: of the file.
      task: that the answers are of.
      examples: how many answers there have to be; None where nobody knows.

    Raises:
      UserError: the file is missing, was cut short, or is no such file.
    """
    try:
        _, *lines, end = path.read_text(encoding="utf-8").split("\n")
        if end or examples not in (None, len(lines)):
            expected = "" if examples is None else f" of {examples}"
            raise ValueError(f"cut short: {len(lines)} whole lines{expected}")
        rows = [line.split("\t") for line in lines]
        logits = np.array([row[3:] for row in rows], np.float32)
        labels = np.array([float(row[1]) for row in rows])
        if logits.ndim != 2 or not logits.size:
            raise ValueError("no logits")
        if logits.shape[1] != task.num_classes:
            raise ValueError(f"{logits.shape[1]} logits a line, {task.name} has {task.num_classes}")
        if task.is_regression:
            good = np.isfinite(labels)
        else:
            good = np.isin(labels, range(task.num_classes))
        if not good.all():
            raise ValueError(f"line {np.argmin(good) + 2}: no label of {task.name}")
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"{path}: not the predictions of a run ({error}).") from None
    return Predictions(labels if task.is_regression else labels.astype(np.int64), logits)
