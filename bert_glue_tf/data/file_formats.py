"""The formats of the files that tasks are read from: how a file's name ends, and what reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from bert_glue_tf.data import aspects, tsv, word_arrays
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.data.tsv import Table


class Parser(Protocol):
    """A function from the bytes of a file to its rows."""

    def __call__(self, task: TaskSpec, path: str, raw: bytes, labelled: bool) -> Table:
        """Read the bytes of one of the task's files.

        Args:
          task: says which columns there are and which labels are good.
          path: the file's name in messages.
          raw: the file's bytes.
          labelled: whether the file has to have labels.

        Raises:
          UserError: the first thing that is wrong, with its line.
        """


class SplitParser(Protocol):
    """A function from the bytes of a file that holds several splits to the rows of one."""

    def __call__(self, task: TaskSpec, path: str, raw: bytes, split: str) -> Table:
        """Read a split of a file; all other arguments are those of `Parser`."""


@dataclasses.dataclass(frozen=True)
class FileFormat:
    """A format of files.

    Attributes:
      suffix: what the names of its files end with.
      parse: reads one.
      parse_split: reads a split of one, where a file holds several; `parse` is not asked then.
    """

    suffix: str
    parse: Parser = tsv.parse
    parse_split: SplitParser | None = None

    def read(self, task: TaskSpec, path: str, raw: bytes, split: str) -> Table:
        """Return the rows of a split, which a file is of or which it holds.

        Raises:
          UserError: as `Parser`.
        """
        if self.parse_split is not None:
            return self.parse_split(task, path, raw, split)
        return self.parse(task, path, raw, task.has_labels(split))


# Name, as `TaskSpec.file_format` gives it -> format.
FORMATS: Mapping[str, FileFormat] = MappingProxyType(
    {
        "tsv": FileFormat(".tsv", tsv.parse),
        "aspects": FileFormat(".txt", aspects.parse),
        "aspect_tags": FileFormat(".txt", aspects.parse_tags),
        "word_arrays": FileFormat(".npz", parse_split=word_arrays.parse),
    }
)


def of(task: TaskSpec) -> FileFormat:
    """Return the format of a task's own files."""
    return FORMATS[task.file_format]


def training_place(task: TaskSpec) -> str:
    """Return where a task's training examples lie below --data, for messages."""
    if task.file_format not in FORMATS:  # Arrays, whose files may have any name.
        return f"the files of {task.folder}/"
    return f"{task.folder}/{split_file(task, 'train')}"


def split_file(task: TaskSpec, split: str) -> str:
    """Return the file of a TFDS split name, e.g. `validation_matched` -> `dev_matched.tsv`."""
    return split.replace("validation", "dev") + of(task).suffix
