"""The result record: strict JSON lines that are only ever added to."""

from __future__ import annotations

import json
import math
import re
import sys

import pytest
from messages import refuses

from bert_glue_tf.core import records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.reports import terminal
from bert_glue_tf.runs import results, versions
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.results import ExperimentResult


def record(**changes):
    values = {
        "config": ExperimentConfig(
            task="mrpc", encoder="minilm_l6", pruning_method="classifier_magnitude", seed=3
        ).to_json(),
        "data": {
            "train": {"name": "sample", "examples": 100, "split_examples": 2000},
            "validation": {"name": "sample", "examples": 408, "split_examples": 408},
        },
        "encoder": {"name": "minilm_l6"},
        "pruning": {"final_sparsity": 0.8},
        "metrics": {"loss": 0.5, "accuracy": 0.75, "f1": 0.8},
        "intervals": {"accuracy": (0.7, 0.8), "f1": (0.75, 0.85)},
        "sparsity": {"classifier/kernel": 0.8},
        "parameters": {"total": 1000, "nonzero": 900, "pruned": 80, "prunable": 100},
        "bytes": {"plain": 2_500_000, "gzip": 2_000_000},
        "speed": {
            "train_examples_per_second": 50.0,
            "evaluation_examples_per_second": 200.0,
            "seconds": 12.3,
        },
        "peak_memory_bytes": 10**9,
        "environment": {},
    }
    return ExperimentResult(**{**values, **changes})


def test_a_record_survives_its_line():
    line = record().to_line()
    assert "\n" not in line
    assert ExperimentResult.from_line(line).to_line() == line


def test_a_field_that_is_unknown_or_missing_makes_no_record_unreadable(caplog):
    values = json.loads(record().to_line())
    assert next(iter(values)) == "format"
    del values["warnings"]  # It has a default, as every field that is added later.
    values["a_field_of_later"] = [1, 2]
    assert ExperimentResult.from_line(json.dumps(values)).to_line() == record().to_line()
    assert not caplog.records
    del values["metrics"]
    with refuses(ValueError, "metrics"):
        ExperimentResult.from_line(json.dumps(values))


def test_a_newer_format_is_read_as_far_as_it_is_known_and_noted_once(caplog):
    values = json.loads(record().to_line()) | {"format": 7}
    for _ in range(2):
        assert ExperimentResult.from_line(json.dumps(values)).metrics["f1"] == 0.8
    (told,) = caplog.records
    assert "ExperimentResult of format 7" in told.getMessage()
    for wrong in (0, "1", None, True):
        with refuses(ValueError, "format"):
            ExperimentResult.from_line(json.dumps(values | {"format": wrong}))


def test_an_undefined_metric_is_null_in_strict_json():
    line = record(metrics={"pearson": math.nan}).to_line()
    assert json.loads(line)["metrics"] == {"pearson": None}
    assert math.isnan(ExperimentResult.from_line(line).metrics["pearson"])


def test_records_are_added_and_never_replaced(tmp_path):
    path = tmp_path / "results.jsonl"
    for seed in range(3):
        records.append(path, record(config={"seed": seed}))
    assert [item.config["seed"] for item in results.load(path)] == [0, 1, 2]


