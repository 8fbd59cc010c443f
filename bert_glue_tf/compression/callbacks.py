"""The Keras callback that drives the methods with masks.

It stands apart because it derives from a class of Keras: the mask engine imports it when a
training asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import tensorflow as tf
import tf_keras


class Advancing(Protocol):
    """A method that is told of each training step, as `masked.MaskedPruning` is.

    Attributes:
      step: int64 scalar, the steps that it has been told of.
    """

    step: tf.Variable

    def advance(self, step: int) -> None: ...


class UpdateMasks(tf_keras.callbacks.Callback):
    """Counts the steps and lets methods update their masks between two of them."""

    def __init__(self, methods: Sequence[Advancing]) -> None:
        super().__init__()
        self._methods = methods

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        del logs
        for method in self._methods:
            if not int(method.step.numpy()):  # Else the training goes on after a checkpoint.
                method.advance(0)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        del batch, logs
        for method in self._methods:
            method.advance(int(method.step.numpy()) + 1)
