"""Rows of CoNLL files: a word a line with its tag behind it, and an empty line after a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.own.rows import Rows, decode

TOKENS, TAGS = "tokens", "tags"
_DOCUMENT = "-DOCSTART-"  # In the files of CoNLL-2003, on a line of its own before a text.
_GOOD = "Good: a word, a tab or blanks, and its tag; an empty line after each sentence"


def rows(path: str, raw: bytes) -> Rows:
    """Return the sentences of a file, a row each, with lists as its columns.

    The first column of a line is the word, `tokens`, and the last one its tag, `tags`; those
    between them are `column2` and so on. A file with one column has words alone.

    Raises:
      UserError: a line has more or fewer columns than the first one, or nothing in its last one.
    """
    read: list[list[list[str]]] = []
    numbers: list[int] = []
    is_open, width = False, 0
    for number, cells in _lines(path, raw):
        if not cells or cells[0] == _DOCUMENT:
            is_open = False
            continue
        width = width or len(cells)
        if len(cells) != width:
            raise _wrong(f"{path}:{number}", cells, width)
        if width > 1 and not cells[-1].strip():  # Between tabs a cell can be empty.
            raise _wrong(f"{path}:{number}", cells[:1], width)
        if not is_open:
            is_open = True
            read.append([])
            numbers.append(number)
        read[-1].append(cells)
    names = _names(width)
    columns = {
        name: [[cells[place] for cells in sentence] for sentence in read]
        for place, name in enumerate(names)
    }
    return Rows(path, columns, numbers)


def _lines(path: str, raw: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line and its columns; none of an empty one."""
    for number, line in enumerate(decode(path, raw).split("\n"), start=1):
        line = line.rstrip("\r")
        # At blanks and tabs alone: a word may hold a space that does not break.
        yield number, line.split("\t") if "\t" in line.strip() else re.findall("[^ \t]+", line)


def _names(width: int) -> list[str]:
    if width < 2:
        return [TOKENS][:width]
    return [TOKENS, *(f"column{number}" for number in range(2, width)), TAGS]


def _wrong(place: str, cells: list[str], width: int) -> UserError:
    if len(cells) == 1:
        return UserError(f"{place}: no tag behind the word {cells[0]!r}. {_GOOD}.")
    return UserError(
        f"{place}: {len(cells)} columns, and the first line has {width}. {_GOOD}, with as many "
        "columns in every line."
    )
