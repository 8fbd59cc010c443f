"""Copies of folders on a worker's machine, and those that a killed worker has left."""

from __future__ import annotations

import tempfile

import pytest

from bert_glue_tf.sweeps.executors import staging

pytest.importorskip("fsspec")


def test_copies_of_a_killed_worker_are_removed_and_those_of_a_living_one_are_not(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "bert_glue_tf_run.killed"
    (left / "run").mkdir(parents=True)
    (left / ".lock").touch()  # The system has given it back with its process.
    staged = staging.Staged(staging.Store("memory://staging"), "/runs", "run", ())
    with staged.here() as first:
        assert not left.exists()
        with staged.here() as second:
            assert first.folder.is_dir()
            assert second.folder.is_dir()
        assert not second.folder.exists()
        assert first.folder.is_dir()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["memory://", "memory:///", "memory://some/place"])
def test_a_store_may_be_the_whole_file_system(url):
    staging.Store(url).check()
