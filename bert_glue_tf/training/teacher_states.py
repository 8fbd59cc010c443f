"""The states of a teacher's layers, as a training reads them: an array on disk, batch by batch."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class TokenStates:
    """States of the first tokens of n texts, as many as the longest text has; indexed by text.

    Of the texts of a batch it gives an array, and so stands for an array [n, tokens, ...].

    Attributes:
      rows: float16 [total, layers, hidden], those of all texts one after the other, each of
        length 1; mapped from a file.
      row_splits: int64 [n + 1]; text i has `rows[row_splits[i]:row_splits[i + 1]]`.
    """

    rows: np.ndarray
    row_splits: np.ndarray

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """The tokens of each text, int32 [n]."""
        return np.diff(self.row_splits).astype(np.int32)

    @functools.cached_property
    def tokens(self) -> int:
        """The tokens of the longest text."""
        return int(self.lengths.max(initial=1))

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (n, tokens, layers, hidden)."""
        return (len(self), self.tokens, *self.rows.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """Return float16."""
        return self.rows.dtype

    def __len__(self) -> int:
        return len(self.row_splits) - 1

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """Return the states of some texts, zeros behind each one's last token.

        Args:
          indices: int64 [b].

        Returns:
          float16 [b, tokens, layers, hidden].
        """
        places, is_there = self.places(indices)
        found = np.zeros((len(indices), *self.shape[1:]), self.dtype)
        found[is_there] = self.rows[places]
        return found

    def places(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of some texts, int64 [m], and which tokens they are, bool [b, tokens]."""
        offsets = np.arange(self.tokens)
        is_there = offsets < self.lengths[indices][:, None]
        return (self.row_splits[indices][:, None] + offsets)[is_there], is_there


@dataclasses.dataclass(frozen=True)
class LayerStates:
    """The states that layers of a student learn from layers of its teacher.

    Attributes:
      layers: of the student, from 1.
      states: of the teacher's layers.
      are_whole: for each layer, whether the student computes all of its tokens; of the others, as
        the last one of packed texts, only the first token is learned.
      weight: of the distance in the loss.
    """

    layers: Sequence[int]
    states: TokenStates
    are_whole: Sequence[bool]
    weight: float
