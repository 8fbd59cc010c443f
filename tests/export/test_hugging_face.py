"""A run becomes a Hugging Face folder: the same weights, labels and pieces, and the way back."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import types

import numpy as np
import peers_environment
import pytest
import tiny_bert
from messages import refuses
from safetensors.numpy import save_file

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import vocabulary
from bert_glue_tf.data.problems import Classification, MultiLabel, Regression
from bert_glue_tf.data.switches import Switches
from bert_glue_tf.export import hugging_face, hugging_face_tokenizer
from bert_glue_tf.models import saving
from bert_glue_tf.models.bert import (
    classifier_weights,
    foreign_config,
    foreign_head,
    foreign_tokenizer,
    foreign_weights,
    to_hugging_face,
)
from bert_glue_tf.models.bert.architecture import Architecture, Block
from bert_glue_tf.models.bert.classifier_weights import SavedWeights
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.models.foreign_classifiers import ForeignClassifier
from bert_glue_tf.models.saved_model.backbone import SavedModelBackbone

PROGRAM = pathlib.Path(__file__).parents[1] / "programs" / "transformers_answers.py"
PIECES = tiny_bert.VOCABULARY
SWITCHES = Switches(
    "reference", True, True, 200, None, {p: i for i, p in enumerate(tiny_bert.SPECIAL_TOKENS)}
)
# The encoders of each model_type, as they are imported.
FAMILIES = {
    "bert": tiny_bert.architecture(activation="gelu_tanh", layer_norm_epsilon=1e-5),
    "distilbert": tiny_bert.architecture(type_vocab_size=0, pooler_activation="relu"),
    "electra": tiny_bert.architecture(embedding_size=8, pooler_activation="gelu"),
}


def saved(shapes: Architecture, classes: int = 3) -> SavedWeights:
    random = np.random.default_rng(7)
    kernel = random.normal(size=(shapes.hidden_size, classes)).astype(np.float32)
    drawn = tiny_bert.weights(shapes)
    drawn["transformer/layer_0/intermediate/kernel"][:, ::2] = 0  # Zeros are kept.
    return SavedWeights(shapes, drawn, kernel, random.normal(size=classes).astype(np.float32))


def written(folder: pathlib.Path, foreign: ForeignClassifier) -> pathlib.Path:
    """Write a folder of three classes as `hugging_face.export` does, without a run."""
    problem = Classification(("a", "b", "c"))
    folder.mkdir()
    config = {**foreign.config, **hugging_face.labels(problem)}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(foreign.tensors, folder / "model.safetensors", metadata={"format": "pt"})
    has_types = "type_vocab_size" in foreign.config
    files = hugging_face_tokenizer.files(PIECES, SWITCHES, 32, "head", has_types)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_way_there_and_back_gives_every_value(kind, tmp_path):
    before = saved(FAMILIES[kind])
    foreign = to_hugging_face.classifier(before, "the run", 0.25)
    assert (foreign.config["model_type"], foreign.notes) == (kind, ())
    folder = written(tmp_path / kind, foreign)
    found = foreign_weights.judge("huggingface", folder)
    assert found.architecture == before.architecture
    assert (found.new, found.warnings) == ((), ())
    read = foreign_weights.reader(found)
    for name, shape in before.architecture.shapes().items():
        assert np.array_equal(read(name).reshape(shape), before.encoder[name]), name
    head = foreign_head.read(folder)
    assert np.array_equal(head.kernel, before.kernel)
    assert np.array_equal(head.bias, before.bias)
    assert head.names == ("a", "b", "c")
    tokenizer = foreign_tokenizer.read(folder)
    assert (tokenizer.pieces, tokenizer.lower_case, tokenizer.warnings) == (PIECES, True, ())


def test_zeros_are_kept():
    foreign = to_hugging_face.classifier(saved(FAMILIES["bert"]), "the run", 0.1)
    weight = foreign.tensors["bert.encoder.layer.0.intermediate.dense.weight"]
    assert not weight[::2].any()
    assert weight[1::2].all()


@pytest.mark.parametrize("rows", [0, 1])
def test_an_encoder_without_types_of_segments_gets_rows_that_change_nothing(rows):
    before = saved(tiny_bert.architecture(type_vocab_size=rows))
    foreign = to_hugging_face.classifier(before, "the run", 0.1)
    table = foreign.tensors["bert.embeddings.token_type_embeddings.weight"]
    row = before.encoder["type_embeddings/embeddings"][0] if rows else np.zeros(16)
    assert np.array_equal(table, [row, row])
    assert foreign.config["type_vocab_size"] == 2
    assert "token_type_embeddings" in foreign.notes[0]


def test_layers_of_different_width_are_refused_with_what_works():
    blocks = (Block(1, 8, 8, 20), Block(2, 8, 8, 32))
    shapes = dataclasses.replace(tiny_bert.architecture(), blocks=blocks)
    named = ("runs/half", "layer 1: 1 heads of 8, 20 neurons", "export_tflite", "magnitude")
    with refuses(UserError, *named):
        to_hugging_face.classifier(saved(shapes), "runs/half", 0.1)


def test_what_no_model_of_transformers_computes_is_refused():
    narrow = tiny_bert.architecture(embedding_size=8)
    with refuses(UserError, "width 8", "tanh", "Electra GELU"):
        to_hugging_face.classifier(saved(narrow), "the run", 0.1)
    typed = tiny_bert.architecture(pooler_activation="relu")
    with refuses(UserError, "2 types of segment", "relu"):
        to_hugging_face.classifier(saved(typed), "the run", 0.1)
    trained = types.SimpleNamespace(recipe="int8")
    rounded = dataclasses.replace(saved(FAMILIES["bert"]), trained=trained)  # type: ignore[arg-type]
    with refuses(UserError, "--quantize_aware", "int8"):
        to_hugging_face.classifier(rounded, "the run", 0.1)
    with refuses(UserError, "saved_model", "export_tflite"):
        SavedModelBackbone.to_hugging_face(pathlib.Path("model"), 0.1)


@pytest.mark.parametrize(
    ("problem", "kind", "names"),
    [
        (Classification(("no", "yes")), "single_label_classification", {"0": "no", "1": "yes"}),
        (MultiLabel(("x", "y")), "multi_label_classification", {"0": "x", "1": "y"}),
        (Regression(0, 5), "regression", {"0": "LABEL_0"}),
    ],
)
def test_the_kind_of_answers_is_said(problem, kind, names):
    told = hugging_face.labels(problem)
    assert (told["problem_type"], told["id2label"]) == (kind, names)
    assert {str(number): name for name, number in told["label2id"].items()} == names


def test_the_settings_of_the_tokenizer_are_said():
    cased = dataclasses.replace(SWITCHES, lower_case=False, strip_accents=True)
    files = hugging_face_tokenizer.files(PIECES, cased, 48, "tail", has_types=False)
    config, fast = (json.loads(files[f"tokenizer{end}.json"]) for end in ("_config", ""))
    assert config["do_lower_case"] is fast["normalizer"]["lowercase"] is False
    assert config["strip_accents"] is fast["normalizer"]["strip_accents"] is True
    assert (config["model_max_length"], config["truncation_side"]) == (48, "left")
    assert config["model_input_names"] == ["input_ids", "attention_mask"]
    assert fast["model"]["max_input_chars_per_word"] == 200
    assert files["vocab.txt"].splitlines() == list(PIECES)
    published = dataclasses.replace(cased, kind="published", characters_a_word=None)
    published = dataclasses.replace(published, bytes_a_word=100)
    notes = hugging_face_tokenizer.notes(published, "head_tail")
    named = ("[SEP]", "100 bytes", "TF-Hub", "--truncation=head_tail")
    assert [name in note for name, note in zip(named, notes, strict=True)] == [True] * 4


# --- A run ---


@pytest.fixture(scope="module")
def exported_hf(exported, tmp_path_factory):
    run, _ = exported
    return run, hugging_face.export(run.path, tmp_path_factory.mktemp("hf") / "folder")


def test_a_run_becomes_a_folder_and_is_never_overwritten(exported_hf, tmp_path):
    run, folder = exported_hf
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "config.json", "model.safetensors"),
        *("tokenizer.json", "tokenizer_config.json", "vocab.txt"),
    ]
    config = foreign_config.read_json(folder / "config.json")
    assert config["id2label"] == {"0": "negative", "1": "positive"}
    assert config["bert_glue_tf"]["run"] == run.path.name
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert f"| accuracy | {run.result.metrics['accuracy']:.4f} [" in card
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert hugging_face.export(run.path, folder) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    (tmp_path / "config.json").write_text("{}")
    with refuses(UserError, f"--output={tmp_path}", "something else"):
        hugging_face.export(run.path, tmp_path)
    with refuses(UserError, "--run=", "nowhere"):
        hugging_face.export(tmp_path / "nowhere")
    with refuses(UserError, "--output=", "no folder"):
        hugging_face.export(run.path, tmp_path / "config.json")


def test_what_an_import_reads_of_it_gives_the_logits_of_the_run(exported_hf):
    """`import_classifier` makes a run of these parts; tests/training/test_taken_over.py does."""
    run, folder = exported_hf
    found = foreign_weights.judge("huggingface", folder)
    kernel, bias = foreign_head.read(folder).for_task(run.task)
    encoder = build_encoder(found.architecture, foreign_weights.reader(found))
    ids = np.array([[2, 40, 60, 70, 3], [2, 9, 80, 3, 0]], np.int32)
    batch = {"input_word_ids": ids, "input_mask": (ids > 0).astype(np.int32)}
    batch["input_type_ids"] = ids * 0
    logits = encoder(batch)["pooled_output"] @ kernel + bias
    own = saving.load_predict_fn(run.folder.model)(batch)
    np.testing.assert_allclose(logits, own, atol=1e-5)
    assert found.tokenizer.pieces == vocabulary.read(run.folder.model / "preprocessing")
    assert (found.notes, found.warnings) == ((found.tokenizer.told(),), ())


@peers_environment.needs_peers
@pytest.mark.slow
@pytest.mark.processes
def test_transformers_gives_the_same_logits(exported_hf, tmp_path):
    run, folder = exported_hf
    texts = [["The cat sat."], ["a GOOD film \u00e9, number 2 of it!"], ["very " * 60]]
    pairs = [["the cat", "a dog was good"], ["he read", "very " * 60]]
    asked = {str(folder): texts}
    weights = {kind: saved(shapes) for kind, shapes in FAMILIES.items()}
    for kind, one in weights.items():
        made = written(tmp_path / kind, to_hugging_face.classifier(one, kind, 0.1))
        asked[str(made)] = pairs
    done = subprocess.run(
        [str(peers_environment.PYTHON), str(PROGRAM)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    from bert_glue_tf.serving.classifier import Classifier

    own = Classifier.load(run.path).logits([tuple(text) for text in texts])
    np.testing.assert_allclose(found[str(folder)]["logits"], own, atol=1e-5)
    assert found[str(folder)]["labels"] == {"0": "negative", "1": "positive"}
    for kind, one in weights.items():
        answer = found[str(tmp_path / kind)]
        assert answer["class"].lower() == f"{kind}forsequenceclassification"
        assert answer["problem_type"] == "single_label_classification"
        model = classifier_weights.from_weights(one)
        for ids, logits in zip(answer["ids"], answer["logits"], strict=True):
            assert len(ids) <= 32
            row = np.array([ids], np.int32)
            types_ = np.cumsum(row == PIECES.index("[SEP]"), axis=1) - (
                row == PIECES.index("[SEP]")
            )
            batch = {"input_word_ids": row, "input_mask": row * 0 + 1, "input_type_ids": types_}
            np.testing.assert_allclose(model(batch)[0], logits, atol=1e-5)
