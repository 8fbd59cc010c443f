"""Pattern and connectivity pruning of 3 x 3 kernels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_glue_tf.compression import ranking, units
from bert_glue_tf.compression.masked import values_of
from bert_glue_tf.compression.patterns import best_patterns, fitting_patterns
from bert_glue_tf.compression.scored import ScoredPruning
from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.models.units import Group
else:
    tf = lazy.module("tensorflow")

SIDE = 3
_SIZE = SIDE * SIDE  # Weights of a kernel.
_MOST_PATTERNS = 126  # Ways to keep 4 of 9.


class KernelPattern(ScoredPruning):
    """Every 3 x 3 kernel keeps one of a small set of patterns, and the weakest kernels go whole.

    A kernel is what one filter reads of one channel. The set belongs to the network: the patterns
    of 4 of 9 weights that most often are a kernel's largest, over all kernels. Each kernel takes
    the pattern of the set that keeps most of its L2 norm. Where more than 5 of 9 weights are to
    go, whole kernels go besides (connectivity pruning): of each convolution those whose pattern
    keeps the smallest norm. On the way to that sparsity kernels take their patterns one after the
    other, first those that lose least by it. --ranking does not come into it.

    `admm` before it: --pruning_method=admm --pruning_options=structure=kernel_pattern.

    Source: Ma et al. 2020, "PCONV: the missing but desirable sparsity in DNN weight pruning for
    real-time execution on mobile devices" (https://arxiv.org/abs/1909.05073), whose patterns are
    designed; the choice by frequency is that of Niu et al. 2020, "PatDNN"
    (https://arxiv.org/abs/2001.00138), section 4.1.
    """

    name = "kernel_pattern"
    needs = ("kernel",)
    part = "all 3 x 3 kernels"
    shrinks = True
    options = {
        "entries": (4, "weights that a pattern keeps, of 9"),
        "patterns": (8, "number of patterns of the network"),
    }
    refused_rankings = {
        kind: "fills every convolution alike, so nothing competes over the scope. Leave --ranking "
        "out"
        for kind in ("global", "lamp")
    }
    refused_scores = {"movement": "compares squares, and movement's scores have both signs"}

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        self._patterns: tf.Variable | None = None  # Made by `create`: `admm` chooses a set anew.

    def create(self) -> None:
        super().create()
        self._patterns = self.variable(
            "patterns", (self.settings["patterns"], _SIZE), tf.bool, False
        )

    def check_settings(self) -> None:
        super().check_settings()
        for name, most in (("entries", _SIZE - 1), ("patterns", _MOST_PATTERNS)):
            if not 1 <= self.settings[name] <= most:
                raise UserError(
                    f"--pruning_options: {name}={self.settings[name]}: must be from 1 to {most}."
                )

    def groups(
        self, weights: Mapping[str, tf.Variable], variables: Sequence[tf.Variable]
    ) -> list[Group]:
        del variables
        kernels = {
            name: weight
            for name, weight in weights.items()
            if len(weight.shape) == 4 and tuple(weight.shape[:2]) == (SIDE, SIDE)
        }
        if not kernels:
            raise UserError(
                f"--pruning_method={self.name}: no weight of the scope is a convolution with "
                "kernels of 3 x 3. It needs --pruning_scope=encoder or all, and a network that has "
                "some (okg_net)."
            )
        return units.elements(kernels)

    def require_reachable(self) -> None:
        entries = self.settings["entries"]
        wanted = min(self._share_of_each(self.plan.final_sparsity))
        least = 1 - entries / _SIZE
        if wanted < least - ranking.TOLERANCE:
            raise UserError(
                f"--final_sparsity={wanted:g}: patterns that keep {entries} of {_SIZE} weights "
                f"remove {least:.4g} by themselves. Good: {least:.4f} or more; or "
                f"entries={_SIZE - int(wanted * _SIZE)}."
            )

    def choose(self, scores: Iterable[np.ndarray], sparsity: float) -> list[np.ndarray]:
        kernels = [score.reshape(_SIZE, -1).T for score in scores]
        patterns = self._set_of(kernels)
        found = []
        # Where weights grow back every kernel is judged anew.
        stays = self._patterns is not None and self.plan.keeps_masks
        for group, own, share in zip(
            self.all_groups, kernels, self._share_of_each(sparsity), strict=True
        ):
            before = self.mask(group) if stays else np.ones(group.units, bool)
            mask = self.mask_of(own, patterns, share, before.reshape(_SIZE, -1).T)
            found.append(mask.T.reshape(group.units))
        return found

    def _share_of_each(self, sparsity: float) -> list[float]:
        """Return the sparsity of each convolution, where parts have some of their own too."""
        shares = self._shares(sparsity)
        return shares if isinstance(shares, list) else [shares] * len(self.all_groups)

    def _set_of(self, kernels: Sequence[np.ndarray]) -> np.ndarray:
        """Return the network's patterns, bool [some, 9], chosen once unless weights grow back."""
        if self._patterns is not None and self.plan.keeps_masks:
            known = values_of(self._patterns)
            if known.any():
                return known[known.any(axis=1)]
        made = fitting_patterns(
            np.concatenate(kernels), self.settings["entries"], self.settings["patterns"]
        )
        if self._patterns is not None:
            filled = np.zeros(self._patterns.shape, bool)
            filled[: len(made)] = made
            self._patterns.assign(filled)
        return made

    def mask_of(
        self, kernels: np.ndarray, patterns: np.ndarray, sparsity: float, before: np.ndarray
    ) -> np.ndarray:
        """Return which weights of a convolution's kernels stay.

        Args:
          kernels: float [kernels, 9], scores.
          patterns: bool [patterns, 9].
          sparsity: fraction of the weights that go.
          before: bool of the kernels' shape, which weights are there now; a kernel that has taken
            its pattern keeps it, and one that is gone stays so.

        Returns:
          bool of the kernels' shape.
        """
        count, entries = len(kernels), self.settings["entries"]
        zeros = sparsity * kernels.size
        chosen = best_patterns(kernels, patterns)
        kept = (np.square(kernels) * chosen).sum(axis=1)
        lost = np.square(kernels).sum(axis=1) - kept
        left = before.sum(axis=1)
        has_own = left <= entries
        chosen[has_own], lost[has_own] = before[has_own], -1.0
        kept[left == 0] = -1.0
        mask = np.ones(kernels.shape, bool)
        taking = min(count, round(zeros / (_SIZE - entries)))
        first = np.argsort(lost, kind="stable")[:taking]
        mask[first] = chosen[first]
        gone = round((zeros - count * (_SIZE - entries)) / entries)
        if gone > 0:
            mask[np.argsort(kept, kind="stable")[: min(gone, count - 1)]] = False
        return mask
