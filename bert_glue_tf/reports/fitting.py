"""Tables as text that fits a number of columns, with every head and every value whole.

A table that is too wide is made narrower in this order, as far as is needed: texts are broken at
words; columns that are alike in all rows move above the table; columns are left out by their
`Column.spare`, the largest first, and named below the table; and where even that is too wide, each
row becomes a list of its own.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len

from bert_glue_tf.core import layout
from bert_glue_tf.reports.tables import Table

_GAP = 2  # Between two columns.
_COMFORTABLE = 18  # A text is broken into shorter lines than this only where it must be.
_NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=%)")
_NUMBER = re.compile(r"[+-]?[\d.,]+(e[+-]?\d+)?( ?[%x]| [kMG]?B| ms)?")


@dataclasses.dataclass(frozen=True)
class _Column:
    """One column as text, with the width that it is given."""

    head: str
    cells: tuple[str, ...]
    may_wrap: bool
    spare: int
    width: int

    @property
    def shortest(self) -> int:
        """The width of its longest word, or of its head."""
        words = [word for cell in self.cells for word in cell.split(" ")]
        return max(map(cell_len, [self.head, *words]))

    @property
    def is_constant(self) -> bool:
        """True where all rows show the same."""
        return len(set(self.cells)) == 1

    @property
    def is_number(self) -> bool:
        """True where every cell is a number or empty."""
        return all(not cell or _NUMBER.fullmatch(cell) for cell in self.cells)


def lines(table: Table[Any], columns: int) -> list[str]:
    """Return the lines of a table that is at most so wide.

    Only a word that is wider by itself is not broken. A number and its percent sign are one word,
    and so is what a no-break space holds together, which is a space in the lines.

    Args:
      table: with at least one row.
      columns: of the output.
    """
    return fitted(table, columns)[0]


def fitted(table: Table[Any], columns: int) -> tuple[list[str], list[str]]:
    """Return the lines of a table, as `lines` does, and the heads of the columns left out."""
    found, left_out = _fitted(table, columns)
    return [line.replace(_NO_BREAK_SPACE, " ") for line in found], left_out


def _fitted(table: Table[Any], columns: int) -> tuple[list[str], list[str]]:
    shown = [_column(table, place) for place in range(len(table.columns))]
    narrow = _narrowed(shown, columns, _COMFORTABLE)
    if narrow:
        return _drawn(narrow), []
    alike = [one for one in shown if one.is_constant and len(table.rows) > 1]
    above = _above(alike, columns)
    shown = [one for one in shown if one not in alike] or shown[:1]
    left_out: list[str] = []
    kept = list(shown)
    while not (narrow := _narrowed(kept, columns, _COMFORTABLE)) and any(c.spare for c in kept):
        most = max(kept, key=lambda column: column.spare)
        kept.remove(most)
        left_out.append(most.head)
    narrow = narrow or _narrowed(kept, columns, 0)
    if narrow:
        return [*above, *_drawn(narrow), *_below(left_out, columns)], left_out
    return [*above, *_stacked(shown, columns)], []


def pairs(rows: Iterable[tuple[str, str]], columns: int) -> list[str]:
    """Return (name, value) pairs as lines, the values below each other; an empty pair is a gap."""
    rows = list(rows)
    width = max((cell_len(name) for name, _ in rows), default=0)
    found = []
    for name, value in rows:
        begin = f"  {_padded(name, width)}   "
        first, *more = layout.filled(_unbroken(value), columns, " " * len(begin))
        found += [(begin + first.strip()).rstrip(), *more]
    return [line.replace(_NO_BREAK_SPACE, " ") for line in found]


def _unbroken(text: str) -> str:
    return _BEFORE_UNIT.sub(_NO_BREAK_SPACE, text)


def _column(table: Table[Any], place: int) -> _Column:
    column = table.columns[place]
    texts = (row[place].text for row in table.cells())
    cells = tuple(map(_unbroken, texts) if column.may_wrap else texts)
    width = max(map(cell_len, (column.head, *cells)))
    return _Column(column.head, cells, column.may_wrap, column.spare, width)


def _total(shown: Sequence[_Column]) -> int:
    return sum(one.width for one in shown) + _GAP * (len(shown) - 1)


def _narrowed(shown: Sequence[_Column], columns: int, floor: int) -> list[_Column]:
    """Return the columns with widths that fit together; empty where none do.

    Args:
      shown: the columns.
      columns: of the output.
      floor: width below which no text is broken.
    """
    found = list(shown)
    while (excess := _total(found) - columns) > 0:
        room = [
            (one.width - max(one.shortest, min(floor, one.width)), place)
            for place, one in enumerate(found)
            if one.may_wrap
        ]
        # The widest first, and step by step, so that two long texts share what is there.
        able = [(found[place].width, place, most) for most, place in room if most > 0]
        if not able:
            return []
        _, place, most = max(able)
        step = min(most, max(1, excess // 2))
        found[place] = dataclasses.replace(found[place], width=found[place].width - step)
    return found


def _drawn(shown: Sequence[_Column]) -> list[str]:
    found = [_line([[one.head] for one in shown], shown)]
    found.append(_line([["─" * one.width] for one in shown], shown))
    numbers = range(len(shown[0].cells))
    rows = [[layout.filled(one.cells[row], one.width) for one in shown] for row in numbers]
    # Rows of several lines stand apart, and others do not.
    has_gaps = any(len(part) > 1 for parts in rows for part in parts)
    for row, parts in enumerate(rows):
        found += [""] if has_gaps and row else []
        for number in range(max(map(len, parts))):
            found.append(_line([part[number : number + 1] for part in parts], shown))
    return found


def _line(parts: Sequence[Sequence[str]], shown: Sequence[_Column]) -> str:
    """Return one line; each part is empty or holds the text of its column."""
    cells = [
        _padded("".join(part), one.width, one.is_number)
        for part, one in zip(parts, shown, strict=True)
    ]
    return (" " * _GAP).join(cells).rstrip()


def _padded(text: str, width: int, is_right: bool = False) -> str:
    space = " " * (width - cell_len(text))
    return space + text if is_right else text + space


def _above(alike: Sequence[_Column], columns: int) -> list[str]:
    told = [f"{one.head} {one.cells[0]}" for one in alike if one.cells[0]]
    return [*layout.filled(f"All rows: {'; '.join(told)}.", columns), ""] if told else []


def _below(left_out: Sequence[str], columns: int) -> list[str]:
    if not left_out:
        return []
    text = f"For want of room without: {', '.join(reversed(left_out))}. A wider terminal has them."
    return ["", *layout.filled(text, columns)]


def _stacked(shown: Sequence[_Column], columns: int) -> list[str]:
    """Return each row as a list of names and values."""
    found: list[str] = []
    for row in range(len(shown[0].cells)):
        own = [(one.head, one.cells[row]) for one in shown if one.cells[row]]
        found += ["", *pairs(own, columns)] if found else pairs(own, columns)
    return found
