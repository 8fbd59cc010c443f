"""Pruning by the alternating direction method of multipliers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.masked import MaskedPruning, values_of
from bert_glue_tf.compression.scores import norms
from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.compression.schedule import PruningContext
    from bert_glue_tf.compression.start import Start
    from bert_glue_tf.models.units import Group, Member
else:
    tf = lazy.module("tensorflow")


class Admm(MaskedPruning):
    """Pulls the weights towards a mask's structure while training, then prunes hard.

    The loss gets rho/2 * |W - Z + U|^2: from --begin_step on, and at each of the schedule's
    updates, Z is the projection of W + U on the structure at the final sparsity (the units of
    largest L2 norm), and U grows by W - Z. At --end_step the weights are pruned by magnitude in
    that structure; the steps after it train the remaining weights.

    Source: Zhang et al. 2018, "A systematic DNN weight pruning framework using alternating
    direction method of multipliers", eqs. (5) to (9) (https://arxiv.org/abs/1804.03294).
    """

    name = "admm"
    method_options = ("structure",)
    options = {
        "structure": ("magnitude", "the mask to go towards, by its method's name"),
        "rho": (0.01, "weight of the pull"),
        "block": ("", "of the structures block and pattern"),
        "patterns": (0, "of the structures pattern and kernel_pattern"),
        "entries": (0, "of the structure kernel_pattern"),
    }

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        self._structure = registry.canonical(self.settings["structure"])
        if self._structure not in registry.structures():
            return  # `check_settings` refuses it.
        method = registry.get(self._structure)
        inner = method({n: self.settings[n] for n in self._given() if n in method.options})
        assert isinstance(inner, MaskedPruning)
        self._inner = inner
        self.shrinks = inner.shrinks
        self.needs = inner.needs
        self.takes_regions = inner.takes_regions
        self.refused_rankings = inner.refused_rankings

    def _given(self) -> list[str]:
        """Return the names of the structure's own settings that are given."""
        return [name for name in ("block", "patterns", "entries") if self.settings[name]]

    def check_settings(self) -> None:
        good = registry.structures()
        if self._structure not in good:
            raise UserError(
                f"--pruning_options: structure={self._structure}: no such structure. "
                f"Good values: {', '.join(good)}."
            )
        for name in self._given():
            if name not in self._inner.options:
                raise UserError(
                    f"--pruning_options: {name}={self.settings[name]}: "
                    f"structure={self._structure} has no such setting. Leave it out."
                )
        if not self.settings["rho"] > 0:
            raise UserError(
                f"--pruning_options: rho={self.settings['rho']}: must be above 0. Good: 0.01."
            )
        self._inner.check_settings()

    def context(self, context: PruningContext) -> PruningContext:
        if context.kind == "one_shot":
            raise UserError(
                "--pruning_schedule=one_shot: --pruning_method=admm pulls the weights towards the "
                "mask over many steps. Choose gradual or iterative."
            )
        return super().context(context)

    def reshape(self, start: Start) -> Start:
        return super().reshape(self._inner.reshape(start))

    def groups(
        self, weights: Mapping[str, tf.Variable], variables: Sequence[tf.Variable]
    ) -> list[Group]:
        return self._inner.groups(weights, variables)

    def require_reachable(self) -> None:
        self._inner.plan, self._inner.all_groups = self.plan, self.all_groups
        self._inner.require_reachable()

    def create(self) -> None:
        self._inner.earlier = self.earlier
        self._pull = self.variable("rho", (), tf.float32, 0.0)
        weights = {member.name: member for group in self.all_groups for member in group.members}
        self._z, self._u = (
            {
                name: self.variable(f"{kind}/{name}", member.variable.shape, tf.float32, 0.0)
                for name, member in weights.items()
            }
            for kind in ("z", "u")
        )

    def observe(self, group: Group, member: Member, gradient: tf.Tensor) -> tf.Tensor:
        pulled = member.variable - self._z[member.name] + self._u[member.name]
        return gradient + self._pull * pulled

    def score(self, group: Group) -> np.ndarray:
        return norms(group, {m.name: values_of(m.variable) for m in group.members})

    def choose(self, scores: Iterable[np.ndarray], sparsity: float) -> list[np.ndarray]:
        return self._inner.choose(scores, sparsity)

    def advance(self, step: int) -> None:
        self.step.assign(step)
        begin, end = self.plan.begin_step, self.plan.end_step
        if step == end:
            self._pull.assign(0.0)
            self.update(self.plan.final_sparsity)
        elif begin <= step < end and (step - begin) % self.plan.frequency == 0:
            self._project(is_first=step == begin)
            self._pull.assign(self.settings["rho"])

    def _project(self, is_first: bool) -> None:
        """Set Z from W + U, then U from W - Z."""
        sums = {
            member.name: member.variable.numpy() + self._u[member.name].numpy()
            for group in self.all_groups
            for member in group.members
        }
        masks = self.choose(
            [norms(group, sums) for group in self.all_groups], self.plan.final_sparsity
        )
        for group, mask in zip(self.all_groups, masks, strict=True):
            for member in group.members:
                kept = member.expand(tf.constant(mask)).numpy()
                z = np.where(kept, sums[member.name], np.float32(0))
                self._z[member.name].assign(z)
                if not is_first:
                    self._u[member.name].assign(sums[member.name] - z)
