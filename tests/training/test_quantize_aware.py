"""Training that knows of its quantization: the file computes what the training saw."""

from __future__ import annotations

import dataclasses
import functools
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import tiny_bert
import tiny_runs
from messages import refuses
from slow_fixtures import slow_to_make

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.schedule import PruningContext
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import packing
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.evaluation import predictions
from bert_glue_tf.export import card, convert, litert, quantize, trained
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.record import OF_SPREAD
from bert_glue_tf.models import heads, saving
from bert_glue_tf.models.bert import shrinking
from bert_glue_tf.models.bert.architecture import Block, by_canonical_name
from bert_glue_tf.models.bert.classifier_weights import read_weights, weights_of
from bert_glue_tf.models.bert.export_graph import ExportGraph
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.models.bert.quantized_layer import QuantizedEncoder
from bert_glue_tf.models.quantization import imitation, recipes
from bert_glue_tf.models.quantization.imitation import Quantizing
from bert_glue_tf.reports import terminal
from bert_glue_tf.runs.config import ExperimentConfig, check_method
from bert_glue_tf.training import callbacks, network

# Root of the mean squared difference of the logits over their standard deviation.
ALLOWED = 0.02
SHAPES = tiny_bert.architecture(layers=2, hidden=64, heads=4)


def texts(number=16, length=12):
    """Random pairs of texts with padding: int32 [number, length] by name."""
    random = np.random.default_rng(5)
    used = random.integers(3, length + 1, (number, 1))
    mask = np.arange(length) < used
    ids = np.where(mask, random.integers(5, SHAPES.vocab_size, (number, length)), 0)
    features = zip(INPUTS, (ids, mask, mask & (np.arange(length) >= used // 2)), strict=True)
    return {name: values.astype(np.int32) for name, values in features}


BATCH = texts()


def encoder_of(recipe, shapes=SHAPES):
    """An encoder on a recipe's grids, with weights that are not near zero."""
    layer = build_encoder(shapes, tiny_bert.weights(shapes).__getitem__, recipe=recipe)
    layer.begin()
    return layer


def classifier_of(recipe, shapes=SHAPES, steps=3):
    """A classifier on a recipe's grids that has seen a few batches, and moved its ranges."""
    model = heads.attach(encoder_of(recipe, shapes), 3, 0.0, 0)
    kernel, bias = model.get_layer(heads.CLASSIFIER).get_weights()
    drawn = np.random.default_rng(0)
    model.get_layer(heads.CLASSIFIER).set_weights(
        [drawn.normal(size=kernel.shape), drawn.normal(size=bias.shape)]
    )
    train = tf.function(functools.partial(model, training=True))
    batch = {name: tf.constant(value) for name, value in BATCH.items()}
    for _ in range(steps):
        train(batch)
    return model


def state_of(model):
    (layer,) = (layer for layer in model.layers if isinstance(layer, QuantizedEncoder))
    return layer.trained


def apart(found, expected):
    return np.sqrt(np.mean(np.square(found - expected))) / expected.std()


# What is computed.


@pytest.mark.parametrize(
    "shapes",
    [
        SHAPES,
        dataclasses.replace(SHAPES, blocks=(Block(4, 4, 4, 32), Block(2, 3, 5, 7))),
        tiny_bert.architecture(heads=4, type_vocab_size=0),
        tiny_bert.architecture(heads=4, embedding_size=6),
    ],
    ids=["uniform", "widths", "no types", "narrow tables"],
)
def test_without_rounding_it_is_the_encoder_itself(shapes, monkeypatch):
    monkeypatch.setattr(Quantizing, "__call__", lambda self, point, tensor: tensor)
    monkeypatch.setattr(Quantizing, "weight", lambda self, name, matrix: (matrix, 1.0))
    monkeypatch.setattr(Quantizing, "whole", lambda self, values: (values, 1.0))
    monkeypatch.setattr(Quantizing, "bias", lambda self, name, bias, step: (0.0, bias))
    monkeypatch.setattr(Quantizing, "rows", lambda self, rows: tf.convert_to_tensor(rows))
    drawn = tiny_bert.weights(shapes)
    found = build_encoder(shapes, drawn.__getitem__, recipe="dynamic_int8")(dict(BATCH))
    expected = build_encoder(shapes, drawn.__getitem__)(dict(BATCH))
    for name in ("pooled_output", "sequence_output"):
        np.testing.assert_allclose(found[name], expected[name], atol=2e-5)
    for name in ("encoder_outputs", "attention_inputs"):
        both = (tf.nest.flatten(outputs[name]) for outputs in (found, expected))
        for mine, theirs in zip(*both, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=2e-5)


def test_each_product_has_the_grid_of_the_recipe():
    layer = encoder_of("int8")
    points = layer._imitation.points
    assert points[:4] == (
        "layer_0/self_attention:input",
        "layer_0/self_attention/query:output",
        "layer_0/self_attention/key:output",
        "layer_0/self_attention/value:output",
    )
    assert len(points) == 2 * 8
    assert not layer.trained.clips
    assert not encoder_of("dynamic_int8").trained.ranges
    clips = encoder_of("int4").trained.clips  # The widths are 64 and 128.
    assert clips["layer_0/output"].shape == (2, 64)
    assert clips["layer_1/self_attention/key"].shape == (1, 64)
    assert "pooler_transform" not in clips
    assert all((values > 0).all() for values in clips.values())


def test_ranges_are_a_moving_average_of_what_reaches_the_logits():
    layer = encoder_of("int8")
    seen = {}
    fixed = Quantizing._fixed

    def keep(self, key, values):
        seen[key] = values.numpy()
        return fixed(self, key, values)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Quantizing, "_fixed", keep)
        layer(dict(BATCH), training=True)
    mask = BATCH["input_mask"].astype(bool)
    assert not mask.all()
    first = layer.trained.ranges
    inner = seen["layer_0/intermediate:input"][mask]
    assert first["layer_0/intermediate:input"] == (inner.min(), inner.max())
    # Of the last layer only the first token is read behind the attention.
    pooled = seen["layer_1/intermediate:input"][:, 0]
    assert first["layer_1/intermediate:input"] == (pooled.min(), pooled.max())

    outer = seen["layer_0/intermediate:output"][mask]
    assert outer.min() < -4.0  # Where GELU is 0.
    assert first["layer_0/intermediate:output"] == (-4.0, outer.max())

    layer(dict(BATCH), training=False)
    assert layer.trained.ranges == first
    other = {name: value[:1] for name, value in BATCH.items()}
    layer(other, training=True)
    moved = layer.trained.ranges["layer_0/self_attention:input"]
    was = first["layer_0/self_attention:input"]
    assert was != moved
    np.testing.assert_allclose(moved, was, rtol=0.02)


def test_before_the_first_step_a_range_is_that_of_the_batch():
    """So a ranking that looks at gradients before the training sees some."""
    layer = encoder_of("int8")
    found = layer(dict(BATCH), training=False)["pooled_output"].numpy()
    assert set(layer.trained.ranges.values()) == {(0.0, 0.0)}
    assert found.std() > 0.1


def test_a_number_that_is_none_does_not_spoil_a_range():
    layer = encoder_of("int8")
    layer(dict(BATCH), training=True)
    before = layer.trained.ranges
    table = by_canonical_name(layer.variables)["word_embeddings/embeddings"]
    table.assign(table * np.nan)
    layer(dict(BATCH), training=True)
    assert layer.trained.ranges == before


def test_packed_texts_are_computed_as_padded_ones():
    model = classifier_of("int8")
    lengths = BATCH["input_mask"].sum(1)
    words = [BATCH["input_word_ids"][i, :length] for i, length in enumerate(lengths)]
    types = [BATCH["input_type_ids"][i, :length] for i, length in enumerate(lengths)]
    each = [np.arange(length) for length in lengths]
    numbers = [np.full(length, i + 1) for i, length in enumerate(lengths)]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    rows = [np.concatenate(parts)[None].astype(np.int32) for parts in (words, types, numbers, each)]
    firsts = np.stack([np.zeros_like(starts), starts], 1).astype(np.int32)
    packed = dict(zip(packing.INPUTS, [*rows, firsts], strict=True))
    found = heads.over(model, packing.INPUTS)(packed, training=False)
    expected = model(dict(BATCH), training=False)
    assert apart(found.numpy(), expected.numpy()) < 1e-3


@pytest.mark.parametrize("recipe", recipes.TRAINED)
@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_in_half_precision_the_weights_are_rounded_to_their_grid_in_float32(
    name, recipe, monkeypatch
):
    seen = []
    weight = Quantizing.weight

    def keep(self, name, matrix):
        seen.append(matrix.dtype)
        return weight(self, name, matrix)

    monkeypatch.setattr(Quantizing, "weight", keep)
    tf_keras.mixed_precision.set_global_policy(f"mixed_{name}")
    try:
        layer = QuantizedEncoder(SHAPES, recipe)
        found = layer(dict(BATCH), training=True)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert set(seen) == {tf.float32}
    assert {variable.dtype for variable in layer.variables} == {tf.float32}
    assert found["pooled_output"].dtype == name
    assert np.isfinite(tf.cast(found["sequence_output"], tf.float32)).all()


def test_weights_learn_through_the_rounding():
    model = classifier_of("int4")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(dict(BATCH), training=True)))
    named = by_canonical_name(model.trainable_variables)
    gradients = tape.gradient(loss, list(named.values()))
    assert not [name for name, one in zip(named, gradients, strict=True) if one is None]
    assert all(np.isfinite(tf.convert_to_tensor(one)).all() for one in gradients)
    lookup = dict(zip(named, gradients, strict=True))["word_embeddings/embeddings"]
    assert isinstance(lookup, tf.IndexedSlices)  # Only the rows of the batch are quantized.


