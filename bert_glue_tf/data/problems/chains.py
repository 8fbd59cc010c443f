"""Chains of tags by the scores of a conditional random field (Lafferty et al. 2001), in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bert_glue_tf.core import lazy

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy.module("numpy")

# Rows of a table of transitions behind those of the tags: the tag behind the beginning, and before
# the end.
FIRST, LAST = -2, -1


def best(scores: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the chain with the highest score, int64 [words] (Viterbi 1967).

    Args:
      scores: float [words, tags] of each word's tags.
      table: float [tags + 2, tags], the scores of a tag behind another, `FIRST` and `LAST`.
    """
    behind = table[:-2]
    reached = table[FIRST] + scores[0]
    came_from = np.zeros(scores.shape, np.int64)
    for word in range(1, len(scores)):
        ways = reached[:, None] + behind
        came_from[word] = ways.argmax(axis=0)
        reached = ways.max(axis=0) + scores[word]
    chain = np.empty(len(scores), np.int64)
    chain[-1] = int(np.argmax(reached + table[LAST]))
    for word in range(len(scores) - 1, 0, -1):
        chain[word - 1] = came_from[word, chain[word]]
    return chain


def loss(scores: np.ndarray, tags: np.ndarray, table: np.ndarray) -> float:
    """Return the negative log-likelihood of a chain.

    Args:
      scores: float64 [words, tags], at least one word.
      tags: int [words].
      table: as for `best`.
    """
    from scipy import special  # Here, since a wrong flag is answered without it.

    behind = table[:-2]
    total = table[FIRST] + scores[0]
    for word in scores[1:]:
        total = special.logsumexp(total[:, None] + behind, axis=0) + word
    own = scores[np.arange(len(tags)), tags].sum() + behind[tags[:-1], tags[1:]].sum()
    own += table[FIRST, tags[0]] + table[LAST, tags[-1]]
    return float(special.logsumexp(total + table[LAST]) - own)
