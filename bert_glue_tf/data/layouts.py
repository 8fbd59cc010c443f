"""Layouts: how the texts of a batch lie in arrays, padded or packed.

A layout turns the numbers of some texts into features, and says which shapes these have. Training,
scoring and prediction ask it and not each other: what builds a model takes `inputs`, what traces
it takes `signature`, what feeds it takes `features`. A new layout is one subclass.

TensorFlow is imported inside the function that needs it: scoring an exported file does not.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bert_glue_tf.data import packing, preprocessing
from bert_glue_tf.data.modality import BUCKETS, TEXTS, Encoded, Modality
from bert_glue_tf.data.modality import bucket_lengths as bucket_lengths
from bert_glue_tf.data.preprocessing import TokenizedTexts
from bert_glue_tf.data.settings import WIDTH_STEP

if TYPE_CHECKING:
    import tensorflow as tf

# Widths of a row that are compared, and on how many batches: enough to tell them apart.
_TRIED_WIDTHS, _TRIED_BATCHES = 4, 100


@dataclasses.dataclass(frozen=True)
class Layout(abc.ABC):
    """Lays the texts of a batch into arrays.

    Attributes:
      parts: every array can be cut along its first axis into so many equal parts, each a batch of
        its own: what a replica computes.
      size: a batch is filled up to so many texts; 0 for what the parts can share.
    """

    parts: int = 1
    size: int = 0

    @property
    @abc.abstractmethod
    def lengths_differ(self) -> bool:
        """Tell whether the examples that it lays have different lengths."""

    @property
    @abc.abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """Return the names of the features."""

    @property
    @abc.abstractmethod
    def is_static(self) -> bool:
        """Tell whether all batches have the same shapes, as a TPU needs it."""

    @abc.abstractmethod
    def batches(self, lengths: np.ndarray, size: int) -> list[np.ndarray]:
        """Divide the texts of a split for scoring, where the order does not matter.

        Args:
          lengths: int [n], tokens of each text.
          size: texts a batch.

        Returns:
          int64 [b] each, every text in exactly one of them.
        """

    def features(self, tokens: Encoded, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Return the features of some texts, filled up with the shortest of them.

        Args:
          tokens: of a split.
          indices: int64 [b], which texts; those of a model's answers, [b or more], begin alike.

        Raises:
          ValueError: a text is too long.
        """
        filled, _ = fill_up(indices, tokens.lengths, self.parts, self.size)
        return self._laid(tokens, filled)

    @abc.abstractmethod
    def _laid(self, tokens: Encoded, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Return the features of texts whose number the parts can share."""

    def positions(self, lengths: np.ndarray) -> int:
        """Return how many positions the arrays of a batch have, padding included.

        Args:
          lengths: int [b], tokens of each text, as many as the parts can share.
        """
        return sum(self._part_positions(part) for part in np.split(lengths, self.parts))

    @abc.abstractmethod
    def _part_positions(self, lengths: np.ndarray) -> int:
        """Return the positions of one part's arrays."""

    @abc.abstractmethod
    def holding(self, splits: Sequence[np.ndarray], size: int) -> Layout:
        """Return this layout, large enough for every batch that it makes of some splits.

        Args:
          splits: int [n] each, tokens of each text.
          size: texts a batch.
        """

    @abc.abstractmethod
    def signature(self) -> dict[str, tf.TensorSpec]:
        """Return name -> shape and dtype of the features; None where a size may differ."""

    @abc.abstractmethod
    def describe(self) -> str:
        """Return the layout in words, which follow "texts are"."""


@dataclasses.dataclass(frozen=True)
class Padded(Layout):
    """One text a row, padded to the smallest of a few lengths that holds all of the batch.

    Attributes:
      lengths: that a row may have, ascending (`bucket_lengths`).
      modality: of the examples, which are texts or what else has rows of some lengths.
      moves_up: where a length has too few texts for a batch, they join those of the next longer
        one in scoring, which makes the fewest batches. Without it every text has the smallest
        length that holds it, which is the fastest where a model takes one text at a time.
    """

    lengths: tuple[int, ...] = BUCKETS
    moves_up: bool = True
    modality: Modality = TEXTS

    @property
    def lengths_differ(self) -> bool:
        return self.modality.lengths_differ

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.modality.inputs

    @property
    def is_static(self) -> bool:
        return len(self.lengths) == 1 and self.size > 0

    def batches(self, lengths: np.ndarray, size: int) -> list[np.ndarray]:
        preprocessing.require_fitting(lengths, self.lengths[-1])
        bucket_of = np.searchsorted(np.asarray(self.lengths), lengths)
        found: list[np.ndarray] = []
        waiting = np.empty(0, np.int64)
        for bucket in range(len(self.lengths)):
            waiting = np.concatenate([waiting, np.flatnonzero(bucket_of == bucket)])
            is_last = bucket == len(self.lengths) - 1 or not self.moves_up
            while len(waiting) >= size or (is_last and len(waiting)):
                found.append(waiting[:size])
                waiting = waiting[size:]
        return found

    def _laid(self, tokens: Encoded, indices: np.ndarray) -> dict[str, np.ndarray]:
        return tokens.batch(indices, self._length(tokens.lengths[indices]))

    def _length(self, lengths: np.ndarray) -> int:
        """Return the smallest length that holds these texts."""
        preprocessing.require_fitting(lengths, self.lengths[-1])
        longest = lengths.max(initial=0)
        return self.lengths[int(np.searchsorted(np.asarray(self.lengths), longest))]

    def positions(self, lengths: np.ndarray) -> int:
        return len(lengths) * self._length(lengths)  # One length for all parts.

    def _part_positions(self, lengths: np.ndarray) -> int:
        return len(lengths) * self._length(lengths)

    def holding(self, splits: Sequence[np.ndarray], size: int) -> Padded:
        return self  # Its lengths are those that a text can have.

    def signature(self) -> dict[str, tf.TensorSpec]:
        length = self.lengths[0] if len(self.lengths) == 1 else None
        return self.modality.signature(self.size or None, length)

    def describe(self) -> str:
        if len(self.lengths) == 1:
            return f"padded to {self.lengths[0]} positions"
        return "padded to the smallest of a few lengths that holds a batch"


@dataclasses.dataclass(frozen=True)
class Packed(Layout):
    """Several texts a row; see `packing`.

    Attributes:
      width: positions of a row; 0 for the smallest that holds the longest text of each batch.
      rows: of each part, where all batches have the same; 0 for as many as its texts need.
    """

    width: int = 0
    rows: int = 0

    @property
    def lengths_differ(self) -> bool:
        return True

    @property
    def inputs(self) -> tuple[str, ...]:
        return packing.INPUTS

    @property
    def is_static(self) -> bool:
        return self.rows > 0

    def batches(self, lengths: np.ndarray, size: int) -> list[np.ndarray]:
        # Where each batch has its own width, texts of one length go together.
        order = np.arange(len(lengths)) if self.width else np.argsort(lengths, kind="stable")
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _laid(self, tokens: Encoded, indices: np.ndarray) -> dict[str, np.ndarray]:
        assert isinstance(tokens, TokenizedTexts)  # Nothing else lies in rows of others.
        lengths = tokens.lengths[indices]
        width = self._width(lengths)
        cut = np.split(indices, self.parts)
        rows = max(self._rows(tokens.lengths[part], width) for part in cut)
        packed = [packing.pack(tokens, part, width, rows) for part in cut]
        return {name: np.concatenate([part[name] for part in packed]) for name in self.inputs}

    def _width(self, lengths: np.ndarray) -> int:
        return self.width or packing.row_width(int(lengths.max(initial=0)))

    def _rows(self, lengths: np.ndarray, width: int) -> int:
        needed = packing.first_fit_decreasing(lengths, width).count
        if self.rows and needed > self.rows:
            raise ValueError(f"texts that need {needed} rows do not fit into {self.rows}")
        return self.rows or needed

    def _part_positions(self, lengths: np.ndarray) -> int:
        width = self._width(lengths)
        return self._rows(lengths, width) * width

    def most_rows(self, lengths: np.ndarray, batches: Iterable[np.ndarray]) -> int:
        """Return how many rows hold every part of the batches: the one shape of a TPU.

        Args:
          lengths: int [n], tokens of each text of the split.
          batches: int64 [b] each.
        """
        found = 1
        for batch in batches:
            filled, _ = fill_up(batch, lengths, self.parts, self.size)
            for part in np.split(lengths[filled], self.parts):
                found = max(found, self._rows(part, self._width(part)))
        return found

    def holding(self, splits: Sequence[np.ndarray], size: int) -> Packed:
        if not self.is_static:
            return self
        longest = max(int(lengths.max(initial=0)) for lengths in splits)
        loose = Packed(self.parts, self.size, max(self.width, packing.row_width(longest)))
        rows = (loose.most_rows(lengths, loose.batches(lengths, size)) for lengths in splits)
        return dataclasses.replace(loose, rows=max(rows))

    def signature(self) -> dict[str, tf.TensorSpec]:
        import tensorflow as tf

        shape = (self.rows * self.parts or None, self.width or None)
        shapes = dict.fromkeys(self.inputs, shape) | {packing.FIRSTS: (self.size or None, 2)}
        return {name: tf.TensorSpec(shapes[name], tf.int32, name=name) for name in self.inputs}

    def describe(self) -> str:
        rows = f"{self.rows} rows" if self.rows else "rows"
        return f"packed into {rows} of {self.width} positions" if self.width else "packed"


def best_width(
    lengths: np.ndarray, batches: Sequence[np.ndarray], parts: int, positions: int
) -> int:
    """Return the width of packed rows that has the least padding, of a few that hold every text.

    A row that just holds the longest text is filled badly where most texts are about as long: of
    MRPC's positions 87 % hold a word piece in rows of 104, and 93 % in rows of 120. Attention over
    a row grows with its width, so that much wider ones would cost more than they save.

    Args:
      lengths: int [n], tokens of each text of the split.
      batches: int64 [b] each; the first of them are tried.
      parts: that a batch is cut into, each packed by itself.
      positions: of the encoder; no width is larger, unless the longest text needs it.
    """
    least = packing.row_width(int(lengths.max(initial=0)))
    step = WIDTH_STEP
    widths = [*range(least, min(least + _TRIED_WIDTHS * step, positions + 1), step)] or [least]
    tried = batches[:_TRIED_BATCHES]
    shares = [share_used(Packed(parts=parts, width=width), lengths, tried) for width in widths]
    return widths[int(np.argmax(shares))]


def fill_up(
    indices: np.ndarray, lengths: np.ndarray, replicas: int, size: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return examples and weights of a batch that can be cut into equal parts.

    What is added is the shortest of its texts, again and again: packed, it takes the least room.

    Args:
      indices: int64 [n], n at least 1.
      lengths: int, tokens of each text of the split.
      replicas: number of parts.
      size: the batch gets at least so many examples.

    Returns:
      int64 [m], and float32 [m]: m / n for the n examples, 0 for what was added.
    """
    size = math.ceil(max(size, len(indices)) / replicas) * replicas
    weights = np.zeros(size, np.float32)
    weights[: len(indices)] = size / len(indices)
    shortest = indices[np.argmin(lengths[indices])]
    return np.concatenate([indices, np.full(size - len(indices), shortest)]), weights


def share_used(
    layout: Layout, lengths: np.ndarray, batches: Sequence[np.ndarray], replicas: int = 1
) -> float:
    """Return the share of the positions of some batches that hold a token.

    What a batch is filled up with counts as padding.

    Args:
      layout: of the batches, or of the part of them that a replica lays by itself.
      lengths: int [n], tokens of each text of the split.
      batches: int64 [b] each, at least one.
      replicas: that share a batch.
    """
    parts, size = layout.parts * replicas, layout.size * replicas
    filled = [fill_up(batch, lengths, parts, size)[0] for batch in batches]
    laid = [part for batch in filled for part in np.split(batch, replicas)]
    positions = sum(layout.positions(lengths[part]) for part in laid)
    return float(sum(lengths[batch].sum() for batch in batches) / positions)
