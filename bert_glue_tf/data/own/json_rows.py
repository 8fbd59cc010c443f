"""Rows of .jsonl and .json files: an object a row, whose names are the columns."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.own.rows import Rows, decode

_GOOD = 'Good: {"text": "...", "label": "..."}'


def lines(path: str, raw: bytes) -> Rows:
    """Return the rows of a .jsonl file, an object a line.

    Raises:
      UserError: the first line that is no object.
    """
    objects, numbers = [], []
    for number, line in enumerate(decode(path, raw).split("\n"), start=1):
        if line.strip():
            objects.append(row(path, number, line))
            numbers.append(number)
    return _rows(path, objects, numbers, are_lines=True)


def row(path: str, number: int, line: str) -> dict[str, Any]:
    """Return the object in a line of a .jsonl file.

    Args:
      path: of the file, for messages.
      number: of the line, for messages.
      line: its text.

    Raises:
      UserError: it is none.
    """
    try:
        value = strict_json.loads(line)
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise UserError(f"{path}:{number}: no JSON ({reason}). {_GOOD} a line.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}:{number}: no JSON object. {_GOOD} a line.")
    return value


def document(path: str, raw: bytes) -> Rows:
    """Return the rows of a .json file: an array of objects, or an object a line.

    Raises:
      UserError: it is neither.
    """
    text = decode(path, raw)
    if not text.lstrip().startswith("["):
        _refuse_nested(path, text)
        return lines(path, raw)
    try:
        values = strict_json.loads(text)
    except ValueError as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise UserError(
            f"{path}{line}: no JSON ({reason}). Good: an array of objects, or one a line."
        ) from None
    for number, value in enumerate(values, start=1):
        if not isinstance(value, dict):
            raise UserError(f"{path}, row {number}: no JSON object. {_GOOD} for each row.")
    return _rows(path, values, range(1, len(values) + 1), are_lines=False)


def _refuse_nested(path: str, text: str) -> None:
    """Raise UserError where a whole document is one object with the table inside of it."""
    try:
        value = strict_json.loads(text)
    except ValueError:
        return  # An object a line, or no JSON, as the reader of lines will say.
    if isinstance(value, dict) and any(map(_is_nested, value.values())):
        raise UserError(
            f"{path}: one JSON object with {', '.join(list(value)[:6])} in it, and no array of "
            f"rows. Good: an array of objects [{_GOOD.removeprefix('Good: ')}, ...], as pandas "
            'writes it with orient="records".'
        )


def _is_nested(value: Any) -> bool:
    """Tell whether a value is a column by row numbers, or a table, and no text, label or list."""
    return isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(one, dict) for one in value)
    )


def _rows(path: str, objects: list[dict[str, Any]], numbers: Any, *, are_lines: bool) -> Rows:
    """Return objects as columns; what an object does not have is None."""
    names = dict.fromkeys(name for value in objects for name in value)
    columns = {name: _column(objects, name) for name in names}
    return Rows(path, columns, numbers, are_lines)


def _column(objects: Iterable[dict[str, Any]], name: str) -> list[Any]:
    return [value.get(name) for value in objects]
