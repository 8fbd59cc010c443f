"""Recipes: every one converts a real (tiny) classifier, and the file is what it says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tiny_bert
from messages import refuses
from scipy import special
from slow_fixtures import slow_to_make
from tiny_classifier import classifier

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.data.layouts import Padded
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.data.problems.probabilities import SIGMOID, SOFTMAX, of_logits, to_logits
from bert_glue_tf.export import (
    calibration,
    convert,
    flatbuffer,
    litert,
    making,
    quantize,
    signatures,
)
from bert_glue_tf.export.selection import extremes, select
from bert_glue_tf.models import classifiers, encoders, loading, saving
from bert_glue_tf.models.bert.classifier_weights import SavedWeights, from_weights
from bert_glue_tf.models.parts import MASKED
from bert_glue_tf.models.quantization import recipes

LENGTHS = (8, 16)


# Files of integers alone take no texts; tests/export/test_files_of_arrays.py has their own.
OF_TEXTS = [name for name, one in recipes.RECIPES.items() if not one.is_whole]


@pytest.fixture(scope="module")
def keras_model():
    """A BERT classifier of 64 hidden units and its saved form's weights."""
    architecture = tiny_bert.architecture(layers=2, hidden=64, heads=4)
    return classifier(architecture, task="mnli")[0], architecture


@pytest.fixture(scope="module")
@slow_to_make
def folder(keras_model, tmp_path_factory):
    """The classifier as a saved model."""
    model, architecture = keras_model
    root = tmp_path_factory.mktemp("tflite")
    pair = tiny_bert.write_pair(root / "pair")
    saved = tiny_bert.backbone(None, architecture, pair / "preprocessing")
    saving.save(model, saved, tasks.get("mnli"), root / "model")
    return root / "model"


@pytest.fixture(scope="module")
def float32(folder):
    return convert.convert(folder, LENGTHS)


