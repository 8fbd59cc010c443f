"""The real path from settings to record, on a tiny encoder in TF-Hub's format."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import math
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tiny_bert
from messages import refuses
from slow_fixtures import slow_to_make

from bert_glue_tf.compression import registry
from bert_glue_tf.core import records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import preprocessing, sample, tasks
from bert_glue_tf.models import loading, saving
from bert_glue_tf.models.bert import importing
from bert_glue_tf.models.bert.classifier_weights import load_classifier
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.reports import terminal
from bert_glue_tf.runs import results
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import callbacks, experiment, network


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(tiny_bert.write_pair(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def settings(encoder):
    return ExperimentConfig(
        task="cola",
        encoder=encoder,
        data="sample",
        epochs=2,
        batch_size=16,
        learning_rate=1e-3,
        seq_length=32,
        train_examples=96,
        pruning_method="classifier_magnitude",
        seed=11,
    )


@pytest.fixture(scope="module")
@slow_to_make
def finished(settings, tmp_path_factory):
    """A finished run: its folder and its record."""
    folder = RunFolder.open(tmp_path_factory.mktemp("finished"), settings)
    return folder, experiment.train_and_evaluate(settings, folder)


@pytest.fixture(scope="module")
@slow_to_make
def killed(settings, tmp_path_factory):
    """The folder of a run whose epochs are done, and that was killed before its record."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(records, "append", interrupt)
        with pytest.raises(KeyboardInterrupt):
            experiment.train_and_evaluate(settings, RunFolder.open(folder, settings))
    return folder


@pytest.fixture
@slow_to_make
def trained(killed, tmp_path):
    """A copy of it, to go on with."""
    return shutil.copytree(killed, tmp_path / "run")


def interrupt(*_):
    raise KeyboardInterrupt


def rows_of(folder):
    with folder.history_file.open(newline="") as file:
        return list(csv.DictReader(file))


def write_tsv(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in rows))


def test_record_tells_what_ran_and_what_came_out(finished, settings):
    folder, record = finished
    assert ExperimentConfig.from_json(record.config) == settings
    assert record.data["train"]["name"] == "sample"
    assert record.data["train"]["examples"] == 96
    assert record.data["validation"]["examples"] == len(sample.examples("cola", "validation"))
    assert record.encoder["family"] == "bert"
    assert len(record.encoder["sha256"]) == 64
    assert set(record.metrics) == {"loss", "matthews", "accuracy"}
    low, high = record.intervals["matthews"]
    assert low <= record.metrics["matthews"] <= high
    # 12 steps: warm-up 1, end 80 %. 16 x 2 weights, 80 % of them: 26 (of 25.6).
    assert record.pruning == {
        "initial_sparsity": 0.5,
        "final_sparsity": 0.8,
        "begin_step": 1,
        "end_step": 9,
        "frequency": 1,
        "total_steps": 12,
    }
    assert record.sparsity == {"classifier/kernel": 26 / 32}
    assert record.bytes["plain"] > record.bytes["gzip"] > 0
    assert record.speed["train_examples_per_second"] > 0
    assert record.peak_memory_bytes > 1e8
    assert results.load(folder.results_file) == [
        results.ExperimentResult.from_line(record.to_line())
    ]


def test_a_finished_run_keeps_no_checkpoint(finished):
    assert not finished[0].checkpoints.exists()
    assert not finished[0].has_checkpoint


