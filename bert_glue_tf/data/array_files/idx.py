"""The idx files of MNIST: arrays of whole numbers with their sizes in front.

Format: two zero bytes, one for the type of number, one for the number of axes, the length of each
axis as a big-endian int32, then the numbers (LeCun, Cortes and Burges, "The MNIST database of
handwritten digits", http://yann.lecun.com/exdb/mnist/, "FILE FORMATS").
"""

from __future__ import annotations

import gzip
import math
import pathlib
import re
import zlib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.array_files.table import ArrayTable, digest, looked, no_split, read_bytes

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy.module("numpy")

_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_NAME = re.compile(r"(train|t10k|test|validation)[-_.](images|labels)[-_.]?idx\d[-_.]u?byte(\.gz)?")
_SPLITS = {"t10k": "test"}


class IdxFiles:
    """A folder of idx files: images and labels of each split."""

    name = "idx"

    def __init__(self, path: str, files: Mapping[str, Mapping[str, pathlib.Path]]) -> None:
        """Take files.

        Args:
          path: of the folder.
          files: split -> "images" and "labels" -> file.
        """
        self.path = path
        self._files = files

    @classmethod
    def find(cls, folder: pathlib.Path) -> IdxFiles | None:
        """Return the idx files in a folder; None where there are none."""
        found: dict[str, dict[str, pathlib.Path]] = {}
        for file in sorted(folder.iterdir()):
            if match := _NAME.fullmatch(file.name):
                split = _SPLITS.get(match[1], match[1])
                found.setdefault(split, {}).setdefault(match[2], file)
        return cls(str(folder), found) if found else None

    def splits(self) -> Collection[str]:
        return [split for split, files in self._files.items() if len(files) == 2]

    def look(self) -> tuple[tuple[str, ...], tuple[int, ...]]:
        return looked(self.read("train"))

    def read(self, split: str) -> ArrayTable:
        files = self._files.get(split, {})
        for kind in ("images", "labels"):
            if files and kind not in files:
                raise UserError(f"{self.path}: has no file of the {kind} of the {split} split.")
        if not files:
            raise no_split(self.path, split, self.splits())
        raw = {kind: read_bytes(file) for kind, file in files.items()}
        images, labels = (parse(str(files[k]), raw[k]) for k in ("images", "labels"))
        if labels.ndim != 1 or len(labels) != len(images):
            raise UserError(
                f"{files['labels']}: has the shape {list(labels.shape)}, and "
                f"{files['images'].name} {list(images.shape)}. Good: a label for each image."
            )
        if images.ndim == 3:
            images = images[..., None]  # Of one channel.
        digits = [str(one) for one in labels.tolist()]
        return ArrayTable(
            images, digits, (), digest(raw["images"], raw["labels"]), str(files["images"])
        )


def parse(path: str, raw: bytes) -> np.ndarray:
    """Return the array of an idx file.

    Args:
      path: of the file, for messages; one that ends with .gz is compressed.
      raw: its bytes.

    Raises:
      UserError: it is none, or shorter or longer than its head says.
    """
    if path.endswith(".gz"):
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(
                f"{path}: damaged, or cut short at {len(raw):,} bytes: it cannot be unpacked "
                f"({error}). Good: the file fetched again."
            ) from None
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _TYPES or not raw[3]:
        raise UserError(
            f"{path}: is no idx file: it begins with {raw[:4].hex(' ') or 'nothing'}. Good: as "
            "00 00 08 03 for images."
        )
    kind, axes = np.dtype(_TYPES[raw[2]]), raw[3]
    head = 4 + 4 * axes
    if len(raw) < head:
        raise UserError(
            f"{path}: cut short: its head alone takes {head} bytes, and it has {len(raw)}. Good: "
            "the file fetched again."
        )
    shape = tuple(np.frombuffer(raw[4:head], ">i4").tolist())
    wanted = head + math.prod(shape) * kind.itemsize
    if min(shape) < 1 or len(raw) != wanted:
        raise UserError(
            f"{path}: {'cut short' if len(raw) < wanted else 'damaged'}: its head says "
            f"{list(shape)}, which takes {wanted:,} bytes, and it has {len(raw):,}. Good: the file "
            "fetched again."
        )
    return np.frombuffer(raw, kind, offset=head).reshape(shape).astype(kind.newbyteorder("="))
