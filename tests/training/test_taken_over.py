"""A classifier of another program becomes a finished run: labels by name, scores, and a start."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny_bert
from absl import flags
from messages import refused, refuses
from safetensors.numpy import load_file, save_file
from scipy.special import erf

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.data.problems import Classification
from bert_glue_tf.models import saving
from bert_glue_tf.models.foreign_heads import ForeignHead
from bert_glue_tf.runs import command_line
from bert_glue_tf.runs.config import ExperimentConfig, check_method
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.training.launch import Launch

FOLDER = Path(__file__).parents[1] / "fixtures" / "folders" / "bert_classifier"
MNLI = tasks.get("mnli")
SENTENCES = ("the cat sat", "a dog was good", "he read the book", "it is not a film")


def write_mnli(folder: Path) -> Path:
    """GLUE's folder MNLI with eight pairs to train on and six in each dev set."""
    (folder / "MNLI").mkdir(parents=True)
    labels = MNLI.problem.labels
    for name, number in (("train", 8), ("dev_matched", 6), ("dev_mismatched", 6)):
        rows = [
            "\t".join((SENTENCES[i % 4], SENTENCES[(i + 1) % 4], labels[i % 3]))
            for i in range(number)
        ]
        text = "\n".join(["sentence1\tsentence2\tgold_label", *rows]) + "\n"
        (folder / "MNLI" / f"{name}.tsv").write_text(text)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_mnli(tmp_path_factory.mktemp("glue"))


def classifier(folder: Path, **changes: object) -> Path:
    shutil.copytree(FOLDER, folder)
    tiny_bert.write_vocabulary(folder / "vocab.txt")
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def settings(folder: Path, data: Path, **more: object) -> ExperimentConfig:
    values = {"task": "mnli", "data": str(data), "seq_length": 16, "epochs": 0}
    return ExperimentConfig(encoder=str(folder), **{**values, **more})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """The fixture's classifier as a run."""
    root = tmp_path_factory.mktemp("taken_over")
    launch = Launch(settings(classifier(root / "model"), data), root / "run")
    launch.take_over(launch.foreign_head(), (), launch.check())
    return Run.read(root / "run")


# --- Labels ---


def test_labels_that_only_their_marks_tell_apart_are_compared_as_they_are():
    """`+` and `-` would both be nothing without their marks, and take the same output."""
    signs = dataclasses.replace(tasks.get("sst2"), problem=Classification(("-", "+")))
    _, bias = head("+", "-").for_task(signs)
    np.testing.assert_array_equal(bias, [1, 0])
    with refuses(UserError, "id2label", "plus"):
        head("plus", "minus").for_task(signs)


def head(*names):
    kernel = np.arange(2 * len(names), dtype=np.float32).reshape(2, -1)
    return ForeignHead(kernel, np.arange(len(names), dtype=np.float32), names, "config.json")


def test_outputs_are_taken_by_name_and_never_by_place():
    kernel, bias = head("CONTRADICTION", "Neutral", "entailment").for_task(MNLI)
    np.testing.assert_array_equal(bias, [2, 1, 0])
    np.testing.assert_array_equal(kernel, [[2, 1, 0], [5, 4, 3]])
    given = ("neutral", "contradiction", "entailment")
    _, bias = head("LABEL_0", "LABEL_1", "LABEL_2").for_task(MNLI, given)
    np.testing.assert_array_equal(bias, [2, 0, 1])
    _, bias = head("not equivalent", "Equivalent").for_task(tasks.get("mrpc"))
    np.testing.assert_array_equal(bias, [0, 1])
    _, bias = head("LABEL_0").for_task(tasks.get("stsb"))
    assert bias.shape == (1,)


