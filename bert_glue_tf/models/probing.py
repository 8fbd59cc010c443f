"""A probe: a batch of random word pieces, by whose answers two text encoders are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bert_glue_tf.core import memory

OUTPUTS = ("pooled_output", "sequence_output")


def probe(vocab_size: int, batch: int = 3, length: int = 12) -> dict[str, np.ndarray]:
    """Return a batch of random tokens with padding and two segments: int32 [batch, length]."""
    random = np.random.default_rng(0)
    ids = random.integers(0, vocab_size, (batch, length))
    lengths = np.array([length, length - 3, length // 2])[:batch, None]
    mask = np.arange(length) < lengths
    types = mask & (np.arange(length) >= lengths // 2)
    return {
        "input_word_ids": np.where(mask, ids, 0).astype(np.int32),
        "input_mask": mask.astype(np.int32),
        "input_type_ids": types.astype(np.int32),
    }


def difference(left: Mapping[str, Any], right: Mapping[str, Any]) -> float:
    """Return the largest absolute difference of pooled and sequence output."""
    return max(
        float(np.max(np.abs(np.asarray(left[key]) - np.asarray(right[key])))) for key in OUTPUTS
    )


def collect(variables: Iterable[Any]) -> None:
    """Let go of a large model's copy of some variables, which sits in reference cycles."""
    size = sum((one.shape.num_elements() or 0) * one.dtype.size for one in variables)
    memory.collect(size)