# The end of a training, and the file.


@pytest.mark.parametrize("recipe", recipes.TRAINED)
def test_settled_weights_are_on_the_grid_and_compute_the_same(recipe):
    model = classifier_of(recipe)
    name = "transformer/layer_0/intermediate/kernel"
    variable = by_canonical_name(model.variables)[name]
    before = model(dict(BATCH), training=False).numpy()
    variable.assign(np.where(np.arange(64)[:, None] % 5, variable.numpy(), 0))
    pruned = model(dict(BATCH), training=False).numpy()
    assert apart(pruned, before) > 0.01
    imitation.settle(model)
    settled = model(dict(BATCH), training=False).numpy()
    assert apart(settled, pruned) < 1e-3
    assert not variable.numpy()[::5].any()  # Zeros stay zeros.
    gamma = by_canonical_name(model.variables)[
        "transformer/layer_0/self_attention_layer_norm/gamma"
    ]
    levels = 15 if recipe == "int4" else 255
    for column in (gamma.numpy()[:, None] * variable.numpy()).T:
        assert len(np.unique(np.round(column / np.abs(column).max(), 4))) <= levels
    imitation.settle(model)
    again = model(dict(BATCH), training=False).numpy()
    assert apart(again, settled) < 1e-3


@pytest.mark.parametrize("recipe", recipes.TRAINED)
def test_the_file_computes_what_the_model_computes(recipe):
    model = classifier_of(recipe)
    imitation.settle(model)
    weights = weights_of(model, SHAPES)
    length = BATCH["input_mask"].shape[1]
    float32 = convert.convert_module(ExportGraph(weights), (length,), recipe)
    rules, ranges, told = trained.rules_and_ranges(float32, weights.trained)
    assert told["ranges"] == "trained"
    file = litert.LiteModel(quantize.quantize(float32, rules, ranges))
    expected = model(dict(BATCH), training=False).numpy()
    difference = apart(file.predict(BATCH), expected)
    print(f"{recipe}: {difference:.2e} of the logits' standard deviation")
    assert difference < ALLOWED
    # The same weights in float arithmetic are farther away.
    assert difference < apart(litert.LiteModel(float32).predict(BATCH), expected)


