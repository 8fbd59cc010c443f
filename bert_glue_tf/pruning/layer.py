"""Pruning of whole layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from bert_glue_tf.compression import ranking
from bert_glue_tf.compression.method import PruningMethod
from bert_glue_tf.compression.removed import Removed
from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    import tf_keras

    from bert_glue_tf.compression.schedule import PruningContext
    from bert_glue_tf.compression.start import Start
    from bert_glue_tf.data import batching, layouts, preprocessing
    from bert_glue_tf.evaluation import evaluator
    from bert_glue_tf.models import classifiers
else:
    batching = lazy.module("bert_glue_tf.data.batching")
    layouts = lazy.module("bert_glue_tf.data.layouts")
    preprocessing = lazy.module("bert_glue_tf.data.preprocessing")
    evaluator = lazy.module("bert_glue_tf.evaluation.evaluator")
    classifiers = lazy.module("bert_glue_tf.models.classifiers")

_ORDERS = ("top", "greedy")
_BATCH = 64


class Layer(PruningMethod):
    """Drops layers before the training, which then makes up for them.

    `order=top` drops the last layers. `order=greedy` drops one after the other, each time the
    one without which a fine-tuned model scores best on training examples that were held out of
    its training: it needs --finetune_epochs and --held_out. The sparsity is the fraction of the
    layers that go.

    Source: Sajjad et al. 2020, "On the effect of dropping layers of pre-trained transformer
    models", section 3 (https://arxiv.org/abs/2004.03844); greedily, Peer et al. 2022,
    "Greedy-layer pruning: speeding up transformer models for natural language processing",
    algorithm 1 (https://arxiv.org/abs/2105.14839).
    """

    name = "layer"
    options = {"order": ("top", "top or greedy")}
    unused = (
        "pruning_weights",
        "region_sparsities",
        "ranking",
        "initial_sparsity",
        "begin_step",
        "end_step",
        "pruning_frequency",
    )
    needs = ("layer",)
    part = "all layers of the encoder"
    sparsity_note = "drops whole layers: the sparsity is the fraction of the layers"
    prunes = "layers"

    def last_step(self, context: PruningContext) -> int:
        del context
        return 0

    def check_settings(self) -> None:
        order = self.settings["order"]
        if order not in _ORDERS:
            raise UserError(
                f"--pruning_options: order={order}: no such order of layers. "
                f"Good values: {', '.join(_ORDERS)}."
            )

    def reshape(self, start: Start) -> Start:
        layers = start.backbone.layers
        sparsity = start.sparsity if self.final_sparsity is None else self.final_sparsity
        count = self._count(layers.count, sparsity)
        order = self.settings["order"]
        if order == "greedy":
            is_pretrained = start.classifier is None and not start.is_rehearsal
            if is_pretrained or start.held_out is None:
                missing = "--finetune_epochs" if is_pretrained else "--held_out"
                raise UserError(
                    "--pruning_options: order=greedy tries a fine-tuned model on examples held "
                    f"out of its training, and {missing} is 0. Give {missing}, or order=top."
                )
        if order == "greedy" and not start.is_rehearsal:
            # Once in a run: a checkpoint fits the layers that were left then, and no others.
            keep = start.decide("layers", lambda: self._greedy(start, count))
            known = range(layers.count)
            left = [index for index in known if isinstance(keep, list) and index in keep]
            if left != keep or len(left) != layers.count - count:
                raise UserError(
                    f"choices.json of the run's folder: {keep!r} are not {len(known) - count} of "
                    f"the encoder's {len(known)} layers. Give another --workdir."
                )
        else:
            keep = list(range(layers.count - count))
        smaller = start.backbone.drop_layers(keep)
        self._removed = Removed(
            {self.prunes: count / layers.count},
            layers.parameters - smaller.layers.parameters,
            layers.parameters,
            within=layers.pattern,
        )
        logging.info("layers left: %s of %d", ", ".join(str(index) for index in keep), layers.count)
        return start.with_backbone(smaller)

    @staticmethod
    def _count(layers: int, sparsity: float) -> int:
        count = round(sparsity * layers)
        if count == layers:
            raise UserError(
                f"--final_sparsity={sparsity:g}: all {layers} layers would be gone. "
                f"Give at most {(layers - 1) / layers:.4g}."
            )
        if abs(count / layers - sparsity) > ranking.TOLERANCE:
            lower = int(sparsity * layers)
            near = sorted({lower, min(lower + 1, layers - 1)})
            raise UserError(
                f"--final_sparsity={sparsity:g}: cannot be reached with {layers} layers. The "
                f"nearest: {' or '.join(f'{n / layers:.4g}' for n in near)}."
            )
        return count

    @staticmethod
    def _greedy(start: Start, count: int) -> list[int]:
        assert start.held_out is not None
        split = batching.tokenize(start.tokenizer(), "held out", start.held_out)
        layout = layouts.Packed()  # What can be built without a layer can keep its texts apart.
        keep = list(range(start.backbone.layers.count))
        for _ in range(count):
            scores = {}
            for index in keep:
                left = [other for other in keep if other != index]
                model = start.with_backbone(start.backbone.drop_layers(left)).classify()
                found = evaluator.evaluate(
                    classifiers.predict_fn(model, layout),
                    split,
                    start.task,
                    batch_size=_BATCH,
                    layout=layout,
                ).metrics
                # Of equal scores the smaller loss decides; an undefined score is the worst.
                score = found[start.task.primary_metric]
                scores[index] = (-np.inf if np.isnan(score) else score, -found["loss"])
            worst = max(scores, key=scores.__getitem__)
            logging.info(
                "layer %d goes: %s without it %.4f on %d held-out examples",
                worst + 1,
                start.task.primary_metric,
                scores[worst][0],
                len(split),
            )
            keep.remove(worst)
        return keep

    def measure(self, model: tf_keras.Model) -> Removed:
        del model
        return self._removed
