"""The baseline of benchmarks/own_baseline.py, on texts whose labels follow from single words."""

from __future__ import annotations

import importlib
import json
import pathlib
import types

import pytest
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers
from bert_glue_tf.data.settings import DataSettings

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
WORDS = ("cat", "dog", "owl")


@pytest.fixture(scope="module")
def own_baseline():
    """The module of benchmarks/, which is no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("own_baseline")


def read(tmp_path, rows):
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = DataSettings(task="mine", data=str(path), validation_fraction=0.25)
    task = readers.task_of(settings)
    return task, readers.load_for_training(task, str(path))


def word(i):
    return WORDS[i % 3]


ROWS = {
    "classes": [{"text": f"a {word(i)} of {i}", "label": word(i)} for i in range(60)],
    "two classes": [{"text": f"a {word(i)} of {i}", "label": str(i % 3 > 0)} for i in range(60)],
    # Equal texts are what no single one tells.
    "pairs": [
        {"text1": f"a {word(i)}", "text2": f"a {word(i + 1 - i % 2)}", "label": f"l{i % 2}"}
        for i in range(120)
    ],
    "labels": [
        {"text": f"a {word(i)} or {word(i // 3)}", "label": sorted({word(i), word(i // 3)})}
        for i in range(90)
    ],
}


@pytest.mark.parametrize("kind", ROWS)
def test_it_learns_which_words_mean_what(tmp_path, own_baseline, kind):
    task, found = read(tmp_path, ROWS[kind])
    scores = own_baseline.baseline(task, found["train"], {"": found["validation"]}, 10.0)
    assert list(scores) == list(task.metrics)
    assert scores[task.primary_metric] > 0.9


def test_runs_are_set_beside_it(tmp_path, own_baseline):
    task, found = read(tmp_path, ROWS["classes"])
    data = str(tmp_path / "train.jsonl")
    records = [
        types.SimpleNamespace(
            config={"task": "mine", "data": data, "train_examples": 0},
            own_task=readers.tasks.describe(task),
            metrics={"accuracy": value, "macro_f1": value},
        )
        for value in (0.5, 0.75)
    ]
    accuracy, _ = own_baseline.compared(records, 10.0)
    assert (accuracy["mean"], accuracy["range"]) == ("0.6250", "0.5000 to 0.7500")
    assert (accuracy["TF-IDF"], accuracy["difference, points"]) == ("1.0000", "-37.5")
    assert len(found["validation"]) == 15


def test_numbers_are_not_for_it(tmp_path, own_baseline):
    rows = [{"text": f"text {i}", "label": i + 0.5} for i in range(8)]
    task, found = read(tmp_path, rows)
    with refuses(UserError, "mine", "numbers"):
        own_baseline.baseline(task, found["train"], {}, 10.0)
