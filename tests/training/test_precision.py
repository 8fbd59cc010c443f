"""--mixed_precision, and the static shapes of what goes to a TPU."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from messages import refuses
from slow_fixtures import slow_to_make

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models import heads, loading, precision
from bert_glue_tf.models.bert.classifier_weights import load_classifier
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import devices, experiment


@pytest.fixture(scope="module")
def settings(tiny_encoder):
    return ExperimentConfig(
        encoder=tiny_encoder,
        data="sample",
        epochs=1,
        batch_size=16,
        learning_rate=1e-3,
        dropout=0.0,
        encoder_dropout=0.0,
        seq_length=32,
        train_examples=90,  # The last batch has 10.
        pruning_method="magnitude",
        pruning_scope="all",
        final_sparsity=0.5,
    )


class Seen:
    """The models that runs compile."""

    def __init__(self, monkeypatch):
        self.models = []
        compile_ = tf_keras.Model.compile

        def keep(model, *args, **kwargs):
            self.models.append(model)
            return compile_(model, *args, **kwargs)

        monkeypatch.setattr(tf_keras.Model, "compile", keep)


@pytest.fixture(scope="module")
@slow_to_make
def in_float32(settings, tmp_path_factory):
    """Return the record of a run in float32, and the model that it has trained."""
    with pytest.MonkeyPatch.context() as patched:
        seen = Seen(patched)
        folder = RunFolder.open(tmp_path_factory.mktemp("full") / "run", settings)
        record = experiment.train_and_evaluate(settings, folder)
    (model,) = seen.models
    return record, model


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_mixed_precision_trains_float32_weights_and_saves_a_float32_model(
    settings, in_float32, name, tmp_path, monkeypatch
):
    seen = Seen(monkeypatch)
    full, plain = in_float32
    mixed = dataclasses.replace(settings, mixed_precision=name)
    record = experiment.train_and_evaluate(mixed, RunFolder.open(tmp_path / "mixed", mixed))

    assert full.environment["precision"] == "float32"
    assert record.environment["precision"] == f"mixed_{name}"
    assert record.sparsity == full.sparsity
    assert record.metrics["loss"] == pytest.approx(full.metrics["loss"], abs=2e-2)
    assert tf_keras.mixed_precision.global_policy().name == "float32"  # As it was before.

    (trained,) = seen.models
    assert {weight.dtype for weight in trained.weights} == {tf.float32}
    features = {n: np.ones((2, 8), np.int32) for n in ("input_word_ids", "input_mask")}
    features["input_type_ids"] = np.zeros((2, 8), np.int32)
    encoder = next(layer for layer in trained.layers if "bert" in layer.name)
    assert encoder.compute_dtype == name
    padded = heads.over(trained, features)
    assert padded(features).dtype == tf.float32
    assert {variable.dtype for variable in encoder.variables} == {tf.float32}
    scales = isinstance(trained.optimizer, tf_keras.mixed_precision.LossScaleOptimizer)
    assert scales == (name == "float16")
    assert not isinstance(plain.optimizer, tf_keras.mixed_precision.LossScaleOptimizer)

    # What is saved is the trained weights, and computes with them in float32.
    saved = tf.saved_model.load(str(tmp_path / "mixed" / "model"))
    assert {variable.dtype for variable in saved.variables} == {tf.float32}
    graph = saved.serve.get_concrete_function(
        {n: tf.TensorSpec((None, None), tf.int32, name=n) for n in features}
    ).graph
    dtypes = {t.dtype for op in every_operation(graph) for t in op.outputs}
    assert tf.float32 in dtypes
    assert not dtypes & {tf.float16, tf.bfloat16}
    again = load_classifier(tmp_path / "mixed" / "model")
    for mine, theirs in zip(again.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_allclose(again(features), padded(features), atol=2e-2)


def test_products_alone_are_computed_in_bfloat16(settings, in_float32, tmp_path, monkeypatch):
    seen = Seen(monkeypatch)
    full, _ = in_float32
    mixed = dataclasses.replace(settings, mixed_precision="bfloat16_products")
    record = experiment.train_and_evaluate(mixed, RunFolder.open(tmp_path / "mixed", mixed))
    assert record.environment["precision"] == "bfloat16_products"
    assert record.sparsity == full.sparsity
    assert record.metrics["loss"] == pytest.approx(full.metrics["loss"], abs=2e-2)
    assert record.metrics["loss"] != full.metrics["loss"]

    (trained,) = seen.models
    assert {weight.dtype for weight in trained.weights} == {tf.float32}
    encoder = next(layer for layer in trained.layers if "bert" in layer.name)
    assert encoder.compute_dtype == "float32"
    features = {n: np.ones((2, 8), np.int32) for n in ("input_word_ids", "input_mask")}
    features["input_type_ids"] = np.zeros((2, 8), np.int32)
    padded = heads.over(trained, features)
    graph = tf.function(padded).get_concrete_function(features).graph
    small = {op.type for op in every_operation(graph) for t in op.outputs if t.dtype == tf.bfloat16}
    assert small <= {"Cast", "Einsum", "ReadVariableOp", "Identity"}
    products = [op for op in every_operation(graph) if op.type == "Einsum"]
    assert len(products) == encoder.architecture.layers * (6 + 2)  # Matrices, and attention.
    assert {op.outputs[0].dtype for op in products} == {tf.bfloat16}

    saved = tf.saved_model.load(str(tmp_path / "mixed" / "model"))
    graph = saved.serve.get_concrete_function(
        {n: tf.TensorSpec((None, None), tf.int32, name=n) for n in features}
    ).graph
    dtypes = {t.dtype for op in every_operation(graph) for t in op.outputs}
    assert tf.bfloat16 not in dtypes
    again = load_classifier(tmp_path / "mixed" / "model")
    np.testing.assert_allclose(again(features), padded(features), atol=2e-2)


def test_products_of_a_file_s_whole_numbers_are_not_rounded(settings, tmp_path):
    mixed = dataclasses.replace(
        settings,
        pruning_method="none",
        mixed_precision="bfloat16_products",
        quantize_aware="int8",
    )
    record = experiment.train_and_evaluate(mixed, RunFolder.open(tmp_path / "run", mixed))
    assert record.environment["precision"] == "float32"


def test_an_encoder_held_as_a_saved_model_computes_as_it_was_saved(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "load", functools.partial(loading.load, family="saved_model"))
    mixed = dataclasses.replace(settings, mixed_precision="bfloat16", pruning_scope="classifier")
    with refuses(UserError, "--mixed_precision=bfloat16", "SavedModel"):
        experiment.train_and_evaluate(mixed, RunFolder.open(tmp_path / "run", mixed))


def test_bfloat16_is_what_a_tpu_computes_with(monkeypatch):
    cpu = tf.distribute.OneDeviceStrategy("/cpu:0")
    assert devices.policy("auto", cpu) == "float32"
    assert devices.policy("float16", cpu) == "mixed_float16"
    assert devices.policy("bfloat16_products", cpu) == "bfloat16_products"
    policy = precision.policy_of("bfloat16_products")
    again = precision.ProductsPolicy.from_config(policy.get_config())
    assert (again.compute_dtype, again.products) == ("float32", tf.bfloat16)
    monkeypatch.setattr(devices, "is_tpu", lambda strategy: True)
    assert devices.policy("auto", cpu) == "mixed_bfloat16"
    assert devices.policy("none", cpu) == "float32"


def every_operation(graph):
    """Those of a function's graph and of the functions that it calls."""
    seen, waiting = set(), [graph]
    while waiting:
        now = waiting.pop()
        for operation in now.get_operations():
            yield operation
            for value in operation.node_def.attr.values():
                for name in (value.func.name, *(one.name for one in value.list.func)):
                    if name and name not in seen:
                        seen.add(name)
                        waiting.append(now._get_function(name).graph)


