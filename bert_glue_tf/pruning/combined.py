"""Several methods in one run, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf
import tf_keras

from bert_glue_tf.optimization import AdamW
from bert_glue_tf.pruning.base import PruningContext, PruningMethod, Removed
from bert_glue_tf.pruning.masked import MaskedPruning, Masking, UpdateMasks
from bert_glue_tf.pruning.start import Start


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
        self.name = ",".join(method.name for method in methods)
        self.needs_native = next((m.needs_native for m in methods if m.needs_native), "")
        self.needs_gradients = any(method.needs_gradients for method in methods)

    def reshape(self, start: Start) -> Start:
        for method in self.methods:
            start = method.reshape(start)
        return start

    def prepare(self, model: tf_keras.Model, context: PruningContext) -> tf_keras.Model:
        count = len(self._masked)
        for number, method in enumerate(self._masked):
            model = method.prepare(model, context.part(number, count))
        return model

    def wrap_optimizer(self, optimizer: AdamW) -> AdamW:
        optimizer.hook = Masking(self._masked)
        return optimizer

    def callbacks(self) -> list[tf_keras.callbacks.Callback]:
        return [UpdateMasks(self._masked)]

    def state(self) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(methods=[method.state() for method in self.methods])

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
        masked = super().measure(model)
        cut = [m.measure(model) for m in self.methods if not isinstance(m, MaskedPruning)]
        sparsities = dict(masked.sparsities)
        for removed in cut:
            sparsities |= removed.sparsities
        return Removed(
            sparsities,
            masked.pruned + sum(removed.pruned for removed in cut),
            masked.prunable + sum(removed.prunable for removed in cut),
        )

    def finalize(self, model: tf_keras.Model) -> tf_keras.Model:
        for method in self.methods:
            model = method.finalize(model)
        return model
