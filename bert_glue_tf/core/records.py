"""Records: dataclasses that are lines of strict JSON in a file that is only ever added to.

A line says its format. A field that a reader does not know is passed over, and one that a line
lacks has its default, so that a field added later makes no file unreadable: a new field of a
record has a default, and the fields without one are those that make a line a record.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import pathlib
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

from absl import logging

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError

FORMAT = "format"
_LARGEST = 2**63  # No count of bytes, weights or milliseconds is beyond it.
# How every line begins; a new file has no other first key.
_START = f'{{"{FORMAT}": '


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """Base class of a record; its fields are annotated with the types that a line is read by.

    Attributes:
      current_format: the format that is written; raised when a field changes its meaning.
      what_is_foreign: what is said of a line that lacks fields.
      kind: what it is a record of, for messages.
      written_by: the command that writes it, and where, for messages.
    """

    current_format: ClassVar[int] = 1
    what_is_foreign: ClassVar[str] = "no record of this kind"
    kind: ClassVar[str] = "a run"
    written_by: ClassVar[str] = "the train command writes it, in the folder of the run itself"

    def to_line(self) -> str:
        """Return the record as one line of strict JSON without the line break; NaN is null."""
        values = {FORMAT: self.current_format, **dataclasses.asdict(self)}
        return json.dumps(_without_nan(values), allow_nan=False)

    @classmethod
    def from_line(cls, line: str) -> Self:
        """Return the record that `to_line` wrote, in this version or in another one.

        Raises:
          ValueError: the line is no such record.
        """
        values = strict_json.loads(line)
        if not isinstance(values, dict):
            raise ValueError(cls.what_is_foreign)
        note_format(cls.__name__, values.pop(FORMAT, cls.current_format), cls.current_format)
        fields = {field.name: field for field in dataclasses.fields(cls)}
        required = {name for name, field in fields.items() if _has_no_default(field)}
        if not required <= set(values):
            raise ValueError(cls.what_is_foreign)
        return cls.of({name: value for name, value in values.items() if name in fields})

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Return the record of a line's values, the unknown ones left out.

        Raises:
          ValueError: a value is not of its field's type.
        """
        check_types(cls, values)
        return cls(**values)


_R = TypeVar("_R", bound=Record)


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return dataclasses.MISSING is field.default is field.default_factory


def note_format(what: str, found: Any, known: int) -> None:
    """Compare the format that a file says with the newest one that is known.

    A newer one is noted in one warning, and read as far as it is known.

    Raises:
      ValueError: it is no whole number from 1 on.
    """
    if type(found) is not int or found < 1:
        raise ValueError(f"its {FORMAT} {found!r} is no whole number from 1 on")
    if found > known:
        _warn_of_newer(what, found, known)


@functools.cache  # A table of a hundred runs says it once.
def _warn_of_newer(what: str, found: int, known: int) -> None:
    logging.warning(
        "%s of format %s, written by a later version of bert_glue_tf; this one knows format %d "
        "and reads what it knows",
        what,
        found if abs(found) < _LARGEST else "beyond all numbers",
        known,
    )


def check_types(record: type, values: Mapping[str, Any]) -> None:
    """Compare what a line of JSON holds with the annotations of a record's fields.

    A number may be null, as NaN is written. What is annotated `Any` is what differs from run to
    run, and is not looked at.

    Raises:
      ValueError: naming a field that holds something else.
    """
    for name, wanted in typing.get_type_hints(record).items():
        if name in values and not _fits(values[name], wanted):
            kind = getattr(wanted, "__name__", "") if not typing.get_args(wanted) else str(wanted)
            kind = re.sub(r"\b(collections\.abc|typing)\.", "", kind)
            raise ValueError(f"its {name} is no {kind}")


def _fits(value: Any, wanted: Any) -> bool:
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any:
        return True
    if wanted is float:
        return value is None or _fits(value, int) or type(value) is float
    if wanted is int:
        return type(value) is int and abs(value) < _LARGEST
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, one) for one in inner)
    if wanted is type(None):
        return value is None
    if origin is Mapping:
        return isinstance(value, dict) and all(_fits(item, inner[1]) for item in value.values())
    if origin is Sequence or (origin is tuple and inner[-1] is Ellipsis):
        return isinstance(value, list) and all(_fits(item, inner[0]) for item in value)
    if origin is tuple:
        return (
            isinstance(value, list) and len(value) == len(inner) and all(map(_fits, value, inner))
        )
    return isinstance(value, wanted)


def _without_nan(value: Any) -> Any:
    """Return a value of JSON with null for NaN and infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value


def with_nan(values: Mapping[str, float | None]) -> dict[str, float]:
    """Return numbers by name with NaN for null."""
    return {name: math.nan if value is None else value for name, value in values.items()}


def append(path: pathlib.Path, record: Record) -> None:
    """Add a record to a file of JSON lines; what stands there is never touched.

    A last line that was cut short (a full disk, a killed process) is closed first, so that it
    cannot swallow the new record.
    """
    line = record.to_line() + "\n"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = "\n" + line
        data = line.encode()
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load(path: pathlib.Path, kind: type[_R]) -> list[_R]:
    """Return all records of one kind in a file of JSON lines that holds no others.

    A line that begins as a record and was cut short (a full disk, a killed process) is
    passed over with a warning.

    Raises:
      UserError: the file cannot be read, or a line is no record (the message names it).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a readable file of results ({error}).") from error
    records = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append(kind.from_line(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if _is_cut_short(line, error):
                logging.warning(
                    "%s:%d: a record that was cut short when it was written; passed over",
                    path,
                    number,
                )
                continue
            raise UserError(
                f"{path}:{number}: no record of {kind.kind} ({error}). Each line must be one as "
                f"{kind.written_by}."
            ) from error
    return records


def _is_cut_short(line: str, error: Exception) -> bool:
    """Return whether a line that is no record begins as one and ends before its last brace."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    begins = line.startswith(_START) or _START.startswith(line)
    return begins and (error.pos >= len(line) or not line.endswith("}"))
