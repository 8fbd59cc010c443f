"""The cost of a structure as a file: bytes and milliseconds, by a table that was measured.

A table holds what heads, neurons and word pieces add to the file of one recipe, and to the time of
one text of one length on so many threads of this machine. It is made of small files that were
really converted, quantized and run (`making`), and is linear between the widths that were measured.
The time of a network as the sum of its layers' times: Kurtic et al. 2023, "ZipLM: Inference-Aware
Structured Pruning of Language Models" (https://arxiv.org/abs/2302.04089), section 3.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from absl import logging

from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.core.records import Record, check_types
from bert_glue_tf.models.blocks import ATTENTION, FEED_FORWARD
from bert_glue_tf.search.structure import Sizes

PIECES = "pieces"
# The last layer computes one token only, and so its blocks cost less than those of the others.
LAST = {ATTENTION: "last_attention", FEED_FORWARD: "last_feed_forward"}
CURVES = (ATTENTION, FEED_FORWARD, *LAST.values(), PIECES)


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of a file, or of a part of it.

    Attributes:
      bytes: of the file.
      ms: milliseconds that one text takes.
    """

    bytes: float
    ms: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.bytes + other.bytes, self.ms + other.ms)


@dataclasses.dataclass(frozen=True)
class Key:
    """The facts that decide a table.

    Attributes:
      recipe: of the files.
      length: in word pieces, that is timed.
      lengths: that the files have, ascending; each adds bytes.
      threads: of LiteRT.
      machine: `cpu`, the model of the processor, and `cores`.
      versions: of what makes and runs the files.
      shape: of the encoder: its largest heads and neurons, and `EncoderSizes.same`.
      way: in which the files were timed.
    """

    recipe: str
    length: int
    lengths: Sequence[int]
    threads: int
    machine: Mapping[str, Any]
    versions: Mapping[str, Any]
    shape: Mapping[str, Any]
    way: str

    @property
    def file_name(self) -> str:
        """Return the name of the table's file in a cache."""
        text = json.dumps(
            {**dataclasses.asdict(self), "lengths": list(self.lengths)}, sort_keys=True
        )
        cpu = re.sub(r"[^A-Za-z0-9]+", "-", str(self.machine["cpu"])).strip("-")
        digits = hashlib.sha256(text.encode()).hexdigest()[:8]
        return f"{cpu}-{self.recipe}-{self.length}-{self.threads}threads-{digits}.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CostTable(Record):
    """The costs of a network's parts, measured.

    Attributes:
      key: fields of `Key`: of what the table is.
      rest: bytes and milliseconds of a network of one layer without heads and neurons, and without
        word pieces.
      layer: those that one more such layer adds.
      curves: name of `CURVES` -> what units add to an empty block, or pieces to an empty table; the
        first knot is 0 units, and units ascend.
      busy: warning that others kept the machine at work; empty where they did not.
      seconds: that making the table took the process that has ended it.
      finished: time in UTC, ISO 8601.
    """

    what_is_foreign: ClassVar[str] = "its recipe and costs are not those of a table"
    kind: ClassVar[str] = "the costs of a network's parts"
    written_by: ClassVar[str] = "the search writes it"

    key: Mapping[str, Any]
    rest: Sequence[float]
    layer: Sequence[float]
    curves: Mapping[str, Sequence[Sequence[float]]]
    busy: str = ""
    seconds: float = 0.0
    finished: str = dataclasses.field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Return the table of a line's values; see `Record.of`."""
        check_types(cls, values)
        if set(values["key"]) != {field.name for field in dataclasses.fields(Key)}:
            raise ValueError("its key is not that of a table")
        pairs = [values["rest"], values["layer"]]
        knots = [knot for curve in values["curves"].values() for knot in curve]
        if set(values["curves"]) != set(CURVES) or any(len(pair) != 2 for pair in pairs):
            raise ValueError("it lacks a curve")
        if any(len(knot) != 3 or None in knot for knot in knots):
            raise ValueError("a knot is not units, bytes and milliseconds")
        for curve in values["curves"].values():
            units = [knot[0] for knot in curve]
            if not units or units[0] != 0 or units != sorted(set(units)):
                raise ValueError("the units of a curve do not ascend from 0")
        return cls(**values)

    @property
    def of_what(self) -> Key:
        """The recipe, length, threads, machine and shape."""
        return Key(**{**self.key, "lengths": tuple(self.key["lengths"])})

    def block(self, kind: str, units: int, is_last: bool) -> Cost:
        """Return what the units of a block add to the network.

        Args:
          kind: of the block.
          units: heads or neurons.
          is_last: True in the last layer.
        """
        return self._on(LAST[kind] if is_last else kind, units)

    def pieces(self, pieces: int) -> Cost:
        """Return what so many rows of the word embeddings add."""
        return self._on(PIECES, pieces)

    def empty(self, layers: int) -> Cost:
        """Return the cost of a network of layers without heads and neurons, and without pieces."""
        bytes_, ms = (
            one + (layers - 1) * more for one, more in zip(self.rest, self.layer, strict=True)
        )
        return Cost(bytes_, ms)

    def predict(self, sizes: Sizes) -> Cost:
        """Return the cost of a network's file."""
        total = self.empty(len(sizes.heads)) + self.pieces(sizes.pieces)
        for index, widths in enumerate(sizes.widths):
            is_last = index == len(sizes.heads) - 1
            for kind, units in zip((ATTENTION, FEED_FORWARD), widths, strict=True):
                total += self.block(kind, units, is_last)
        return total

    def _on(self, name: str, units: int) -> Cost:
        """Return the value of a curve: linear between knots, and beyond the last as before it."""
        knots = self.curves[name]
        if len(knots) == 1:
            return Cost(float(knots[0][1]), float(knots[0][2]))
        place = next((i for i, knot in enumerate(knots) if knot[0] >= units), len(knots) - 1)
        low, high = knots[max(place, 1) - 1], knots[max(place, 1)]
        share = (units - low[0]) / (high[0] - low[0])
        return Cost(*(low[i] + share * (high[i] - low[i]) for i in (1, 2)))


def read(folder: pathlib.Path, key: Key) -> CostTable | None:
    """Return the table of a cache; None where there is none, or a damaged one, which is said.

    It is said as well where the table is of a busy machine.

    Args:
      folder: of the cache.
      key: of the table.
    """
    path = folder / key.file_name
    try:
        table = CostTable.from_line(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        logging.warning("%s: cannot be read (%s): its costs are measured anew", path, error)
        return None
    if table.of_what != key:
        return None
    tell_busy(path, table)
    return table


def tell_busy(path: pathlib.Path, table: CostTable) -> None:
    """Warn of the costs of a busy machine, with the way to new ones.

    Args:
      path: of the table's file.
      table: any; of an idle machine nothing is said.
    """
    if table.busy:
        logging.warning(
            "%s: %s To have them measured anew, delete this file and repeat the command on an idle "
            "machine, with another --workdir: in this one the structures stay that were found by "
            "these costs.",
            path,
            table.busy,
        )


def write(folder: pathlib.Path, table: CostTable) -> pathlib.Path:
    """Write a table to a cache as a whole, and return its file.

    Raises:
      OSError: it cannot be written.
    """
    path = folder / table.of_what.file_name
    write_atomically(path, table.to_line() + "\n")
    return path
