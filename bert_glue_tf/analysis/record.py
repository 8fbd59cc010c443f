"""The record of a sensitivity: what one part of a classifier costs when it is gone or rounded.

The lines stand in `sensitivity.jsonl` of the run's folder, to which every measurement adds.
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

FILE_NAME = "sensitivity.jsonl"
REMOVED = "removed"  # The change of a part that is not rounded to a recipe's integers.


@dataclasses.dataclass(frozen=True)
class Base:
    """The classifier as it is, and the texts that all changes of it are measured on.

    Attributes:
      run: name of the run's folder.
      weights_sha256: of its saved weights.
      data_sha256: of the training split.
      examples: number of texts, drawn from the training split in a fixed way.
      held_out: True for texts that the run has not trained on.
      metric: name of the task's primary metric.
      score: its value.
      loss: mean over the texts.
    """

    run: str
    weights_sha256: str
    data_sha256: str
    examples: int
    held_out: bool
    metric: str
    score: float
    loss: float

    @property
    def texts(self) -> tuple[str, str, int, bool]:
        """The facts that two measurements share which compare."""
        return self.weights_sha256, self.data_sha256, self.examples, self.held_out


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sensitivity(Record):
    """The cost of one change of one part, on texts of the training split.

    Attributes:
      base: fields of `Base`: of what, and on which texts.
      part: its name, as in "layer 3, head 5".
      what: its kind: layer, attention, head, feed_forward, embedding, or that of another matrix.
      layer: its number from 1; 0 for a part of no layer.
      head: its number from 1; 0 for all others.
      change: `REMOVED`, or the recipe on whose grid of integers its weights are.
      weights: number of weights that go or are rounded.
      first_order: mean over batches of 32 texts of |sum of change * gradient| over these weights,
        as pruning by gradient ranks.
      predicted: the sum of change * gradient of the mean loss: by how much the loss rises, to first
        order.
      rise: by how much the mean loss rises; NaN where it was not measured.
      rise_error: standard error of `rise` over the texts.
      score_rise: by how much the primary metric rises; below 0 where it falls.
      flips: texts whose label changes.
      environment: devices, versions, commit.
      finished: time in UTC, ISO 8601.
    """

    what_is_foreign: ClassVar[str] = "its part and its rise of the loss are not those of a part"
    kind: ClassVar[str] = "a part's sensitivity"
    written_by: ClassVar[str] = "the sensitivity command writes it, in the folder of the run"

    base: Mapping[str, Any]
    part: str
    what: str
    layer: int
    head: int
    change: str
    weights: int
    first_order: float
    predicted: float
    rise: float
    rise_error: float
    score_rise: float
    flips: int
    environment: Mapping[str, Any]
    finished: str = dataclasses.field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Return the record of a line's values; see `Record.of`."""
        check_types(cls, values)
        base = values["base"]
        check_types(Base, base)
        if set(base) != {field.name for field in dataclasses.fields(Base)}:
            raise ValueError("its base says other things than a measurement's")
        numbers = ("first_order", "predicted", "rise", "rise_error", "score_rise")
        return cls(**{**values, **records.with_nan({name: values[name] for name in numbers})})

    @property
    def of_what(self) -> Base:
        """The classifier and the texts."""
        return Base(**self.base)

    @property
    def is_measured(self) -> bool:
        """True where the change was made, and not only estimated."""
        return not math.isnan(self.rise)


def load(folder: pathlib.Path) -> list[Sensitivity]:
    """Return all lines of a run's folder; none where nothing was measured.

    Raises:
      UserError: the file cannot be read, or a line is no sensitivity (the message names it).
    """
    path = folder / FILE_NAME
    return records.load(path, Sensitivity) if path.exists() else []


def to_show(found: Sequence[Sensitivity]) -> list[Sensitivity]:
    """Return the lines that a comparison draws: each part and change of the newest weights once.

    Of several measurements the one on held-out texts, then the one on the most texts: which was
    asked for last no line says, since what is known is not measured again.
    """
    if not found:
        return []
    weights = found[-1].of_what.weights_sha256
    bases = [one.of_what for one in reversed(found) if one.of_what.weights_sha256 == weights]
    return of_texts(found, max(bases, key=lambda base: (base.held_out, base.examples)))


def of_texts(found: Sequence[Sensitivity], base: Base) -> list[Sensitivity]:
    """Return the lines of the same weights and texts, the last one of each part and change."""
    last = {(one.part, one.change): one for one in found if one.of_what.texts == base.texts}
    return list(last.values())
