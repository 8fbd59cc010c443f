"""The mask engine: everything of a score-based method but its score.

A mask is a bool variable beside the model's own weights, one for each group of units; a weight
outside of its mask is zero whenever somebody reads it: after an update of the masks, and after
each update of the weight. No layer is wrapped, so the engine works on whatever has variables.

The masks are updated between two training steps, outside of the replicas, by the schedule of
tfmot that the context has; the weights are masked inside of the step, on each replica.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from absl import logging

from bert_glue_tf.compression import ranking, units
from bert_glue_tf.compression.hooks import Hook, HookedOptimizer
from bert_glue_tf.compression.method import PruningMethod, zero_fraction
from bert_glue_tf.compression.schedule import PruningContext
from bert_glue_tf.compression.start import Start
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.units import Group, Member


class MaskedPruning(PruningMethod):
    """Base of the methods that rank units by a score and remove the lowest.

    A subclass writes `score`, and `groups` where its units are not single weights. One that
    learns its score from gradients makes variables with `variable` in `create` and writes
    `observe`.
    """

    # Whether what can be cut out is cut out at the end.
    shrinks = False
    # Whether a unit that is gone may come back by its score.
    regrows = False
    # Rankings that make no sense for the score, with the reason.
    refused_rankings: Mapping[str, str] = {}

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        self._variables: dict[str, tf.Variable] = {}
        # Methods that prune before this one in the same run, set by `combined.Combined`.
        self.earlier: Sequence[MaskedPruning] = ()
        # Whether a later one cuts: all that is zero at once, no matter which made it so.
        self.leaves_the_cut = False

    # What a method writes.

    def groups(
        self, weights: Mapping[str, tf.Variable], variables: Sequence[tf.Variable]
    ) -> list[Group]:
        """The units: each weight for itself.

        Args:
          weights: those in scope, by name.
          variables: all of the model's.
        """
        del variables
        return units.elements(weights)

    def create(self) -> None:
        """Makes the variables that the score needs, under the strategy's scope."""

    def score(self, group: Group) -> np.ndarray:
        """float32 of the group's units' shape; the higher, the more a unit is worth.

        Not negative, unless units may come back (`regrows`).
        """
        raise NotImplementedError

    def observe(self, group: Group, member: Member, gradient: tf.Tensor) -> tf.Tensor:
        """Sees a weight's gradient before the update, and returns the one to train with."""
        del group, member
        return gradient

    def choose(self, scores: Iterable[np.ndarray], sparsity: float) -> list[np.ndarray]:
        """The masks for a sparsity; ranks the scores as --ranking says.

        Args:
          scores: of each group; may be an iterator, which can be gone through once.
          sparsity: fraction of the units that go.
        """
        return ranking.choose(self.all_groups, scores, sparsity, self.plan.ranking, self._alive())

    def require_reachable(self) -> None:
        """Raises UserError where the units cannot come near the final sparsity."""
        ranking.require_reachable(self.all_groups, self.plan.final_sparsity, self.plan.ranking)

    # The mechanics.

    def reshape(self, start: Start) -> Start:
        self.backbone = start.backbone
        return start

    def prepare(self, model: tf_keras.Model, context: PruningContext) -> tf_keras.Model:
        self.plan = self.context(context)
        if self.plan.ranking in self.refused_rankings:
            raise UserError(
                f"--ranking={self.plan.ranking}: --pruning_method={self.name} "
                f"{self.refused_rankings[self.plan.ranking]}."
            )
        variables = model.trainable_variables
        weights = units.in_scope(self.backbone, variables, self.plan.scope, self.plan.pattern)
        self.all_groups = self.groups(weights, variables)
        self.require_reachable()
        self._schedule = self.plan.schedule()
        self.step = self.variable("step", (), tf.int64, 0)
        self._masks = {
            group.name: self.variable(f"mask/{group.name}", group.units, tf.bool, True)
            for group in self.all_groups
        }
        self._parts: dict[str, list[tuple[Group, Member]]] = {}
        for group in self.all_groups:
            for member in group.members:
                self._parts.setdefault(member.name, []).append((group, member))
        self.create()
        return model

    def variable(self, name: str, shape: Sequence[int], dtype: tf.DType, value: Any) -> tf.Variable:
        """A variable of the method's own that a checkpoint keeps, filled with `value`."""
        made = tf.Variable(
            tf.fill(shape, tf.constant(value, dtype)), trainable=False, name=f"pruning/{name}"
        )
        self._variables[name] = made
        return made

    def state(self) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(variables=self._variables)

    def mask(self, group: Group) -> np.ndarray:
        """bool of the group's units' shape: the units that are left."""
        return values_of(self._masks[group.name])

    def parts(self, variable: tf.Variable) -> list[tuple[Group, Member]]:
        """The groups that a weight has units in."""
        return self._parts.get(self.backbone.name_of(variable), [])

    def masked(self, group: Group, member: Member, values: tf.Tensor) -> tf.Tensor:
        """`values` of the weight's shape, with zeros where the mask is False."""
        return tf.where(self.expanded(group, member), values, tf.zeros((), values.dtype))

    def expanded(self, group: Group, member: Member) -> tf.Tensor:
        """bool of the weight's shape: the mask, in the graph."""
        return member.expand(self._masks[group.name])

    def wrap_optimizer(self, optimizer: HookedOptimizer) -> HookedOptimizer:
        optimizer.hooks.append(Masking((self,)))
        return optimizer

    def callbacks(self) -> list[tf_keras.callbacks.Callback]:
        return [UpdateMasks((self,))]

    def advance(self, step: int) -> None:
        """Does what is due after training step `step` (0: before the first)."""
        self.step.assign(step)
        if not self.plan.begin_step <= step <= self.plan.end_step:
            return
        due, sparsity = self._schedule(tf.constant(step, tf.int64))
        if bool(due):
            self.update(float(sparsity))

    def update(self, sparsity: float) -> None:
        """Ranks the units anew, and masks the weights."""
        self.set_masks(self.choose(self._scores_now(), sparsity))

    def _scores_now(self) -> Iterator[np.ndarray]:
        # One at a time, which a local ranking makes use of: fresh memory for all of them takes
        # longer than what is computed in it.
        for group in self.all_groups:
            score = np.asarray(self.score(group))
            if not self.regrows:
                if (score < 0).any():
                    raise ValueError(f"{self.name}: a score is negative, and `regrows` is False")
                score = score * self.mask(group)  # What is gone ranks lowest.
            yield score

    def set_masks(self, masks: Sequence[np.ndarray]) -> None:
        """Assigns the masks, and masks the weights."""
        for group, mask in zip(self.all_groups, masks, strict=True):
            self._masks[group.name].assign(mask)
        for group in self.all_groups:
            self.hide(group)

    def hide(self, group: Group) -> None:
        """Makes zero what a group's new mask leaves out."""
        for member in group.members:
            member.variable.assign(self.masked(group, member, member.variable.read_value()))

    def finalize(self, model: tf_keras.Model) -> tf_keras.Model:
        is_cut = self.shrinks and not self.leaves_the_cut
        if not is_cut or self.backbone.why_not("shrink"):
            return model
        smaller, report = self.backbone.shrink(model)
        for line in report.lines():
            logging.info("%s", line)
        return smaller

    def _alive(self) -> list[np.ndarray] | None:
        """For each group the units of whose result an earlier method has left something.

        None: there is no earlier one.
        """
        if not self.earlier:
            return None
        alive = []
        for group in self.all_groups:
            member = group.members[-1]
            kept = np.ones(member.variable.shape, bool)
            for method in self.earlier:
                for other, part in method.parts(member.variable):
                    kept &= part.expand(tf.constant(method.mask(other))).numpy()
            alive.append(member.total(kept.astype(np.int64)) > 0)
        return alive

    def pruned_weights(self, model: tf_keras.Model) -> Mapping[str, tf.Variable]:
        weights = {self.backbone.name_of(variable): variable for variable in model.variables}
        return {name: weights[name] for name in self._parts if name in weights}

    def sparsities(self, model: tf_keras.Model) -> dict[str, float]:
        return {
            name: zero_fraction(weight)
            for name, weight in self.pruned_weights(model).items()
            if not re.search(r"/bias$", name)
        }


