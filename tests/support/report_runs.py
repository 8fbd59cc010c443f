"""Helpers of the tests of reports: answers, and the models read from written runs."""

from __future__ import annotations

import json

import numpy as np
from written_runs import wrong_at

from bert_glue_tf.reports import reading

N = 400
LABELS = np.arange(N) % 2
CONSTANT = np.tile(np.float32([1.0, 0.0]), (N, 1))


def right(number):
    """Logits of which the first `number` of 400 are right and the others wrong."""
    return wrong_at(LABELS, range(number, N))


def read(*folders):
    return reading.read(folders)


def history(*losses):
    return [
        {"epoch": i, "loss": x, "accuracy": 1 - x, "val_loss": 2 * x, "val_accuracy": x}
        for i, x in enumerate(losses, start=1)
    ]


def changed(run, **values):
    """The file of a run's record, in which some values are replaced."""
    file = run / "results.jsonl"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}) + "\n")
    return file
