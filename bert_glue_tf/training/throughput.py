"""The Keras callback that counts the examples a second of a training."""

from __future__ import annotations

import time

import tf_keras
from absl import logging

Logs = dict[str, float]


class Throughput(tf_keras.callbacks.Callback):
    """Counts training examples and their seconds, without the first step (it traces the graph).

    Attributes:
      examples, seconds: of the epoch that ended last.
      total_examples, total_seconds: of all epochs of this process.
    """

    def __init__(
        self,
        examples_per_epoch: int,
        batch_size: int,
        trained: int = 0,
        start: float | None = None,
    ):
        """Take the number of examples.

        Args:
          examples_per_epoch: of the training split.
          batch_size: examples a step.
          trained: examples of the first epoch that an earlier process trained on.
          start: when the run began to load, by `time.perf_counter`; by default now. A run that
            another one needs has its own.
        """
        super().__init__()
        self._run_start = time.perf_counter() if start is None else start
        self._examples_per_epoch = examples_per_epoch
        self._trained = trained
        self._first_batch = min(batch_size, examples_per_epoch - trained)
        self.examples = self.total_examples = 0
        self.seconds = self.total_seconds = 0.0
        self._start: float | None = None
        self._is_traced = False

    def set_model(self, model: tf_keras.Model) -> None:
        """Keep no model: this is asked after the training, and would hold its optimizer."""
        del model

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        del epoch, logs
        self.examples, self.seconds = self._examples_per_epoch - self._trained, 0.0
        self._trained = 0
        self._start = time.perf_counter() if self._is_traced else None

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        del batch, logs
        now = time.perf_counter()
        if not self._is_traced:
            self._is_traced = True
            self.examples -= self._first_batch
            logging.info(
                "first step done, %.0f s after this run began to load", now - self._run_start
            )
        elif self._start is not None:
            self.seconds += now - self._start
        self._start = now

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        del epoch, logs
        self.total_examples += self.examples
        self.total_seconds += self.seconds