def values_of(variable: tf.Variable) -> np.ndarray:
    """A variable's values as they are now, read-only: not the copy that `numpy()` makes."""
    return np.asarray(variable.read_value())


class Masking(Hook):
    """Lets methods see the gradients, and masks the weights after their updates."""

    def __init__(self, methods: Sequence[MaskedPruning]) -> None:
        self._methods = methods

    def _each(
        self,
        variable: tf.Variable,
        value: tf.Tensor,
        see: Callable[[MaskedPruning, Group, Member, tf.Tensor], tf.Tensor],
    ) -> tf.Tensor:
        for method in self._methods:
            for group, member in method.parts(variable):
                value = see(method, group, member, value)
        return value

    def gradient(self, variable: tf.Variable, gradient: tf.Tensor) -> tf.Tensor:
        return self._each(variable, gradient, lambda method, *parts: method.observe(*parts))

    def updated(self, variable: tf.Variable) -> Any:
        if not any(method.parts(variable) for method in self._methods):
            return None
        return variable.assign(
            self._each(
                variable, variable.read_value(), lambda method, *parts: method.masked(*parts)
            ),
            read_value=False,
        )


class UpdateMasks(tf_keras.callbacks.Callback):
    """Counts the steps and lets methods update their masks between two of them."""

    def __init__(self, methods: Sequence[MaskedPruning]) -> None:
        super().__init__()
        self._methods = methods

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        del logs
        for method in self._methods:
            if not int(method.step.numpy()):  # Else the training goes on after a checkpoint.
                method.advance(0)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        del batch, logs
        for method in self._methods:
            method.advance(int(method.step.numpy()) + 1)
