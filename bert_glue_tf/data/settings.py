"""The settings of a run's examples and of how they are put into batches."""

from __future__ import annotations

import dataclasses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.settings import LARGEST, Limits, Settings, option, whole
from bert_glue_tf.data import tasks
from bert_glue_tf.data.modality import AUGMENTATIONS, NO_AUGMENTATION
from bert_glue_tf.data.problems import PROBLEMS

# Widths of packed rows are multiples of it, which vector and matrix units compute without a rest.
WIDTH_STEP = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSettings(Settings):
    """The task and its examples."""

    task: str = option(
        "cola",
        f"Task: {', '.join(tasks.TASKS)}; or any name for texts of your own in --data, by default "
        "that of the file or folder.",
    )
    data: str = option(
        "tfds",
        "Where the sentences come from: tfds, sample (embedded, generated: cola, mrpc, sst2), "
        "a folder that holds the tasks' own folders of .tsv or .txt files, or labelled texts of "
        "your own: a .csv, .tsv, .jsonl, .json or .parquet file (also .gz), or a folder with "
        "train, validation and test files; for tasks of arrays idx files, an .npz file, or "
        "pictures in folders of classes (also in a .tar).",
        names=tasks.SOURCES,
    )
    text_columns: str = option(
        "",
        "Of texts of your own: the columns of the text, or of both texts of a pair, with a comma "
        "between; by default those with usual names (text, sentence, premise and hypothesis, ...).",
    )
    label_column: str = option(
        "",
        "Of texts of your own: the column of the label; by default the one with a usual name "
        "(label, category, class, target, ...).",
    )
    problem: str = option(
        "auto",
        "Of texts of your own, what is to be predicted: auto, "
        f"{', '.join(PROBLEMS)}; auto = classes for strings and few whole numbers, several "
        "labels for lists, a number for others.",
        choices=("auto", *PROBLEMS),
    )
    validation_fraction: float = option(
        0.1,
        "Of texts of your own without a validation file: the fraction of the training texts that "
        "is kept for validation, of each class alike.",
        limits=Limits(0.001, 0.9, "from 0.001 to 0.9"),
    )
    validation_seed: int = option(
        1,
        "Which texts are kept for validation; not --seed, so that runs of several seeds compare.",
        limits=whole(0),
    )
    tagged_pieces: str = option(
        "first",
        "Where words are tagged, which pieces of a word learn its tag: first, or all. A word is "
        "answered and scored by its first piece in both.",
        choices=("first", "all"),
    )
    train_examples: int = option(
        0,
        "Train on this many examples only, a fixed random choice; 0 = all.",
        limits=Limits(0, LARGEST, "0 (all) or more"),
    )
    held_out: int = option(
        0,
        "Keep so many training examples apart, for a method or a threshold that is chosen by their "
        "score; for a threshold 0 = a tenth.",
        limits=Limits(0, LARGEST, "0 (none) or a number of examples"),
    )

    augmentation: str = option(
        NO_AUGMENTATION,
        "Of pictures, how each is changed at random in every epoch: none, shift (by up to an "
        "eighth of its sides), flip_shift (mirrored left to right as well).",
        choices=AUGMENTATIONS,
    )

    at_recall: float = option(
        0.0,
        "Report precision and recall at a threshold that was chosen for this recall, on training "
        "examples held out: two classes (the second is the positive one), or several labels; 0 = "
        "do not.",
        limits=Limits(0.0, 1.0, "in [0, 1]"),
    )
    at_precision: float = option(
        0.0,
        "The same at a threshold that was chosen for this precision; 0 = do not.",
        limits=Limits(0.0, 1.0, "in [0, 1]"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        tasks.check_name(self.task, self.data)

    @property
    def text_column_names(self) -> tuple[str, ...]:
        """Return the columns that `text_columns` names; empty where they are to be guessed."""
        return tuple(name.strip() for name in self.text_columns.split(",") if name.strip())


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchSettings(Settings):
    """The size of a batch, and how its texts lie in arrays."""

    batch_size: int = option(
        32, "Examples a training step, over all replicas.", limits=whole(1, 65536)
    )
    packing: str = option(
        "auto",
        "Lay several texts into each row instead of padding each one; auto = wherever the encoder "
        "can keep them apart, which one held as a SavedModel cannot. --nopacking pads.",
        choices=("auto", "true", "false"),
        is_switch=True,
    )
    packing_width: int = option(
        0,
        "Positions of a packed row in training; 0 = the multiple of "
        f"{WIDTH_STEP} that holds the longest training text, or one of the next three where their "
        "rows have less padding.",
        limits=Limits(WIDTH_STEP, 512, f"from {WIDTH_STEP} to 512", 0),
    )
    length_buckets: bool = option(
        True,
        "Where texts are padded, pad a batch to the smallest of a few lengths that holds it; "
        "without, and always on a TPU, to --seq_length.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.packing_width and self.packing == "false":
            raise UserError(
                f"--packing_width={self.packing_width}: with --nopacking there are no packed rows. "
                "Leave one of the two out."
            )
