"""Intervals of an epoch's scores, whose answers are not kept: of shares, and over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bert_glue_tf.reports.measured import Interval


def interval(share: float, examples: int) -> Interval:
    """Return the 95 % interval of a share of examples by Wilson's score method.

    Args:
      share: as a fraction.
      examples: their number.
    """
    from scipy import stats

    found = stats.binomtest(round(share * examples), examples)
    low, high = found.proportion_ci(confidence_level=0.95, method="wilson")
    return float(low), float(high)


def difference(first: tuple[float, int], second: tuple[float, int]) -> Interval:
    """Return the 95 % interval of the first share minus the second, each of its own examples.

    By the tenth method of Newcombe 1998 (https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873
    ::AID-SIM779>3.0.CO;2-I), which is made of the two intervals of `interval`.

    Args:
      first, second: share as a fraction, and number of examples.
    """
    (one, _), (other, _) = first, second
    (low, high), (other_low, other_high) = interval(*first), interval(*second)
    apart = one - other
    return (
        apart - math.hypot(one - low, other_high - other),
        apart + math.hypot(high - one, other - other_low),
    )


def over_seeds(values: Sequence[float]) -> Interval:
    """Return the 95 % interval of a mean over seeds by Student's t: the luck of training alone.

    Args:
      values: one for each seed, of two or more.
    """
    from scipy import stats

    mean, error = math.fsum(values) / len(values), float(stats.sem(values))
    if not error:
        return mean, mean
    low, high = stats.t.interval(0.95, len(values) - 1, loc=mean, scale=error)
    return float(low), float(high)
