"""Two exports into one folder at the same time do not mix."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export.folder import ExportFolder

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
        with pytest.raises(UserError, match=r"--output=.*another process"):
            ExportFolder.open(folder, {"run": "one"})
        holder.stdin.close()
    assert holder.returncode == 0
    assert ExportFolder.open(folder, {"run": "one"}).path == folder
