"""Differences between two models: the test, the interval, and what counts as noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from messages import refuses
from scipy import stats

from bert_glue_tf.data.problems import Classification, Regression
from bert_glue_tf.evaluation import metrics, significance
from bert_glue_tf.evaluation.significance import Difference

CLASSES = Classification(("no", "yes"))
NUMBERS = Regression(0.0, 5.0)


def answers(number, right):
    """Labels of zeros, and answers of which those at `right` are right."""
    given = np.ones(number, np.int64)
    given[list(right)] = 0
    return given


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        # By hand: 2 (C(10,0) + C(10,1)) / 2^10 = 22 / 1024.
        (1, 9, 22 / 1024),
        # 2 (1 + 5) / 2^5, and 2 / 2^6.
        (4, 1, 12 / 32),
        (0, 6, 2 / 64),
        (5, 5, 1.0),
        (0, 1, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_by_hand(only_first, only_second, p):
    labels = np.zeros(40, np.int64)
    both = set(range(20, 30))  # Examples on which both or neither are right do not count.
    first = answers(40, {*range(only_first), *both})
    second = answers(40, {*range(10, 10 + only_second), *both})
    assert significance.mcnemar(labels, first, second) == pytest.approx(p, abs=1e-12)
    assert significance.mcnemar(labels, second, first) == pytest.approx(p, abs=1e-12)


def test_mcnemar_counts_what_is_right_and_not_what_differs():
    # Three classes: the two give different wrong answers, which says nothing of either.
    labels, first, second = np.zeros(9, np.int64), np.ones(9, np.int64), np.full(9, 2)
    assert significance.mcnemar(labels, first, second) == 1.0


def compare(labels, first, second, metric=metrics.accuracy, **options):
    return significance.compare(CLASSES, metric, labels, first, second, **options)


def test_the_bootstrap_of_an_accuracy_agrees_with_the_normal_approximation():
    random = np.random.default_rng(3)
    number = 2000
    labels = random.integers(2, size=number)
    first = np.where(random.random(number) < 0.80, labels, 1 - labels)
    second = np.where(random.random(number) < 0.83, labels, 1 - labels)
    found = compare(labels, [first], [second], resamples=4000)
    each = (second == labels).astype(float) - (first == labels)
    assert found.mean == pytest.approx(each.mean(), abs=1e-12)
    deviation = each.std() / math.sqrt(number)
    normal = stats.norm.interval(0.95, each.mean(), deviation)
    # The ends of 4,000 draws are themselves off by about 2 % of the width.
    np.testing.assert_allclose(found.interval, normal, atol=0.1 * deviation)
    assert found.by_seed == (found.mean,)
    assert found.mcnemar == (significance.mcnemar(labels, first, second),)


def test_the_bootstrap_agrees_with_scipys_paired_one():
    random = np.random.default_rng(4)
    labels = random.integers(2, size=300)
    first = np.where(random.random(300) < 0.7, labels, 1 - labels)
    second = np.where(random.random(300) < 0.75, labels, 1 - labels)

    def difference(i):
        # The Matthews correlation of two classes is Pearson's r of the two indicators.
        return np.corrcoef(labels[i], second[i])[0, 1] - np.corrcoef(labels[i], first[i])[0, 1]

    reference = stats.bootstrap(
        (np.arange(300),),
        difference,
        n_resamples=2000,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(9),
    )
    found = compare(labels, [first], [second], metrics.matthews, resamples=2000)
    low, high = reference.confidence_interval
    np.testing.assert_allclose(found.interval, (low, high), atol=0.12 * (high - low))


@pytest.mark.slow
def test_every_resample_is_counted_on_two_examples_exactly():
    # Both right on one example, the second also on the other: of the four equally likely
    # draws of two, the difference is 0, 1/2, 1/2 and 1.
    labels, first, second = np.zeros(2, int), np.array([0, 1]), np.array([0, 0])
    seen = []

    def metric(y, p):
        seen.append(float(np.mean(y == p)))
        return seen[-1]

    found = compare(labels, [first], [second], metric, resamples=4000)
    assert found.mean == 0.5
    assert found.interval == (0.0, 1.0)
    # After the two scores of the whole split, both models' on each resample.
    second_minus_first = np.array(seen[3::2]) - np.array(seen[2::2])
    assert len(second_minus_first) == 4000
    shares = [np.mean(second_minus_first == value) for value in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(shares, (0.25, 0.5, 0.25), atol=0.03)


def test_models_that_answer_alike_differ_by_nothing():
    labels = np.arange(50) % 2
    same = np.roll(labels, 7)
    found = compare(labels, [same, labels], [same, labels])
    assert found == Difference(0.0, (0.0, 0.0), (0.0, 0.0), (1.0, 1.0), of_accuracy=True)
    assert found.is_noise


def test_seeds_share_their_draws_and_are_averaged():
    random = np.random.default_rng(5)
    labels = random.integers(2, size=500)

    def model(right):
        return np.where(random.random(500) < right, labels, 1 - labels)

    first, second = [model(0.7) for _ in range(3)], [model(0.8) for _ in range(3)]
    found = compare(labels, first, second)
    alone = [compare(labels, [a], [b]) for a, b in zip(first, second, strict=True)]
    assert found.by_seed == tuple(one.mean for one in alone)
    assert found.mean == pytest.approx(np.mean(found.by_seed))
    assert found.mcnemar == tuple(one.mcnemar[0] for one in alone)
    # Averaging over seeds narrows what the drawing of examples alone leaves.
    assert np.diff(found.interval) < min(np.diff(one.interval) for one in alone)


def test_the_same_seed_draws_the_same():
    random = np.random.default_rng(6)
    labels = random.integers(2, size=200)
    first, second = random.integers(2, size=(2, 200))
    one = compare(labels, [first], [second], seed=1)
    assert one == compare(labels, [first], [second], seed=1)
    assert one.interval != compare(labels, [first], [second], seed=2).interval


def test_a_regression_has_no_mcnemar():
    random = np.random.default_rng(7)
    labels = random.random(100)
    first, second = labels + random.normal(0, 1, (2, 100))
    found = significance.compare(NUMBERS, metrics.pearson, labels, [first], [second])
    expected = stats.pearsonr(labels, second)[0] - stats.pearsonr(labels, first)[0]
    assert found.mean == pytest.approx(expected, abs=1e-9)
    assert found.mcnemar == ()


@pytest.mark.parametrize(
    ("interval", "by_seed", "noise"),
    [
        ((0.01, 0.03), (0.02,), False),
        ((-0.03, -0.01), (-0.02, -0.01), False),
        ((-0.01, 0.03), (0.01,), True),
        ((0.0, 0.03), (0.01,), True),  # An end at 0 holds it.
        ((0.01, 0.03), (0.05, -0.01), True),  # The seeds disagree.
        ((0.01, 0.03), (0.04, 0.0), True),
        ((math.nan, math.nan), (0.04,), True),
    ],
)
def test_what_counts_as_noise(interval, by_seed, noise):
    assert Difference(float(np.mean(by_seed)), interval, by_seed, ()).is_noise is noise


def test_an_undefined_difference_is_known_as_such():
    constant = np.full(20, 2.5)
    labels = np.linspace(0, 5, 20)
    found = significance.compare(NUMBERS, metrics.pearson, labels, [labels], [constant])
    assert not found.is_defined
    assert found.is_noise


def test_what_cannot_be_compared_is_refused():
    labels = np.zeros(4, int)
    with refuses(ValueError, "0 and 0 seeds"):
        compare(labels, [], [])
    with refuses(ValueError, "1 and 2 seeds"):
        compare(labels, [labels], [labels, labels])
    with refuses(ValueError, "same examples"):
        compare(labels, [labels], [labels[:3]])


def test_a_handful_of_examples_does_not_tell_two_accuracies_apart():
    """Four sentences right for one model alone: the bootstrap is above 0, McNemar p = 0.125."""
    labels = np.arange(408) % 2
    first = labels.copy()
    first[:100] ^= 1
    second = first.copy()
    second[:4] = labels[:4]
    found = significance.compare(CLASSES, metrics.accuracy, labels, [first], [second])
    assert found.interval[0] > 0
    assert found.mcnemar == (pytest.approx(0.125),)
    assert found.is_noise
    second[:12] = labels[:12]
    found = significance.compare(CLASSES, metrics.accuracy, labels, [first], [second])
    assert found.mcnemar[0] < 0.05
    assert not found.is_noise
