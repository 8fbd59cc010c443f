"""Every pruning method on encoders that differ from BERT: DistilBERT's kind and ELECTRA's.

DistilBERT has no table of segments, ELECTRA a projection behind narrow tables; of classifiers of
either the pooler has another activation. Few steps, run eagerly: what a training gives is tested on
BERT.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import tiny_bert
from of_convolutions import OF_CONVOLUTIONS
from tiny_classifier import start

from bert_glue_tf.compression import names, registry
from bert_glue_tf.compression.schedule import PruningContext
from bert_glue_tf.data import preprocessing, tasks
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.models.bert.classifier_weights import weights_of
from bert_glue_tf.models.bert.export_graph import ExportGraph
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training.objective import LABELS, TaskLoss, Trainee
from bert_glue_tf.training.optimizer import build_optimizer

TASK = tasks.get("sst2")
KINDS = {
    "distilbert": tiny_bert.architecture(heads=4, type_vocab_size=0, pooler_activation="relu"),
    "electra": tiny_bert.architecture(heads=4, embedding_size=8, pooler_activation="gelu"),
}
EPOCHS, STEPS = 3, 1
# What a method needs on a network as small as this one.
OPTIONS = {"block": "block=4x4"}
WHOLE_UNITS = ("attention_head", "neuron", "row", "column")  # Cut out at the end.
TEXTS = [f"{subject} {verb}" for subject in ("the cat", "mary", "a dog") for verb in ("is good",)]


def batch(seed: int) -> dict[str, tf.Tensor]:
    random = np.random.default_rng(seed)
    ids = random.integers(5, 60, (4, 8)).astype(np.int32)
    types = (np.arange(8) > 4).astype(np.int32) + np.zeros_like(ids)
    arrays = (ids, np.ones_like(ids), types)
    return {name: tf.constant(value) for name, value in zip(INPUTS, arrays, strict=True)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(set(registry.names()) - {"elastic"} - OF_CONVOLUTIONS))
def test_every_method_prunes_it(name, kind, tmp_path):
    tf_keras.utils.set_random_seed(1)
    layers = 2 if name == "layer" else 1
    shapes = dataclasses.replace(
        KINDS[kind], layers=layers, output_dropout=0.0, attention_dropout=0.0
    )
    unused = {field: getattr(ExperimentConfig(), field) for field in registry.get(name).unused}
    settings = {"final_sparsity": 0.5, "initial_sparsity": 0.25, "learning_rate": 1e-2} | unused
    options = OPTIONS.get(name, "")
    config = ExperimentConfig(
        task="sst2", dropout=0.0, pruning_method=name, pruning_options=options, **settings
    )
    method = registry.build(config)
    context = PruningContext.from_config(config, EPOCHS * STEPS, method.waits)
    encoder = build_encoder(shapes, tiny_bert.weights(shapes).__getitem__)
    backbone = tiny_bert.backbone(encoder, shapes)
    if "vocabulary" in method.needs:
        folder = tiny_bert.write_preprocessing(tmp_path / "preprocessing")
        backbone = dataclasses.replace(
            backbone,
            preprocessing=preprocessing.load(str(folder), str(folder)),
            preprocessing_path=str(folder),
        )
    begin = start(backbone, TASK)
    begin = method.reshape(dataclasses.replace(begin, train=Examples((TEXTS,), None, {})))
    model = begin.classify()
    whole = model.count_params()
    model = method.prepare(model, context)
    trainee = Trainee(model, TaskLoss(TASK.problem))
    optimizer = build_optimizer(config, EPOCHS * STEPS // method.cycles)
    trainee.compile(optimizer=method.wrap_optimizer(optimizer), is_filled_up=False)
    trainee.run_eagerly = True
    labels = {LABELS: tf.constant([0, 1, 0, 1])}
    dataset = tf.data.Dataset.from_tensors((batch(1), labels)).repeat()
    callbacks = method.callbacks()
    trainee.fit(dataset, epochs=EPOCHS, steps_per_epoch=STEPS, callbacks=callbacks, verbose=0)

    removed = method.measure(model)
    assert bool(removed.sparsities) == (name != names.NO_PRUNING)
    if method.takes_sparsity:
        assert all(sparsity == 0.5 for sparsity in removed.sparsities.values())
    else:
        assert 0 < sum(removed.sparsities.values()) < len(removed.sparsities)
    final = method.finalize(model)
    expected = model(batch(2), training=False).numpy()
    np.testing.assert_allclose(final(batch(2), training=False), expected, atol=1e-5)
    found = weights_of(final, begin.backbone.architecture)
    assert found.architecture.pooler_activation == shapes.pooler_activation
    assert final.count_params() <= whole
    if name in WHOLE_UNITS:
        assert final.count_params() < whole
    if method.needs or name in (*WHOLE_UNITS, "magnitude"):
        function = ExportGraph(found).function(8)
        one = {key: value[:1] for key, value in batch(2).items()}
        np.testing.assert_allclose(function(**one)["logits"], expected[:1], atol=1e-4)
