"""Scores a model through nothing but its `predict_fn`, before and after export alike."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping

import numpy as np

from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.layouts import Layout
from bert_glue_tf.data.modality import Encoded
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import metrics

# Evaluation keeps no activations for a gradient, so a batch can be larger than in training.
EVALUATION_BATCH = 64
# A batch of features, as a layout gives them, in; float32 [batch, classes] logits out, or
# [batch, positions, tags] of the positions of each text.
PredictFn = Callable[[Mapping[str, np.ndarray]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A model's scores on one split.

    Attributes:
      metrics: name -> value; the task's own metrics, `loss`, and `accuracy` for classes.
      logits: float32 [n, classes] or [n, words, tags], in the order of the split.
      examples_per_second: of the predictions alone.
    """

    metrics: dict[str, float]
    logits: np.ndarray
    examples_per_second: float


def predict(predict_fn: PredictFn, tokens: Encoded, batch_size: int, layout: Layout) -> np.ndarray:
    """Return the logits float32 [n, classes] of every text, or [n, words, tags], in their order.

    Args:
      predict_fn: the model.
      tokens: n texts in word pieces, at least one.
      batch_size: texts a prediction.
      layout: how the texts of a batch lie in arrays.
    """
    logits: np.ndarray | None = None
    for batch in layout.batches(tokens.lengths, batch_size):
        # What the layout has filled the batch up with stands at the end.
        output = np.asarray(predict_fn(layout.features(tokens, batch)))[: len(batch)]
        output = tokens.answers(output, batch)
        if logits is None:
            logits = np.empty((len(tokens), *output.shape[1:]), np.float32)
        logits[batch] = output
    if logits is None:
        raise ValueError("there is no text to predict")
    return logits


def evaluate(
    predict_fn: PredictFn,
    split: Split,
    task: TaskSpec,
    *,
    batch_size: int,
    layout: Layout,
) -> Evaluation:
    """Score `predict_fn` over the whole split; no example is dropped by batching."""
    start = time.perf_counter()
    logits = predict(predict_fn, split.tokens, batch_size, layout)
    seconds = time.perf_counter() - start
    scores = metrics.compute(task, split.labels, logits, also=task.problem.always_scored)
    return Evaluation(
        metrics={"loss": task.problem.loss(split.labels, logits), **scores},
        logits=logits,
        examples_per_second=len(split) / seconds,
    )
