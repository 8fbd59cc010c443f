"""A task that is none of GLUE through the whole path: train, export, predict, compare's record."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tiny_runs
from slow_fixtures import slow_to_make

from bert_glue_tf.data import readers, tasks
from bert_glue_tf.evaluation import predictions
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.serving.classifier import Classifier

TASK = tasks.get("rest16")
WORDS = {"T-NEG": "bad", "T-NEU": "this", "T-POS": "good"}
NOUNS = ("film", "movie", "book", "story")


def write(folder: pathlib.Path) -> pathlib.Path:
    """Sentences `the NOUN is WORD`, whose word is the polarity of the noun."""
    (folder / TASK.folder).mkdir(parents=True)
    for name, number, seed in (("train", 180, 1), ("dev", 45, 2), ("test", 45, 3)):
        random = np.random.default_rng(seed)
        lines = []
        for i in range(number):
            tag, noun = TASK.tsv_labels[i % 3], random.choice(NOUNS)
            lines.append(f"the {noun} is {WORDS[tag]}####the=O {noun}={tag} is=O {WORDS[tag]}=O\n")
        (folder / TASK.folder / f"{name}.txt").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
@slow_to_make
def finished(tiny_encoder, tmp_path_factory) -> tuple[Run, ExportFolder]:
    root = tmp_path_factory.mktemp("aspects")
    run = tiny_runs.train(root / "run", tiny_encoder, write(root / "absa"), task="rest16")
    return run, tiny_runs.export(run, ["float32"])


def test_the_record_has_both_metrics(finished):
    run, _ = finished
    record = run.result
    assert (record.metrics["accuracy"], record.metrics["macro_f1"]) == (1.0, 1.0)
    assert {name: list(ends) for name, ends in record.intervals.items()} == {
        "accuracy": [1.0, 1.0],
        "macro_f1": [1.0, 1.0],
    }
    assert record.data["validation"]["name"] == "aspects"
    assert record.data["train"]["examples"] == 180
    answers = predictions.read(run.folder.predictions_file("validation"), TASK)
    assert np.bincount(answers.labels).tolist() == [15, 15, 15]


def test_the_file_for_a_phone_answers_the_labelled_test_split(finished):
    run, folder = finished
    classifier = Classifier.load(folder.model("float32"), 2)
    assert classifier.task is TASK
    test = readers.load(TASK, run.config.data, "test")
    found = classifier.predict(list(zip(*test.texts, strict=True)))
    assert [answer.label for answer in found] == [
        TASK.problem.labels[label] for label in test.labels
    ]


def test_the_export_is_scored_by_the_same_metrics(finished):
    _, folder = finished
    record = folder.records()["float32"]
    assert (record.metrics["accuracy"], record.metrics["macro_f1"]) == (1.0, 1.0)
    assert record.parity["flips"] == 0
