"""The files of a task in the benchmark's own folders, and of the aspects of SemEval."""

from __future__ import annotations

import os
import re

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import examples, file_formats
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.tasks import TaskSpec


def task_folder(task: TaskSpec, data: str) -> str:
    """Return the folder of the task's files: `data`/CoLA, or `data` itself if they lie in it."""
    root = os.path.expanduser(data)
    if not os.path.isdir(root):
        is_file = os.path.exists(root) or bool(os.path.splitext(root)[1])
        what = "no such folder"
        if is_file:
            what = "a file, not a folder" if os.path.exists(root) else "no such file"
        example = f"(e.g. {task.folder}/{file_formats.split_file(task, 'train')})"
        own = "; or a file of labelled texts of your own, without --task" if is_file else ""
        raise UserError(
            f"--data={data}: {what}. Good values: {'tfds, sample, or ' if task.is_glue else ''}"
            f"a folder that holds the benchmark's task folders {example}{own}."
        )
    if os.path.isdir(os.path.join(root, task.folder)):
        return os.path.join(data, task.folder)
    names, suffix = _listing(data), file_formats.of(task).suffix
    train = file_formats.split_file(task, "train")
    if any(name.endswith(suffix) for name in names):
        return data

    def plain(name: str) -> str:
        return re.sub("[^a-z0-9]", "", name.lower())

    for name in names:
        near = os.path.join(data, name)
        if plain(name) == plain(task.folder) and os.path.isdir(os.path.expanduser(near)):
            raise UserError(
                f"--data={data}: no folder {task.folder} in it, but {name}. "
                f"Good: rename that to {task.folder}, or pass --data={near}."
            )
    raise UserError(
        f"--data={data}: no folder {task.folder} and no {suffix} file in it. "
        f"Good: {os.path.join(data, task.folder, train)} and so on."
    )


def _listing(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(os.path.expanduser(folder)))
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}. Good: a folder you can read.") from error


def is_own_file(task: TaskSpec, path: str) -> bool:
    """Tell whether a file without a header begins as the labelled ones of the task do."""
    try:
        with open(os.path.expanduser(path), "rb") as file:
            return is_headerless(task, file.readline(1 << 16))
    except OSError:
        return False


def is_headerless(task: TaskSpec, first_line: bytes) -> bool:
    """Tell whether a file begins as the task's labelled ones that have no header."""
    cells = first_line.decode("utf-8-sig", "replace").rstrip("\r\n").split("\t")
    columns = task.tsv_columns
    return (
        bool(columns)
        and len(cells) == len(columns)
        and (cells[columns.index(task.tsv_label)] in task.tsv_labels)
    )


def missing_file(task: TaskSpec, path: str) -> UserError:
    """Return the error of a file that is not there, with the files that are."""
    folder, name = os.path.split(path)
    suffix = file_formats.of(task).suffix
    found = [other for other in _listing(folder) if other.endswith(suffix)]
    listed = ", ".join(found) or f"no {suffix} file"
    return UserError(
        f"{path}: no such file. Found in {folder}: {listed}. "
        f"Good: the benchmark's own {task.folder} files, {name} among them."
    )


def load(task: TaskSpec, path: str, split: str) -> Examples:
    """Read one file of a task.

    Raises:
      UserError: it is missing, or malformed.
    """
    try:
        with open(os.path.expanduser(path), "rb") as file:
            raw = file.read()
    except FileNotFoundError:
        raise missing_file(task, path) from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}. Good: a file you can read.") from error
    table = file_formats.of(task).read(task, path, raw, split)
    return examples.make(
        task.problem,
        table.fields,
        table.labels,
        table.sources,
        name=task.file_format,
        split=split,
        version=None,
        sha256=table.sha256,
        path=path,
        dropped_rows=table.dropped,
    )
