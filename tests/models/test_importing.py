"""Foreign weights give the encoder they stand for, or one clear message; imports are atomic."""

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tiny_bert
from messages import refuses
from safetensors.numpy import load_file, save_file

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import vocabulary
from bert_glue_tf.models import encoders, imported, loading
from bert_glue_tf.models.bert import (
    foreign_checkpoint,
    foreign_tokenizer,
    foreign_weights,
    importing,
)
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.models.probing import difference, probe

SHAPES = tiny_bert.architecture()


@pytest.fixture
def huggingface(tmp_path):
    return tiny_bert.write_huggingface(tmp_path / "hf", SHAPES, seed=1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_GLUE_TF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "encoders"


@pytest.fixture
def fast_pair(monkeypatch):
    """Import without SavedModels, where only the cache's behaviour is looked at."""

    def write(folder, found):
        (folder / "encoder").mkdir()
        return found.architecture

    monkeypatch.setattr(importing, "_write_pair", write)


def _assert_equals_numpy(outputs, shapes, seed, batch):
    expected = tiny_bert.forward(shapes, tiny_bert.weights(shapes, seed), batch)
    for key, value in expected.items():
        np.testing.assert_allclose(outputs[key], value, atol=3e-5)


# --- Every kind of import equals the same forward pass in NumPy -----------------------


@pytest.mark.slow
def test_huggingface_folder_becomes_a_pair(huggingface, cache):
    source = encoders.resolve(str(huggingface))
    encoders.check(source, 512)
    encoder = loading.load(source, family="bert")
    batch = probe(SHAPES.vocab_size)
    _assert_equals_numpy(encoder.layer(batch), SHAPES, 1, batch)
    (folder,) = cache.iterdir()
    assert encoder.preprocessing_path == str(folder / "preprocessing")
    record = json.loads((folder / "import.json").read_text())
    digest = imported.sha256(huggingface / "model.safetensors")
    assert record["sha256"]["model.safetensors"] == encoder.provenance["sha256"] == digest
    # The published signature, at any length up to the encoder's positions.
    saved_model = loading.load(source, family="saved_model")
    for length in (2, 512):
        longer = {k: np.resize(v, (2, length)).astype(np.int32) for k, v in batch.items()}
        outputs = saved_model.layer(longer)
        assert set(outputs) == {"pooled_output", "sequence_output", "encoder_outputs", "default"}
        assert outputs["sequence_output"].shape == (2, length, SHAPES.hidden_size)
        assert len(outputs["encoder_outputs"]) == SHAPES.layers
        assert np.array_equal(outputs["default"], outputs["pooled_output"])
    packed = saved_model.preprocessing(["the cat sat"])
    assert packed["input_word_ids"].shape == (1, 128)
    assert saved_model.preprocessing.tokenize(["the cat sat"]).shape.as_list() == [1, None, None]


@pytest.mark.slow
def test_the_signatures_of_a_pair_have_names(tmp_path):
    folder = tiny_bert.write_pair(tmp_path)
    encoder = tf.saved_model.load(str(folder / "encoder")).signatures["serving_default"]
    batch = {name: tf.constant(value) for name, value in probe(SHAPES.vocab_size).items()}
    assert set(encoder.structured_input_signature[1]) == set(batch)
    outputs = encoder(**batch)
    assert set(outputs) == {"pooled_output", "sequence_output", "default"}
    np.testing.assert_array_equal(outputs["default"], outputs["pooled_output"])
    loaded = tf.saved_model.load(str(folder / "preprocessing"))
    packed = loaded.signatures["serving_default"](sentences=tf.constant(["the cat sat"]))
    for name, value in loaded(tf.constant(["the cat sat"])).items():
        np.testing.assert_array_equal(packed.pop(name), value)
    assert not packed
    # Variables that a training changes, and what acts in training only.
    layer = hub.KerasLayer(hub.load(str(folder / "encoder")), trainable=True)
    assert len(layer.trainable_variables) == len(layer.variables) > 0
    calls = [layer(batch, training=how)["pooled_output"] for how in (False, False, True)]
    np.testing.assert_array_equal(calls[0], calls[1])
    assert np.abs(calls[2] - calls[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("prefix", "hidden_act", "activation", "dtype"),
    [
        ("bert.", "gelu", "gelu", np.float32),
        ("", "gelu_new", "gelu_tanh", np.float32),
        ("", "gelu_pytorch_tanh", "gelu_tanh", np.float32),
        ("", "relu", "relu", np.float16),
    ],
)
def test_huggingface_variants(prefix, hidden_act, activation, dtype, tmp_path):
    shapes = tiny_bert.architecture(activation=activation)
    folder = tiny_bert.write_huggingface(
        tmp_path, shapes, 2, prefix=prefix, hidden_act=hidden_act, dtype=dtype
    )
    found = foreign_weights.judge("huggingface", folder)
    assert found.architecture == shapes
    encoder = build_encoder(found.architecture, foreign_weights.reader(found))
    batch = probe(shapes.vocab_size)
    drawn = {k: v.astype(dtype) for k, v in tiny_bert.weights(shapes, 2).items()}
    expected = tiny_bert.forward(shapes, drawn, batch)
    assert difference(encoder(batch), expected) < 3e-5


def test_older_layer_norm_names(huggingface):
    path = huggingface / "model.safetensors"
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): value
        for name, value in load_file(path).items()
    }
    save_file(renamed, path)
    tensors = foreign_weights.judge("huggingface", huggingface).tensors
    assert tensors["embeddings/layer_norm/gamma"] == "embeddings.LayerNorm.gamma"


