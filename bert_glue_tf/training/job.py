"""A run that is to be done: its settings, its folder, and the devices that do it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from bert_glue_tf.core import strict_json
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import devices


@dataclasses.dataclass(frozen=True)
class Job:
    """One run and where it is done.

    Attributes:
      config: the settings.
      folder: the run's folder, claimed for `config`.
      strategy: the devices that train, and the other workers where there are any.
      tpu: value of --tpu.
    """

    config: ExperimentConfig
    folder: RunFolder
    strategy: tf.distribute.Strategy
    tpu: str = devices.LOCAL_TPU

    @property
    def is_static(self) -> bool:
        """Return whether every batch has the same shape, as a TPU needs it."""
        return devices.is_tpu(self.strategy)

    @property
    def is_filled_up(self) -> bool:
        """Return whether batches are filled up with examples of weight 0 (replicas, TPU)."""
        return self.is_static or self.strategy.num_replicas_in_sync > 1

    def require_agreement(self, what: str, value: str) -> None:
        """Compare a value with those of the other workers; see `devices.require_agreement`."""
        devices.require_agreement(self.strategy, what, value)

    def decide(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what the chief decided under this name, now or in an earlier process.

        Args:
          name: of the decision.
          make: gives JSON types; called where nothing has been decided yet.
        """
        return strict_json.loads(
            devices.decided_by_chief(
                self.strategy, lambda: json.dumps(self.folder.decide(name, make))
            )
        )
