"""The scores of units: by magnitude, by gradient, and at random; `movement` has a file.

A score works on units of any kind: where a unit runs through several weights, what it contributes
leaves it in the group's last member.
"""

from __future__ import annotations

import types
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_glue_tf.compression import gradients, xla
from bert_glue_tf.compression.masked import values_of
from bert_glue_tf.compression.method import Options
from bert_glue_tf.core import lazy

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.compression.gradients import Batch
    from bert_glue_tf.compression.masked import MaskedPruning
    from bert_glue_tf.compression.schedule import PruningContext
    from bert_glue_tf.models.units import Group, Member
else:
    tf = lazy.module("tensorflow")

# Weight of the past in the running mean of a score: about the last hundred steps count.
DECAY = 0.99


class Score:
    """The worth of units; as it stands, nothing is learned.

    Args:
      method: whose units are scored, with its masks and its settings.
    """

    name = ""
    options: Options = types.MappingProxyType({})
    # As in `MaskedPruning`, for what the score decides.
    waits = ""
    regrows = False
    refused_rankings: Mapping[str, str] = types.MappingProxyType({})
    # True: it depends on nothing but the weights as they are.
    is_of_weights = False

    def __init__(self, method: MaskedPruning) -> None:
        self.method = method
        self.settings = method.settings

    def check_settings(self) -> None:
        """Refuse values of the score's own settings; see `PruningMethod.check_settings`.

        Raises:
          UserError: a setting of the score is not good.
        """

    def context(self, context: PruningContext) -> PruningContext:
        """Return the context as the score needs it."""
        return context

    def create(self) -> None:
        """Make the variables that the score needs, under the strategy's scope."""

    def observe(self, group: Group, member: Member, gradient: tf.Tensor) -> tf.Tensor:
        """See a weight's gradient before the update, and return the one to train with."""
        del group, member
        return gradient

    def learn(self, group: Group, gradient: tf.Tensor, batch: Batch) -> None:
        """See a gradient of a group's last member while all weights stand still.

        A score that `waits` for gradients is shown those of many training examples where all units
        go at once.

        Args:
          group: of units.
          gradient: float32 of the shape of its last member's weight, of a batch's mean loss.
          batch: which one; before the first one the score may hold what the training has told it.
        """

    def begin(self) -> None:
        """Do what is due before the first step."""

    def of(self, group: Group) -> np.ndarray:
        """Return the worth of each unit: float32 of the group's units' shape."""
        raise NotImplementedError

    def hide(self, group: Group) -> None:
        """Set to zero what a group's new mask leaves out."""
        self.method.zero(group)


class Magnitude(Score):
    """Ranks a weight by its absolute value, and a larger unit by its L2 norm."""

    name = "magnitude"
    is_of_weights = True

    def of(self, group: Group) -> np.ndarray:
        return magnitudes(group)


class AbsoluteSum(Score):
    """Ranks a unit by the L1 norm of its weights, over their number; biases do not count.

    Source: for filters Li et al. 2017, "Pruning filters for efficient convnets", section 3.1
    (https://arxiv.org/abs/1608.08710); of units of one size the division changes nothing.
    """

    name = "l1"
    is_of_weights = True

    def of(self, group: Group) -> np.ndarray:
        matrices = [one for one in group.members if len(one.variable.shape) > 1]
        total = sum(one.total(np.abs(values_of(one.variable))) for one in matrices)
        return np.asarray(total) / sum(one.unit_size for one in matrices)


def read_norms(group: Group) -> np.ndarray:
    """Return the L1 norm of the weights by which each unit is read, over their number.

    Args:
      group: of units that something reads.

    Returns:
      float32 of the group's units' shape.
    """
    total, size = np.zeros(group.units, np.float32), 0.0
    for reader in group.readers:
        total = total + reader.total(np.abs(values_of(reader.variable)), group.count)
        size += np.prod(reader.variable.shape) / reader.variable.shape[reader.axis]
    return np.asarray(total / size, np.float32)


def magnitudes(group: Group) -> np.ndarray:
    """Return the absolute value of single weights, else `norms`; of the units' shape."""
    if group.is_elementwise:
        return np.abs(values_of(group.members[0].variable))
    return norms(group, {member.name: values_of(member.variable) for member in group.members})


def norms(group: Group, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the L2 norm of each unit over the root of its number of weights.

    The division changes nothing within a matrix, and makes units of different size compare.

    Args:
      group: the units.
      values: member's name -> array of the weight's shape.

    Returns:
      float32 of the group's units' shape.
    """
    total = sum(member.total(np.square(values[member.name])) for member in group.members)
    return np.sqrt(np.asarray(total) / group.unit_size)


class Random(Score):
    """Ranks units in a random order, drawn once from the run's seed."""

    name = "random"
    refused_rankings = types.MappingProxyType({"lamp": "has no magnitudes that LAMP could compare"})

    def of(self, group: Group) -> np.ndarray:
        # By name, so that the order of the groups decides nothing.
        seed = [self.method.plan.seed, zlib.crc32(group.name.encode())]
        return np.random.default_rng(seed).random(group.units, np.float32)


class Gradient(Score):
    """Ranks a unit by |dL/dm|, m being a mask's value of 1 on what the unit contributes.

    Multiplying a unit by m multiplies its weights w in the matrix where its contribution leaves
    it, so dL/dm is the sum of w * dL/dw over them, and no second backward pass is needed. Its
    absolute value, for the mean loss of a batch, is averaged: over the steps of the training, where
    the gradients are those of the update, clipped to a global norm of 1; or over the batches of
    `examples`, where all units go at once, with the weights as they are then and without clipping.
    """

    name = "gradient"
    options = gradients.EXAMPLES
    waits = "ranks by gradients, and before the first step there are none"

    def check_settings(self) -> None:
        gradients.check_examples(self.settings)

    def create(self) -> None:
        xla.can_compile()
        self._means = {
            group.name: self.method.variable(f"score/{group.name}", group.units, tf.float32, 0.0)
            for group in self.method.all_groups
        }

    def observe(self, group: Group, member: Member, gradient: tf.Tensor) -> tf.Tensor:
        if member is group.members[-1]:
            self._take(group, gradient, DECAY, 1.0 - DECAY)
        return gradient

    def learn(self, group: Group, gradient: tf.Tensor, batch: Batch) -> None:
        self._take(group, gradient, tf.cast(batch.number > 1, tf.float32), batch.share)

    def _take(self, group: Group, gradient: tf.Tensor, past: Any, share: Any) -> None:
        """Weigh the mean so far by `past`, and add the new value times `share`."""
        mean, member = self._means[group.name], group.members[-1]
        mean.assign(
            running_mean(
                mean.read_value(),
                member.variable.read_value(),
                gradient,
                past,
                share,
                member.view,
                member.others,
            )
        )

    def of(self, group: Group) -> np.ndarray:
        return values_of(self._means[group.name])


# Compiled into one pass over the weights instead of five.
@xla.Compiled
def running_mean(
    mean: tf.Tensor,
    weight: tf.Tensor,
    gradient: tf.Tensor,
    past: Any,
    share: Any,
    view: tuple[int, ...],
    others: tuple[int, ...],
) -> tf.Tensor:
    """Return the new mean, float32 of the units' shape.

    Args:
      mean: the one so far.
      weight, gradient: of a member.
      past, share: what the mean so far and the new value are multiplied by.
      view, others: the member's.
    """
    terms = tf.reshape(weight * tf.cast(gradient, tf.float32), view)
    now = tf.abs(tf.reduce_sum(terms, others) if others else tf.reshape(terms, mean.shape))
    return past * mean + share * now
