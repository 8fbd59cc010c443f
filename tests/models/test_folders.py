"""The model folders that people have: each is read for what it is, or refused with a way out."""

import ast
import dataclasses
import json
import re
import shlex
import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tiny_bert
from messages import refuses
from safetensors.numpy import load_file, save_file

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models import encoders, loading
from bert_glue_tf.models.bert import cutting, foreign_tokenizer, foreign_weights, shrinking
from bert_glue_tf.models.bert.classifier_weights import EncoderWeights, SavedWeights
from bert_glue_tf.models.bert.export_graph import ExportGraph
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.models.probing import difference, probe

FOLDERS = Path(__file__).parents[1] / "fixtures" / "folders"
SHAPES = tiny_bert.architecture(positions=16)
CASED = (*tiny_bert.VOCABULARY, "A", "##B", "The")


@pytest.fixture
def folder(tmp_path):
    return tiny_bert.write_huggingface(tmp_path / "hf", SHAPES, seed=1)


def judged(folder):
    source = encoders.resolve(str(folder))
    encoders.check(source, 16)
    return foreign_weights.judge(source.kind, folder)


def built(found):
    return build_encoder(found.architecture, foreign_weights.reader(found))


def changed(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def rewritten(folder, change):
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path)
    return folder


def tokenizer_json(pieces, **changes):
    normalizer = {"type": "BertNormalizer", "lowercase": True, "strip_accents": None}
    return {
        "added_tokens": [{"id": 0, "content": "[PAD]"}],
        "normalizer": normalizer | changes.pop("normalizer", {}),
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "vocab": {piece: number for number, piece in enumerate(pieces)},
        },
    } | changes


# --- The same numbers as the library that wrote the folder ---


@pytest.mark.parametrize("name", ["bert_classifier", "distilbert", "electra"])
def test_outputs_are_those_of_transformers(name, tmp_path):
    """Largest difference measured on two x86-64 cores: 2e-6, of numbers up to 6."""
    folder = shutil.copytree(FOLDERS / name, tmp_path / name)
    tiny_bert.write_vocabulary(folder / "vocab.txt")
    found = judged(folder)
    with np.load(folder / "reference.npz") as file:
        reference = dict(file)
    inputs = {key: reference[key] for key in ("input_word_ids", "input_mask", "input_type_ids")}
    outputs = built(found)(inputs)["sequence_output"].numpy()
    np.testing.assert_allclose(
        outputs[inputs["input_mask"].astype(bool)], reference["sequence_output"], atol=1e-5
    )
    assert found.architecture.type_vocab_size == (0 if name == "distilbert" else 2)
    assert found.architecture.embedding_size == (6 if name == "electra" else 0)
    assert found.architecture.layer_norm_epsilon == (1e-5 if name == "bert_classifier" else 1e-12)
    assert bool(found.new) is (name != "bert_classifier")
    for part in ("bert_glue_tf.import_classifier", "entailment"):
        assert (part in found.unused_head) is (name == "bert_classifier")


@pytest.mark.parametrize(
    ("hidden_act", "activation"), [("gelu_python", "gelu"), ("gelu_fast", "gelu_tanh")]
)
def test_other_names_of_an_activation(hidden_act, activation, folder):
    changed(folder, hidden_act=hidden_act)
    assert judged(folder).architecture.activation == activation


def test_bfloat16_weights(folder):
    rewritten(
        folder,
        lambda tensors: {
            name: value.astype(ml_dtypes.bfloat16) if value.dtype == np.float32 else value
            for name, value in tensors.items()
        },
    )
    batch = probe(SHAPES.vocab_size)
    rounded = {
        name: value.astype(ml_dtypes.bfloat16).astype(np.float32)
        for name, value in tiny_bert.weights(SHAPES, 1).items()
    }
    assert (
        difference(built(judged(folder))(batch), tiny_bert.forward(SHAPES, rounded, batch)) < 3e-5
    )