@pytest.mark.parametrize(
    ("names", "given", "named"),
    [
        (("LABEL_0", "LABEL_1", "LABEL_2"), (), "--labels=entailment,neutral,contradiction"),
        (("0", "1", "2"), (), "--labels="),
        (("yes", "no", "maybe"), (), "yes, no, maybe"),
        (("entailment", "entailment", "neutral"), (), "not the labels of --task=mnli"),
        (("LABEL_0", "LABEL_1", "LABEL_2"), ("entailment", "neutral"), "2 names for 3 outputs"),
        (("LABEL_0", "LABEL_1", "LABEL_2"), ("a", "b", "c"), "--labels=a,b,c"),
        (("negative", "positive"), (), "has 2 outputs"),
    ],
)
def test_names_that_are_not_the_tasks_are_refused(names, given, named):
    with refuses(UserError, named):
        head(*names).for_task(MNLI, given)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda tensors: tensors.pop("classifier.weight"), "no classification head"),
        (lambda tensors: tensors.update({"classifier.bias": np.zeros(4, np.float32)}), "[4]"),
        (
            lambda tensors: [tensors.pop(f"bert.pooler.dense.{end}") for end in ("weight", "bias")],
            "pooler.dense.weight",
        ),
    ],
)
def test_a_folder_without_a_whole_classifier_is_refused(change, named, tmp_path, data):
    folder = classifier(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    with refuses(UserError, folder, named):
        Launch(settings(folder, data), tmp_path / "run").foreign_head()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"architectures": ["BertForTokenClassification"]}, "BertForTokenClassification"),
        ({"problem_type": "multi_label_classification"}, "multi_label_classification"),
        ({"problem_type": "regression"}, "single_label_classification"),
    ],
)
def test_a_head_that_answers_another_question_is_refused(change, named, tmp_path, data):
    folder = classifier(tmp_path / "model", **change)
    with refuses(UserError, folder / "config.json", next(iter(change)), named):
        Launch(settings(folder, data), tmp_path / "run").foreign_head()


def test_a_problem_type_that_is_the_tasks_is_taken(tmp_path, data):
    folder = classifier(tmp_path / "model", problem_type="single_label_classification")
    found = Launch(settings(folder, data), tmp_path / "run").foreign_head()
    assert found.problem_type == "single_label_classification"


@pytest.mark.parametrize("name", ["distilbert", "electra"])
def test_other_folders_are_refused(name, tmp_path, data):
    folder = shutil.copytree(FOLDER.with_name(name), tmp_path / "model")
    tiny_bert.write_vocabulary(folder / "vocab.txt")
    dense = {"distilbert": "pre_classifier.weight", "electra": "classifier.dense.weight"}[name]
    with refuses(UserError, folder, dense):
        Launch(settings(folder, data), tmp_path / "run").foreign_head()


def test_a_pair_of_saved_models_is_refused(tmp_path, data):
    for part in ("encoder", "preprocessing"):
        (tmp_path / "pair" / part).mkdir(parents=True)
        (tmp_path / "pair" / part / "saved_model.pb").touch()
    with refuses(UserError, "--model=", "SavedModel"):
        Launch(settings(tmp_path / "pair", data), tmp_path / "run").foreign_head()


def test_nothing_to_train_is_refused_by_what_trains():
    with refuses(UserError, "--epochs=0", "import_classifier"):
        check_method(ExperimentConfig(epochs=0))
    with refuses(UserError, "--start=x", "--finetune_epochs=2"):
        ExperimentConfig(start="x", finetune_epochs=2)


# --- The run ---


def test_its_logits_are_those_of_transformers_by_label(run):
    with np.load(FOLDER / "reference.npz") as file:
        reference = dict(file)
    inputs = {key: reference[key] for key in ("input_word_ids", "input_mask", "input_type_ids")}
    logits = saving.load_predict_fn(run.folder.model)(inputs)
    # The folder's outputs are contradiction, neutral, entailment.
    np.testing.assert_allclose(logits, reference["logits"][:, [2, 1, 0]], atol=1e-5)
    assert np.ptp(logits) > 0.5


# model_type -> the two layers of its head, and the activation between them.
HEADS = {
    "distilbert": ("pre_classifier", "classifier", lambda x: np.maximum(x, 0)),
    "electra": (
        "classifier.dense",
        "classifier.out_proj",
        lambda x: x * 0.5 * (1 + erf(x / np.sqrt(2))),
    ),
}


