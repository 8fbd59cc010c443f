"""Column pruning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bert_glue_tf.compression import units
from bert_glue_tf.compression.scored import ScoredPruning

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.models.units import Group


class Column(ScoredPruning):
    """Removes whole columns of a weight matrix W of y = Wx + b, by their L2 norm.

    A column is what one input adds to every output. Keras keeps W transposed, so a column is a
    row of a Keras kernel.

    Source: "Cloud Computing Final Report" (the second report), Table 1; Wen et al. 2016
    (https://arxiv.org/abs/1608.03665), as `row`.
    """

    name = "column"
    shrinks = True

    def groups(
        self, weights: Mapping[str, tf.Variable], variables: Sequence[tf.Variable]
    ) -> list[Group]:
        return units.lines(self.backbone, weights, 0, "column")
