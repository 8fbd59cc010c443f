"""The distance of a file's answer from the one that a golden example holds."""

from __future__ import annotations

import numpy as np

from bert_glue_tf.serving.kinds.base import DifferentError


def of(found: np.ndarray, wanted: np.ndarray, tolerance: float, output: str) -> tuple[float, float]:
    """Return the largest difference, and the largest that is allowed.

    Args:
      found, wanted: the outputs of an example, of one shape.
      tolerance: by how much an output up to 1 may differ.
      output: what they are called.

    Raises:
      DifferentError: the difference is larger.
    """
    difference = float(np.max(np.abs(found - wanted)))
    allowed = tolerance * max(1.0, float(np.max(np.abs(wanted))))
    if not difference <= allowed:
        raise DifferentError(
            f"its {output} by {difference:.1e}, and {allowed:.1e} is what other processors "
            "do. Either LiteRT computes otherwise on this machine, or the file is damaged: copy it "
            "again."
        )
    return difference, allowed
