"""The functions that make probabilities of logits, by name, and their inverses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bert_glue_tf.core import lazy

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy.module("numpy")

SOFTMAX, SIGMOID = "softmax", "sigmoid"


def of_logits(function: str, logits: np.ndarray) -> np.ndarray:
    """Return probabilities, float64 [n, width].

    Args:
      function: `SOFTMAX` or `SIGMOID`.
      logits: float [n, width].
    """
    from scipy import special  # Here, since a wrong flag is answered without it.

    values = logits.astype(np.float64)
    found: np.ndarray
    found = special.softmax(values, axis=-1) if function == SOFTMAX else special.expit(values)
    return found


def to_logits(function: str, probabilities: np.ndarray) -> np.ndarray:
    """Return logits, float32 [n, width], that have these probabilities.

    Those of a softmax are known but for a number that is added to all of a row: the logarithms
    stand for them.

    Args:
      function: that has made the probabilities.
      probabilities: float [n, width]; 0 and 1 count as the nearest numbers between them.
    """
    tiny = np.finfo(np.float32).tiny
    values = np.maximum(probabilities.astype(np.float64), tiny)
    if function == SIGMOID:
        # float32 holds no number between this and 1.
        above = np.maximum(1.0 - values, np.finfo(np.float32).epsneg / 2)
        return (np.log(values) - np.log(above)).astype(np.float32)
    return np.log(values).astype(np.float32)
