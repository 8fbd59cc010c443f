"""Movement pruning."""

from __future__ import annotations

from bert_glue_tf.compression.scored import ScoredPruning


class Movement(ScoredPruning):
    """Removes the weights that fine-tuning moves towards zero.

    The score, its options and what differs from the paper are told in `compression/movement.py`.

    Source: Sanh et al. 2020, "Movement pruning: adaptive sparsity by fine-tuning", sections 4
    and 4.2 (https://arxiv.org/abs/2005.07683).
    """

    name = "movement"
    own_score = "movement"
    takes_score = False
