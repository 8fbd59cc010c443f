"""The scores of epochs: a threshold is chosen for each as for the trained model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tokens import tokens_of

from bert_glue_tf.data import tasks
from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.layouts import Padded
from bert_glue_tf.data.problems import Classification, MultiLabel
from bert_glue_tf.data.tasks import SplitOff
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training import scoring, thresholds
from bert_glue_tf.training.scoring import Scoring

LABELS = np.array([[1, 0], [0, 1], [1, 0], [0, 0]], np.int8)
# All right at a probability of 0.27, and nothing at 0.5.
CAUTIOUS = np.where(LABELS, -1.0, -3.0).astype(np.float32)
# At 0.5 two of three answers are right, and a label is missed; no threshold is better.
BOLD = np.array([[2, -2], [2, -2], [2, -2], [-2, -2]], np.float32)


def scoring_of(problem, labels):
    task = tasks.own(
        "mine",
        text_columns=("text",),
        label_column="label",
        problem=problem,
        split_off=SplitOff(0.1, 1),
        has_test=False,
    )
    split = Split("validation", tokens_of([3, 4, 5, 6]), labels)
    held_out = dataclasses.replace(split, name="held-out")
    return Scoring(task, {"": split}, Padded(lengths=(8,)), held_out)


def predicting(logits, calls):
    def predict(features):
        calls.append(len(features["input_word_ids"]))
        return logits[features["input_word_ids"][:, 0] - 1]

    return predict


def test_an_epoch_is_scored_at_the_threshold_that_it_would_have_as_the_result():
    one = scoring_of(MultiLabel(("a", "b")), LABELS)
    calls: list[int] = []
    cautious, bold = (one.validate(predicting(logits, calls)) for logits in (CAUTIOUS, BOLD))
    assert (cautious["micro_f1"], cautious["macro_f1"]) == (1.0, 1.0)
    assert bold["micro_f1"] == pytest.approx(2 / 3)
    assert calls == [4] * 4
    assert one.task.problem.threshold == 0.5  # Nothing is kept from one epoch to the next.
    # At one threshold for all epochs the other one would have been the best.
    at_half = dataclasses.replace(one, held_out=None)
    assert at_half.validate(predicting(CAUTIOUS, calls))["micro_f1"] == 0.0
    assert at_half.validate(predicting(BOLD, calls))["micro_f1"] == pytest.approx(2 / 3)


def test_the_result_is_scored_at_the_threshold_of_its_epoch():
    one, calls = scoring_of(MultiLabel(("a", "b")), LABELS), []
    predict_fn = predicting(CAUTIOUS, calls)
    chosen, points = thresholds.choose(ExperimentConfig(at_recall=0.6), one, predict_fn)
    (point,) = points
    assert chosen.task.problem.threshold == pytest.approx(1 / (1 + np.e))
    assert (point.name, point.threshold) == ("recall", pytest.approx(1 / (1 + np.e)))
    before = len(calls)
    evaluations = chosen.evaluate(predict_fn)
    assert len(calls) - before == 2  # Of which the first traces, and is not timed.
    assert scoring.flatten(evaluations) == one.validate(predict_fn)
    found = scoring.at_points(chosen.task, chosen.splits, points, evaluations)
    assert found == {"precision_at_recall": 1.0, "recall_at_recall": 1.0}


def test_a_problem_without_a_threshold_predicts_nothing_held_out_in_training():
    one, calls = scoring_of(Classification(("a", "b")), np.array([0, 0, 0, 1], np.int32)), []
    assert one.validate(predicting(BOLD, calls))["accuracy"] == 0.75
    assert calls == [4]
