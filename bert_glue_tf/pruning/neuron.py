"""Pruning of feed-forward neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bert_glue_tf.compression import units
from bert_glue_tf.compression.scored import ScoredPruning

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.models.units import Group


class Neuron(ScoredPruning):
    """Removes feed-forward neurons of least importance, and cuts them out at the end.

    A neuron's importance is the expected |dL/dm| of a mask m on its activation, as that of an
    attention head is.

    Source: Michel et al. 2019 (https://arxiv.org/abs/1905.10650), eq. (2), used for the neurons
    by Prasanna et al. 2020, "When BERT plays the lottery, all tickets are winning", section 3.2
    for whole layers of them (https://arxiv.org/abs/2005.00561); for single units it is the
    first-order criterion of Molchanov et al. 2017, eq. (7) (https://arxiv.org/abs/1611.06440).
    """

    name = "neuron"
    own_score = "gradient"
    needs = ("neuron",)
    part = "all feed-forward neurons"
    shrinks = True
    sparsity_note = "removes feed-forward neurons: the sparsity is the fraction of the neurons"
    refused_rankings = {"lamp": "ranks neurons, and LAMP ranks weights"}

    def groups(
        self, weights: Mapping[str, tf.Variable], variables: Sequence[tf.Variable]
    ) -> list[Group]:
        return units.of_layers(self.backbone, "neuron", weights, variables, self.name)
