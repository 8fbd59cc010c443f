"""The budget, the settings of a compression, its folder, and what is refused before anything."""

from __future__ import annotations

import dataclasses
import json

import budgets
import pytest
from messages import refuses

from bert_glue_tf import api
from bert_glue_tf.budget import launch
from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.record import Choice, Step
from bert_glue_tf.budget.settings import CompressSettings, Limits, held_out_of
from bert_glue_tf.core import locks
from bert_glue_tf.core.errors import UserError

SETTINGS = CompressSettings(limits=Limits(max_mb=6.0, max_drop=0.01), at_length=64)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "--max_mb=6"),
        ({"max_mb": 0.0}, "--max_mb=0.0"),
        ({"max_ms": float("inf")}, "--max_ms=inf"),
        ({"max_ms": float("nan")}, "--max_ms=nan"),
        ({"max_drop": -0.01}, "--max_drop=-0.01"),
        ({"max_drop": 1.0}, "--max_drop=1.0"),
        ({"max_drop": 2.0}, "0.02"),  # Meant in points.
    ],
)
def test_a_budget_that_is_none_is_refused(values, named):
    with refuses(UserError, named):
        Limits(**values)


def test_no_loss_at_all_is_a_budget():
    assert Limits(max_drop=0.0).given == {"max_drop": 0.0}
    assert not Limits(max_drop=0.0).is_of_costs
    assert Limits(max_mb=6, max_ms=3, max_drop=0.01).text == (
        "at most 6 MB, 3 ms and 0.01 of the score lost"
    )


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"threads": 0}, "--threads=0"),
        ({"epochs": 0}, "--epochs=0"),
        ({"trainings": 0}, "--trainings=0"),
        ({"held_out": -1}, "--held_out=-1"),
        ({"learning_rate": -1.0}, "--learning_rate=-1.0"),
        ({"at_length": 1}, "--at_length=1"),
        ({"seq_lengths": (64, 1024)}, "--seq_lengths=1024"),
        ({"recipes": ()}, "--recipes="),
        ({"recipes": ("float16",)}, "--recipes=float16"),
        ({"recipes": ("int5",)}, "--recipes=int5"),
    ],
)
def test_a_setting_that_is_none_is_refused(values, named):
    with refuses(UserError, named):
        CompressSettings(limits=Limits(max_mb=6), **values)


def test_settings_come_back_from_json():
    again = CompressSettings.from_json(json.loads(json.dumps(SETTINGS.to_json())))
    assert again == SETTINGS
    assert SETTINGS.to_json()["max_mb"] == 6.0
    assert SETTINGS.to_json()["max_ms"] is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_ms": 3, "at_length": 64}, {"at_length": 64, "recipes": ("dynamic_int8", "int4")}),
        ({"recipes": "int4"}, {"recipes": ("int4",)}),
        ({"recipes": ["int4", "int8", "int4"]}, {"recipes": ("int4", "int8")}),
        ({"seq_lengths": "64,32"}, {"seq_lengths": (32, 64)}),
        ({"seq_lengths": 64, "max_drop": None}, {"seq_lengths": (64,)}),
        ({"learning_rate": 1}, {"learning_rate": 1.0}),
    ],
)
def test_a_call_from_python_may_leave_out_what_has_a_default(given, expected):
    found = CompressSettings.of_call({"max_mb": 6, **given})
    assert found.limits.max_mb == 6.0
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"max_gb": 1}, "max_gb=1"),
        ({"limits": None}, "limits=None"),
        ({"max_ms": "three"}, "max_ms='three'"),
        ({"epochs": 2.5}, "epochs=2.5"),
        ({"threads": None}, "threads=None"),
        ({"seq_lengths": [64, "x"]}, "seq_lengths='x'"),
        ({"recipes": "int5"}, "--recipes=int5"),
    ],
)
def test_a_call_from_python_with_what_is_no_setting_is_refused(given, named):
    with refuses(UserError, named):
        CompressSettings.of_call({"max_mb": 6, **given})


