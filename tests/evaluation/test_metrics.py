"""The metrics against scikit-learn, SciPy and values computed by hand."""

import math
import warnings

import numpy as np
import pytest
from messages import refuses
from scipy import stats
from sklearn import metrics as sklearn_metrics

from bert_glue_tf.data import tasks
from bert_glue_tf.data.problems import MultiLabel
from bert_glue_tf.evaluation import bootstrap, metrics, paired

TOLERANCE = 1e-9


def _classes(seed):
    """Labels and predictions whose size, class count and agreement change with the seed."""
    rng = np.random.default_rng(seed)
    n, classes = int(rng.integers(1, 400)), int(rng.integers(2, 5))
    labels = rng.integers(0, classes, n)
    copied = rng.random(n) < rng.random()
    return labels, np.where(copied, labels, rng.integers(0, classes, n))


def _scores(seed):
    """Labels rounded to fifths, as STS-B's, so that ranks tie; noisy predictions."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 400))
    labels = np.round(rng.uniform(0, 5, n) * 5) / 5
    predictions = labels * rng.normal() + rng.normal(0, rng.uniform(0, 3), n)
    if seed % 2:
        predictions = np.round(predictions)
    return labels, predictions


def _same(ours, theirs):
    assert isinstance(ours, float)
    if math.isnan(theirs):
        assert math.isnan(ours)
    else:
        assert ours == pytest.approx(theirs, abs=TOLERANCE, rel=0)


def _sklearn(name, labels, predictions):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of a single class
        if name == "f1":
            return sklearn_metrics.f1_score(labels, predictions, zero_division=0.0)
        if name == "macro_f1":
            return sklearn_metrics.f1_score(labels, predictions, average="macro", zero_division=0.0)
        if name == "matthews":
            return sklearn_metrics.matthews_corrcoef(labels, predictions)
        return sklearn_metrics.accuracy_score(labels, predictions)


def _scipy(name, labels, predictions):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy warns of constant input
        return float(getattr(stats, f"{name}r")(labels, predictions).statistic)


@pytest.mark.parametrize("seed", range(100))
def test_classification_metrics_agree_with_scikit_learn(seed):
    labels, predictions = _classes(seed)
    _same(metrics.accuracy(labels, predictions), _sklearn("accuracy", labels, predictions))
    _same(metrics.matthews(labels, predictions), _sklearn("matthews", labels, predictions))
    _same(metrics.macro_f1(labels, predictions), _sklearn("macro_f1", labels, predictions))
    labels, predictions = labels % 2, predictions % 2
    _same(metrics.f1(labels, predictions), _sklearn("f1", labels, predictions))
    _same(metrics.matthews(labels, predictions), _sklearn("matthews", labels, predictions))


def test_macro_f1_by_hand():
    labels = np.array([0, 0, 0, 1, 2, 2])
    predictions = np.array([0, 0, 1, 1, 0, 0])
    # F1 of 0: 2*2/(3+4); of 1: 2*1/(1+2); of 2: never right.
    assert metrics.macro_f1(labels, predictions) == pytest.approx((4 / 7 + 2 / 3 + 0) / 3)
    # A class that neither side has does not count; the ids need not be neighbours.
    assert metrics.macro_f1(np.array([5, 9]), np.array([5, 9])) == 1.0


@pytest.mark.parametrize("name", ["accuracy", "f1", "macro_f1", "matthews"])
@pytest.mark.parametrize(
    ("labels", "predictions"),
    [
        ([0] * 5, [0] * 5),
        ([1] * 5, [1] * 5),
        ([0] * 5, [1] * 5),
        ([1] * 5, [0] * 5),
        ([0, 1, 0, 1], [0, 0, 0, 0]),
        ([0, 1, 0, 1], [1, 1, 1, 1]),
        ([0, 0, 0, 0], [0, 1, 0, 1]),
        ([0, 1, 0, 1], [1, 0, 1, 0]),
        ([1], [1]),
        ([0], [1]),
    ],
)
def test_degenerate_classes_agree_with_scikit_learn(name, labels, predictions):
    labels, predictions = np.array(labels), np.array(predictions)
    _same(getattr(metrics, name)(labels, predictions), _sklearn(name, labels, predictions))


@pytest.mark.parametrize("seed", range(100))
@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_correlations_agree_with_scipy(name, seed):
    labels, predictions = _scores(seed)
    _same(getattr(metrics, name)(labels, predictions), _scipy(name, labels, predictions))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["pearson", "spearman"])
@pytest.mark.parametrize(
    ("labels", "predictions"),
    [
        ([1.0, 2.0, 3.0], [0.1, 0.1, 0.1]),  # 0.1 + 0.1 + 0.1 rounds: the mean is not 0.1
        ([2.5, 2.5, 2.5], [1.0, 2.0, 3.0]),
        ([2.5, 2.5, 2.5], [1.0, 1.0, 1.0]),
        ([1.0, 2.0], [3.0, 1.0]),
        ([1.0, 2.0, 3.0], [1.0, float("nan"), 3.0]),
        ([1.0, 2.0, 3.0, 5.0], [1e-200, 3e-200, 2e-200, 9e-200]),
    ],
)
def test_degenerate_scores_agree_with_scipy_without_a_warning(name, labels, predictions):
    labels, predictions = np.array(labels), np.array(predictions)
    ours = getattr(metrics, name)(labels, predictions)
    _same(ours, _scipy(name, labels, predictions))


@pytest.mark.filterwarnings("error")
def test_a_single_score_has_no_correlation():
    # SciPy raises here; an evaluation that has already run should still be reported.
    assert math.isnan(metrics.pearson(np.array([1.0]), np.array([2.0])))
    assert math.isnan(metrics.spearman(np.array([1.0]), np.array([2.0])))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [5e-324, 1e-300, 1e-45, 1e38, 2.0**1021])
def test_the_size_of_the_values_does_not_count(scale):
    x, y = np.array([1.0, 3.0, 2.0, -7.0]), np.array([2.0, 3.0, 0.0, 1.0])
    # Deviations (1.25, 3.25, 2.25, -6.75) and (.5, 1.5, -1.5, -.5).
    expected = (0.625 + 4.875 - 3.375 + 3.375) / math.sqrt(62.75 * 5.0)
    for one, other in ((x * scale, y), (y, x * scale), (x * scale, y * scale)):
        assert metrics.pearson(one, other) == pytest.approx(expected, abs=1e-15)
        assert metrics.spearman(one, other) == pytest.approx(0.4, abs=1e-15)


@pytest.mark.filterwarnings("error")
def test_values_that_differ_in_their_last_digits_are_correlated_without_a_warning():
    last = 1 + np.array([0.0, 1, 2, 3]) * np.finfo(np.float64).eps
    assert metrics.pearson(last, np.arange(4.0)) == pytest.approx(1.0, abs=0.1)


@pytest.mark.filterwarnings("error")
def test_one_class_on_a_side_has_no_matthews_correlation_and_no_warning():
    varied, constant = np.array([0, 1, 2]), np.array([1, 1, 1])
    for pair in ((varied, constant), (constant, varied), (constant, constant), (constant, [0] * 3)):
        assert metrics.matthews(*map(np.asarray, pair)) == 0.0


def test_values_computed_by_hand():
    labels = np.array([1, 1, 1, 0, 0, 1])
    predictions = np.array([1, 1, 0, 1, 0, 1])  # TP 3, FP 1, FN 1, TN 1
    assert metrics.accuracy(labels, predictions) == pytest.approx(4 / 6)
    assert metrics.f1(labels, predictions) == pytest.approx(6 / 8)
    assert metrics.matthews(labels, predictions) == pytest.approx((3 * 1 - 1 * 1) / 8)
    # Deviations (-1.5, -.5, .5, 1.5) and (-2.75, .25, -.75, 3.25).
    x, y = np.array([1.0, 2, 3, 4]), np.array([1.0, 4, 3, 7])
    assert metrics.pearson(x, y) == pytest.approx(8.5 / math.sqrt(5 * 18.75))
    assert metrics.spearman(x, y) == pytest.approx(1 - 6 * 2 / (4 * 15))
    # Ranks 1, 2.5, 2.5, 4: deviations (-1.5, 0, 0, 1.5) against (-1.5, -.5, .5, 1.5).
    assert metrics.spearman(np.array([1, 3, 3, 9]), x) == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_matthews_does_not_overflow_on_a_large_split():
    labels = np.arange(400_000) % 2  # n**4 passes 2**63
    predictions = labels.copy()
    predictions[:100_000] ^= 1
    assert metrics.matthews(labels, predictions) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("name", sorted(metrics.METRICS))
def test_empty_and_mismatching_input_is_refused(name):
    metric = metrics.METRICS[name]
    with refuses(ValueError, "no examples"):
        metric(np.array([]), np.array([]))
    with refuses(ValueError, "(2,)", "(3,)"):
        metric(np.array([0, 1]), np.array([0, 1, 1]))
    with refuses(ValueError, "(2,)", "(2, 1)"):
        metric(np.array([0, 1]), np.array([[0], [1]]))


def test_f1_refuses_a_third_class():
    with refuses(ValueError, "0 and 1"):
        metrics.f1(np.array([0, 1, 2]), np.array([0, 1, 1]))


def test_compute_takes_the_largest_logit():
    logits = np.array([[2.0, 1.0], [-3.0, -1.0], [0.0, 5.0], [1.0, 0.0]], dtype=np.float32)
    labels = np.array([0, 1, 0, 0], dtype=np.int32)
    assert metrics.compute(tasks.get("mrpc"), labels, logits) == {
        "accuracy": 0.75,
        "f1": pytest.approx(2 / 3),
    }
    assert list(metrics.compute(tasks.get("cola"), labels, logits)) == ["matthews", "accuracy"]
    mnli = metrics.compute(tasks.get("mnli"), np.array([2, 0]), np.array([[0, 1, 2], [0, 1, 2]]))
    assert mnli == {"accuracy": 0.5}


def test_compute_squeezes_a_regression():
    scores = np.array([[1.0], [4.0], [3.0], [7.0]], dtype=np.float32)
    labels = np.array([1, 2, 3, 4], dtype=np.float32)
    assert metrics.compute(tasks.get("stsb"), labels, scores) == {
        "pearson": pytest.approx(8.5 / math.sqrt(5 * 18.75)),
        "spearman": pytest.approx(0.8),
    }


def test_compute_refuses_logits_of_another_width():
    with refuses(ValueError, "(4, 1)", "[n, 2]"):
        metrics.compute(tasks.get("mrpc"), np.zeros(4, int), np.zeros((4, 1)))
    with refuses(ValueError, "(4,)", "[n, 1]"):
        metrics.compute(tasks.get("stsb"), np.zeros(4), np.zeros(4))
    with refuses(ValueError, "labels"):
        metrics.compute(tasks.get("mrpc"), np.zeros(3, int), np.zeros((4, 2)))


def test_a_model_that_diverged_gets_no_score():
    logits = np.array([[0.0, 1.0], [np.nan, np.nan]])
    scores = metrics.compute(tasks.get("mrpc"), np.array([1, 0]), logits)
    assert list(scores) == ["accuracy", "f1"]
    assert all(map(math.isnan, scores.values()))


def test_every_metric_of_every_task_is_known():
    for task in tasks.TASKS.values():
        assert set(task.metrics) <= set(metrics.NAMES)


def test_f1_of_several_labels_by_hand_and_by_scikit_learn():
    labels = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0]])
    found = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [1, 1, 0, 0]])
    # 3 right of 4 labels and 5 answers; by label 1/2, 1, 0, and the fourth occurs nowhere.
    assert metrics.micro_f1(labels, found) == pytest.approx(6 / 9)
    assert metrics.macro_f1(labels, found) == pytest.approx((0.5 + 1.0 + 0.0) / 3)
    assert metrics.micro_f1(labels, found) == pytest.approx(
        sklearn_metrics.f1_score(labels, found, average="micro")
    )
    assert metrics.micro_f1(np.zeros((2, 3), int), np.zeros((2, 3), int)) == 0.0
    assert metrics.macro_f1(np.zeros((2, 3), int), np.zeros((2, 3), int)) == 0.0
    with refuses(ValueError, "micro_f1"):
        metrics.micro_f1(labels[:, 0], found[:, 0])


def test_an_interval_and_a_comparison_of_several_labels():
    problem = MultiLabel(("a", "b", "c"))
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (60, 3))
    good, bad = (np.where(rng.random((60, 3)) < share, 1 - labels, labels) for share in (0.1, 0.4))
    low, high = bootstrap.interval(problem, metrics.micro_f1, labels, good, resamples=100)
    assert low < metrics.micro_f1(labels, good) < high
    pairs = paired.Pairs(problem, metrics.macro_f1, labels, [bad], [good])
    difference = metrics.macro_f1(labels, good) - metrics.macro_f1(labels, bad)
    assert pairs.observed() == pytest.approx([difference])
    exchanged = pairs.exchanged(50, 0)
    assert exchanged.shape == (50, 1)
    assert np.abs(exchanged).max() < difference
    assert pairs.resampled(20, 0).min() > 0
