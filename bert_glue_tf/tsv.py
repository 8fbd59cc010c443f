"""Reads GLUE's own .tsv files, and says of a bad one what is wrong with it, and where."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
from collections.abc import Sequence

from absl import logging

from bert_glue_tf.errors import UserError
from bert_glue_tf.tasks import TaskSpec


@dataclasses.dataclass(frozen=True)
class Table:
    """The rows of one file.

    Attributes:
      fields: one list of n strings per text field of the task.
      labels: n class ids or scores; None for a file without labels.
      dropped: number of rows with too few columns (tasks that allow it).
      sha256: of the file's bytes.
    """

    fields: list[list[str]]
    labels: list[float] | None
    dropped: int
    sha256: str


def parse(task: TaskSpec, path: str, raw: bytes, labelled: bool) -> Table:
    """Reads the bytes of one of the task's .tsv files.

    A byte-order mark at the start is skipped (MRPC's files begin with one), CRLF line ends
    are read as plain ones, with a warning.

    Args:
      task: says which columns there are and which labels are good.
      path: the file's name in messages.
      raw: the file's bytes.
      labelled: whether the file has labels; the benchmark's test files have none.

    Raises:
      UserError: the first thing that is wrong, with its line.
    """
    # Split at b"\n" alone: U+0085, U+2028 and \x1c, at which str.splitlines and the csv
    # module's readers may split as well, occur inside the texts of web corpora.
    lines = raw.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()  # what follows the last line's own "\n"
    if b"\r\n" in raw:
        logging.warning("%s: CRLF line ends: read as plain line ends.", path)
        lines = [line.removesuffix(b"\r") for line in lines]

    rows = (_split_line(path, number, line) for number, line in enumerate(lines, start=1))
    wanted = task.tsv_text + ((task.tsv_label,) if labelled else ())
    if labelled and task.tsv_columns:
        columns, first = list(task.tsv_columns), 1
    else:
        columns, first = next(rows, list(wanted)), 2
    missing = [repr(name) for name in wanted if name not in columns]
    if missing:
        raise UserError(
            f"{path}:1: no column {', '.join(missing)} in the header, which has "
            f"{_short_list(columns)}.\n"
            f"Good: a first line that names {', '.join(wanted)}, separated by tabs."
        )
    text_at = [columns.index(name) for name in task.tsv_text]
    label_at = columns.index(task.tsv_label) if labelled else -1
    fields: list[list[str]] = [[] for _ in text_at]
    labels: list[float] = []
    dropped = 0
    for number, row in enumerate(rows, start=first):
        if labelled and task.drops_short_rows and len(row) < len(columns):
            dropped += 1
            continue
        fits = len(row) == len(columns)
        # Only a file without a header has data in its first line.
        is_data = fits and row[label_at] in task.tsv_labels
        if number == 1 and not is_data and task.tsv_label in row:
            raise UserError(
                f"{path}:1: a header ({_short_list(row)}), but {task.folder}'s "
                f"{os.path.basename(path)} has none.\n"
                f"Good: no header, and the columns {', '.join(columns)}."
            )
        if not fits:
            few = "a missing tab, or a line break in a text"
            cause = "a stray tab" if len(row) > len(columns) else few
            raise UserError(
                f"{path}:{number}: {len(row)} columns instead of {len(columns)} ({cause}?). "
                f"Good: {', '.join(columns)}, separated by single tabs."
            )
        if labelled:
            labels.append(_label(task, path, number, row[label_at]))
        for field, index in zip(fields, text_at, strict=True):
            field.append(row[index])
    if dropped:
        logging.warning("%s: %d rows with too few columns dropped.", path, dropped)
    if not fields[0]:
        raise UserError(
            f"{path}: zero rows of data. Good: {task.folder}'s {os.path.basename(path)}, with "
            f"the columns {', '.join(columns)}."
        )
    digest = hashlib.sha256(raw).hexdigest()
    return Table(fields, labels if labelled else None, dropped, digest)


def _split_line(path: str, number: int, line: bytes) -> list[str]:
    try:
        # No csv module: quotes are text here, and often unbalanced.
        return line.decode("utf-8").split("\t")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}:{number}: not UTF-8: byte {error.start + 1} of the line is "
            f"0x{line[error.start]:02x}. Good: the file saved as UTF-8."
        ) from None


def _label(task: TaskSpec, path: str, number: int, value: str) -> float:
    if task.label_range is None:
        if value in task.tsv_labels:
            return task.tsv_labels.index(value)
        good = ", ".join(task.tsv_labels)
    else:
        low, high = task.label_range
        try:
            score = float(value)
        except ValueError:
            score = math.nan
        if low <= score <= high:  # false for NaN
            return score
        good = f"a number from {low:g} to {high:g}"
    raise UserError(
        f"{path}:{number}: wrong label {_short(value)} in the column {task.tsv_label!r}. "
        f"Good values: {good}."
    )


def _short(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "...")


def _short_list(values: Sequence[str]) -> str:
    more = f" and {len(values) - 12} more" if len(values) > 12 else ""
    return ", ".join(map(_short, values[:12])) + more
