"""Rows of .csv and .tsv files. The first line names the columns.

Python's own reader is used, and not that of pandas, which fills up rows that are too short and
does not tell the line that a row stands on.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.own.rows import Rows, decode

_COMMA, TAB, _SEMICOLON = ",", "\t", ";"
_NAMES = {_COMMA: "comma", TAB: "tab", _SEMICOLON: "semicolon"}
_LONGEST_CELL = 1 << 30  # Python's own limit, 131,072 characters, is shorter than some documents.


def csv_rows(path: str, raw: bytes) -> Rows:
    """Return the rows of a .csv file; between its columns stand commas, semicolons or tabs.

    Raises:
      UserError: the first thing that is wrong, with its line.
    """
    text = decode(path, raw)
    between = separator(text.split("\n", 1)[0])
    return _rows(path, _lines(text), between, is_quoted=True)


def tsv_rows(path: str, raw: bytes) -> Rows:
    """Return the rows of a .tsv file.

    Where every cell that begins with a quote is a quoted one, as spreadsheets and pandas write
    them, quotes are taken away; else they are text, as in GLUE's own files.

    Raises:
      UserError: the first thing that is wrong, with its line.
    """
    text = decode(path, raw)
    return _rows(path, _lines(text), TAB, is_quoted=is_quoted(text))


def _lines(text: str) -> Iterable[str]:
    """Return lines with their ends, \\n or \\r\\n: U+2028 and others stand inside of texts."""
    return io.StringIO(text, newline="")


def separator(header: str) -> str:
    """Return what stands between the columns of a .csv, by its first line."""
    return max((_COMMA, _SEMICOLON, TAB), key=header.count)


def is_quoted(text: str) -> bool:
    """Return whether the quotes of a .tsv enclose cells.

    What would enclose the end of a line and a tab is no cell: a quotation that begins in one row's
    text and ends in another's would take all rows between the two for one.
    """
    quoted = re.compile(r'(?:^|(?<=\t))"(?:[^"]|"")*"(?=\t|\r?$|\r?\n)', flags=re.MULTILINE)
    if any("\n" in cell and "\t" in cell for cell in quoted.findall(text)):
        return False
    rest = quoted.sub("", text)
    return rest != text and not re.search(r'(?:^|\t)"', rest, flags=re.MULTILINE)


def _rows(path: str, lines: Iterable[str], between: str, is_quoted: bool) -> Rows:
    rows = checked(path, lines, between, is_quoted)
    _, names = next(rows, (1, []))
    columns: list[list[str]] = [[] for _ in names]
    numbers = []
    for number, row in rows:
        numbers.append(number)
        for column, cell in zip(columns, row, strict=True):
            column.append(cell)
    # A column without a name is the index that pandas writes.
    named = {name: column for name, column in zip(names, columns, strict=True) if name}
    return Rows(path, named, numbers)


def checked(
    path: str, lines: Iterable[str], between: str, is_quoted: bool
) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of its first line and the cells of each row; the first are the names.

    Args:
      path: of the file, for messages.
      lines: of the file, with their ends; they are read one after the other.
      between: what stands between the cells.
      is_quoted: whether quotes enclose cells.

    Raises:
      UserError: two columns have one name, a row has more or fewer cells than the first, or its
        quotes do not match.
    """
    cells = _cells(path, lines, between, is_quoted)
    first, header = next(cells, (1, []))
    names = [name.strip() for name in header]
    for name, others in itertools.groupby(sorted(names)):
        if name and len(list(others)) > 1:
            raise UserError(
                f"{path}:1: two columns are named {name!r}. Good: a name of its own for each."
            )
    if names:
        yield first, names
    for number, row in cells:
        if len(row) != len(names):
            raise _ragged(path, number, row, names, between)
        yield number, row


def _cells(
    path: str, lines: Iterable[str], between: str, is_quoted: bool
) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the first line, and the cells, of each row that is not empty."""
    reader = csv.reader(
        lines,
        delimiter=between,
        quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE,
        strict=is_quoted,
    )
    before = csv.field_size_limit(_LONGEST_CELL)
    start = 1
    try:
        for row in reader:
            if row:
                yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path}:{start}: no row of a table ({error}). Good: a text with quotes, "
            "commas or line ends in quotes, and the quotes in it doubled."
        ) from None
    finally:
        csv.field_size_limit(before)


def _ragged(
    path: str, number: int, row: Sequence[str], names: Sequence[str], between: str
) -> UserError:
    name = _NAMES[between]
    cause = f"a {name} in a text that is not quoted" if len(row) > len(names) else f"no {name}"
    return UserError(
        f"{path}:{number}: {len(row)} cell(s) instead of {len(names)} ({cause}?). "
        f"Good: {', '.join(names)}, with a {name} between them."
    )