def random_batch(vocabulary, number, length):
    """Token ids of varied lengths, two segments, padding: int32 [number, length] by name."""
    random = np.random.default_rng(5)
    used = random.integers(3, length + 1, (number, 1))
    mask = np.arange(length) < used
    ids = np.where(mask, random.integers(5, vocabulary, (number, length)), 0)
    types = mask & (np.arange(length) >= used // 2)
    values = (ids, mask, types)
    return {k: v.astype(np.int32) for k, v in zip(INPUTS, values, strict=True)}


@pytest.fixture(scope="module")
def batch(keras_model):
    return random_batch(keras_model[1].vocab_size, 16, 16)


@pytest.fixture(scope="module")
def examples(batch):
    return [{k: v[i : i + 1] for k, v in batch.items()} for i in range(16)]


@pytest.fixture(scope="module")
@slow_to_make
def files(float32, examples):
    """Recipe -> its file's content."""
    made = {}
    for name in OF_TEXTS:
        recipe = recipes.RECIPES[name]
        rules, ranges = recipe.rules, None
        if recipe.selects:
            selection = select(float32, 16, examples[:8], examples[8:])
            rules, ranges = selection.rules, selection.ranges
        elif recipe.needs_calibration:
            ranges = extremes(float32, 16, examples[:8])
        made[name] = quantize.quantize(float32, rules, ranges)
    return made


def test_float32_has_the_keras_models_logits_at_every_length(keras_model, files, batch):
    model = litert.LiteModel(files["float32"])
    assert model.lengths == LENGTHS
    expected = classifiers.predict_fn(keras_model[0], Padded())(batch)
    np.testing.assert_allclose(model.predict(batch), expected, atol=1e-4)
    short = {name: value[:, :8] for name, value in batch.items()}
    expected = classifiers.predict_fn(keras_model[0], Padded())(short)
    np.testing.assert_allclose(model.predict(short), expected, atol=1e-4)


# Relative noise (root of the mean square over the standard deviation of the logits) that a
# random network of this width may show; a collapsed file has 1 and more.
NOISE = {
    "float32": 1e-6,
    "float16": 2e-3,
    "dynamic_int8": 0.05,
    "int8": 0.15,
    "int16x8": 0.15,
    "int4": 0.4,
}


@pytest.mark.parametrize("recipe", OF_TEXTS)
def test_a_recipes_logits_are_near_float32s(recipe, files, batch):
    expected = litert.LiteModel(files["float32"]).predict(batch)
    found = litert.LiteModel(files[recipe]).predict(batch)
    assert found.dtype == np.float32
    noise = np.sqrt(np.mean(np.square(found - expected))) / expected.std()
    assert noise < NOISE[recipe]


@pytest.mark.parametrize("recipe", OF_TEXTS)
def test_a_file_has_built_in_operators_and_named_inputs_only(recipe, files):
    model = flatbuffer.read(files[recipe])
    counts = flatbuffer.operator_counts(model)
    assert counts["FULLY_CONNECTED"] == len(LENGTHS) * (2 * 6 + 2)
    assert not [name for name in counts if name.startswith("CUSTOM")]
    for signature in model.signatureDefs:
        assert {tensor.name.decode() for tensor in signature.inputs} == set(INPUTS)
        assert [tensor.name.decode() for tensor in signature.outputs] == ["logits"]
    assert sorted(s.signatureKey.decode() for s in model.signatureDefs) == ["length_16", "length_8"]


@pytest.mark.parametrize("hidden", [20, 64])  # A scale by channel, and by block.
def test_int4_takes_channels_and_blocks_of_zeros(hidden, tmp_path):
    """As near-zeros, which have scales of their own; before, LiteRT refused the file."""
    architecture = tiny_bert.architecture(layers=1, hidden=hidden, heads=4)
    pair = tiny_bert.write_pair(tmp_path / "pair")
    encoder = loading.load(encoders.resolve(str(pair), ""), seq_length=8)
    encoder = dataclasses.replace(encoder, architecture=architecture)
    batch = random_batch(architecture.vocab_size, 4, 8)
    found = []
    for factor in (0, 1e-3):
        drawn = tiny_bert.weights(architecture)
        for part in ("intermediate", "output"):
            drawn[f"transformer/layer_0/{part}/kernel"][:, :2] *= factor
        drawn["transformer/layer_0/intermediate/kernel"][:32, 5:9] *= factor
        kernel = np.random.default_rng(0).normal(size=(hidden, 3)).astype(np.float32)
        weights = SavedWeights(architecture, drawn, kernel, np.zeros(3, np.float32))
        saving.save(from_weights(weights), encoder, tasks.get("mnli"), tmp_path / "m")
        file = quantize.quantize(convert.convert(tmp_path / "m", (8,)), recipes.get("int4").rules)
        found.append(litert.LiteModel(file).predict(batch))
    assert found[0].std() > 1
    np.testing.assert_allclose(*found, atol=0.05 * found[0].std())


def weight_types(content):
    """Types of the constant matrices: (operator, type) -> number, in the first signature."""
    model = flatbuffer.read(content)
    names = {v: k for k, v in vars(flatbuffer.schema.TensorType).items() if isinstance(v, int)}
    graph = model.subgraphs[0]
    found = []
    for name, op in zip(flatbuffer.operators(model)[0], graph.operators, strict=True):
        if name in ("FULLY_CONNECTED", "EMBEDDING_LOOKUP"):
            found.append((name, names[graph.tensors[op.inputs[1]].type]))
    return set(found)


def test_the_weights_have_the_types_that_the_recipes_say(files):
    dense, rows = "FULLY_CONNECTED", "EMBEDDING_LOOKUP"
    assert weight_types(files["float32"]) == {(dense, "FLOAT32"), (rows, "FLOAT32")}
    for recipe in ("dynamic_int8", "int8", "int16x8"):
        assert weight_types(files[recipe]) == {(dense, "INT8"), (rows, "INT8")}
    # The classifier and the pooler stay in int8.
    assert weight_types(files["int4"]) == {(dense, "INT4"), (dense, "INT8"), (rows, "INT8")}


def products(content):
    """Name of each matrix product's output -> the type of its weights, in the first signature."""
    model = flatbuffer.read(content)
    names = {v: k for k, v in vars(flatbuffer.schema.TensorType).items() if isinstance(v, int)}
    graph = model.subgraphs[0]
    return {
        flatbuffer.output_name(graph, place): names[graph.tensors[op.inputs[1]].type]
        for place, (name, op) in enumerate(
            zip(flatbuffer.operators(model)[0], graph.operators, strict=True)
        )
        if name == "FULLY_CONNECTED"
    }


def test_a_mixed_file_has_int8_where_its_name_says(float32, files, batch):
    recipe = recipes.get("int4_but_1f_2a")
    content = quantize.quantize(float32, recipe.rules)
    found = products(content)
    halves = {
        "layer_0/self_attention": "INT4",
        "layer_0/intermediate": "INT8",
        "layer_0/output": "INT8",
        "layer_1/self_attention": "INT8",
        "layer_1/intermediate": "INT4",
        "layer_1/output": "INT4",
    }
    for place, wanted in halves.items():
        assert {kind for name, kind in found.items() if name.startswith(place)} == {wanted}
    assert len(files["int4"]) < len(content) < len(files["dynamic_int8"])
    mixed, plain = (litert.LiteModel(one).predict(batch) for one in (content, files["float32"]))
    assert np.sqrt(np.mean(np.square(mixed - plain))) / plain.std() < NOISE["int4"]


@pytest.mark.parametrize("name", ["int4_but_9f", "int4_but_1f_3a"])
def test_a_mixed_recipe_of_a_layer_that_is_not_there_is_refused(float32, name):
    with refuses(UserError, f"--recipes={name}", name.split("_")[-1]):
        making.require_halves(float32, recipes.get(name))


def test_the_name_of_a_mixed_recipe_says_what_it_is():
    recipe = recipes.mixed([(3, "a"), (1, "f"), (3, "a")])
    assert recipe.name == "int4_but_1f_3a"
    assert recipes.get(recipe.name) == recipe
    assert recipes.halves_of(recipe.name) == ((1, "f"), (3, "a"))
    assert "the feed-forward of layer 1, the attention of layer 3" in recipe.summary
    assert recipes.mixed([]) is recipes.get("int4")
    # One file has one name.
    with refuses(UserError, "--recipes=int4_but_3a_1f", "int4_but_1f_3a"):
        recipes.get("int4_but_3a_1f")
    for name in ("int4_but", "int4_but_0a", "int4_but_1b", "int8_but_1a"):
        assert recipes.find(name) is None


def test_files_become_smaller(files):
    size = {name: len(content) for name, content in files.items()}
    assert size["float16"] < 0.75 * size["float32"]
    assert size["dynamic_int8"] < size["float16"]
    assert size["int4"] < size["dynamic_int8"]


def test_signatures_share_their_weights(folder, files):
    one = convert.convert(folder, (16,))
    # The second signature brings its operators, and not a second copy of the matrices.
    matrices = 4 * (2 * (4 * 64 * 64 + 2 * 64 * 128) + 64 * 64)
    assert len(files["float32"]) - len(one) < matrices / 2


def test_the_word_embeddings_pass_the_converter_by_and_the_file_is_the_same(folder, float32):
    graph = saving.graph(folder)
    light = graph.without_table()
    function = light.graph.function(8)
    (table,) = [one for one in light.graph.variables if "word_embeddings" in one.name]
    assert table.shape.as_list() == [3, 64]
    assert function.structured_outputs["logits"].shape.as_list() == [1, 3]
    assert light.table().shape == (len(tiny_bert.VOCABULARY), 64)
    assert float32 == convert.convert_module(graph, LENGTHS, "a test")


def test_a_constant_that_is_not_there_is_not_replaced(float32):
    model = flatbuffer.read(float32)
    with refuses(ValueError, "[2, 64]"):
        flatbuffer.replace_constant(model, np.full((2, 64), 7, np.float32), np.zeros((3, 64)))


def test_int4_takes_the_largest_block_that_divides_every_width():
    found = {rule.operation: rule.block for rule in recipes.RECIPES["int4"].rules}
    # Convolutions and the tables of embeddings stay in int8.
    assert found == {"CONV_2D": 0, "EMBEDDING_LOOKUP": 0, "FULLY_CONNECTED": 128}


def test_an_unknown_recipe_is_refused_and_the_good_ones_are_named():
    with refuses(UserError, "--recipes=int7", "float32, float16"):
        recipes.get("int7")


def test_a_saved_model_encoder_converts_too_and_its_mask_is_clipped(keras_model, tmp_path, batch):
    model, _ = keras_model
    pair = tiny_bert.write_pair(tmp_path / "pair")
    saved_model = tiny_bert.saved_model_backbone(None, pair / "preprocessing")
    saving.save(model, saved_model, tasks.get("mnli"), tmp_path / "model")
    content = convert.convert(tmp_path / "model", (16, 512))
    expected = classifiers.predict_fn(model, Padded())(batch)
    loaded = litert.LiteModel(content)
    np.testing.assert_allclose(loaded.predict(batch), expected, atol=1e-4)
    parsed = flatbuffer.read(content)
    assert flatbuffer.clip_constants(parsed, MASKED) == 0  # Nothing below is left.
    # Padding is left out to the last bit, whatever stands there.
    long = {name: np.pad(value[:2], ((0, 0), (0, 496))) for name, value in batch.items()}
    found = loaded.predict(long)
    np.testing.assert_allclose(found, expected[:2], atol=2e-5 * np.abs(expected).max())
    long["input_word_ids"][long["input_mask"] == 0] = 60
    np.testing.assert_array_equal(loaded.predict(long), found)


# --- the file itself ---


def test_metadata_comes_back_as_it_was_written(files):
    model = flatbuffer.read(files["dynamic_int8"])
    assert flatbuffer.read_metadata(files["dynamic_int8"]) is None
    values = {"task": "mnli", "labels": ["a", "b"], "seq_lengths": [8, 16]}
    flatbuffer.add_metadata(model, values)
    written = flatbuffer.write(model)
    assert flatbuffer.read_metadata(written) == values
    batch = random_batch(50, 2, 8)
    np.testing.assert_array_equal(
        litert.LiteModel(written).predict(batch),
        litert.LiteModel(files["dynamic_int8"]).predict(batch),
    )


def test_one_signature_can_be_cut_out(files):
    single = calibration.one_length(files["float32"], 8)
    assert litert.LiteModel(single).lengths == (8,)
    with refuses(ValueError, "'length_9'"):
        calibration.one_length(files["float32"], 9)


def test_a_mask_of_a_billion_is_clipped_and_nothing_else(files):
    model = flatbuffer.read(files["float32"])
    schema = flatbuffer.schema
    graph = model.subgraphs[0]
    buffers = []
    for value in (-1e9, -999.0, 1e9):
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.float32(value).tobytes(), np.uint8)
        model.buffers.append(buffer)
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = (
            [1],
            schema.TensorType.FLOAT32,
            len(model.buffers) - 1,
        )
        graph.tensors.append(tensor)
        buffers.append(buffer)
    assert flatbuffer.clip_constants(model, MASKED) == 1
    values = [float(np.frombuffer(bytes(b.data), np.float32)[0]) for b in buffers]
    assert values == [MASKED, -999.0, 1e9]


