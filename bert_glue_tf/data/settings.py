"""The settings of a run's examples and of how they are put into batches."""

from __future__ import annotations

import dataclasses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.settings import LARGEST, Limits, Settings, option, whole
from bert_glue_tf.data import tasks


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSettings(Settings):
    """The task and its examples."""

    task: str = option("cola", f"Task: {', '.join(tasks.TASKS)}.")
    data: str = option(
        "tfds",
        "Where the sentences come from: tfds, sample (embedded, generated: cola, mrpc, sst2), "
        "or a folder that holds the tasks' own folders of .tsv or .txt files.",
        names=("tfds", "sample"),
    )
    train_examples: int = option(
        0,
        "Train on this many examples only, a fixed random choice; 0 = all.",
        limits=Limits(0, LARGEST, "0 (all) or more"),
    )
    held_out: int = option(
        0,
        "Keep so many training examples apart, for a method that chooses by their score.",
        limits=Limits(0, LARGEST, "0 (none) or a number of examples"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        tasks.get(self.task)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchSettings(Settings):
    """The size of a batch and the length that it is padded to."""

    batch_size: int = option(
        32, "Examples a training step, over all replicas.", limits=whole(1, 65536)
    )
    length_buckets: bool = option(
        True,
        "Pad a batch to the smallest of a few lengths that holds it; without, and always on a "
        "TPU, to --seq_length.",
    )
    group_by_length: bool = option(
        False,
        "Batches of sentences of similar length: still less is padding, and the batches are less "
        "random. Needs --length_buckets, and no TPU.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.group_by_length and not self.length_buckets:
            raise UserError(
                "--group_by_length: padded to one length (--nolength_buckets), no batch is "
                "shorter than another. Good: --nolength_buckets --nogroup_by_length, or "
                "--length_buckets."
            )
