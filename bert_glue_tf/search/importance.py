"""The weight of each token in a fit: by how much the answers depend on what a block adds to it.

Most tokens hardly matter to a classifier, which reads one of them; a fit in which all count alike
gets those right. The answers' change is the gradient times the error, so that an error of a token
counts by its squared gradient: the diagonal of the Fisher information, as in Kwon et al. 2022, "A
Fast Post-Training Pruning Framework for Transformers" (https://arxiv.org/abs/2204.09656), section
4, here for tokens.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from bert_glue_tf.data.problems import Problem
from bert_glue_tf.models.blocks import Seen

# Of the weights of all tokens together, what they have alike, behind the layer norm: a token that
# these texts' answers do not depend on is not let go of, since other texts' may.
SHARED = 0.3


def direction(problem: Problem, logits: np.ndarray) -> np.ndarray:
    """Return the direction in which each text's answer is moved the most, of length 1.

    It is that of the curvature of the problem's distance (`Problem.distillation_loss`) times a
    random vector, with a fixed seed, so that logits which mean the same do not count.

    Args:
      problem: of the task.
      logits: float32 [texts, width].

    Returns:
      float32 [texts, width].
    """
    random = np.random.default_rng(0).choice([-1.0, 1.0], logits.shape).astype(np.float32)
    # Of two outputs of which the difference counts, the same sign for both would say nothing.
    random[:, 0] *= 0.5
    reference = tf.constant(logits)
    with tf.GradientTape() as outer:
        outer.watch(reference)
        with tf.GradientTape() as inner:
            inner.watch(reference)
            distance = tf.reduce_sum(problem.distillation_loss(tf.constant(logits), reference, 1.0))
        slope = inner.gradient(distance, reference)
        along = tf.reduce_sum(slope * random)
    curved = outer.gradient(along, reference).numpy()
    length = np.linalg.norm(curved, axis=1, keepdims=True)
    return np.divide(curved, length, out=np.zeros_like(curved), where=length > 0)


def weights(seen: Seen, slopes: np.ndarray, shared: float = SHARED) -> np.ndarray:
    """Return how much an error of each token counts, float32 [tokens], 1 on average.

    Args:
      seen: values of a block.
      slopes: float32 [tokens, hidden], the gradients of the answers by its total.
      shared: part of the weights that tokens have alike, but for their layer norm.
    """
    told = np.square(slopes).sum(axis=1)
    told /= max(float(told.mean()), 1e-30)
    return ((1 - shared) * told + shared * alike(seen)).astype(np.float32)


def alike(seen: Seen) -> np.ndarray:
    """Return the weights of tokens that matter alike, float32 [tokens], 1 on average.

    A layer norm divides a token by its own deviation, and an error with it.
    """
    found = 1.0 / np.maximum(seen.total.var(axis=1), 1e-12)
    return (found / found.mean()).astype(np.float32)
