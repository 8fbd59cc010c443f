"""Values that a teacher has for each token, as a training reads them: from disk, by batches."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class TokenRows:
    """Values of the first tokens of n texts, with as many rows for a text as it has tokens.

    Of the texts of a batch it gives one array, and so stands for the target of a batch.

    Attributes:
      rows: [total, ...], those of all texts one after the other; mapped from a file.
      row_splits: int64 [n + 1]; text i has `rows[row_splits[i]:row_splits[i + 1]]`.
      room: rows of a batch where all batches have the same shape, as a TPU needs it; else 0, for
        as many as its texts have tokens.
    """

    rows: np.ndarray
    row_splits: np.ndarray
    room: int = 0

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """The tokens of each text, int32 [n]."""
        return np.diff(self.row_splits).astype(np.int32)

    def __len__(self) -> int:
        return len(self.row_splits) - 1

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """Return the rows of some texts, one text after the other, and zeros up to `room`.

        Args:
          indices: int64 [b].

        Returns:
          [m, ...] of the dtype of `rows`.
        """
        found = self.rows[self.places(indices)]
        if not self.room:
            return found
        filled = np.zeros((self.room, *found.shape[1:]), found.dtype)
        filled[: len(found)] = found
        return filled

    def places(self, indices: np.ndarray) -> np.ndarray:
        """Return which rows some texts have, int64 [m]."""
        lengths = self.lengths[indices]
        before = np.cumsum(lengths) - lengths
        return np.arange(lengths.sum()) + np.repeat(self.row_splits[indices] - before, lengths)

    def signature(self) -> tf.TensorSpec:
        """Return shape and dtype of what a batch is given."""
        import tensorflow as tf

        return tf.TensorSpec([self.room or None, *self.rows.shape[1:]], self.rows.dtype)
