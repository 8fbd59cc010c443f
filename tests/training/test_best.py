"""--keep=best: which epoch's weights are kept, and that a run that goes on knows them."""

from __future__ import annotations

import math
import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from bert_glue_tf.data import tasks
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training.best import BestEpoch

STEPS = 10


@pytest.fixture
def make(tmp_path):
    """A function that makes the callback anew, on a model of one weight."""
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, use_bias=False, input_shape=(1,))])

    def build(task="mnli", method="none", end_step=0, rows=()):
        config = ExperimentConfig(task=task, pruning_method=method, keep="best")
        job = types.SimpleNamespace(config=config, folder=RunFolder(tmp_path, config))
        mask = types.SimpleNamespace(
            state=lambda: tf.train.Checkpoint(), last_step=lambda context: context.end_step
        )
        plan = types.SimpleNamespace(
            steps_per_epoch=STEPS, context=types.SimpleNamespace(end_step=end_step), method=mask
        )
        inputs = types.SimpleNamespace(task=tasks.get(task))
        return BestEpoch(job, inputs, plan, types.SimpleNamespace(model=model), rows), model

    return build


def epochs(best, model, scores, first=0):
    """End epochs with these scores; the weight is the number of the epoch."""
    for epoch, score in enumerate(scores, start=first):
        model.set_weights([np.array([[epoch + 1.0]])])
        logs = {"val_accuracy_matched": score, "val_accuracy_mismatched": score}
        best.on_epoch_end(epoch, {**logs, "val_accuracy_test": 9.0 - epoch})


def test_the_last_of_the_best_epochs_is_kept(make):
    best, model = make()
    epochs(best, model, [0.5, 0.8, 0.8, math.nan, 0.7])
    assert best.epoch == 3
    best.restore()
    assert model.get_weights()[0].item() == 3.0


def test_only_epochs_with_the_final_sparsity_count(make):
    best, model = make(method="magnitude", end_step=2 * STEPS + 1)
    epochs(best, model, [0.9, 0.8, 0.6, 0.7])
    best.restore()
    assert best.epoch == model.get_weights()[0].item() == 4


def test_a_run_that_goes_on_knows_the_best_epoch_before(make):
    first, model = make()
    epochs(first, model, [0.5, 0.9, 0.6])
    rows = [{"val_accuracy_matched": str(s), "val_accuracy_mismatched": str(s)} for s in (0.5, 0.9)]
    for later, expected in (([0.7, 0.8], 2), ([0.7, 0.95], 4)):
        best, model = make(rows=[*rows, rows[0]])
        assert best.epoch == 2
        epochs(best, model, later, first=2)
        best.restore()
        assert best.epoch == model.get_weights()[0].item() == expected


def test_an_epoch_that_was_not_finished_is_judged_anew(make):
    first, model = make()
    epochs(first, model, [0.9])
    best, model = make(rows=[])
    epochs(best, model, [0.4, 0.3])
    best.restore()
    assert best.epoch == model.get_weights()[0].item() == 1


def test_without_a_score_the_last_weights_stay(make, caplog):
    best, model = make()
    epochs(best, model, [math.nan, math.nan])
    best.restore()
    assert model.get_weights()[0].item() == 2.0
    assert "--keep=best" in caplog.messages[-1]
