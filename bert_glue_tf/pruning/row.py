"""Row pruning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bert_glue_tf.compression import units
from bert_glue_tf.compression.scored import ScoredPruning

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.models.units import Group


class Row(ScoredPruning):
    """Removes whole rows of a weight matrix W of y = Wx + b, by their L2 norm.

    A row makes one output. Keras keeps W transposed, [inputs, outputs], so a row is a column of
    a Keras kernel. Biases stay.

    Source: "Cloud Computing Final Report" (the second report), Table 1, where it stands beside
    irregular, column and block pruning; rows and columns of a matrix as what is pruned: Wen et al.
    2016, "Learning Structured Sparsity in Deep Neural Networks" (https://arxiv.org/abs/1608.03665).
    """

    name = "row"
    shrinks = True

    def groups(
        self, weights: Mapping[str, tf.Variable], variables: Sequence[tf.Variable]
    ) -> list[Group]:
        return units.lines(self.backbone, weights, 1, "row")