def test_weights_in_several_files(folder):
    read = foreign_weights.reader(judged(folder))
    whole = {name: read(name) for name in SHAPES.shapes()}
    path = folder / "model.safetensors"
    tensors = load_file(path)
    path.unlink()
    names = sorted(tensors)
    weight_map = {}
    for number, part in enumerate((names[::2], names[1::2])):
        file = f"model-0000{number + 1}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    found = judged(folder)
    assert len([path for path in found.files if path.suffix == ".safetensors"]) == 2
    for name, value in whole.items():
        np.testing.assert_array_equal(foreign_weights.reader(found)(name), value)
    for text, named in (("{}", "weight_map"), ('{"weight_map": {"a": "../a"}}', "'../a'")):
        index.write_text(text)
        with refuses(UserError, index, named):
            judged(folder)


@pytest.mark.parametrize("prefix", ["module.bert.", "model.bert.", "0.auto_model."])
def test_names_below_another_module(prefix, folder):
    rewritten(folder, lambda tensors: {prefix + name: value for name, value in tensors.items()})
    assert judged(folder).tensors["pooler_transform/bias"] == f"{prefix}pooler.dense.bias"


def test_a_file_with_two_encoders_is_refused(folder):
    rewritten(
        folder,
        lambda tensors: {
            prefix + name: value
            for prefix in ("query.", "passage.")
            for name, value in tensors.items()
        },
    )
    with refuses(UserError, folder, "passage., query."):
        judged(folder)


# --- Capital letters and accents ---


@pytest.mark.parametrize(
    ("fast", "slow", "pieces", "lower", "reason"),
    [
        (None, None, tiny_bert.VOCABULARY, True, "no piece has a capital letter"),
        (None, None, CASED, False, "'A'"),
        (None, {"do_lower_case": False}, tiny_bert.VOCABULARY, False, "tokenizer_config.json"),
        (None, {"do_lower_case": True}, CASED, True, "tokenizer_config.json"),
        (None, {"strip_accents": None}, CASED, False, "'A'"),
        ({"lowercase": False}, {}, tiny_bert.VOCABULARY, False, "tokenizer.json says lowercase"),
        ({"lowercase": True}, None, CASED, True, "tokenizer.json says lowercase true"),
        # A word that a user has added says nothing of the others.
        (None, None, (*tiny_bert.VOCABULARY, "<URL>", "ACME"), True, "no file says more"),
    ],
)
def test_whether_texts_are_lower_cased(fast, slow, pieces, lower, reason, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    if fast is not None:
        text = json.dumps(tokenizer_json(pieces, normalizer=fast))
        (tmp_path / "tokenizer.json").write_text(text)
    if slow is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(slow))
    found = foreign_tokenizer.read(tmp_path)
    assert found.lower_case is found.strip_accents is lower
    assert reason in found.told()
    assert not found.warnings


def test_a_checkpoints_folder_need_not_say_cased(tmp_path):
    pieces = CASED
    for name in ("multi", "uncased_by_name"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vocab.txt").write_text("\n".join(pieces) + "\n")
        assert not foreign_tokenizer.read(tmp_path / name).lower_case


def test_files_that_contradict_each_other_are_told(folder):
    (folder / "tokenizer.json").write_text(
        json.dumps(tokenizer_json(tiny_bert.VOCABULARY, normalizer={"lowercase": False}))
    )
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    found = judged(folder)
    assert not found.tokenizer.lower_case
    assert any("do_lower_case True" in warning for warning in found.warnings)
    turned = [*tiny_bert.VOCABULARY[:-2], *tiny_bert.VOCABULARY[:-3:-1]]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(turned)))
    assert judged(folder).tokenizer.pieces == tuple(turned)
    assert any("other pieces" in warning for warning in judged(folder).warnings)


@pytest.mark.parametrize(
    ("lower", "strip", "expected"),
    [
        (True, None, "ete"),
        (True, False, "été"),
        (False, None, "Été"),
        (False, True, "Ete"),
    ],
)
def test_accents_apart_from_capital_letters(lower, strip, expected, tmp_path):
    from bert_glue_tf.data.wordpiece import ReferenceBasicTokenizer

    tokenizer = ReferenceBasicTokenizer(lower, strip_accents=strip)
    assert tokenizer.tokenize(["Été"]).to_list() == [[expected.encode()]]
    (tmp_path / "vocab.txt").write_text("\n".join(tiny_bert.VOCABULARY))
    config = {"do_lower_case": lower, "strip_accents": strip}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    found = foreign_tokenizer.read(tmp_path)
    assert (found.lower_case, found.strip_accents) == (lower, lower if strip is None else strip)
    assert ("accents" in found.told()) is (strip is not None)


