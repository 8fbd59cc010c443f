"""Bootstrap intervals against SciPy's, the binomial one, and the metrics themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from messages import refuses
from scipy import stats

from bert_glue_tf.data.problems import Classification, Regression
from bert_glue_tf.evaluation import bootstrap, metrics

CLASSES = Classification(("no", "yes"))
NUMBERS = Regression(0.0, 5.0)
# Metrics that are computed on a resample's confusion matrix.
COUNTED = ("accuracy", "f1", "macro_f1", "matthews")


def scores(seed, examples=300):
    rng = np.random.default_rng(seed)
    labels = np.round(rng.uniform(0, 5, examples) * 5) / 5
    return labels, labels + rng.normal(0, 2, examples)


def test_it_matches_the_binomial_one():
    labels = np.ones(1000, dtype=np.int32)
    predictions = (np.arange(1000) < 700).astype(np.int32)
    low, high = bootstrap.interval(CLASSES, metrics.accuracy, labels, predictions)
    half = 1.96 * math.sqrt(0.7 * 0.3 / 1000)
    assert low == pytest.approx(0.7 - half, abs=0.004)
    assert high == pytest.approx(0.7 + half, abs=0.004)
    narrow = bootstrap.interval(CLASSES, metrics.accuracy, labels, predictions, confidence=0.5)
    assert low < narrow[0] < 0.7 < narrow[1] < high


def test_it_agrees_with_scipy():
    labels, predictions = scores(3)
    low, high = bootstrap.interval(NUMBERS, metrics.pearson, labels, predictions, resamples=4000)
    theirs = stats.bootstrap(
        (labels, predictions),
        metrics.pearson,
        n_resamples=4000,
        paired=True,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.1 * (high - low))


def test_it_is_decided_by_its_seed():
    labels, predictions = scores(7)
    call = [
        bootstrap.interval(NUMBERS, metrics.pearson, labels, predictions, resamples=99, seed=seed)
        for seed in (0, 0, 1)
    ]
    assert call[0] == call[1] != call[2]


@pytest.mark.parametrize("name", COUNTED)
def test_a_confusion_matrix_gives_the_number_of_the_metric_to_the_last_bit(name):
    metric = metrics.METRICS[name]
    for seed in range(30):
        rng = np.random.default_rng(seed)
        examples = int(rng.integers(1, 40))
        classes = 2 if name == "f1" else int(rng.integers(1, 5))
        labels, *answers = rng.integers(0, classes, (3, examples))
        found = bootstrap.resampled(CLASSES, metric, labels, answers, 20, seed)
        # A metric that is not registered is called on each resample.
        expected = bootstrap.resampled(
            CLASSES, lambda y, p: metric(y, p), labels, answers, 20, seed
        )
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", COUNTED)
def test_a_confusion_matrix_of_the_largest_split_gives_the_metric_too(name):
    metric = metrics.METRICS[name]
    counts = np.array([[150_000, 50_000], [50_001, 149_999]])  # Of QQP's size: n^4 passes 2^63.
    cells = np.repeat(np.arange(4), counts.ravel())
    expected = metric(cells // 2, cells % 2)
    assert float(bootstrap.COUNTED[metric](counts, np.arange(2))) == expected


@pytest.mark.parametrize("name", COUNTED)
def test_scikit_learn_is_not_called_for_each_resample(name, monkeypatch):
    labels = np.arange(50) % 2
    predictions = np.arange(50) % 3 % 2
    for function in ("accuracy_score", "f1_score", "matthews_corrcoef"):
        monkeypatch.setattr(f"sklearn.metrics.{function}", None)
    low, high = bootstrap.interval(CLASSES, metrics.METRICS[name], labels, predictions)
    assert low < high


def test_f1_of_a_third_class_is_refused():
    with refuses(ValueError, "0 and 1"):
        bootstrap.interval(CLASSES, metrics.f1, np.array([0, 1, 2]), np.array([0, 1, 1]))


@pytest.mark.filterwarnings("error")
def test_degenerate_input():
    same = bootstrap.interval(CLASSES, metrics.matthews, np.zeros(9), np.zeros(9))
    assert same == (0.0, 0.0)
    assert bootstrap.interval(CLASSES, metrics.f1, np.zeros(9), np.zeros(9)) == (0.0, 0.0)
    one = bootstrap.interval(CLASSES, metrics.accuracy, np.array([1]), np.array([1]))
    constant = bootstrap.interval(NUMBERS, metrics.pearson, np.arange(9.0), np.zeros(9))
    assert all(map(math.isnan, one + constant))
    with refuses(ValueError, "no examples"):
        bootstrap.interval(CLASSES, metrics.accuracy, np.array([]), np.array([]))