def test_a_line_cut_short_does_not_swallow_the_next_record(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"format": 1, "config": {"ta')
    records.append(path, record())
    lines = path.read_text().split("\n")
    assert lines[0] == '{"format": 1, "config": {"ta'
    assert ExperimentResult.from_line(lines[1]).metrics["f1"] == 0.8
    assert [item.metrics["f1"] for item in results.load(path)] == [0.8]


def test_a_line_cut_short_anywhere_is_passed_over_with_a_warning(tmp_path, caplog):
    path = tmp_path / "results.jsonl"
    line = record().to_line()
    for end in range(1, len(line)):
        path.write_text(record(peak_memory_bytes=7).to_line() + "\n" + line[:end])
        caplog.clear()
        assert [item.peak_memory_bytes for item in results.load(path)] == [7], line[:end]
        assert f"{path}:2: a record that was cut short" in caplog.text
    # Whole but for its line break, it is a record.
    path.write_text(line)
    assert len(results.load(path)) == 1


def test_damage_inside_a_whole_line_is_not_taken_for_a_cut(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text(record().to_line().replace('"loss": 0.5', '"loss": 0,5') + "\n")
    with refuses(UserError, f"{path}:1"):
        results.load(path)


@pytest.mark.parametrize("line", ["[]", "{}", '{"config": 1}', "null", "x"])
def test_a_foreign_line_is_named(tmp_path, line):
    path = tmp_path / "results.jsonl"
    path.write_text(record().to_line() + "\n" + line + "\n")
    with refuses(UserError, f"{path}:2"):
        results.load(path)


def test_environment_names_versions_and_commit():
    found = versions.environment(["/device:CPU:0"])
    assert found["packages"]["tensorflow"].startswith("2.20.")
    assert found["cores"] >= 1
    assert found["commit"] is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", found["commit"])


def test_another_build_of_tensorflow_is_found_and_a_missing_package_is_none(tmp_path, monkeypatch):
    # What a metadata folder says is all that is asked: one of another build, and no other.
    folder = tmp_path / "tensorflow_cpu-2.20.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tensorflow-cpu\nVersion: 2.20.1\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    packages = versions.environment([])["packages"]
    assert packages["tensorflow-cpu"] == "2.20.1"
    assert "tensorflow" not in packages
    assert packages["tf-keras"] is None
    (folder / "METADATA").unlink()
    folder.rmdir()
    assert versions.environment([])["packages"]["tensorflow"] is None


@pytest.mark.parametrize(
    ("sparsities", "told"),
    [
        ((0.5, 0.5, 0.5, 0.5), "50.0 % each"),
        ((0.8000001, 0.8, 0.7999, 0.8), "80.0 % each"),
        ((0.4, 0.5, 0.5, 0.6), "40.0 % to 60.0 %"),
    ],
)
def test_many_sparsities_are_one_row(sparsities, told):
    one = record(
        sparsity={f"layer_{n}/kernel": value for n, value in enumerate(sparsities)},
        parameters={"total": 1000, "nonzero": 900, "pruned": 100, "prunable": 200},
    )
    shown = dict(terminal.rows(one))
    assert shown["sparsity of 4 matrices"] == told
    assert shown["pruned"] == "50.00 % of the classifier (10 % of the model)"


@pytest.mark.parametrize(
    ("total", "nonzero", "of_model"),
    [
        (1000, 900, "8.0 %"),  # Zeros of before the pruning are not counted.
        (800, 800, "20 %"),  # With what was cut out its readers went too.
        (800, 700, "30 %"),  # Others were only set to zero.
    ],
)
def test_of_the_model_counts_what_was_cut_out_with_the_pruned_weights(total, nonzero, of_model):
    counts = {"total": total, "nonzero": nonzero, "pruned": 80, "prunable": 100, "whole": 1000}
    shown = dict(terminal.rows(record(parameters=counts)))
    assert shown["pruned"] == f"80.00 % of the classifier ({of_model} of the model)"


def test_table_shows_each_figure_and_says_sample():
    shown = dict(terminal.rows(record()))
    assert shown["accuracy"] == "0.7500   [0.700, 0.800]"
    assert shown["f1"] == "0.8000   [0.750, 0.850]"
    assert shown["loss"] == "0.5000"
    assert shown["sparsity of classifier/kernel"] == "80.00 %"
    assert shown["pruned"] == "80.00 % of the classifier (8.0 % of the model)"
    assert shown["non-zero parameters"] == "900"
    assert shown["zeros"] == "100: 80 pruned, 20 from the start or by chance"
    assert shown["saved model"] == "2.50 MB"
    assert shown["saved model, gzipped"] == "2.00 MB"
    assert shown["training"] == "50.0 examples/s"
    assert "sample" in terminal.title(record())
    assert any("sample" in line for line in terminal.notes(record()))
    assert "Trained on 100 of the 2,000 examples of mrpc." in terminal.notes(record())


def test_a_score_without_a_wrong_answer_is_said_to_have_no_width():
    (line,) = [
        line
        for line in terminal.notes(record(intervals={"accuracy": (1.0, 1.0)}))
        if "no width" in line
    ]
    # 1 - 0.05 ** (1 / 408): of so many right answers in a row, one time in twenty.
    assert line.startswith("No answer among 408 is wrong")
    assert "up to 0.7 % may be wrong" in line
    assert not any("no width" in line for line in terminal.notes(record()))


def test_an_undefined_metric_is_called_so():
    task = ExperimentConfig(task="stsb", encoder="e").to_json()
    nan = record(config=task, sparsity={}, metrics={"pearson": math.nan, "spearman": math.nan})
    assert dict(terminal.rows(nan))["pearson"] == "undefined (constant predictions)"


@pytest.mark.parametrize("interval", [(math.nan, math.nan), (None, None)])
def test_an_undefined_interval_is_not_shown(interval):
    # Of a single example; NaN as it was computed, None as it was read back.
    shown = dict(terminal.rows(record(intervals={"accuracy": interval})))
    assert shown["accuracy"] == "0.7500"


def test_a_model_that_diverged_is_told_from_constant_predictions():
    metrics = {"loss": math.nan, "accuracy": math.nan, "f1": math.nan}
    shown = dict(terminal.rows(record(metrics=metrics, intervals={})))
    assert {shown[name] for name in metrics} == {"undefined (the model diverged: NaN)"}
