"""The score of units by movement."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from bert_glue_tf.compression import gradients
from bert_glue_tf.compression.masked import values_of
from bert_glue_tf.compression.method import Options
from bert_glue_tf.compression.scores import Score, magnitudes
from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.compression.gradients import Batch
    from bert_glue_tf.compression.schedule import PruningContext
    from bert_glue_tf.models.units import Group, Member
else:
    tf = lazy.module("tensorflow")

_BETA_2 = 0.999  # Of Adam, its authors' value.
_TINY = np.finfo(np.float32).tiny  # Where every gradient so far was zero, the step is zero too.
# Above this share of the weights at one step there is a warning, where scores begin with zero. The
# paper's trainings have tens of thousands of steps; at 1.2e-4 of a step networks have learned on
# here, and at 8e-4 they have collapsed (docs/results/movement.md).
_QUICK = 2e-4


class Movement(Score):
    """Ranks a unit by how far fine-tuning moves it away from zero.

    A weight's score is S = -sum over the steps of dL/dW' * W, W' being the masked weight and W
    the weight itself, which keeps its value while it is masked and comes back with it
    (straight-through estimator). As in the paper, Adam takes the steps of the scores: each is
    divided by its own root mean square so far. Without that a large weight whose gradients are
    mere noise would be among the lowest scores half of the time. Adam's first moment is left
    out; in a sum it only delays.

    A larger unit has one score, whose gradient is the sum of dL/dW' * W over the unit (as Lagunas
    et al. 2021 do for blocks, https://arxiv.org/abs/2109.04838). Where it runs through several
    weights that sum is over the last of them, and stands still while the unit is masked: what is
    zero in all of its weights has no gradient.

    Where all units go at once the weights stand still while the scores take a step for each batch
    of `examples`, besides those of the training before. That is the sum of the paper at a learning
    rate of 0.

    `initial=zero` begins with scores of zero, as the paper does, which takes the tens of thousands
    of steps that it trains for: the weights that go together are those that the gradients of the
    steps before agree on, so that many of them at once are one large step in that direction, and
    the network collapses where no training is between. `initial=magnitude` begins
    with the magnitude over its root mean square in the matrix, for short trainings. That is ours,
    not the paper's: a pre-trained weight has moved away from zero once already.

    `variant=hard` keeps the best scores (--ranking says among which). `variant=soft` compares
    sigmoid(S) with one threshold for the whole scope and lets a penalty on sigmoid(S) pull the
    scores down; the threshold follows the schedule's sparsity, where the paper keeps it fixed
    and sets the penalty, so that the sparsity asked for is reached.

    Source: Sanh et al. 2020, "Movement pruning: adaptive sparsity by fine-tuning", sections 4
    and 4.2 (https://arxiv.org/abs/2005.07683).
    """

    name = "movement"
    options: Options = types.MappingProxyType(
        {
            "variant": ("hard", "hard or soft"),
            "initial": ("zero", "scores at the start: zero or magnitude"),
            "score_rate": (0.01, "step of the scores"),
            "penalty": (0.1, "of soft: weight of the penalty on sigmoid(score)"),
            **gradients.EXAMPLES,
        }
    )
    waits = "ranks by gradients, and before the first step there are none"
    regrows = True
    refused_rankings = types.MappingProxyType(
        {"lamp": "has scores of both signs, and LAMP compares magnitudes"}
    )

    def context(self, context: PruningContext) -> PruningContext:
        self._is_soft = self.settings["variant"] == "soft"
        # One threshold for all weights is a ranking over the whole scope.
        if self._is_soft and context.ranking not in self.refused_rankings:
            return context.globally()
        return context

    def check_settings(self) -> None:
        for name, good in (("variant", ("hard", "soft")), ("initial", ("zero", "magnitude"))):
            if self.settings[name] not in good:
                raise UserError(
                    f"--pruning_options: {name}={self.settings[name]}: movement has no such "
                    f"{name}. Good values: {', '.join(good)}."
                )
        for name, is_good, wanted in (
            ("score_rate", self.settings["score_rate"] > 0, "above 0"),
            ("penalty", self.settings["penalty"] >= 0, "0 or above"),
        ):
            if not is_good:
                raise UserError(
                    f"--pruning_options: {name}={self.settings[name]}: must be {wanted}."
                )
        gradients.check_examples(self.settings)

    def create(self) -> None:
        groups, variable = self.method.all_groups, self.method.variable
        self._scores = {
            group.name: variable(f"score/{group.name}", group.units, tf.float32, 0.0)
            for group in groups
        }
        if self.settings["initial"] == "magnitude":
            for group in groups:
                size = tf.constant(magnitudes(group))
                root = tf.sqrt(tf.reduce_mean(tf.square(size)))
                self._scores[group.name].assign(tf.math.divide_no_nan(size, root))
        self._squares = {  # Adam's second moment.
            group.name: variable(f"square/{group.name}", group.units, tf.float32, 0.0)
            for group in groups
        }
        self._steps = {  # That RMSProp takes; nothing of it goes on to the next one.
            group.name: tf.Variable(tf.zeros(group.units), trainable=False, name="pruning/step")
            for group in groups
        }
        self._hidden = {  # Values of the weights that are masked.
            member.name: variable(f"hidden/{member.name}", member.variable.shape, tf.float32, 0.0)
            for group in groups
            for member in group.members
        }

    def observe(self, group: Group, member: Member, gradient: tf.Tensor) -> tf.Tensor:
        kept = self.method.expanded(group, member)
        if member is not group.members[-1]:
            return tf.where(kept, tf.cast(gradient, tf.float32), 0.0)
        gradient = tf.cast(gradient, tf.float32)
        self._move(group, gradient, self.method.step + 1)
        return tf.where(kept, gradient, 0.0)

    def learn(self, group: Group, gradient: tf.Tensor, batch: Batch) -> None:
        seen = self.method.step + tf.cast(batch.number, self.method.step.dtype)
        self._move(group, gradient, seen)

    def _move(self, group: Group, gradient: tf.Tensor, seen: tf.Tensor) -> None:
        """Take a step of a group's scores.

        Args:
          group: whose last member's gradient is given.
          gradient: float32 of the weight's shape.
          seen: int64 scalar, the gradients that the scores have taken steps by, with this one.
        """
        member = group.members[-1]
        moved = gradient * (member.variable.read_value() + self._hidden[member.name].read_value())
        if member.others:
            moved = tf.reduce_sum(tf.reshape(moved, member.view), member.others)
        self._take_step(group.name, tf.reshape(moved, group.units), seen)

    def _take_step(self, name: str, moved: tf.Tensor, seen: tf.Tensor) -> None:
        """Take Adam's step of a group's scores.

        Args:
          name: of the group.
          moved: float32 of the units' shape, the gradient of the scores.
          seen: as for `_move`.
        """
        score, rate = self._scores[name], self.settings["score_rate"]
        if self._is_soft:
            gate = tf.sigmoid(score.read_value())
            score.assign_sub(rate * self.settings["penalty"] * gate * (1.0 - gate))
        # Adam without its first moment is RMSProp with another step size. TensorFlow has it in one
        # pass over the arrays and with all threads: two thirds of what XLA takes for the same.
        tf.raw_ops.ResourceApplyRMSProp(
            var=score.handle,
            ms=self._squares[name].handle,
            mom=self._steps[name].handle,
            lr=rate * tf.sqrt(1.0 - tf.pow(_BETA_2, tf.cast(seen, tf.float32))),
            rho=_BETA_2,
            momentum=0.0,
            epsilon=_TINY,
            grad=moved,
        )

    def begin(self) -> None:
        plan = self.method.plan
        if self.settings["initial"] != "zero" or plan.quickest <= _QUICK:
            return
        logging.warning(
            "movement's scores begin with zero, and %.2g %% of the weights go at the quickest "
            "step: at 0.08 %% a step and more networks have collapsed, and at 0.012 %% they have "
            "learned on. --pruning_options=initial=magnitude is made for short trainings; a "
            "longer training with a later --end_step prunes more slowly.",
            100 * plan.quickest,
        )

    def of(self, group: Group) -> np.ndarray:
        return values_of(self._scores[group.name])

    def hide(self, group: Group) -> None:
        for member in group.members:
            hidden = self._hidden[member.name]
            seen, unseen = _hide(
                member.variable.read_value(),
                hidden.read_value(),
                self.method.expanded(group, member),
            )
            member.variable.assign(seen)
            hidden.assign(unseen)


def _hide(weight: tf.Tensor, hidden: tf.Tensor, kept: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return what a new mask lets be seen of a matrix, and what it hides.

    Args:
      weight, hidden: float32, what has been seen and hidden so far; one of the two is zero.
      kept: bool, the new mask.
    """
    whole = weight + hidden
    return tf.where(kept, whole, 0.0), tf.where(kept, 0.0, whole)