@pytest.mark.parametrize("method", ["none", "movement", "classifier_magnitude"])
def test_every_graph_that_goes_to_a_tpu_has_static_shapes(settings, method, tmp_path, monkeypatch):
    """A run as on a TPU: what `strategy.run` is given there is compiled for the device."""
    monkeypatch.setattr(devices, "is_tpu", lambda strategy: True)
    graphs = []
    run = tf.distribute.OneDeviceStrategy.run

    def recorded(strategy, fn, args=(), kwargs=None, options=None):
        def traced(*args, **kwargs):
            function = tf.function(fn, autograph=False)
            graphs.append(function.get_concrete_function(*args, **kwargs).graph)
            return function(*args, **kwargs)

        return run(strategy, traced, args, kwargs, options)

    monkeypatch.setattr(tf.distribute.OneDeviceStrategy, "run", recorded)
    scope = "encoder" if method == "classifier_magnitude" else "all"
    run_settings = dataclasses.replace(settings, pruning_method=method, pruning_scope=scope)
    record = experiment.train_and_evaluate(
        run_settings, RunFolder.open(tmp_path / "run", run_settings)
    )
    assert record.environment["precision"] == "mixed_bfloat16"
    # The training step, the evaluation after an epoch, and that of the model that is saved.
    train, *evaluations = graphs
    assert len(evaluations) == 2
    for graph in graphs:
        for operation in every_operation(graph):
            if operation.type == "BroadcastGradientArgs":
                # Which axes to sum over: the compiler computes it from the shapes.
                assert all(tf.get_static_value(one) is not None for one in operation.inputs)
                continue
            for tensor in operation.outputs:
                if tensor.dtype not in (tf.resource, tf.variant):
                    assert tensor.shape.is_fully_defined(), tensor
    shapes = {tuple(t.shape) for t in train.inputs if t.dtype == tf.int32}
    assert (run_settings.batch_size, run_settings.seq_length) in shapes
