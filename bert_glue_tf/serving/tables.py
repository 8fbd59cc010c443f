"""Predictions for the rows of a table, whose columns are kept beside them."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Generator, Sequence
from typing import Any

from absl import logging

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.own import columns, table
from bert_glue_tf.data.own.rows import Rows
from bert_glue_tf.data.task_files import is_headerless
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.serving.answers import BLANKS, CHUNK, format_prediction, joined, spans_as_json
from bert_glue_tf.serving.classifier import Classifier, Prediction

AUTO, LINES = "auto", "lines"
INPUT_FORMATS = (AUTO, LINES, *(suffix.removeprefix(".") for suffix in table.PARSERS))
# The columns that are added; with JSON also the last one.
LABEL, PROBABILITIES = "predicted_label", "probabilities"


def is_table(
    task: TaskSpec, name: str, first_line: bytes, given: str, text_columns: Sequence[str]
) -> bool:
    """Tell whether an input is a table, whose first line or schema names its columns.

    Args:
      task: that the input is for.
      name: of the file; another one for standard input.
      first_line: of the file; empty where it cannot be looked at.
      given: value of --input_format.
      text_columns: value of --text_columns; numbers say that every line is data.
    """
    if given != AUTO:
        return given != LINES
    suffix = table.suffix_of(name)
    if suffix != ".tsv":
        return bool(suffix)
    are_numbers = bool(text_columns) and all(column.isdecimal() for column in text_columns)
    return not are_numbers and not is_headerless(task, first_line)


def read(name: str, raw: bytes, given: str = AUTO) -> Rows:
    """Return the rows of an input.

    Args:
      name: of the file, for messages; tells the format where `given` does not.
      raw: its bytes.
      given: value of --input_format.

    Raises:
      UserError: the first thing that is wrong with it, with its line.
    """
    suffix = "" if given == AUTO else f".{given}"
    return table.parse(name, table.unpacked(name, raw), suffix=suffix)


def texts_of(task: TaskSpec, rows: Rows, text_columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that hold the texts of the task.

    They are those that the user gives, else those of the training, else those with usual names.

    Args:
      task: that the texts are for.
      rows: of the input.
      text_columns: value of --text_columns.

    Raises:
      UserError: a given column is not there, or none can be told; the message lists the columns.
    """
    listed = ", ".join(rows.columns)
    if text_columns:
        missing = [name for name in text_columns if name not in rows.columns]
        if missing:
            raise UserError(
                f"--text_columns={','.join(text_columns)}: {rows.path} has no column "
                f"{', '.join(missing)}. Its columns: {listed}."
            )
        if len(text_columns) != len(task.text_fields):
            raise UserError(
                f"--text_columns={','.join(text_columns)}: {task.name} takes "
                f"{len(task.text_fields)} text(s) ({', '.join(task.text_fields)})."
            )
        return tuple(text_columns)
    for names in (task.tsv_text, task.text_fields, columns.guess_texts(rows.columns)):
        if len(names) == len(task.text_fields) and all(name in rows.columns for name in names):
            return tuple(names)
    raise UserError(
        f"{rows.path}: no column {', '.join(task.tsv_text)} for the text. Good: --text_columns "
        f"with {len(task.text_fields)} of its columns: {listed} (its first line names them; "
        "--text_columns=1 counts them where every line of a .tsv is data)."
    )


def to_rows(
    classifier: Classifier, rows: Rows, text_columns: Sequence[str], style: str
) -> Generator[list[str]]:
    """Yield the lines that answer a table's rows, with their columns kept.

    Args:
      classifier: that answers.
      rows: of the table.
      text_columns: value of --text_columns.
      style: value of --format.

    Raises:
      UserError: as `texts_of`.
    """
    task = classifier.task
    names = texts_of(task, rows, text_columns)
    logging.info("%s: %d rows, text from %s", rows.path, len(rows), " and ".join(names))
    classifier.load_tokenizer()
    more = added(task, rows)
    yield _header(rows, more, style)
    empty = 0
    for start in range(0, len(rows), CHUNK):
        places = range(start, min(start + CHUNK, len(rows)))
        texts = [tuple(text(rows.columns[name][place]) for name in names) for place in places]
        empty += sum(not any(part.strip() for part in one) for one in texts)
        answered = zip(places, classifier.predict(texts), strict=True)
        yield [_line(rows, place, one, more, style) for place, one in answered]
    if empty:
        logging.warning(
            "%s: %d row(s) hold no text, and their labels mean nothing", rows.path, empty
        )


def text(value: Any) -> str:
    """Return a cell as a text; what is missing is empty, and words get blanks between."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    is_missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if is_missing else str(value)


def added(task: TaskSpec, rows: Rows) -> tuple[str, ...]:
    """Return the names of the columns that are added, none of which the table has."""
    found = []
    for name in (LABEL, task.problem.score_name):
        while name in rows.columns:
            name += "_"
        found.append(name)
    return tuple(found)


def _header(rows: Rows, added: Sequence[str], style: str) -> list[str]:
    return [_joined([*rows.columns, *added], style)] if style in ("tsv", "csv") else []


def _line(rows: Rows, place: int, one: Prediction, added: Sequence[str], style: str) -> str:
    row = {name: values[place] for name, values in rows.columns.items()}
    if style == "jsonl":
        label, score = added
        return json.dumps(
            {
                **row,
                label: one.label,
                score: one.score,
                PROBABILITIES: one.probabilities,
                **spans_as_json(one),
            },
            default=str,  # What a parquet file holds besides, as dates.
        )
    if style == "text":
        return format_prediction(one, style)
    return _joined([*map(_cell, row.values()), one.label, f"{one.score:.6f}"], style)


def _cell(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return json.dumps(value, default=str)
    return text(value)


def _joined(cells: Sequence[str], style: str) -> str:
    if style == "tsv":
        return "\t".join(cell.translate(BLANKS) for cell in cells)
    return joined(cells)


def first_line(file: io.BufferedReader) -> bytes:
    """Return the first line of a file that stays unread."""
    return next(iter(file.peek(1 << 16).split(b"\n")), b"")
