"""Reads GLUE's .tsv files and SemEval's aspects; says of a bad one what is wrong, and where."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence

from absl import logging

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.tasks import TaskSpec


@dataclasses.dataclass(frozen=True)
class Table:
    """The rows of one file.

    Attributes:
      fields: one list of n strings per text field of the task.
      labels: n class ids or scores; None for a file without labels.
      dropped: number of rows with too few columns (tasks that allow it).
      sha256: of the file's bytes.
      sources: n codes of the task's `tsv_source`; None where the file has no such column.
    """

    fields: list[list[str]]
    labels: list[float] | None
    dropped: int
    sha256: str
    sources: list[str] | None = None


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
    # No csv module: quotes are text here, and often unbalanced.
    rows = (line.split("\t") for line in _lines(path, raw))
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
    has_source = bool(task.tsv_source) and task.tsv_source in columns
    source_at = columns.index(task.tsv_source) if has_source else -1
    sources: list[str] = []
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
        if has_source:
            sources.append(row[source_at])
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
    return Table(
        fields,
        labels if labelled else None,
        dropped,
        digest,
        sources if has_source else None,
    )


_OUTSIDE = "O"  # The tag of a word that belongs to no aspect.


def parse_aspects(task: TaskSpec, path: str, raw: bytes) -> Table:
    """Reads the bytes of an aspect file: one example for each aspect, sentence and aspect.

    A line is `sentence####token=TAG token=TAG ...`, the format of Li et al. 2019 (see tasks.py).
    A token may hold a `=` itself, so that the last one separates. An aspect is a longest run of
    tokens with one tag that is not O; its text is the tokens with blanks between. What the
    format cannot tell is lost: neighbouring aspects of one polarity are one, and an aspect's
    place in the sentence is not among the texts, so that a term that occurs twice gives two
    examples alike. A sentence without an aspect gives no example.

    Args:
      task: its `tsv_labels` are the tags of aspects.
      path: the file's name in messages.
      raw: the file's bytes; byte-order mark and CRLF as in `parse`.

    Raises:
      UserError: the first thing that is wrong, with its line.
    """
    sentences: list[str] = []
    aspects: list[str] = []
    labels: list[float] = []
    good = ", ".join((_OUTSIDE, *task.tsv_labels))
    for number, line in enumerate(_lines(path, raw), start=1):
        parts = line.split("####")
        if len(parts) != 2:
            raise UserError(
                f"{path}:{number}: '####' occurs {len(parts) - 1} times. "
                "Good: sentence####token=TAG token=TAG ..."
            )
        tagged = []
        for token in parts[1].split(" "):
            word, _, tag = token.rpartition("=")
            if not word or tag not in (_OUTSIDE, *task.tsv_labels):
                raise UserError(
                    f"{path}:{number}: wrong token {_short(token)} after '####'. "
                    f"Good: token=TAG, with single blanks between, and the tags {good}."
                )
            tagged.append((word, tag))
        for tag, run in itertools.groupby(tagged, key=lambda pair: pair[1]):
            if tag != _OUTSIDE:
                sentences.append(parts[0])
                aspects.append(" ".join(word for word, _ in run))
                labels.append(task.tsv_labels.index(tag))
    if not labels:
        raise UserError(
            f"{path}: no aspect in it. Good: {task.folder}'s {os.path.basename(path)}, with lines "
            f"sentence####token=TAG token=TAG ... and the tags {good}."
        )
    return Table([sentences, aspects], labels, 0, hashlib.sha256(raw).hexdigest())


def _lines(path: str, raw: bytes) -> Iterator[str]:
    """The lines of a file's bytes; the warning of CRLF comes with the first."""
    # Split at b"\n" alone: U+0085, U+2028 and \x1c, at which str.splitlines and the csv
    # module's readers may split as well, occur inside the texts of web corpora.
    lines = raw.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()  # what follows the last line's own "\n"
    if b"\r\n" in raw:
        logging.warning("%s: CRLF line ends: read as plain line ends.", path)
        lines = [line.removesuffix(b"\r") for line in lines]
    for number, line in enumerate(lines, start=1):
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
            f"{path}:{number}: wrong label {_short(value)} in the column {task.tsv_label!r}. "
            f"Good values: {good}."
        ) from None


def _short(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "...")


def _short_list(values: Sequence[str]) -> str:
    more = f" and {len(values) - 12} more" if len(values) > 12 else ""
    return ", ".join(map(_short, values[:12])) + more