@pytest.mark.parametrize("kind", HEADS)
def test_heads_of_two_layers_are_taken_over(kind, data, tmp_path):
    """The outputs of the encoder are transformers', and those of its head NumPy's."""
    folder = shutil.copytree(FOLDER.with_name(kind), tmp_path / "model")
    dense, output, activation = HEADS[kind]
    random = np.random.default_rng(3)
    head = {
        f"{dense}.weight": random.normal(0, 0.4, (16, 16)),
        f"{dense}.bias": random.normal(0, 0.3, 16),
        f"{output}.weight": random.normal(0, 0.4, (3, 16)),
        f"{output}.bias": random.normal(0, 0.3, 3),
    }
    tensors = {
        f"{kind}.{name}": value for name, value in load_file(folder / "model.safetensors").items()
    }
    head32 = {name: value.astype(np.float32) for name, value in head.items()}
    save_file({**tensors, **head32}, folder / "model.safetensors")
    tiny_bert.write_vocabulary(folder / "vocab.txt")
    names = dict(enumerate(("contradiction", "neutral", "entailment")))
    config = json.loads((folder / "config.json").read_text())
    (model,) = config["architectures"]
    model = model.replace("Model", "ForSequenceClassification")
    config.update(id2label=names, architectures=[model])
    (folder / "config.json").write_text(json.dumps(config))
    with np.load(folder / "reference.npz") as file:
        reference = dict(file)
    inputs = {key: reference[key] for key in ("input_word_ids", "input_mask", "input_type_ids")}
    firsts = np.concatenate([[0], np.cumsum(inputs["input_mask"].sum(1))[:-1]])
    first = reference["sequence_output"][firsts].astype(np.float64)
    inner = activation(first @ head[f"{dense}.weight"].T + head[f"{dense}.bias"])
    expected = (inner @ head[f"{output}.weight"].T + head[f"{output}.bias"])[:, [2, 1, 0]]

    launch = Launch(settings(folder, data), tmp_path / "run")
    launch.take_over(launch.foreign_head(), (), launch.check())
    run = Run.read(tmp_path / "run")
    assert "unused_head" not in run.result.encoder
    assert "new_weights" not in run.result.encoder
    assert any(dense in note for note in run.result.encoder["notes"])
    logits = saving.load_predict_fn(run.folder.model)(inputs)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert np.ptp(logits) > 0.5
    model = saving.load_classifier(run.folder.model)
    np.testing.assert_allclose(model(inputs), logits, atol=1e-5)
    exported = saving.graph(run.folder.model).function(12)
    for row, logits in enumerate(expected):
        one = {name: tf.constant(value[row : row + 1]) for name, value in inputs.items()}
        np.testing.assert_allclose(exported(**one)["logits"][0], logits, atol=1e-5)


def test_it_is_finished_and_scored(run):
    assert set(run.result.intervals) == {"accuracy_matched", "accuracy_mismatched"}
    assert set(run.result.intervals) < set(run.result.metrics)
    for split in ("validation_matched", "validation_mismatched"):
        assert len(run.folder.predictions_file(split).read_text().splitlines()) == 1 + 6
    told = run.result.encoder["classifier"]
    assert told["outputs"] == ["contradiction", "neutral", "entailment"]
    assert run.result.encoder["family"] == "bert"
    assert "unused_head" not in run.result.encoder
    assert run.folder.inputs_file.is_file()
    again = Launch(run.config, run.path)
    assert again.finished() == run.result


def test_another_run_starts_from_it(run, tmp_path):
    values = flags.FlagValues()
    command_line.define_flags(values)
    methods = "--pruning_method=vocabulary,magnitude"
    values(["train", f"--start={run.path}", methods, "--epochs=1", "--final_sparsity=0.5"])
    read = command_line.from_flags(values)
    taken = {name: getattr(read, name) for name in ("task", "data", "encoder", "seq_length")}
    assert taken == {name: getattr(run.config, name) for name in taken}
    assert (read.epochs, read.is_fine_tuned, read.needs) == (1, True, [])
    launch = Launch(read, tmp_path / "pruned")
    launch.join()
    result = launch.train(launch.check())
    assert result.encoder["starting_point"]["run"] == "run"
    assert "unused_head" not in result.encoder  # It is the head that was pruned.
    assert result.encoder["starting_point"]["metrics"] == dict(run.result.metrics)
    assert result.sparsity["word_embeddings/embeddings"] > 0.2  # Whole rows.
    assert result.sparsity["transformer/layer_0/intermediate/kernel"] == 0.5
    assert result.parameters["total"] < run.result.parameters["total"]
    values = flags.FlagValues()
    command_line.define_flags(values)
    values(["train", f"--start={tmp_path}/nowhere"])
    with refuses(UserError, "--start=", "nowhere"):
        command_line.read_flags(values)


@pytest.mark.processes
def test_the_command_answers_a_mistake_without_tensorflow(tmp_path, data):
    folder = classifier(tmp_path / "model", id2label={"0": "LABEL_0", "1": "LABEL_1"})
    for arguments, named in (
        ((), "--model is missing"),
        ((f"--model={tmp_path}/nowhere", "--task=mnli"), "--model="),
        ((f"--model={folder}", "--task=mnli", f"--data={data}"), "--labels="),
    ):
        command = [sys.executable, "-X", "importtime", "-m", "bert_glue_tf.import_classifier"]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=tmp_path)
        assert " tensorflow\n" not in done.stderr
        done.stderr = re.sub(r"^import time:.*\n", "", done.stderr, flags=re.MULTILINE)
        refused(done, named)
    assert not (tmp_path / "runs").exists()
