"""Scoring through a predict_fn: nothing dropped, order kept, loss by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from messages import refuses
from tokens import tokens_of

from bert_glue_tf.data import tasks
from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.layouts import Padded
from bert_glue_tf.evaluation import evaluator


def split_of(number, labels):
    lengths = np.random.default_rng(0).integers(3, 33, number)
    return Split("validation", tokens_of(lengths), labels)


def test_logits_come_back_in_the_order_of_the_split():
    sizes = []

    def predict(features):
        sizes.append(len(features["input_word_ids"]))
        number = features["input_word_ids"][:, 0].astype(np.float32)
        return np.stack([number, -number], axis=1)

    split = split_of(103, np.zeros(103, np.int32))
    logits = evaluator.predict(predict, split.tokens, 10, Padded(lengths=(8, 16, 32)))
    np.testing.assert_array_equal(logits[:, 0], np.arange(103) + 1)
    assert sum(sizes) == 103
    assert logits.dtype == np.float32


def test_cola_is_scored_with_matthews_accuracy_and_loss():
    labels = np.array([0, 1, 1, 1], np.int32)
    split = split_of(4, labels)
    predictions = np.array([0, 1, 1, 0])

    def predict(features):
        chosen = predictions[features["input_word_ids"][:, 0] - 1]
        return np.eye(2, dtype=np.float32)[chosen]

    done = evaluator.evaluate(
        predict, split, tasks.get("cola"), batch_size=3, layout=Padded(lengths=(8, 16, 32))
    )
    # TP 2, TN 1, FP 0, FN 1: (2*1 - 0*1) / sqrt(2 * 3 * 1 * 2)
    assert done.metrics["matthews"] == pytest.approx(2 / math.sqrt(12))
    assert done.metrics["accuracy"] == 0.75
    assert set(done.metrics) == {"loss", "matthews", "accuracy"}
    assert done.examples_per_second > 0


@pytest.mark.parametrize("output", [np.nan, np.inf])
def test_a_diverged_model_has_no_score(output):
    split = split_of(4, np.array([0, 1, 1, 1], np.int32))

    def predict(features):
        return np.full((len(features["input_mask"]), 2), output, np.float32)

    done = evaluator.evaluate(
        predict, split, tasks.get("cola"), batch_size=2, layout=Padded(lengths=(32,))
    )
    assert all(math.isnan(value) for value in done.metrics.values())


def test_an_empty_split_is_refused():
    with refuses(ValueError, "no text"):
        evaluator.predict(lambda features: np.zeros((0, 2)), tokens_of([]), 8, Padded(lengths=(8,)))
