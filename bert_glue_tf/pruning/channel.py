"""Pruning of the channels between convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bert_glue_tf.compression import units
from bert_glue_tf.compression.scored import ScoredPruning
from bert_glue_tf.compression.scores import read_norms

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.models.units import Group


class Channel(ScoredPruning):
    """Removes the channels that the next layer's filters read with the smallest L1 norm.

    A channel is a feature between two convolutions. It is judged by the batch of kernels by which
    all filters of the next layer read it, where `filter` judges the filter that makes it; with it
    goes that filter, and the whole batch. The features behind the last convolution, which the head
    reads, are no channels.

    Source: the survey's channel pruning (Touheed et al. 2024); the criterion is the L1 norm of Li
    et al. 2017, section 3.1 (https://arxiv.org/abs/1608.08710), summed over a channel's kernels in
    all filters instead of over a filter's kernels for all channels. He et al. 2017, "Channel
    pruning for accelerating very deep neural networks" (https://arxiv.org/abs/1707.06168), choose
    the channels by a lasso regression instead.
    """

    name = "channel"
    own_score = "l1"
    needs = ("filter",)
    part = "all channels between convolutions"
    shrinks = True
    sparsity_note = "removes channels: the sparsity is the fraction of the channels"
    refused_rankings = {"lamp": "ranks channels, and LAMP ranks weights"}
    refused_scores = {
        "magnitude": "judges a channel by what reads it, which only score=l1 looks at"
    }

    def groups(
        self, weights: Mapping[str, tf.Variable], variables: Sequence[tf.Variable]
    ) -> list[Group]:
        return units.of_layers(self.backbone, "channel", weights, variables, self.name)

    def score(self, group: Group) -> np.ndarray:
        return read_norms(group) if self.score_name == "l1" else super().score(group)
