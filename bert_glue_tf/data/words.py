"""The words of texts whose words have an answer each, and the word pieces that they are of.

TensorFlow is imported inside the functions that need it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core import lazy
from bert_glue_tf.data.truncation import cut

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
else:
    np = lazy.module("numpy")  # Commands import this module with their flags.


# Spaces that do not break hold a word together, as between a number and its unit.
_WORD = re.compile("[\\S\N{NO-BREAK SPACE}\N{FIGURE SPACE}\N{NARROW NO-BREAK SPACE}]+")


def between_blanks(text: str) -> list[str]:
    """Return the words of a text whose words have an answer each: what stands between blanks.

    A space that does not break is no blank; where nothing else stands there is no word.
    """
    return [word for word in _WORD.findall(text) if word.strip()]


@dataclasses.dataclass(frozen=True)
class Words:
    """The words that tokens are of.

    Attributes:
        numbers: int32 [total], the number of each token's word within its text, from 0; -1 for a
            token that is of none, as `[CLS]`.
        counts: int32 [n], the words of each text, those included that were cut off.
    """

    numbers: np.ndarray
    counts: np.ndarray


def in_pieces(tokenizer: Any, texts: list[bytes]) -> tf.RaggedTensor:
    """Return pieces [batch, (words), (pieces)] of the words between single blanks.

    A tokenizer splits at blanks first of all, so that the pieces are those of the whole text.
    """
    import tensorflow as tf

    words = [text.split(b" ") for text in texts]
    flat = [word for text in words for word in text]
    pieces = tokenizer(np.array(flat, dtype=object)).merge_dims(-2, -1)
    return tf.RaggedTensor.from_row_lengths(pieces, list(map(len, words)))


def laid(pieces: tf.RaggedTensor, limit: int, truncation: str) -> Words:
    """Return the words of texts as they are packed, between [CLS] and [SEP].

    Args:
        pieces: [batch, (words), (pieces)], before they are cut.
        limit: pieces of a text that stay.
        truncation: one of `truncation.TRUNCATIONS`.
    """
    import tensorflow as tf

    counts = pieces.row_lengths()
    numbers = tf.ragged.range(counts)
    each = tf.repeat(numbers.values, pieces.values.row_lengths())
    flat = pieces.merge_dims(-2, -1).with_values(each)
    (kept,) = cut([flat], limit, truncation)
    none = tf.fill([len(counts), 1], tf.constant(-1, kept.dtype))
    packed = tf.concat([none, kept, none], axis=1).values
    return Words(packed.numpy().astype(np.int32), counts.numpy().astype(np.int32))


def joined(batches: Sequence[Words]) -> Words:
    """Return the words of some batches in a row."""
    empty = np.zeros(0, np.int32)
    return Words(
        np.concatenate([empty, *(batch.numbers for batch in batches)]),
        np.concatenate([empty, *(batch.counts for batch in batches)]),
    )
