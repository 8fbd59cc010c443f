"""The budget, and the settings of how a file is sought that keeps it; nothing needs TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from bert_glue_tf.core import quantities
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.settings import LARGEST
from bert_glue_tf.export.defaults import THREADS
from bert_glue_tf.models import encoders
from bert_glue_tf.models.quantization import recipes as known

RECIPES = ("dynamic_int8", "int8", "int4")  # That can be searched for.
# Those that are, unless others are asked for: choosing the operators of int8 takes a minute or two
# for each file.
SEARCHED_RECIPES = ("dynamic_int8", "int4")
EPOCHS = 10  # Of the training of a candidate: a small network learns slowly, and is fast.
TRAININGS = 2
AWARE_EPOCHS = 2  # Of a training on the grids of a recipe, from trained weights.
# Bytes that an export adds to a file at most: what it says of itself, with its labels and examples.
METADATA = 16_000
# Of the training texts, where the run has held out none: enough to tell a point, and not so many
# that their answers take longer than the rest.
SHARE, MOST_HELD_OUT = 0.1, 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """The budget: what a file may cost at most. None is no limit; at least one is given.

    Attributes:
      max_mb: megabytes (10^6 bytes) on disk.
      max_ms: milliseconds of one example, median on this machine.
      max_drop: the loss of the primary metric against the original run's float32 file, on held-out
        training examples; 0.01 is one point.

    Raises:
      UserError: none is given, or one is no such number.
    """

    max_mb: float | None = None
    max_ms: float | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        if not self.given:
            raise UserError(
                "No budget: give --max_mb=6 (megabytes of the file), --max_ms=3 (milliseconds of "
                "one example), --max_drop=0.01 (loss of the score), or several of them."
            )
        for name in ("max_mb", "max_ms"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UserError(f"--{name}={value}: must be above 0.")
        drop = self.max_drop
        if drop is not None and not 0 <= drop < 1:
            meant = f" Is {drop / 100:g} meant?" if 1 <= drop < 100 else ""
            raise UserError(
                f"--max_drop={drop}: must be in [0, 1), the score that may be lost: 0.01 is one "
                f"point.{meant}"
            )

    @property
    def given(self) -> dict[str, float]:
        """Name -> value of the limits that are given."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @property
    def is_of_costs(self) -> bool:
        """Tell if size or time is limited; else the score alone is."""
        return self.max_mb is not None or self.max_ms is not None

    @property
    def text(self) -> str:
        """Return the budget in words: `at most 6 MB, 3 ms and 0.01 of the score lost`."""
        parts = []
        if self.max_mb is not None:
            parts.append(f"{self.max_mb:g} MB")
        if self.max_ms is not None:
            parts.append(f"{self.max_ms:g} ms")
        if self.max_drop is not None:
            parts.append(f"{self.max_drop:g} of the score lost")
        head = ", ".join(parts[:-1])
        return f"at most {head} and {parts[-1]}" if head else f"at most {parts[-1]}"


