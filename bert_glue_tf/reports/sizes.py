"""The table of files that hold several networks, beside the networks' own files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bert_glue_tf.export.one_file import OneFile
from bert_glue_tf.reports import formats
from bert_glue_tf.reports.tables import Column, Table


@dataclasses.dataclass(frozen=True)
class Row:
    """A network in a file of several.

    Attributes:
      file: the record of the file.
      size: name of the network.
    """

    file: OneFile
    size: str

    @property
    def slower(self) -> float:
        """Return how many times as long it takes as in its own file, by the shortest times."""
        times = self.file.fastest[self.size]
        return times["shared"] / times["own"]


def _milliseconds(value: float) -> str:
    return formats.number(value, 2)


_COLUMNS: tuple[Column[Row], ...] = (
    Column("recipe", lambda row: row.file.recipe),
    Column("size", lambda row: row.size),
    Column("own file", lambda row: row.file.separate_bytes[row.size], formats.size),
    Column("all own files", lambda row: row.file.separate, formats.size),
    Column("one file", lambda row: row.file.bytes, formats.size),
    Column("ms, own", lambda row: row.file.milliseconds[row.size]["own"], _milliseconds),
    Column("ms, one file", lambda row: row.file.milliseconds[row.size]["shared"], _milliseconds),
    Column("times as long", lambda row: row.slower, lambda value: formats.number(value, 2)),
)


def table(found: Sequence[OneFile]) -> Table[Row]:
    """Return a row for each network of each file.

    Args:
      found: the records of the files.
    """
    return Table(_COLUMNS, tuple(Row(one, size) for one in found for size in one.separate_bytes))
