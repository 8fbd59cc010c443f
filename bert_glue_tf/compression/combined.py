"""Several methods in one run, one after the other."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bert_glue_tf.compression.hooks import HookedOptimizer
from bert_glue_tf.compression.masked import MaskedPruning, Masking
from bert_glue_tf.compression.method import PruningMethod
from bert_glue_tf.compression.removed import Removed
from bert_glue_tf.core import lazy

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

    from bert_glue_tf.compression.gradients import Gradients
    from bert_glue_tf.compression.schedule import PruningContext
    from bert_glue_tf.compression.start import Start
else:
    tf = lazy.module("tensorflow")


class Combined(PruningMethod):
    """Runs methods in their order; each prunes what the ones before it have left.

    What is cut before the training (layers, the vocabulary) is cut first. The methods with masks
    share the schedule: each has its part of the steps, and starts where the one before it ends.

    Args:
      methods: at least two, none of which has to stand alone.
    """

    def __init__(self, methods: Sequence[PruningMethod]) -> None:
        super().__init__()
        self.methods = methods
        self._masked = [method for method in methods if isinstance(method, MaskedPruning)]
        for number, method in enumerate(self._masked):
            method.earlier = self._masked[:number]
        for method in [method for method in self._masked if method.shrinks][:-1]:
            method.leaves_the_cut = True
        self.name = ",".join(method.name for method in methods)
        self.needs = tuple(need for method in methods for need in method.needs)
        self._others = [method for method in methods if method not in self._masked]
        self.waits = next((m.waits for m in methods if m.waits), "")
        self.cycles = max(method.cycles for method in methods)

    def last_step(self, context: PruningContext) -> int:
        return max(method.last_step(context) for method in self.methods)

    def reshape(self, start: Start) -> Start:
        for method in self.methods:
            start = method.reshape(start)
        return start

    def prepare(self, model: tf_keras.Model, context: PruningContext) -> tf_keras.Model:
        count = len(self._masked)
        parts = {id(m): context.part(number, count) for number, m in enumerate(self._masked)}
        for method in self.methods:
            model = method.prepare(model, parts.get(id(method), context))
        return model

    def wrap_optimizer(self, optimizer: HookedOptimizer) -> HookedOptimizer:
        for method in self._others:
            optimizer = method.wrap_optimizer(optimizer)
        optimizer.hooks.append(Masking(self._masked))
        return optimizer

    def learn_from(self, gradients: Gradients) -> None:
        for method in self.methods:
            method.learn_from(gradients)

    def callbacks(self) -> list[tf_keras.callbacks.Callback]:
        from bert_glue_tf.compression.callbacks import UpdateMasks

        others = [callback for method in self._others for callback in method.callbacks()]
        return [UpdateMasks(self._masked), *others]

    def state(self) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(methods=[method.state() for method in self.methods])

    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for method in self.methods:
            for name, value in method.record().items():
                found[name] = {**found.get(name, {}), **value}
        return found

    def pruned_weights(self, model: tf_keras.Model) -> Mapping[str, tf.Variable]:
        weights: dict[str, tf.Variable] = {}
        for method in self.methods:
            weights |= method.pruned_weights(model)
        return weights

    def sparsities(self, model: tf_keras.Model) -> dict[str, float]:
        found: dict[str, float] = {}
        for method in self.methods:
            found |= method.sparsities(model)
        return found

    def measure(self, model: tf_keras.Model) -> Removed:
        # Methods that share weights (a head's, then single ones of the others) are one sum.
        weights: dict[str, tf.Variable] = {}
        sparsities: dict[str, float] = {}
        for method in self._masked:
            weights |= method.pruned_weights(model)
            sparsities |= method.sparsities(model)
        sizes = {name: math.prod(weights[name].shape) for name in sparsities}
        pruned = sum(round(value * sizes[name]) for name, value in sparsities.items())
        cut = [method.measure(model) for method in self._others]
        for removed in cut:
            for name, gone in removed.sparsities.items():
                left = (1.0 - gone) * (1.0 - sparsities.get(name, 0.0))
                sparsities[name] = 1.0 - left
        # What a cut has left of the weights that it counts is not counted again.
        within = [removed.within for removed in cut if removed.within]
        apart = (n for name, n in sizes.items() if not any(re.match(p, name) for p in within))
        return Removed(
            sparsities,
            pruned + sum(removed.pruned for removed in cut),
            sum(apart) + sum(removed.prunable for removed in cut),
        )

    def finalize(self, model: tf_keras.Model) -> tf_keras.Model:
        for method in self.methods:
            model = method.finalize(model)
        return model
