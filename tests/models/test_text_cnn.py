"""Networks of convolutions over word vectors: what they compute, begin with, and are cut to."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tiny_cnn
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import packing, tasks
from bert_glue_tf.data.preprocessing import INPUTS, TokenizedTexts
from bert_glue_tf.models import classifiers, encoders, families, loading
from bert_glue_tf.models.probing import probe
from bert_glue_tf.models.text_cnn import cutting, importing
from bert_glue_tf.models.text_cnn.architecture import DESIGNS, Architecture
from bert_glue_tf.models.text_cnn.classifier_weights import weights_of
from bert_glue_tf.models.text_cnn.export_graph import ExportGraph

SHAPES = tiny_cnn.architecture()


@pytest.fixture(scope="module")
def batch():
    return probe(len(tiny_cnn.VOCABULARY), batch=3, length=12)


def test_it_computes_what_numpy_does(batch):
    drawn = tiny_cnn.weights(SHAPES)
    found = tiny_cnn.built(SHAPES)(batch)
    for name, value in tiny_cnn.forward(SHAPES, drawn, batch).items():
        np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)


def test_an_answer_does_not_depend_on_the_padding(batch):
    layer = tiny_cnn.built(SHAPES)
    longer = {name: np.pad(value, ((0, 0), (0, 5))) for name, value in batch.items()}
    whole, padded = layer(batch), layer(longer)
    np.testing.assert_allclose(whole["pooled_output"], padded["pooled_output"], atol=1e-6)
    np.testing.assert_allclose(
        whole["sequence_output"], padded["sequence_output"][:, :12], atol=1e-6
    )
    assert not padded["sequence_output"].numpy()[:, 12:].any()


def test_packed_texts_get_the_answers_of_padded_ones(batch):
    splits = np.cumsum([0, *batch["input_mask"].sum(1)])
    flat = {name: batch[name][batch["input_mask"] > 0] for name in INPUTS}
    tokens = TokenizedTexts(flat["input_word_ids"], flat["input_type_ids"].astype(np.int8), splits)
    layer = tiny_cnn.built(SHAPES)
    packed = layer(packing.pack(tokens, np.arange(3), 24, 2))
    padded = layer(batch)
    np.testing.assert_allclose(packed["pooled_output"], padded["pooled_output"], atol=1e-5)
    assert packed["sequence_output"].shape == (2, 24, 16)


def test_the_designs_are_those_of_the_documents():
    sizes = {}
    for name, design in DESIGNS.items():
        tables = tuple((table, {"general": 300, "domain": 100}[table]) for table in design.tables)
        shapes = Architecture(8520, tables, design.layers, design.dropouts).shapes()
        sizes[name] = [shape for weight, shape in shapes.items() if weight.endswith("kernel")]
    tail = [(5, 256, 256)] * 2
    assert sizes["conv4"] == [(3, 300, 128), (5, 128, 256), *tail]
    assert sizes["conv6"] == [(3, 300, 128), (5, 128, 256), *tail, *tail]
    assert sizes["de_cnn"] == [(5, 400, 128), (3, 400, 128), (5, 256, 256), *tail]
    assert DESIGNS["de_cnn"].dropouts == (0.55, 0.45, 0.45, 0.45)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"layers": (((4, 2),),), "dropouts": (0.1,)}, "1, 3, 5"),
        ({"layers": (((4, 3), (2, 3)),), "dropouts": (0.1,)}, "different widths"),
        ({"layers": (((0, 3),),), "dropouts": (0.1,)}, "at least one filter"),
        ({"dropouts": (0.1,)}, "dropouts"),
        ({"layers": ()}, "a layer"),
    ],
)
def test_shapes_that_no_network_has_are_refused(changes, named):
    with refuses(ValueError, named):
        dataclasses.replace(SHAPES, **changes)


def test_its_vectors_are_frozen_and_its_convolutions_are_not():
    layer = tiny_cnn.built(SHAPES)
    frozen = {one.name for one in layer.variables} - {one.name for one in layer.trainable_variables}
    assert {name.split(":")[0] for name in frozen} == {
        "words/general/embeddings",
        "words/domain/embeddings",
    }


def test_a_run_draws_its_convolutions_by_its_seed(tmp_path):
    folder = tiny_cnn.write_folder(tmp_path / "words")
    backbone = loading.load(encoders.resolve(str(folder)), seq_length=16)
    assert backbone.family == "text_cnn"
    assert backbone.positions == 512
    one, again, other = (dict(backbone.with_first_weights(seed).weights()) for seed in (1, 1, 2))
    vectors = tiny_cnn.weights(SHAPES)
    for name, value in one.items():
        np.testing.assert_array_equal(value, again[name])
        if name.startswith("words/"):
            np.testing.assert_array_equal(value, vectors[name])
        else:
            assert not np.array_equal(value, other[name])
            width, inputs, _ = SHAPES.shapes()[name.rpartition("/")[0] + "/kernel"]
            assert 0.5 < np.abs(value).max() * np.sqrt(width * inputs) <= 1.0


# --- cut out ---


def test_what_gives_nothing_or_is_not_read_is_cut_out(batch):
    drawn = tiny_cnn.weights(SHAPES)
    head = np.random.default_rng(1).normal(size=(16, 3)).astype(np.float32)
    drawn["conv_1/width_5/kernel"][..., 1] = 0  # Gives nothing,
    drawn["conv_1/width_5/bias"][1] = -0.5
    drawn["conv_1/width_3/kernel"][..., 2] = 0  # gives something still,
    drawn["conv_1/width_3/bias"][2] = 0.5
    drawn["conv_2/width_3/kernel"][:, 7] = 0  # reads nothing of the fourth filter of width 3,
    head[[0, 5]] = 0  # and nothing reads these.
    left, shapes, rows = cutting.cut(drawn, SHAPES, head)
    assert shapes.layers == (((3, 5), (7, 3)), ((14, 3),))
    assert left["conv_2/width_3/kernel"].shape == (3, 10, 14)
    expected, found = (
        tiny_cnn.forward(one, weights, batch)["pooled_output"] @ last
        for one, weights, last in ((SHAPES, drawn, head), (shapes, left, rows))
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_convolution_keeps_a_filter():
    nothing = {name: np.zeros_like(value) for name, value in tiny_cnn.weights(SHAPES).items()}
    _, shapes, rows = cutting.cut(nothing, SHAPES, np.zeros((16, 3), np.float32))
    assert shapes.layers == (((1, 5), (1, 3)), ((1, 3),))
    assert rows.shape == (1, 3)
    _, shapes, rows = cutting.cut(nothing, SHAPES, None)
    assert (shapes.layers[-1], rows) == (((16, 3),), None)


@pytest.mark.parametrize(("head", "width"), [("linear", 8), ("crf", 8), ("gru", 16)])
def test_of_a_tagger_the_last_layer_is_cut_where_the_dense_layer_reads_it(head, width, batch):
    """A head with weights of its own reads the features that it was trained with."""
    task = tasks.get("laptop14_aspects")
    backbone = tiny_cnn.backbone(tiny_cnn.built(SHAPES), SHAPES)
    model = classifiers.build_classifier(
        backbone.layer, task, dropout=0.0, seed=1, tagging_head=head
    )
    for variable in backbone.layer.variables:
        if "conv_2" in variable.name:  # Half of the last layer's filters give nothing.
            value = variable.numpy()
            value[..., ::2] = 0
            variable.assign(value)
    smaller, report = backbone.shrink(model)
    assert backbone.describe(smaller)["encoder"]["layers"][-1] == ((width, 3),)
    assert report.after[-1] == width
    np.testing.assert_allclose(smaller(batch), model(batch), atol=1e-5)
    # The file gives each position what the model gives it.
    graph = ExportGraph(weights_of(smaller, SHAPES)).function(12)
    one = {name: value[1:2] for name, value in batch.items()}
    words = int(batch["input_mask"][1].sum())
    found = graph(**one)["logits"]
    assert found.shape == (1, 12, 3)
    np.testing.assert_allclose(found[0, :words], model(batch)[1, :words], atol=1e-5)


# --- folders that are wrong ---


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"design": "conv5"}, "conv4"),
        ({"tables": ["general", "legal"]}, "legal"),
        ({"layers": [[[4, 2]]]}, "1, 3, 5"),
    ],
)
def test_a_folder_that_describes_no_network_is_refused(tmp_path, said, named):
    folder = tiny_cnn.write_folder(tmp_path / "words", **said)
    with refuses(UserError, folder, named):
        families.get("text_cnn").check_weights("text_cnn", folder)


def test_vectors_that_do_not_fit_the_vocabulary_are_refused(tmp_path):
    folder = tiny_cnn.write_folder(tmp_path / "words")
    path = folder / importing.VOCABULARY
    words = path.read_text()
    path.write_text(words + "extra\n")
    with refuses(UserError, path, importing.VECTORS, "general"):
        importing.read(folder)
    path.write_text(words.replace("[UNK]\n", ""))
    with refuses(UserError, path, "[UNK]"):
        importing.read(folder)
    path.write_text(words + "the\n")
    with refuses(UserError, path, "more than once"):
        importing.read(folder)
    path.write_text(words)
    (folder / importing.VECTORS).write_bytes(b"nothing")
    with refuses(UserError, folder / importing.VECTORS):
        importing.read(folder)
    (folder / importing.DESIGN).write_text("{")
    with refuses(UserError, folder / importing.DESIGN):
        importing.read(folder)


def test_a_folder_is_written_as_a_whole(tmp_path):
    family = families.get("text_cnn")
    vectors = {"general": np.ones((2, 3)), "domain": np.full((2, 2), 2.0)}
    folder = tmp_path / "new" / "de_cnn"
    with refuses(UserError, "domain"):
        family.write_untrained(folder, "de_cnn", ["a", "b"], {"general": vectors["general"]}, {})
    assert not folder.exists()
    family.write_untrained(folder, "de_cnn", ["a", "b"], vectors, {"licence": "CC0"})
    found = importing.read(folder)
    assert found.words == ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b")
    assert found.said["licence"] == "CC0"
    general = found.tables["words/general/embeddings"]
    assert general.dtype == np.float32
    np.testing.assert_array_equal(general[:, 0], [0, 0, 0, 0, 1, 1])
    with refuses(UserError, folder, "is there already"):
        family.write_untrained(folder, "conv4", ["a", "b"], vectors, {})
