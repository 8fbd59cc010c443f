"""The losses cut the learning rate and end a training."""

from __future__ import annotations

import math

import numpy as np
import pytest
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training.optimizer import build_optimizer, build_schedule, steady_of
from bert_glue_tf.training.plateau import WatchLoss, cuts, since_fallen


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([], 0),
        ([3.0, 2.0, 1.0], 0),
        ([1.0, 1.0], 0),
        ([1.0, 1.0, 1.0], 1),
        ([1.0, 2.0, 2.0, 2.0, 2.0], 2),
        ([1.0, 2.0, 0.5, 2.0, 2.0], 1),
        ([math.nan, math.nan, 1.0], 1),
    ],
)
def test_the_rate_is_cut_after_each_plateau_of_two_epochs(losses, expected):
    assert cuts(losses, 2) == expected


@pytest.mark.parametrize(
    ("losses", "expected"),
    [([1.0], 0), ([2.0, 1.0, 3.0], 1), ([1.0, 1.0], 1), ([math.nan] * 2, 2), ([math.nan, 1.0], 0)],
)
def test_the_epochs_since_the_loss_has_fallen(losses, expected):
    assert since_fallen(losses) == expected


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([1.0, 0.98], 0),
        ([1.0, 0.995], 1),
        ([1.0, 0.995, 0.989], 0),  # Small steps count together.
        ([1.0, 0.995, 0.991], 2),
        ([1.0, 0.5, 0.496, 0.6], 2),
        ([math.nan, 1.0, 1.0], 1),
    ],
)
def test_a_loss_has_fallen_where_it_is_smaller_by_the_threshold(losses, expected):
    assert since_fallen(losses, 0.01) == expected


class Model:
    """A stand-in for Keras's model, as far as the callback asks it."""

    def __init__(self, settings):
        self.optimizer = build_optimizer(settings, 100)
        self.stop_training = False


def watched(losses, rows=(), first=1, lost=0, **settings):
    """Return the rates of the epochs with these losses, and which of them was the last."""
    config = ExperimentConfig(learning_rate=1e-3, warmup_fraction=0.0, **settings)
    watch = WatchLoss(config, ["val_loss_a", "val_loss_b"], rows, len(rows) + lost, first)
    watch.set_model(model := Model(config))
    rates = []
    for epoch, loss in enumerate(losses, len(rows)):
        watch.on_epoch_begin(epoch)
        rates.append(float(model.optimizer.learning_rate(epoch)))
        watch.on_epoch_end(epoch, {"val_loss_a": loss - 1, "val_loss_b": loss + 1})
        if model.stop_training:
            break
    return np.round(rates, 9).tolist(), watch


def test_it_stops_and_goes_on_as_if_it_had_not():
    settings = {"decay": "plateau", "plateau_epochs": 1, "early_stopping": 3}
    losses = [3.0, 2.0, 4.0, 2.5, 2.0, 1.0]
    rates, whole = watched(losses, **settings)
    assert rates == [1e-3, 1e-3, 1e-3, 1e-4, 1e-5]
    assert whole.is_over
    assert whole.epochs == 5
    rows = [{"val_loss_a": str(one), "val_loss_b": str(one)} for one in losses[:3]]
    again, watch = watched(losses[3:], rows, **settings)
    assert again == rates[3:]
    assert watch.losses["validation"] == whole.losses["validation"] == losses[:5]


STANDS_STILL = {
    "early_stopping": 2,
    "early_stopping_loss": "training",
    "early_stopping_threshold": 0.01,
}


def of_training(losses, rows=()):
    """Return what watches these training losses, beside validation losses that only rise."""
    config = ExperimentConfig(**STANDS_STILL)
    watch = WatchLoss(config, ["val_loss"], rows, len(rows), 1)
    watch.set_model(model := Model(config))
    for epoch, loss in enumerate(losses, len(rows)):
        watch.on_epoch_end(epoch, {"loss": loss, "val_loss": float(epoch)})
        if model.stop_training:
            break
    return watch


def test_it_stops_where_the_training_loss_stands_still_and_goes_on_as_if_it_had_not(caplog):
    caplog.set_level("INFO", logger="absl")
    losses = [0.6, 0.5, 0.497, 0.4, 0.398, 0.397, 0.2]
    whole = of_training(losses)
    assert whole.is_over
    assert whole.epochs == 6
    assert (
        "ends after epoch 6; since epoch 4 no training loss was more than 1 % below that one's"
    ) in caplog.text
    rows = [{"loss": str(one), "val_loss": "1"} for one in losses[:5]]
    assert not of_training([], rows).is_over
    again = of_training(losses[5:], rows)
    assert again.is_over
    assert again.losses["training"] == whole.losses["training"]
    # A run that is asked for again when it is done trains no more.
    assert of_training([], [*rows, {"loss": "0.397", "val_loss": "1"}]).is_over


def test_while_a_pruning_goes_on_no_loss_counts():
    losses = [1.0, 2.0, 3.0, 2.0, 2.5, 2.5]
    _, watch = watched(losses, first=4, early_stopping=2)
    assert watch.epochs == 6
    assert watch.is_over
    assert watched(losses, early_stopping=2)[1].epochs == 3


def test_where_the_history_is_lost_the_epochs_still_count(caplog):
    caplog.set_level("WARNING", logger="absl")
    _, watch = watched([2.0, 2.5], lost=3, first=4, early_stopping=9)
    assert (watch.epochs, watch._counted("validation")) == (5, [2.0, 2.5])
    assert "lacks 3 of 3 epochs" in caplog.text


def test_without_it_all_epochs_are_trained_at_the_linear_rate():
    rates, watch = watched([1.0, 2.0, 3.0])
    assert not watch.is_over
    assert rates[1] == pytest.approx(1e-3 * 0.99)


def test_a_steady_rate_has_a_warm_up_too():
    config = ExperimentConfig(decay="none", learning_rate=1e-3, warmup_fraction=0.1)
    schedule = build_schedule(config, 100)
    assert [float(schedule(step)) for step in (5, 10, 99)] == pytest.approx([5e-4, 1e-3, 1e-3])
    steady_of(build_optimizer(config, 100))


def test_a_setting_without_meaning_is_refused():
    with refuses(UserError, "--plateau_epochs=5", "--decay=linear"):
        ExperimentConfig(plateau_epochs=5)

    with refuses(UserError, "--early_stopping_loss=training", "Add --early_stopping=2"):
        ExperimentConfig(early_stopping_loss="training")
    with refuses(UserError, "--early_stopping_threshold=0.01", "Add --early_stopping=2"):
        ExperimentConfig(early_stopping_threshold=0.01)
