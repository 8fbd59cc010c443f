"""Pattern pruning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bert_glue_tf.compression import ranking, units
from bert_glue_tf.compression.patterns import best_patterns, fitting_patterns
from bert_glue_tf.compression.scored import ScoredPruning
from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.models.units import Group


class Pattern(ScoredPruning):
    """Every block of a matrix keeps one of a small set of patterns, the best by L2 norm.

    The set belongs to the matrix: the patterns that most often are the largest weights of a
    block. All patterns keep the same number of weights, so the sparsity goes in steps of one
    weight of a block; --ranking does not come into it. After another method, what is gone
    already counts among the zeros of a pattern.

    Source: Ma et al. 2020, "PCONV: the missing but desirable sparsity in DNN weight pruning for
    real-time execution on mobile devices" (https://arxiv.org/abs/1909.05073), for matrices.
    """

    name = "pattern"
    shrinks = True
    regrows = True
    takes_regions = False
    options = {
        "block": ("4x4", "size of a block, inputs x outputs"),
        "patterns": (8, "number of patterns of a matrix"),
    }
    refused_rankings = {
        kind: "fills every block alike, so nothing competes over the scope. Leave --ranking out"
        for kind in ("global", "lamp")
    }
    refused_scores = {"movement": "compares squares, and movement's scores have both signs"}

    def check_settings(self) -> None:
        super().check_settings()
        units.block_size("block", self.settings["block"])
        if not 1 <= self.settings["patterns"] <= 255:
            raise UserError(
                f"--pruning_options: patterns={self.settings['patterns']}: must be from 1 to 255."
            )

    def groups(
        self, weights: Mapping[str, tf.Variable], variables: Sequence[tf.Variable]
    ) -> list[Group]:
        del variables
        # Refuses a size that does not divide.
        units.blocks(self.backbone, weights, self._size, "block")
        return units.elements(weights)

    @property
    def _size(self) -> tuple[int, int]:
        return units.block_size("block", self.settings["block"])

    def require_reachable(self) -> None:
        rows, columns = self._size
        size, wanted = rows * columns, self.plan.final_sparsity
        near = min(range(size), key=lambda n: abs(n / size - wanted))
        if abs(near / size - wanted) > ranking.TOLERANCE:
            lower = int(wanted * size)
            steps = " or ".join(
                f"{n / size:.4g}" for n in sorted({lower, min(lower + 1, size - 1)})
            )
            raise UserError(
                f"--final_sparsity={wanted:g}: a pattern of {rows}x{columns} weights cannot reach "
                f"it. The nearest: {steps}."
            )

    def choose(self, scores: Iterable[np.ndarray], sparsity: float) -> list[np.ndarray]:
        return [
            self._masks_of(group, score, sparsity)
            for group, score in zip(self.all_groups, scores, strict=True)
        ]

    def _masks_of(self, group: Group, score: np.ndarray, sparsity: float) -> np.ndarray:
        rows, columns = self._size
        height, width = self.backbone.matrix_shape(group.name, group.units)
        split = (height // rows, rows, width // columns, columns)
        blocks = score.reshape(split).transpose(0, 2, 1, 3).reshape(-1, rows * columns)
        kept = rows * columns - round(sparsity * rows * columns)
        if kept == rows * columns:
            return np.ones(group.units, bool)
        patterns = fitting_patterns(blocks, kept, self.settings["patterns"])
        chosen = best_patterns(blocks, patterns).reshape(split[0], split[2], rows, columns)
        return chosen.transpose(0, 2, 1, 3).reshape(group.units)
