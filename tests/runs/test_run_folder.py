"""A run's folder is claimed for one configuration, and nothing of an earlier run is lost."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest
from messages import refuses

from bert_glue_tf.core import records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs import results, versions
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import RunFolder

ROWS = [{"epoch": "1", "loss": "0.5"}, {"epoch": "2", "loss": "0.25"}]


def content(path):
    return {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}


def test_a_new_folder_holds_the_settings(tmp_path):
    config = ExperimentConfig(task="mrpc", seed=5)
    folder = RunFolder.open(tmp_path / "a" / "b", config)
    assert ExperimentConfig.from_json(json.loads(folder.config_file.read_text())) == config
    assert folder.finished_result() is None
    assert sorted(os.listdir(folder.path)) == [".lock", "config.json"]


def test_the_same_settings_go_on_in_their_folder(tmp_path):
    config = ExperimentConfig()
    RunFolder.open(tmp_path, config).write_history(ROWS)
    assert RunFolder.open(tmp_path, config).read_history() == ROWS


def test_another_configuration_is_refused_with_the_difference_and_touches_nothing(tmp_path):
    RunFolder.open(tmp_path, ExperimentConfig(seed=1)).write_history(ROWS)
    before = content(tmp_path)
    with refuses(UserError, f"--workdir={tmp_path}", "epochs is 3", "seed is 1"):
        RunFolder.open(tmp_path, ExperimentConfig(seed=2, epochs=4))
    assert content(tmp_path) == before


def test_a_start_that_trained_nothing_does_not_hold_the_folder(tmp_path):
    RunFolder.open(tmp_path, ExperimentConfig(data="tfds"))
    folder = RunFolder.open(tmp_path, ExperimentConfig(data="sample"))
    assert json.loads(folder.config_file.read_text())["data"] == "sample"


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with refuses(UserError, tmp_path, "'thesis.tex'"):
        RunFolder.open(tmp_path, ExperimentConfig())
    assert content(tmp_path) == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize(
    "text",
    [
        '{"model_type": "bert", "vocab_size": 30522}',
        "{}",
        '{"epochs": 3}',  # Settings, but not as they are written here: somebody's own notes.
        "[]",
        '"task"',
        '{"task":',
    ],
)
def test_a_foreign_config_json_is_not_taken_for_a_run(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    before = sorted(tmp_path.iterdir())
    with refuses(UserError, tmp_path, "'config.json'"):
        RunFolder.open(tmp_path, ExperimentConfig())
    assert (tmp_path / "config.json").read_text() == text
    assert sorted(tmp_path.iterdir()) == before


def test_settings_alone_do_not_hold_the_folder(tmp_path):
    (tmp_path / "config.json").write_text(ExperimentConfig(seed=3).to_text())
    folder = RunFolder.open(tmp_path, ExperimentConfig(seed=2))
    assert folder.config_file.read_text() == ExperimentConfig(seed=2).to_text()


@pytest.mark.parametrize("has_training", [False, True])
def test_settings_of_a_later_version_are_named(tmp_path, has_training):
    folder = RunFolder.open(tmp_path, ExperimentConfig())
    if has_training:
        folder.write_history(ROWS)
    text = json.dumps(
        {**json.loads(ExperimentConfig().to_text()), "adapter": "large", "alpha": 0.5}
    )
    folder.config_file.write_text(text)
    with refuses(UserError, folder.config_file, "'adapter', 'alpha'"):
        RunFolder.open(tmp_path, ExperimentConfig())
    assert folder.config_file.read_text() == text


def test_a_setting_that_a_run_does_not_name_has_its_default(tmp_path):
    folder = RunFolder.open(tmp_path, ExperimentConfig(seed=3))
    folder.write_history(ROWS)
    written = json.loads(folder.config_file.read_text())
    del written["encoder_dropout"]
    folder.config_file.write_text(json.dumps(written))
    RunFolder.open(tmp_path, ExperimentConfig(seed=3))
    with refuses(UserError, tmp_path, "encoder_dropout is -1.0"):
        RunFolder.open(tmp_path, ExperimentConfig(seed=3, encoder_dropout=0.0))


def test_a_start_beside_foreign_files_is_not_taken_over(tmp_path):
    RunFolder.open(tmp_path, ExperimentConfig(seed=1))
    (tmp_path / "notes.txt").write_text("why seed 1")
    before = content(tmp_path)
    with refuses(UserError, tmp_path, "'notes.txt'"):
        RunFolder.open(tmp_path, ExperimentConfig(seed=2))
    assert content(tmp_path) == before


@pytest.mark.parametrize("name", ["model", "predictions"])
def test_a_model_or_its_predictions_hold_the_folder(tmp_path, name):
    RunFolder.open(tmp_path, ExperimentConfig(seed=1))
    (tmp_path / name).mkdir()
    with refuses(UserError, tmp_path, "seed is 1"):
        RunFolder.open(tmp_path, ExperimentConfig(seed=2))
    RunFolder.open(tmp_path, ExperimentConfig(seed=1))


@pytest.mark.parametrize("with_config", [False, True])
def test_what_a_killed_write_leaves_does_not_close_the_folder(tmp_path, with_config):
    code = (
        "import os, pathlib, sys\n"
        "from bert_glue_tf.runs.config import ExperimentConfig\n"
        "from bert_glue_tf.runs.run_folder import RunFolder\n"
        "if sys.argv[2] == 'True':\n"
        "    RunFolder.open(pathlib.Path(sys.argv[1]), ExperimentConfig(seed=1))\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), 9)\n"
        "RunFolder.open(pathlib.Path(sys.argv[1]), ExperimentConfig(seed=3))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(with_config)]
    assert subprocess.run(command, timeout=60).returncode == -9
    assert any(name.startswith(".config.json.") for name in os.listdir(tmp_path))
    if with_config:  # The earlier settings stand until the new ones are whole.
        assert json.loads((tmp_path / "config.json").read_text())["seed"] == 1
    folder = RunFolder.open(tmp_path, ExperimentConfig(seed=2))
    assert json.loads(folder.config_file.read_text())["seed"] == 2


HOLD = (
    "import pathlib, sys\n"
    "from bert_glue_tf.runs.run_folder import RunFolder\n"
    "from bert_glue_tf.runs.config import ExperimentConfig\n"
    "RunFolder.open(pathlib.Path(sys.argv[1]), ExperimentConfig())\n"
    "print('open', flush=True)\n"
    "sys.stdin.read()\n"
)


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path):
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert first.stdout.readline() == "open\n"
        for config in (ExperimentConfig(), ExperimentConfig(seed=2)):
            with refuses(UserError, f"--workdir={tmp_path}", "another process"):
                RunFolder.open(tmp_path, config)
    finally:
        first.kill()  # As the kernel kills for want of memory: the lock goes with the process.
        first.wait()
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 1
    RunFolder.open(tmp_path, ExperimentConfig(seed=2))


INPUTS = {
    "train data": {"name": "tsv", "version": None, "sha256": "aa", "examples": 9, "path": "/a"},
    "encoder": {"name": "e", "version": "", "sha256": "bb", "vocabulary_sha256": "cc"},
}


@pytest.mark.parametrize(
    ("name", "key", "now"),
    [
        ("train data", "sha256", "dd"),
        ("train data", "examples", 8),
        ("encoder", "sha256", "ee"),
        ("encoder", "vocabulary_sha256", "ff"),
    ],
)
def test_a_run_goes_on_with_nothing_but_what_it_was_begun_with(tmp_path, name, key, now):
    folder = RunFolder.open(tmp_path, ExperimentConfig())
    folder.require_same_inputs(INPUTS)
    folder.write_history(ROWS)
    moved = {**INPUTS, "train data": {**INPUTS["train data"], "path": "/b"}}
    folder.require_same_inputs(moved)
    before = content(tmp_path)
    named = f"{key} was {INPUTS[name][key]} and is {now}"
    with refuses(UserError, f"--workdir={tmp_path}", name, named):
        folder.require_same_inputs({**INPUTS, name: {**INPUTS[name], key: now}})
    assert content(tmp_path) == before


def test_inputs_of_a_start_that_trained_nothing_are_replaced(tmp_path):
    RunFolder.open(tmp_path, ExperimentConfig(seed=1)).require_same_inputs(INPUTS)
    folder = RunFolder.open(tmp_path, ExperimentConfig(seed=2))
    changed = {**INPUTS, "encoder": {"sha256": "zz"}}
    folder.require_same_inputs(changed)
    kept = json.loads(folder.inputs_file.read_text())
    assert kept == {**changed, "versions": versions.installed()}


def test_going_on_with_other_versions_is_said(tmp_path, caplog, monkeypatch):
    folder = RunFolder.open(tmp_path, ExperimentConfig())
    folder.require_same_inputs(INPUTS)
    folder.write_history(ROWS)
    folder.require_same_inputs(INPUTS)
    assert not caplog.records
    now = versions.installed() | {"bert_glue_tf": "9.9", "tensorflow": "3.0"}
    monkeypatch.setattr(versions, "installed", lambda: now)
    folder.require_same_inputs(INPUTS)
    (told,) = caplog.records
    assert told.levelname == "WARNING"
    for part in (f"--workdir={tmp_path}", "bert_glue_tf 0.1.0 (now 9.9)", "tensorflow 2.20"):
        assert part in told.getMessage()
    assert "numpy" not in told.getMessage()


@pytest.mark.parametrize("text", ["", "[]", '{"encoder": 1}'])
def test_damaged_inputs_are_named(tmp_path, text):
    folder = RunFolder.open(tmp_path, ExperimentConfig())
    folder.write_history(ROWS)
    folder.inputs_file.write_text(text)
    with refuses(UserError, folder.inputs_file):
        folder.require_same_inputs(INPUTS)
    assert folder.inputs_file.read_text() == text


def finished(path, **changes):
    """A folder with a record as the train command leaves it."""
    folder = RunFolder.open(path, ExperimentConfig(**changes))
    values = {field.name: {} for field in dataclasses.fields(results.ExperimentResult)}
    values |= {"config": folder.config.to_json(), "peak_memory_bytes": 7, "finished": "now"}
    values |= {"warnings": (), "collapsed": "", "at_chance": "", "epoch": 1, "size": ""}
    records.append(folder.results_file, results.ExperimentResult(**values))
    return folder


def test_a_result_is_shown_for_its_own_settings_alone(tmp_path):
    folder = finished(tmp_path, seed=1)
    assert folder.finished_result().peak_memory_bytes == 7
    # The settings of another run beside it do not make its record that run's.
    other = ExperimentConfig(seed=2)
    folder.config_file.write_text(json.dumps(other.to_json()))
    with refuses(UserError, tmp_path, "seed is 1"):
        RunFolder(tmp_path, other).finished_result()


def test_a_result_without_settings_is_named(tmp_path):
    folder = finished(tmp_path)
    folder.results_file.write_text(
        folder.results_file.read_text().replace('"task": "cola"', '"task": 3')
    )
    with refuses(UserError, "task=3"):
        folder.finished_result()


def test_a_last_line_cut_short_is_no_result(tmp_path, caplog):
    folder = finished(tmp_path)
    line = folder.results_file.read_text()
    folder.results_file.write_text(line[:-20])
    assert folder.finished_result() is None
    assert f"{folder.results_file}:1: a record that was cut short" in caplog.text
    RunFolder.open(tmp_path, folder.config)  # The run goes on ...
    records.append(folder.results_file, results.ExperimentResult.from_line(line))
    assert folder.finished_result().to_line() == line.strip()  # ... and ends.


@pytest.fixture
def read_only(tmp_path):
    """make(folder): nobody can write into it any more, root included."""
    mounted = []

    def make(folder):
        if os.geteuid():
            folder.chmod(0o500)
            return
        for options in ("bind", "remount,bind,ro"):
            command = ["mount", "-o", options, str(folder), str(folder)]
            if subprocess.run(command, capture_output=True).returncode:
                pytest.skip("this root may not mount")
            mounted.append(folder)

    yield make
    for folder in set(mounted):
        subprocess.run(["umount", str(folder)], check=True)


def test_a_result_in_a_folder_that_cannot_be_written_is_shown(tmp_path, read_only):
    folder = finished(tmp_path / "run")
    read_only(folder.path)
    with pytest.raises(OSError, match=r"Read-only|Permission"):
        (folder.path / "x").touch()
    assert RunFolder(folder.path, folder.config).finished_result().peak_memory_bytes == 7
    with refuses(UserError, f"--workdir={folder.path}"):
        RunFolder.open(folder.path, folder.config)


@pytest.mark.parametrize("name", ["x" * 300, "file/run"])
def test_a_path_that_can_hold_no_run(tmp_path, name):
    (tmp_path / "file").touch()
    path = tmp_path / name

    def show_or_claim():
        if RunFolder(path, ExperimentConfig()).finished_result() is None:
            RunFolder.open(path, ExperimentConfig())

    with refuses(UserError, f"--workdir={path}"):
        show_or_claim()


@pytest.mark.parametrize("text", ["", "[]", '{"epochs": "many"}', "{"])
def test_a_damaged_configuration_is_named(tmp_path, text):
    RunFolder.open(tmp_path, ExperimentConfig()).write_history(ROWS)
    (tmp_path / "config.json").write_text(text)
    with refuses(UserError, tmp_path / "config.json"):
        RunFolder.open(tmp_path, ExperimentConfig())
    assert (tmp_path / "config.json").read_text() == text


def test_a_file_in_the_place_of_the_folder(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    with refuses(UserError, f"--workdir={path}"):
        RunFolder.open(path, ExperimentConfig())
    assert path.read_text() == "x"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError) as caught:  # Worded as where the file system is read-only.
        RunFolder.open(tmp_path / "run", ExperimentConfig())
    assert f"--workdir={tmp_path / 'run'}" in str(caught.value)


def test_a_full_disk_is_told_before_training():
    # /proc refuses new files even to root, as a full or read-only disk does.
    with refuses(UserError, "--workdir=/proc/run"):
        RunFolder.open(pathlib.Path("/proc/run"), ExperimentConfig())


def test_history_is_replaced_as_a_whole(tmp_path, monkeypatch):
    folder = RunFolder.open(tmp_path, ExperimentConfig())
    folder.write_history(ROWS[:1])

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        folder.write_history(ROWS)
    assert folder.read_history() == ROWS[:1]
    assert sorted(os.listdir(tmp_path)) == [".lock", "config.json", "history.csv"]


def test_what_was_decided_stays_once_training_has_begun(tmp_path):
    folder = RunFolder.open(tmp_path, ExperimentConfig(seed=1))
    assert folder.decide("layers", lambda: [0, 2]) == [0, 2]
    # A start that trained nothing decides nothing for the next one.
    folder = RunFolder.open(tmp_path, ExperimentConfig(seed=2))
    assert folder.decide("layers", lambda: [1, 2]) == [1, 2]
    folder.write_history(ROWS)
    folder = RunFolder.open(tmp_path, ExperimentConfig(seed=2))
    assert folder.decide("layers", lambda: [0, 1]) == [1, 2]
    folder.choices_file.write_text("[")
    with refuses(UserError, folder.choices_file):
        folder.decide("layers", lambda: [0, 1])


def test_a_vanished_folder_is_not_made_again(tmp_path):
    folder = RunFolder.open(tmp_path / "run", ExperimentConfig())
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    with refuses(UserError, f"--workdir={tmp_path / 'run'}"):
        folder.write_history(ROWS)
    assert not folder.path.exists()


def test_half_written_files_of_killed_processes_are_removed(tmp_path):
    config = ExperimentConfig()
    folder = RunFolder.open(tmp_path, config)
    folder.write_history(ROWS)
    folder.predictions.mkdir()
    left = [tmp_path / ".history.csv.abcd_123", folder.predictions / ".validation.tsv.abcd_123"]
    kept = tmp_path / ".history.csv.notes"
    for path in (*left, kept):
        path.write_text("x")
    RunFolder.open(tmp_path, config)
    assert [path.exists() for path in (*left, kept)] == [False, False, True]


def test_a_history_gains_columns(tmp_path):
    folder = RunFolder.open(tmp_path, ExperimentConfig())
    folder.write_history([ROWS[0], {**ROWS[1], "run_seconds": "3"}])
    assert folder.read_history() == [
        {**ROWS[0], "run_seconds": ""},
        {**ROWS[1], "run_seconds": "3"},
    ]


def test_a_follower_deletes_nothing_but_its_own(tmp_path, monkeypatch):
    """However the folder of the run is written: its own lies inside of its temporary one."""
    temporary, here = tmp_path / "temporary", tmp_path / "here" / "run"
    temporary.mkdir()
    here.mkdir(parents=True)
    settings = ExperimentConfig(strategy="multi_worker", finetune_epochs=1)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(here)
    foreign = [temporary / "foreign", temporary / settings.starting_point.run_name / "foreign"]
    for file in foreign:
        file.parent.mkdir(exist_ok=True)
        file.write_text("stays")
    own = RunFolder.follow(pathlib.Path("."), settings)
    assert own.path.parent.parent == temporary
    beside = own.beside(settings.starting_point)
    beside.claim()
    assert beside.path.parent == own.path.parent
    for given in ("..", "../run/.."):
        with refuses(UserError, "'run'"):
            RunFolder.follow(pathlib.Path(given), settings)
    assert all(file.read_text() == "stays" for file in foreign)
    assert RunFolder(pathlib.Path("."), settings).beside(settings).path.parent == here.parent


def test_others_beside_are_finished_runs(tmp_path):
    folder = RunFolder.open(tmp_path / "one", ExperimentConfig())
    (tmp_path / "begun").mkdir()
    folder.results_file.touch()
    assert not folder.has_others_beside
    (tmp_path / "begun" / folder.results_file.name).touch()
    assert folder.has_others_beside
