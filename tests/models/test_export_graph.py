"""The graph for TFLite gives the logits of the Keras model that it was made from."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_bert
from messages import refuses
from tiny_classifier import classifier, saved_weights

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.data.layouts import Padded
from bert_glue_tf.models import classifiers, encoders, loading, saving
from bert_glue_tf.models.bert import export_graph
from bert_glue_tf.models.bert.architecture import ACTIVATIONS
from bert_glue_tf.models.bert.classifier_weights import SavedWeights
from bert_glue_tf.models.probing import probe
from bert_glue_tf.models.saved_model.graph import SavedGraph


def one_by_one(graph, batch):
    length = batch["input_mask"].shape[1]
    function = graph.function(length)
    return np.concatenate(
        [
            function(**{name: value[i : i + 1] for name, value in batch.items()})["logits"]
            for i in range(len(batch["input_mask"]))
        ]
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("layers", [1, 3])
def test_logits_equal_the_keras_models(activation, layers):
    architecture = tiny_bert.architecture(layers=layers, activation=activation)
    model, drawn = classifier(architecture)
    batch = probe(architecture.vocab_size, batch=3, length=12)
    expected = classifiers.predict_fn(model, Padded())(batch)
    graph = export_graph.ExportGraph(saved_weights(model, architecture, drawn))
    assert np.ptp(expected) > 0.1  # Otherwise any graph would do.
    np.testing.assert_allclose(one_by_one(graph, batch), expected, atol=2e-5)


def test_functions_of_several_lengths_share_their_weights_and_agree():
    architecture = tiny_bert.architecture()
    model, drawn = classifier(architecture)
    graph = export_graph.ExportGraph(saved_weights(model, architecture, drawn))
    batch = probe(architecture.vocab_size, batch=2, length=12)
    short = one_by_one(graph, batch)
    variables = len(graph.variables)
    longer = {name: np.pad(value, ((0, 0), (0, 20))) for name, value in batch.items()}
    np.testing.assert_allclose(one_by_one(graph, longer), short, atol=2e-5)
    assert len(graph.variables) == variables


def test_padding_is_masked_whatever_stands_in_it():
    architecture = tiny_bert.architecture()
    model, drawn = classifier(architecture)
    graph = export_graph.ExportGraph(saved_weights(model, architecture, drawn))
    batch = probe(architecture.vocab_size, batch=3, length=12)
    other = dict(batch)
    other["input_word_ids"] = np.where(
        batch["input_mask"] == 1, batch["input_word_ids"], architecture.vocab_size - 1
    ).astype(np.int32)
    assert not np.array_equal(other["input_word_ids"], batch["input_word_ids"])
    np.testing.assert_allclose(one_by_one(graph, other), one_by_one(graph, batch), atol=1e-5)


@pytest.mark.parametrize("length", [128, 256, 512])
def test_much_padding_is_left_out_to_the_last_bit_also_by_sharp_attention(length):
    """A mask that only lowers the scores of padding leaks where there is a lot of it."""
    architecture = tiny_bert.architecture()
    model, drawn = classifier(architecture)
    queries = [name for name in drawn if name.endswith("query/kernel")]
    drawn = {**drawn, **{name: 10.0 * drawn[name] for name in queries}}
    for variable in model.weights:
        if any(name in variable.name for name in queries):
            variable.assign(10.0 * variable)
    graph = export_graph.ExportGraph(saved_weights(model, architecture, drawn))
    batch = probe(architecture.vocab_size, batch=2, length=12)
    expected = classifiers.predict_fn(model, Padded())(batch)
    longer = {
        name: np.pad(value, ((0, 0), (0, length - 12)), constant_values=0)
        for name, value in batch.items()
    }
    found = one_by_one(graph, longer)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    longer["input_word_ids"][longer["input_mask"] == 0] = architecture.vocab_size - 1
    np.testing.assert_array_equal(one_by_one(graph, longer), found)


def test_layers_may_differ_in_heads_and_inner_width():
    architecture = tiny_bert.architecture(layers=2, hidden=16, heads=4)
    _, drawn = classifier(architecture)
    narrow = dict(drawn)
    prefix = "transformer/layer_1"
    for part in ("query", "key", "value"):
        for leaf, axis in (("kernel", 1), ("bias", 0)):
            name = f"{prefix}/self_attention/{part}/{leaf}"
            narrow[name] = np.take(drawn[name], [0, 2], axis)
    output = f"{prefix}/self_attention/attention_output/kernel"
    narrow[output] = drawn[output][[0, 2]]
    narrow[f"{prefix}/intermediate/kernel"] = drawn[f"{prefix}/intermediate/kernel"][:, :5]
    narrow[f"{prefix}/intermediate/bias"] = drawn[f"{prefix}/intermediate/bias"][:5]
    narrow[f"{prefix}/output/kernel"] = drawn[f"{prefix}/output/kernel"][:5]
    # The same network at full width: what is cut out adds nothing.
    masked = {name: value.copy() for name, value in drawn.items()}
    masked[output][[1, 3]] = 0
    masked[f"{prefix}/output/kernel"][5:] = 0
    head = np.eye(16, 2, dtype=np.float32), np.zeros(2, np.float32)
    batch = probe(architecture.vocab_size, batch=2, length=8)
    small = export_graph.ExportGraph(SavedWeights(architecture, narrow, *head))
    full = export_graph.ExportGraph(SavedWeights(architecture, masked, *head))
    np.testing.assert_allclose(one_by_one(small, batch), one_by_one(full, batch), atol=1e-5)


def test_a_length_beyond_the_positions_is_refused():
    architecture = tiny_bert.architecture(positions=8)
    model, drawn = classifier(architecture)
    graph = export_graph.ExportGraph(saved_weights(model, architecture, drawn))
    with refuses(UserError, "length 9", "8 positions"):
        graph.function(9)


@pytest.mark.slow
def test_a_saved_model_of_each_family_gives_its_own_logits(tmp_path):
    pair = tiny_bert.write_pair(tmp_path / "pair")
    source = encoders.resolve(str(pair), "")
    encoder = loading.load(source, seq_length=16)
    task = tasks.get("cola")
    model = classifiers.build_classifier(encoder.layer, task, dropout=0.0, seed=3)
    batch = probe(encoder.architecture.vocab_size, batch=3, length=16)
    expected = classifiers.predict_fn(model, Padded())(batch)
    saving.save(model, encoder, task, tmp_path / "bert")
    saved_model = tiny_bert.saved_model_backbone(None, encoder.preprocessing_path)
    saving.save(model, saved_model, task, tmp_path / "saved_model")
    for name, kind in (("bert", export_graph.ExportGraph), ("saved_model", SavedGraph)):
        graph = saving.graph(tmp_path / name)
        assert isinstance(graph, kind)
        np.testing.assert_allclose(one_by_one(graph, batch), expected, atol=2e-5)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with refuses(UserError, tmp_path):
        saving.graph(tmp_path)
