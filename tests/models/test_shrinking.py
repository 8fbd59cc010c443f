"""A shrunk network has the masked one's logits, in Keras, saved and loaded, and in TFLite."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tf_keras
import tiny_bert
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.data.layouts import Padded
from bert_glue_tf.export import convert, litert, quantize
from bert_glue_tf.models import classifiers, encoders, heads, loading, saving
from bert_glue_tf.models.bert import cutting, export_graph, importing, shrinking
from bert_glue_tf.models.bert.architecture import (
    ACTIVATIONS,
    Architecture,
    Block,
    NotBertError,
    architecture_of,
)
from bert_glue_tf.models.bert.classifier_weights import (
    SavedWeights,
    from_weights,
    load_classifier,
    read_weights,
)
from bert_glue_tf.models.bert.layer import BertEncoder
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.models.probing import difference, probe
from bert_glue_tf.models.quantization import recipes

TASK = tasks.get("mnli")
LAYERS, HIDDEN, HEADS, SIZE, INNER = 3, 16, 4, 4, 32


def weights(activation="gelu", layers=LAYERS, seed=0):
    """A classifier with weights and biases that are not near zero, so that errors show."""
    architecture = tiny_bert.architecture(layers, HIDDEN, HEADS, activation)
    random = np.random.default_rng(seed)
    return SavedWeights(
        architecture,
        tiny_bert.weights(architecture, seed),
        random.normal(size=(HIDDEN, 3)).astype(np.float32),
        random.normal(size=3).astype(np.float32),
    )


def logits(saved, batch):
    return classifiers.predict_fn(from_weights(saved), Padded())(batch)


def one_by_one(graph, batch):
    function = graph.function(batch["input_mask"].shape[1])
    rows = range(len(batch["input_mask"]))
    return np.concatenate(
        [function(**{name: v[i : i + 1] for name, v in batch.items()})["logits"] for i in rows]
    )


def layer(saved, index, name):
    return saved.encoder[f"transformer/layer_{index}/{name}"]


@pytest.fixture(scope="module")
def batch():
    return probe(len(tiny_bert.VOCABULARY), batch=3, length=12)


# Each rule zeroes something of layer 1 and says what must be left: widths and folded constants.
def neurons_without_outputs(get):
    get("output/kernel")[[0, 5, 31]] = 0
    return Block(HEADS, SIZE, SIZE, INNER - 3), 0


def neurons_without_inputs(get):
    get("intermediate/kernel")[:, [1, 6]] = 0
    get("intermediate/bias")[[1, 6]] = [0.7, -1.3]
    return Block(HEADS, SIZE, SIZE, INNER - 2), 2


def no_neuron_left(get):
    get("intermediate/kernel")[:] = 0
    return Block(HEADS, SIZE, SIZE, 1), INNER


def heads_without_outputs(get):
    get("self_attention/attention_output/kernel")[[0, 3]] = 0
    return Block(HEADS - 2, SIZE, SIZE, INNER), 0


def heads_without_values(get):
    get("self_attention/value/kernel")[:, 2] = 0
    return Block(HEADS - 1, SIZE, SIZE, INNER), SIZE


def no_head_left(get):
    get("self_attention/value/kernel")[:] = 0
    return Block(1, 1, 1, INNER), HEADS * SIZE


def values_without_outputs(get):
    for head, dims in enumerate(([0], [1, 2], [3], [0])):  # The widest is left with three.
        get("self_attention/attention_output/kernel")[head, dims] = 0
    return Block(HEADS, SIZE, SIZE - 1, INNER), 0


def values_without_inputs(get):
    get("self_attention/value/kernel")[:, :, :2] = 0
    return Block(HEADS, SIZE, SIZE - 2, INNER), 2 * HEADS


def keys_without_inputs(get):
    get("self_attention/key/kernel")[:, :, [1, 3]] = 0  # The query's inputs and bias stay.
    return Block(HEADS, SIZE - 2, SIZE, INNER), 0


def queries_without_inputs_and_bias(get):
    get("self_attention/query/kernel")[:, :, 2] = 0
    get("self_attention/query/bias")[:, 2] = 0
    return Block(HEADS, SIZE - 1, SIZE, INNER), 0


def one_constant_query_is_no_zero(get):
    get("self_attention/query/kernel")[:, :, 2] = 0
    return Block(HEADS, SIZE, SIZE, INNER), 0


def constant_queries_become_one(get):
    get("self_attention/query/kernel")[:, :, 1:] = 0
    return Block(HEADS, 2, SIZE, INNER), 0


def uniform_attention(get):
    get("self_attention/query/kernel")[:] = 0
    get("self_attention/query/bias")[:] = 0
    return Block(HEADS, 1, SIZE, INNER), 0


def only_some_heads_lose_dimensions(get):
    get("self_attention/key/kernel")[:, 0] = 0
    get("self_attention/value/kernel")[:, 1, :3] = 0
    return Block(HEADS, SIZE, SIZE, INNER), 3


RULES = (
    neurons_without_outputs,
    neurons_without_inputs,
    no_neuron_left,
    heads_without_outputs,
    heads_without_values,
    no_head_left,
    values_without_outputs,
    values_without_inputs,
    keys_without_inputs,
    queries_without_inputs_and_bias,
    one_constant_query_is_no_zero,
    constant_queries_become_one,
    uniform_attention,
    only_some_heads_lose_dimensions,
)


@pytest.fixture(scope="module")
def whole_logits(batch):
    return one_by_one(export_graph.ExportGraph(weights()), batch)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_cuts_what_it_says_and_keeps_the_function(rule, batch, whole_logits):
    masked = weights()
    full = masked.architecture.each_block()[0]
    block, folded = rule(lambda name: layer(masked, 1, name))
    small, report = shrinking.shrink(masked)
    assert small.architecture.each_block() == (full, block, full)
    assert report.layers[1] == shrinking.LayerReport(full, block, folded)
    assert [report.layers[i].folded for i in (0, 2)] == [0, 0]
    expected = one_by_one(export_graph.ExportGraph(masked), batch)
    assert np.abs(expected - whole_logits).max() > 1e-3
    found = one_by_one(export_graph.ExportGraph(small), batch)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # What is shrunk is as small as it can be.
    again, second = shrinking.shrink(small)
    assert again.architecture == small.architecture
    assert second.parameters_before == second.parameters_after == report.parameters_after


def test_shrinking_leaves_its_input_as_it_is():
    masked = weights()
    for rule in RULES:
        rule(lambda name: layer(masked, 1, name))
    kept = {name: value.copy() for name, value in masked.encoder.items()}
    shrinking.shrink(masked)
    assert all(np.array_equal(masked.encoder[name], value) for name, value in kept.items())


def test_a_network_without_zeros_is_left_alone():
    whole = weights()
    small, report = shrinking.shrink(whole)
    assert small.architecture == whole.architecture
    assert small.architecture.blocks == ()
    for name, value in whole.encoder.items():
        np.testing.assert_array_equal(small.encoder[name], value)
    assert report.zeros_before == sum(report.zeros_after.values()) == 0


def random_pattern(activation, seed):
    """Zeroes of every kind in every layer; other ones in each."""
    masked, random = weights(activation, seed=seed), np.random.default_rng(seed)

    def some(*shape):
        return random.random(shape) < 0.4

    for i in range(LAYERS):
        layer(masked, i, "output/kernel")[some(INNER)] = 0
        layer(masked, i, "intermediate/kernel")[:, some(INNER)] = 0
        layer(masked, i, "self_attention/attention_output/kernel")[some(HEADS, SIZE)] = 0
        for part in ("query", "key", "value"):
            layer(masked, i, f"self_attention/{part}/kernel")[:, some(HEADS, SIZE)] = 0
        layer(masked, i, "self_attention/query/bias")[some(HEADS, SIZE)] = 0
        layer(masked, i, "self_attention/attention_output/kernel")[i] = 0
        # Nothing can be done about these.
        layer(masked, i, "output/kernel")[:, some(HIDDEN)] = 0
        layer(masked, i, "intermediate/kernel")[some(HIDDEN)] = 0
    return masked


def save(saved, folder, root):
    """Through the same lines as a run: the encoder tells the architecture before."""
    pair = tiny_bert.write_pair(root / "pair")
    encoder = loading.load(encoders.resolve(str(pair), ""), seq_length=12)
    full = tiny_bert.architecture(LAYERS, HIDDEN, HEADS, saved.architecture.activation)
    encoder = dataclasses.replace(encoder, architecture=full)
    saving.save(from_weights(saved), encoder, TASK, folder)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_all_rules_together_keep_the_function(activation, seed, batch):
    masked = random_pattern(activation, seed)
    small, report = shrinking.shrink(masked)
    blocks = small.architecture.each_block()
    assert len(set(blocks)) == LAYERS  # Each layer has its own widths,
    assert any(block.key_dim != block.value_dim for block in blocks)
    assert all(block.heads < HEADS and block.inner_dim < INNER for block in blocks)
    assert report.parameters_after < report.parameters_before
    expected = logits(masked, batch)
    assert np.ptp(expected) > 0.1  # Otherwise any network would do.
    np.testing.assert_allclose(logits(small, batch), expected, atol=1e-5)
    found = one_by_one(export_graph.ExportGraph(small), batch)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # The tests' own BERT, which knows nothing of blocks, agrees as well.
    pooled = tiny_bert.forward(small.architecture, dict(small.encoder), batch)["pooled_output"]
    np.testing.assert_allclose(pooled @ small.kernel + small.bias, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["random", "nothing left"])
def test_a_shrunk_network_is_saved_loaded_and_exported(kind, batch, tmp_path):
    masked = random_pattern("gelu", 3)
    if kind == "nothing left":
        for name in ("output/kernel", "self_attention/attention_output/kernel"):
            layer(masked, 0, name)[:] = 0
    small, _ = shrinking.shrink(masked)
    expected = logits(masked, batch)
    save(small, tmp_path / "model", tmp_path)
    read = read_weights(tmp_path / "model")
    assert read.architecture == small.architecture
    assert read.architecture.blocks
    if kind == "nothing left":
        assert read.architecture.blocks[0] == Block(1, 1, 1, 1)
    loaded = load_classifier(tmp_path / "model")
    for found in (
        saving.load_predict_fn(tmp_path / "model")(batch),
        classifiers.predict_fn(loaded, Padded())(batch),
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (
        sum(v.size for v in read.encoder.values()) + read.kernel.size + 3
        == (classifiers.count_parameters(loaded)["total"])
    )
    float32 = convert.convert(tmp_path / "model", (12,))
    found = litert.LiteModel(float32).predict(batch)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    file = quantize.quantize(float32, recipes.get("dynamic_int8").rules)
    noise = litert.LiteModel(file).predict(batch) - expected
    assert np.sqrt(np.mean(np.square(noise))) / expected.std() < 0.2


def test_the_network_is_trainable_and_of_plain_layers(batch):
    whole = weights()
    layer(whole, 0, "output/kernel")[:20] = 0
    model, report = shrinking.shrink_model(from_weights(whole, 0.3), whole.architecture)
    assert report.layers[0].after.inner_dim == 12
    assert model.get_layer(heads.DROPOUT).rate == 0.3
    kinds = {type(part) for part in model.submodules}
    # The encoder, and within it no class of ours: nothing that would hide a weight.
    assert {kind for kind in kinds if kind.__module__.startswith("bert_glue_tf")} == {BertEncoder}
    model.compile(tf_keras.optimizers.SGD(0.1), TASK.problem.keras_loss())
    before = model.get_weights()
    model.train_on_batch(batch, np.array([0, 1, 2]))
    changed = [not np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True)]
    # All but the biases of the keys, which a softmax does not see (rounding apart).
    assert sum(changed) >= len(before) - LAYERS


def test_parameters_and_zeros_counted_by_hand():
    masked = weights()
    layer(masked, 0, "output/kernel")[:10] = 0  # 10 neurons of 16 + 1 + 16 weights
    layer(masked, 1, "self_attention/attention_output/kernel")[3] = 0  # 1 head
    layer(masked, 2, "self_attention/key/kernel")[:, 0, :] = 0  # padded: the others need them
    layer(masked, 2, "intermediate/kernel")[5] = 0  # a hidden feature: 32 weights
    layer(masked, 2, "output/kernel")[3, 4] = 0
    layer(masked, 2, "output/bias")[3] = 0
    layer(masked, 1, "self_attention/query/kernel")[:, 0, 0] = 0  # with its bias: constant
    masked.encoder["word_embeddings/embeddings"][7] = 0
    small, report = shrinking.shrink(masked)
    total = sum(value.size for value in masked.encoder.values()) + HIDDEN * 3 + 3
    head = 3 * (HIDDEN * SIZE + SIZE) + SIZE * HIDDEN
    assert report.parameters_before == total
    assert report.parameters_after == total - 10 * 33 - head
    assert report.zeros_before == (
        10 * HIDDEN + SIZE * HIDDEN + HIDDEN * SIZE + INNER + 1 + 1 + HIDDEN + HIDDEN
    )
    assert report.zeros_after == {
        "padding": 2 * (HIDDEN * SIZE + SIZE),  # query and key of the head that lost its own
        "constant_queries": HIDDEN,
        "hidden_features": INNER,
        "scattered": 1,
        "embeddings": HIDDEN,
        "vectors": 1,
    }
    assert sum(report.zeros_after.values()) == sum(
        np.count_nonzero(value == 0) for value in small.encoder.values()
    )
    assert report.lines() == [
        "layer 1: neurons 32 -> 22",
        "layer 2: heads 4 -> 3",
        f"parameters: {total:,} -> {total - 330 - head:,} ({(330 + head) / total:.1%} removed)",
        f"exact zeros: {report.zeros_before} -> 202, which cannot be cut",
        "  136 fill up narrower heads, since the heads of a layer share their sizes",
        "  16 are a constant query's, of which only the bias counts",
        "  32 are whole lines along the hidden features, which every layer shares",
        "  1 stand alone inside lines with other values",
        "  16 stand in the embeddings, where a row belongs to a piece",
        "  1 stand in biases and layer norms",
    ]


def test_the_score_scale_follows_the_keys_size():
    """Keras divides by the root of the key's size: from 4 to 2, the query shrinks by as much."""
    masked = weights()
    layer(masked, 0, "self_attention/key/kernel")[:, :, 2:] = 0
    small, _ = shrinking.shrink(masked)
    np.testing.assert_allclose(
        layer(small, 0, "self_attention/query/kernel"),
        layer(masked, 0, "self_attention/query/kernel")[:, :, :2] / np.sqrt(2),
        rtol=1e-6,
    )


