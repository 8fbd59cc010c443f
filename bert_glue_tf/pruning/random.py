"""Random pruning, the baseline that every other method has to beat."""

from __future__ import annotations

import zlib

import numpy as np

from bert_glue_tf.compression.masked import MaskedPruning
from bert_glue_tf.models.units import Group


class Random(MaskedPruning):
    """Weights go in a random order, drawn once from the run's seed.

    Source: as the baseline of Gale et al. 2019, "The state of sparsity in deep neural networks",
    section 3 (https://arxiv.org/abs/1902.09574).
    """

    name = "random"
    refused_rankings = {"lamp": "has no magnitudes that LAMP could compare"}

    def score(self, group: Group) -> np.ndarray:
        # By name, so that the order of the groups decides nothing.
        random = np.random.default_rng([self.plan.seed, zlib.crc32(group.name.encode())])
        return random.random(group.units, np.float32)
