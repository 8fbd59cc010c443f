"""Movement pruning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from bert_glue_tf.errors import UserError
from bert_glue_tf.pruning.base import PruningContext
from bert_glue_tf.pruning.masked import MaskedPruning
from bert_glue_tf.pruning.structures import Group, Member

_VARIANTS = ("hard", "soft")


class Movement(MaskedPruning):
    """Removes the weights that fine-tuning moves towards zero.

    A weight's score is S = -sum over the steps of dL/dW' * W, W' being the masked weight and W
    the weight itself, which keeps its value while it is masked and comes back with it
    (straight-through estimator). The sum of a step is divided by its root mean square over the
    matrix, which stands in for the Adam that the paper trains its scores with: one rate suits
    every matrix.

    `variant=hard` keeps the best scores (--ranking says among which). `variant=soft` compares
    sigmoid(S) with one threshold for the whole scope and lets a penalty on sigmoid(S) pull the
    scores down; the threshold follows the schedule's sparsity, where the paper keeps it fixed
    and sets the penalty, so that the sparsity asked for is reached.

    Source: Sanh et al. 2020, "Movement pruning: adaptive sparsity by fine-tuning", sections 4
    and 4.2 (https://arxiv.org/abs/2005.07683).
    """

    name = "movement"
    needs_gradients = True
    regrows = True
    options = {
        "variant": ("hard", "hard or soft"),
        "score_rate": (0.01, "step of the scores"),
        "penalty": (0.1, "of soft: weight of the penalty on sigmoid(score)"),
    }
    refused_rankings = {"lamp": "has scores of both signs, and LAMP compares magnitudes"}

    def context(self, context: PruningContext) -> PruningContext:
        context = super().context(context)
        variant = self.settings["variant"]
        if variant not in _VARIANTS:
            raise UserError(
                f"--pruning_options: variant={variant}: no such variant of movement. "
                f"Good values: {', '.join(_VARIANTS)}."
            )
        self._is_soft = variant == "soft"
        # One threshold for all weights is a ranking over the whole scope.
        return context.globally() if self._is_soft else context

    def create(self) -> None:
        def filled(kind: str) -> dict[str, tf.Variable]:
            return {
                group.name: self.variable(f"{kind}/{group.name}", group.units, tf.float32, 0.0)
                for group in self.all_groups
            }

        self._scores = filled("score")
        self._hidden = filled("hidden")  # Values of the weights that are masked.

    def observe(self, group: Group, member: Member, gradient: tf.Tensor) -> tf.Tensor:
        score, rate = self._scores[group.name], self.settings["score_rate"]
        moved = gradient * (member.variable + self._hidden[group.name])
        size = tf.sqrt(tf.reduce_mean(tf.square(moved)))
        change = tf.math.divide_no_nan(moved, size)
        if self._is_soft:
            gate = tf.sigmoid(score)
            change += self.settings["penalty"] * gate * (1.0 - gate)
        score.assign_sub(rate * change)
        # A masked weight gets no gradient: dL/dW = dL/dW' * M.
        return self.masked(group, member, gradient)

    def score(self, group: Group) -> np.ndarray:
        return np.asarray(self._scores[group.name].numpy())

    def set_masks(self, masks: Sequence[np.ndarray]) -> None:
        for group, mask in zip(self.all_groups, masks, strict=True):
            hidden, weight = self._hidden[group.name], group.members[0].variable
            whole = weight.numpy() + hidden.numpy()
            weight.assign(whole)
            hidden.assign(np.where(mask, np.float32(0), whole))
        super().set_masks(masks)
