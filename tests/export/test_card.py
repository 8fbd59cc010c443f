"""The card of an exported file: its command fits the task."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from written_runs import write_export, write_run, wrong_at

from bert_glue_tf.export.card import card

LABELS = np.arange(40) % 2


@pytest.mark.parametrize(("task", "texts"), [("cola", 1), ("mrpc", 2)])
def test_the_command_has_as_many_texts_as_the_task_takes(tmp_path, task, texts):
    run = write_run(tmp_path / "run", LABELS, wrong_at(LABELS, [0]), task=task)
    (record,) = write_export(run, "float32", LABELS, wrong_at(LABELS, [0])).records().values()
    (command,) = [line for line in card(record).splitlines() if "bert_glue_tf.predict" in line]
    assert shlex.split(command)[3:] == ["--model=float32.tflite", *["--text=..."] * texts]
