"""Pruning by |weight x gradient|."""

from __future__ import annotations

from bert_glue_tf.compression.scored import ScoredPruning


class Gradient(ScoredPruning):
    """Removes the weights whose removal changes the loss least, to first order.

    The score of a weight is |w * dL/dw|, averaged over the training steps (a running mean).

    Source: Molchanov et al. 2017, "Pruning convolutional neural networks for resource efficient
    inference", eq. (7) (https://arxiv.org/abs/1611.06440), for single weights.
    """

    name = "gradient"
    own_score = "gradient"
    takes_score = False
