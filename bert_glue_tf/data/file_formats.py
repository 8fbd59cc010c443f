"""The formats of the files that tasks are read from: how a file's name ends, and what reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from bert_glue_tf.data import aspects, tsv
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


@dataclasses.dataclass(frozen=True)
class FileFormat:
    """A format of files.

    Attributes:
      suffix: what the names of its files end with.
      parse: reads one.
    """

    suffix: str
    parse: Parser


# Name, as `TaskSpec.file_format` gives it -> format.
FORMATS: Mapping[str, FileFormat] = MappingProxyType(
    {
        "tsv": FileFormat(".tsv", tsv.parse),
        "aspects": FileFormat(".txt", aspects.parse),
        "aspect_tags": FileFormat(".txt", aspects.parse_tags),
    }
)


def of(task: TaskSpec) -> FileFormat:
    """Return the format of a task's own files."""
    return FORMATS[task.file_format]


def split_file(task: TaskSpec, split: str) -> str:
    """Return the file of a TFDS split name, e.g. `validation_matched` -> `dev_matched.tsv`."""
    return split.replace("validation", "dev") + of(task).suffix
