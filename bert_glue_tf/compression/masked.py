"""The mask engine: everything of a score-based method but its score.

A mask is a bool variable beside the model's own weights, one for each group of units; a weight
outside of its mask is zero whenever somebody reads it: after an update of the masks, and after
each update of the weight. No layer is wrapped, so the engine works on whatever has variables.

The masks are updated between two training steps, outside of the replicas, by the schedule of
tfmot that the context has; the weights are masked inside of the step, on each replica.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from bert_glue_tf.compression import gradients, ranking, units
from bert_glue_tf.compression.hooks import Hook, HookedOptimizer
from bert_glue_tf.compression.method import PruningMethod, zero_fraction
from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

    from bert_glue_tf.compression.gradients import Batch, Gradients
    from bert_glue_tf.compression.schedule import PruningContext
    from bert_glue_tf.compression.start import Start
    from bert_glue_tf.models.units import Group, Member
else:
    tf = lazy.module("tensorflow")


class MaskedPruning(PruningMethod):
    """Base of the methods that rank units by a score and remove the lowest.

    A subclass writes `score`, and `groups` where its units are not single weights. One that
    learns its score from gradients says so by `waits`, makes variables with `variable` in `create`,
    and writes `observe`; where all units go at once, its score is learned at that moment from the
    gradients of many training examples (`learn`), since one batch ranks little better than
    chance. `scored.ScoredPruning` has the scores of this package already.

    Attributes:
      backbone: the encoder, which knows the names of its weights; from `reshape` on.
      plan: when this method prunes and how much; from `prepare` on.
      all_groups: the units that are ranked; from `prepare` on.
      step: int64 variable, the training's last step; from `prepare` on.
    """

    # True: a unit that is gone may come back by its score.
    regrows = False
    # Rankings that make no sense for the score, with the reason.
    refused_rankings: Mapping[str, str] = {}

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        self._variables: dict[str, tf.Variable] = {}
        self._gradients: Gradients | None = None
        self._told: set[str] = set()
        # Methods that prune before this one in the same run, set by `combined.Combined`.
        self.earlier: Sequence[MaskedPruning] = ()
        # True: a later one cuts, all that is zero at once, no matter which made it so.
        self.leaves_the_cut = False

    # A method overrides these.

    def groups(
        self, weights: Mapping[str, tf.Variable], variables: Sequence[tf.Variable]
    ) -> list[Group]:
        """Return the units: each weight for itself.

        Args:
          weights: those in scope, by name.
          variables: all of the model's.
        """
        del variables
        return units.elements(weights)

    def create(self) -> None:
        """Make the variables that the score needs, under the strategy's scope."""

    def score(self, group: Group) -> np.ndarray:
        """Return the worth of each unit: float32 of the group's units' shape.

        The lowest go. Not negative, unless units may come back (`regrows`).
        """
        raise NotImplementedError

    def observe(self, group: Group, member: Member, gradient: tf.Tensor) -> tf.Tensor:
        """See a weight's gradient before the update, and return the one to train with."""
        del group, member
        return gradient

    def learn(self, group: Group, gradient: tf.Tensor, batch: Batch) -> None:
        """See a gradient of a group's last member while the weights stand still.

        Args:
          group: of units.
          gradient: float32 of the weight's shape.
          batch: whose mean loss it is the gradient of.
        """
        del batch
        self.observe(group, group.members[-1], gradient)

    def choose(self, scores: Iterable[np.ndarray], sparsity: float) -> list[np.ndarray]:
        """Return the masks for a sparsity, by the scores and as --ranking says.

        Args:
          scores: of each group; may be an iterator, which can be gone through once.
          sparsity: fraction of the units that go.
        """
        alive = self._alive()
        shares = self._shares(sparsity)
        masks = ranking.choose(self.all_groups, scores, shares, self.plan.ranking, alive)
        if math.isclose(sparsity, self.plan.final_sparsity, rel_tol=1e-6):  # It was a float32.
            for told in ranking.limits(self.all_groups, masks, shares, alive):
                if told not in self._told:  # A soft schedule comes here after each epoch.
                    logging.warning("--pruning_method=%s: %s", self.name, told)
                self._told.add(told)
        return masks

    def require_reachable(self) -> None:
        """Raise a UserError where the units cannot come near the final sparsity."""
        shares = self._shares(self.plan.final_sparsity)
        ranking.require_reachable(self.all_groups, shares, self.plan.ranking)

    def _shares(self, sparsity: float) -> float | list[float]:
        """Return the sparsity of all groups, or of each where parts have sparsities of their own.

        Such a part (--region_sparsities) goes along the schedule in proportion.

        Args:
          sparsity: of the parts that have none of their own, at this moment of the schedule.

        Raises:
          UserError: such a part is none of the scope.
        """
        if not self.plan.regions:
            return sparsity
        own = units.of_regions(self.backbone, self.all_groups, self.plan.regions)
        whole = self.plan.final_sparsity
        done = sparsity / whole if whole else 1.0
        return [sparsity if one is None else one * done for one in own]

    def _require_trained(self) -> None:
        """Refuse to rank by gradients what is frozen, and has none.

        Raises:
          UserError: naming the scope.
        """
        frozen = [g.name for g in self.all_groups if not g.members[-1].variable.trainable]
        if self.waits and frozen:
            raise UserError(
                f"--pruning_scope={self.plan.scope}: {', '.join(frozen)}: no training changes "
                f"these weights, and --pruning_method={self.name} {self.waits}. "
                "Good: --pruning_scope=encoder, or a method that ranks by magnitude."
            )

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
        if self.plan.regions and self.plan.ranking != "local":  # The method may have chosen it.
            raise UserError(
                f"--region_sparsities={_regions_text(self.plan.regions)}: "
                f"--pruning_method={self.name} lets all weights compete as it is set, whatever "
                "part they are of. Leave it out, or choose magnitude or another way to rank."
            )
        variables = self.backbone.prunable(model)
        weights = units.in_scope(self.backbone, variables, self.plan.scope, self.plan.pattern)
        self.all_groups = self.groups(weights, variables)
        self._require_trained()
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
        if self.waits:
            # The examples by whose gradients all units are ranked at once.
            self._measured = self.variable("measured", (), tf.int64, 0)
        self.create()
        return model

    def variable(self, name: str, shape: Sequence[int], dtype: tf.DType, value: Any) -> tf.Variable:
        """Return a new variable of the method's own, filled with `value`; checkpoints keep it."""
        made = tf.Variable(
            tf.fill(shape, tf.constant(value, dtype)), trainable=False, name=f"pruning/{name}"
        )
        self._variables[name] = made
        return made

    def state(self) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(variables=self._variables)

    def mask(self, group: Group) -> np.ndarray:
        """Return the units that are left: bool of the group's units' shape."""
        return values_of(self._masks[group.name])

    def parts(self, variable: tf.Variable) -> list[tuple[Group, Member]]:
        """Return the groups that a weight has units in."""
        return self._parts.get(self.backbone.name_of(variable), [])

    def masked(self, group: Group, member: Member, values: tf.Tensor) -> tf.Tensor:
        """Return `values`, of the weight's shape, with zeros where the mask is False."""
        return tf.where(self.expanded(group, member), values, tf.zeros((), values.dtype))

    def expanded(self, group: Group, member: Member) -> tf.Tensor:
        """Return the mask of a weight in the graph: bool of the weight's shape."""
        return member.expand(self._masks[group.name])

    def wrap_optimizer(self, optimizer: HookedOptimizer) -> HookedOptimizer:
        optimizer.hooks.append(Masking((self,)))
        return optimizer

    def learn_from(self, gradients: Gradients) -> None:
        self._gradients = gradients

    def callbacks(self) -> list[tf_keras.callbacks.Callback]:
        from bert_glue_tf.compression.callbacks import UpdateMasks

        return [UpdateMasks((self,))]

    def advance(self, step: int) -> None:
        """Do what is due after training step `step` (0: before the first)."""
        self.step.assign(step)
        if not self.plan.is_due(step):
            return
        _, sparsity = self._schedule(tf.constant(step, tf.int64))
        self.update(float(sparsity))

    def update(self, sparsity: float) -> None:
        """Rank the units anew, and mask the weights."""
        if self.waits and self.plan.kind == "one_shot":
            self._measure()
        self.set_masks(self.choose(self._scores_now(), sparsity))

    def _measure(self) -> None:
        """Learn the score from the gradients of training examples, with the weights as they are."""
        if self._gradients is None:
            raise ValueError(f"{self.name}: nobody has called `learn_from`")

        def see(found: Sequence[tf.Tensor], batch: Batch) -> None:
            for group, gradient in zip(self.all_groups, found, strict=True):
                self.learn(group, gradient, batch)

        weights = [group.members[-1].variable for group in self.all_groups]
        wanted = self.settings.get("examples", gradients.EXAMPLES["examples"][0])
        examples = self._gradients.show(weights, wanted, see)
        self._measured.assign(examples)
        logging.info(
            "%s: ranked by the gradients of %s training examples", self.name, f"{examples:,}"
        )

    def record(self) -> dict[str, Any]:
        measured = int(self._measured.numpy()) if self.waits else 0
        return {"ranked_by_examples": {self.name: measured}} if measured else {}

    def _scores_now(self) -> Iterator[np.ndarray]:
        # One at a time, which a local ranking makes use of: fresh memory for all of them takes
        # longer than what is computed in it.
        for group in self.all_groups:
            score = np.asarray(self.score(group))
            if not self.regrows:
                if not (score >= 0).all():  # Which NaN is not either.
                    raise ValueError(
                        f"{self.name}: a score is negative or NaN, and `regrows` is False"
                    )
                if self.plan.keeps_masks:
                    score = score * self.mask(group)  # What is gone ranks lowest.
            yield score

    def set_masks(self, masks: Sequence[np.ndarray]) -> None:
        """Assign the masks, and mask the weights."""
        for group, mask in zip(self.all_groups, masks, strict=True):
            self._masks[group.name].assign(mask)
        for group in self.all_groups:
            self.hide(group)

    def hide(self, group: Group) -> None:
        """Set to zero what a group's new mask leaves out."""
        self.zero(group)

    def zero(self, group: Group) -> None:
        """Set to zero what a group's mask leaves out, in each of its weights."""
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
        """Return for each group the units of whose result an earlier method has left something.

        Returns:
          bool arrays of the units' shapes; None where there is no earlier method.
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


def _regions_text(regions: Mapping[str, float]) -> str:
    return " ".join(f"{name}={value:g}" for name, value in regions.items())


def values_of(variable: tf.Variable) -> np.ndarray:
    """Return a variable's values as they are now, read-only: not the copy of `numpy()`."""
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
        # All methods of a run share its schedule.
        keeps = all(method.plan.keeps_masks for method in self._methods)
        if not keeps or not any(method.parts(variable) for method in self._methods):
            return None
        return variable.assign(
            self._each(
                variable, variable.read_value(), lambda method, *parts: method.masked(*parts)
            ),
            read_value=False,
        )
