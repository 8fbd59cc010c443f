"""Step 2 of a run: how many steps, when the method prunes, and what a batch is."""

from __future__ import annotations

import dataclasses
import math

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.method import PruningMethod
from bert_glue_tf.compression.schedule import PruningContext
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.batching import Batching
from bert_glue_tf.training.inputs import Inputs
from bert_glue_tf.training.job import Job


@dataclasses.dataclass(frozen=True)
class Plan:
    """The steps of a training, and what happens in which of them.

    It comes before the network: a schedule that does not fit is refused before an encoder loads.

    Attributes:
      method: the pruning method; it holds the state of one training.
      context: when the method prunes, and how much.
      batching: how training examples become batches.
      epochs: passes over the training split.
    """

    method: PruningMethod
    context: PruningContext
    batching: Batching
    epochs: int

    @property
    def total_steps(self) -> int:
        """Return the training steps of all epochs."""
        return self.context.total_steps

    @property
    def steps_per_epoch(self) -> int:
        """Return the training steps of one epoch."""
        return self.total_steps // self.epochs

    @property
    def cycle_steps(self) -> int:
        """Return the training steps of one pass through the learning rate's schedule."""
        return self.total_steps // self.method.cycles


def make(job: Job, inputs: Inputs) -> Plan:
    """Return the plan that the settings ask for.

    Raises:
      UserError: the pruning's schedule or --keep_after does not fit into the training, or the
        method does not do what is asked for.
    """
    config = job.config
    method = build_method(job)
    steps = math.ceil(len(inputs.train) / config.batch_size) * config.epochs
    if config.keep_after and config.keep_after >= steps:
        raise UserError(
            f"--keep_after={config.keep_after}: the training has {steps} steps, and no epoch ends "
            f"after that one. Good: below {steps}."
        )
    return Plan(
        method=method,
        context=PruningContext.from_config(config, steps, method.waits, method.schedule),
        batching=Batching(config.batch_size, config.seed),
        epochs=config.epochs,
    )


def build_method(job: Job) -> PruningMethod:
    """Build the run's pruning method anew, in its form for the devices of the run.

    Raises:
      UserError: the method, or an option of it, cannot be used.
    """
    method = registry.build(job.config)
    return method.on_replicas() if job.is_filled_up else method
