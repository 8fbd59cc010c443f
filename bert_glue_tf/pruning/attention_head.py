"""Pruning of attention heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bert_glue_tf.compression import units
from bert_glue_tf.compression.scored import ScoredPruning

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.models.units import Group


class AttentionHead(ScoredPruning):
    """Removes the attention heads of least importance, and cuts them out at the end.

    A head's importance is the expected |dL/dm| of a mask m on its output, divided by the norm of
    the importances of its layer, so that layers compare. It is learned from the training's own
    gradients, over the steps before the pruning and between its updates.

    Source: Michel et al. 2019, "Are sixteen heads really better than one?", eq. (2) and
    section 4.1 (https://arxiv.org/abs/1905.10650).
    """

    name = "attention_head"
    own_score = "gradient"
    needs = ("head",)
    part = "all attention heads"
    shrinks = True
    sparsity_note = "removes attention heads: the sparsity is the fraction of the heads"
    refused_rankings = {"lamp": "ranks heads, and LAMP ranks weights"}

    def groups(
        self, weights: Mapping[str, tf.Variable], variables: Sequence[tf.Variable]
    ) -> list[Group]:
        return units.of_layers(self.backbone, "head", weights, variables, self.name)

    def score(self, group: Group) -> np.ndarray:
        importance = super().score(group)
        if self.score_name != "gradient":
            return importance
        norm = float(np.linalg.norm(importance))
        return importance / norm if norm else importance
