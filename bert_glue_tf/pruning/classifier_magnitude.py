"""Magnitude pruning of the dense classifier with tfmot, as the report does it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bert_glue_tf.compression.masked import MaskedPruning
from bert_glue_tf.compression.method import PruningMethod
from bert_glue_tf.compression.scores import magnitudes
from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    import tf_keras

    from bert_glue_tf.compression import toolkit
    from bert_glue_tf.compression.schedule import PruningContext
    from bert_glue_tf.models.units import Group
else:
    tf = lazy.module("tensorflow")
    tf_keras = lazy.module("tf_keras")
    toolkit = lazy.module("bert_glue_tf.compression.toolkit")

_DENSE = "classifier/kernel"


class ClassifierMagnitude(PruningMethod):
    """Gradual magnitude pruning of the model's own dense layers (not the encoder's).

    tfmot's `prune_low_magnitude` wraps each `Dense` layer; at every step of the schedule the
    weights of smallest absolute value are masked, `UpdatePruningStep` counts the steps, and
    `strip_pruning` takes the wrappers off at the end.

    Source: Zhu and Gupta 2017, "To prune, or not to prune: exploring the efficacy of pruning
    for model compression" (https://arxiv.org/abs/1710.01878).
    """

    name = "classifier_magnitude"
    alone = "tfmot's wrapper takes the place of the classifier's layer"
    unused = ("ranking", "region_sparsities")
    part = "the classifier"
    sparsity_note = (
        "prunes the dense classifier alone, as the report does: the sparsity is the classifier's"
    )

    def on_replicas(self) -> PruningMethod:
        """Return the same with this project's masks.

        tfmot 0.8.1: `PruneLowMagnitude.call` masks the weights through a merge_call, also where
        nothing is trained. With two replicas of MirroredStrategy an evaluation of the wrapped
        model fails in it (TypeError: tuple indices must be integers), and the training may, since
        its reductions and those of the gradients come in no fixed order (CollectiveReduceV2).
        """
        masked = _OnReplicas({"final_sparsity": self.final_sparsity})
        masked.name = self.name  # Not the class: a file has one of its name.
        return masked

    def context(self, context: PruningContext) -> PruningContext:
        context = super().context(context)
        _require_classifier(context)
        if context.kind == "one_shot" and not context.begin_step:
            # tfmot's wrapper counts from 1 on: at step 0 it would never prune.
            context = dataclasses.replace(context, begin_step=1, end_step=1)
        return context

    def prepare(self, model: tf_keras.Model, context: PruningContext) -> tf_keras.Model:
        context = self.context(context)

        def wrap(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
            if isinstance(layer, tf_keras.layers.Dense):
                return toolkit.tfmot.sparsity.keras.prune_low_magnitude(
                    layer,
                    pruning_schedule=context.schedule(),
                    dtype=tf.float32,  # As the classifier that it wraps.
                )
            return layer  # The encoder is shared with the unwrapped model, not copied.

        return tf_keras.models.clone_model(model, clone_function=wrap)

    def callbacks(self) -> list[tf_keras.callbacks.Callback]:
        return [toolkit.tfmot.sparsity.keras.UpdatePruningStep()]

    def pruned_weights(self, model: tf_keras.Model) -> Mapping[str, tf.Variable]:
        dense = (getattr(layer, "layer", layer) for layer in model.layers)
        return {
            f"{layer.name}/kernel": layer.kernel
            for layer in dense
            if isinstance(layer, tf_keras.layers.Dense)
        }

    def sparsities(self, model: tf_keras.Model) -> dict[str, float]:
        # The optimizer's step moves masked weights off zero until the next forward pass masks
        # them again, so during training it is the masks that tell the sparsity.
        masks = {
            f"{wrapper.layer.name}/kernel": mask
            for wrapper in model.layers
            for _, mask, _ in getattr(wrapper, "pruning_vars", ())
        }
        if not masks:
            return super().sparsities(model)
        return {name: 1.0 - float(mask.numpy().mean()) for name, mask in masks.items()}

    def finalize(self, model: tf_keras.Model) -> tf_keras.Model:
        return toolkit.tfmot.sparsity.keras.strip_pruning(model)


class _OnReplicas(MaskedPruning):
    """The classifier's weights of smallest magnitude, ranked between two steps.

    tfmot masks in the forward pass and ranks a step later; the schedule is the same.
    """

    def context(self, context: PruningContext) -> PruningContext:
        _require_classifier(context)
        # The scope's other matrix belongs to the encoder, and is none of the model's dense layers.
        pattern = f"^{re.escape(_DENSE)}$"
        return dataclasses.replace(super().context(context), scope="classifier", pattern=pattern)

    def require_reachable(self) -> None:
        """Refuse nothing: tfmot's takes the nearest sparsity too."""

    def score(self, group: Group) -> np.ndarray:
        return magnitudes(group)


def _require_classifier(context: PruningContext) -> None:
    if context.scope in ("encoder", "classifier") and not context.pattern:
        return
    given = (
        f"--pruning_weights={context.pattern}"
        if context.pattern
        else f"--pruning_scope={context.scope}"
    )
    raise UserError(
        f"{given}: --pruning_method={ClassifierMagnitude.name} prunes the classifier's dense "
        "layer, and nothing else. --pruning_method=magnitude prunes by magnitude anywhere."
    )
