"""When a method prunes and how much: from the settings to the steps of a training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from absl import logging

from bert_glue_tf.compression.names import NO_PRUNING, SOFT
from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    from bert_glue_tf.compression.toolkit import tfmot

# Where gradual pruning starts and ends if the user does not say: after the warm-up, when
# the classifier's random weights have begun to mean something, and early enough that the
# last fifth of the steps trains the weights that are left.
END_FRACTION = 0.8
UPDATES = 100  # Mask updates over a whole run, at the most.
ROUNDS = 5  # Mask updates of iterative pruning: prune a fifth, train on, prune again.


class ScheduledRun(Protocol):
    """The settings of a run that decide its schedule: `PruningSettings`, and some of training."""

    @property
    def pruning_method(self) -> str: ...
    @property
    def pruning_scope(self) -> str: ...
    @property
    def pruning_weights(self) -> str: ...
    @property
    def ranking(self) -> str: ...
    @property
    def pruning_schedule(self) -> str: ...
    @property
    def first_sparsity(self) -> float: ...
    @property
    def final_sparsity(self) -> float: ...
    @property
    def begin_step(self) -> int: ...
    @property
    def end_step(self) -> int: ...
    @property
    def pruning_frequency(self) -> int: ...
    @property
    def warmup_fraction(self) -> float: ...
    @property
    def is_fine_tuned(self) -> bool: ...
    @property
    def regions(self) -> Mapping[str, float]: ...
    @property
    def epochs(self) -> int: ...
    @property
    def seed(self) -> int: ...


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
      kind: gradual, one_shot, iterative or soft.
      scope: which weights may be pruned: classifier, encoder, embeddings or all.
      pattern: regular expression for the names of those weights; empty for any.
      ranking: local, global or lamp.
      regions: part of the network -> its own final sparsity (--region_sparsities).
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
    regions: Mapping[str, float] = dataclasses.field(default_factory=dict)
    seed: int = 1

    @classmethod
    def from_config(
        cls, config: ScheduledRun, total_steps: int, waits: str = "", schedule: str = ""
    ) -> PruningContext:
        """Return the schedule that a run's settings ask for.

        Args:
          config: the settings.
          total_steps: of the training.
          waits: why the method cannot prune before the first step, unless all goes at once; empty
            if it can.
          schedule: the only one that the method has; empty for the one that the settings say.

        Raises:
          UserError: the schedule does not fit into the training; the message names the
            number of steps.
        """
        kind = schedule or config.pruning_schedule
        one_shot = kind == "one_shot"
        if kind == SOFT:
            return cls._soft(config, total_steps)
        begin = _begin(config, total_steps, waits, one_shot)
        end = config.end_step
        if end < 0:
            end = begin + 1 if one_shot else max(begin + 1, int(total_steps * END_FRACTION))
        frequency = _frequency(config, kind, total_steps, end - begin)
        last = begin + (end - begin) // frequency * frequency
        if config.pruning_method != NO_PRUNING:
            _require_fitting(config, total_steps, begin, end)
            _require_frequency(config, begin, end, frequency)
        return cls(
            initial_sparsity=config.first_sparsity,
            final_sparsity=config.final_sparsity,
            begin_step=begin,
            end_step=begin if one_shot else last,
            frequency=frequency,
            total_steps=total_steps,
            kind=kind,
            scope=config.pruning_scope,
            pattern=config.pruning_weights,
            ranking=config.ranking,
            regions=config.regions,
            seed=config.seed,
        )

    @classmethod
    def _soft(cls, config: ScheduledRun, total_steps: int) -> PruningContext:
        """Return the schedule that prunes at the end of each epoch, and keeps no mask between.

        Source: He et al. 2018, "Soft filter pruning for accelerating deep convolutional neural
        networks", algorithm 1 (https://arxiv.org/abs/1808.06866), there of filters.
        """
        # Where nothing is trained, as of a classifier that is taken over, nothing is due.
        epoch = max(1, total_steps // max(1, config.epochs))
        return cls(
            initial_sparsity=config.final_sparsity,
            final_sparsity=config.final_sparsity,
            begin_step=epoch,
            end_step=max(epoch, total_steps),
            frequency=epoch,
            total_steps=total_steps,
            kind=SOFT,
            scope=config.pruning_scope,
            pattern=config.pruning_weights,
            ranking=config.ranking,
            regions=config.regions,
            seed=config.seed,
        )

    @property
    def keeps_masks(self) -> bool:
        """Tell if what is pruned once stays zero in the steps that follow."""
        return self.kind != SOFT

    @property
    def reached(self) -> int:
        """The step after which an epoch ends with the final sparsity for the first time."""
        return self.end_step if self.keeps_masks else self.begin_step

    @property
    def quickest(self) -> float:
        """The largest share of the weights that goes at a step; between updates their average.

        Where all go at once, or after each epoch, it is the final sparsity.
        """
        if self.kind in ("one_shot", SOFT):
            return self.final_sparsity
        slope = 1 if self.kind == "iterative" else 3  # Of the cubic at its beginning.
        steps = max(1, self.end_step - self.begin_step)
        # The first sparsity is reached in one step.
        return max(
            self.initial_sparsity,
            slope * (self.final_sparsity - self.initial_sparsity) / steps,
        )

    def with_sparsity(self, final_sparsity: float) -> PruningContext:
        """Return the same context with another final sparsity."""
        return dataclasses.replace(
            self,
            final_sparsity=final_sparsity,
            initial_sparsity=min(self.initial_sparsity, final_sparsity),
        )

    def globally(self) -> PruningContext:
        """Return the same context with a ranking over the whole scope."""
        return dataclasses.replace(self, ranking="global")

    def part(self, number: int, count: int) -> PruningContext:
        """Return the stage `number` (from 0) of `count` that follow each other in the schedule."""
        if self.kind in ("one_shot", SOFT) or count == 1:
            return self  # All at once, in their order.
        length = (self.end_step - self.begin_step) // count
        # An iterative stage has all its rounds; a gradual one updates as often as before.
        own = self.frequency // count if self.kind == "iterative" else self.frequency
        frequency = max(1, min(own, length))
        begin = self.begin_step + number * length
        end = begin + max(1, length // frequency) * frequency
        return dataclasses.replace(self, begin_step=begin, end_step=end, frequency=frequency)

    def is_due(self, step: int) -> bool:
        """Return whether `schedule` has masks updated after a step.

        Asking the schedule itself takes a millisecond, at each step of a training.
        """
        since = step - self.begin_step
        return 0 <= since <= self.end_step - self.begin_step and since % self.frequency == 0

    def schedule(self) -> tfmot.sparsity.keras.PruningSchedule:
        """Return tfmot's cubic `PolynomialDecay` (Zhu and Gupta 2017, eq. 1, arXiv:1710.01878).

        A linear one where pruning is iterative, with the same share in each round, and
        `ConstantSparsity` where everything is pruned at once: at one step, or after each epoch.
        """
        from bert_glue_tf.compression.toolkit import tfmot

        if self.kind in ("one_shot", SOFT):
            last = self.begin_step if self.keeps_masks else self.end_step
            return tfmot.sparsity.keras.ConstantSparsity(
                self.final_sparsity, self.begin_step, last, frequency=self.frequency
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
        """Return the schedule as it has been computed; the rest stands in the settings."""
        kept = dataclasses.asdict(self)
        for name in ("kind", "scope", "pattern", "ranking", "regions", "seed"):
            del kept[name]
        return kept


def _begin(config: ScheduledRun, total_steps: int, waits: str, one_shot: bool) -> int:
    """Return the first step that prunes; `waits` as in `PruningContext.from_config`."""
    begin = config.begin_step
    if one_shot:
        waits = ""  # Gradients are measured at the moment of the pruning.
    if begin == 0 and waits:
        raise UserError(
            f"--begin_step=0: --pruning_method={config.pruning_method} {waits}. "
            "Give a step from 1 on."
        )
    if begin >= 0:
        return begin
    begin = int(total_steps * config.warmup_fraction)
    if one_shot and config.is_fine_tuned:
        begin = 0  # Fine-tuned weights are ranked as they are, before anything moves them.
    begin = max(begin, 1 if waits else 0)
    return min(begin, max(0, config.end_step - 1)) if config.end_step >= 0 else begin


def _frequency(config: ScheduledRun, kind: str, total_steps: int, length: int) -> int:
    """Return the steps between two updates of the masks, in a pruning of `length` steps."""
    if kind == "one_shot":
        return 1
    updates = length / ROUNDS
    if kind == "gradual":
        updates = min(total_steps // UPDATES, length)
    return config.pruning_frequency or max(1, int(updates))


def _require_fitting(config: ScheduledRun, total_steps: int, begin: int, end: int) -> None:
    """Refuse a schedule that is longer than the training."""
    if end <= total_steps:
        return
    if config.end_step < 0 and config.begin_step < 0:
        raise UserError(
            f"--warmup_fraction={config.warmup_fraction}: pruning begins after the "
            f"warm-up, and this one lasts all {total_steps} steps of the training. Give "
            "a smaller --warmup_fraction, or --begin_step=1 to prune from the start."
        )
    name, value, first = "begin_step", begin, 0
    if config.end_step >= 0:
        name, value, first = "end_step", end, 1
    raise UserError(
        f"--{name}={value}: training has only {total_steps} steps, so the final "
        f"sparsity would never be reached. Give a step from {first} to "
        f"{total_steps - 1 + first}."
    )


def _require_frequency(config: ScheduledRun, begin: int, end: int, frequency: int) -> None:
    """Refuse updates that are further apart than the schedule is long.

    Where they do not divide the schedule, log the step that reaches the final sparsity.
    """
    if frequency > end - begin:
        raise UserError(
            f"--pruning_frequency={frequency}: longer than the {end - begin} steps from "
            f"begin_step={begin} to end_step={end}. Give at most {end - begin}."
        )
    last = begin + (end - begin) // frequency * frequency
    if last != end and (config.end_step >= 0 or config.pruning_frequency):
        logging.info(
            "the final sparsity is reached at step %d, not %d: masks are updated every "
            "%d steps from step %d on",
            last,
            end,
            frequency,
            begin,
        )