def test_an_architecture_goes_through_json():
    blocks = (Block(1, 2, 3, 4), Block(5, 6, 7, 8))
    whole = tiny_bert.architecture()
    for architecture in (whole, dataclasses.replace(whole, blocks=blocks)):
        text = json.dumps(dataclasses.asdict(architecture))
        assert Architecture(**json.loads(text)) == architecture
    with refuses(ValueError, "2 blocks", "3 layers"):
        dataclasses.replace(whole, layers=3, blocks=blocks)


def test_a_damaged_description_of_a_saved_model_is_refused(tmp_path):
    folder = tmp_path / "model"
    save(weights(), folder, tmp_path)
    whole = json.loads((folder / "architecture.json").read_text())
    part = {name: value for name, value in whole["encoder"].items() if name != "hidden_size"}
    for encoder, told in ((part, "hidden_size"), ({**part, "extra": 1}, "extra"), ([1], "mapping")):
        (folder / "architecture.json").write_text(json.dumps({**whole, "encoder": encoder}))
        with refuses(UserError, folder, told):
            read_weights(folder)
    for text in ("[1]", "{", "7"):
        (folder / "architecture.json").write_text(text)
        with refuses(UserError, folder):
            read_weights(folder)


def test_the_architecture_is_that_of_the_weights():
    shapes = {
        "query/kernel": (HIDDEN, 3, 2),
        "key/bias": (3, 2),
        "value/kernel": (HIDDEN, 3, 5),
        "attention_output/kernel": (3, 5, HIDDEN),
    }
    whole = weights()
    block = Block(heads=3, key_dim=2, value_dim=5, inner_dim=7)
    uniform = whole.architecture.each_block()
    mixed = dataclasses.replace(
        whole.architecture, blocks=(uniform[0], block, uniform[2]), output_dropout=0.4
    )
    for name, shape in shapes.items():
        assert mixed.shapes()[f"transformer/layer_1/self_attention/{name}"] == shape
    drawn = {name: np.zeros(shape, np.float32) for name, shape in mixed.shapes().items()}
    assert architecture_of(drawn, mixed) == mixed
    narrow = dataclasses.replace(mixed, blocks=(block,) * 3)
    drawn = {name: np.zeros(shape, np.float32) for name, shape in narrow.shapes().items()}
    found = architecture_of(drawn, whole.architecture)
    assert (found.heads, found.inner_dim) == (3, 7)
    assert found.blocks == (block,) * 3
    drawn["transformer/layer_1/self_attention/key/bias"] = np.zeros((3, 3), np.float32)
    with refuses(NotBertError, "layer_1", "key/bias", "[3, 3]", "[3, 2]"):
        architecture_of(drawn, whole.architecture)