def test_an_output_without_weights_has_its_bias_in_the_file():
    model = classifier_of("int8")
    named = by_canonical_name(model.variables)
    kernel = named["transformer/layer_0/intermediate/kernel"]
    kernel.assign(kernel.numpy() * (np.arange(kernel.shape[1]) != 3))
    bias = named["transformer/layer_0/intermediate/bias"]
    bias.assign(bias.numpy() + 2.0 * (np.arange(bias.shape[0]) == 3))
    imitation.settle(model)
    weights = weights_of(model, SHAPES)
    float32 = convert.convert_module(ExportGraph(weights), (12,), "zeros")
    file = litert.LiteModel(
        quantize.quantize(float32, *trained.rules_and_ranges(float32, weights.trained)[:2])
    )
    assert apart(file.predict(BATCH), model(dict(BATCH), training=False).numpy()) < ALLOWED


def test_a_model_of_an_unknown_recipe_is_refused_by_its_folder(tmp_path):
    described = dataclasses.asdict(SHAPES)
    (tmp_path / "architecture.json").write_text(
        json.dumps({"family": "bert", "encoder": described, "quantize_aware": "int2"})
    )
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with refuses(UserError, str(tmp_path), "int2", "int8"):
        read_weights(tmp_path)


def test_what_is_cut_out_leaves_the_grids_and_the_results(monkeypatch):
    model = classifier_of("int8")
    named = by_canonical_name(model.variables)
    at = "transformer/layer_0/"
    for name, axis, gone in (
        ("self_attention/query/kernel", 1, 2),
        ("self_attention/key/kernel", 1, 2),
        ("self_attention/value/kernel", 1, 2),
        ("self_attention/attention_output/kernel", 0, 2),
        ("intermediate/kernel", 1, 7),
        ("output/kernel", 0, 7),
    ):
        variable = named[at + name]
        keep = np.arange(variable.shape[axis]) != gone
        shape = [-1 if i == axis else 1 for i in range(len(variable.shape))]
        variable.assign(variable.numpy() * keep.reshape(shape))
    imitation.settle(model)
    expected = model(dict(BATCH), training=False).numpy()
    smaller, report = shrinking.shrink_model(model, SHAPES)
    assert report.layers[0].after == Block(3, 16, 16, 127)
    assert state_of(smaller).ranges == state_of(model).ranges
    # What a head and a neuron without inputs had was a constant, which is a bias now.
    assert apart(smaller(dict(BATCH), training=False).numpy(), expected) < ALLOWED


