"""The names of runs and of their sizes."""

from __future__ import annotations

import pathlib

import pytest
from messages import refuses
from written_runs import write_run

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import launch
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.runs.paths import name_of

LABELS = [0, 1]
LOGITS = [[1.0, 0.0], [0.0, 1.0]]


@pytest.fixture
def run(tmp_path):
    """A run of two sizes."""
    told = {"names": ["0.5", "0.25"], "bytes": {"weights": 8, "masks": 1}}
    write_run(tmp_path / "run", LABELS, LOGITS, size="0.25", sizes=told)
    write_run(tmp_path / "run" / "sizes" / "0.5", LABELS, LOGITS, size="0.5")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("working", "path", "name"),
    [
        ("", "run", "run"),
        ("run", ".", "run"),
        ("run/sizes", "..", "run"),
        ("", "run/sizes/0.5", "run/sizes/0.5"),
        ("run", "sizes/0.5", "run/sizes/0.5"),
        ("run/sizes", "0.5", "run/sizes/0.5"),
        ("run/sizes/0.5", ".", "run/sizes/0.5"),
    ],
)
def test_the_name_is_the_same_from_every_working_folder(run, monkeypatch, working, path, name):
    monkeypatch.chdir(run.parent / working)
    assert name_of(pathlib.Path(path)) == name
    assert Run.read(pathlib.Path(path)).name == name


def test_a_folder_called_sizes_is_none_of_a_run(tmp_path):
    folder = write_run(tmp_path / "sizes" / "small", LABELS, LOGITS)
    assert name_of(folder) == "small"


def test_a_size_that_is_gone_is_told_before_files_are_made(run, monkeypatch):
    (run / "sizes" / "0.5").rename(run / "sizes" / "gone")
    monkeypatch.setattr(launch, "launch", lambda *_, **__: pytest.fail("a file is made"))
    with refuses(UserError, str(run / "sizes" / "0.5"), "missing", "as a whole"):
        launch.launch_sizes(run)
