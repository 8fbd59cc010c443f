"""Scores a model through nothing but its `predict_fn`, before and after export alike."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bert_glue_tf.data.batching import Split, grouped_batches
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import metrics

# Evaluation keeps no activations for a gradient, so a batch can be larger than in training.
EVALUATION_BATCH = 64
# Batch of int32 [batch, length] features in, float32 [batch, classes] logits out.
PredictFn = Callable[[Mapping[str, np.ndarray]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A model's scores on one split.

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
    """Return the logits float32 [n, classes] of every example, in the order of the split."""
    logits: np.ndarray | None = None
    for batch in grouped_batches(split.tokens.lengths, batch_size, buckets):
        output = np.asarray(predict_fn(split.tokens.batch(batch.indices, batch.length)))
        if logits is None:
            logits = np.empty((len(split), output.shape[-1]), np.float32)
        logits[batch.indices] = output
    if logits is None:
        raise ValueError(f"split {split.name!r} is empty")
    return logits


def evaluate(
    predict_fn: PredictFn,
    split: Split,
    task: TaskSpec,
    *,
    batch_size: int,
    buckets: Sequence[int],
) -> Evaluation:
    """Score `predict_fn` over the whole split; no example is dropped by batching."""
    start = time.perf_counter()
    logits = predict(predict_fn, split, batch_size, buckets)
    seconds = time.perf_counter() - start
    scores = metrics.compute(task, split.labels, logits, also=task.problem.always_scored)
    return Evaluation(
        metrics={"loss": task.problem.loss(split.labels, logits), **scores},
        logits=logits,
        examples_per_second=len(split) / seconds,
    )
