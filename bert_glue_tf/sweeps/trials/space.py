"""The space of a search: its text to the ranges and choices of settings."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.settings import DataSettings
from bert_glue_tf.runs import config
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.sweeps import grid

_GOOD = "--search='learning_rate=log(1e-5,2e-4);final_sparsity=0.3..0.9;batch_size=16,32'"
_LOG = re.compile(r"log\(\s*([^,()]+?)\s*,\s*([^,()]+?)\s*\)")
_RANGE = re.compile(r"(\S+?)\s*\.\.\s*(\S+)")


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Attributes:
      low: the smallest.
      high: the largest.
      is_log: whether equal ratios are equally likely; `low` is positive then.
      is_whole: whether only whole numbers are meant.
    """

    low: float
    high: float
    is_log: bool
    is_whole: bool

    def suggest(self, trial: Any, name: str) -> str:
        """Return the value that a trial of Optuna proposes, as the text of a flag."""
        if self.is_whole:
            return str(trial.suggest_int(name, int(self.low), int(self.high), log=self.is_log))
        return repr(float(trial.suggest_float(name, self.low, self.high, log=self.is_log)))

    @property
    def ends(self) -> tuple[str, ...]:
        """The values whose settings have to be good, for all between them to be."""
        if self.is_whole:
            return str(int(self.low)), str(int(self.high))
        return repr(self.low), repr(self.high)

    @property
    def text(self) -> str:
        """The range as it is given."""
        low, high = self.ends
        return f"log({low},{high})" if self.is_log else f"{low}..{high}"


@dataclasses.dataclass(frozen=True)
class Choice:
    """Some values, each as the text of a flag."""

    values: tuple[str, ...]

    def suggest(self, trial: Any, name: str) -> str:
        """Return the value that a trial of Optuna proposes."""
        return str(trial.suggest_categorical(name, self.values))

    @property
    def ends(self) -> tuple[str, ...]:
        """All values."""
        return self.values

    @property
    def text(self) -> str:
        """The values as they are given."""
        return ",".join(f"({value})" if "," in value else value for value in self.values)


Space = Mapping[str, Range | Choice]


def parse(text: str) -> dict[str, Range | Choice]:
    """Read `learning_rate=log(1e-5,2e-4);final_sparsity=0.3..0.9;keep=last,best` by setting.

    `log(a,b)` and `a..b` are ranges, of whole numbers for a setting that is one; others are lists
    of values, in which one that holds commas stands in parentheses.

    Raises:
      UserError: a part cannot be read, a setting is unknown, no number, or given twice, or a range
        is empty.
    """
    space: dict[str, Range | Choice] = {}
    for part in grid.split(text, ";", f"--search={text}"):
        if not part:
            continue
        name, sign, values = (piece.strip() for piece in part.partition("="))
        if not (sign and values):
            raise UserError(
                f"--search={text}: {part!r} is not name=log(a,b), name=a..b or name=value,value. "
                f"Good: {_GOOD}."
            )
        grid.require_setting(name, f"--search={text}")
        if name in DataSettings.names():
            raise UserError(
                f"--search={text}: {name} decides what is scored, so that its values cannot be "
                "compared. Good: one value, as a flag of its own."
            )
        if name in space:
            raise UserError(f"--search={text}: {name} is given twice. Give its values at once.")
        space[name] = _values(text, name, values)
    if not space:
        raise UserError(f"--search={text}: no setting in it. Good: {_GOOD}.")
    return space


def _values(text: str, name: str, values: str) -> Range | Choice:
    log, plain = _LOG.fullmatch(values), _RANGE.fullmatch(values)
    found = log or plain
    if found is None:
        return Choice(grid.values_of(values, f"--search={text}"))
    kind = type(ExperimentConfig.defaults().get(name))
    if kind not in (int, float):
        raise UserError(f"--search={text}: {name} is no number. Good: {name}=value,value.")
    try:
        low, high = (float(end) for end in found.groups())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(values)
        if kind is int and not (low.is_integer() and high.is_integer()):
            raise ValueError(values)
    except ValueError:
        numbers = "whole numbers" if kind is int else "numbers"
        raise UserError(
            f"--search={text}: {values!r} has other ends than {numbers}. Good: {_GOOD}."
        ) from None
    if low >= high or (log and low <= 0):
        more = ", both above 0" if log else ""
        raise UserError(
            f"--search={text}: {values!r} is no range. Good: the smaller number first{more}."
        )
    return Range(low, high, bool(log), kind is int)


def check(given: grid.Settings, space: Space) -> ExperimentConfig:
    """Check that the ends of a space are settings of a run; return one of its runs.

    Args:
      given: flag -> text, as given besides the space.
      space: as `parse` returns it.

    Raises:
      UserError: as `config.read_flags`, for any of these runs; or as `config.check_method`, for
        each of them, so that no trial is begun of a search whose trials would all fail.
    """
    first = {name: values.ends[0] for name, values in space.items()}
    found = [
        grid.configuration(given, {**first, name: end})
        for name, values in space.items()
        for end in values.ends
    ]
    refused: list[UserError] = []
    for one in found:
        try:
            config.check_method(one)
        except UserError as error:
            refused.append(error)
    if len(refused) == len(found):
        raise refused[0]
    return grid.configuration(given, first)
