"""The score by a mask's gradient, of the methods `gradient`, `attention_head` and `neuron`."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from bert_glue_tf.compression import xla
from bert_glue_tf.compression.masked import MaskedPruning, values_of
from bert_glue_tf.models.units import Group, Member

# Weight of the past in the running mean of a score: about the last hundred steps count.
DECAY = 0.99


class FirstOrder(MaskedPruning):
    """Ranks a unit by |dL/dm|, m being a mask's value of 1 on what the unit contributes.

    Multiplying a unit by m multiplies its weights w in the matrix where its contribution leaves
    it, so dL/dm is the sum of w * dL/dw over them, and no second backward pass is needed. Its
    absolute value, for the mean loss of a batch, is averaged over the steps. The gradients are
    those of the update, clipped to a global norm of 1.
    """

    waits = "ranks by gradients, and before the first step there are none"

    def create(self) -> None:
        xla.can_compile()
        self._means = {
            group.name: self.variable(f"score/{group.name}", group.units, tf.float32, 0.0)
            for group in self.all_groups
        }

    def observe(self, group: Group, member: Member, gradient: tf.Tensor) -> tf.Tensor:
        if member is group.members[-1]:
            mean = self._means[group.name]
            mean.assign(
                _running_mean(
                    mean.read_value(),
                    member.variable.read_value(),
                    gradient,
                    member.view,
                    member.others,
                )
            )
        return gradient

    def score(self, group: Group) -> np.ndarray:
        return values_of(self._means[group.name])


# Compiled into one pass over the weights instead of five.
@xla.compiled()
def _running_mean(
    mean: tf.Tensor,
    weight: tf.Tensor,
    gradient: tf.Tensor,
    view: tuple[int, ...],
    others: tuple[int, ...],
) -> tf.Tensor:
    """The new mean, float32 of the units' shape; `view` and `others` are the member's."""
    terms = tf.reshape(weight * tf.cast(gradient, tf.float32), view)
    now = tf.abs(tf.reduce_sum(terms, others) if others else tf.reshape(terms, mean.shape))
    return DECAY * mean + (1.0 - DECAY) * now
