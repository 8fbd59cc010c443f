"""Table: typed rows and the columns that show them; as Markdown and as CSV.

A row is a value of its own type (a `Model`, a `Group`, a `Comparison`); a `Column` says what it
shows of a row, how that becomes text, and what it means (`Tone`). A new kind of table is a list of
columns.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from bert_glue_tf.reports import formats

R = TypeVar("R")

_FORMULA = ("=", "+", "-", "@")


class Tone(enum.Enum):
    """The meaning of a cell for its reader, which a page may show in colour."""

    PLAIN = enum.auto()
    GOOD = enum.auto()
    BAD = enum.auto()
    NOISE = enum.auto()


def _plain_tone(value: Any) -> Tone:
    return Tone.PLAIN


@dataclasses.dataclass(frozen=True)
class Column(Generic[R]):
    """One column of a table.

    Attributes:
      head: its title.
      value: row -> what it shows of the row, a value of its own type.
      text: value -> text.
      tone: value -> its meaning.
      may_wrap: whether the text may be broken into lines.
      spare: how easily a narrow terminal can do without it: the largest goes first, 0 never.
    """

    head: str
    value: Callable[[R], Any]
    text: Callable[[Any], str] = formats.plain
    tone: Callable[[Any], Tone] = _plain_tone
    may_wrap: bool = False
    spare: int = 0


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell, ready to be shown.

    Attributes:
      text: of it.
      tone: its meaning.
      may_wrap: whether the text may be broken into lines.
    """

    text: str
    tone: Tone = Tone.PLAIN
    may_wrap: bool = False


@dataclasses.dataclass(frozen=True)
class Table(Generic[R]):
    """Rows of one type, and the columns that show them.

    Attributes:
      columns: from left to right.
      rows: from top to bottom.
      notes: the facts that a reader has to know; `print_rows` prints them below the table.
    """

    columns: tuple[Column[R], ...]
    rows: tuple[R, ...]
    notes: tuple[str, ...] = ()

    @property
    def heads(self) -> list[str]:
        """The titles of the columns."""
        return [column.head for column in self.columns]

    def cells(self) -> list[list[Cell]]:
        """Return the rows as cells, in the order of the columns."""
        return [[_cell(column, row) for column in self.columns] for row in self.rows]

    def values(self) -> list[dict[str, Any]]:
        """Return the rows as values of their own types, by the titles of the columns."""
        return [{column.head: column.value(row) for column in self.columns} for row in self.rows]

    def texts(self) -> list[dict[str, str]]:
        """Return the rows as texts, by the titles of the columns."""
        return [
            {column.head: column.text(column.value(row)) for column in self.columns}
            for row in self.rows
        ]

    def pick(self, *heads: str) -> Table[R]:
        """Return the table with these columns only, in this order."""
        by_head = {column.head: column for column in self.columns}
        return dataclasses.replace(self, columns=tuple(by_head[head] for head in heads))

    def filled(self) -> Table[R]:
        """Return the table without the columns that are empty in all rows."""
        texts = self.texts()
        kept = [column for column in self.columns if any(row[column.head] for row in texts)]
        return dataclasses.replace(self, columns=tuple(kept))

    def where(self, wanted: Callable[[R], bool]) -> Table[R]:
        """Return the table with the rows only that are wanted."""
        return dataclasses.replace(self, rows=tuple(row for row in self.rows if wanted(row)))


def _cell(column: Column[R], row: R) -> Cell:
    value = column.value(row)
    return Cell(column.text(value), column.tone(value), column.may_wrap)


def of(rows: Iterable[Mapping[str, Any]]) -> Table[Mapping[str, Any]]:
    """Return a table of mappings; its columns are the keys of the first."""
    found = tuple(rows)
    heads = list(found[0]) if found else []
    return Table(tuple(Column(head, _item(head), may_wrap=True) for head in heads), found)


def _item(head: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda row: row[head]


def markdown(table: Table[Any]) -> str:
    """Return a Markdown table; empty without rows."""
    if not table.rows:
        return ""
    import tabulate

    layout = tabulate.TableFormat(
        lineabove=None,
        linebelowheader=lambda widths, alignments: "|" + "---|" * len(widths),
        linebetweenrows=None,
        linebelow=None,
        headerrow=tabulate.DataRow("| ", " | ", " |"),
        datarow=tabulate.DataRow("| ", " | ", " |"),
        padding=0,
        with_header_hide=None,
    )
    texts = [[text.replace("|", "\\|") for text in row.values()] for row in table.texts()]
    lines = tabulate.tabulate(
        texts, table.heads, layout, disable_numparse=True, stralign=None, numalign=None
    )
    return f"{lines}\n"


def csv(table: Table[Any]) -> str:
    """Return the table as CSV, its cells as the other tables show them."""
    return _csv(table.heads, [list(row.values()) for row in table.texts()])


def data_csv(table: Table[Any]) -> str:
    """Return the table as CSV for machines: numbers with all their digits, NaN and None empty.

    A text that a spreadsheet would take for a formula (`=`, `+`, `-` or `@` at its beginning) has
    an apostrophe before it, as OWASP's page on CSV injection advises. Line breaks are spaces.
    """
    rows = [[_safe(column.value(row)) for column in table.columns] for row in table.rows]
    return _csv(table.heads, rows)


def _safe(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    line = " ".join(value.splitlines())
    return f"'{line}" if line.lstrip().startswith(_FORMULA) else line


def _csv(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    import pandas

    # Of type object: whole numbers stay so where others are missing, and floats keep all digits.
    frame = pandas.DataFrame(rows, columns=heads, dtype=object)
    return str(frame.to_csv(index=False, lineterminator="\n"))
