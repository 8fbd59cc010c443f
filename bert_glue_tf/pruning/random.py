"""Random pruning, the baseline that every other method has to beat."""

from __future__ import annotations

from bert_glue_tf.compression.scored import ScoredPruning


class Random(ScoredPruning):
    """Weights go in a random order, drawn once from the run's seed.

    Source: as the baseline of Gale et al. 2019, "The state of sparsity in deep neural networks",
    section 3 (https://arxiv.org/abs/1902.09574).
    """

    name = "random"
    own_score = "random"
    takes_score = False
