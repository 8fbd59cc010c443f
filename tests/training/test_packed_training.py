"""Packed training is padded training with less padding, and a TPU could compile it."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import tiny_bert
import tiny_classifier
from messages import refuses

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.schedule import PruningContext
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import batching, layouts, packing, preprocessing, tasks
from bert_glue_tf.data.layouts import Packed, Padded, bucket_lengths
from bert_glue_tf.models import classifiers, heads, saving
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training import laying_out
from bert_glue_tf.training.objective import LABELS, TaskLoss, Trainee
from bert_glue_tf.training.optimizer import build_optimizer

SHAPES = dataclasses.replace(
    tiny_bert.architecture(layers=1, heads=4), output_dropout=0.0, attention_dropout=0.0
)
STEPS, BATCH = 4, 8
LAYOUTS = {"padded": Padded(lengths=bucket_lengths(32)), "packed": Packed(width=32)}
# A task of each kind of problem, of one text and of pairs.
TASKS = ("cola", "mrpc", "mnli", "stsb")


def split(task):
    """Random texts of 3 to 30 pieces; those of pairs have a second segment."""
    random = np.random.default_rng(3)
    count = STEPS * BATCH - 3  # The last batch is not full.
    lengths = random.integers(3, 31, count)
    ids = random.integers(5, SHAPES.vocab_size, lengths.sum()).astype(np.int32)
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    types = np.zeros(len(ids), np.int8)
    if len(task.text_fields) == 2:
        for start, length in zip(splits, lengths, strict=False):
            types[start + length // 2 : start + length] = 1
    tokens = preprocessing.TokenizedTexts(ids, types, splits)
    labels = task.problem.as_labels(ids[splits[:-1]] % max(task.problem.width, 2))
    return batching.Split("train", tokens, labels, ([f"sentence {i}" for i in range(count)],))


def trained(task, layout, method_name="none", policy="float32", **settings):
    """The first step's gradients, and the classifier and the logs after a short training."""
    config = ExperimentConfig(
        task=task.name, pruning_method=method_name, learning_rate=1e-3, **settings
    )
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        model, drawn = tiny_classifier.classifier(SHAPES, task.name)
        method = registry.build(config)
        method.reshape(tiny_classifier.start(tiny_bert.backbone(model.layers[3], SHAPES), task))
        context = PruningContext.from_config(config, STEPS, method.waits)
        model = method.prepare(model, context)
        model.get_layer(heads.DROPOUT).rate = 0.0
        trainee = Trainee(heads.over(model, layout.inputs), TaskLoss(task.problem))
        trainee.compile(
            optimizer=method.wrap_optimizer(build_optimizer(config, STEPS)),
            weighted_metrics=task.problem.keras_metrics(False),
            is_filled_up=False,
        )
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
    del drawn
    data = split(task)
    plan = batching.Batching(BATCH, seed=1)
    first = plan.epoch(data, 0)[0]
    features = tf.nest.map_structure(tf.constant, layout.features(data.tokens, first))
    with tf.GradientTape() as tape:
        targets = {LABELS: tf.constant(data.labels[first])}
        loss = trainee.compute_loss(features, targets, trainee(features, training=True))
    gradients = tape.gradient(loss, trainee.trainable_variables)
    dataset = batching.training_dataset(
        data, plan, layout, epochs=range(1), targets=trainee.objective.targets(data)
    )
    done = trainee.fit(dataset, steps_per_epoch=STEPS, verbose=0, callbacks=method.callbacks())
    return [tf.convert_to_tensor(one).numpy() for one in gradients], model, done.history


@pytest.mark.parametrize("name", TASKS)
def test_gradients_and_trained_weights_are_those_of_padded_training(name):
    task = tasks.get(name)
    padded, packed = (trained(task, LAYOUTS[layout]) for layout in ("padded", "packed"))
    for mine, theirs in zip(packed[0], padded[0], strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-5, rtol=1e-4)
    assert max(np.abs(one).max() for one in padded[0]) > 0.1  # There is something to compare.
    for mine, theirs in zip(packed[1].variables, padded[1].variables, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=3e-4, err_msg=mine.name)
    for label, values in padded[2].items():
        np.testing.assert_allclose(packed[2][label], values, rtol=1e-4, err_msg=label)
    scored = [
        classifiers.predict_fn(packed[1], layout)(
            layout.features(split(task).tokens, np.arange(20))
        )
        for layout in LAYOUTS.values()
    ]
    np.testing.assert_allclose(*scored, atol=1e-5)
    assert np.ptp(scored[0]) > 0.1


