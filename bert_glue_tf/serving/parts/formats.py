"""The formats of a part: what reads its rows piece by piece, and writes them with their labels.

A format is a subclass of `Format`; `of` chooses it by the part's name.
"""

from __future__ import annotations

import abc
import csv
import dataclasses
import io
import itertools
import json
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from absl import logging

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.own import delimited, json_rows, table
from bert_glue_tf.data.own.rows import Rows
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.serving import tables
from bert_glue_tf.serving.answers import spans_as_json
from bert_glue_tf.serving.classifier import Prediction
from bert_glue_tf.serving.parts import streams
from bert_glue_tf.serving.text_input import TextReader

# Rows that are labelled together. More of them fill the batches of each length better.
PIECE = 1024
# Bytes of a .tsv by which is told whether quotes enclose its cells.
_HEAD = 1 << 24


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some rows of a part.

    Attributes:
      texts: of each row, as many as the task takes.
      rows: what the format keeps of them.
    """

    texts: list[tuple[str, ...]]
    rows: Any


class Format(abc.ABC):
    """Reads one part, and writes it with its labels.

    Args:
      path: of the part.
      task: of the model.
      text_columns: value of --text_columns.
    """

    def __init__(self, path: pathlib.Path, task: TaskSpec, text_columns: Sequence[str]) -> None:
        self.path = path
        self.task = task
        self.text_columns = tuple(text_columns)
        self.added: tuple[str, ...] = ()  # Names of the columns that are added.

    @abc.abstractmethod
    def pieces(self, file: IO[bytes]) -> Iterator[Piece]:
        """Yield the rows of the part.

        Args:
          file: its bytes, unpacked.

        Raises:
          UserError: the first thing that is wrong, with its line or row.
        """

    @abc.abstractmethod
    def write(self, file: IO[bytes], piece: Piece, labels: Sequence[Prediction]) -> None:
        """Write the rows of a piece with their labels."""

    def end(self, file: IO[bytes]) -> None:
        """Write what stands before or behind all rows and has not been written."""
        del file

    def write_object(self, file: IO[bytes], row: dict[str, Any], one: Prediction) -> None:
        """Write a row and its label as a line of JSON.

        Raises:
          UserError: a number in it is one that JSON cannot hold.
        """
        label, score = self.added
        more = {
            label: one.label,
            score: one.score,
            tables.PROBABILITIES: one.probabilities,
            **spans_as_json(one),
        }
        try:
            line = json.dumps({**row, **more}, ensure_ascii=False, allow_nan=False)
        except ValueError:  # 1e999 was read as infinity.
            raise UserError(
                f"{self.path}: the row of {one.texts[0][:60]!r} holds a number that is too large "
                "for JSON. Good: a smaller one, or a text."
            ) from None
        file.write(line.encode() + b"\n")

    def choose(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Return the columns of the texts, and name those that are added.

        Raises:
          UserError: as `tables.texts_of`.
        """
        rows = Rows(str(self.path), {name: () for name in columns}, ())
        names = tables.texts_of(self.task, rows, self.text_columns)
        self.added = tables.added(self.task, rows)
        logging.info("%s: text from %s", self.path, " and ".join(names))
        return names


class Lines(Format):
    """A text a line; the output is JSON lines, or of a .tsv the line with further cells."""

    def pieces(self, file: IO[bytes]) -> Iterator[Piece]:
        reader = TextReader(self.task, str(self.path), self.text_columns)
        self._is_tsv = table.suffix_of(self.path.name) == ".tsv"
        self.added = (tables.LABEL, self.task.problem.score_name)
        try:
            for raw in _batched(file):
                plain = [line.removesuffix(b"\n") for line in raw]
                texts = list(reader.read(plain))
                # The first line may be a header, which has no text.
                self._header = plain[: len(plain) - len(texts)]
                yield Piece(texts, plain[len(plain) - len(texts) :])
        finally:
            for warning in reader.warnings():
                logging.warning("%s", warning)

    def write(self, file: IO[bytes], piece: Piece, labels: Sequence[Prediction]) -> None:
        if self._is_tsv:
            for raw in self._header:
                file.write(b"\t".join([raw.removesuffix(b"\r"), *map(str.encode, self.added)]))
                file.write(b"\n")
            for raw, one in zip(piece.rows, labels, strict=True):
                cells = [raw.removesuffix(b"\r"), one.label.encode(), _score(one).encode()]
                file.write(b"\t".join(cells) + b"\n")
            return
        for one in labels:
            row = dict(zip(self.task.text_fields, one.texts, strict=True))
            self.write_object(file, row, one)