def test_parameters_are_those_of_the_saved_model(finished):
    folder, record = finished
    model = load_classifier(folder.model)
    values = [weight.numpy() for weight in model.weights]
    assert record.parameters["total"] == sum(value.size for value in values)
    assert record.parameters["nonzero"] == sum(np.count_nonzero(value) for value in values)
    kernel = model.get_layer("classifier").kernel.numpy()
    assert np.count_nonzero(kernel == 0) == record.parameters["pruned"] == 26
    zero = record.parameters["total"] - record.parameters["nonzero"]
    shown = dict(terminal.rows(record))
    assert shown["non-zero parameters"] == f"{record.parameters['nonzero']:,}"
    others = f", {zero - 26:,} from the start or by chance" if zero > 26 else ""
    assert shown["zeros"] == f"{zero:,}: 26 pruned{others}"
    share = 100 * 26 / record.parameters["total"]
    told = re.fullmatch(r"81\.25 % of the classifier \((\S+) % of the model\)", shown["pruned"])
    assert told
    assert float(told[1]) == pytest.approx(share, rel=0.05)


def test_one_answer_to_everything_is_told_under_the_table(finished, settings, tmp_path, caplog):
    config = dataclasses.replace(settings, epochs=1, train_examples=16, learning_rate=1e-9)
    record = experiment.train_and_evaluate(config, RunFolder.open(tmp_path, config))
    (told,) = record.warnings
    assert re.fullmatch(r"every prediction is \w+", record.collapsed)
    assert record.at_chance == ""
    assert re.fullmatch(r"validation: every prediction is '\w+': the model has learned no.*", told)
    assert told not in caplog.text  # Whoever shows the record says it.
    (again,) = results.load(tmp_path / "results.jsonl")
    assert again.warnings == record.warnings
    assert terminal.notes(again)[-1] == f"Warning: {told}."
    # Records of the first runs have none.
    line = json.loads(again.to_line())
    del line["warnings"]
    assert results.ExperimentResult.from_line(json.dumps(line)).warnings == ()


def test_history_has_the_columns_of_the_reports_tables(finished):
    rows = rows_of(finished[0])
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for column in ("loss", "accuracy", "val_loss", "val_accuracy", "val_matthews"):
        assert math.isfinite(float(rows[0][column]))
    record = finished[1]
    # The last epoch's scores are those of the model that was saved.
    assert float(rows[-1]["val_loss"]) == pytest.approx(record.metrics["loss"], abs=1e-5)
    assert float(rows[-1]["sparsity/classifier/kernel"]) == pytest.approx(26 / 32)


def test_predictions_are_those_of_the_saved_model(finished):
    folder, record = finished
    with folder.predictions_file("validation").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    examples = sample.examples("cola", "validation")
    assert [int(row["label"]) for row in rows] == [label for _, label in examples]
    right = sum(row["label"] == row["prediction"] for row in rows)
    assert right / len(rows) == pytest.approx(record.metrics["accuracy"])
    # From text to logits with nothing but what lies in the model's folder.
    loaded = hub.load(str(folder.model / "preprocessing"))
    texts = tf.constant([examples[i][0][0] for i in (0, 1, 2)])
    features = preprocessing.build(loaded, ("sentence",), 32)([texts])
    logits = saving.load_predict_fn(folder.model)(
        {name: value.numpy() for name, value in features.items()}
    )
    written = [[float(row["logit_unacceptable"]), float(row["logit_acceptable"])] for row in rows]
    np.testing.assert_allclose(logits, written[:3], atol=1e-5)


