"""Block pruning."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import tensorflow as tf

from bert_glue_tf.compression import units
from bert_glue_tf.compression.norms import NormPruning
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.units import Group


def parse_size(option: str, value: str) -> tuple[int, int]:
    """`16x1` as (16, 1).

    Raises:
      UserError: it is not of that form.
    """
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", value)
    if not found:
        raise UserError(
            f"--pruning_options: {option}={value} is no size of a block. Good: {option}=16x16."
        )
    return int(found.group(1)), int(found.group(2))


class Block(NormPruning):
    """Removes whole blocks of a matrix by their L2 norm.

    The size is inputs by outputs of the Keras kernel and has to divide every matrix of the
    scope; `block=1x4` means four outputs of one input.

    Source: Li et al. 2020 (https://arxiv.org/abs/2009.08065); Gray et al. 2017, "GPU kernels for
    block-sparse weights" (https://openai.com/research/block-sparse-gpu-kernels).
    """

    name = "block"
    options = {"block": ("16x16", "size of a block, inputs x outputs")}

    def groups(
        self, weights: Mapping[str, tf.Variable], variables: Sequence[tf.Variable]
    ) -> list[Group]:
        rows, columns = parse_size("block", self.settings["block"])
        return units.blocks(self.backbone, weights, rows, columns, "block")
