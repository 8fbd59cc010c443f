"""Block pruning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bert_glue_tf.compression import units
from bert_glue_tf.compression.scored import ScoredPruning

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.models.units import Group


class Block(ScoredPruning):
    """Removes whole blocks of a matrix by their L2 norm.

    The size is inputs by outputs of the Keras kernel and has to divide every matrix of the
    scope; `block=1x4` means four outputs of one input.

    Source: "Cloud Computing Final Report" (the second report), Table 1, "whole block", whose size
    it does not say; Gray et al. 2017, "GPU kernels for block-sparse weights"
    (https://openai.com/research/block-sparse-gpu-kernels).
    """

    name = "block"
    shrinks = True
    options = {"block": ("16x16", "size of a block, inputs x outputs")}

    def check_settings(self) -> None:
        super().check_settings()
        units.block_size("block", self.settings["block"])

    def groups(
        self, weights: Mapping[str, tf.Variable], variables: Sequence[tf.Variable]
    ) -> list[Group]:
        size = units.block_size("block", self.settings["block"])
        return units.blocks(self.backbone, weights, size, "block")