def test_states_of_packed_texts_are_those_of_padded_ones():
    """Of the last layer of packed texts only the pooled tokens are computed."""
    model, _ = tiny_classifier.classifier(dataclasses.replace(SHAPES, layers=2), "mrpc")
    tokens = split(tasks.get("mrpc")).tokens
    padded, packed = (
        heads.with_states(model, layout.inputs, [1, 2], tokens=30)(
            tf.nest.map_structure(tf.constant, layout.features(tokens, np.arange(20)))
        )
        for layout in LAYOUTS.values()
    )
    np.testing.assert_allclose(packed["logits"], padded["logits"], atol=1e-5)
    (first, last), (same, only) = (
        np.moveaxis(found["states"].numpy(), 1, 0) for found in (padded, packed)
    )
    is_token = np.arange(30) < tokens.lengths[:20, None]
    np.testing.assert_allclose(same[is_token], first[is_token], atol=1e-5)
    np.testing.assert_allclose(only[:, 0], last[:, 0], atol=1e-5)


# What a TPU would get.

STATIC = Packed(width=32, rows=6, size=BATCH)
# Together, since to compile a step takes seconds: every method that takes part in one.
CUT_BEFORE = ("layer", "vocabulary")
TOGETHER = [
    name
    for name in registry.names()
    if name not in ("none", *CUT_BEFORE) and not registry.get(name).alone
]
METHODS = ["none", ",".join(TOGETHER), *(n for n in registry.names() if registry.get(n).alone)]


@pytest.mark.parametrize("name", METHODS, ids=["no method", "together", *METHODS[2:]])
def test_a_packed_step_is_compiled_as_a_whole(name):
    """XLA, which compiles for a TPU, refuses shapes and operations that it does not know."""
    task = tasks.get("mrpc")
    options = "block.block=4x4" if "block" in name else ""
    config = ExperimentConfig(
        task="mrpc", pruning_method=name, pruning_options=options, final_sparsity=0.5
    )
    model, _ = tiny_classifier.classifier(SHAPES, "mrpc")
    method = registry.build(config).on_replicas()
    method.reshape(tiny_classifier.start(tiny_bert.backbone(model.layers[3], SHAPES), task))
    model = method.prepare(model, PruningContext.from_config(config, STEPS, method.waits))
    trainee = Trainee(heads.over(model, STATIC.inputs), TaskLoss(task.problem))
    trainee.compile(
        optimizer=method.wrap_optimizer(build_optimizer(config, STEPS)),
        weighted_metrics=task.problem.keras_metrics(True),
        is_filled_up=True,
    )
    data = split(task)
    before = [variable.numpy() for variable in model.trainable_variables]

    @tf.function(jit_compile=True, input_signature=[STATIC.signature()])
    def step(features):
        targets = {LABELS: tf.constant(data.labels[:BATCH])}
        return trainee.train_step((features, targets, tf.ones(BATCH)))["loss"]

    @tf.function(jit_compile=True, input_signature=[STATIC.signature()])
    def score(features):
        return trainee(features, training=False)

    features = STATIC.features(data.tokens, np.arange(BATCH))
    assert STATIC.is_static
    logits = classifiers.predict_fn(model, LAYOUTS["padded"])(
        LAYOUTS["padded"].features(data.tokens, np.arange(BATCH))
    )
    np.testing.assert_allclose(score(features), logits, atol=1e-4)
    assert np.isfinite(step(features))
    assert any(
        not np.array_equal(mine, theirs)
        for mine, theirs in zip(model.trainable_variables, before, strict=True)
    )


# Settings, and what a person sees.


def rows_of(run):
    with run.folder.history_file.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_is_packed_and_says_how_much_of_it_is_padding(exported):
    run, _ = exported
    shares = [float(row["positions_used"]) for row in rows_of(run)]
    assert all(0.75 < share <= 1 for share in shares)
    found = run.result.speed["positions_used"]
    assert found == pytest.approx(len(shares) / sum(1 / share for share in shares))
    curves = [
        value.tag
        for file in (run.folder.tensorboard / "train").glob("events*")
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
        for value in tf.compat.v1.Event.FromString(record).summary.value
    ]
    assert "epoch_positions_used" in curves


def test_a_saved_run_answers_packed_texts_as_padded_ones(exported):
    saved = saving.SavedClassifier.load(exported[0].folder.model)
    assert saved.layout((32,)) == Packed()
    data = split(tasks.get("sst2"))
    found = [
        saved.predict_fn(layout)(layout.features(data.tokens, np.arange(9)))
        for layout in LAYOUTS.values()
    ]
    np.testing.assert_allclose(*found, atol=1e-5)


