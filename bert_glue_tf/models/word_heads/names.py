"""The names of the heads. Nothing here needs TensorFlow."""

from __future__ import annotations

import functools
import pathlib

DEFAULT = "linear"
# For texts that have one answer as a whole, which no head of words gives.
NO_WORDS = ""
SEQUENCES, WORD_HEAD = "sequences", "word_head"  # Names of layers.
# Heads that hand the encoder's output on as it is, so that no file computes them and the classifier
# reads the encoder: one learns single tokens, the other one a chain.
CRF = "crf"
PLAIN = (DEFAULT, CRF)
_OTHERS = ("__init__", "names", "registry", "sequences", "steps")


@functools.cache
def names() -> tuple[str, ...]:
    """Return the names of the heads, the default first."""
    found = {path.stem for path in pathlib.Path(__file__).parent.glob("*.py")}
    return (DEFAULT, *sorted(found - {*_OTHERS, DEFAULT}))
