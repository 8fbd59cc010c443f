"""Texts of one's own through the whole house: training, export, prediction, comparison."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import tiny_runs
from messages import refuses, says
from slow_fixtures import slow_to_make

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import predictions
from bert_glue_tf.evaluation.defaults import MARGIN
from bert_glue_tf.export import flatbuffer, litert
from bert_glue_tf.export.card import card
from bert_glue_tf.reports import finished, groups, page, reading, verdicts
from bert_glue_tf.serving import golden_check
from bert_glue_tf.serving.classifier import Classifier

LABELS = ("bad", "good", "great", "long")


def write_rows(path, number, seed):
    """Sentences with the words in them that are labels, and `long` where they are many."""
    rows = []
    for text, _ in tiny_runs.sentences(number, seed):
        words = text.split()
        found = [label for label in LABELS[:3] if label in words]
        rows.append({"text": text, "topics": found + ["long"] * (len(words) > 8)})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
@slow_to_make
def own(tiny_encoder, tmp_path_factory):
    """A run on several labels a text, and its files of probabilities; never to be changed."""
    folder = tmp_path_factory.mktemp("own") / "topics"
    folder.mkdir()
    write_rows(folder / "train.jsonl", 160, 1)
    write_rows(folder / "test.jsonl", 40, 3)
    run = tiny_runs.train(
        tmp_path_factory.mktemp("runs") / "topics",
        tiny_encoder,
        folder,
        task="topics",
        label_column="topics",
        validation_fraction=0.25,
        epochs=20,
        keep="best",
        at_recall=0.9,
    )
    more = {"output": "probabilities", "batch_sizes": (1, 4)}
    return run, tiny_runs.export(run, ["float32", "dynamic_int8"], (16,), **more)


def test_the_record_has_the_task_with_its_labels_by_name(own):
    run, _ = own
    assert run.task.problem.labels == LABELS
    assert (run.task.tsv_text, run.task.tsv_label) == (("text",), "topics")
    assert run.task == tasks.of(run.result)
    validation = run.result.data["validation"]
    assert (validation["examples"], validation["validation_fraction"]) == (40, 0.25)
    assert run.result.metrics["micro_f1"] > 0.7
    low, high = run.result.intervals["macro_f1"]
    assert low < run.result.metrics["macro_f1"] <= high
    # The test file has labels, and was scored when all training was over.
    assert run.result.metrics["micro_f1_test"] > 0.7
    assert "val_micro_f1_test" not in run.folder.read_history()[0]
    # Micro F1 chose the epoch, each at a threshold that was chosen on the held-out examples.
    history = run.folder.read_history()
    assert run.result.epoch == 1 + int(np.argmax([float(row["val_micro_f1"]) for row in history]))
    kept = history[run.result.epoch - 1]
    for name in ("loss", "micro_f1", "macro_f1"):  # At the epoch's own threshold.
        assert run.result.metrics[name] == pytest.approx(float(kept[f"val_{name}"]), rel=1e-5)
    assert run.result.data["train"]["examples"] == 108
    assert 0 < run.task.problem.threshold < 1
    assert run.result.metrics["recall_at_recall"] > 0.6
    assert list(run.result.thresholds) == ["recall"]
    assert 0 < run.result.thresholds["recall"] < 1
    assert not run.folder.best.exists()
    rows = run.folder.labels_file("validation").read_text().splitlines()
    assert [row.split("\t")[0] for row in rows] == ["label", *LABELS]
    description = json.loads((run.folder.model / "architecture.json").read_text())
    assert description["labels"] == list(LABELS)


def test_a_file_has_the_labels_in_its_metadata_and_card(own):
    run, folder = own
    metadata = flatbuffer.read_metadata(folder.model("dynamic_int8").read_bytes())
    assert metadata["labels"] == list(LABELS)
    record = folder.records()["dynamic_int8"]
    assert record.metrics["micro_f1_test"] > 0.7
    told = card(record)
    assert "topics" in told
    threshold = run.result.thresholds["recall"]
    assert metadata["thresholds"] == record.thresholds == {"recall": threshold}
    assert f"| positive from, for recall 0.9 | probability {threshold:.6g} |" in told
    assert record.metrics["recall_at_recall"] == pytest.approx(
        run.result.metrics["recall_at_recall"], abs=0.1
    )
    assert ", ".join(LABELS) in told


def test_a_file_of_probabilities_and_batches_answers_as_the_run(own, caplog):
    run, folder = own
    content = folder.model("float32").read_bytes()
    metadata = flatbuffer.read_metadata(content)
    assert (metadata["output"], metadata["batch_sizes"]) == ("probabilities", [1, 4])
    assert metadata["kind"] == "multi_label"
    model = litert.LiteModel(content)
    assert (model.output, model.lengths, model.batch_sizes(16)) == ("probabilities", (16,), [4, 1])
    # Six texts: four together, and two one by one.
    texts = [("good " * n,) for n in (1, 2, 3)] + [("bad a film",), ("great",), ("the",)]
    found = Classifier.load(folder.model("float32"), 1).predict(texts)
    wanted = Classifier.load(run.path).predict(texts)
    for one, other in zip(found, wanted, strict=True):
        assert one.label == other.label
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    given = [folder.model("dynamic_int8"), 1]
    assert len(list(golden_check.check(*given))) == 3
    # One in each signature: that of float32 was taken off before the other file was made of it.
    content = folder.model("dynamic_int8").read_bytes()
    operators = flatbuffer.operator_counts(flatbuffer.read(content))
    assert operators["LOGISTIC"] == 2


def test_texts_that_are_cut_are_counted_and_told_of(own, caplog):
    run, folder = own
    assert run.result.data["validation"]["cut"] == run.result.data["test"]["cut"] == 0
    assert folder.records()["dynamic_int8"].config["truncation"] == "head"
    model = Classifier.load(folder.model("dynamic_int8"))
    model.predict([("good " * 40,), ("bad",), ("great " * 15,)])
    with caplog.at_level(logging.WARNING, logger="absl"):
        model.tell_cut()
    says(caplog.messages[-1], "2 of 3 texts", "16 pieces")


def test_predictions_have_the_labels_by_name(own):
    run, folder = own
    for path in (run.path, folder.model("dynamic_int8")):
        model = Classifier.load(path)
        assert model.task == run.task
        one, two = model.predict([("a good film",), ("he said that this story was very very bad",)])
        for answer in (one, two):
            assert set(answer.probabilities) == set(LABELS)
            over = [
                label
                for label, probability in answer.probabilities.items()
                if probability >= run.task.problem.threshold
            ]
            assert answer.label == (", ".join(over) or "none")
        assert one.probabilities["good"] > two.probabilities["good"]
        assert two.probabilities["bad"] > one.probabilities["bad"]


def test_answers_by_the_threshold_that_was_chosen_for_recall(own):
    run, folder = own
    text = ("he said that this story was very very bad",)
    for path in (run.path, folder.model("dynamic_int8")):
        model = Classifier.load(path)
        (one,) = model.at("recall").predict([text])
        threshold = run.result.thresholds["recall"]
        over = [label for label, found in one.probabilities.items() if found >= threshold]
        assert one.label == (", ".join(over) or "none")
        with refuses(UserError, "--at=precision", "recall", "--at_precision"):
            model.at("precision")


def test_it_is_compared_and_shown_like_any_other(own, capsys):
    run, _ = own
    keras, float32, int8 = reading.read([run.path])
    assert keras.task == float32.task == int8.task == run.task
    read = predictions.read(run.folder.predictions_file("validation"), run.task, 40)
    assert read.labels.shape == (40, len(LABELS))
    assert np.isfinite(read.logits).all()
    finished.show(run.result, run.folder)
    shown = capsys.readouterr().out
    for name in (
        "topics (own data)",
        "micro_f1",
        "macro_f1_test",
        "all 4 labels",
        "precision_at_recall",
        "positive from, for recall 0.9",
        "export_tflite",
    ):
        assert name in shown
    assert (keras.marked.collapsed, keras.marked.at_chance) == ("", "")
    (difference,) = verdicts.differences([keras, float32, int8], MARGIN)
    assert (difference.metric, difference.examples) == ("micro_f1", 40)
    shown = page.page(groups.group([keras, float32, int8]), [difference])
    assert "micro_f1" in shown
    assert f"threshold_for_recall {run.result.thresholds['recall']:.4f}" in shown
    assert "Answers by class" not in shown  # Several labels are no classes.
