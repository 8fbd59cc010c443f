"""GLUE as others distribute it: tables, as Hugging Face's `datasets` exports them.

Their columns have the names of TFDS (sentence1, sentence2, label, idx), their labels are numbers in
TFDS's order, whose names the schema of a parquet file gives, and their folders are named as the
tasks are (cola, sst2).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import examples
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.file_formats import split_file
from bert_glue_tf.data.own import files, labels, table
from bert_glue_tf.data.own.labels import Column
from bert_glue_tf.data.own.table import Table
from bert_glue_tf.data.tasks import TaskSpec

NAME = "tables"  # Of the source, in records.


def find(task: TaskSpec, data: str) -> dict[str, tuple[str, ...]]:
    """Return split -> the paths of its file or shards.

    The folder is `data`/cola, `data`/CoLA or `data` itself. It is empty where the first of them
    that has files of splits holds the benchmark's own.

    Args:
      task: of GLUE, or a diagnostic set; all others have no tables of this kind.
      data: value of --data.

    Raises:
      UserError: several files of one split, or a shard is missing.
    """
    if not task.is_glue or not os.path.isdir(os.path.expanduser(data)):
        return {}
    for place in (os.path.join(data, task.name), os.path.join(data, task.folder), data):
        if _has_own_files(task, place):
            return {}
        found = files.in_folder(place) if os.path.isdir(os.path.expanduser(place)) else {}
        if found.keys() & {*task.submission_files, files.TRAIN}:
            return found
    return {}


def _has_own_files(task: TaskSpec, place: str) -> bool:
    names = [split_file(task, split) for split in (*task.submission_files, files.TRAIN)]
    return any(os.path.isfile(os.path.expanduser(os.path.join(place, name))) for name in names)


def require(found: Mapping[str, Sequence[str]], data: str, split: str) -> Sequence[str]:
    """Return the files of one split.

    Raises:
      UserError: there are none.
    """
    if split not in found:
        raise UserError(
            f"--data={data}: no {split} file in it; found: {', '.join(found)}. "
            f"Good: {split}.parquet, for example."
        )
    return found[split]


def load(task: TaskSpec, data: str, split: str) -> Examples:
    """Read one split.

    Args:
      task: a known one, for which `find` finds tables.
      data: value of --data.
      split: as TFDS names it.

    Raises:
      UserError: the split is not there, cannot be read, or a column, text or label is wrong.
    """
    paths = require(find(task, data), data, split)
    rows = table.read(paths)
    fields = next(
        (names for names in (task.text_fields, task.tsv_text) if set(names) <= rows.columns.keys()),
        None,
    )
    if fields is None:
        raise _missing(rows, task.text_fields)
    found = None
    if task.has_labels(split):
        name = next((n for n in ("label", task.tsv_label) if n in rows.columns), None)
        if name is None:
            raise _missing(rows, ["label"])
        good = ", ".join(task.problem.labels)
        found = labels.read(_named(task, Column.of(rows, name)), task.problem, good)
    return examples.make(
        task.problem,
        [_texts(rows, name) for name in fields],
        found,
        name=NAME,
        split=split,
        version=None,
        sha256=rows.sha256,
        path=paths[0] if len(paths) == 1 else os.path.dirname(paths[0]),
    )


def _missing(rows: Table, names: Sequence[str]) -> UserError:
    return UserError(
        f"{rows.paths[0]}: no column {' or '.join(map(repr, names))}. Its columns: "
        f"{', '.join(rows.columns)}. Good: {', '.join(names)}, as Hugging Face's exports of GLUE "
        "have them."
    )


def _texts(rows: Table, name: str) -> list[str]:
    for row, value in enumerate(rows.columns[name]):
        if not isinstance(value, str):
            raise UserError(
                f"{rows.places[row]}: {str(value)[:40]!r} in the column {name!r}, which is no text."
            )
    return list(rows.columns[name])


def _named(task: TaskSpec, column: Column) -> Column:
    """Return labels by their names: numbers count the task's classes where no schema names them.

    A schema's names are never overruled, so that classes in another order keep their meaning.
    """
    if not task.problem.labels or column.class_names:
        return column
    return dataclasses.replace(
        column, values=[_number(value) for value in column.values], class_names=task.problem.labels
    )


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value
