"""The record of a file for MediaPipe, and its card."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from bert_glue_tf.core import files, layout, quantities, records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.records import Record, check_types, with_nan
from bert_glue_tf.export.card import port
from bert_glue_tf.export.mediapipe.refusals import CLIENT

FILE_NAME = "clients.jsonl"  # Beside the records of the other files.


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClientResult(Record):
    """The record of a file for a client.

    Attributes:
      run: the source run's folder.
      client: that the file is for.
      recipe: name of the quantization recipe.
      file: name of the file in the export's folder.
      sha256: of the file.
      seq_length: its one length, in word pieces.
      bytes: of the file.
      task: that it answers.
      examples: validation examples.
      split_otherwise: those that the client's tokenizer splits in another way than the run's.
      cut: those that are longer than the file reads, in the client's word pieces.
      metrics: name -> value on the validation split(s), with the word pieces that the client's
        tokenizer gives; NaN is stored as null.
      flips: examples whose label differs from that of the recipe's own file, as `predict` uses it.
      client_version: of the client that has answered all of them as well; empty where none has.
      client_metrics: the same scores by its answers.
      client_flips: the same by its answers.
      client_difference: largest difference of a probability between its answers and the file's,
        run with the word pieces that its tokenizer is expected to give.
      not_asked: why the client was not asked; empty where it was.
      environment: device, library versions, commit.
      finished: time in UTC, ISO 8601.
    """

    what_is_foreign: ClassVar[str] = "no record of a client's file"

    run: str
    client: str
    recipe: str
    file: str
    sha256: str
    seq_length: int
    bytes: int
    task: str
    examples: int
    split_otherwise: int
    cut: int
    metrics: Mapping[str, float]
    flips: int
    client_version: str
    client_metrics: Mapping[str, float]
    client_flips: int
    client_difference: float
    not_asked: str
    environment: Mapping[str, Any]
    finished: str = dataclasses.field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Return the record of a line's values; see `Record.of`."""
        check_types(cls, values)
        # It becomes a name in the export's folder, and must not lead out of it.
        if not re.fullmatch(r"[\w+-]+\.tflite", values["file"]):
            raise ValueError(f"{values['file']!r} is no file of a client")
        for group in ("metrics", "client_metrics"):
            values[group] = with_nan(values[group])
        return cls(**values)

    @property
    def stem(self) -> str:
        """Return the name of the file, its card and its metadata, without the ending."""
        return self.file.removesuffix(".tflite")

    def lines(self) -> list[str]:
        """Return what was found, in sentences."""
        number = quantities.count(self.examples)
        found = [
            f"{quantities.count(self.split_otherwise)} of the {number} validation examples are "
            f"split in another way than in the training, and {quantities.count(self.cut)} are "
            f"longer than {self.seq_length} word pieces and cut; {quantities.count(self.flips)} "
            f"get another label than from {self.recipe}.tflite."
        ]
        if self.not_asked:
            return [*found, f"MediaPipe itself was not asked: {self.not_asked}"]
        return [
            *found,
            f"MediaPipe {self.client_version} has answered all of them: "
            f"{quantities.count(self.client_flips)} get another label than from "
            f"{self.recipe}.tflite, and its probabilities differ by "
            f"{self.client_difference:.1e} at most from those of the file in LiteRT, run with the "
            "word pieces of its tokenizer.",
        ]


def require_length(folder: pathlib.Path, names: Sequence[str], length: int) -> None:
    """Refuse to replace files of a client by files of another length.

    A file that is not whole, or that nothing is recorded of, is no reason.

    Args:
      folder: of the export.
      names: of the files that are to be written.
      length: that they are to have, in word pieces.

    Raises:
      UserError: naming the first file of another length; or the records cannot be read.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return
    earlier = {(one.file, one.sha256): one for one in records.load(path, ClientResult)}
    for file in (folder / name for name in names):
        there = earlier.get((file.name, files.sha256(file))) if file.is_file() else None
        if there and there.seq_length != length:
            raise UserError(
                f"--client={CLIENT}: {layout.near(file)} reads {there.seq_length} word pieces, and "
                f"a file of {length} would replace it. Good: --seq_length={there.seq_length}, "
                "another --output, or this file deleted."
            )


def card(record: ClientResult, described: Mapping[str, Any]) -> str:
    """Return the card of a client's file in Markdown.

    Args:
      record: of the file.
      described: its metadata.
    """
    lines = [
        f"# {record.file}: {record.task}, {record.recipe}, for MediaPipe's TextClassifier",
        "",
        f"One length, {record.seq_length} word pieces; vocabulary and labels are in the file. "
        "`docs/clients/README.md` has the lines for Android, iOS, Python and the browser.",
        "",
        *record.lines(),
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in _rows(record)),
        "",
        "Its tokenizer is not the one of the training: only ASCII letters become small, accents "
        "stay, no-break spaces join words, words of more than 100 bytes are unknown, and the "
        "first word pieces of a long text are read.",
        *port(described, record.stem),
        "",
        f"Source run: `{record.run}`.",
    ]
    return "\n".join(lines) + "\n"


def _rows(record: ClientResult) -> Iterator[tuple[str, str]]:
    for name, value in record.metrics.items():
        yield f"{name}, with MediaPipe's word pieces", f"{value:.4f}"
    for name, value in record.client_metrics.items():
        yield f"{name}, through {CLIENT} {record.client_version}", f"{value:.4f}"
    yield "validation examples", quantities.count(record.examples)
    yield "split in another way", quantities.count(record.split_otherwise)
    yield "longer than the file reads", quantities.count(record.cut)
    yield f"labels that differ from {record.recipe}.tflite", quantities.count(record.flips)
    if not record.not_asked:
        yield "the same, through the client", quantities.count(record.client_flips)
    yield "file", quantities.size(record.bytes)
    yield "SHA-256", f"`{record.sha256}`"
