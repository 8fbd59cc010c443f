"""Lottery tickets: iterative magnitude pruning with rewinding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bert_glue_tf.compression.masked import MaskedPruning
from bert_glue_tf.compression.scores import magnitudes
from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    import tf_keras

    from bert_glue_tf.compression.hooks import HookedOptimizer
    from bert_glue_tf.compression.schedule import PruningContext
    from bert_glue_tf.models.units import Group
else:
    tf = lazy.module("tensorflow")


class LotteryTicket(MaskedPruning):
    """Trains, prunes by magnitude, winds the remaining weights back, and trains again.

    The training's steps are divided into `rounds` of equal length. After each but the last one
    the weights of smallest magnitude go, the same fraction of the remaining ones each time;
    every weight of the model gets the value it began the run with (the pre-trained one, or with
    --finetune_epochs the fine-tuned one), and optimizer and learning rate start anew; the last
    round trains the ticket. --begin_step, --end_step and --pruning_schedule do not come into it.

    Source: Frankle and Carbin 2019, "The lottery ticket hypothesis", section 1
    (https://arxiv.org/abs/1803.03635); on BERT, Chen et al. 2020, "The lottery ticket hypothesis
    for pre-trained BERT networks", algorithm 2 (https://arxiv.org/abs/2007.12223).
    """

    name = "lottery_ticket"
    alone = "it winds every weight back at the end of a round, and with it what others have done"
    unused = ("begin_step", "end_step", "pruning_frequency", "initial_sparsity")
    sparsity_note = "divides the same steps into rounds, and winds the weights back after each"
    options = {"rounds": (3, "trainings, with a pruning between each two")}

    @property
    def cycles(self) -> int:  # type: ignore[override]
        return int(self.settings["rounds"])

    def last_step(self, context: PruningContext) -> int:
        return (self.cycles - 1) * (context.total_steps // self.cycles)

    def prepare(self, model: tf_keras.Model, context: PruningContext) -> tf_keras.Model:
        if not 2 <= self.cycles <= context.total_steps:
            raise UserError(
                f"--pruning_options: rounds={self.cycles}: must be from 2 (train, prune, train) "
                f"to the training's {context.total_steps} steps."
            )
        self._weights = list(model.trainable_variables)
        self._first = []
        for number, weight in enumerate(self._weights):
            first = self.variable(f"first/{number}", weight.shape, weight.dtype, 0)
            first.assign(weight)
            self._first.append(first)
        return super().prepare(model, context)

    def wrap_optimizer(self, optimizer: HookedOptimizer) -> HookedOptimizer:
        self._optimizer = super().wrap_optimizer(optimizer)
        return self._optimizer

    def score(self, group: Group) -> np.ndarray:
        return magnitudes(group)

    def advance(self, step: int) -> None:
        self.step.assign(step)
        done, rest = divmod(step, self.plan.total_steps // self.cycles)
        if not rest and 0 < done < self.cycles:
            left = 1.0 - self.plan.final_sparsity
            self.update(1.0 - left ** (done / (self.cycles - 1)))

    def set_masks(self, masks: list[np.ndarray]) -> None:  # type: ignore[override]
        for weight, first in zip(self._weights, self._first, strict=True):
            weight.assign(first)
        for variable in self._optimizer.variables():  # Its step count among them.
            variable.assign(tf.zeros_like(variable))
        super().set_masks(masks)
