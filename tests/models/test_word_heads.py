"""Contract suite: every head that tags words."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tiny_bert
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import preprocessing, tasks
from bert_glue_tf.data.layouts import Packed, Padded
from bert_glue_tf.data.preprocessing import TokenizedTexts
from bert_glue_tf.data.words import Words
from bert_glue_tf.evaluation import evaluator
from bert_glue_tf.models import classifiers, heads, saving
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.models.word_heads import registry
from bert_glue_tf.models.word_heads.names import PLAIN, names

TASK = tasks.get("rest16_e2e")
SHAPES = tiny_bert.architecture()


def built(name):
    """A classifier on the tiny encoder, with weights that are not near zero."""
    encoder = build_encoder(SHAPES, tiny_bert.weights(SHAPES).__getitem__)
    model = classifiers.build_classifier(encoder, TASK, dropout=0.1, seed=1, tagging_head=name)
    random = np.random.default_rng(3)
    own = [*model.get_layer(heads.CLASSIFIER).weights, *heads.word_head_variables(model).values()]
    for weight in own:
        weight.assign(random.normal(scale=0.5, size=weight.shape))
    return model


def texts(lengths):
    """Texts of so many tokens, each a word but the first and the last."""
    random = np.random.default_rng(4)
    ids = random.integers(5, SHAPES.vocab_size, sum(lengths)).astype(np.int32)
    numbers = [[-1, *range(length - 2), -1] for length in lengths]
    words = Words(np.int32(np.concatenate(numbers)), np.int32(lengths) - 2)
    splits = np.concatenate([[0], np.cumsum(lengths)])
    return TokenizedTexts(ids, np.zeros(len(ids), np.int8), splits, words=words)


TOKENS = texts([7, 3, 11, 5])


def answers(model, layout):
    return evaluator.predict(classifiers.predict_fn(model, layout), TOKENS, 4, layout)


@pytest.fixture(params=names())
def name(request):
    return request.param


@pytest.fixture
def model(name):
    return built(name)


def test_the_folder_is_the_list():
    assert names() == ("linear", "crf", "gru", "self_attention", "transformer")
    for one in names():
        assert registry.get(one).__module__.endswith(f".{one}")
    with refuses(UserError, "--tagging_head=lstm", "linear, crf"):
        registry.get("lstm")


def test_a_head_that_is_called_plain_hands_on_what_it_reads_and_no_other_does(name):
    hidden = tf.constant(np.random.default_rng(0).normal(size=(2, 3, 4)), tf.float32)
    found = registry.build(name, width=3)(hidden, tf.ones([2, 3], bool))
    assert (found.shape == hidden.shape and bool(tf.reduce_all(found == hidden))) == (name in PLAIN)


def test_packed_texts_are_tagged_as_padded_ones_whatever_the_padding(model, name):
    padded = answers(model, Padded(lengths=(11,)))
    assert padded.shape == (4, 9, TASK.problem.width)
    np.testing.assert_allclose(answers(model, Padded(lengths=(16,))), padded, atol=2e-5)
    np.testing.assert_allclose(answers(model, Packed(width=16)), padded, atol=2e-5)
    assert heads.word_head_name(model) == name
    # Behind a text's last word there is nothing.
    assert not padded[1, 1:].any()
    assert padded[1, :1].any()


def test_all_its_weights_learn_and_have_a_scope_of_the_classifier(model):
    layer = heads.word_head_of(model)
    features = {key: tf.constant(value) for key, value in TOKENS.batch(range(4), 11).items()}
    labels = TOKENS.spread(np.arange(36, dtype=np.int16).reshape(4, 9) % 13, -1)
    with tf.GradientTape() as tape:
        logits = model(features, training=True)
        losses = layer.losses(tf.constant(labels), logits)
        if losses is None:
            losses = TASK.problem.keras_loss().call(tf.constant(labels), logits)
        loss = tf.reduce_mean(losses)
    assert losses.shape == (4,)
    found = tape.gradient(loss, layer.trainable_weights)
    for weight, gradient in zip(layer.trainable_weights, found, strict=True):
        assert np.abs(gradient).max() > 0, weight.name
    # Nothing asks for the pooled output, whose weights are left as they are.
    assert not [one.name for one in model.trainable_weights if "pooler" in one.name]
    names_of = heads.word_head_variables(model)
    assert all(one.startswith("word_head/") for one in names_of)


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory):
    return tiny_bert.write_preprocessing(tmp_path_factory.mktemp("heads") / "preprocessing")


@pytest.mark.slow
def test_a_saved_one_is_the_same_and_so_is_its_file(model, name, preprocessed, tmp_path):
    from bert_glue_tf.export import convert, litert

    expected = answers(model, Padded(lengths=(11,)))
    backbone = tiny_bert.backbone(model.layers[3], SHAPES, preprocessed)
    saving.save(model, backbone, TASK, tmp_path / "model")
    assert saving.read_description(tmp_path / "model")["tagging_head"] == name
    again = saving.load_classifier(tmp_path / "model")
    np.testing.assert_allclose(answers(again, Padded(lengths=(11,))), expected, atol=2e-5)
    saved = saving.SavedClassifier.load(tmp_path / "model")
    layout = saved.layout((16,))
    found = evaluator.predict(saved.predict_fn(layout), TOKENS, 4, layout)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    lite = litert.LiteModel(convert.convert(tmp_path / "model", [11]))
    assert lite.classes == TASK.problem.width
    found = TOKENS.answers(lite.predict(TOKENS.batch(range(4), 11)), range(4))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    if name == "crf":
        assert len(heads.word_head_of(again).learned()["transitions"]) == TASK.problem.width + 2


def test_words_are_found_in_the_pieces_of_a_text_however_it_is_cut(preprocessed):
    loaded = preprocessing.load(str(preprocessed), str(preprocessed))
    given = (["the xyz cat .", "good-bye \u00ad men", "a"],)
    built_of = preprocessing.build(loaded, ("tokens",), 8, has_words=True)
    tokens = preprocessing.tokenize(built_of, given)
    whole = preprocessing.build(loaded, ("tokens",), 8)
    np.testing.assert_array_equal(tokens.ids, preprocessing.tokenize(whole, given).ids)
    # "xyz" has three pieces; "good-bye" is cut after three of its own; a soft hyphen has none.
    rows = [list(tokens.words.numbers[a:b]) for a, b in zip(*edges(tokens), strict=True)]
    assert rows[0] == [-1, 0, 1, 1, 1, 2, 3, -1]
    assert rows[1][:4] == [-1, 0, 0, 0]
    assert rows[2] == [-1, 0, -1]
    assert tokens.words.counts.tolist() == [4, 3, 1]
    first = tokens.spread(np.arange(12).reshape(3, 4), -1)
    assert first[0].tolist() == [-1, 0, 1, -1, -1, 2, 3, -1]
    every = tokens.spread(np.arange(12).reshape(3, 4), -1, all_pieces=True)
    assert every[0].tolist() == [-1, 0, 1, 1, 1, 2, 3, -1]
    # Whatever learned, a word is answered by its first piece.
    numbered = np.tile(np.arange(8.0)[None, :, None], (3, 1, 2))
    assert tokens.answers(numbered, range(3))[0, :, 0].tolist() == [1, 2, 5, 6]
    tail = preprocessing.build(loaded, ("tokens",), 5, "tail", has_words=True)
    cut = preprocessing.tokenize(tail, given)
    assert cut.words.numbers[: cut.lengths[0]].tolist() == [-1, 1, 2, 3, -1]
    # The first word was not read, and has zeros; of the second one the last piece was.
    outputs = np.ones((3, 5, 2), np.float32)
    assert cut.answers(outputs, range(3))[0].tolist() == [[0, 0], [1, 1], [1, 1], [1, 1]]


def edges(tokens):
    return tokens.row_splits[:-1], tokens.row_splits[1:]
