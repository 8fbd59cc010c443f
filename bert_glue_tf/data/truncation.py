"""Which pieces of a long text a model reads: the first, the last, or both ends.

Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?" (https://arxiv.org/abs/1905.05583),
read 128 pieces of the head and 382 of the tail: a quarter and the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

HEAD, TAIL, HEAD_TAIL = "head", "tail", "head_tail"
TRUNCATIONS = (HEAD, TAIL, HEAD_TAIL)


def budgets(lengths: Sequence[tf.Tensor], limit: int) -> list[tf.Tensor]:
    """Return how many pieces of each segment are kept; the longest is cut first.

    Args:
      lengths: for one or two segments int [batch], their pieces.
      limit: pieces of all segments together.
    """
    import tensorflow as tf

    if len(lengths) == 1:
        return [tf.minimum(lengths[0], limit)]
    first, second = lengths
    # A graph takes the type of the numbers from their first one.
    limit = tf.cast(limit, first.dtype)
    half = limit // 2
    # A segment of less than half leaves its rest to the other; of an odd rest the first has more.
    return [
        tf.minimum(first, tf.maximum(limit - half, limit - second)),
        tf.minimum(second, tf.maximum(half, limit - first)),
    ]


def cut(segments: Sequence[tf.RaggedTensor], limit: int, truncation: str) -> list[tf.RaggedTensor]:
    """Return the segments with the pieces that are kept.

    Args:
      segments: one or two, int32 [batch, (pieces)].
      limit: pieces of all segments together.
      truncation: one of `TRUNCATIONS`.
    """
    import tensorflow as tf

    lengths = [segment.row_lengths() for segment in segments]
    kept = []
    for segment, length, budget in zip(segments, lengths, budgets(lengths, limit), strict=True):
        head = {HEAD: budget, TAIL: tf.zeros_like(budget), HEAD_TAIL: budget // 4}[truncation]
        # Of a segment that is not cut, all pieces are in the head or in the tail.
        place = tf.ragged.range(length)
        rows = segment.value_rowids()
        is_head = place.values < tf.gather(head, rows)
        is_tail = place.values >= tf.gather(length - (budget - head), rows)
        kept.append(tf.ragged.boolean_mask(segment, place.with_values(is_head | is_tail)))
    return kept
