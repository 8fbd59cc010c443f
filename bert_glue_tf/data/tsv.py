"""Reads GLUE's .tsv files; says of a bad one what is wrong, and where."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any

from absl import logging

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.tasks import TaskSpec


@dataclasses.dataclass(frozen=True)
class Table:
    """The rows of one file.

    Attributes:
      fields: one list of n strings per text field of the task.
      labels: n class ids, scores, or lists of ids; None for a file without labels.
      dropped: number of rows with too few columns (tasks that allow it).
      sha256: of the file's bytes.
      sources: n codes of the task's `tsv_source`; None where the file has no such column.
    """

    fields: list[list[str]]
    labels: list[Any] | None
    dropped: int
    sha256: str
    sources: list[str] | None = None


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Where things stand in a file.

    Attributes:
      columns: names of all columns.
      first_row: number of the line with the first row of data, from 1.
      texts: places of the texts.
      label: place of the label; None for a file without labels.
      source: place of the source; None where the file has no such column.
    """

    columns: list[str]
    first_row: int
    texts: list[int]
    label: int | None
    source: int | None


def parse(task: TaskSpec, path: str, raw: bytes, labelled: bool) -> Table:
    """Read the bytes of one of the task's .tsv files.

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
    # No csv module: quotes are text here, and often unbalanced.
    rows: Iterator[list[str]] = (line.split("\t") for line in lines(path, raw))
    layout, rows = _layout(task, path, rows, labelled)
    fields: list[list[str]] = [[] for _ in layout.texts]
    labels: list[float] = []
    sources: list[str] = []
    dropped = 0
    for number, row in enumerate(rows, start=layout.first_row):
        if labelled and task.drops_short_rows and len(row) < len(layout.columns):
            dropped += 1
            continue
        _require_fitting(task, path, number, row, layout)
        if layout.label is not None:
            labels.append(_label(task, path, number, row[layout.label]))
        if layout.source is not None:
            sources.append(row[layout.source])
        for field, place in zip(fields, layout.texts, strict=True):
            field.append(row[place])
    if dropped:
        logging.warning("%s: %d rows with too few columns dropped.", path, dropped)
    if not fields[0]:
        raise UserError(
            f"{path}: zero rows of data. Good: {task.folder}'s {os.path.basename(path)}, with "
            f"the columns {', '.join(layout.columns)}."
        )
    return Table(
        fields,
        labels if labelled else None,
        dropped,
        hashlib.sha256(raw).hexdigest(),
        None if layout.source is None else sources,
    )


def _layout(
    task: TaskSpec, path: str, rows: Iterator[list[str]], labelled: bool
) -> tuple[_Layout, Iterator[list[str]]]:
    """Find out where things stand, by the header where the file has one; return the data's rows.

    Where the benchmark's own file has no header, others have put one before it.
    """
    wanted = task.tsv_text + ((task.tsv_label,) if labelled else ())
    columns, first_row = next(rows, list(wanted)), 2
    if labelled and task.tsv_columns and not set(wanted) <= set(columns):
        rows = itertools.chain([columns], rows)
        columns, first_row = list(task.tsv_columns), 1
    missing = [repr(name) for name in wanted if name not in columns]
    if missing:
        raise UserError(
            f"{path}:1: no column {', '.join(missing)} in the header, which has "
            f"{_short_list(columns)}.\n"
            f"Good: a first line that names {', '.join(wanted)}, separated by tabs."
        )
    has_source = bool(task.tsv_source) and task.tsv_source in columns
    layout = _Layout(
        columns,
        first_row,
        [columns.index(name) for name in task.tsv_text],
        columns.index(task.tsv_label) if labelled else None,
        columns.index(task.tsv_source) if has_source else None,
    )
    return layout, rows


def _require_fitting(
    task: TaskSpec, path: str, number: int, row: list[str], layout: _Layout
) -> None:
    """Refuse a row that has not the file's columns, and a header that does not name them."""
    columns = layout.columns
    fits = len(row) == len(columns)
    if number == 1 and task.tsv_label in row:
        # Only a file without a header has data in its first line.
        is_data = fits and layout.label is not None and row[layout.label] in task.tsv_labels
        if not is_data:
            raise UserError(
                f"{path}:1: a header ({_short_list(row)}) without the columns of {task.folder}'s "
                f"{os.path.basename(path)}.\nGood: {', '.join([*task.tsv_text, task.tsv_label])} "
                f"in it, or no header and the columns {', '.join(columns)}."
            )
    if not fits:
        few = "a missing tab, or a line break in a text"
        cause = "a stray tab" if len(row) > len(columns) else few
        raise UserError(
            f"{path}:{number}: {len(row)} columns instead of {len(columns)} ({cause}?). "
            f"Good: {', '.join(columns)}, separated by single tabs."
        )


def lines(path: str, raw: bytes) -> Iterator[str]:
    """Yield the lines of a file's bytes; the warning of CRLF comes with the first.

    Args:
      path: the file's name in messages.
      raw: the file's bytes.

    Raises:
      UserError: a line is not UTF-8.
    """
    # Split at b"\n" alone: U+0085, U+2028 and \x1c, at which str.splitlines and the csv
    # module's readers may split as well, occur inside the texts of web corpora.
    found = raw.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not found[-1]:
        found.pop()  # what follows the last line's own "\n"
    if b"\r\n" in raw:
        logging.warning("%s: CRLF line ends: read as plain line ends.", path)
        found = [line.removesuffix(b"\r") for line in found]
    for number, line in enumerate(found, start=1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}:{number}: not UTF-8: byte {error.start + 1} of the line is "
                f"0x{line[error.start]:02x}. Good: the file saved as UTF-8."
            ) from None


def _label(task: TaskSpec, path: str, number: int, value: str) -> float:
    try:
        return task.problem.parse_label(value, task.tsv_labels)
    except ValueError as good:
        raise UserError(
            f"{path}:{number}: wrong label {short(value)} in the column {task.tsv_label!r}. "
            f"Good values: {good}."
        ) from None


def short(value: str) -> str:
    """Return a value as a message shows it, at most 40 characters of it."""
    return repr(value if len(value) <= 40 else value[:40] + "...")


def _short_list(values: Sequence[str]) -> str:
    more = f" and {len(values) - 12} more" if len(values) > 12 else ""
    return ", ".join(map(short, values[:12])) + more
