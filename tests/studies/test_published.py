"""The committed values of other people's documents agree with each other and with our code."""

from __future__ import annotations

import importlib.resources
import json

import pytest

from bert_glue_tf.data import tasks


def read(name):
    file = importlib.resources.files("bert_glue_tf.studies") / "published" / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["report", "structured", "local_global"])
def test_each_says_where_it_comes_from_and_what_null_means(name):
    values = read(name)
    assert len(values["source"]) > 40
    assert "null" in values["note"]


def test_the_shares_of_local_pruning_sum_up_to_its_sparsity():
    shares = read("local_global")["settings"]["local_shares"]
    assert [row["sparsity"] for row in shares] == [*(i / 10 for i in range(1, 10)), 0.95]
    for row in shares:
        assert row["largest"] + row["next"] + row["rest"] == pytest.approx(row["sparsity"])


def test_the_tasks_and_metrics_of_local_and_global_pruning_are_ours():
    values = read("local_global")
    ours = [name for name, task in tasks.TASKS.items() if task.file_format == "aspects"]
    assert values["described"]["tasks"] == ours
    settings = values["settings"]
    assert set(ours) < set(settings["datasets"]) == set(settings["batch_size"])
    assert set(settings["matrices"]) == set(settings["taggers"])
    # Its micro_f1 is of tags found end to end; the half that is ours has the macro F1.
    scored = {metric for name in ours for metric in tasks.get(name).metrics}
    assert set(settings["metrics"]) & scored == {"macro_f1"}


def test_the_comparison_of_structures_has_a_place_for_each():
    values = read("structured")
    table = values["tables"]["1"]
    assert set(values["described"]["structures"]) < set(table)
    # 1.428x: three weights in ten are gone.
    assert 1 - 1 / values["described"]["compression_rate"] == pytest.approx(0.3, abs=3e-4)
