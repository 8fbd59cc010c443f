"""Proofs of equality are kept for the bytes, the code and the libraries they were made with."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from bert_glue_tf.models import encoders, loading, proofs
from bert_glue_tf.models.bert import network
from tests.support import tiny_bert


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return tiny_bert.write_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_GLUE_TF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "proofs"


def counting(monkeypatch):
    """Return a list that grows by one with each SavedModel of an encoder that is loaded."""
    loaded, load = [], loading.load_layer

    def load_layer(path):
        loaded.append(path)
        return load(path)

    monkeypatch.setattr(loading, "load_layer", load_layer)
    return loaded


def test_the_same_bytes_are_proved_once(pair, cache, monkeypatch):
    loaded = counting(monkeypatch)
    source = encoders.resolve(str(pair))
    first = loading.load(source)
    (file,) = cache.iterdir()
    assert json.loads(file.read_text())["family"] == "bert"
    again = loading.load(source)
    assert len(loaded) == 1
    assert again.record() == first.record()
    assert again.describe() == first.describe()
    for (name, value), (other, same) in zip(first.weights(), again.weights(), strict=True):
        assert name == other
        np.testing.assert_array_equal(value, same)
    # The other family computes as the SavedModel does, and needs it.
    assert loading.load(source, family="saved_model").family == "saved_model"
    assert len(loaded) == 2


def test_other_weights_another_record_and_other_code_are_proved_anew(
    pair, cache, monkeypatch, tmp_path
):
    def path(folder, record=()):
        return proofs.path(str(folder / "encoder"), dict(record))

    known = path(pair)
    assert path(pair) == known
    assert path(pair, {"architecture": {}}) != known
    monkeypatch.setattr(proofs, "_code", lambda: "other")
    assert path(pair) != known
    monkeypatch.undo()
    monkeypatch.setenv("BERT_GLUE_TF_CACHE", str(cache.parent))
    other = shutil.copytree(pair, tmp_path / "other")
    assert path(other) == known
    (data,) = (other / "encoder" / "variables").glob("*.data-*")
    data.write_bytes(data.read_bytes()[:-1] + b"?")
    assert path(other) != known
    (other / "encoder" / "saved_model.pb").unlink()
    assert path(other) is None


def test_a_proof_that_is_damaged_or_cannot_be_written_is_made_anew(pair, cache, monkeypatch):
    loaded = counting(monkeypatch)
    source = encoders.resolve(str(pair))
    cache.parent.mkdir()
    cache.write_text("no folder")
    loading.load(source)
    assert len(loaded) == 1
    cache.unlink()
    loading.load(source)
    (file,) = cache.iterdir()
    for damaged in ("{", "[]", json.dumps({**json.loads(file.read_text()), "more": 1})):
        file.write_text(damaged)
        loading.load(source)
        assert json.loads(file.read_text())["encoder"]["layers"] == tiny_bert.architecture().layers
    assert len(loaded) == 5


def test_no_proof_is_kept_of_weights_that_are_not_in_the_file(pair, cache, monkeypatch):
    def halved(*arguments):
        encoder, architecture, gap = take_over(*arguments)
        encoder.variables[0].assign(encoder.variables[0] / 2)
        return encoder, architecture, gap

    take_over = network.take_over
    monkeypatch.setattr(network, "take_over", halved)
    loading.load(encoders.resolve(str(pair)))
    assert not cache.exists()


def test_first_weights_that_are_replaced_draw_the_same_seeds():
    """The head and the dropout that come after an encoder are drawn as if its weights were."""
    import tf_keras

    from bert_glue_tf.models.bert.layer import AssignedLater, BertEncoder

    shapes = tiny_bert.architecture()
    uneven = dataclasses.replace(shapes, blocks=shapes.each_block())
    for one in (shapes, uneven):
        drawn = []
        for initializer in (None, AssignedLater(stddev=0.02)):
            tf_keras.utils.set_random_seed(3)
            encoder = BertEncoder(one, initializer=initializer)
            network._call_once(encoder)
            drawn.append(tf_keras.layers.Dense(4, name="after"))
            drawn[-1].build((None, 4))
            is_zero = not np.any(encoder.variables[0].numpy())
            assert is_zero == (initializer is not None)
        np.testing.assert_array_equal(drawn[0].kernel, drawn[1].kernel)
        assert isinstance(drawn[0].kernel, tf.Variable)