_LIMITS = {field.name for field in dataclasses.fields(Limits)}
_LISTS = {"recipes", "seq_lengths"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompressSettings:
    """The settings that decide what a compression finds.

    Attributes:
      limits: the budget.
      at_length: length in word pieces at which a file is timed; 0: the longest of its lengths, and
        without them the run's own.
      seq_lengths: lengths at which the file can run; empty: `at_length` alone.
      threads: of LiteRT.
      recipes: whose files may be chosen; where int4 is among them, mixed ones too.
      epochs: of a candidate's training.
      learning_rate: of it; 0: the run's own, or the default of the train command where that has
        not trained the run.
      trainings: how many candidates are trained at most.
      held_out: training texts that are kept apart for the choice where the run has kept none; 0: a
        tenth, at most `MOST_HELD_OUT`.

    Raises:
      UserError: a value is none; the message names the flag.
    """

    limits: Limits
    at_length: int = 0
    seq_lengths: tuple[int, ...] = ()
    threads: int = THREADS
    recipes: tuple[str, ...] = SEARCHED_RECIPES
    epochs: int = EPOCHS
    learning_rate: float = 0.0
    trainings: int = TRAININGS
    held_out: int = 0

    def __post_init__(self) -> None:
        least = {"threads": 1, "epochs": 1, "trainings": 1, "held_out": 0}
        for name, low in least.items():
            if not low <= getattr(self, name) <= LARGEST:
                raise UserError(f"--{name}={getattr(self, name)}: must be {low} or more.")
        if not 0 <= self.learning_rate <= 1:
            raise UserError(
                f"--learning_rate={self.learning_rate}: must be above 0 and at most 1; 0 is the "
                "run's own."
            )
        for length in (self.at_length, *self.seq_lengths):
            low, high = encoders.MIN_SEQ_LENGTH, encoders.MAX_SEQ_LENGTH
            if length and not low <= length <= high:
                name = "at_length" if length == self.at_length else "seq_lengths"
                raise UserError(
                    f"--{name}={length}: no length of an encoder. Give whole numbers from {low} to "
                    f"{high}."
                )
        _require_recipes(self.recipes)

    def to_json(self) -> dict[str, Any]:
        """Return name -> value, as values of JSON; the limits are flat among them."""
        values = dataclasses.asdict(self)
        for name in ("recipes", "seq_lengths"):
            values[name] = list(values[name])
        return {**values.pop("limits"), **values}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the settings that `to_json` gave; one that is missing has its default.

        Raises:
          UserError: a value is none.
          TypeError: a name is none of a setting.
        """
        limits = Limits(**{name: values.get(name) for name in _LIMITS})
        others = {name: value for name, value in values.items() if name not in _LIMITS}
        for name in others.keys() & _LISTS:
            others[name] = tuple(others[name])
        return cls(limits=limits, **others)

    @classmethod
    def of_call(cls, values: Mapping[str, Any]) -> Self:
        """Return the settings that a call from Python asks for.

        Args:
          values: name -> value; lists may be texts too, separated by commas as in its flag.

        Raises:
          UserError: a name is none of a setting, or a value is none; the message names it.
        """
        fields = (*dataclasses.fields(Limits), *dataclasses.fields(cls))
        defaults = {field.name: field.default for field in fields if field.name != "limits"}
        good: dict[str, Any] = {}
        for name, value in values.items():
            if name not in defaults:
                raise UserError(
                    f"{name}={value!r}: no setting of a compression. Good: {', '.join(defaults)}."
                )
            if name == "recipes":
                good[name] = list(dict.fromkeys(map(str, _listed(value))))
            elif name == "seq_lengths":
                good[name] = sorted({_number(name, one, is_whole=True) for one in _listed(value)})
            elif value is not None or name not in _LIMITS:
                good[name] = _number(name, value, is_whole=isinstance(defaults[name], int))
        return cls.from_json(good)

    def to_text(self) -> str:
        """Return the text of the file that a folder of compression has."""
        return json.dumps(self.to_json(), indent=2) + "\n"

    def name_for(self, run: str) -> str:
        """Return the default name of the folder: the run's, and the budget.

        Args:
          run: name of the run's folder.
        """
        limits = self.limits
        parts = [run, "compressed"]
        parts += [f"{limits.max_mb:g}mb"] if limits.max_mb is not None else []
        parts += [f"{limits.max_ms:g}ms"] if limits.max_ms is not None else []
        parts += [f"drop{limits.max_drop:g}"] if limits.max_drop is not None else []
        return re.sub(r"[^\w.-]", "_", "-".join(parts))


def _listed(value: Any) -> Iterable[Any]:
    """Return the values of a list that a call gives; of a text those between its commas."""
    if isinstance(value, str):
        return value.split(",")
    return value if isinstance(value, Iterable) else [value]


def _number(name: str, value: Any, *, is_whole: bool) -> float:
    """Return a value of a call as a number, which a text may hold.

    Raises:
      UserError: it is none.
    """
    try:
        if isinstance(value, bool) or (is_whole and int(value) != float(value)):
            raise ValueError
        return int(value) if is_whole else float(value)
    except (TypeError, ValueError, OverflowError):
        kind = "whole number" if is_whole else "number"
        raise UserError(f"{name}={value!r}: no {kind}. Give one, as {name}=8.") from None


def _require_recipes(names: Sequence[str]) -> None:
    if not names:
        raise UserError(f"--recipes=: none is left to choose. Good values: {', '.join(RECIPES)}.")
    for name in names:
        if name not in RECIPES:
            reason = " (it cannot be searched for)" if known.find(name) else ""
            raise UserError(
                f"--recipes={name}: no such recipe here{reason}. Good values: {', '.join(RECIPES)}."
            )


def held_out_of(examples: int, wanted: int = 0) -> int:
    """Return how many training texts are kept apart where the run has kept none.

    Args:
      examples: of the training split.
      wanted: value of --held_out.

    Raises:
      UserError: too few would be left.
    """
    count = wanted or min(MOST_HELD_OUT, math.ceil(SHARE * examples))
    if not 2 <= count < examples:
        raise UserError(
            f"--held_out={count}: the training split has {quantities.count(examples)} examples. "
            "Give a small part of it, of 2 or more."
        )
    return count
