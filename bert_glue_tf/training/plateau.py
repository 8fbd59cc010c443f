"""The losses of each epoch: they cut the learning rate, and end the training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import tf_keras
from absl import logging

from bert_glue_tf.runs.settings import (
    PLATEAU,
    PLATEAU_FACTOR,
    TRAINING,
    VALIDATION,
    WATCHED,
    OptimizerSettings,
)
from bert_glue_tf.training.optimizer import steady_of


def cuts(losses: Sequence[float], patience: int) -> int:
    """Return how often the learning rate is cut by the end of these epochs.

    It is cut after each `patience` epochs without a new smallest loss: Keras's ReduceLROnPlateau
    without a threshold. PyTorch's cuts after one epoch more than its patience.

    Args:
      losses: of the epochs so far; NaN is never the smallest.
      patience: epochs of a plateau.
    """
    smallest, waited, found = math.inf, 0, 0
    for loss in losses:
        if loss < smallest:
            smallest, waited = loss, 0
            continue
        waited += 1
        if waited == patience:
            waited, found = 0, found + 1
    return found


def since_fallen(losses: Sequence[float], threshold: float = 0.0) -> int:
    """Return the number of epochs since the loss has fallen last.

    It has fallen where it is below (1 - threshold) times the loss that it had fallen to before:
    what PyTorch's ReduceLROnPlateau compares in its mode `rel`. So several small steps count
    together, and a loss that stands still is one that several epochs cannot bring below it.

    Args:
      losses: of the epochs so far; NaN has never fallen.
      threshold: a fraction, at least 0 and below 1.
    """
    reference, waited = math.inf, 0
    for loss in losses:
        if loss < reference * (1 - threshold):
            reference, waited = loss, 0
        else:
            waited += 1
    return waited


class WatchLoss(tf_keras.callbacks.Callback):
    """Cuts the learning rate on a plateau of the validation loss, and stops the training.

    The training stops where the loss of --early_stopping_loss stands still.

    It has no state but the losses, which a training that goes on finds in its history, so that it
    goes on with the rate that it would have had.

    Args:
      settings: of the run.
      names: of the losses on the validation splits, whose mean counts.
      rows: the history of earlier epochs, a dict of text each.
      done: number of the earlier epochs; of those that the history has lost no loss is known, and
        the plateaus are counted anew.
      first: the first epoch that counts, from 1: while a pruning goes on, the loss may rise.
    """

    def __init__(
        self,
        settings: OptimizerSettings,
        names: Sequence[str],
        rows: Sequence[Mapping[str, str]],
        done: int,
        first: int,
    ) -> None:
        super().__init__()
        self._lost = done - len(rows)
        uses = settings.decay == PLATEAU or settings.early_stopping
        if self._lost and uses:
            logging.warning(
                "history.csv lacks %d of %d epochs: the loss is watched from here on",
                self._lost,
                done,
            )
        self._settings = settings
        self._names = {VALIDATION: tuple(names), TRAINING: ("loss",)}
        self._first = first
        self.losses: dict[str, list[float]] = {kind: [] for kind in WATCHED}
        for row in rows:
            self._note({name: float(value or math.nan) for name, value in self._of(row).items()})

    def _of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the losses of a row of the history or of Keras's logs."""
        return {name: row.get(name) for names in self._names.values() for name in names}

    def _note(self, logs: Mapping[str, float]) -> None:
        for kind, names in self._names.items():
            values = [logs.get(name, math.nan) for name in names]
            self.losses[kind].append(sum(values) / len(values))

    @property
    def epochs(self) -> int:
        """The number of epochs that are trained so far."""
        return self._lost + len(self.losses[VALIDATION])

    def _counted(self, kind: str) -> list[float]:
        return self.losses[kind][max(0, self._first - 1 - self._lost) :]

    @property
    def _waited(self) -> int:
        """The epochs since the loss that may stop the training has fallen last."""
        settings = self._settings
        counted = self._counted(settings.early_stopping_loss)
        return since_fallen(counted, settings.early_stopping_threshold)

    @property
    def is_over(self) -> bool:
        """Tell whether the training ends early, after the epochs so far."""
        patience = self._settings.early_stopping
        return bool(patience) and self._waited >= patience

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Set the learning rate of the epoch."""
        del logs, epoch
        if self._settings.decay == PLATEAU:
            found = cuts(self._counted(VALIDATION), self._settings.plateau_epochs)
            steady_of(self.model.optimizer).factor.assign(PLATEAU_FACTOR**found)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Note the losses, and tell Keras where the training ends."""
        self._note(logs or {})
        if self.is_over:
            settings = self._settings
            threshold = settings.early_stopping_threshold
            below = f"more than {100 * threshold:.3g} % below" if threshold else "below"
            logging.info(
                "--early_stopping=%d: ends after epoch %d; since epoch %d no %s loss was %s that "
                "one's",
                settings.early_stopping,
                epoch + 1,
                epoch + 1 - self._waited,
                settings.early_stopping_loss,
                below,
            )
            self.model.stop_training = True
