"""Runs that learn from a teacher, for real, on tiny encoders."""

from __future__ import annotations

import dataclasses
import errno
import gc
import json
import os
import pathlib
import shutil
import types
import weakref

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import tiny_bert
import tiny_classifier
import tiny_runs
from messages import refuses
from slow_fixtures import slow_to_make

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.data.batching import Batching, Split, training_dataset
from bert_glue_tf.data.layouts import Packed
from bert_glue_tf.data.preprocessing import TokenizedTexts
from bert_glue_tf.data.problems.multi_label import MultiLabel
from bert_glue_tf.models import encoders, heads, loading, saving
from bert_glue_tf.models.bert.classifier_weights import read_weights
from bert_glue_tf.models.tokens import Tokens
from bert_glue_tf.reports import terminal
from bert_glue_tf.runs import results
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.serving.classifier import Classifier
from bert_glue_tf.training import callbacks, devices, experiment, inputs, teachers, teaching
from bert_glue_tf.training import objective as objectives
from bert_glue_tf.training.hints import LayerStates
from bert_glue_tf.training.job import Job
from bert_glue_tf.training.objective import (
    DistilledLoss,
    HintedTrainee,
    TaskLoss,
    Trainee,
)
from bert_glue_tf.training.token_rows import TokenRows


@pytest.fixture(scope="module")
def teacher(exported, tmp_path_factory) -> Run:
    """A run that gets every dev sentence right, with an encoder of one layer and 16 features."""
    run, _ = exported
    return Run.read(shutil.copytree(run.path, tmp_path_factory.mktemp("teacher") / "teacher"))


