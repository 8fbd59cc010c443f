"""Pruning of the filters of convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bert_glue_tf.compression import units
from bert_glue_tf.compression.scored import ScoredPruning

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.models.units import Group


class Filter(ScoredPruning):
    """Removes the filters of smallest L1 norm, and cuts them out at the end.

    With a filter go its bias, the feature that it makes, and what the next layer has to read that
    feature.

    Source: Li et al. 2017, "Pruning filters for efficient convnets", section 3.1
    (https://arxiv.org/abs/1608.08710).
    """

    name = "filter"
    own_score = "l1"
    needs = ("filter",)
    part = "all filters"
    shrinks = True
    sparsity_note = "removes filters: the sparsity is the fraction of the filters"
    refused_rankings = {"lamp": "ranks filters, and LAMP ranks weights"}

    def groups(
        self, weights: Mapping[str, tf.Variable], variables: Sequence[tf.Variable]
    ) -> list[Group]:
        return units.of_layers(self.backbone, "filter", weights, variables, self.name)
