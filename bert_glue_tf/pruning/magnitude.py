"""Magnitude pruning: the weights of smallest magnitude, wherever they stand."""

from __future__ import annotations

from bert_glue_tf.compression.scored import ScoredPruning


class Magnitude(ScoredPruning):
    """Magnitude pruning inside of the encoder.

    The score of a weight is its absolute value. --pruning_schedule says how: `one_shot` with
    --finetune_epochs prunes the fine-tuned model and trains the remaining weights, `gradual` prunes
    while training, `iterative` in rounds.

    Source: Han et al. 2015, "Learning both weights and connections for efficient neural
    networks" (https://arxiv.org/abs/1506.02626); on BERT, Gordon et al. 2020, "Compressing BERT:
    studying the effects of weight pruning on transfer learning"
    (https://arxiv.org/abs/2002.08307).
    """

    name = "magnitude"
    # Its name in the second report ("Cloud Computing Final Report").
    aliases = ("irregular",)
    takes_score = False
