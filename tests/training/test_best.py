"""--keep=best: which epoch's weights are kept, and that a run that goes on knows them."""

from __future__ import annotations

import math
import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import plan
from bert_glue_tf.training.best import BestEpoch

STEPS = 10


@pytest.fixture
def make(tmp_path):
    """A function that makes the callback anew, on a model of one weight."""
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, use_bias=False, input_shape=(1,))])

    def build(task="mnli", method="none", end_step=0, rows=(), saved_step=None, keep_after=0):
        step = len(rows) * STEPS if saved_step is None else saved_step
        config = ExperimentConfig(
            task=task, pruning_method=method, keep="best", keep_after=keep_after
        )
        job = types.SimpleNamespace(config=config, folder=RunFolder(tmp_path, config))
        mask = types.SimpleNamespace(
            state=lambda: tf.train.Checkpoint(), last_step=lambda context: context.end_step
        )
        plan = types.SimpleNamespace(
            steps_per_epoch=STEPS, context=types.SimpleNamespace(end_step=end_step), method=mask
        )
        inputs = types.SimpleNamespace(task=tasks.get(task))
        return BestEpoch(job, inputs, plan, types.SimpleNamespace(model=model), rows, step), model

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


@pytest.mark.parametrize(("keep_after", "kept"), [(1, 1), (STEPS - 1, 1), (STEPS, 2), (25, 3)])
def test_only_epochs_that_end_after_a_step_count(make, keep_after, kept):
    best, model = make(keep_after=keep_after)
    epochs(best, model, [0.9, 0.8, 0.7, 0.6])
    best.restore()
    assert best.epoch == model.get_weights()[0].item() == kept


def test_a_step_that_no_epoch_ends_after_is_refused():
    config = ExperimentConfig(task="mnli", keep="best", keep_after=30, epochs=3, batch_size=10)
    inputs = types.SimpleNamespace(train=range(100))
    job = types.SimpleNamespace(config=config, is_filled_up=False)
    with refuses(UserError, "--keep_after=30", "30 steps"):
        plan.make(job, inputs)
    with refuses(UserError, "--keep_after=5", "--keep=best"):
        ExperimentConfig(task="mnli", keep_after=5)


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


@pytest.mark.parametrize(("again", "kept"), [(0.4, 1), (math.nan, 1), (0.5, 2), (0.9, 2)])
def test_an_epoch_that_is_trained_again_is_judged_anew(make, again, kept):
    """Killed after its weights were kept and before the training was saved, it may differ now."""
    first, model = make()
    epochs(first, model, [0.5, 0.9])
    rows = [{"val_accuracy_matched": "0.5", "val_accuracy_mismatched": "0.5"}]
    best, model = make(rows=rows)
    assert best.epoch == 1
    model.set_weights([np.array([[7.0]])])
    best.on_epoch_end(1, {"val_accuracy_matched": again, "val_accuracy_mismatched": again})
    best.restore()
    assert best.epoch == kept
    assert model.get_weights()[0].item() == {1: 1.0, 2: 7.0}[kept]


def test_weights_of_a_first_epoch_that_is_trained_again_are_removed(make, caplog):
    first, model = make()
    epochs(first, model, [0.9])
    best, model = make(rows=[])
    assert best.epoch == 0
    assert not list(best._folder.glob("step-*"))
    epochs(best, model, [0.4, 0.3])
    best.restore()
    assert best.epoch == model.get_weights()[0].item() == 1


def test_weights_outlive_a_history_that_is_lost(make):
    first, model = make()
    epochs(first, model, [0.5, 0.9, 0.6])
    best, model = make(rows=[], saved_step=3 * STEPS)
    assert best.epoch == 2
    best.restore()
    assert model.get_weights()[0].item() == 2.0


def test_without_a_score_the_last_weights_stay(make, caplog):
    best, model = make()
    epochs(best, model, [math.nan, math.nan])
    best.restore()
    assert model.get_weights()[0].item() == 2.0
    assert "--keep=best" in caplog.messages[-1]
