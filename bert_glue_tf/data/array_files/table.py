"""The examples of a file of arrays: the arrays of a split, and the name of each one's class."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol

from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np


@dataclasses.dataclass(frozen=True)
class ArrayTable:
    """The examples of a split.

    Attributes:
      values: [n, ...].
      classes: n names of classes, as the files spell them.
      known: all names that the files know, in their order; empty where the examples' own are all.
      sha256: of the bytes that were read.
      path: of the file or folder, for messages and the record.
      version: of a data set that has one.
    """

    values: np.ndarray
    classes: Sequence[str]
    known: tuple[str, ...]
    sha256: str
    path: str
    version: str | None = None


class ArraySource(Protocol):
    """Files that hold the splits of a task."""

    name: str  # Of the kind of files, as a record says it.
    path: str

    def splits(self) -> Collection[str]:
        """Return the names of the splits: some of train, validation and test.

        Raises:
          UserError: a file cannot be read.
        """

    def look(self) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """Return the classes of the training split, and the shape of an example.

        Raises:
          UserError: as `read`.
        """

    def read(self, split: str) -> ArrayTable:
        """Return the examples of a split.

        Raises:
          UserError: there is no such split, or a file is damaged; the message names it.
        """


def looked(table: ArrayTable) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return what `ArraySource.look` does of a table that has been read."""
    shape = tuple(map(int, table.values.shape[1:]))
    return table.known or tuple(sorted(set(table.classes))), shape


def read_bytes(path: pathlib.Path) -> bytes:
    """Return the bytes of a file.

    Raises:
      UserError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}. Good: a file you can read.") from None


def digest(*parts: bytes) -> str:
    """Return the SHA-256 of the bytes of some files, in their order."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def no_split(path: str, split: str, found: Collection[str]) -> UserError:
    """Return the error of a split that files do not hold."""
    has = ", ".join(sorted(found)) or "none"
    return UserError(f"{path}: holds no {split} split (it has: {has}).")