def test_a_custom_operator_is_refused_by_name(files):
    model = flatbuffer.read(files["float32"])
    code = model.operatorCodes[model.subgraphs[0].operators[0].opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = flatbuffer.schema.BuiltinOperator.CUSTOM
    code.customCode = b"FlexErf"
    with refuses(UserError, "model.tflite", "CUSTOM(FlexErf)"):
        flatbuffer.require_builtin(model, "model.tflite")


@pytest.mark.parametrize("keep", [0, 7, 100, 0.999])
def test_a_truncated_file_is_refused_in_one_message(files, keep):
    content = files["dynamic_int8"]
    cut = content[: keep if isinstance(keep, int) else int(keep * len(content))]
    with refuses(UserError, "x.tflite"):
        litert.LiteModel(cut, name="x.tflite")


def test_a_foreign_file_is_refused(files):
    with refuses(UserError, "x.tflite"):
        litert.LiteModel(b"PK\x03\x04" + bytes(1000), name="x.tflite")
    model = flatbuffer.read(files["float32"])
    for signature in model.signatureDefs:
        signature.signatureKey = b"serving_" + signature.signatureKey
    with refuses(UserError, "classifiers"):
        litert.LiteModel(flatbuffer.write(model))


def test_a_missing_file_is_refused(tmp_path):
    with refuses(UserError, tmp_path / "none.tflite"):
        litert.LiteModel.load(tmp_path / "none.tflite")


# --- what goes in and out ---


def test_a_batch_has_the_logits_of_its_texts(folder, batch, examples):
    model = convert.convert(folder, (16,), (1, 4))
    ranges = extremes(model, 16, examples[:4])
    for content in (model, quantize.quantize(model, recipes.get("int16x8").rules, ranges)):
        loaded = litert.LiteModel(content)
        assert (loaded.lengths, loaded.batch_sizes(16)) == ((16,), [4, 1])
        alone = np.concatenate([loaded.predict(one) for one in examples])
        np.testing.assert_allclose(loaded.predict(batch), alone, atol=1e-5)


def test_probabilities_are_those_of_the_logits_and_can_be_taken_off(files, batch):
    content = files["dynamic_int8"]
    logits = litert.LiteModel(content).predict(batch)
    for function, expected in ((SOFTMAX, special.softmax(logits, -1)), (SIGMOID, None)):
        model = flatbuffer.read(content)
        signatures.add_probabilities(model, function)
        made = flatbuffer.write(model)
        loaded = litert.LiteModel(made)
        assert loaded.output == "probabilities"
        expected = special.expit(logits) if expected is None else expected
        np.testing.assert_allclose(loaded.predict(batch), expected, atol=1e-6)
        again = to_logits(function, loaded.predict(batch))
        np.testing.assert_allclose(of_logits(function, again), expected, atol=1e-6)
        model = flatbuffer.read(made)
        signatures.drop_probabilities(model)
        np.testing.assert_array_equal(
            litert.LiteModel(flatbuffer.write(model)).predict(batch), logits
        )


def test_inputs_are_told_in_the_order_of_the_file(files):
    model = flatbuffer.read(files["float32"])
    names = {t.tensorIndex: t.name.decode() for t in model.signatureDefs[0].inputs}
    graph = model.subgraphs[model.signatureDefs[0].subgraphIndex]
    assert signatures.inputs(model) == [names[index] for index in graph.inputs]
    assert set(signatures.inputs(model)) == set(INPUTS)


def test_one_signature_leaves_the_others_constants_out(files, batch):
    content = files["dynamic_int8"]
    model = flatbuffer.read(content)
    signatures.keep_one(model, "length_16")
    kept = flatbuffer.write(model)
    assert len(kept) < len(content)
    np.testing.assert_array_equal(
        litert.LiteModel(kept).predict(batch), litert.LiteModel(content).predict(batch)
    )