def test_the_documented_call_gives_the_result_and_writes_the_page(tmp_path, monkeypatch):
    asked, result = [], budgets.outcome()  # A record knows when it was made.

    def check(path, settings, workdir, **options):
        asked.append((path, settings, workdir, options))
        return launch.Launch(None, settings, tmp_path / "c", {}, (64,))

    def work(checked):
        CompressFolder.open(checked.folder, tmp_path / "mrpc", checked.settings)
        return result

    monkeypatch.setattr(launch.Launch, "check", check)
    monkeypatch.setattr(launch, "work", work)
    found = api.compress("runs/mrpc", max_mb=6, max_ms=3, at_length=64)
    assert found is result
    assert "15.1 times smaller" in (tmp_path / "c" / "report.html").read_text()
    assert "90.5 MB to 6.00 MB" in (tmp_path / "c" / "report.md").read_text()
    ((path, settings, workdir, options),) = asked
    assert (str(path), workdir) == ("runs/mrpc", None)
    assert settings == CompressSettings(limits=Limits(max_mb=6.0, max_ms=3.0), at_length=64)
    assert options == {"is_search_only": False, "workers": 1, "cluster": ""}
    with refuses(UserError, "workers=0"):
        api.compress("runs/mrpc", max_mb=6, workers=0)


def test_the_folder_is_called_by_the_run_and_the_budget():
    assert SETTINGS.name_for("mrpc") == "mrpc-compressed-6mb-drop0.01"
    fast = CompressSettings(limits=Limits(max_ms=2.5))
    assert fast.name_for("a run") == "a_run-compressed-2.5ms"


def test_a_tenth_is_held_out_and_never_too_many():
    assert held_out_of(160) == 16
    assert held_out_of(400_000) == 1000
    assert held_out_of(160, 20) == 20
    with refuses(UserError, "--held_out=160"):
        held_out_of(160, 160)


def test_a_folder_goes_on_with_the_same_settings_and_refuses_others(tmp_path):
    run, path = tmp_path / "run", tmp_path / "compressed"
    folder = CompressFolder.open(path, run, SETTINGS)
    folder.add(Step(name="costs", text="measured", seconds=3.0))
    assert [one.text for one in CompressFolder.open(path, run, SETTINGS).steps()] == ["measured"]
    with refuses(UserError, "at_length is 64 there and 32 here", str(path)):
        CompressFolder.open(path, run, dataclasses.replace(SETTINGS, at_length=32))
    with refuses(UserError, "run is", "another-run"):
        CompressFolder.open(path, tmp_path / "another-run", SETTINGS)
    assert json.loads(folder.settings_file.read_text())["epochs"] == 10


def test_the_trainings_may_be_others_until_one_has_begun(tmp_path):
    run, path = tmp_path / "run", tmp_path / "compressed"
    CompressFolder.open(path, run, SETTINGS)
    other = dataclasses.replace(SETTINGS, epochs=3, trainings=1)
    folder = CompressFolder.open(path, run, other)
    assert json.loads(folder.settings_file.read_text())["epochs"] == 3
    (path / "trained-int4").mkdir()
    with refuses(UserError, "epochs is 3 there and 10 here", str(path)):
        CompressFolder.open(path, run, SETTINGS)


def test_a_folder_of_other_files_is_refused_and_untouched(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with refuses(UserError, str(tmp_path), "compress.json"):
        CompressFolder.open(tmp_path, tmp_path / "run", SETTINGS)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_whose_settings_are_damaged_is_refused(tmp_path):
    (tmp_path / "compress.json").write_text('{"run": "x", "max_mb": "six"}')
    with refuses(UserError, "compress.json"):
        CompressFolder.open(tmp_path, tmp_path / "run", SETTINGS)


def test_two_processes_do_not_compress_in_one_folder(tmp_path, monkeypatch):
    def busy(path):
        raise BlockingIOError

    monkeypatch.setattr(locks, "hold", busy)
    with refuses(UserError, "another process", str(tmp_path)):
        CompressFolder.open(tmp_path, tmp_path / "run", SETTINGS)


def test_what_was_chosen_for_a_stage_stays_chosen(tmp_path):
    folder = CompressFolder.open(tmp_path / "c", tmp_path / "run", SETTINGS)
    values = {"recipe": "int4", "missed": {}, "reason": "", "milliseconds": {}, "session": "s"}
    folder.add(Choice(stage="searched", run="first", **values))
    folder.add(Choice(stage="trained", run="second", **values))
    folder.add(Choice(stage="searched", run="third", **values))
    assert folder.choice("searched").run == "first"
    assert folder.choice("trained").run == "second"
    assert CompressFolder(tmp_path / "none").choice("searched") is None