def test_tfmots_wrapper_prunes_the_classifier_of_a_grid():
    settings = ExperimentConfig(
        quantize_aware="int8", pruning_method="classifier_magnitude", final_sparsity=0.5
    )
    method = registry.build(settings)
    model = classifier_of("int8")
    wrapped = method.prepare(model, PruningContext.from_config(settings, 20, method.waits))
    assert wrapped(dict(BATCH), training=False).shape == (16, 3)
    imitation.settle(wrapped)
    final = method.finalize(wrapped)
    assert imitation.recipe_of(final) == "int8"
    expected = model(dict(BATCH), training=False).numpy()
    np.testing.assert_allclose(final(dict(BATCH), training=False), expected, atol=1e-3)


# Runs.


@pytest.fixture(scope="module")
@slow_to_make
def source(tmp_path_factory):
    return tiny_runs.write_sst2(tmp_path_factory.mktemp("glue"))


# Half of the weights are pruned, and the encoder has dropout.
SETTINGS = {
    "quantize_aware": "int8",
    "epochs": 2,
    "pruning_method": "magnitude",
    "final_sparsity": 0.5,
}


@pytest.fixture(scope="module")
@slow_to_make
def run(tiny_encoder, source, tmp_path_factory):
    """A run on int8's grids, and its files."""
    path = tmp_path_factory.mktemp("runs") / "int8"
    found = tiny_runs.train(path, tiny_encoder, source, **SETTINGS)
    tiny_runs.export(found, ["int8"], (16,))
    return found


