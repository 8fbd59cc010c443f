"""A table of the user's own, read from a file: columns by name, and where each row stands."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import os
import pathlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.own import columnar, conll, delimited, json_rows
from bert_glue_tf.data.own.rows import Rows

Parser = Callable[[str, bytes], Rows]
# How the name of a file ends -> what reads it.
PARSERS: Mapping[str, Parser] = MappingProxyType(
    {
        ".csv": delimited.csv_rows,
        ".tsv": delimited.tsv_rows,
        ".jsonl": json_rows.lines,
        ".ndjson": json_rows.lines,
        ".json": json_rows.document,
        ".parquet": columnar.parquet,
        ".arrow": columnar.arrow,
        ".conll": conll.rows,
        ".bio": conll.rows,
        ".iob": conll.rows,
    }
)
WITH_HEADER = (".csv", ".tsv")  # Whose first line names the columns.
GOOD_SUFFIXES = ".csv, .tsv, .jsonl, .json, .parquet or .conll (also with .gz)"
PACKED = ".gz"


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of one file, or of the shards of one split.

    Attributes:
      columns: name -> n values: texts of a .csv or .tsv, else what the file holds.
      places: where each of the n rows stands, for messages: `file:line`.
      sha256: of the bytes of the files.
      class_names: column of integers -> the names of its classes, as a schema gives them.
      paths: of the files.
    """

    columns: Mapping[str, Sequence[Any]]
    places: Sequence[str]
    sha256: str
    class_names: Mapping[str, tuple[str, ...]]
    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.places)

    def choose(self, chosen: Sequence[int]) -> Table:
        """Return some rows, in that order."""
        columns = {name: [held[row] for row in chosen] for name, held in self.columns.items()}
        places = [self.places[row] for row in chosen]
        return dataclasses.replace(self, columns=columns, places=places)


def suffix_of(path: str) -> str:
    """Return how a file's name ends, .gz left out; empty where nothing here reads such files."""
    name = os.path.basename(path).lower().removesuffix(PACKED)
    suffix = os.path.splitext(name)[1]
    return suffix if suffix in PARSERS else ""


def stem_of(path: str) -> str:
    """Return a file's name without what it ends with: `train` of `train.csv.gz`."""
    name = os.path.basename(path)
    if name.lower().endswith(PACKED):
        name = name[: -len(PACKED)]
    return os.path.splitext(name)[0] if suffix_of(path) else name


def read(paths: Sequence[str]) -> Table:
    """Read the files of one split, one below the other.

    Args:
      paths: of one file or of several shards, in their order.

    Raises:
      UserError: a file cannot be read, is damaged or empty, or the shards have other columns.
    """
    parts = [_read(path, *_state(path)) for path in paths]
    first = parts[0]
    for part in parts[1:]:
        if set(part.columns) != set(first.columns):
            raise UserError(
                f"{part.path}: its columns are {', '.join(part.columns)}, and those of "
                f"{first.path} {', '.join(first.columns)}. Good: shards of one table."
            )
    return Table(
        columns={
            name: [value for part in parts for value in part.columns[name]]
            for name in first.columns
        },
        places=[part.place(row) for part in parts for row in range(len(part))],
        sha256=first.sha256 if len(parts) == 1 else _digest(part.sha256 for part in parts),
        class_names=first.class_names,
        paths=tuple(paths),
    )


def _digest(parts: Any) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def states(splits: Mapping[str, Sequence[str]]) -> tuple[tuple[int, int], ...]:
    """Return size and time of the last change of all files, by which a change is noticed."""
    return tuple(_state(path) for paths in splits.values() for path in paths)


def _state(path: str) -> tuple[int, int]:
    """Return size and time of a file's last change, by which a second reading is spared."""
    try:
        state = os.stat(os.path.expanduser(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    return state.st_size, state.st_mtime_ns


@functools.lru_cache(maxsize=8)  # A command asks for the task, and then for its examples.
def _read(path: str, size: int, changed: int) -> Rows:
    del size, changed
    try:
        raw = pathlib.Path(path).expanduser().read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    digest = hashlib.sha256(raw).hexdigest()
    return parse(path, unpacked(path, raw), digest)


def unpacked(path: str, raw: bytes) -> bytes:
    """Return the bytes of a file, unpacked where its name ends with .gz.

    Raises:
      UserError: they are cut short, or no file of gzip.
    """
    if not path.lower().endswith(PACKED):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"{path}: cut short, or no file of gzip ({error}). Good: the whole file."
        ) from None


def parse(path: str, raw: bytes, digest: str = "", suffix: str = "") -> Rows:
    """Return the rows in the bytes of a file, packed no more.

    Args:
      path: the file's name in messages.
      raw: the bytes.
      digest: SHA-256 of the file's bytes.
      suffix: one of `PARSERS`, which tells the format; by default that of `path`.

    Raises:
      UserError: no format that is known here, or the first thing that is wrong, with its line.
    """
    suffix = suffix or suffix_of(path)
    if not suffix:
        raise UserError(f"{path}: no format that is read here. Good: {GOOD_SUFFIXES}.")
    rows = PARSERS[suffix](path, raw)
    if not len(rows):
        listed = f" below the columns {', '.join(rows.columns)}" if rows.columns else ""
        raise UserError(f"{path}: no row of data{listed}. Good: at least one row.")
    return dataclasses.replace(rows, sha256=digest)
