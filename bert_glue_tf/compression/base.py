"""The protocol of every pruning method; the base class itself is the no-op `none`.

The orchestrator calls, in this order and with no `if prune`:

    method = pruning.build(config)
    start = method.reshape(start)               # before the model is built
    model = method.prepare(model, context)      # before compile
    optimizer = method.wrap_optimizer(optimizer)
    model.fit(..., callbacks=method.callbacks())
    model = method.finalize(model)              # plain layers, zeros in place or cut out

A method that ranks weights by a score derives from `masked.MaskedPruning` and writes the score.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tf_keras
from absl import logging

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.toolkit import tfmot
from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    from bert_glue_tf.compression.start import Start
    from bert_glue_tf.runs.config import ExperimentConfig
    from bert_glue_tf.training.optimizer import AdamW

# Where gradual pruning starts and ends if the user does not say: after the warm-up, when
# the classifier's random weights have begun to mean something, and early enough that the
# last fifth of the steps trains the weights that are left.
END_FRACTION = 0.8
UPDATES = 100  # Mask updates over a whole run, at the most.
ROUNDS = 5  # Mask updates of iterative pruning: prune a fifth, train on, prune again.


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
      kind: gradual, one_shot or iterative.
      scope: which weights may be pruned: head, encoder, embeddings or all.
      pattern: regular expression for the names of those weights; empty for any.
      ranking: local, global or lamp.
      seed: of the run.
    """

    initial_sparsity: float
    final_sparsity: float
    begin_step: int
    end_step: int
    frequency: int
    total_steps: int
    kind: str = "gradual"
    scope: str = "encoder"
    pattern: str = ""
    ranking: str = "local"
    seed: int = 1

    @classmethod
    def from_config(
        cls, config: ExperimentConfig, total_steps: int, waits: str = ""
    ) -> PruningContext:
        """The schedule that `config` asks for in a training of `total_steps` steps.

        Args:
          config: the settings.
          total_steps: of the training.
          waits: why the method cannot prune before the first step; empty if it can.

        Raises:
          UserError: the schedule does not fit into the training; the message names the
            number of steps.
        """
        begin, end = config.begin_step, config.end_step
        one_shot = config.pruning_schedule == "one_shot"
        if begin == 0 and waits:
            raise UserError(
                f"--begin_step=0: --pruning_method={config.pruning_method} {waits}. "
                "Give a step from 1 on."
            )
        if begin < 0:
            begin = int(total_steps * config.warmup_fraction)
            if one_shot and config.finetune_epochs:
                begin = 0  # Fine-tuned weights are ranked as they are, before anything moves them.
            begin = max(begin, 1 if waits else 0)
            if end >= 0:
                begin = min(begin, max(0, end - 1))
        if end < 0:
            end = begin + 1 if one_shot else max(begin + 1, int(total_steps * END_FRACTION))
        updates = (end - begin) / ROUNDS
        if config.pruning_schedule == "gradual":
            updates = min(total_steps // UPDATES, end - begin)
        frequency = 1 if one_shot else config.pruning_frequency or max(1, int(updates))
        last = begin + (end - begin) // frequency * frequency
        if config.pruning_method != registry.NO_PRUNING:
            if end > total_steps and config.end_step < 0 and config.begin_step < 0:
                raise UserError(
                    f"--warmup_fraction={config.warmup_fraction}: pruning begins after the "
                    f"warm-up, and this one lasts all {total_steps} steps of the training. Give "
                    "a smaller --warmup_fraction, or --begin_step=1 to prune from the start."
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
            end_step=begin if one_shot else last,
            frequency=frequency,
            total_steps=total_steps,
            kind=config.pruning_schedule,
            scope=config.pruning_scope,
            pattern=config.pruning_weights,
            ranking=config.ranking,
            seed=config.seed,
        )

    def with_sparsity(self, final_sparsity: float) -> PruningContext:
        """The same with another final sparsity."""
        return dataclasses.replace(
            self,
            final_sparsity=final_sparsity,
            initial_sparsity=min(self.initial_sparsity, final_sparsity),
        )

    def globally(self) -> PruningContext:
        """The same with a ranking over the whole scope."""
        return dataclasses.replace(self, ranking="global")

    def part(self, number: int, count: int) -> PruningContext:
        """The stage `number` (from 0) of `count` that follow each other within the schedule."""
        if self.kind == "one_shot" or count == 1:
            return self  # All at once, in their order.
        length = (self.end_step - self.begin_step) // count
        # An iterative stage has all its rounds; a gradual one updates as often as before.
        own = self.frequency // count if self.kind == "iterative" else self.frequency
        frequency = max(1, min(own, length))
        begin = self.begin_step + number * length
        end = begin + max(1, length // frequency) * frequency
        return dataclasses.replace(self, begin_step=begin, end_step=end, frequency=frequency)

    def schedule(self) -> tfmot.sparsity.keras.PruningSchedule:
        """tfmot's cubic `PolynomialDecay` (Zhu and Gupta 2017, eq. 1, arXiv:1710.01878).

        A linear one where pruning is iterative, with the same share in each round, and
        `ConstantSparsity` at one step where everything is pruned at once.
        """
        if self.kind == "one_shot":
            return tfmot.sparsity.keras.ConstantSparsity(
                self.final_sparsity, self.begin_step, self.begin_step, frequency=1
            )
        return tfmot.sparsity.keras.PolynomialDecay(
            initial_sparsity=self.initial_sparsity,
            final_sparsity=self.final_sparsity,
            begin_step=self.begin_step,
            end_step=self.end_step,
            power=1 if self.kind == "iterative" else 3,
            frequency=self.frequency,
        )

    def to_json(self) -> dict[str, Any]:
        """The schedule as it has been computed; the rest stands in the settings."""
        kept = dataclasses.asdict(self)
        for name in ("kind", "scope", "pattern", "ranking", "seed"):
            del kept[name]
        return kept


@dataclasses.dataclass(frozen=True)
class Removed:
    """What a method has pruned.

    Attributes:
      sparsities: name of a weight -> fraction of it that is pruned.
      pruned: number of weights that are.
      prunable: number of weights of which they are, those in the method's scope.
      within: regular expression, which the names of these weights match, of a method that cuts
        before the training; empty for others.
    """

    sparsities: Mapping[str, float]
    pruned: int
    prunable: int
    within: str = ""


class PruningMethod:
    """One way of pruning, and, as it stands, the way that prunes nothing.

    A method is one file of this folder with one subclass whose `name` is the file's. All but those
    that cut before the training pass the contract suite `tests/test_pruning_contract.py`.

    Args:
      options: name -> value, those of `options` that differ from their defaults.
    """

    name = registry.NO_PRUNING
    # The method's own settings: name -> (default, what it is). Written as a literal, since it
    # is read without running the file. A value has the default's type.
    options: Mapping[str, tuple[Any, str]] = {}
    # Why it stands alone and not beside other methods; empty if it does not.
    alone = ""
    # Why it needs a native encoder; empty if variables are enough.
    needs_native = ""
    # Why it cannot prune before the first step, after the method's name; empty if it can.
    waits = ""
    # Settings that do not come into it: in a run of its own they have to keep their defaults.
    unused: tuple[str, ...] = ()
    # How many times the learning rate's schedule runs through within the training.
    cycles = 1

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        given = dict(options or {})
        # None: as --final_sparsity says.
        self.final_sparsity: float | None = given.pop("final_sparsity", None)
        self.settings = {name: default for name, (default, _) in self.options.items()} | given

    def on_replicas(self) -> PruningMethod:
        """What does the same on several replicas; before anything else is called."""
        return self

    def context(self, context: PruningContext) -> PruningContext:
        """The context with the method's own final sparsity, where it has one."""
        if self.final_sparsity is None:
            return context
        return context.with_sparsity(self.final_sparsity)

    def reshape(self, start: Start) -> Start:
        """Returns the `Start` to build the model from; may cut what never trains."""
        return start

    def prepare(self, model: tf_keras.Model, context: PruningContext) -> tf_keras.Model:
        """Returns the model to train; called under the strategy's scope, before compile."""
        del context
        return model

    def wrap_optimizer(self, optimizer: AdamW) -> AdamW:
        """Returns the optimizer to train with."""
        return optimizer

    def callbacks(self) -> list[tf_keras.callbacks.Callback]:
        """Keras callbacks that drive the method; they run before the evaluation."""
        return []

    def state(self) -> tf.train.Checkpoint:
        """What the method has to find again when a training goes on: masks, scores, its step."""
        return tf.train.Checkpoint()

    def pruned_weights(self, model: tf_keras.Model) -> Mapping[str, tf.Variable]:
        """Name -> weight for what the method prunes, in a prepared or a finalized model."""
        del model
        return {}

    def sparsities(self, model: tf_keras.Model) -> dict[str, float]:
        """Name -> fraction of zeros for each pruned weight, as it stands in training."""
        return {name: zero_fraction(weight) for name, weight in self.pruned_weights(model).items()}

    def measure(self, model: tf_keras.Model) -> Removed:
        """What is pruned at the end of the training, before `finalize` cuts anything out."""
        weights = self.pruned_weights(model)
        sparsities = self.sparsities(model)
        sizes = {name: int(np.prod(weights[name].shape)) for name in sparsities}
        return Removed(
            sparsities=sparsities,
            pruned=sum(round(value * sizes[name]) for name, value in sparsities.items()),
            prunable=sum(sizes.values()),
        )

    def finalize(self, model: tf_keras.Model) -> tf_keras.Model:
        """Returns a model of plain layers, where pruned weights are exactly zero or cut out."""
        return model


def zero_fraction(weight: tf.Variable) -> float:
    """Fraction of elements that are exactly zero."""
    values = weight.numpy()
    return float(np.count_nonzero(values == 0) / values.size)
