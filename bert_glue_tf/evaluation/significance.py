"""Tells if a difference between two models is more than luck: both answered the same examples.

Of one or two seeds a test speaks of the models at hand: had each example's two answers come from
the other model, how often would the difference be as large? For the accuracy of one seed it is
McNemar's exact test, else a paired permutation test that exchanges the two answers to a unit at
random (Noreen 1989; p = (b + 1) / (m + 1), Phipson and Smyth 2010,
https://doi.org/10.2202/1544-6115.1585). The interval is the percentiles of a paired bootstrap over
the units (Efron and Tibshirani 1993, chapter 16). Of the p-value of the test and that of the
bootstrap the larger counts, and the interval holds 0 where p is 0.05 or more: the two never say
different things.

From three seeds on it speaks of the two methods, and both luck of training and luck of the
examples count. Seeds and examples are crossed as readers and cases are in the studies of medical
images, whose test is taken over (Obuchowski and Rockette 1995,
https://doi.org/10.1080/03610919508813243; degrees of freedom of Hillis 2007,
https://doi.org/10.1002/sim.2532): the variance of the mean is that of the seeds' differences over
their number, plus the covariance that two seeds' differences have because they share the examples.
The percentiles over three seeds drawn anew would be too narrow by far. Where few answers differ,
this t-test takes a few examples for much, and with three seeds its false alarms rise to 0.07, so
the permutation test has to agree: p is the larger of the two, and the interval holds both
intervals. benchmarks/verdicts.py counts false alarms and power; docs/compare.md has its table.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Sequence

import numpy as np

from bert_glue_tf.data.problems import Metric, Problem
from bert_glue_tf.evaluation import bootstrap, metrics
from bert_glue_tf.evaluation.defaults import MARGIN
from bert_glue_tf.evaluation.paired import Pairs

LEVEL = 0.05  # A p-value below it is a difference; 1 - LEVEL is the interval's share.
METHOD_SEEDS = 3  # So many seeds or more speak of methods, fewer of the models at hand.
PERMUTATIONS = 1999  # The smallest p-value is 1 / 2000.
_POWER = 0.8  # Of the test of equivalence that `Equivalence.examples` is planned for.


class Procedure(enum.Enum):
    """The test that a p-value comes from."""

    MCNEMAR = "McNemar's exact test"
    PERMUTATION = "paired permutation test"
    SEEDS = "t-test over seeds and examples"


class Equal(enum.Enum):
    """The three answers to the question if two scores are equal within a margin."""

    YES = enum.auto()
    NO = enum.auto()
    UNKNOWN = enum.auto()


@dataclasses.dataclass(frozen=True)
class Equivalence:
    """An answer to the question if two scores are equal within a margin.

    Two one-sided tests at the level of 0.05 (Schuirmann 1987,
    https://doi.org/10.1007/BF01068419): equal where the 90 % interval of the difference lies
    within the margin, not equal where it lies beyond it.

    Attributes:
      margin: the largest difference that counts as equal, in the score's own unit.
      outcome: the answer.
      interval: 90 % interval of the difference.
      examples: about how many examples would show two equal models to be equal, with a
        probability of 0.8, were their answers to differ as often as here; None where the question
        is answered, where the test shows a difference, or where no more examples would do: there
        are as many, and the difference itself is near the margin, or the seeds differ too much.
    """

    margin: float
    outcome: Equal
    interval: tuple[float, float]
    examples: int | None = None


@dataclasses.dataclass(frozen=True)
class Difference:
    """A model's score minus another's, over one or several training seeds.

    Attributes:
      mean: of the seeds' differences.
      interval: 95 %; over the examples, from three seeds on over seeds and examples together;
        NaN where it is not defined. It holds 0 where the test finds no difference.
      by_seed: each seed's difference.
      p: of the hypothesis that there is no difference; NaN where it is not defined.
      test: the test that it comes from.
      equivalence: the answer to the question if the two are equal within a margin.
    """

    mean: float
    interval: tuple[float, float]
    by_seed: tuple[float, ...]
    p: float
    test: Procedure
    equivalence: Equivalence

    @property
    def is_defined(self) -> bool:
        """Tell if the scores, the interval and the test are numbers.

        A diverged model's score is NaN, and so is the correlation of a constant answer.
        """
        return not math.isnan(self.mean + sum(self.interval) + self.p)

    @property
    def is_shown(self) -> bool:
        """Tell if there is a difference: p below 0.05, and an interval without 0."""
        low, high = self.interval
        return self.p < LEVEL and (low > 0 or high < 0)

    @property
    def is_of_methods(self) -> bool:
        """Tell if there are seeds enough to speak of two methods."""
        return len(self.by_seed) >= METHOD_SEEDS

    def reversed(self) -> Difference:
        """Return the difference of the same two models the other way round."""
        return dataclasses.replace(
            self,
            mean=-self.mean,
            interval=_mirrored(self.interval),
            by_seed=tuple(-value for value in self.by_seed),
            equivalence=dataclasses.replace(
                self.equivalence, interval=_mirrored(self.equivalence.interval)
            ),
        )


def undefined(seeds: int, margin: float = MARGIN) -> Difference:
    """Return the difference of models of which one has no score."""
    nan = float("nan")
    unknown = Equivalence(margin, Equal.UNKNOWN, (nan, nan))
    return Difference(nan, (nan, nan), (nan,) * seeds, nan, Procedure.PERMUTATION, unknown)


def mcnemar(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Return the two-sided p-value of McNemar's exact test: binomial, on discordant pairs (1947).

    Args:
      labels: int [n], the right classes.
      first: int [n], one model's answers.
      second: int [n], the other's.

    Returns:
      The probability of a split of the examples that only one of the two got right at least as
      uneven as this one, were both equally good; 1 where there is no such example.
    """
    from scipy import stats

    right, also = first == labels, second == labels
    only_first, only_second = int(np.sum(right & ~also)), int(np.sum(also & ~right))
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p-values of several tests for their number (Holm 1979).

    The chance of one false alarm or more among all tests then stays below the level of a single
    one, whether they depend on each other or not. In rising order the p-values are multiplied by
    m, m - 1, ..., 1, none made smaller than the one before it, and none larger than 1.

    Args:
      p_values: of each test; one that is NaN stays so and does not count.

    Returns:
      The corrected p-values, in the same order.
    """
    found = [float(p) for p in p_values]
    rising = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    largest = 0.0
    for rank, (p, place) in enumerate(rising):
        largest = max(largest, min(1.0, p * (len(rising) - rank)))
        found[place] = largest
    return found


def compare(
    problem: Problem,
    metric: Metric,
    labels: np.ndarray,
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
    *,
    margin: float = MARGIN,
    seeds: Sequence[int] = (),
) -> Difference:
    """Compare two models: the score of `second` minus that of `first`, seed by seed.

    The module says by which test, and what it speaks of.

    Args:
      problem: says what is drawn and exchanged, and whether McNemar's test applies.
      metric: (labels [n], predictions [n]) -> float.
      labels: [n].
      first: for each seed the predictions [n] of the model that is compared with.
      second: for each seed those of the other model.
      resamples: how many to draw.
      seed: of the draws.
      margin: see `Equivalence`.
      seeds: the training seed of each pair, where several pairs share one: their differences are
        averaged first. By default each pair has its own.

    Raises:
      ValueError: no seeds, different numbers of them, or lengths that differ.
    """
    _require_pairs(labels, first, second)
    pairs = Pairs(problem, metric, labels, first, second)
    average = _averages(seeds or range(len(first)))
    by_seed = average @ pairs.observed()
    drawn = pairs.resampled(resamples, seed) @ average.T
    if pairs.units == 1 or not np.isfinite(by_seed).all() or not np.isfinite(drawn).all():
        found = undefined(len(by_seed), margin)  # A single unit tells nothing of the spread.
        mean = float(np.mean(by_seed))
        return dataclasses.replace(found, mean=mean, by_seed=tuple(map(float, by_seed)))
    spread = _Spread(by_seed, drawn, pairs.step())
    if len(first) == 1 and problem.is_right_or_wrong and metric is metrics.accuracy:
        test, p = Procedure.MCNEMAR, mcnemar(labels, first[0], second[0])
    else:
        test = Procedure.PERMUTATION
        p = _permutation(by_seed.mean(), pairs.exchanged(PERMUTATIONS, seed) @ average.T)
    if len(by_seed) >= METHOD_SEEDS:
        test, p = Procedure.SEEDS, max(p, spread.p)
    p = max(p, spread.p_of_draws())  # No row has a small p beside an interval with 0 in it.
    low, high = spread.interval(1 - LEVEL)
    if p >= LEVEL:  # 0 is among the values that the test does not reject.
        low, high = min(low, 0.0), max(high, 0.0)
    return Difference(
        mean=spread.mean,
        interval=(low, high),
        by_seed=tuple(map(float, by_seed)),
        p=p,
        test=test,
        equivalence=spread.equivalence(margin, pairs.units if p >= LEVEL else None),
    )


def _require_pairs(
    labels: np.ndarray, first: Sequence[np.ndarray], second: Sequence[np.ndarray]
) -> None:
    """Raise ValueError unless two models answered the same examples, with as many seeds."""
    if not first or len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} seeds: one or more pairs are needed.")
    if any(len(values) != len(labels) for values in (*first, *second)):
        raise ValueError("both models must have answered the same examples.")


def _averages(seeds: Sequence[int]) -> np.ndarray:
    """Return the matrix [seeds, pairs] that averages the pairs of one training seed."""
    own = np.array([[seed == other for other in seeds] for seed in dict.fromkeys(seeds)], float)
    return own / own.sum(axis=1, keepdims=True)


def _permutation(mean: float, exchanged: np.ndarray) -> float:
    """Return the p-value of a mean difference, by those after exchanges [permutations, seeds]."""
    # A sum in another order may be smaller in its last bit.
    extreme = np.abs(exchanged.mean(axis=1)) >= abs(mean) - 1e-12
    return float((np.count_nonzero(extreme) + 1) / (len(exchanged) + 1))


class _Spread:
    """The mean of the seeds' differences, and how far it would move with others.

    Args:
      by_seed: float [seeds], the differences.
      drawn: float [resamples, seeds], those on resamples of the examples.
      step: the most that one more wrong answer can change a score.
    """

    def __init__(self, by_seed: np.ndarray, drawn: np.ndarray, step: float) -> None:
        self.mean = float(by_seed.mean())
        self._means = drawn.mean(axis=1)
        self._step = step
        number = len(by_seed)
        self._of_seeds, self._shared, self._degrees = 0.0, 0.0, math.inf
        if number >= METHOD_SEEDS:
            covariance = np.atleast_2d(np.cov(drawn, rowvar=False))
            others = (covariance.sum() - np.trace(covariance)) / (number * (number - 1))
            self._shared = max(float(others), 0.0)
            self._of_seeds = float(by_seed.var(ddof=1)) / number
            if self._of_seeds > 0:
                whole = self._of_seeds + self._shared
                self._degrees = (number - 1) * (whole / self._of_seeds) ** 2

    @property
    def _error(self) -> float:
        """The standard error over seeds and examples; 0 of fewer than three seeds."""
        return math.sqrt(self._of_seeds + self._shared)

    @property
    def p(self) -> float:
        """The two-sided p-value of the t-test over seeds and examples."""
        from scipy import stats

        if self._error == 0:
            return 1.0 if self.mean == 0 else 0.0
        return float(2 * stats.t.sf(abs(self.mean) / self._error, self._degrees))

    def p_of_draws(self) -> float:
        """Return the two-sided p-value of the bootstrap: below 0.05 where its interval has no 0.

        Twice the smaller share of the draws on either side of 0 (Efron and Tibshirani 1993,
        chapter 16), those at 0 counted on both.
        """
        means = self._means
        fewer = min(np.count_nonzero(means <= 0), np.count_nonzero(means >= 0))
        return float(min(1.0, 2 * fewer / len(means)))

    def interval(self, share: float) -> tuple[float, float]:
        """Return the interval over the examples, widened by that over seeds and examples."""
        low, high = np.quantile(self._means, [(1 - share) / 2, (1 + share) / 2])
        half = self._quantile((1 + share) / 2) * self._error if self._error else 0.0
        return float(min(low, self.mean - half)), float(max(high, self.mean + half))

    def equivalence(self, margin: float, units: int | None) -> Equivalence:
        """Return the answer to the question if the two are equal within the margin.

        With `units`, their number, it says as well how many examples would show it. Beside a
        difference that is shown there is no such number.

        Where few answers differ, or none, the bootstrap finds hardly any spread: none at all of
        twenty examples that two models answer alike, which shows nothing. So the variance over
        the examples is that of z^2 more answers that differ, as in the score interval of a
        proportion (Wilson 1927; Agresti and Coull 1998; for pairs Tango 1998): n equal answers
        then leave room for a difference of z^2 / n, nearly the rule of three.
        """
        one_sided = self._quantile(1 - LEVEL, math.inf)
        error = math.hypot(float(np.std(self._means)), one_sided * self._step)
        low, high = self.interval(1 - 2 * LEVEL)
        low = min(low, self.mean - one_sided * error)
        high = max(high, self.mean + one_sided * error)
        if -margin < low and high < margin:
            return Equivalence(margin, Equal.YES, (low, high))
        if low > margin or high < -margin:
            return Equivalence(margin, Equal.NO, (low, high))
        needed = None if units is None else self._needed(margin, units, error)
        return Equivalence(margin, Equal.UNKNOWN, (low, high), needed)

    def _needed(self, margin: float, units: int, error: float) -> int | None:
        """Return the examples that would show equality; see `Equivalence.examples`.

        The sum of the two quantiles of a test of equivalence of two equal means (Julious 2004,
        https://doi.org/10.1002/sim.1783, equation 31).
        """
        quantiles = self._quantile(1 - LEVEL) + self._quantile((1 + _POWER) / 2)
        # The variance over the examples shrinks with their number, that of the training does not.
        of_training = max(0.0, self._of_seeds + self._shared - error**2)
        room = (margin / quantiles) ** 2 - of_training
        needed = math.ceil(units * error**2 / room) if room > 0 else 0
        return needed if needed > units else None

    def _quantile(self, share: float, degrees: float | None = None) -> float:
        from scipy import stats

        return float(stats.t.ppf(share, self._degrees if degrees is None else degrees))


def _mirrored(interval: tuple[float, float]) -> tuple[float, float]:
    low, high = interval
    return -high, -low
