"""The computation of a training step: by default Keras's own, of one network."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import tf_keras

if TYPE_CHECKING:
    import tensorflow as tf


class TrainingStep:
    """The computation of one training step; as it stands, Keras's own, of one network.

    Attributes:
      select: name -> what it stands for, among the outputs of the encoder: what the step asks the
        trainee for besides its logits.
    """

    select: Mapping[str, Callable[[Mapping[str, Any]], Any]] = types.MappingProxyType({})

    def run(self, trainee: Any, data: Any) -> dict[str, tf.Tensor]:
        """Update the variables by one batch, and return the metrics.

        Args:
          trainee: what trains, a `training.objective.Trainee`.
          data: the batch, as `tf_keras.Model.train_step` takes it.
        """
        found: dict[str, tf.Tensor] = tf_keras.Model.train_step(trainee, data)
        return found
