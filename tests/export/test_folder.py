"""Two exports into one folder do not mix, at the same time or with different versions."""

from __future__ import annotations

import subprocess
import sys

import pytest
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.runs import versions

# Holds the folder until its standard input is closed.
HOLDER = """
import pathlib, sys
from bert_glue_tf.export.folder import ExportFolder
with ExportFolder.open(pathlib.Path(sys.argv[1]), {"run": "one"}).locked():
    print("open", flush=True)
    sys.stdin.read()
"""

pytestmark = pytest.mark.processes


def test_a_folder_that_another_process_exports_into_is_refused_until_it_ends(tmp_path):
    folder = tmp_path / "tflite"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout.readline() == "open\n"
        with refuses(UserError, f"--output={folder}", "another process"):
            ExportFolder.open(folder, {"run": "one"})
        holder.stdin.close()
    assert holder.returncode == 0
    assert ExportFolder.open(folder, {"run": "one"}).path == folder


def test_an_export_that_goes_on_with_other_versions_says_so(tmp_path, caplog, monkeypatch):
    folder = ExportFolder.open(tmp_path, {"run": "one"})
    with caplog.at_level("WARNING", "absl"):
        ExportFolder.open(tmp_path, {"run": "one"}).note_versions()
        assert caplog.text == ""
        monkeypatch.setattr(versions, "_version", lambda package: "9.9")
        folder.note_versions()
    assert f"--output={tmp_path}: was begun with other versions" in caplog.text
    assert "ai-edge-quantizer" in caplog.text
    assert "(now 9.9)" in caplog.text
