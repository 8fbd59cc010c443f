"""The verdict that a model is worthless, and its texts."""

from __future__ import annotations

import numpy as np
import pytest

from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import collapse, metrics
from bert_glue_tf.evaluation.collapse import AtChance, Diverged, Mark, Marked, OneAnswer

SST2, STSB = tasks.get("sst2"), tasks.get("stsb")


def judged(right):
    """The verdict on a model with this share of 200 answers right; 0 is one class for all."""
    labels = np.arange(200) % 2
    predicted = labels.copy()
    predicted[round(200 * right) :] ^= 1
    if not right:
        predicted[:] = 0
    return collapse.judge(SST2, labels, np.eye(2)[predicted])


def test_chance_is_the_best_constant_and_zero_for_a_correlation():
    labels = np.array([1, 1, 1, 0])
    for name, expected in (("sst2", 0.75), ("cola", 0.0), ("stsb", 0.0)):
        task = tasks.get(name)
        metric = metrics.METRICS[task.primary_metric]
        assert task.problem.chance(metric, task.problem.as_labels(labels)) == expected


def test_the_verdict_is_one_class_or_a_score_at_chance():
    assert judged(0.9) is None
    assert judged(0.52) == AtChance("accuracy", 0.52, 0.5)
    assert judged(0.0) == OneAnswer("negative", is_class=True)


def test_logits_that_are_no_numbers():
    logits = np.zeros((4, 2))
    logits[1:, 0] = np.nan
    found = collapse.judge(SST2, np.array([0, 1, 0, 1]), logits)
    assert found == Diverged(examples=3, of=4)


def test_one_score_for_all_and_a_single_example():
    labels = np.array([1.0, 2.0, 3.0])
    found = collapse.judge(STSB, labels, np.full((3, 1), 2.5))
    assert found == OneAnswer("2.5", is_class=False)
    alone = collapse.judge(SST2, np.array([1]), np.array([[0.0, 1.0]]))
    assert alone == AtChance("accuracy", 1.0, 1.0)  # Its interval is NaN: nothing is shown.


def test_the_marks_of_a_model_have_each_reason_once():
    one, chance = OneAnswer("negative", True), AtChance("accuracy", 0.52, 0.5)
    told = "accuracy 0.520 is not above chance (0.500) by more than its noise"
    assert collapse.marked([]) == collapse.marked([None]) == Marked("", "")
    assert collapse.marked([None, chance, chance]) == Marked("", told)
    # A split at chance beside one that collapsed adds nothing.
    found = collapse.marked([one, None, one, chance, Diverged(3, 4)])
    assert found == Marked("every prediction is negative; the logits are not numbers", "")


def test_a_score_at_chance_is_no_collapse():
    assert collapse.mark(AtChance("accuracy", 0.52, 0.5)) is Mark.AT_CHANCE
    assert collapse.mark(OneAnswer("negative", True)) is Mark.COLLAPSED
    assert collapse.mark(Diverged(3, 4)) is Mark.COLLAPSED
    assert Marked("", "at chance").mark is Mark.AT_CHANCE
    assert Marked("one answer", "").mark is Mark.COLLAPSED
    assert Marked().mark is None
    assert collapse.worst([None, Mark.AT_CHANCE, Mark.COLLAPSED]) is Mark.COLLAPSED
    assert collapse.worst([None, Mark.AT_CHANCE]) is Mark.AT_CHANCE
    assert collapse.worst([None]) is None


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (
            Diverged(3, 4),
            "dev: the model diverged: its outputs for 3 of 4 examples are no numbers (NaN), so "
            "its scores are undefined; a smaller --learning_rate may help",
        ),
        (
            OneAnswer("negative", True),
            "dev: every prediction is 'negative': the model has learned nothing that tells the "
            "classes apart",
        ),
        (
            OneAnswer("2.5", False),
            "dev: every prediction is 2.5: nothing shows that the model has learned",
        ),
        (
            AtChance("accuracy", 0.52, 0.5),
            "dev: accuracy 0.520 is not above chance (0.500) by more than its noise: nothing "
            "shows that the model has learned",
        ),
    ],
)
def test_what_a_training_run_says(verdict, expected):
    assert collapse.warning("dev", verdict) == expected


def test_an_interval_that_is_known_is_not_computed_again():
    labels = np.array([0, 1, 0, 1])
    logits = np.eye(2)[[0, 1, 0, 0]]
    assert collapse.judge(SST2, labels, logits, (0.6, 1.0)) is None
    assert collapse.judge(SST2, labels, logits, (0.5, 1.0)) == AtChance("accuracy", 0.75, 0.5)