@pytest.mark.parametrize("write", [tiny_bert.write_tf1_checkpoint, tiny_bert.write_tf2_checkpoint])
def test_tf_checkpoints(write, tmp_path):
    """Google's own "gelu" is the tanh approximation."""
    shapes = tiny_bert.tanh(SHAPES)
    folder = write(tmp_path / "uncased", shapes, 4)
    source = encoders.resolve(str(folder))
    assert source.kind == "tf_checkpoint"
    encoders.check(source, 128)
    found = foreign_weights.judge("tf_checkpoint", folder)
    assert found.architecture == shapes
    encoder = build_encoder(found.architecture, foreign_weights.reader(found))
    batch = probe(shapes.vocab_size)
    _assert_equals_numpy(encoder(batch), shapes, 4, batch)


@pytest.mark.slow
def test_tf_checkpoint_becomes_a_pair(tmp_path):
    shapes = tiny_bert.tanh(SHAPES)
    folder = tiny_bert.write_tf1_checkpoint(tmp_path / "cased_tiny", shapes, 4)
    encoder = loading.load(encoders.resolve(str(folder)))
    assert encoder.family == "bert"
    assert encoder.provenance["activation"] == "gelu_tanh"
    batch = probe(shapes.vocab_size)
    _assert_equals_numpy(encoder.layer(batch), shapes, 4, batch)
    # The folder's name says "cased", and its vocabulary, which has no capital letter, does not.
    lower = tiny_bert.VOCABULARY.index("the")
    assert encoder.preprocessing.tokenize(["The"]).to_list() == [[[lower]]]


# --- What does not fit ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model_type": "roberta"}, "model_type is 'roberta'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"layer_norm_eps": -1e-5}, "layer_norm_eps is -1e-05"),
        ({"is_decoder": True}, "is_decoder is true"),
        ({"layer_norm_eps": None}, "layer_norm_eps is null"),
        ({"intermediate_size": -4}, "inner_dim is -4"),
        ({"num_attention_heads": 0}, "heads is 0"),
        ({"hidden_dropout_prob": 1.5}, "output_dropout is 1.5"),
        ({"hidden_act": "swish"}, "hidden_act is 'swish'"),
        ({"num_attention_heads": 3}, "3 attention heads"),
        ({"num_hidden_layers": "many"}, "'many'"),
        ({"vocab_size": 30522}, "30522 rows"),
    ],
)
def test_config_that_cannot_be_imported(changes, named, huggingface):
    path = huggingface / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with refuses(UserError, huggingface, named):
        encoders.check(encoders.resolve(str(huggingface)), 128)