# --- Vocabularies ---


def test_a_tokenizer_json_alone(folder):
    (folder / "vocab.txt").unlink()
    with refuses(UserError, folder, "vocab.txt", "tokenizer.json"):
        judged(folder)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(tokenizer_json(tiny_bert.VOCABULARY)))
    found = judged(folder)
    assert found.tokenizer.pieces == tiny_bert.VOCABULARY
    assert path in found.files
    for changes, named in (
        ({"model": {"type": "BPE"}}, "'BPE'"),
        ({"normalizer": {"type": "Sequence"}}, "'Sequence'"),
        ({"normalizer": {"handle_chinese_chars": False}}, "handle_chinese_chars"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "'Whitespace'"),
        ({"pre_tokenizer": None}, "'pre_tokenizer'"),
        ({"model": {"vocab": {"[PAD]": 0, "[UNK]": 2}}}, "model.vocab"),
    ):
        path.write_text(json.dumps(tokenizer_json(tiny_bert.VOCABULARY, **changes)))
        with refuses(UserError, path, named):
            judged(folder)
    path.write_text("[]")
    with refuses(UserError, path, "JSON"):
        judged(folder)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda text: text.replace("\n", "\r\n"), "line ends of Windows"),
        (lambda text: "\ufeff" + text, "byte-order mark"),
        (lambda text: text + "\n", "empty line"),
        (lambda text: "\ufeff" + text.replace("\n", "\r\n") + "\r\n", "empty line"),
    ],
)
def test_a_vocabulary_as_other_editors_write_it(change, named, folder):
    path = folder / "vocab.txt"
    path.write_bytes(change(path.read_text(encoding="utf-8")).encode())
    found = judged(folder)
    assert found.tokenizer.pieces == tiny_bert.VOCABULARY
    assert any(named in warning for warning in found.warnings)


def padded(rows):
    def change(tensors):
        name = "embeddings.word_embeddings.weight"
        more = np.ones((rows - len(tensors[name]), SHAPES.hidden_size), np.float32)
        return {**tensors, name: np.concatenate([tensors[name], more])}

    return change


def test_more_rows_than_pieces_are_left_out(folder):
    rewritten(changed(folder, vocab_size=256), padded(256))
    found = judged(folder)
    assert found.architecture == SHAPES
    assert any("256 rows" in note and "196 pieces" in note for note in found.notes)
    table = foreign_weights.reader(found)("word_embeddings/embeddings")
    np.testing.assert_array_equal(table, tiny_bert.weights(SHAPES, 1)["word_embeddings/embeddings"])
    # What no padding explains may be a vocabulary that is cut short, unless its tokens are known.
    rewritten(changed(folder, vocab_size=259), padded(259))
    with refuses(UserError, folder / "vocab.txt", "259 rows"):
        judged(folder)
    tokens = [{"id": number, "content": f"<{number}>"} for number in range(196, 259)]
    text = json.dumps(tokenizer_json(tiny_bert.VOCABULARY, added_tokens=tokens))
    (folder / "tokenizer.json").write_text(text)
    assert judged(folder).architecture == SHAPES


# --- Poolers and types ---


def test_without_a_pooler_a_new_one_is_drawn_from_the_seed(folder):
    rewritten(
        folder,
        lambda tensors: {n: value for n, value in tensors.items() if not n.startswith("pooler")},
    )
    found = judged(folder)
    assert found.new == ("pooler_transform/kernel", "pooler_transform/bias")
    assert any("pooler" in note and "seed" in note for note in found.notes)
    backbone = tiny_bert.backbone(built(found), found.architecture)
    backbone = backbone.with_provenance(new_weights=list(found.new))
    drawn = [dict(backbone.with_first_weights(seed).weights()) for seed in (1, 1, 2)]
    kernels = [one["pooler_transform/kernel"] for one in drawn]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(kernels[0] - kernels[2]).max() > 0.01
    assert 0.015 < np.std(kernels[0]) < 0.02
    assert np.abs(kernels[0]).max() <= 0.04
    assert not drawn[0]["pooler_transform/bias"].any()
    for name, value in tiny_bert.weights(SHAPES, 1).items():
        if not name.startswith("pooler"):
            np.testing.assert_array_equal(drawn[0][name], value)
    whole = tiny_bert.backbone(backbone.layer, found.architecture)
    assert whole.with_first_weights(5) is whole


