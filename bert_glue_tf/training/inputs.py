"""Step 1 of a run: its examples, read and divided."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from bert_glue_tf.core.progress import doing
from bert_glue_tf.data import batching, readers
from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.modality import NO_AUGMENTATION
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.data.truncation import HEAD
from bert_glue_tf.training import task_settings, teachers
from bert_glue_tf.training.job import Job


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The examples of a run.

    Attributes:
      task: of the run.
      read: split -> its examples as they were read.
      train: the training examples without those that are held out.
      held_out: training examples that no training sees, or None.
      seq_length: longest input in word pieces.
      truncation: which pieces of longer text are read.
      all_pieces: where words are tagged, whether all pieces of a word learn its tag.
      augmentation: how the training examples are changed at random.
    """

    task: TaskSpec
    read: Mapping[str, Examples]
    train: Examples
    held_out: Examples | None
    seq_length: int
    truncation: str = HEAD
    all_pieces: bool = False
    augmentation: str = NO_AUGMENTATION

    @property
    def examples(self) -> dict[str, Examples]:
        """Return split -> the examples that the run trains or scores on."""
        return {**self.read, "train": self.train}

    @property
    def validation(self) -> dict[str, Examples]:
        """Return validation split -> its examples."""
        return {split: self.read[split] for split in self.task.validation_splits.values()}

    @property
    def provenance(self) -> dict[str, Mapping[str, Any]]:
        """Return where the examples come from, by what `inputs.json` calls them."""
        return {f"{split} data": read.provenance for split, read in self.examples.items()}

    def tokenize(self, model: Any) -> tuple[Split, dict[str, Split]]:
        """Return the training split, and suffix -> split that is scored, in word pieces.

        Args:
          model: preprocessing SavedModel of the encoder.

        Raises:
          UserError: a split has no labels.
        """
        numbers = " + ".join(f"{len(read):,}" for read in self.examples.values())
        modality = self.task.modality
        with doing(modality.reading_of(numbers, self.task)):
            preprocessor = self.preprocessor(model)
            train = batching.tokenize(preprocessor, "train", self.train, self.all_pieces, modality)
            train = dataclasses.replace(train, augmentation=self.augmentation)
            scored = {
                suffix: batching.tokenize(preprocessor, split, self.read[split], modality=modality)
                for suffix, split in self.task.scored_splits.items()
            }
        for one in (train, *scored.values()):
            one.tell_cut(self.seq_length)
        return train, scored

    def preprocessor(self, model: Any) -> Any:
        """Return what reads the examples; `model` as for `tokenize`."""
        return self.task.modality.reader(model, self.task, self.seq_length, self.truncation)


def read(job: Job, examples: Mapping[str, Examples] | None) -> Inputs:
    """Return the run's examples, read now unless the caller has read them.

    Args:
      job: the run.
      examples: split -> examples, as `readers.load_for_training` gives them, or None.

    Raises:
      UserError: they cannot be read, or too many are to be held out.
    """
    config = job.config
    task = readers.task_of(config)
    if examples is None:
        examples = readers.load_for_training(task, config.data, config.train_examples)
    task_settings.check(config, task)
    teachers.check(config, task)
    count = task_settings.held_out_of(config, task, len(examples["train"]))
    train, held_out = examples["train"].hold_out(count, task.problem)
    task_settings.check_held_out(config, task, held_out)
    all_pieces = config.tagged_pieces == "all"
    return Inputs(
        task,
        examples,
        train,
        held_out,
        config.seq_length,
        config.truncation,
        all_pieces,
        config.augmentation,
    )
