"""One part of much text: its rows with their labels, in a file that is whole or not there."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import time
from collections.abc import Iterator, Sequence

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.own import table
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.serving import tables
from bert_glue_tf.serving.classifier import Classifier
from bert_glue_tf.serving.parts import streams
from bert_glue_tf.serving.parts.columnar import Parquet
from bert_glue_tf.serving.parts.formats import Delimited, Format, JsonLines, Lines, Piece

_FORMATS: dict[str, type[Format]] = {
    ".csv": Delimited,
    ".tsv": Delimited,
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".parquet": Parquet,
    "": Lines,
}
GOOD = "lines of text, .csv, .tsv, .jsonl or .parquet (also with .gz)"


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Tells what was done to a part.

    Attributes:
      rows: number of them.
      empty: number of those without a text, whose labels mean nothing.
      seconds: that it took.
      labels: label -> how many rows have it; empty of a regression.
    """

    rows: int
    empty: int
    seconds: float
    labels: dict[str, int]


def check(path: pathlib.Path) -> None:
    """Check that a part is of a format that can be read piece by piece.

    Raises:
      UserError: it is not.
    """
    suffix = table.suffix_of(path.name)
    if suffix not in _FORMATS:
        raise UserError(
            f"--input: {path} is a {suffix} file, which is not read piece by piece. Good: {GOOD}."
        )


def target_name(path: pathlib.Path) -> str:
    """Return the name of the file with a part's labels: of lines of text, these are JSON lines."""
    if table.suffix_of(path.name):
        return path.name
    packed = path.name[-len(table.PACKED) :] if streams.is_packed(path) else ""
    stem = pathlib.PurePath(path.name.removesuffix(packed) if packed else path.name).stem
    return f"{stem}.jsonl{packed}"


def label(
    classifier: Classifier,
    source: pathlib.Path,
    target: pathlib.Path,
    text_columns: Sequence[str] = (),
) -> Labelled:
    """Write a part with its labels; the memory does not depend on its size.

    Args:
      classifier: that answers.
      source: the part.
      target: the file that is written; one that is there is replaced as a whole.
      text_columns: of the texts; by default those of the training, else those with usual names.

    Raises:
      UserError: the part cannot be read, or is damaged; nothing is written then.
      OSError: the file cannot be written.
    """
    began = time.monotonic()
    rows = empty = 0
    counts: collections.Counter[str] = collections.Counter()
    with streams.reading(source) as file, streams.writing(target) as output:
        part = _format(source, classifier.task, text_columns)
        for piece in _read(source, part.pieces(file)):
            answers = classifier.predict(piece.texts) if piece.texts else []
            part.write(output, piece, answers)
            rows += len(answers)
            empty += sum(not any(one.strip() for one in text) for text in piece.texts)
            counts.update(one.label for one in answers if one.probabilities)
        part.end(output)
    return Labelled(rows, empty, time.monotonic() - began, dict(counts))


def _read(source: pathlib.Path, pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Yield pieces; what is wrong with the source's bytes is a UserError, and nothing else is."""
    while True:
        with streams.damage_told(source):
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece


def _format(source: pathlib.Path, task: TaskSpec, text_columns: Sequence[str]) -> Format:
    suffix = table.suffix_of(source.name)
    if suffix == ".tsv":
        with streams.reading(source) as file, streams.damage_told(source):
            first = file.readline(1 << 16).rstrip(b"\r\n")
        if not tables.is_table(task, source.name, first, tables.AUTO, text_columns):
            suffix = ""
    return _FORMATS[suffix](source, task, text_columns)
