"""The validation loss of each epoch: it cuts the learning rate, and ends the training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import tf_keras
from absl import logging

from bert_glue_tf.runs.settings import PLATEAU, PLATEAU_FACTOR, OptimizerSettings
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


def since_smallest(losses: Sequence[float]) -> int:
    """Return the number of epochs since the first one with the smallest loss."""
    known = [loss for loss in losses if not math.isnan(loss)]
    return len(losses) - 1 - losses.index(min(known)) if known else len(losses)


class WatchLoss(tf_keras.callbacks.Callback):
    """Cuts the learning rate on a plateau of the validation loss, and stops the training.

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
                "history.csv lacks %d of %d epochs: the validation loss is watched from here on",
                self._lost,
                done,
            )
        self._settings = settings
        self._names = names
        self._first = first
        self.losses = [
            self._mean({name: float(row.get(name) or math.nan) for name in names}) for row in rows
        ]

    def _mean(self, logs: Mapping[str, float]) -> float:
        return sum(logs.get(name, math.nan) for name in self._names) / len(self._names)

    @property
    def epochs(self) -> int:
        """The number of epochs that are trained so far."""
        return self._lost + len(self.losses)

    @property
    def _counted(self) -> list[float]:
        return self.losses[max(0, self._first - 1 - self._lost) :]

    @property
    def is_over(self) -> bool:
        """Tell whether the training ends early, after the epochs so far."""
        patience = self._settings.early_stopping
        return bool(patience and self._counted) and since_smallest(self._counted) >= patience

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Set the learning rate of the epoch."""
        del logs, epoch
        if self._settings.decay == PLATEAU:
            found = cuts(self._counted, self._settings.plateau_epochs)
            steady_of(self.model.optimizer).factor.assign(PLATEAU_FACTOR**found)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Note the loss, and tell Keras where the training ends."""
        self.losses.append(self._mean(logs or {}))
        if self.is_over:
            logging.info(
                "--early_stopping=%d: ends after epoch %d, whose validation loss and those of the "
                "epochs before it are no smaller than that of epoch %d",
                self._settings.early_stopping,
                epoch + 1,
                epoch + 1 - since_smallest(self._counted),
            )
            self.model.stop_training = True