def test_hparams_have_the_settings_and_the_results(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    folder, record = finished
    events = EventAccumulator(str(folder.tensorboard / "hparams"))
    events.Reload()
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    session = metadata.parse_session_start_info_plugin_data(content)
    written = {name: value for name, value in session.hparams.items()}
    assert set(written) == set(record.config)
    assert written["learning_rate"].number_value == pytest.approx(1e-3)
    assert written["pruning_method"].string_value == "classifier_magnitude"
    found = {tag: events.Tensors(tag)[-1] for tag in events.Tags()["tensors"]}
    matthews = found["result/matthews"]
    assert matthews.step == 2
    assert tf.make_ndarray(matthews.tensor_proto) == pytest.approx(record.metrics["matthews"])
    assert tf.make_ndarray(found["result/megabytes"].tensor_proto) > 0


def test_tensorboard_has_the_curve_of_the_sparsity(finished):
    folder, _ = finished
    curve = {}
    for file in (folder.tensorboard / "steps").iterdir():
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                if value.tag == "sparsity/classifier/kernel":
                    curve[event.step] = float(tf.make_ndarray(value.tensor))
    assert sorted(curve) == list(range(1, 13))
    assert curve[1] == pytest.approx(0.5)
    assert curve[9] == curve[12] == pytest.approx(26 / 32)
    assert all(curve[step] <= curve[step + 1] for step in range(1, 12))


def test_table_on_the_screen(finished, capsys):
    terminal.print_table(finished[1])
    shown = capsys.readouterr().out
    for text in (
        "sample",
        "matthews",
        "sparsity of classifier/kernel",
        "81.25 %",
        "gzipped",
        "non-zero parameters",
        "examples/s",
    ):
        assert text in shown


def test_a_finished_run_is_not_run_again(finished, settings, monkeypatch):
    folder, record = finished
    monkeypatch.setattr(loading, "load", None)
    again = experiment.train_and_evaluate(settings, RunFolder.open(folder.path, settings))
    assert again.to_line() == record.to_line()


def test_an_interrupted_run_goes_on_and_keeps_its_history(
    finished, settings, tmp_path, monkeypatch
):
    folder = RunFolder.open(tmp_path, settings)

    class Interrupt(callbacks.Checkpoint):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(callbacks, "Checkpoint", Interrupt)
        with pytest.raises(KeyboardInterrupt):
            experiment.train_and_evaluate(settings, folder)
    first = rows_of(folder)
    assert len(first) == 1
    assert folder.finished_result() is None

    record = experiment.train_and_evaluate(settings, RunFolder.open(tmp_path, settings))
    rows = rows_of(folder)
    assert rows[0] == first[0]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert record.sparsity == {"classifier/kernel": 26 / 32}
    # Both processes count. Each leaves out its first step, which traces the graph.
    examples = [int(row["measured_examples"]) for row in rows]
    seconds = [float(row["measured_seconds"]) for row in rows]
    assert examples == [80, 80]
    assert record.speed["train_examples_per_second"] == pytest.approx(
        sum(examples) / sum(seconds), rel=1e-3
    )
    assert float(rows[1]["run_seconds"]) > float(rows[0]["run_seconds"]) + float(rows[1]["seconds"])
    assert record.speed["seconds"] > float(rows[1]["run_seconds"])


def test_a_run_that_is_killed_before_its_record_trains_nothing_more(trained, settings, finished):
    folder = RunFolder.open(trained, settings)
    rows = rows_of(folder)
    last = experiment.train_and_evaluate(settings, folder)
    assert rows_of(folder) == rows
    assert last.metrics == pytest.approx(finished[1].metrics, abs=1e-4)
    examples = sum(int(row["measured_examples"]) for row in rows)
    seconds = sum(float(row["measured_seconds"]) for row in rows)
    assert last.speed["train_examples_per_second"] == pytest.approx(examples / seconds, rel=1e-3)
    assert last.speed["seconds"] > float(rows[1]["run_seconds"])
    # Now it never has to go on.
    assert not folder.checkpoints.exists()


def test_a_run_does_not_go_on_with_other_data_or_another_encoder(tmp_path, monkeypatch):
    pair = tiny_bert.write_pair(tmp_path / "pair", layers=1)
    other = tiny_bert.write_pair(tmp_path / "other", layers=1, seed=1)
    rows = [["gj04", str(i % 2), "", f"the cat saw book {i}"] for i in range(64)]
    for name in ("train", "dev"):
        write_tsv(tmp_path / "CoLA" / f"{name}.tsv", rows)
    config = ExperimentConfig(
        encoder=str(pair), data=str(tmp_path), epochs=2, batch_size=32, seq_length=16
    )

    class Interrupt(callbacks.Checkpoint):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            raise KeyboardInterrupt

    folder = RunFolder.open(tmp_path / "run", config)
    with monkeypatch.context() as patched:
        patched.setattr(callbacks, "Checkpoint", Interrupt)
        with pytest.raises(KeyboardInterrupt):
            experiment.train_and_evaluate(config, folder)
    kept = json.loads(folder.inputs_file.read_text())
    assert sorted(kept) == ["encoder", "train data", "validation data", "versions"]

    rows[0][1] = "1"
    write_tsv(tmp_path / "CoLA" / "train.tsv", rows)
    with refuses(UserError, folder.path, "train data"):
        experiment.train_and_evaluate(config, folder)
    rows[0][1] = "0"
    write_tsv(tmp_path / "CoLA" / "train.tsv", rows)
    (pair / "encoder").rename(tmp_path / "earlier")
    (other / "encoder").rename(pair / "encoder")
    with refuses(UserError, folder.path, "encoder"):
        experiment.train_and_evaluate(config, folder)
    assert not folder.results_file.exists()
    (pair / "encoder").rename(tmp_path / "later")
    (tmp_path / "earlier").rename(pair / "encoder")
    record = experiment.train_and_evaluate(config, folder)
    assert record.data["train"]["sha256"] == kept["train data"]["sha256"]
    assert record.encoder["sha256"] == kept["encoder"]["sha256"]


def cut_short(states, step):
    (shard,) = states.glob(f"step-{step}.data-*")
    shard.write_bytes(shard.read_bytes()[:1000])


def test_of_a_checkpoint_cut_short_the_one_before_is_used(
    trained, settings, finished, caplog, capsys
):
    folder = RunFolder.open(trained, settings)
    cut_short(folder.checkpoints, 12)
    record = experiment.train_and_evaluate(settings, folder)
    assert f"{folder.checkpoints / 'step-12'}: the state after step 12 of the train" in caplog.text
    assert re.findall(r"^epoch \d", capsys.readouterr().out, re.M) == ["epoch 2"]
    assert record.metrics == pytest.approx(finished[1].metrics, abs=1e-5)
    rows, whole = rows_of(folder), rows_of(finished[0])
    losses = [[float(row["loss"]) for row in found] for found in (rows, whole)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


@pytest.mark.parametrize("damage", ["cut short", "vanished"])
def test_without_a_whole_checkpoint_the_training_starts_anew_and_says_so(
    trained, settings, finished, caplog, capsys, damage
):
    folder = RunFolder.open(trained, settings)
    if damage == "vanished":
        shutil.rmtree(folder.checkpoints)
    else:
        for step in (6, 12):
            cut_short(folder.checkpoints, step)
    record = experiment.train_and_evaluate(settings, folder)
    assert f"{folder.checkpoints}: holds no state of the training that can be read" in caplog.text
    assert re.findall(r"^epoch \d", capsys.readouterr().out, re.M) == ["epoch 1", "epoch 2"]
    assert record.metrics == pytest.approx(finished[1].metrics, abs=1e-5)
    assert len(rows_of(folder)) == 2


def test_an_interrupted_epoch_goes_on_after_its_step(finished, settings, tmp_path, monkeypatch):
    """Its loss is the mean over all of its steps, and its dropout goes on where it was."""
    folder = RunFolder.open(tmp_path, settings)

    class Interrupt(callbacks.Checkpoint):
        def on_train_batch_end(self, batch, logs=None):
            self._interruption.came = (self._epoch, batch) == (1, 2)
            super().on_train_batch_end(batch, logs)

    with monkeypatch.context() as patched:
        patched.setattr(callbacks, "Checkpoint", Interrupt)
        with pytest.raises(KeyboardInterrupt):
            experiment.train_and_evaluate(settings, folder)
    assert sorted(path.name for path in folder.checkpoints.glob("*.index")) == [
        "step-6.index",
        "step-9.index",
    ]
    counted = []

    class Shown(callbacks.Progress):
        def on_train_batch_end(self, batch, logs=None):
            counted.append((batch, float(self.model.metrics[0].weights[1])))
            super().on_train_batch_end(batch, logs)

    monkeypatch.setattr(callbacks, "Progress", Shown)
    record = experiment.train_and_evaluate(settings, RunFolder.open(tmp_path, settings))
    # What the bar shows is a mean over the epoch's steps so far, from its first step on.
    each = counted[-1][1] / 6
    assert counted == [(batch, (batch + 1) * each) for batch in (3, 4, 5)]
    for row, whole in zip(rows_of(folder), rows_of(finished[0]), strict=True):
        for name in ("loss", "accuracy", "val_loss"):
            assert float(row[name]) == pytest.approx(float(whole[name]), abs=1e-6), name
    assert record.metrics == pytest.approx(finished[1].metrics, abs=1e-6)
    assert [row["measured_examples"] for row in rows_of(folder)] == ["80", "32"]


def test_a_folder_that_vanishes_is_told_and_not_made_again(settings, tmp_path, monkeypatch):
    folder = RunFolder.open(tmp_path / "run", settings)

    class Remove(callbacks.Checkpoint):
        def on_epoch_end(self, epoch, logs=None):
            (tmp_path / "run").rename(tmp_path / "elsewhere")
            super().on_epoch_end(epoch, logs)

    monkeypatch.setattr(callbacks, "Checkpoint", Remove)
    with refuses(UserError, f"--workdir={tmp_path / 'run'}"):
        experiment.train_and_evaluate(settings, folder)
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert not (tmp_path / "run" / "history.csv").exists()


def test_a_model_that_diverged_is_called_so(tmp_path):
    shapes = tiny_bert.architecture(layers=1)
    drawn = tiny_bert.weights(shapes)
    drawn["pooler_transform/bias"][0] = np.inf
    drawn["pooler_transform/kernel"][:, 1] = np.nan
    pair = tiny_bert.write_pair(tmp_path / "pair", layers=1)
    shutil.rmtree(pair / "encoder")
    importing.write_encoder(build_encoder(shapes, drawn.__getitem__), pair / "encoder")
    config = ExperimentConfig(
        encoder=str(pair), data="sample", epochs=1, train_examples=32, seq_length=32
    )
    folder = RunFolder.open(tmp_path / "run", config)
    record = experiment.train_and_evaluate(config, folder)
    assert all(math.isnan(value) for value in record.metrics.values())
    assert set(record.metrics) == {"loss", "matthews", "accuracy"}
    assert record.intervals == {}
    number = len(sample.examples("cola", "validation"))
    assert (
        f"validation: the model diverged: its outputs for {number} of {number} examples are no "
        "numbers (NaN)"
    ) in record.warnings[0]
    assert len(record.warnings) == 1  # It does not say besides that every prediction is alike.
    with folder.predictions_file("validation").open() as file:
        assert {row["prediction"] for row in csv.DictReader(file, delimiter="\t")} == {"nan"}
    for shown in (record, results.load(folder.results_file)[0]):
        rows = dict(terminal.rows(shown))
        for name in record.metrics:
            assert rows[name] == "undefined (the model diverged: NaN)"


def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    finished, killed, settings, tmp_path
):
    config = dataclasses.replace(settings, seed=12)
    other = RunFolder.open(tmp_path / "run", config)
    experiment.train_and_evaluate(config, other)
    folders = (finished[0], RunFolder(killed, settings), other)
    losses = [float(rows_of(folder)[-1]["val_loss"]) for folder in folders]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert abs(losses[0] - losses[2]) > 1e-4


def test_mnli_reports_matched_and_mismatched(encoder, tmp_path):
    header = ["index", "sentence1", "sentence2", "gold_label"]
    labels = tasks.get("mnli").problem.labels

    def rows(number):
        return [header] + [
            [str(i), f"a man read book {i}", f"the man saw {i}", labels[i % 3]]
            for i in range(number)
        ]

    write_tsv(tmp_path / "MNLI" / "train.tsv", rows(40))
    write_tsv(tmp_path / "MNLI" / "dev_matched.tsv", rows(7))
    write_tsv(tmp_path / "MNLI" / "dev_mismatched.tsv", rows(9))
    config = ExperimentConfig(
        task="mnli", encoder=encoder, data=str(tmp_path), epochs=1, seq_length=24
    )
    folder = RunFolder.open(tmp_path / "run", config)
    record = experiment.train_and_evaluate(config, folder)
    assert set(record.metrics) == {
        "loss_matched",
        "accuracy_matched",
        "loss_mismatched",
        "accuracy_mismatched",
    }
    assert record.data["validation_matched"]["examples"] == 7
    assert record.data["validation_mismatched"]["examples"] == 9
    assert record.data["train"]["name"] == "tsv"
    names = [name for name, _ in terminal.rows(record)]
    assert {"accuracy_matched", "accuracy_mismatched"} <= set(names)
    assert not any("sample" in line for line in terminal.notes(record))


def test_stsb_is_a_regression(encoder, tmp_path):
    pairs = (("the cat sat", "she gave all his books to him"), ("the cat sat", "the cat sat"))
    rows = [["sentence1", "sentence2", "score"]] + [
        [*pairs[i % 2], f"{i % 2}.0"] for i in range(64)
    ]
    write_tsv(tmp_path / "STS-B" / "train.tsv", rows)
    write_tsv(tmp_path / "STS-B" / "dev.tsv", rows[:21])
    config = ExperimentConfig(
        task="stsb",
        encoder=encoder,
        data=str(tmp_path),
        epochs=10,
        batch_size=8,
        seq_length=24,
        learning_rate=3e-3,
    )
    record = experiment.train_and_evaluate(config, RunFolder.open(tmp_path / "run", config))
    assert set(record.metrics) == {"loss", "pearson", "spearman"}
    assert record.metrics["pearson"] > 0.9
    history = rows_of(RunFolder(tmp_path / "run", config))
    assert float(history[-1]["val_loss"]) < float(history[0]["val_loss"])


def test_a_saved_model_encoder_is_told_which_methods_can_prune_it(settings, monkeypatch):
    monkeypatch.setattr(loading, "load", lambda *_, **__: tiny_bert.saved_model_backbone())
    config = dataclasses.replace(settings, pruning_method="attention_head")
    with refuses(UserError, "--pruning_method=attention_head", "magnitude, movement"):
        network.load_encoder(config, registry.build(config))


def test_a_saved_model_encoder_trains_with_its_head_pruned(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "load", functools.partial(loading.load, family="saved_model"))
    config = dataclasses.replace(settings, epochs=1)
    folder = RunFolder.open(tmp_path, config)
    record = experiment.train_and_evaluate(config, folder)
    assert record.encoder["family"] == "saved_model"
    assert record.sparsity == {"classifier/kernel": 26 / 32}
    features = {
        name: np.ones((2, 9), np.int32)
        for name in ("input_word_ids", "input_mask", "input_type_ids")
    }
    assert saving.load_predict_fn(folder.model)(features).shape == (2, 2)
    with refuses(UserError, folder.model, "SavedModel"):
        load_classifier(folder.model)


def test_a_schedule_beyond_the_training_stops_before_the_encoder_loads(
    settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(loading, "load", None)
    config = dataclasses.replace(settings, end_step=13)
    with refuses(UserError, "--end_step=13", "12 steps"):
        experiment.train_and_evaluate(config, RunFolder.open(tmp_path, config))
    # Nothing was trained, so the folder is free for the corrected command.
    RunFolder.open(tmp_path, dataclasses.replace(settings, end_step=12))


def test_config_json_alone_repeats_the_run(finished):
    folder, record = finished
    config = ExperimentConfig.from_json(json.loads(folder.config_file.read_text()))
    assert config.to_json() == record.config
