"""The lines of an input cut into the texts of a task."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence

from absl import logging

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.own import columns, rows, table
from bert_glue_tf.data.tasks import TaskSpec

_READ = 1 << 16  # Bytes of a block.
_COMPARED = 20  # Of the first lines: whether all have the same number of commas.


def lines(file: io.BufferedReader) -> Iterator[list[bytes]]:
    """Yield the lines of a stream without their ends, in groups of those that have arrived.

    A line is given out as soon as it is complete, so that a program that writes one line and
    waits for the answer gets it.
    """
    rest: list[bytes] = []
    while block := file.read1(_READ):
        head, *tail = block.split(b"\n")
        rest.append(head)
        if tail:
            yield [b"".join(rest), *tail[:-1]]
            rest = [tail[-1]]
    if any(rest):
        yield [b"".join(rest)]


class TextReader:
    """A reader that cuts the lines of an input into the texts of a task.

    Args:
      task: says how many texts a line holds, and their columns' names.
      name: of the input, for messages.
      given: which columns of a .tsv hold the texts: numbers from 1 (then every line is data),
        or their names in the header. Empty: as in the benchmark's own files where the first line
        shows that it is one of them, or as its header names the texts; else all columns.

    Raises:
      UserError: `given` are not as many as the task's texts, or one is no number from 1.
    """

    def __init__(self, task: TaskSpec, name: str, given: Sequence[str] = ()) -> None:
        self._task, self._name = task, name
        self._columns = tuple(given)
        self._places: list[int] | None = None
        if given and len(given) != len(task.text_fields):
            raise UserError(
                f"--text_columns={','.join(given)}: {task.name} has {len(task.text_fields)} "
                f"text(s) a line ({', '.join(task.text_fields)}). Give as many columns."
            )
        if given and all(re.fullmatch("[0-9]{1,9}", column) for column in given):
            self._places = [int(column) - 1 for column in given]
            if min(self._places) < 0:
                raise UserError(f"--text_columns={','.join(given)}: columns are counted from 1.")
        self._line = 0
        self._tabs_are_told = False
        # (commas, semicolons) of each of the first lines.
        self._separators: list[tuple[int, int]] = []
        # What was odd -> the first line that was, and how many.
        self._odd: dict[str, tuple[int, int]] = {}

    def read(self, group: Iterable[bytes]) -> Iterator[tuple[str, ...]]:
        """Yield the texts of some lines, one after the other.

        Raises:
          UserError: the first line is the header of another table or no text at all, or a line
            has not the columns that it should have; the lines before it have been given out.
        """
        for raw in group:
            self._line += 1
            if self._line == 1:
                self._refuse_binary(raw)
            line = self._decoded(raw)
            if self._line == 1 and self._places is None and self._takes_header(line):
                continue
            texts = self._texts(line)
            if len(self._separators) < _COMPARED:
                self._separators.append((line.count(","), line.count(";")))
            if not any(text.strip() for text in texts):
                self._note("hold no text, and their labels mean nothing")
            elif any(_is_json_object(text) for text in texts):
                self._note("are JSON and were read as any other text, with braces and names")
            elif not self._tabs_are_told and any("\t" in text for text in texts):
                self._note("hold tabs, which were read as blanks; --text_columns chooses columns")
            yield texts

    def _note(self, what: str) -> None:
        first, count = self._odd.get(what, (self._line, 0))
        self._odd[what] = first, count + 1

    def warnings(self) -> list[str]:
        """Return a sentence for each kind of odd line that has been read."""
        return [
            *(
                f"{self._name}: {count} line(s) {what}; the first is line {first}."
                for what, (first, count) in self._odd.items()
            ),
            *self._seem_rows(),
        ]

    def _seem_rows(self) -> list[str]:
        """Return a warning where the first lines look like the rows of a .csv without header."""
        for name, counts in zip(
            ("commas", "semicolons"), zip(*self._separators, strict=True), strict=False
        ):
            if len(counts) > 2 and counts[0] > 1 and len(set(counts)) == 1:
                return [
                    f"{self._name}: each of the first {len(counts)} lines has {counts[0]} {name}, "
                    "and each was read as one text. If they are rows of a .csv: give it a first "
                    "line that names its columns, and --input_format=csv."
                ]
        return []

    def _refuse_binary(self, raw: bytes) -> None:
        """Refuse an input whose first line shows that it holds no lines of text."""
        found = [what for begin, what, _ in rows.BINARY if raw.startswith(begin)]
        if not found and b"\0" in raw:
            found = ["binary, or not in UTF-8 (its first line holds a byte of zero)"]
        if found:
            raise UserError(
                f"{self._name}: {found[0]}, and no lines of text. Good: lines in UTF-8, or a "
                f"table whose name ends with {table.GOOD_SUFFIXES}."
            )

    def _decoded(self, raw: bytes) -> str:
        if self._line == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        raw = raw.removesuffix(b"\r")
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self._note("are not UTF-8, and what could not be read was replaced")
            return raw.decode(errors="replace")

    def _takes_header(self, line: str) -> bool:
        """Find the columns of the texts by the first line, and tell whether it is a header."""
        cells = line.split("\t")
        for wanted in (
            [self._columns]
            if self._columns
            else [
                self._task.tsv_text,
                self._task.text_fields,
            ]
        ):
            if all(name in cells for name in wanted):
                self._places = [cells.index(name) for name in wanted]
                self._tell_places("its first line is a header", wanted)
                return True
        self._refuse_table(line)
        if self._columns:
            missing = [name for name in self._columns if name not in cells]
            raise UserError(
                f"{self._name}:1: no column {', '.join(missing)} in the header, "
                f"which has {', '.join(cells)[:200]}."
            )
        columns = self._task.tsv_columns
        # CoLA's train.tsv and dev.tsv have no header.
        if len(cells) == len(columns) and (
            cells[columns.index(self._task.tsv_label)] in self._task.tsv_labels
        ):
            self._places = [columns.index(name) for name in self._task.tsv_text]
            self._tell_places(f"columns as in {self._task.name}'s own files", self._task.tsv_text)
        elif len(cells) > len(self._task.text_fields) == 1:
            self._tabs_are_told = True
            logging.warning(
                "%s:1: %d columns, and none is named %s: tabs are read as blanks, and the line as "
                "one text. If it is not, give --text_columns",
                self._name,
                len(cells),
                ", ".join(self._task.tsv_text),
            )
        return False

    def _tell_places(self, why: str, names: Sequence[str]) -> None:
        logging.info("%s: %s, text from %s", self._name, why, " and ".join(names))

    def _refuse_table(self, line: str) -> None:
        """Refuse a first line that is the header of a table whose columns are not these texts."""
        for between, kind in ((",", "csv"), (";", "csv"), ("\t", "tsv")):
            cells = [cell.strip('"') for cell in line.strip().split(between)]
            names = [cell.strip() for cell in cells]
            # Blanks stand in sentences ("This sentence, please."), and in a header only where it
            # was written by hand: all of it has to be usual names then.
            is_spaced = cells != names
            if len(cells) > 1 and (
                columns.are_usual(names)
                or (not is_spaced and self._is_header(names))
                # Other columns stand beside the text in many tables: their author, their source.
                or (columns.names_text(names) and not any(map(_has_blank, cells)))
            ):
                raise UserError(
                    f"{self._name}:1: the header of a .{kind} ({', '.join(cells)[:200]}), and no "
                    f"text. Good: --input_format={kind}, or a file whose name ends with .{kind}."
                )
            if is_spaced and columns.names_text(names) and not any(map(_has_blank, names)):
                logging.warning(
                    "%s:1: %s was read as a text, and looks like the header of a .%s. If "
                    "it is one, give --input_format=%s",
                    self._name,
                    line.strip()[:80],
                    kind,
                    kind,
                )
        name = line.strip().strip('"')
        if len(self._task.text_fields) == 1 and not self._columns and columns.names_text([name]):
            raise UserError(
                f"{self._name}:1: {name!r} is a usual name of a column. Good: "
                f"--text_columns={name} if it is a header, --text_columns=1 if it is a text."
            )

    def _is_header(self, cells: Sequence[str]) -> bool:
        """Tell whether cells are the names of columns: those of the texts, or all usual ones."""
        for names in (self._columns, self._task.tsv_text, self._task.text_fields):
            if names and all(name in cells for name in names):
                return True
        return columns.are_usual(cells)

    def _texts(self, line: str) -> tuple[str, ...]:
        if self._places is None and len(self._task.text_fields) == 1:
            return (line,)
        cells = line.split("\t")
        places = self._places or range(len(self._task.text_fields))
        if max(places) >= len(cells) or (self._places is None and len(cells) != len(places)):
            raise UserError(
                f"{self._name}:{self._line}: {len(cells)} column(s), but {self._task.name} needs "
                f"{self._needed()}. What came before this line has been answered."
            )
        return tuple(cells[place] for place in places)

    def _needed(self) -> str:
        fields = ", ".join(self._task.text_fields)
        if self._places is None:
            return f"{fields}, separated by a tab"
        return f"{fields} in column(s) {', '.join(str(place + 1) for place in self._places)}"


def _has_blank(cell: str) -> bool:
    return bool(re.search(r"\s", cell))


def _is_json_object(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(strict_json.loads(text), dict)
    except ValueError:
        return False
