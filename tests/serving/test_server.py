"""The SavedModel of a run answers text without this project, as a server does."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  (the operators that a server is built with)
import tiny_bert

from bert_glue_tf.data import preprocessing, tasks
from bert_glue_tf.data.problems import MultiLabel
from bert_glue_tf.serving.classifier import Classifier

TEXTS = ["a good film", "bad", "", "the Great MOVIE " * 20, "Ünïcödé 北京!"]


def test_a_runs_model_answers_text_as_predict_does(exported):
    run, _ = exported
    served = tf.saved_model.load(str(run.folder.model)).signatures["serving_default"]
    assert list(served.structured_input_signature[1]) == ["text"]
    found = served(text=tf.constant(TEXTS))
    wanted = Classifier.load(run.path).predict([(text,) for text in TEXTS])
    assert [label.decode() for label in found["label"].numpy()] == [one.label for one in wanted]
    for row, names, one in zip(found["probabilities"], found["classes"], wanted, strict=True):
        assert [name.decode() for name in names.numpy()] == list(one.probabilities)
        assert row.numpy() == pytest.approx(list(one.probabilities.values()), abs=1e-5)


def test_features_go_in_beside_texts(exported):
    run, _ = exported
    signatures = tf.saved_model.load(str(run.folder.model)).signatures
    assert {"serve", "serving_default"} <= set(signatures)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A preprocessing SavedModel, loaded once for all truncations."""
    folder = str(tiny_bert.write_preprocessing(tmp_path_factory.mktemp("server") / "preprocessing"))
    return preprocessing.load(folder, folder)


@pytest.mark.parametrize("truncation", ["head", "tail", "head_tail"])
def test_pairs_are_cut_and_packed_in_a_graph_as_before(loaded, truncation):
    built = preprocessing.build(loaded, ("a", "b"), 12, truncation)
    texts = ["one two three four five six seven eight", "a"], ["nine ten", "b c"]
    tokens = preprocessing.tokenize(built, texts)
    packed = tf.function(lambda *columns: preprocessing.packed(built, columns))
    found = packed(*map(tf.constant, texts))
    expected = tokens.batch([0, 1], int(tokens.lengths.max()))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_a_problem_says_what_a_server_answers():
    logits = tf.constant([[2.0, -3.0, 0.5], [-2.0, -3.0, -0.5]])
    labels = MultiLabel(("red", "round", "ripe"), threshold=0.6)
    found = labels.served(logits)
    assert [label.decode() for label in found["label"].numpy()] == ["red, ripe", "none"]
    answers = labels.answers(logits.numpy())
    assert [one.label for one in answers] == ["red, ripe", "none"]
    score = tasks.get("stsb").problem.served(tf.constant([[3.5], [1.0]]))
    np.testing.assert_array_equal(score["score"], [3.5, 1.0])
