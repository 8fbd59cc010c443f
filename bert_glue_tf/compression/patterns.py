"""Patterns: which weights of a block stay, one of a small set that is fitted to many blocks."""

from __future__ import annotations

import numpy as np


def fitting_patterns(blocks: np.ndarray, kept: int, count: int) -> np.ndarray:
    """Return the patterns that fit most blocks: most often a block's best weights.

    Args:
      blocks: float [blocks, weights of a block], scores, of either sign.
      kept: weights that a pattern keeps.
      count: patterns to return, at most.

    Returns:
      bool [patterns, weights of a block].
    """
    size = blocks.shape[1]
    largest = np.argpartition(-np.abs(blocks), kept - 1, axis=1)[:, :kept]
    own = np.zeros(blocks.shape, bool)
    np.put_along_axis(own, largest, True, axis=1)
    found, counts = np.unique(np.packbits(own, axis=1), axis=0, return_counts=True)
    # A stable order, so that every replica and every resumed run finds the same ones.
    best = found[np.argsort(-counts, kind="stable")[:count]]
    return np.unpackbits(best, axis=1, count=size).astype(bool)


def best_patterns(blocks: np.ndarray, patterns: np.ndarray) -> np.ndarray:
    """Return for each block the pattern of the largest L2 norm: bool of the blocks' shape."""
    energy = np.square(blocks) @ patterns.T.astype(blocks.dtype)
    return patterns[np.argmax(energy, axis=1)]
