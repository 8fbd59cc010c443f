"""GLUE as others distribute it, the published numbers of its examples, and what WNLI does."""

from __future__ import annotations

import json
import logging
import pathlib
import types

import pyarrow as pa
import pytest
from messages import refuses, says
from pyarrow import parquet as pq

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import published_counts, readers, tasks
from bert_glue_tf.reports import terminal


def write(path: pathlib.Path, names=None, **columns):
    """Write a parquet file as `datasets` does, with the names of the label's classes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = pa.table(columns)
    features = {"label": {"names": names, "_type": "ClassLabel"}} if names else {}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(rows.replace_schema_metadata(metadata), path)


def export(root, task, label, splits=("train", "validation", "test"), names=True):
    for split in splits:
        write(
            root / f"{split}-00000-of-00001.parquet",
            list(task.problem.labels) if names else None,
            **{name: [f"{split} {name} {i}" for i in range(2)] for name in task.text_fields},
            label=[-1, -1] if split.startswith("test") else label,
            idx=[0, 1],
        )


@pytest.mark.parametrize("name", [n for n, task in tasks.TASKS.items() if task.is_glue])
@pytest.mark.parametrize("place", ["{task}", "{folder}", "."])
def test_an_export_of_hugging_face_is_read(tmp_path, name, place):
    task = tasks.get(name)
    splits = ("train", *task.validation_splits.values(), *task.submission_files)
    label = [1.5, 5.0] if name == "stsb" else [1, 0]
    export(
        tmp_path / place.format(task=name, folder=task.folder),
        task,
        label,
        splits,
        names=name != "stsb",
    )
    readers.check(task, str(tmp_path))
    found = readers.load_for_training(task, str(tmp_path))
    for split, examples in found.items():
        assert examples.labels.tolist() == label
        assert examples.texts[0] == [f"{split} {task.text_fields[0]} {i}" for i in range(2)]
        assert examples.provenance["name"] == "tables"
    for split in task.submission_files:
        test = readers.load(task, str(tmp_path), split)
        assert test.labels is None
        assert len(test) == 2


def test_labels_go_by_the_names_that_the_schema_gives_them(tmp_path):
    mnli = tasks.get("mnli")
    turned = ["contradiction", "neutral", "entailment"]
    for split in ("train", "validation_matched", "validation_mismatched"):
        path = tmp_path / f"{split}-00000-of-00001.parquet"
        write(path, turned, premise=["a", "b"], hypothesis=["c", "d"], label=[0, 2])
    found = readers.load(mnli, str(tmp_path), "train")
    assert [mnli.problem.labels[label] for label in found.labels] == ["contradiction", "entailment"]


def test_numbers_without_names_are_in_the_order_of_the_published_ones(tmp_path):
    (tmp_path / "train.csv").write_text("sentence,label\nIt rains.,1\nIt rain.,0\n")
    (tmp_path / "dev.csv").write_text("sentence,label\nIt rains.,acceptable\n")
    cola = tasks.get("cola")
    assert readers.load(cola, str(tmp_path), "train").labels.tolist() == [1, 0]
    assert readers.load(cola, str(tmp_path), "validation").labels.tolist() == [1]


def test_the_benchmarks_own_files_come_first(tmp_path):
    folder = tmp_path / "CoLA"
    export(folder, tasks.get("cola"), [1, 0])
    (folder / "train.tsv").write_text("gj04\t1\t\tIt rains.\n")
    found = readers.load(tasks.get("cola"), str(tmp_path), "train")
    assert (found.texts, found.provenance["name"]) == ((["It rains."],), "tsv")


def test_cola_with_a_header_is_read(tmp_path):
    text = "source\tlabel\tstar\tsentence\ngj04\t1\t\tIt rains.\n"
    (tmp_path / "train.tsv").write_text(text)
    found = readers.load(tasks.get("cola"), str(tmp_path), "train")
    assert (found.texts, found.labels.tolist(), found.sources) == ((["It rains."],), [1], ["gj04"])


@pytest.mark.parametrize(
    ("columns", "names", "named"),
    [
        ({"sentence": ["a"], "label": [2]}, None, ["row 1", "2", "unacceptable"]),
        ({"sentence": ["a"], "label": [0]}, ["bad", "good"], ["row 1", "unacceptable"]),
        ({"sentence": ["a"], "grade": [1]}, None, ["'label'", "grade"]),
        ({"text": ["a"], "label": [1]}, None, ["'sentence'", "text, label"]),
        ({"sentence": [7], "label": [1]}, None, ["row 1", "'7'", "'sentence'"]),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(tmp_path, columns, names, named):
    path = tmp_path / "train-00000-of-00001.parquet"
    write(path, names, **columns)
    with refuses(UserError, path, *named):
        readers.load(tasks.get("cola"), str(tmp_path), "train")


def test_a_split_that_is_missing_is_named_before_anything_is_read(tmp_path):
    export(tmp_path / "cola", tasks.get("cola"), [1, 0], ["train"])
    with refuses(UserError, f"--data={tmp_path}", "validation", "train"):
        readers.check(tasks.get("cola"), str(tmp_path))


@pytest.mark.parametrize(
    ("task", "split", "examples", "named"),
    [
        ("cola", "train", 8551, []),
        ("qqp", "train", 363846, []),
        ("laptop14", "train", 7, []),
        ("cola", "validation", 1000, ["1,000", "1,043", "cut short"]),
        ("mrpc", "train", 4076, ["4,076", "3,668", "changed"]),
        ("qnli", "train", 108_436, ["104,743", "withdrawn"]),
    ],
)
def test_another_number_of_examples_than_the_published_one_is_warned_of(
    caplog, task, split, examples, named
):
    with caplog.at_level(logging.WARNING, logger="absl"):
        published_counts.check(task, split, examples)
    assert len(caplog.messages) == bool(named)
    for line in caplog.messages:
        says(line, task, split, *named)


def test_numbers_are_published_of_every_split_of_glue():
    for name, numbers in published_counts.COUNTS.items():
        splits = {*(tasks.TASKS | tasks.DIAGNOSTICS)[name].submission_files}
        if name in tasks.TASKS:
            splits |= {"train", *tasks.get(name).validation_splits.values()}
        assert set(numbers) == splits
    glue = {name for name, task in tasks.TASKS.items() if task.is_glue}
    assert set(published_counts.COUNTS) == {*glue, *tasks.DIAGNOSTICS}


def test_the_trap_of_wnli_stands_below_its_scores():
    record = types.SimpleNamespace(
        data={"train": {"name": "tsv", "examples": 635, "split_examples": 635}},
        config={"task": "wnli"},
        own_task={},
        intervals={},
        warnings=(),
    )
    (line,) = [line for line in terminal.notes(record) if "WNLI" in line]
    says(line, "0.563", "opposite label")
    record.config["task"] = "rte"
    assert not any("WNLI" in line for line in terminal.notes(record))