def test_a_runs_file_is_what_it_has_trained_and_scored(run, capsys):
    records = ExportFolder(run.path / FOLDER).records()
    exported = records["int8"]
    assert exported.quantization["ranges"] == "trained"
    assert exported.parity["flips"] == 0
    assert "calibration" not in exported.data
    assert "--quantize_aware" in card.card(exported)
    assert ("rounded as the file", "int8") in terminal.rows(run.result)
    keras = predictions.read(run.folder.predictions_file("validation"), run.task, 60).logits
    file = ExportFolder(run.path / FOLDER).predictions_file("int8", "validation")
    difference = apart(predictions.read(file, run.task, 60).logits, keras)
    print(f"{difference:.2e} of the logits' standard deviation")
    assert difference < ALLOWED
    assert exported.parity[OF_SPREAD] == pytest.approx(difference, rel=1e-4)
    terminal.print_exports(list(records.values()))
    assert f"int8 against Keras: {difference:.1%} of their spread" in capsys.readouterr().out
    saved = read_weights(run.folder.model)
    assert saved.trained == saving.trained_grids(run.folder.model)
    assert saved.trained.recipe == "int8"
    assert weights_of(saving.load_classifier(run.folder.model), saved.architecture).trained == (
        saved.trained
    )
    kernels = [value for name, value in saved.encoder.items() if name.endswith("kernel")]
    zeros = sum(np.count_nonzero(value == 0) for value in kernels)
    assert zeros > 0.4 * sum(value.size for value in kernels)
    assert run.result.sparsity


def test_an_interrupted_run_ends_with_the_same_bits(run, tiny_encoder, source, tmp_path):
    class Interrupt(callbacks.Checkpoint):
        def on_train_batch_end(self, batch, logs=None):
            self._interruption.came = (self._epoch, batch) == (1, 2)
            super().on_train_batch_end(batch, logs)

    train = functools.partial(tiny_runs.train, tmp_path, tiny_encoder, source, **SETTINGS)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(callbacks, "Checkpoint", Interrupt)
        with pytest.raises(KeyboardInterrupt):
            train()
    found, expected = (read_weights(one.folder.model) for one in (train(), run))
    assert found.trained == expected.trained
    for name, value in expected.encoder.items():
        np.testing.assert_array_equal(found.encoder[name], value, err_msg=name)
    np.testing.assert_array_equal(found.kernel, expected.kernel)


# What cannot be.


@pytest.mark.parametrize("recipe", ["float16", "float32", "int16x8", "int7"])
def test_a_recipe_that_no_training_imitates_is_refused(recipe):
    with refuses(UserError, f"--quantize_aware={recipe}", "dynamic_int8"):
        ExperimentConfig(quantize_aware=recipe)


@pytest.mark.parametrize("method", ["attention_head", "magnitude,neuron"])
def test_blocks_of_weights_are_not_cut(method):
    settings = ExperimentConfig(quantize_aware="int4", pruning_method=method)
    with refuses(UserError, "--quantize_aware=int4", method.split(",")[-1], "int8"):
        check_method(settings)
    check_method(dataclasses.replace(settings, quantize_aware="int8"))
    check_method(dataclasses.replace(settings, pruning_method="magnitude"))


def test_an_encoder_held_as_a_savedmodel_is_refused(monkeypatch):
    from bert_glue_tf.compression.method import PruningMethod

    held = tiny_bert.saved_model_backbone()
    monkeypatch.setattr(network.loading, "load", lambda *_, **__: held)
    settings = ExperimentConfig(encoder="minilm_l6", quantize_aware="int8", packing="false")
    with refuses(UserError, "--quantize_aware=int8", "SavedModel", "export_tflite"):
        network.load_encoder(settings, PruningMethod())


def test_what_a_run_starts_from_is_float():
    settings = ExperimentConfig(quantize_aware="int8", finetune_epochs=2, teacher="start")
    assert settings.starting_point.quantize_aware == recipes.NOT_QUANTIZED
    assert settings.unpruned.quantize_aware == "int8"
    plain = dataclasses.replace(settings, quantize_aware=recipes.NOT_QUANTIZED)
    assert settings.starting_point == plain.starting_point
