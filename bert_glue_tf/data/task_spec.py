"""The specification of a task: all facts of one, known or of the user's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from bert_glue_tf.data.modality import TEXTS, Modality
from bert_glue_tf.data.problems import Problem


@dataclasses.dataclass(frozen=True)
class SplitOff:
    """The part of a user's own training examples that is kept for validation.

    Attributes:
      fraction: of the examples, of each class alike; 0 where there is a validation file.
      seed: of the choice.
    """

    fraction: float
    seed: int


@dataclasses.dataclass(frozen=True)
class TaskSpec:
    """The facts of one task.

    Attributes:
      name: the task's name in flags, records and tables; for GLUE, TFDS's `glue/<name>`.
      folder: the task's folder in the benchmark's own distribution.
      text_fields: the text features, in TFDS's names (one sentence, or a pair).
      problem: the kind of answer: which classes, or numbers from where to where.
      metrics: names of the functions in `metrics.py` that are reported.
      primary_metric: the one that a single comparison uses.
      tsv_text: columns of the text in the .tsv files, as named in their header.
      tsv_label: column of the label in the .tsv files.
      tsv_columns: the columns' names where the labelled files have no header.
      tsv_labels: the spelling of the labels in the files, aspect files too.
      tsv_source: column of the .tsv files that says where an example comes from, if any.
      validation_splits: suffix of the metrics' names -> TFDS name of the split.
      test_splits: suffix -> name of a labelled test split of the user's own, which is scored when
        all training is over.
      submission_files: TFDS name of a test split -> the file that the benchmark's server takes
        its predictions in.
      tsv_files: split -> where its file may lie below GLUE's folder, if not at the usual place.
      also_answers: names of `DIAGNOSTICS` that a model for this task answers as well.
      drops_short_rows: whether rows with too few columns are counted and dropped
        instead of refused.
      file_format: of its files, a name in `file_formats.FORMATS` ("tsv" is GLUE's); "own" where
        they are tables of the user's own, which `data.own` reads.
      is_glue: whether it is a task of GLUE: TFDS has it, its test files have no labels, and the
        benchmark's server takes answers to them.
      caution: a sentence that whoever reads its scores has to know; empty where there is none.
      own: of a task of the user's own tables, how its validation examples come about; None for
        all others.
      modality: what its examples are made of.
      tfds: name of its data set in TFDS; empty for `glue/<name>`, or where TFDS has none.
      is_open: whether its files say which classes there are and which shape its arrays have
        (`data.array_files`); these then stand in records.
      split_off: of such a task without a validation split, how its validation examples come about.
    """

    name: str
    folder: str
    text_fields: tuple[str, ...]
    problem: Problem
    metrics: tuple[str, ...]
    primary_metric: str
    tsv_text: tuple[str, ...]
    tsv_label: str
    tsv_columns: tuple[str, ...] = ()
    tsv_labels: tuple[str, ...] = ("0", "1")
    validation_splits: Mapping[str, str] = dataclasses.field(
        default_factory=lambda: {"": "validation"}
    )
    test_splits: Mapping[str, str] = dataclasses.field(default_factory=dict)
    submission_files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    also_answers: tuple[str, ...] = ()
    tsv_files: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    drops_short_rows: bool = False
    tsv_source: str = ""
    file_format: str = "tsv"
    is_glue: bool = True
    caution: str = ""
    own: SplitOff | None = None
    modality: Modality = TEXTS
    tfds: str = ""
    is_open: bool = False
    split_off: SplitOff | None = None

    @property
    def tfds_name(self) -> str:
        """Return TFDS's name of the task's data set."""
        return self.tfds or f"glue/{self.name}"

    @property
    def scored_splits(self) -> dict[str, str]:
        """Return suffix of the metrics' names -> every split that a finished model is scored on."""
        return {**self.validation_splits, **self.test_splits}

    def has_labels(self, split: str) -> bool:
        """Tell if a split's labels are public: GLUE keeps those of its test splits."""
        return not (self.is_glue and split.startswith("test"))