class JsonLines(Format):
    """An object a line."""

    _names: tuple[str, ...] | None = None

    def pieces(self, file: IO[bytes]) -> Iterator[Piece]:
        for some in _batched(self._rows(file)):
            if self._names is None:
                # Names in the order in which they come, each once.
                self._names = self.choose(dict.fromkeys(itertools.chain(*(row for _, row in some))))
            for number, row in some:
                taken = [name for name in (*self.added, tables.PROBABILITIES) if name in row]
                if taken:
                    raise UserError(
                        f"{self.path}:{number}: has a column {taken[0]!r}, as the labels have. "
                        "Good: another name for it."
                    )
            yield Piece(
                [tuple(tables.text(row.get(name)) for name in self._names) for _, row in some],
                [row for _, row in some],
            )

    def _rows(self, file: IO[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, line in enumerate(streams.lines(self.path, file), start=1):
            if line.strip():
                yield number, json_rows.row(str(self.path), number, line)

    def write(self, file: IO[bytes], piece: Piece, labels: Sequence[Prediction]) -> None:
        for row, one in zip(piece.rows, labels, strict=True):
            self.write_object(file, row, one)


class Delimited(Format):
    """A .csv or .tsv with a header."""

    def pieces(self, file: IO[bytes]) -> Iterator[Piece]:
        rows = delimited.checked(str(self.path), *self._layout(file))
        _, self._names = next(rows, (1, []))
        if not self._names:
            return
        wanted = self.choose(name for name in self._names if name)
        places = [self._names.index(name) for name in wanted]
        self._is_begun = False
        for some in _batched(rows):
            yield Piece(
                [tuple(cells[place] for place in places) for _, cells in some],
                [cells for _, cells in some],
            )

    def _layout(self, file: IO[bytes]) -> tuple[Iterable[str], str, bool]:
        """Return the lines, what stands between their cells, and if quotes enclose cells."""
        found = streams.lines(self.path, file)
        if table.suffix_of(self.path.name) == ".csv":
            first = next(found, "")
            self._between, self._is_quoted = delimited.separator(first), True
            return itertools.chain([first], found), self._between, True
        head, size, quotes = [], 0, 0
        for line in found:
            head.append(line)
            size += len(line)
            quotes += line.count('"')
            # Not within a quoted cell; a text whose quotes enclose nothing may have any number.
            if size > _HEAD and (quotes % 2 == 0 or size > 2 * _HEAD):
                break
        self._between = delimited.TAB
        self._is_quoted = delimited.is_quoted("".join(head))
        return itertools.chain(head, found), self._between, self._is_quoted

    def write(self, file: IO[bytes], piece: Piece, labels: Sequence[Prediction]) -> None:
        self._begin(file)
        answered = zip(piece.rows, labels, strict=True)
        self._write(file, ([*cells, one.label, _score(one)] for cells, one in answered))

    def end(self, file: IO[bytes]) -> None:
        if self._names:
            self._begin(file)

    def _begin(self, file: IO[bytes]) -> None:
        if not self._is_begun:
            self._is_begun = True
            self._write(file, [[*self._names, *self.added]])

    def _write(self, file: IO[bytes], rows: Iterable[Sequence[str]]) -> None:
        if not self._is_quoted:  # No cell holds a tab or the end of a line then, but a label may.
            lines = (
                "\t".join([*row[:-2], row[-2].translate(tables.BLANKS), row[-1]]) for row in rows
            )
            file.write("".join(line + "\n" for line in lines).encode())
            return
        buffer = io.StringIO()
        # Python's writer quotes a cell with the end of a line as its lines have it, and no other.
        usual, quoted = (
            csv.writer(buffer, delimiter=self._between, lineterminator="\n", quoting=quoting)
            for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        )
        for row in rows:
            (quoted if any("\r" in cell for cell in row) else usual).writerow(row)
        file.write(buffer.getvalue().encode())


def _score(one: Prediction) -> str:
    return f"{one.score:.6f}"


def _batched(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield lists of `PIECE` items, the last one shorter."""
    rest = iter(items)
    while some := list(itertools.islice(rest, PIECE)):
        yield some
