"""Answers of two models to the same examples, drawn anew and exchanged: what a test is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bert_glue_tf.data.problems import Metric, Problem
from bert_glue_tf.evaluation import bootstrap
from bert_glue_tf.evaluation.word_metrics import Summed

# Numbers that are held at a time, of weights and of confusion matrices: 512 KiB of each, which stay
# in a core's cache; with 64 MiB five seeds took five times as long.
_AT_A_TIME = 2**16


class Pairs:
    """The differences of one or several pairs of models on the same examples.

    Metrics that a confusion matrix determines are computed for all resamples at once: examples
    whose label and answers are alike in all models count together, and a resample says only how
    often it has each kind of example. Of metrics of summed counts the counts of each example are
    drawn and exchanged. Others are called for each resample.

    Args:
      problem: says which units are drawn and exchanged.
      metric: (labels [n], predictions [n]) -> float.
      labels: [n].
      first: for each pair the predictions [n] of the model that is compared with.
      second: for each pair those of the model that is judged.
    """

    def __init__(
        self,
        problem: Problem,
        metric: Metric,
        labels: np.ndarray,
        first: Sequence[np.ndarray],
        second: Sequence[np.ndarray],
    ) -> None:
        self._problem, self._metric = problem, metric
        self._labels = np.asarray(labels)
        self._first = [np.asarray(one) for one in first]
        self._second = [np.asarray(one) for one in second]
        self._units = problem.units(self._labels)
        if isinstance(metric, Summed):
            # Its counts are exchanged and drawn in the place of labels and predictions.
            self._first, self._second = (
                [metric.counts(self._labels, one) for one in side]
                for side in (self._first, self._second)
            )
        # Where a unit holds several examples, a resample is no count of single examples.
        is_single = self._units == len(self._labels)
        self._counted = bootstrap.counted_by(metric, self._labels) if is_single else None
        if self._counted:
            answers = np.stack([self._labels, *self._first, *self._second])
            self._classes, ids = np.unique(answers, return_inverse=True)
            self._kinds, self._counts = np.unique(
                ids.reshape(answers.shape), axis=1, return_counts=True
            )

    @property
    def units(self) -> int:
        """The number of units that can be drawn."""
        return self._units

    def observed(self) -> np.ndarray:
        """Return the differences `second` minus `first`, float64 [pairs]."""
        return self._differences(self._labels, self._first, self._second)

    def step(self) -> float:
        """Return the most that one more wrong answer can cost the first of the `second` models.

        Tried for each class on one of its right answers; 0 where the metric is of no classes.
        """
        if isinstance(self._metric, Summed):
            return self._metric.step(self._second[0].sum(axis=0))
        if not self._counted:
            return 0.0
        size = len(self._classes)
        cells = self._kinds[0] * size + self._kinds[1 + len(self._first)]
        flat = np.zeros(size**2, np.int64)
        np.add.at(flat, cells, self._counts)
        counts = flat.reshape(size, size)
        if size == 1:
            return 1.0 / self._units  # No second class is known, so that all may be wrong.
        changed = [counts]
        for one in np.flatnonzero(np.diagonal(counts)):
            worse = counts.copy()
            worse[one, one] -= 1
            worse[one, int(one == 0)] += 1
            changed.append(worse)
        scores = self._counted(np.stack(changed), self._classes)
        return float(np.max(np.abs(scores - scores[0])))

    def resampled(self, resamples: int, seed: int) -> np.ndarray:
        """Return the differences on resamples of the units, the same units for all models.

        Args:
          resamples: how many to draw.
          seed: decides the draws.

        Returns:
          float64 [resamples, pairs].
        """
        rng = np.random.default_rng(seed)
        if self._counted:
            shares = self._counts / self._units
            kinds = self._kinds[1:].reshape(2, len(self._first), -1)
            return self._counted_differences(
                resamples,
                lambda some: rng.multinomial(self._units, shares, size=some),
                self._kinds[0],
                kinds,
            )
        found = []
        for _ in range(resamples):
            drawn = rng.integers(self._units, size=self._units)
            found.append(
                self._differences(
                    self._problem.draw(self._labels, drawn),
                    [self._problem.draw(one, drawn) for one in self._first],
                    [self._problem.draw(one, drawn) for one in self._second],
                )
            )
        return np.array(found)

    def exchanged(self, permutations: int, seed: int) -> np.ndarray:
        """Return the differences after the two models' answers to a unit were exchanged at random.

        Every unit is exchanged or left, each with a probability of one half, in all pairs alike.

        Args:
          permutations: how many to draw.
          seed: decides the draws.

        Returns:
          float64 [permutations, pairs].
        """
        rng = np.random.default_rng(seed)
        if self._counted:
            kinds = self._kinds[1:].reshape(2, len(self._first), -1)
            differs = (kinds[0] != kinds[1]).any(axis=0)  # The others stay what they are.
            counts = self._counts[differs]

            def weights(some: int) -> np.ndarray:
                moved = rng.binomial(counts, 0.5, size=(some, len(counts)))
                left = np.tile(self._counts, (some, 1))
                left[:, differs] -= moved
                return np.concatenate([left, moved], axis=1)

            return self._counted_differences(
                permutations,
                weights,
                np.concatenate([self._kinds[0], self._kinds[0][differs]]),
                np.concatenate([kinds, kinds[::-1][..., differs]], axis=2),
            )
        unit_of = self._unit_of()
        found = []
        for _ in range(permutations):
            swapped = rng.integers(2, size=self._units).astype(bool)[unit_of]
            swapped = swapped.reshape(-1, *[1] * (self._labels.ndim - 1))
            pairs = list(zip(self._first, self._second, strict=True))
            found.append(
                self._differences(
                    self._labels,
                    [np.where(swapped, b, a) for a, b in pairs],
                    [np.where(swapped, a, b) for a, b in pairs],
                )
            )
        return np.array(found)

    def _unit_of(self) -> np.ndarray:
        """Return the unit of each example, int [n]."""
        places = np.arange(len(self._labels))
        if self._units == len(places):
            return places
        unit_of = np.empty_like(places)
        for unit in range(self._units):
            unit_of[self._problem.draw(places, np.array([unit]))] = unit
        return unit_of

    def _differences(
        self, labels: np.ndarray, first: Sequence[np.ndarray], second: Sequence[np.ndarray]
    ) -> np.ndarray:
        pairs = zip(first, second, strict=True)
        if isinstance(self._metric, Summed):
            score = self._metric.score
            return np.array([score(b.sum(axis=0)) - score(a.sum(axis=0)) for a, b in pairs])
        return np.array([self._metric(labels, b) - self._metric(labels, a) for a, b in pairs])

    def _counted_differences(
        self,
        resamples: int,
        draw: Callable[[int], np.ndarray],
        labels: np.ndarray,
        answers: np.ndarray,
    ) -> np.ndarray:
        """Return the differences of weighted kinds of examples.

        Args:
          resamples: how many to draw.
          draw: number of resamples -> int [resamples, kinds], how often each kind is there.
          labels: int [kinds], the class of each kind.
          answers: int [2, pairs, kinds], those of the first and of the second models.

        Returns:
          float64 [resamples, pairs].
        """
        assert self._counted is not None
        size = len(self._classes)
        cells = labels * size + answers
        scores = np.empty((2, resamples, answers.shape[1]))
        step = max(1, _AT_A_TIME // max(size**2, len(labels)))
        for start in range(0, resamples, step):
            some = slice(start, min(start + step, resamples))
            # Whole numbers below 2^53 are exact, and BLAS multiplies them.
            weights = draw(some.stop - start).astype(np.float64)
            for side, pair in np.ndindex(cells.shape[:2]):
                present, place = np.unique(cells[side, pair], return_inverse=True)
                counts = np.zeros((len(weights), size**2), np.int64)
                counts[:, present] = weights @ np.eye(len(present))[place]
                confusion = counts.reshape(-1, size, size)
                scores[side, some, pair] = self._counted(confusion, self._classes)
        return scores[1] - scores[0]