@dataclasses.dataclass
class Devices:
    """The replicas of a strategy."""

    num_replicas_in_sync: int


@dataclasses.dataclass
class Planned:
    """A job and its plan, as far as the choice of layouts asks for them."""

    config: ExperimentConfig
    is_static: bool = False
    replicas: int = 1
    epochs: int = 2
    batching = batching.Batching(BATCH, seed=1)

    @property
    def strategy(self):
        return Devices(self.replicas)


def encoder(family):
    model, _ = tiny_classifier.classifier(SHAPES, "cola")
    if family == "bert":
        return tiny_bert.backbone(model.layers[3], SHAPES)
    return tiny_bert.saved_model_backbone(model.layers[3])


def chosen(backbone, caplog, is_static=False, replicas=1, **settings):
    config = ExperimentConfig(task="cola", seq_length=32, batch_size=BATCH, **settings)
    job, data = Planned(config, is_static, replicas), split(tasks.get("cola"))
    caplog.set_level("INFO", logger="absl")
    laying_out.require(config, backbone)
    return laying_out.choose(job, job, backbone, data, {"": data}), data


def test_what_can_keep_texts_apart_packs_them(caplog):
    found, data = chosen(encoder("bert"), caplog)
    assert found.training == Packed(width=packing.row_width(int(data.tokens.lengths.max())))
    assert found.scoring == Packed()
    (told,) = caplog.messages
    share = found.share_used(Planned(ExperimentConfig()), data, 1, 0)
    assert f"rows of {found.training.width} positions: {100 * share:.0f} %" in told
    assert "padded to the longest" in told
    wide, _ = chosen(encoder("bert"), caplog, packing_width=64)
    assert wide.training == Packed(width=64)
    padded, _ = chosen(encoder("bert"), caplog, packing="false")
    assert padded.training == padded.scoring == Padded(lengths=bucket_lengths(32))
    assert "texts are padded" in caplog.messages[-1]


@pytest.mark.parametrize("replicas", [1, 2])
def test_on_a_tpu_all_batches_of_the_run_have_one_shape(replicas, caplog):
    found, data = chosen(encoder("bert"), caplog, is_static=True, replicas=replicas)
    assert found.training.is_static
    assert found.scoring.is_static
    rows = set()
    for epoch in range(2):
        for batch in batching.Batching(BATCH, seed=1).epoch(data, epoch):
            filled, _ = layouts.fill_up(batch, data.tokens.lengths, replicas, BATCH)
            for part in np.split(filled, replicas):
                found.training.features(data.tokens, part)  # Refuses what does not fit.
                lengths = data.tokens.lengths[part]
                width = found.training.width
                rows.add(packing.first_fit_decreasing(lengths, width).count)
    assert max(rows) == found.training.rows  # And no more than that.
    for batch in found.scoring.batches(data.tokens.lengths, 64):
        features = found.scoring.features(data.tokens, batch)
        assert features[packing.FIRSTS].shape == (64, 2)
    padded, _ = chosen(encoder("bert"), caplog, is_static=True, replicas=replicas, packing="false")
    assert padded.training == Padded(size=BATCH // replicas, lengths=(32,))
    assert padded.scoring == Padded(parts=replicas, size=64, lengths=(32,))


def test_an_encoder_held_as_a_saved_model_pads_and_says_so(caplog):
    backbone = encoder("saved_model")
    found, _ = chosen(backbone, caplog)
    assert found.training == Padded(lengths=bucket_lengths(32))
    (told,) = caplog.messages
    assert "texts are padded" in told
    assert "not packed" in told
    assert "held as a SavedModel" in told
    with refuses(UserError, "--packing", "held as a SavedModel"):
        chosen(backbone, caplog, packing="true")
    with refuses(UserError, "--packing_width=64", "held as a SavedModel"):
        chosen(backbone, caplog, packing_width=64)


def test_a_row_that_cannot_be_is_refused_before_the_training(caplog):
    with refuses(UserError, "--packing_width=16", "'sentence 6' of the train", "--seq_length=16"):
        chosen(encoder("bert"), caplog, packing_width=16)
    few = dataclasses.replace(
        encoder("bert"), architecture=dataclasses.replace(SHAPES, positions=64)
    )
    with refuses(UserError, "--packing_width=72", "64 positions"):
        chosen(few, caplog, packing_width=72)
