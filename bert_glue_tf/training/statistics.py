"""Statistics that a network gathers while it trains, as the means and variances of its batches.

A smaller network of the same weights has other activations, and so statistics of its own. They are
gathered after the training from training batches: Yu and Huang 2019, "Universally slimmable
networks and improved training techniques", "post-statistics of batch normalization" (https://arxiv.org/abs/1903.05134).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from absl import logging

from bert_glue_tf.compression.sizes import values_for_a_while
from bert_glue_tf.models import heads
from bert_glue_tf.models.quantization import imitation

# Batches after which nothing is left of other statistics: of a moving average that keeps 0.9 at
# each step, 3 of 100,000.
BATCHES = 100
# Return so many batches of features, a dict of tensors each.
Batches = Callable[[int], Iterator[Mapping[str, tf.Tensor]]]


def state_of(model: tf_keras.Model) -> list[tf.Variable]:
    """Return the variables of floating point that no gradient moves; no states of dropout."""
    return [one for one in model.non_trainable_variables if one.dtype.is_floating]


@contextlib.contextmanager
def gathered(model: tf_keras.Model, batches: Batches) -> Iterator[None]:
    """Give a network statistics of its own for the block.

    Behind the block all statistics are the former ones again. A network without any is left alone,
    and so are the grids of one that was trained for a quantized file.

    Args:
      model: of plain layers.
      batches: of the training examples.
    """
    state = state_of(model)
    with values_for_a_while(state):
        own = [one for one in state if imitation.is_weight(one)]
        if own:
            grids = [one for one in state if not imitation.is_weight(one)]
            with values_for_a_while(grids):
                _gather(model, own, batches)
        yield


def _gather(model: tf_keras.Model, own: list[tf.Variable], batches: Batches) -> None:
    """Compute training batches, unless the first one moves none of the variables."""
    before = [one.numpy() for one in own]
    step: Any = None
    for number, features in enumerate(batches(BATCHES)):
        if step is None:
            trained = heads.over(model, list(features))
            step = tf.function(lambda x, of=trained: of(x, training=True), reduce_retracing=True)
        step(features)
        if not number and all(map(np.array_equal, before, [one.numpy() for one in own])):
            return
    logging.info("gathered the statistics of the batches for it")