@pytest.fixture(scope="module")
def turned(tmp_path_factory) -> pathlib.Path:
    """The same sentences, and in the training file each has the label of the other class."""
    folder = tiny_runs.write_sst2(tmp_path_factory.mktemp("turned"))
    file = folder / "SST-2" / "train.tsv"
    head, *rows = file.read_text().splitlines()
    rows = [f"{row[:-1]}{1 - int(row[-1])}" for row in rows]
    file.write_text("\n".join([head, *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
@slow_to_make
def student(teacher, turned, tmp_path_factory) -> Run:
    """A smaller and narrower encoder that has learned from the teacher alone, its layer too."""
    encoder = tiny_bert.write_pair(tmp_path_factory.mktemp("small"), layers=1, hidden=8, seed=4)
    return tiny_runs.train(
        tmp_path_factory.mktemp("runs") / "student",
        str(encoder),
        turned,
        teacher=str(teacher.path),
        distill_weight=1.0,
        distill_layers="uniform",
        distill_layers_weight=1.0,
        encoder_dropout=0.0,
        seq_length=16,
    )


@pytest.fixture(scope="module")
def answering(student):
    """The settings of a student that learns the teacher's answers alone."""
    return dataclasses.replace(student.config, distill_layers="")


def begun(config, path):
    """A run of these settings, its examples and its teacher."""
    job = Job(config, RunFolder.open(path, config), devices.build("cpu"))
    data = inputs.read(job, None)
    return job, data, teachers.find(config, data.task, None)


def load(encoder):
    return loading.load(encoders.resolve(encoder), seq_length=32)


def test_a_student_learns_what_the_teacher_says_and_not_the_labels(student):
    """By the labels, each of which is the other class, it would get everything wrong."""
    assert student.result.metrics["accuracy"] > 0.8


def test_the_record_tells_of_the_teacher(student, teacher):
    told = student.result.teacher
    assert (told["run"], told["metrics"]) == ("teacher", dict(teacher.result.metrics))
    assert told["train_metrics"]["accuracy"] < 0.1  # By the turned labels.
    assert told["layers"] == [[1, 1]]
    shown = dict(terminal.rows(student.result))["teacher"]
    assert shown.startswith(f"teacher: accuracy {told['metrics']['accuracy']:.4f}, ")
    line = student.result.to_line()
    assert results.ExperimentResult.from_line(line).to_line() == line
    kept = json.loads(student.folder.inputs_file.read_text())["teacher"]
    assert kept == {"name": "teacher", "sha256": told["sha256"]}
    assert not student.folder.teacher_answers.exists()


def test_a_run_that_goes_on_has_the_same_answers_and_does_not_ask_again(
    student, teacher, tmp_path, monkeypatch
):
    class Interrupt(callbacks.Checkpoint):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            if epoch == 7:
                raise KeyboardInterrupt

    config = student.config
    folder = RunFolder.open(tmp_path / "run", config)
    with monkeypatch.context() as patched:
        patched.setattr(callbacks, "Checkpoint", Interrupt)
        with pytest.raises(KeyboardInterrupt):
            experiment.train_and_evaluate(config, folder)
    kept = sorted(path.name for path in folder.teacher_answers.iterdir())
    assert kept == ["asked.json", "logits.npy", "states.npy", "states_splits.npy"]
    # With another teacher in the same place it does not go on.
    (file,) = (teacher.path / "model" / "variables").glob("*.data-*")
    content = file.read_bytes()
    file.write_bytes(content[:-4] + b"\1\2\3\4")
    with refuses(UserError, folder.path, "teacher"):
        experiment.train_and_evaluate(config, RunFolder.open(folder.path, config))
    file.write_bytes(content)
    monkeypatch.setattr(teaching, "_answers", None)
    result = experiment.train_and_evaluate(config, RunFolder.open(folder.path, config))
    assert result.metrics == student.result.metrics
    assert result.teacher == student.result.teacher
    found, expected = (read_weights(one) for one in (folder.model, student.folder.model))
    for name, value in expected.encoder.items():  # Bit for bit.
        np.testing.assert_array_equal(found.encoder[name], value, err_msg=name)
    np.testing.assert_array_equal(found.kernel, expected.kernel)
    assert not folder.teacher_answers.exists()


def test_the_answers_are_the_teachers_logits_in_its_own_word_pieces(
    answering, teacher, tmp_path, monkeypatch
):
    """The student reads 16 pieces and the teacher 32, of which nothing is left in memory."""
    job, data, found = begun(answering, tmp_path)
    loaded, load_saved = [], saving.load_saved

    def remembered(folder):
        model = load_saved(folder)
        loaded.append(weakref.ref(model))
        return model

    monkeypatch.setattr(saving, "load_saved", remembered)
    answers = teaching.ask(job, data, found, load(answering.encoder)).answers
    gc.collect()
    assert [one() for one in loaded] == [None]
    expected = Classifier.load(teacher.path).logits(list(zip(*data.train.texts, strict=True)))
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    turned_around = dataclasses.replace(found, outputs=[1, 0])
    again = teaching.ask(job, data, turned_around, load(answering.encoder)).answers
    np.testing.assert_array_equal(again, answers[:, ::-1])
    assert len(loaded) == 2  # The teacher by `Classifier` above, and not a third time.


def test_answers_to_other_texts_and_damaged_ones_are_not_used_again(
    answering, tmp_path, monkeypatch
):
    """Until the training begins, a folder may be given other settings."""
    asked = []

    def answers(_, tokens, *rest):
        asked.append(len(tokens))
        return np.full((len(tokens), 2), len(asked), np.float32)

    monkeypatch.setattr(teaching, "_answers", answers)
    encoder = load(answering.encoder)
    config = dataclasses.replace(answering, train_examples=40)
    held_out = dataclasses.replace(config, train_examples=50, held_out=10)
    cut = dataclasses.replace(held_out, truncation="tail")
    for number, one in enumerate((config, held_out, cut), start=1):
        job, data, found = begun(one, tmp_path)
        for _ in range(2):
            assert (teaching.ask(job, data, found, encoder).answers == number).all()
    assert asked == [40] * 3
    cased = encoder.with_provenance(vocabulary_sha256="another")
    assert (teaching.ask(job, data, found, cased).answers == 4).all()
    logits = job.folder.teacher_answers / "logits.npy"
    whole = logits.read_bytes()
    for number, content in enumerate((whole[:-4], b"", b"nothing", None), start=5):
        logits.unlink()
        if content is not None:
            logits.write_bytes(content)
        assert (teaching.ask(job, data, found, cased).answers == number).all()
        assert len(asked) == number
    (logits.parent / "asked.json").write_bytes(b"\xff")
    assert (teaching.ask(job, data, found, cased).answers == 9).all()


def test_a_teacher_of_several_labels_is_scored_at_its_own_threshold():
    """Its probabilities are 0.3 for each right label and 0.1 for the others."""
    problem = MultiLabel(("a", "b"))
    task = dataclasses.replace(
        tasks.get("sst2"), problem=problem, metrics=("micro_f1",), primary_metric="micro_f1"
    )
    fitted = dataclasses.replace(task, problem=problem.at(0.2))
    run = types.SimpleNamespace(
        path=pathlib.Path("teacher"), task=fitted, result=types.SimpleNamespace(metrics={})
    )
    labels = np.array([[1, 0], [0, 1], [1, 1]])
    probability = np.where(labels, 0.3, 0.1).astype(np.float32)
    data = types.SimpleNamespace(task=task, train=types.SimpleNamespace(labels=labels))
    scores = teaching._scores(
        teachers.Teacher(run, "--teacher=x", [0, 1], [0]),
        data,
        np.log(probability / (1 - probability)),
    )
    assert scores["micro_f1"] == 1.0


def test_the_states_of_the_teachers_layers_are_kept_as_directions(
    student, teacher, tiny_encoder, tmp_path, monkeypatch
):
    config = dataclasses.replace(
        student.config, encoder=tiny_encoder, distill_layers="1:1", distill_layers_weight=3.0
    )
    job, data, found = begun(config, tmp_path)
    lesson = teaching.ask(job, data, found, load(tiny_encoder))
    (hint,) = lesson.hints
    assert (hint.layers, hint.weight) == ([1], 3.0)
    assert hint.are_whole == [False]  # The student's only layer is its last one.
    assert lesson.record()["layers"] == [[1, 1]]
    directions = hint.rows[np.arange(160)]
    assert (directions.shape, directions.dtype) == ((160, 1, 16), np.float16)
    size = np.linalg.norm(directions.astype(np.float32), axis=-1)
    np.testing.assert_allclose(size, 1.0, atol=1e-3)
    classifier = Classifier.load(teacher.path)
    texts = list(zip(*data.train.texts, strict=True))[:5]
    np.testing.assert_allclose(lesson.answers[:5], classifier.logits(texts), atol=1e-5)
    model = saving.load_classifier(teacher.folder.model)
    features = classifier.preprocessor([np.array([text for (text,) in texts])])
    select = {"states": lambda outputs: outputs["encoder_outputs"][0]}
    states = heads.with_inside(model, features, select)(features)["states"].numpy()
    unit = states / np.linalg.norm(states, axis=-1, keepdims=True)
    np.testing.assert_allclose(directions[:5, 0], unit[:, 0], atol=1e-3)
    # Of all tokens: not where the student reads other word pieces than the teacher.
    config = dataclasses.replace(config, distill_tokens="all", seq_length=8)
    job, data, found = begun(config, tmp_path / "cut")
    with refuses(UserError, "--distill_tokens=all", "--seq_length"):
        teaching.ask(job, data, found, load(tiny_encoder))
    config = dataclasses.replace(config, seq_length=32)
    job, data, found = begun(config, tmp_path / "all")
    turned_around = dataclasses.replace(found, fields=[1, 0])
    with refuses(UserError, "--distill_tokens=all", "another order", "--text_columns"):
        teaching.ask(job, data, turned_around, load(tiny_encoder))
    kept = teaching.ask(job, data, found, load(tiny_encoder)).hints[0].rows
    tokens = features["input_mask"].numpy().sum(1)
    np.testing.assert_array_equal(kept.lengths[:5], tokens)
    for text, length in enumerate(tokens):
        mine = kept[np.array([text])][:, 0]
        np.testing.assert_allclose(mine, unit[text, :length], atol=1e-3)
    # Where there is no room for them, it is said how much they would take: 160 x 16 x 2 bytes.
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    config = dataclasses.replace(config, distill_tokens="first")
    job, data, found = begun(config, tmp_path / "other")
    left = job.folder.teacher_answers / "states.npy"
    left.parent.mkdir()
    left.write_bytes(bytes(8000))  # Of a process that was killed; it takes the room as well.
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda path: full)
        with refuses(UserError, "--distill_layers=1:1", "160 tokens", "16 numbers", "5.1"):
            teaching.ask(job, data, found, load(tiny_encoder))
    assert not left.exists()

    def no_room(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with refuses(UserError, job.folder.teacher_answers, "No space left"):
        teaching.ask(job, data, found, load(tiny_encoder))
    assert not left.exists()


@pytest.mark.parametrize("tokens", [1, 8])
def test_a_training_by_states_brings_them_nearer_and_trains_the_same_variables(tokens):
    shapes = dataclasses.replace(
        tiny_bert.architecture(), output_dropout=0.0, attention_dropout=0.0
    )
    task, layout, layers = tasks.get("cola"), Packed(width=16), (1, 2)
    random = np.random.default_rng(3)
    ids = random.integers(5, shapes.vocab_size, (32, 8)).astype(np.int32)
    pieces = TokenizedTexts(ids.ravel(), np.zeros(ids.size, np.int8), np.arange(33) * 8)
    split = Split("train", pieces, task.problem.as_labels(ids[:, 0] % 2))
    features = tf.nest.map_structure(tf.constant, layout.features(pieces, np.arange(32)))

    places = Tokens.of(features, np.full(32, tokens, np.int32), 32 * tokens)

    def directions(model):
        """Return those of the first layer's tokens, and of the last one's pooled tokens."""
        select = {"states": lambda outputs: outputs["encoder_outputs"]}
        first, last = heads.with_inside(model, layout.inputs, select)(features)["states"]
        found = places.of_rows(first), last[:, 0]
        return [tf.math.l2_normalize(one, axis=-1).numpy() for one in found]

    def apart(model):
        pairs = zip(directions(model), wanted, strict=True)
        return np.array([np.square(mine - theirs).sum(-1).mean() for mine, theirs in pairs])

    wanted = directions(tiny_classifier.classifier(shapes, "cola", seed=1)[0])
    model, _ = tiny_classifier.classifier(shapes, "cola", seed=2)
    before = apart(model)
    rows = np.stack([wanted[0], np.repeat(wanted[1], tokens, axis=0)], axis=1)
    kept = TokenRows(rows.astype(np.float16), np.arange(33) * tokens)
    hint = LayerStates(kept, 1.0, layers, (True, False), 16)
    answers = np.zeros((32, 2), np.float32)
    objective = DistilledLoss(task.problem, TaskLoss(task.problem), answers, 0.0, 1.0, [hint])
    classifier = heads.over(model, layout.inputs)
    plain = Trainee(classifier, TaskLoss(task.problem))
    trainee = objectives.trainee(model, layout.inputs, objective, seed=1)
    assert isinstance(trainee, HintedTrainee)
    assert [v.ref() for v in trainee.variables] == [v.ref() for v in plain.variables]
    trainee.compile(
        optimizer=tf_keras.optimizers.Adam(0.01),
        weighted_metrics=task.problem.keras_metrics(False),
        is_filled_up=False,
    )
    dataset = training_dataset(
        split, Batching(16, seed=1), layout, epochs=range(6), targets=objective.targets(split)
    )
    done = trainee.fit(dataset, epochs=6, steps_per_epoch=2, verbose=0)
    assert list(done.history) == ["loss", "accuracy"]
    assert trainee.train_function.experimental_get_tracing_count() == 1
    after = apart(model)
    assert (before > 1.0).all()
    assert (after < 0.8 * before).all()


@pytest.fixture(scope="module")
@slow_to_make
def pruned(tiny_encoder, tiny_glue, tmp_path_factory) -> Run:
    """A run that is pruned and cut, and learns by all of the one that it starts from."""
    return tiny_runs.train(
        tmp_path_factory.mktemp("pruned") / "run",
        tiny_encoder,
        tiny_glue,
        epochs=1,
        finetune_epochs=1,
        teacher="start",
        pruning_method="attention_head,neuron",
        final_sparsity=0.5,
        keep="best",
        distill_weight=0.9,
        distill_layers="uniform",
        distill_tokens="all",
        distill_attention="last",
    )


def test_a_pruned_run_learns_from_the_one_that_it_starts_from(pruned):
    start = Run.read(pruned.path.with_name(pruned.config.starting_point.run_name))
    assert start.result.teacher == {}
    told = pruned.result.teacher
    assert told["run"] == start.path.name
    assert (told["layers"], told["attention"]) == ([[1, 1]], [1, 1])
    assert told["metrics"] == pruned.result.encoder["starting_point"]["metrics"]
    before, after = (pruned.result.widths[name] for name in ("before", "after"))
    assert [{unit: number // 2 for unit, number in layer.items()} for layer in before] == after
    assert pruned.result.parameters["total"] < start.result.parameters["total"]


def test_a_teacher_that_diverged_or_is_damaged_is_refused(
    answering, teacher, tmp_path, monkeypatch
):
    encoder = load(answering.encoder)
    damaged = shutil.copytree(teacher.path, tmp_path / "damaged")
    (damaged / "model" / "saved_model.pb").write_bytes(b"not one")
    config = dataclasses.replace(answering, teacher=str(damaged))
    job, data, found = begun(config, tmp_path / "one")
    with refuses(UserError, damaged / "model", "cannot be loaded"):
        teaching.ask(job, data, found, encoder)
    nowhere = np.full((160, 2), np.nan, np.float32)
    monkeypatch.setattr(teaching, "_answers", lambda *_: nowhere)
    with refuses(UserError, f"--teacher={damaged}", "diverged"):
        teaching.ask(job, data, found, encoder)
