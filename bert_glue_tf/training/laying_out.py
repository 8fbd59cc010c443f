"""The layouts of a run: how its training batches and those that it scores lie in arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from absl import logging

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import layouts, packing
from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.layouts import Layout, Packed, Padded
from bert_glue_tf.data.modality import TEXTS, Modality
from bert_glue_tf.evaluation.evaluator import EVALUATION_BATCH
from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training.job import Job
from bert_glue_tf.training.plan import Plan


@dataclasses.dataclass(frozen=True)
class Layouts:
    """The two layouts of a run.

    Attributes:
      training: of the part of a batch that one replica trains on.
      scoring: of a whole batch that is scored.
    """

    training: Layout
    scoring: Layout

    def share_used(self, plan: Plan, split: Split, replicas: int, epoch: int) -> float:
        """Return the share of an epoch's training positions that hold a word piece.

        Args:
          plan: gives the batches.
          split: the training examples.
          replicas: that share a batch.
          epoch: its number, from 0.
        """
        batches = plan.batching.epoch(split, epoch)
        return layouts.share_used(self.training, split.tokens.lengths, batches, replicas)


def require(config: ExperimentConfig, backbone: Backbone) -> None:
    """Refuse packing that the encoder cannot do, before anything is built.

    Raises:
      UserError: names the flag, its value and what would be good.
    """
    if config.packing == "true" or (config.packing_width and config.packing == "auto"):
        flag = f"--packing_width={config.packing_width}" if config.packing_width else "--packing"
        backbone.require("packing", flag, f"Leave the flag out, or {backbone.instead}.")
    if config.packing_width > backbone.positions:
        raise UserError(
            f"--packing_width={config.packing_width}: the encoder {backbone.provenance['name']} "
            f"has {backbone.positions} positions. Good: a width up to {backbone.positions}."
        )


def choose(
    job: Job,
    plan: Plan,
    backbone: Backbone,
    train: Split,
    scored: Mapping[str, Split],
    modality: Modality = TEXTS,
) -> Layouts:
    """Return the run's layouts.

    Args:
      job: the run.
      plan: gives the batches.
      backbone: of the network.
      train: training examples in word pieces.
      scored: by any name the splits that are scored, in word pieces.
      modality: of the examples.

    Raises:
      UserError: a training text is longer than a row of --packing_width.
    """
    if _is_packed(job.config, backbone):
        return _packed(job, plan, train, scored, backbone.positions)
    return _padded(job, plan, modality)


def tell(
    job: Job, plan: Plan, backbone: Backbone, train: Split, training: Layout, share: float
) -> None:
    """Say in the log how the training's texts lie, and how much of it is padding.

    Args:
      job, plan, backbone, train: as for `choose`.
      training: the layout that it has chosen for the training.
      share: of the first epoch's positions, that hold a word piece.
    """
    if not training.lengths_differ:
        return
    if _is_packed(job.config, backbone):
        padded = layouts.share_used(
            Padded(lengths=tuple(range(1, job.config.seq_length + 1))),
            train.tokens.lengths,
            plan.batching.epoch(train, 0),
        )
        beside = f"; padded to the longest of each batch it would be {100 * padded:.0f} %"
    else:
        reason = backbone.why_not("packing")
        beside = f" (not packed: {reason})" if reason else ""
    logging.info(
        "texts are %s: %.0f %% of the positions hold a word piece%s",
        training.describe(),
        100 * share,
        beside,
    )


def for_scoring(config: ExperimentConfig, backbone: Backbone, modality: Modality = TEXTS) -> Layout:
    """Return the layout of a classifier that is scored on one device and not trained.

    Raises:
      UserError: as `require`.
    """
    require(config, backbone)
    if _is_packed(config, backbone):
        return Packed()
    lengths = modality.lengths(config.seq_length, config.length_buckets)
    return Padded(lengths=lengths, modality=modality)


def _is_packed(config: ExperimentConfig, backbone: Backbone) -> bool:
    return config.packing != "false" and not backbone.why_not("packing")


def _padded(job: Job, plan: Plan, modality: Modality) -> Layouts:
    replicas = job.strategy.num_replicas_in_sync
    lengths = modality.lengths(
        job.config.seq_length, job.config.length_buckets and not job.is_static
    )
    loose = Padded(lengths=lengths, modality=modality)
    if not job.is_static:
        return Layouts(loose, dataclasses.replace(loose, parts=replicas))
    return Layouts(
        dataclasses.replace(loose, size=_part(plan.batching.size, replicas)),
        dataclasses.replace(loose, parts=replicas, size=_filled(EVALUATION_BATCH, replicas)),
    )


def _packed(
    job: Job, plan: Plan, train: Split, scored: Mapping[str, Split], positions: int
) -> Layouts:
    replicas = job.strategy.num_replicas_in_sync
    width = _width(job.config, plan, train, replicas, positions)
    if not job.is_static:
        return Layouts(Packed(width=width), Packed(parts=replicas))
    size = _part(plan.batching.size, replicas)
    epochs = (plan.batching.epoch(train, epoch) for epoch in range(plan.epochs))
    drawn = (batch for epoch in epochs for batch in epoch)
    whole = Packed(parts=replicas, size=size * replicas, width=width)
    training = Packed(size=size, width=width, rows=whole.most_rows(train.tokens.lengths, drawn))
    scoring = Packed(replicas, _filled(EVALUATION_BATCH, replicas), width, rows=1)
    splits = [split.tokens.lengths for split in scored.values()]
    return Layouts(training, scoring.holding(splits, EVALUATION_BATCH))


def _width(
    config: ExperimentConfig, plan: Plan, train: Split, replicas: int, positions: int
) -> int:
    """Return the positions of a packed row in training."""
    longest = int(train.tokens.lengths.max(initial=0))
    if not config.packing_width:
        return layouts.best_width(
            train.tokens.lengths, plan.batching.epoch(train, 0), replicas, positions
        )
    if longest > config.packing_width:
        named = train.named(int(train.tokens.lengths.argmax()))
        raise UserError(
            f"--packing_width={config.packing_width}: {named} has {longest} word pieces, and a "
            f"text has to fit into one row. Good: {packing.row_width(longest)} or more, or "
            f"--seq_length={config.packing_width}."
        )
    return config.packing_width


def _part(size: int, replicas: int) -> int:
    """Return the examples of a batch that each replica gets, where all get as many."""
    return -(-size // replicas)


def _filled(size: int, replicas: int) -> int:
    """Return the examples of a batch that is filled up to what the replicas can share."""
    return _part(size, replicas) * replicas
