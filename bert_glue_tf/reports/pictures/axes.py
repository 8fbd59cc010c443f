"""Axis: numbers to places in a picture, with round numbers written beside it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

_FAR_APART = 10  # Costs of a larger ratio stand on a logarithmic axis.
_ROUND = (1, 2, 5, 10)


@dataclasses.dataclass(frozen=True)
class Tick:
    """A number that is written beside an axis.

    Attributes:
      place: in the picture.
      text: the number.
    """

    place: float
    text: str


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis of a picture.

    Attributes:
      low: the number at its beginning.
      high: the number at its end; larger than `low`.
      start: the place of its beginning.
      end: the place of its end; an axis that points upwards has the smaller one.
      is_logarithmic: whether equal ratios are equally far apart; `low` is positive then.
    """

    low: float
    high: float
    start: float
    end: float
    is_logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return the place of a number, rounded to a tenth."""
        low, high, at = self.low, self.high, value
        if self.is_logarithmic:
            low, high, at = math.log(low), math.log(high), math.log(value)
        return round(self.start + (self.end - self.start) * (at - low) / (high - low), 1)

    def ticks(self, number: int) -> list[Tick]:
        """Return about so many round numbers on the axis."""
        values = self._powers() if self.is_logarithmic else self._steps(number)
        digits = max((_digits(value) for value in values), default=0)
        return [
            Tick(self.place(value), f"{value:g}" if self.is_logarithmic else f"{value:.{digits}f}")
            for value in values
        ]

    def _steps(self, number: int) -> list[float]:
        rough = (self.high - self.low) / number
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * one for one in _ROUND if power * one >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [float(f"{i * step:.12g}") for i in range(first, last + 1)]

    def _powers(self) -> list[float]:
        """Return 1, 2 and 5 times the powers of ten; over many of them, the powers alone."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        factors = (1, 2, 5) if last - first <= 3 else (1,)
        values = [f * 10.0**power for power in range(first, last + 1) for f in factors]
        return [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]


def _digits(value: float) -> int:
    text = f"{value:.10f}".rstrip("0")
    return len(text) - text.index(".") - 1


def of_costs(values: Sequence[float], start: float, end: float) -> Axis:
    """Return an axis of sizes or times: from 0, or logarithmic where they are far apart.

    Args:
      values: positive.
      start: the place of its beginning.
      end: the place of its end.
    """
    low, high = min(values), max(values)
    if 0 < low and high > _FAR_APART * low:
        return Axis(low / 1.25, high * 1.25, start, end, is_logarithmic=True)
    return Axis(0.0, high * 1.08 or 1.0, start, end)


def of_scores(values: Sequence[float], start: float, end: float) -> Axis:
    """Return an axis that holds all values with a little room around them; NaN does not count."""
    known = [value for value in values if not math.isnan(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = max(0.05 * (high - low), 0.005 * max(abs(high), abs(low)), 1e-6)
    return Axis(low - room, high + room, start, end)