def test_one_type_of_segment_is_told(tmp_path):
    shapes = tiny_bert.architecture(positions=16, type_vocab_size=1)
    found = judged(tiny_bert.write_huggingface(tmp_path, shapes))
    assert found.architecture == shapes
    assert any("type 0" in note for note in found.notes)


@pytest.mark.parametrize("key", ["tokenize_chinese_chars", "do_basic_tokenize"])
def test_a_tokenizer_without_a_step_of_berts_is_refused(key, folder):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({key: True}))
    judged(folder)
    path.write_text(json.dumps({key: False}))
    with refuses(UserError, path, key, "False"):
        judged(folder)


# --- What is converted or taken another way ---


def test_pickled_weights_are_not_read_and_the_command_is_told(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with refuses(UserError, folder, "pytorch_model", "python -c") as error:
        encoders.resolve(str(folder))
    command = shlex.split(re.search(r"python -c .*", str(error.value))[0])
    code = ast.parse(command[2])
    assert str(folder) in ast.unparse(code)
    assert "weights_only=True" in ast.unparse(code)


@pytest.mark.parametrize(
    ("model_type", "named"), [("roberta", "--encoder=https://tfhub.dev/"), ("deberta-v2", "bert")]
)
def test_pickled_weights_of_another_kind_are_not_to_be_converted(model_type, named, folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    changed(folder, model_type=model_type)
    with refuses(UserError, folder / "config.json", model_type, named) as error:
        encoders.resolve(str(folder))
    assert "python -c" not in str(error.value)


@pytest.mark.parametrize("model_type", ["roberta", "albert", "mobilebert"])
def test_encoders_of_another_kind_name_the_way_that_works(model_type, folder):
    changed(folder, model_type=model_type)
    (folder / "vocab.txt").unlink()
    with refuses(UserError, f"'{model_type}'", "--encoder=https://", "--preprocessing=https://"):
        judged(folder)


# --- TensorFlow's checkpoints ---


def test_of_several_checkpoints_the_named_one_is_taken(tmp_path):
    folder = tiny_bert.write_tf1_checkpoint(tmp_path / "a", SHAPES, 4)
    for end in ("index", "data-00000-of-00001"):
        (folder / f"bert_model.ckpt.{end}").rename(folder / f"ckpt-100.{end}")
    assert judged(folder).origin == str(folder / "ckpt-100")
    (folder / "ckpt-200.index").write_bytes(b"")
    state = folder / "checkpoint"
    state.unlink(missing_ok=True)
    with refuses(UserError, folder, "2 checkpoints", "is not there"):
        judged(folder)
    state.write_text('model_checkpoint_path: "ckpt-300"\n')
    with refuses(UserError, folder, "'ckpt-300'"):
        judged(folder)
    state.write_text(
        'model_checkpoint_path: "/home/someone/run/ckpt-100"\n'
        'all_model_checkpoint_paths: "ckpt-200"\n'
    )
    found = judged(folder)
    shapes = tiny_bert.tanh(SHAPES)
    batch = probe(SHAPES.vocab_size)
    expected = tiny_bert.forward(shapes, tiny_bert.weights(shapes, 4), batch)
    assert difference(built(found)(batch), expected) < 3e-5
    assert {path.name for path in found.files} == {
        "ckpt-100.index",
        "ckpt-100.data-00000-of-00001",
        "bert_config.json",
        "vocab.txt",
    }


# --- Files ---


@pytest.mark.parametrize(
    "more", [{"type_vocab_size": 1}, {"type_vocab_size": 0, "embedding_size": 6}]
)
def test_a_file_of_another_architecture_takes_the_same_inputs(more):
    """A pair's second text is of type 1 in the features, whatever the encoder knows."""
    from bert_glue_tf.export import convert, litert

    shapes = tiny_bert.architecture(positions=16, layers=1, **more)
    kernel = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    drawn = tiny_bert.weights(shapes)
    graph = ExportGraph(SavedWeights(shapes, drawn, kernel, np.zeros(3, np.float32)))
    batch = probe(shapes.vocab_size)
    found = litert.LiteModel(convert.convert_module(graph, (12,), "a test")).predict(batch)
    assert batch["input_type_ids"].any()
    expected = tiny_bert.forward(shapes, drawn, batch)["pooled_output"] @ kernel
    np.testing.assert_allclose(found, expected, atol=1e-5)


# --- The whole way of the members that are no standard BERT ---

CUT = {
    "distilbert": tiny_bert.architecture(positions=16, type_vocab_size=0),
    "electra": tiny_bert.architecture(positions=16, embedding_size=6),
}


@pytest.mark.parametrize("name", CUT)
def test_layers_pieces_heads_and_neurons_are_cut(name):
    shapes = CUT[name]
    drawn = tiny_bert.weights(shapes)
    batch = probe(shapes.vocab_size)
    whole = EncoderWeights(shapes, drawn)
    ids = np.arange(shapes.vocab_size)[::-1]
    turned = cutting.keep_pieces(cutting.drop_layers(whole, [1]), ids)
    assert turned.architecture == dataclasses.replace(shapes, layers=1)
    mirrored = {**batch, "input_word_ids": ids[batch["input_word_ids"]].astype(np.int32)}
    encoder = build_encoder(turned.architecture, turned.encoder.__getitem__)
    expected = tiny_bert.forward(turned.architecture, turned.encoder, mirrored)
    assert difference(encoder(mirrored), expected) < 3e-5
    for part in ("self_attention/attention_output", "output"):
        drawn[f"transformer/layer_0/{part}/kernel"][:1] = 0
    head = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    weights = SavedWeights(shapes, drawn, head, np.zeros(3, np.float32))
    smaller, report = shrinking.shrink(weights)
    blocks = smaller.architecture.each_block()
    assert [(block.heads, block.inner_dim) for block in blocks] == [(1, 31), (2, 32)]
    assert smaller.architecture.told_by(shapes) == smaller.architecture
    assert sum(report.zeros_after.values()) < report.zeros_before
    encoder = build_encoder(smaller.architecture, smaller.encoder.__getitem__)
    assert difference(encoder(batch), tiny_bert.forward(shapes, drawn, batch)) < 3e-5


@pytest.mark.parametrize("name", CUT)
def test_every_matrix_of_it_can_be_pruned(name):
    backbone = tiny_bert.backbone(
        build_encoder(CUT[name], tiny_bert.weights(CUT[name]).__getitem__), CUT[name]
    )
    scopes = backbone.scopes(backbone.layer.trainable_variables)
    assert set(scopes) == set(CUT[name].shapes())
    matrices = {weight for weight in scopes if weight.endswith(("kernel", "embeddings"))}
    assert {weight for weight, scope in scopes.items() if scope} == matrices
    parts = {backbone.part_of(weight) for weight in matrices}
    assert ("types" in parts, "projection" in parts) == (name == "electra", name == "electra")
    assert json.loads(json.dumps(backbone.describe()))["encoder"]["layers"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", CUT)
def test_a_folder_becomes_a_bert_of_ours(name, tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_GLUE_TF_CACHE", str(tmp_path / "cache"))
    folder = shutil.copytree(FOLDERS / name, tmp_path / name)
    tiny_bert.write_vocabulary(folder / "vocab.txt")
    backbone = loading.load(encoders.resolve(str(folder)), seq_length=16)
    with np.load(folder / "reference.npz") as file:
        reference = dict(file)
    inputs = {key: reference[key] for key in ("input_word_ids", "input_mask", "input_type_ids")}
    outputs = backbone.layer(inputs)["sequence_output"].numpy()
    np.testing.assert_allclose(
        outputs[inputs["input_mask"].astype(bool)], reference["sequence_output"], atol=1e-5
    )
    record = json.loads(json.dumps(backbone.record()))
    assert record["family"] == "bert"
    assert any("pooler" in note for note in record["notes"])
    assert record["new_weights"] == ["pooler_transform/kernel", "pooler_transform/bias"]
