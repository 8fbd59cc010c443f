"""Packs several texts into each row of a batch, so that hardly a position is padding.

Padded to its longest, a batch of 32 of CoLA's sentences is to more than half padding. Packed, its
texts are laid one behind the other into rows of one width by first-fit decreasing (Johnson 1973,
"Near-optimal bin packing algorithms"), as Krell et al. 2021 do for pre-training ("Efficient
sequence packing without cross-contamination", https://arxiv.org/abs/2107.02027). A token reads the
tokens of its own text alone, positions begin anew in each text, and the encoder pools each text's
own first token, so that a batch of packed texts gives what the same texts give when padded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from bert_glue_tf.data import preprocessing
from bert_glue_tf.data.preprocessing import TokenizedTexts
from bert_glue_tf.data.settings import WIDTH_STEP

# The features of packed texts, in their order: int32 [rows, width], and the last one [texts, 2].
WORD_IDS, TYPE_IDS = "input_word_ids", "input_type_ids"
TEXTS = "input_texts"  # The number of a token's text within its row, from 1; 0 for padding.
POSITIONS = "input_positions"  # The place of a token in its text, from 0.
FIRSTS = "input_firsts"  # The row and the column of each text's first token.
INPUTS = (WORD_IDS, TYPE_IDS, TEXTS, POSITIONS, FIRSTS)


@dataclasses.dataclass(frozen=True)
class Places:
    """Where the texts of a batch lie.

    Attributes:
      rows: int64 [n], the row of each text.
      columns: int64 [n], the column of its first token.
      numbers: int64 [n], its number within the row, from 1.
      count: how many rows there are.
    """

    rows: np.ndarray
    columns: np.ndarray
    numbers: np.ndarray
    count: int


def row_width(longest: int) -> int:
    """Return the smallest good width of a row that holds a text of `longest` tokens."""
    return max(WIDTH_STEP, -(-longest // WIDTH_STEP) * WIDTH_STEP)


def first_fit_decreasing(lengths: Sequence[int] | np.ndarray, width: int) -> Places:
    """Lay texts into rows: the longest first, each into the first row that has the room.

    Args:
      lengths: int [n], tokens of each text.
      width: of a row.

    Raises:
      ValueError: a text is longer than a row.
    """
    lengths = np.asarray(lengths, np.int64)
    preprocessing.require_fitting(lengths, width)
    rows, columns, numbers = (np.zeros(len(lengths), np.int64) for _ in range(3))
    filled: list[int] = []
    held: list[int] = []
    # Stable, so that texts of one length stay in their order, on every machine.
    for text in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[text])
        row = next((row for row, used in enumerate(filled) if used + length <= width), len(filled))
        if row == len(filled):
            filled.append(0)
            held.append(0)
        held[row] += 1
        rows[text], columns[text], numbers[text] = row, filled[row], held[row]
        filled[row] += length
    return Places(rows, columns, numbers, len(filled))


def pack(
    tokens: TokenizedTexts, indices: Sequence[int] | np.ndarray, width: int, rows: int = 0
) -> dict[str, np.ndarray]:
    """Return the encoder's features of some texts, packed.

    Args:
      tokens: of a split.
      indices: int [n], which of its texts.
      width: positions of a row.
      rows: at least so many rows; further ones than the texts need hold padding.

    Returns:
      `INPUTS`: int32 [rows, width] each, and `FIRSTS` int32 [n, 2].

    Raises:
      ValueError: a text is longer than a row.
    """
    indices = np.asarray(indices, np.int64)
    lengths = tokens.lengths[indices]
    places = first_fit_decreasing(lengths, width)
    # Token by token: the text that it is of, its place in that text, and where it goes.
    text = np.repeat(np.arange(len(indices)), lengths)
    position = np.arange(len(text)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    source = tokens.row_splits[indices][text] + position
    target = (places.rows * width + places.columns)[text] + position

    def laid(values: np.ndarray, padding: int = 0) -> np.ndarray:
        flat = np.full(max(rows, places.count) * width, padding, np.int32)
        flat[target] = values
        return flat.reshape(-1, width)

    return {
        WORD_IDS: laid(tokens.ids[source], tokens.padding_id),
        TYPE_IDS: laid(tokens.type_ids[source]),
        TEXTS: laid(places.numbers[text]),
        POSITIONS: laid(position),
        FIRSTS: np.stack([places.rows, places.columns], axis=1).astype(np.int32),
    }
