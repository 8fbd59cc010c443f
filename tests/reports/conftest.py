"""Comparisons that several tests look at."""

from __future__ import annotations

import numpy as np
import pytest
from report_runs import CONSTANT, LABELS, read, right
from written_runs import write_export, write_run, write_session


@pytest.fixture
def collapsed(tmp_path):
    """Models of a run on the sample whose int8 file says the same of every pair."""
    run = write_run(tmp_path / "runs" / "weak", LABELS, right(260), source="sample")
    write_export(run, "float32", LABELS, right(260))
    write_export(run, "int8", LABELS, CONSTANT, collapsed="every prediction is not_equivalent")
    write_session(run)
    return read(run)


@pytest.fixture
def mnli(tmp_path):
    labels = {"validation_matched": LABELS, "validation_mismatched": LABELS[:200]}
    logits = {split: np.eye(3, dtype=np.float32)[values] for split, values in labels.items()}
    logits["validation_matched"][:40] = np.roll(logits["validation_matched"][:40], 1, axis=1)
    logits["validation_mismatched"][:60] = np.roll(logits["validation_mismatched"][:60], 1, axis=1)
    curve = {
        "loss": 1.0,
        "accuracy": 0.5,
        "val_loss_matched": 0.9,
        "val_accuracy_matched": 0.6,
        "val_loss_mismatched": 0.8,
        "val_accuracy_mismatched": 0.7,
    }
    history = [{"epoch": i, **curve} for i in (1, 2)]
    write_run(tmp_path / "run", labels, logits, task="mnli", history=history)
    return read(tmp_path / "run")
