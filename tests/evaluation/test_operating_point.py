"""Thresholds that are chosen for a recall or a precision, by hand."""

import numpy as np
import pytest

from bert_glue_tf.data.problems import Classification, MultiLabel
from bert_glue_tf.evaluation import operating_point
from bert_glue_tf.evaluation.defaults import OPERATING_POINTS
from bert_glue_tf.evaluation.operating_point import OperatingPoint

# Of the four best scores three are right, and the fourth right one is the sixth.
SCORES = np.array([6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
TRUTHS = np.array([True, True, False, True, False, True])


@pytest.mark.parametrize(
    ("limit", "threshold"), [(0.2, 6.0), (0.5, 5.0), (0.51, 3.0), (0.75, 3.0), (1.0, 1.0)]
)
def test_the_highest_threshold_with_a_recall(limit, threshold):
    found = operating_point.at_recall(TRUTHS, SCORES, limit)
    assert found == OperatingPoint("recall", threshold)


@pytest.mark.parametrize(
    ("limit", "threshold"), [(1.0, 5.0), (0.75, 3.0), (0.7, 3.0), (0.66, 1.0), (0.1, 1.0)]
)
def test_the_lowest_threshold_with_a_precision(limit, threshold):
    found = operating_point.at_precision(TRUTHS, SCORES, limit)
    assert found == OperatingPoint("precision", threshold)


def test_the_most_precise_threshold_where_none_is_precise_enough():
    truths = np.array([False, True, True])
    found = operating_point.at_precision(truths, np.array([3.0, 2.0, 1.0]), 0.9)
    assert found.threshold == 1.0


def test_examples_of_one_score_are_answered_alike():
    found = operating_point.at_recall(np.array([True, True]), np.array([1.0, 1.0]), 0.5)
    assert found.measure(np.array([True, False]), np.array([1.0, 1.0])) == {
        "precision_at_recall": 0.5,
        "recall_at_recall": 1.0,
    }


def test_nothing_found_and_nothing_there_is_zero():
    one = OperatingPoint("precision", 9.0)
    zero = {"precision_at_precision": 0.0, "recall_at_precision": 0.0}
    assert one.measure(TRUTHS, SCORES) == zero
    assert one.measure(np.zeros(6, bool), SCORES) == zero


def test_each_kind_of_problem_gives_its_scores():
    # The probabilities of logits that differ by 0.5 and by 1.5.
    points = [OperatingPoint("recall", 0.62246), OperatingPoint("precision", 0.81757)]
    two = Classification(("no", "yes"))
    logits = np.array([[0.0, 1.0], [0.0, 2.0], [1.0, 0.0]])
    found = operating_point.measured(two, points, np.array([0, 1, 1]), logits)
    assert tuple(found) == OPERATING_POINTS
    assert list(found.values()) == [0.5, 0.5, 1.0, 0.5]
    several = MultiLabel(("a", "b"))
    labels = np.array([[1, 1], [0, 0]], np.int8)
    found = operating_point.measured(several, points[:1], labels, np.array([[1.0, 0], [1, 0]]))
    _, probabilities = two.positives(np.array([0, 1, 1]), logits)
    answered = [answer.probabilities["yes"] for answer in two.answers(logits)]
    assert [answer.label for answer in two.at(0.75).answers(logits)] == ["no", "yes", "no"]
    assert two.at(0.2).decode(logits).tolist() == [1, 1, 1]
    assert two.decode(logits).tolist() == [1, 1, 0]
    assert probabilities.tolist() == answered
    assert answered == pytest.approx([0.731059, 0.880797, 0.268941], abs=1e-6)
    assert found == {"precision_at_recall": 0.5, "recall_at_recall": 0.5}
    assert operating_point.measured(several, [], labels, logits) == {}