def test_config_that_is_no_config(huggingface):
    for text, named in (("{", "JSON"), ('{"a": 1}', "'vocab_size'")):
        (huggingface / "config.json").write_text(text)
        with refuses(UserError, huggingface, named):
            foreign_weights.judge("huggingface", huggingface)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (tiny_bert.VOCABULARY[:-1], "196 rows"),
        ((*tiny_bert.VOCABULARY[:-1], "the"), "'the'"),
        (("[CLS]\r", *tiny_bert.VOCABULARY[1:]), "[PAD]"),
        ((*tiny_bert.VOCABULARY, *map(str, range(10, 98))), "284 pieces"),
    ],
)
def test_vocabulary_that_cannot_be_imported(lines, named, huggingface):
    (huggingface / "vocab.txt").write_text("\n".join(lines) + "\n", newline="")
    with refuses(UserError, huggingface, named):
        foreign_weights.judge("huggingface", huggingface)


def test_a_long_vocabulary_with_a_piece_twice_is_told_at_once(tmp_path):
    path = tmp_path / foreign_tokenizer.VOCABULARY
    pieces = [*vocabulary.SPECIAL_TOKENS, *map(str, range(100_000)), "99999"]
    path.write_text("\n".join(pieces) + "\n")
    start = time.process_time()
    with refuses(UserError, path, "'99999'"):
        foreign_tokenizer.read(tmp_path)
    assert time.process_time() - start < 2  # A search for each piece took minutes.


def _rewritten(huggingface, change):
    path = huggingface / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_tensors_that_do_not_fit_are_named_with_both_shapes(huggingface):
    name = "encoder.layer.1.intermediate.dense.weight"
    _rewritten(huggingface, lambda t: t.update({name: np.zeros((8, 16), np.float32)}))
    with refuses(UserError, f"'{name}'", "[8, 16]", "[32, 16]"):
        foreign_weights.judge("huggingface", huggingface)
    _rewritten(huggingface, lambda t: t.update({name: np.zeros((32, 16), np.int8)}))
    with refuses(UserError, f"'{name}'", "I8"):
        foreign_weights.judge("huggingface", huggingface)


def test_half_a_pooler_is_named(huggingface):
    _rewritten(huggingface, lambda t: t.pop("pooler.dense.weight"))
    with refuses(UserError, "'pooler.dense.weight'", "[16, 16]"):
        foreign_weights.judge("huggingface", huggingface)


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_truncated_safetensors(size, huggingface):
    path = huggingface / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with refuses(UserError, path):
        foreign_weights.judge("huggingface", huggingface)


