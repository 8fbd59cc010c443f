"""Arrays in an .npz file: X_train, y_train, X_test, y_test; or X, y and split, maybe labels."""

from __future__ import annotations

import io
import pathlib
import re
import zipfile
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

_SPLITS = ("train", "validation", "test")
# How files call a split, besides by our name.
_SPELLINGS = {"val": "validation", "valid": "validation", "dev": "validation"}
_GOOD = "Good: X_train, y_train, X_test and y_test; or X, y and split (train, val, test)"


class NpzFile:
    """An .npz file with the splits of a task, read once."""

    name = "npz"

    def __init__(self, path: pathlib.Path) -> None:
        """Take a file, which is read when it is asked for something."""
        self.path = str(path)
        self._file = path
        self._read: tuple[Mapping[str, np.ndarray], str] | None = None

    @classmethod
    def find(cls, folder: pathlib.Path) -> NpzFile | None:
        """Return the one .npz file in a folder; None where there is none.

        Raises:
          UserError: there are several.
        """
        found = sorted(folder.glob("*.npz"))
        if len(found) > 1:
            raise UserError(
                f"--data={folder}: holds {len(found)} .npz files ({found[0].name}, "
                f"{found[1].name}, ...). Good: --data=FILE.npz."
            )
        return cls(found[0]) if found else None

    def splits(self) -> Collection[str]:
        arrays, _ = self._arrays()
        if "split" in arrays:
            return {_split(str(one)) for one in np.unique(arrays["split"])}
        return [split for split in _SPLITS if self._names(arrays, split)]

    def look(self) -> tuple[tuple[str, ...], tuple[int, ...]]:
        return looked(self.read("train"))

    def read(self, split: str) -> ArrayTable:
        arrays, sha256 = self._arrays()
        if split not in self.splits():
            raise no_split(self.path, split, self.splits())
        if "split" in arrays:
            values, labels = self._require(arrays, "X"), self._require(arrays, "y")
            self._require_alike(values, labels, arrays["split"])
            chosen = np.array([_split(str(one)) == split for one in arrays["split"].tolist()])
            values, labels = values[chosen], labels[chosen]
        else:
            x, y = self._names(arrays, split)
            values, labels = arrays[x], self._require(arrays, y)
            self._require_alike(values, labels)
        self._require_numbers(values)
        known = tuple(str(one) for one in arrays.get("labels", np.array([], str)).tolist())
        return ArrayTable(values, self._classes(labels, known), known, sha256, self.path)

    def _names(self, arrays: Mapping[str, np.ndarray], split: str) -> tuple[str, ...]:
        """Return the names of a split's arrays and labels; empty where there are none."""
        spelt = [split, *(one for one, meant in _SPELLINGS.items() if meant == split)]
        return next(((f"X_{one}", f"y_{one}") for one in spelt if f"X_{one}" in arrays), ())

    def _classes(self, labels: np.ndarray, known: tuple[str, ...]) -> list[str]:
        """Return the class of each label: its name, or the label itself where there are none."""
        if labels.dtype.kind == "U":
            return [str(one) for one in labels.tolist()]
        if labels.dtype.kind not in "iu":
            raise UserError(f"{self.path}: y has the type {labels.dtype}. Good: whole numbers.")
        if not known:
            return [str(one) for one in labels.tolist()]
        if labels.min(initial=0) < 0 or labels.max(initial=0) >= len(known):
            raise UserError(
                f"{self.path}: y goes from {labels.min()} to {labels.max()}, and `labels` names "
                f"{len(known)} classes. Good: from 0 to {len(known) - 1}."
            )
        return [known[one] for one in labels.tolist()]

    def _require(self, arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
        if name not in arrays:
            has = ", ".join(arrays) or "none"
            raise UserError(f"{self.path}: has no array {name} (it has: {has}). {_GOOD}.")
        return arrays[name]

    def _require_alike(self, values: np.ndarray, *beside: np.ndarray) -> None:
        for other in beside:
            if other.shape != (len(values),):
                raise UserError(
                    f"{self.path}: {len(values):,} examples, and beside them an array of the shape "
                    f"{list(other.shape)}. Good: a label (and a split) for each example."
                )

    def _require_numbers(self, values: np.ndarray) -> None:
        if values.dtype.kind not in "iuf" or values.ndim < 2:
            raise UserError(
                f"{self.path}: X is {values.dtype} of the shape {list(values.shape)}. Good: "
                "numbers [examples, ...]."
            )
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            wrong = int(np.argmin(np.isfinite(values).reshape(len(values), -1).all(axis=1)))
            raise UserError(f"{self.path}: example {wrong} of X holds numbers that are not finite.")

    def _arrays(self) -> tuple[Mapping[str, np.ndarray], str]:
        if self._read is None:
            raw = read_bytes(self._file)
            held = arrays_of(self.path, raw, _GOOD)
            # As Keras's own mnist.npz has them: x_train.
            found = {re.sub("^x(?=_|$)", "X", name): value for name, value in held.items()}
            if not any(name == "X" or name.startswith("X_") for name in found):
                self._require(found, "X")
            self._read = found, digest(raw)
        return self._read


def arrays_of(name: str, raw: bytes, good: str) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file.

    Args:
      name: of the file, which begins the message.
      raw: its bytes.
      good: what would be good, as a sentence without a full stop.

    Raises:
      UserError: it is damaged, or holds something else than arrays of numbers and texts.
    """
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            return {one: file[one] for one in file.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"{name}: damaged, or no .npz file with arrays of numbers ({type(error).__name__}). "
            f"{good}."
        ) from None


def _split(spelt: str) -> str:
    """Return our name of a split."""
    return _SPELLINGS.get(spelt, spelt)
