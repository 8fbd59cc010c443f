"""The choice among the files that were tried: by held-out training examples, size and time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from bert_glue_tf.budget.record import Choice, Trial
from bert_glue_tf.budget.settings import METADATA, Limits
from bert_glue_tf.core import quantities
from bert_glue_tf.core.errors import UserError

_ROUNDING = 1e-9  # 0.80 - 0.79 is a little more than 0.01.
_LEAST_DROP = 0.01  # By which a loss beyond --max_drop=0 is measured, as no share of 0 is one.


@dataclasses.dataclass(frozen=True)
class Contender:
    """A file that was tried, with its time.

    Attributes:
      trial: of the file.
      ms: median milliseconds of one example, all files in one session.
    """

    trial: Trial
    ms: float

    def values(self) -> dict[str, float]:
        """Return name of a limit -> the value of the file."""
        megabytes = (self.trial.bytes + METADATA) / 1e6  # As it will be exported.
        return {"max_mb": megabytes, "max_ms": self.ms, "max_drop": self.trial.drop}

    def missed(self, limits: Limits) -> dict[str, float]:
        """Return name of a limit -> the value of the file, for those that it does not keep."""
        own = self.values()
        return {
            name: own[name]
            for name, most in limits.given.items()
            # `not <=`, so that a NaN misses.
            if not own[name] <= most + _ROUNDING
        }

    def excess(self, limits: Limits) -> float:
        """Return the largest share by which a limit is missed; 0 where all are kept."""
        shares = [0.0]
        for name, value in self.missed(limits).items():
            most = limits.given[name]
            share = (value - most) / (max(most, _LEAST_DROP) if name == "max_drop" else most)
            shares.append(math.inf if math.isnan(share) else share)
        return max(shares)

    @property
    def cost(self) -> float:
        """Size times time: of two files with one product, the one is smaller by as much as the
        other is faster."""
        return self.trial.bytes * self.ms


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The file that was chosen.

    Attributes:
      contender: the file.
      missed: name of a limit -> the value of the file, for those that it does not keep.
      reason: why it was chosen, in a sentence.
    """

    contender: Contender
    missed: dict[str, float]
    reason: str


def choose(contenders: Sequence[Contender], limits: Limits) -> Chosen:
    """Choose the best file that keeps the budget; where none does, the one that comes nearest.

    With a limit of size or time the best score within these is chosen, whether the loss is within
    its limit too or not: the best score has the least loss. Where a limit of the loss is given as
    well and no file keeps it, files whose score is not shown to be above chance are passed over,
    and the reason says how many: what is small and fast, and may have learned nothing, is not what
    such a budget asks for. With a limit of the score alone, it is the file with the least product
    of size and time within it.

    Args:
      contenders: all files that were tried, timed in one session.
      limits: the budget.

    Raises:
      UserError: all of them are COLLAPSED, so that none is worth a choice.
    """
    sound = [c for c in contenders if not c.trial.collapsed and not math.isnan(c.trial.score)]
    if not sound:
        raise UserError(
            f"No file for {limits.text} is worth anything: all {len(contenders)} that were tried "
            f"are COLLAPSED ({contenders[0].trial.collapsed if contenders else 'there is none'}). "
            "Give a larger budget, or train longer (--epochs)."
        )
    keeping = [one for one in sound if not one.missed(limits)]
    if not keeping:
        costs = dataclasses.replace(limits, max_drop=None) if limits.is_of_costs else limits
        useful = sound
        if limits.is_of_costs and limits.max_drop is not None:
            useful = [one for one in sound if not one.trial.at_chance] or sound
        # Size and time come first: a file that misses these is no answer to a limit of them.
        within = [one for one in useful if not one.missed(costs)]
        nearest = (
            max(within, key=_worth)
            if within
            else min(useful, key=lambda one: (one.excess(limits), -one.trial.score))
        )
        reason = _nearest(nearest, limits, len(sound), len(sound) - len(useful))
        return Chosen(nearest, nearest.missed(limits), reason)
    count = f"{len(keeping)} of {len(sound)} files keep the budget"
    if len(keeping) == 1:
        count = (
            f"Of {len(sound)} files one keeps the budget"
            if len(sound) > 1
            else "It keeps the budget"
        )
    if limits.is_of_costs:
        best = max(keeping, key=_worth)
        why = "its score on the training examples that decide is the best"
    else:
        best = min(keeping, key=lambda one: (one.cost, -one.trial.score))
        why = "it has the least product of size and time"
    return Chosen(best, {}, f"{count}; {why}." if len(keeping) > 1 else f"{count}.")


def _worth(one: Contender) -> tuple[float, float, float]:
    """Return what the best of some files has most of: its score, a small loss, a small size."""
    return one.trial.score, -one.trial.loss, -one.trial.bytes


_UNITS = {"max_mb": "MB", "max_ms": "ms", "max_drop": "of the score lost"}


def told(name: str, value: float) -> str:
    """Return the value of a limit with its unit: `6.31 MB`, `0.0213 of the score lost`."""
    if name == "max_drop":
        return f"{value:.4f} {_UNITS[name]}"
    return f"{quantities.significant(value)} {_UNITS[name]}"


def _nearest(one: Contender, limits: Limits, number: int, passed_over: int) -> str:
    missed = ", ".join(
        f"{told(name, value)} (--{name}={limits.given[name]:g})"
        for name, value in one.missed(limits).items()
    )
    text = (
        f"None of {number} files keeps the budget, all timed in turns; the one that was chosen has "
        f"{missed}."
    )
    if passed_over:
        text += (
            f" {passed_over} of them {'are' if passed_over > 1 else 'is'} passed over, whose score "
            "is not shown to be above chance."
        )
    return text


def kept_when_chosen(missed: Mapping[str, float], made: Choice, trial: Trial) -> dict[str, float]:
    """Return name of a limit -> the value when the file was chosen, of those that it kept then.

    Args:
      missed: name of a limit -> the value of the exported file, of those that it does not keep.
      made: the choice of the file.
      trial: of the file.
    """
    ms = made.milliseconds[" ".join(trial.key)]
    then = Contender(trial, ms).values()
    return {name: then[name] for name in missed if name not in made.missed}


def front(contenders: Sequence[Contender], by: str) -> list[Contender]:
    """Return the files that no other one beats in both score and cost, by rising cost.

    Args:
      contenders: the files.
      by: `max_mb` or `max_ms`, the cost.
    """
    found: list[Contender] = []
    best = -math.inf
    for one in sorted(contenders, key=lambda c: (c.values()[by], -c.trial.score)):
        if not one.trial.collapsed and one.trial.score > best:
            best = one.trial.score
            found.append(one)
    return found