def _with_header(path, change):
    """Rewrites a safetensors file with a changed header before the same tensors."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header = change(header) or header
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])


POOLER = "pooler.dense.bias"


# What safetensors itself looks for is its own; these are kinds of what it finds.
@pytest.mark.parametrize(
    "change",
    [
        lambda h: h[POOLER].update(shape=None),
        lambda h: h[POOLER].update(dtype="F99"),
        lambda h: h[POOLER].update(data_offsets=[v - 4 for v in h[POOLER]["data_offsets"]]),
        lambda h: [1, 2],
        lambda h: {"__metadata__": {}},
    ],
)
def test_a_damaged_header_of_safetensors(change, huggingface):
    path = huggingface / "model.safetensors"
    _with_header(path, change)
    with refuses(UserError, path):
        encoders.check(encoders.resolve(str(huggingface)), 128)


def test_what_safetensors_itself_refuses_is_told(huggingface):
    path = huggingface / "model.safetensors"
    read = foreign_weights.reader(foreign_weights.judge("huggingface", huggingface))
    path.write_bytes(b"\xff" * 100)
    with refuses(UserError, path):
        read("embeddings/layer_norm/gamma")


def _damage(path, how):
    raw = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(raw[: len(raw) // 2])
    else:
        # A protocol buffer has no checksum: in its middle a text might stand that nobody reads.
        raw[0 if path.suffix == ".pb" else len(raw) // 2] ^= 0xFF
        path.write_bytes(raw)


@pytest.mark.parametrize("how", ["truncated", "bit-flipped", "missing"])
@pytest.mark.parametrize("write", [tiny_bert.write_tf1_checkpoint, tiny_bert.write_tf2_checkpoint])
def test_a_checkpoint_whose_shard_is_damaged(write, how, tmp_path):
    folder = write(tmp_path / "uncased", SHAPES)
    _damage(folder / "bert_model.ckpt.data-00000-of-00001", how)
    with refuses(UserError, folder / "bert_model.ckpt", "Error: "):
        loading.load(encoders.resolve(str(folder)))


@pytest.mark.slow
def test_a_damaged_pair_in_the_cache_names_the_folder_to_delete(huggingface, cache):
    source = encoders.resolve(str(huggingface))
    pair = importing.import_pair("hf", "huggingface", huggingface)
    for file in (
        "encoder/variables/variables.data-00000-of-00001",
        "preprocessing/saved_model.pb",
        "import.json",
    ):
        whole = (pair / file).read_bytes()
        for how in ("truncated", "bit-flipped", "missing"):
            if file == "import.json":
                (pair / file).write_text(json.dumps({"format": imported.FORMAT}))
            else:
                _damage(pair / file, how)
            with refuses(UserError, pair, f"Delete the folder {pair}"):
                loading.load(source)
            (pair / file).write_bytes(whole)
    assert loading.load(source).family == "bert"


def test_checkpoint_without_a_variable_and_with_a_wrong_shape(tmp_path):
    folder = tiny_bert.write_tf1_checkpoint(tmp_path, SHAPES)
    more_layers = tiny_bert.architecture(layers=3)
    (folder / "bert_config.json").write_text(json.dumps(tiny_bert.config(more_layers)))
    found = foreign_weights.judge("tf_checkpoint", folder)
    read, prefix = foreign_weights.reader(found), found.origin
    with refuses(UserError, prefix, "'transformer/layer_2/"):
        build_encoder(found.architecture, read, prefix)
    wider = tiny_bert.architecture(hidden=32)
    with refuses(UserError, prefix, "[196, 16]", "[196, 32]"):
        build_encoder(wider, read, prefix)


def test_object_based_checkpoint_of_other_shapes(tmp_path):
    folder = tiny_bert.write_tf2_checkpoint(tmp_path, SHAPES)
    wider = tiny_bert.architecture(hidden=32)
    with refuses(UserError, folder):
        foreign_checkpoint.reader(str(folder / "bert_model.ckpt"), wider)


def test_damaged_checkpoint(tmp_path):
    folder = tiny_bert.write_tf1_checkpoint(tmp_path, SHAPES)
    (folder / "bert_model.ckpt.index").write_bytes(b"garbage")
    with refuses(UserError, folder / "bert_model.ckpt"):
        foreign_checkpoint.reader(str(folder / "bert_model.ckpt"), SHAPES)


# --- The cache ------------------------------------------------------------------------


@pytest.mark.processes
def test_interrupted_import_is_not_taken_for_finished(huggingface, cache, monkeypatch):
    from bert_glue_tf.data import wordpiece

    def interrupted(*_, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        # The encoder is written, the preprocessing is not; and, as after a kill,
        # nothing is tidied up.
        patch.setattr(wordpiece, "write_preprocessing", interrupted)
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            importing.import_pair("tiny", "huggingface", huggingface)
    (leftover,) = cache.iterdir()
    assert (leftover / "encoder" / "saved_model.pb").exists()
    assert imported.read_record(leftover) is None
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    killed = leftover.rename(str(leftover).replace(f".{os.getpid()}.", f".{dead.pid}."))
    pair = importing.import_pair("tiny", "huggingface", huggingface)
    assert list(cache.iterdir()) == [pair]
    assert not killed.exists()
    assert imported.read_record(pair)["architecture"]["hidden_size"] == 16
    encoder = loading.load(encoders.resolve(str(pair)), family="bert")
    batch = probe(SHAPES.vocab_size)
    _assert_equals_numpy(encoder.layer(batch), SHAPES, 1, batch)


@pytest.mark.usefixtures("fast_pair")
def test_second_import_is_found_and_changed_files_are_another(huggingface, monkeypatch):
    pair = importing.import_pair("tiny", "huggingface", huggingface)
    with monkeypatch.context() as patch:
        patch.setattr(importing, "_write_pair", lambda *_: pytest.fail("imported again"))
        assert importing.import_pair("tiny", "huggingface", huggingface) == pair
    (huggingface / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert importing.import_pair("tiny", "huggingface", huggingface) != pair


@pytest.mark.usefixtures("fast_pair")
def test_folder_without_a_record_is_replaced(huggingface):
    pair = importing.import_pair("tiny", "huggingface", huggingface)
    (pair / "import.json").unlink()
    (pair / "stale").touch()
    assert importing.import_pair("tiny", "huggingface", huggingface) == pair
    assert imported.read_record(pair)
    assert not (pair / "stale").exists()


@pytest.mark.usefixtures("fast_pair")
def test_the_slower_of_two_imports_uses_the_faster_ones(huggingface, cache, monkeypatch):
    write = importing._write_pair

    def overtaken(folder, found):
        monkeypatch.setattr(importing, "_write_pair", write)
        winner = importing.import_pair("tiny", "huggingface", huggingface)
        (winner / "first").touch()
        return write(folder, found)

    monkeypatch.setattr(importing, "_write_pair", overtaken)
    pair = importing.import_pair("tiny", "huggingface", huggingface)
    assert (pair / "first").exists()
    assert list(cache.iterdir()) == [pair]


@pytest.mark.usefixtures("fast_pair")
def test_a_running_import_of_another_process_is_left_alone(huggingface, cache):
    pair = importing.import_pair("tiny", "huggingface", huggingface)
    shutil.rmtree(pair)
    running = cache / f".{pair.name}.{imported.host()}.{os.getppid()}.0123"
    running.mkdir()
    importing.import_pair("tiny", "huggingface", huggingface)
    assert running.exists()


@pytest.mark.usefixtures("fast_pair")
def test_what_another_host_is_importing_is_left_alone(huggingface, cache):
    """A cache on a file system that hosts share: their process numbers mean nothing here."""
    pair = importing.import_pair("tiny", "huggingface", huggingface)
    shutil.rmtree(pair)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine = cache / f".{pair.name}.{imported.host()}.{dead.pid}.0123"
    theirs = cache / f".{pair.name}.another-host.{dead.pid}.0123"
    for folder in (mine, theirs):
        folder.mkdir()
    importing.import_pair("tiny", "huggingface", huggingface)
    assert theirs.exists()
    assert not mine.exists()


def test_unwritable_cache_names_the_variable(huggingface, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BERT_GLUE_TF_CACHE", str(tmp_path / "file"))
    with refuses(UserError, tmp_path / "file", "BERT_GLUE_TF_CACHE"):
        importing.import_pair("tiny", "huggingface", huggingface)


def test_cache_root_follows_the_environment(monkeypatch, tmp_path):
    assert imported.cache_root() == tmp_path / "cache"
    monkeypatch.delenv("BERT_GLUE_TF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert imported.cache_root() == tmp_path / "bert_glue_tf"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert imported.cache_root() == tmp_path / "home" / ".cache" / "bert_glue_tf"
