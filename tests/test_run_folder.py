"""A run's folder is claimed for one configuration, and nothing of an earlier run is lost."""

from __future__ import annotations

import json
import os
import pathlib
import re

import pytest

from bert_glue_tf.config import ExperimentConfig
from bert_glue_tf.errors import UserError
from bert_glue_tf.run_folder import RunFolder

ROWS = [{"epoch": "1", "loss": "0.5"}, {"epoch": "2", "loss": "0.25"}]


def content(path):
    return {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}


def test_a_new_folder_holds_the_settings(tmp_path):
    config = ExperimentConfig(task="mrpc", seed=5)
    folder = RunFolder.open(tmp_path / "a" / "b", config)
    assert ExperimentConfig.from_json(json.loads(folder.config_file.read_text())) == config
    assert folder.finished_result() is None
    assert os.listdir(folder.path) == ["config.json"]


def test_the_same_settings_go_on_in_their_folder(tmp_path):
    config = ExperimentConfig()
    RunFolder.open(tmp_path, config).write_history(ROWS)
    assert RunFolder.open(tmp_path, config).read_history() == ROWS


def test_another_configuration_is_refused_with_the_difference_and_touches_nothing(tmp_path):
    RunFolder.open(tmp_path, ExperimentConfig(seed=1)).write_history(ROWS)
    before = content(tmp_path)
    message = (
        f"--workdir={tmp_path}: holds a run of another configuration: epochs is 3 there and "
        "4 here, seed is 1 there and 2 here. Give another --workdir; the earlier run is untouched."
    )
    with pytest.raises(UserError, match="^" + re.escape(message) + "$"):
        RunFolder.open(tmp_path, ExperimentConfig(seed=2, epochs=4))
    assert content(tmp_path) == before


def test_a_start_that_trained_nothing_does_not_hold_the_folder(tmp_path):
    RunFolder.open(tmp_path, ExperimentConfig(data="tfds"))
    folder = RunFolder.open(tmp_path, ExperimentConfig(data="sample"))
    assert json.loads(folder.config_file.read_text())["data"] == "sample"


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds files, but no run"):
        RunFolder.open(tmp_path, ExperimentConfig())
    assert content(tmp_path) == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize("text", ["", "[]", '{"epochs": "many"}', "{"])
def test_a_damaged_configuration_is_named(tmp_path, text):
    RunFolder.open(tmp_path, ExperimentConfig()).write_history(ROWS)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=re.escape(f"{tmp_path / 'config.json'}: not the settings")):
        RunFolder.open(tmp_path, ExperimentConfig())
    assert (tmp_path / "config.json").read_text() == text


def test_a_file_in_the_place_of_the_folder(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises(UserError, match=re.escape(f"--workdir={path}: cannot be written")):
        RunFolder.open(path, ExperimentConfig())
    assert path.read_text() == "x"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match=r"cannot be written .*Permission denied"):
        RunFolder.open(tmp_path / "run", ExperimentConfig())


def test_a_full_disk_is_told_before_training():
    # /proc refuses new files even to root, as a full or read-only disk does.
    with pytest.raises(UserError, match=r"--workdir=/proc/run: cannot be written \(.+\)\. Give"):
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
    assert sorted(os.listdir(tmp_path)) == ["config.json", "history.csv"]
