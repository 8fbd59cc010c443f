"""Masks of several networks in each other: the engine of the methods with sizes.

The units are ranked once for all networks, so that a denser one keeps all that a sparser one keeps:
each unit has the number of the smallest network that has it, beside the mask of the engine, which
is that of the densest.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bert_glue_tf.compression import ranking
from bert_glue_tf.compression.masked import values_of
from bert_glue_tf.compression.method import PruningMethod
from bert_glue_tf.compression.names import SOFT
from bert_glue_tf.compression.removed import Removed
from bert_glue_tf.compression.scored import ScoredPruning
from bert_glue_tf.compression.sizes import Sizes, values_for_a_while
from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

    from bert_glue_tf.compression.schedule import PruningContext
    from bert_glue_tf.models.units import Group
else:
    tf = lazy.module("tensorflow")


class SizedPruning(ScoredPruning):
    """Base of the methods whose weights hold several networks."""

    alone = (
        "its networks are parts of one set of weights, of which another method would remove what "
        "one of them needs"
    )
    # How large the networks are its own options say.
    unused: tuple[str, ...] = ("final_sparsity", "initial_sparsity", "region_sparsities")
    takes_sparsity = False
    has_sizes = True
    sparsity_note = "each of its networks has its own, and --final_sparsity does not come into it"

    @classmethod
    def is_structure(cls) -> bool:
        return False  # A mask of one network.

    def check_settings(self) -> None:
        super().check_settings()
        if self.final_sparsity is not None:
            raise UserError(
                f"--pruning_options: final_sparsity={self.final_sparsity:g}: does not come into "
                f"--pruning_method={self.name}, whose options say how large each network is. "
                "Leave it out."
            )

    def on_replicas(self) -> PruningMethod:
        raise UserError(
            f"--pruning_method={self.name}: a step of it computes several networks in the same "
            "variables, which replicas cannot be made to do. Good: --strategy=gpu or cpu, one "
            "device."
        )


class NestedPruning(SizedPruning):
    """Base of the methods whose networks are masks in each other.

    A subclass says how sparse its networks are and what they are called. While a schedule goes on,
    all of them are at the same fraction of their final sparsity.
    """

    # False: the networks are parts of one that was trained alone, and chosen after its last step.
    together = True

    @property
    def networks(self) -> Mapping[str, float]:
        """The names of the networks and the fraction of the units that each is without.

        The smallest network comes first, so that the fractions fall.
        """
        raise NotImplementedError

    def context(self, context: PruningContext) -> PruningContext:
        context = super().context(context).with_sparsity(max(self.networks.values()))
        if context.kind == SOFT:
            raise UserError(
                f"--pruning_schedule={SOFT}: weights that grow back would be in networks that have "
                f"not trained with them (--pruning_method={self.name}). Choose gradual, iterative "
                "or one_shot."
            )
        return context

    def last_step(self, context: PruningContext) -> int:
        return super().last_step(context) if self.together else 0

    def require_reachable(self) -> None:
        for sparsity in self.networks.values():
            ranking.require_reachable(self.all_groups, sparsity, self.plan.ranking)

    def create(self) -> None:
        super().create()
        self._first = {
            group.name: self.variable(f"first/{group.name}", group.units, tf.uint8, 0)
            for group in self.all_groups
        }

    def first_of(self, group: Group) -> np.ndarray:
        """Return the number of the smallest network that has each unit: uint8 [units]."""
        return values_of(self._first[group.name])

    def selected(self, variable: tf.Variable, values: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """Return values of a weight's shape with zeros where a network has no unit."""
        for group, member in self.parts(variable):
            kept = member.expand(self._first[group.name] <= tf.cast(number, tf.uint8))
            values = tf.where(kept, values, tf.zeros((), values.dtype))
        return values

    def advance(self, step: int) -> None:
        if self.together:
            super().advance(step)
        else:
            self.step.assign(step)

    def update(self, sparsity: float) -> None:
        if self.waits and self.plan.kind == "one_shot":
            self._measure()
        scores = list(self._scores_now())
        final = self.plan.final_sparsity
        share = 1.0 if math.isclose(sparsity, final, rel_tol=1e-6) else sparsity / final
        masks = [self.choose(scores, share * own) for own in self.networks.values()]
        self._set_first(masks)
        self.set_masks(masks[-1])

    def _set_first(self, masks: Sequence[Sequence[np.ndarray]]) -> None:
        """Assign the number of the smallest network of each unit.

        Args:
          masks: of each network, the smallest first, and in it of each group.
        """
        for group, of_networks in zip(self.all_groups, zip(*masks, strict=True), strict=True):
            for small, large in itertools.pairwise(of_networks):
                if (small & ~large).any():
                    raise ValueError(f"{self.name}: {group.name}: the masks are not nested")
            found = len(masks) - sum(mask.astype(np.uint8) for mask in of_networks)
            self._first[group.name].assign(found.astype(np.uint8))

    def measure(self, model: tf_keras.Model) -> Removed:
        if not self.together:
            self.update(self.plan.final_sparsity)
        return super().measure(model)

    def sizes(self) -> Sizes:
        return MaskedSizes(self)


class MaskedSizes(Sizes):
    """The networks of a method with masks in each other, which have the shapes of the whole.

    Args:
      method: prepared.
    """

    def __init__(self, method: NestedPruning) -> None:
        self._method = method
        self.names = tuple(method.networks)
        self.together = method.together

    @property
    def switched(self) -> Sequence[tf.Variable]:
        members = (member for group in self._method.all_groups for member in group.members)
        return list({member.name: member.variable for member in members}.values())

    def select(self, variable: tf.Variable, values: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        return self._method.selected(variable, values, number)

    @contextlib.contextmanager
    def network(self, model: tf_keras.Model, number: int) -> Iterator[tf_keras.Model]:
        weights = list(self._method.pruned_weights(model).values())
        with values_for_a_while(weights):
            for weight in weights:
                weight.assign(self.select(weight, weight.read_value(), tf.constant(number)))
            yield model

    def measure(self, model: tf_keras.Model, number: int) -> Removed:
        with self.network(model, number) as smaller:
            return PruningMethod.measure(self._method, smaller)

    def first(self, model: tf_keras.Model) -> Mapping[str, np.ndarray]:
        found = {}
        for weight in self._method.pruned_weights(model).values():
            number = np.zeros(weight.shape, np.uint8)
            for group, member in self._method.parts(weight):
                own = member.expand(tf.constant(self._method.first_of(group))).numpy()
                number = np.maximum(number, own)
            found[weight.name.split(":")[0]] = number
        return found
