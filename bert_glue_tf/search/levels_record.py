"""The record of a search: what every level of every block costs, a line for each block.

The lines stand in `levels.jsonl` of the search's folder. Together they are the `Levels` that the
choice of a structure is made from.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from bert_glue_tf.core import records
from bert_glue_tf.core.records import Record, check_types
from bert_glue_tf.models.blocks import KINDS
from bert_glue_tf.search.costs import PIECES
from bert_glue_tf.search.structure import Indices, Structure

FILE_NAME = "levels.jsonl"


@dataclasses.dataclass(frozen=True)
class Level:
    """A block with some of its units.

    Attributes:
      units: those that stay, ascending.
      rise: by how much the outputs of the network then differ from its own: the mean over the texts
        of the problem's distance (`Problem.distillation_loss`, temperature 1), 0 for the same.
      rise_error: standard error of that over the texts.
      loss_rise: by how much the mean loss rises; below 0 where it falls.
    """

    units: Indices
    rise: float
    rise_error: float = 0.0
    loss_rise: float = 0.0


@dataclasses.dataclass(frozen=True)
class Block:
    """A block and its levels, of which one is chosen.

    Attributes:
      kind: of a layer's half, or `PIECES`.
      layer: from 0; -1 for the word pieces.
      levels: from the fewest units to all of them, whose rise is 0.
    """

    kind: str
    layer: int
    levels: tuple[Level, ...]


@dataclasses.dataclass(frozen=True)
class Levels:
    """The levels of all blocks of a classifier.

    Attributes:
      blocks: attention and feed-forward of each layer in turn, and the word pieces last.
    """

    blocks: tuple[Block, ...]

    @property
    def layers(self) -> int:
        """Return the number of layers."""
        return len(self.blocks) // len(KINDS)

    def structure(self, choice: Sequence[int]) -> Structure:
        """Return what stays by a choice: the number of a level for each block."""
        kept = [one.levels[level].units for one, level in zip(self.blocks, choice, strict=True)]
        *halves, pieces = kept
        return Structure(tuple(halves[0::2]), tuple(halves[1::2]), pieces)

    @property
    def whole(self) -> tuple[int, ...]:
        """Return the choice of the whole network."""
        return tuple(len(one.levels) - 1 for one in self.blocks)


@dataclasses.dataclass(frozen=True)
class Basis:
    """The classifier and the texts that levels are measured on.

    Attributes:
      run: name of the run's folder.
      weights_sha256: of its saved weights.
      data_sha256: of the training split.
      fitted: training texts that outputs are fitted on.
      examples: texts that levels are measured on.
      held_out: True where the run has not trained on these.
      loss: mean of the whole network over them.
      grid: version of how levels are chosen.
    """

    run: str
    weights_sha256: str
    data_sha256: str
    fitted: int
    examples: int
    held_out: bool
    loss: float
    grid: int

    def is_same(self, other: Basis) -> bool:
        """Tell if two measurements compare; a loss is a float that may differ in its last bits."""
        return dataclasses.replace(self, loss=0.0, run="") == dataclasses.replace(
            other, loss=0.0, run=""
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockRecord(Record):
    """The levels of one block, as a line.

    Attributes:
      basis: fields of `Basis`.
      block: kind of the block.
      layer: from 0; -1 for the word pieces.
      levels: fields of each `Level`.
      seconds: that measuring them took.
      finished: time in UTC, ISO 8601.
    """

    what_is_foreign: ClassVar[str] = "its block and its levels are not those of a search"
    kind: ClassVar[str] = "a block's levels"
    written_by: ClassVar[str] = "the search writes it"

    basis: Mapping[str, Any]
    block: str
    layer: int
    levels: Sequence[Mapping[str, Any]]
    seconds: float = 0.0
    finished: str = dataclasses.field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Return the record of a line's values; see `Record.of`."""
        check_types(cls, values)
        check_types(Basis, values["basis"])
        if set(values["basis"]) != {field.name for field in dataclasses.fields(Basis)}:
            raise ValueError("its basis says other things than a search's")
        names = {field.name for field in dataclasses.fields(Level)}
        for level in values["levels"]:
            check_types(Level, level)
            if set(level) != names or any(value is None for value in level.values()):
                raise ValueError("a level lacks its units or its rise")
        if values["block"] not in (*KINDS, PIECES) or not values["levels"]:
            raise ValueError("it is of no block")
        return cls(**values)

    @property
    def of_what(self) -> Basis:
        """Return the classifier and the texts."""
        return Basis(**self.basis)

    @property
    def content(self) -> Block:
        """Return the block."""
        levels = (Level(**{**one, "units": tuple(one["units"])}) for one in self.levels)
        return Block(self.block, self.layer, tuple(levels))

    @classmethod
    def describe(cls, basis: Basis, block: Block, seconds: float) -> Self:
        """Return the line of a block."""
        levels = [dataclasses.asdict(one) for one in block.levels]
        return cls(
            basis=dataclasses.asdict(basis),
            block=block.kind,
            layer=block.layer,
            levels=levels,
            seconds=seconds,
        )


def load(folder: pathlib.Path) -> list[BlockRecord]:
    """Return all lines of a search's folder; none where nothing was measured.

    Raises:
      UserError: the file cannot be read, or a line is no block's (the message names it).
    """
    path = folder / FILE_NAME
    return records.load(path, BlockRecord) if path.exists() else []


def known(found: Sequence[BlockRecord], basis: Basis) -> dict[tuple[str, int], Block]:
    """Return kind and layer -> the block, of those that were measured of the same."""
    return {(one.block, one.layer): one.content for one in found if one.of_what.is_same(basis)}


def is_measured(value: float) -> bool:
    """Tell whether a rise is a number."""
    return math.isfinite(value)