def test_a_shrunk_encoder_as_a_saved_model_is_a_bert_of_ours(batch, tmp_path):
    small, _ = shrinking.shrink(random_pattern("relu", 4))
    pair = tiny_bert.write_pair(tmp_path / "pair")
    encoder = build_encoder(small.architecture, small.encoder.__getitem__)
    importing.write_encoder(encoder, tmp_path / "small")
    source = encoders.resolve(str(tmp_path / "small"), str(pair / "preprocessing"))
    loaded = loading.load(source, family="bert", seq_length=12)
    assert loaded.architecture == small.architecture
    assert difference(loaded.layer(batch), encoder(batch)) < 1e-5


def test_layers_are_dropped_and_numbered_anew(batch):
    whole = weights(layers=4)
    short = cutting.drop_layers(whole, [0, 3])
    assert short.architecture == dataclasses.replace(whole.architecture, layers=2)
    np.testing.assert_array_equal(
        layer(short, 1, "intermediate/kernel"), layer(whole, 3, "intermediate/kernel")
    )
    # The same as a network whose layers 1 and 2 are skipped.
    reference = dict(whole.encoder)
    for name in [name for name in reference if name.startswith("transformer/")]:
        reference[name.replace("layer_3", "layer_1")] = reference[name]
    at_two = dataclasses.replace(whole.architecture, layers=2)
    pooled = tiny_bert.forward(at_two, reference, batch)["pooled_output"]
    np.testing.assert_allclose(logits(short, batch), pooled @ whole.kernel + whole.bias, atol=1e-5)
    layer(whole, 3, "output/kernel")[:5] = 0
    small, _ = shrinking.shrink(whole)
    assert [b.inner_dim for b in cutting.drop_layers(small, [1, 3]).architecture.blocks] == [
        INNER,
        INNER - 5,
    ]


@pytest.mark.parametrize("keep", [[], [1, 0], [0, 0], [0, 3], [-1, 0]])
def test_layers_that_cannot_be_kept_are_refused(keep):
    with refuses(ValueError, "layers 0 to 2"):
        cutting.drop_layers(weights(), keep)


def test_rows_of_the_embedding_are_cut(batch):
    whole = weights()
    ids = np.unique(batch["input_word_ids"])
    small = cutting.keep_pieces(whole, ids)
    assert small.architecture == dataclasses.replace(whole.architecture, vocab_size=len(ids))
    renamed = batch | {
        "input_word_ids": np.searchsorted(ids, batch["input_word_ids"]).astype(np.int32)
    }
    np.testing.assert_array_equal(logits(small, renamed), logits(whole, batch))
    for wrong in ([], [1, 1], [-1, 0], [0, len(tiny_bert.VOCABULARY)]):
        with refuses(ValueError, "rows"):
            cutting.keep_pieces(whole, wrong)
