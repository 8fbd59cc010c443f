"""The protocol of every pruning method; the base class itself is the no-op `none`.

The orchestrator calls, in this order and with no `if prune`:

    method = pruning.get(name)()
    model = method.prepare(model, context)      # before compile
    optimizer = method.wrap_optimizer(optimizer)
    model.fit(..., callbacks=method.callbacks())
    model = method.finalize(model)              # plain layers, zeros in place
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from absl import logging

from bert_glue_tf import pruning
from bert_glue_tf.errors import UserError

if TYPE_CHECKING:
    from bert_glue_tf.config import ExperimentConfig

# Where gradual pruning starts and ends if the user does not say: after the warm-up, when
# the classifier's random weights have begun to mean something, and early enough that the
# last fifth of the steps trains the weights that are left.
END_FRACTION = 0.8
UPDATES = 100  # Mask updates over a whole run, at the most.


@dataclasses.dataclass(frozen=True)
class PruningContext:
    """When a method prunes and how much; steps count from 1 as tfmot's wrapper counts them.

    Attributes:
      initial_sparsity: fraction of zeros at `begin_step`.
      final_sparsity: fraction of zeros from `end_step` on.
      begin_step: first step that updates a mask.
      end_step: last step that updates a mask; `begin_step` plus a multiple of `frequency`,
        since tfmot updates on such steps only and would otherwise stop short of the
        final sparsity.
      frequency: steps between two updates.
      total_steps: steps of the whole training.
    """

    initial_sparsity: float
    final_sparsity: float
    begin_step: int
    end_step: int
    frequency: int
    total_steps: int

    @classmethod
    def from_config(cls, config: ExperimentConfig, total_steps: int) -> PruningContext:
        """The schedule that `config` asks for in a training of `total_steps` steps.

        Raises:
          UserError: the schedule does not fit into the training; the message names the
            number of steps.
        """
        begin, end = config.begin_step, config.end_step
        if begin < 0:
            begin = int(total_steps * config.warmup_fraction)
            if end >= 0:
                begin = min(begin, max(0, end - 1))
        if end < 0:
            end = max(begin + 1, int(total_steps * END_FRACTION))
        frequency = config.pruning_frequency or max(1, min(total_steps // UPDATES, end - begin))
        last = begin + (end - begin) // frequency * frequency
        if config.pruning_method != pruning.NO_PRUNING:
            if end > total_steps and config.end_step < 0 and config.begin_step < 0:
                raise UserError(
                    f"--warmup_fraction={config.warmup_fraction}: pruning begins after the "
                    f"warm-up, and this one lasts all {total_steps} steps of the training. Give "
                    "a smaller --warmup_fraction, or --begin_step=0 to prune from the start."
                )
            if end > total_steps:
                name, value, first = "begin_step", begin, 0
                if config.end_step >= 0:
                    name, value, first = "end_step", end, 1
                raise UserError(
                    f"--{name}={value}: training has only {total_steps} steps, so the final "
                    f"sparsity would never be reached. Give a step from {first} to "
                    f"{total_steps - 1 + first}."
                )
            if frequency > end - begin:
                raise UserError(
                    f"--pruning_frequency={frequency}: longer than the {end - begin} steps from "
                    f"begin_step={begin} to end_step={end}. Give at most {end - begin}."
                )
            if last != end and (config.end_step >= 0 or config.pruning_frequency):
                logging.info(
                    "the final sparsity is reached at step %d, not %d: masks are updated every "
                    "%d steps from step %d on",
                    last,
                    end,
                    frequency,
                    begin,
                )
        return cls(
            initial_sparsity=config.first_sparsity,
            final_sparsity=config.final_sparsity,
            begin_step=begin,
            end_step=last,
            frequency=frequency,
            total_steps=total_steps,
        )

    def schedule(self) -> tfmot.sparsity.keras.PruningSchedule:
        """tfmot's cubic `PolynomialDecay` (Zhu and Gupta 2017, eq. 1, arXiv:1710.01878)."""
        return tfmot.sparsity.keras.PolynomialDecay(
            initial_sparsity=self.initial_sparsity,
            final_sparsity=self.final_sparsity,
            begin_step=self.begin_step,
            end_step=self.end_step,
            frequency=self.frequency,
        )

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class PruningMethod:
    """One way of pruning, and, as it stands, the way that prunes nothing.

    A method is one file of this folder with one subclass whose `name` is the file's. Every
    registered method passes the contract suite `tests/test_pruning_contract.py`.
    """

    name = pruning.NO_PRUNING
    # Why the method cannot run on several replicas at once; empty if it can.
    one_device_only = ""

    def prepare(self, model: tf_keras.Model, context: PruningContext) -> tf_keras.Model:
        """Returns the model to train; called under the strategy's scope, before compile."""
        del context
        return model

    def wrap_optimizer(self, optimizer: tf_keras.optimizers.Optimizer) -> Any:
        """Returns the optimizer to train with."""
        return optimizer

    def callbacks(self) -> list[tf_keras.callbacks.Callback]:
        """Keras callbacks that drive the method; they run before the evaluation."""
        return []

    def pruned_weights(self, model: tf_keras.Model) -> Mapping[str, tf.Variable]:
        """Name -> weight for what the method prunes, in a prepared or a finalized model."""
        del model
        return {}

    def sparsities(self, model: tf_keras.Model) -> dict[str, float]:
        """Name -> fraction of zeros for each pruned weight, as it stands in training."""
        return {name: zero_fraction(weight) for name, weight in self.pruned_weights(model).items()}

    def finalize(self, model: tf_keras.Model) -> tf_keras.Model:
        """Returns a model of plain layers in which every pruned weight is exactly zero."""
        return model


def zero_fraction(weight: tf.Variable) -> float:
    """Fraction of elements that are exactly zero."""
    values = weight.numpy()
    return float(np.count_nonzero(values == 0) / values.size)
