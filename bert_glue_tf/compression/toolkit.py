"""tensorflow-model-optimization (`tfmot`), imported without Keras 3.

Its pruning registry asks for `keras.engine`, which Keras 2 had, and does without where that cannot
be imported. With the Keras 3 that comes with TensorFlow it never can, but to find that out all of
Keras 3 is imported, and scikit-learn with it where that is installed: a fifth of the time that a
command needs to start.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def _without_keras_3() -> Iterator[None]:
    """Let `import keras` fail at once inside of the block, unless it was imported before."""
    modules: dict[str, Any] = sys.modules
    if "keras" in modules:
        yield
        return
    modules["keras"] = None  # How Python marks a module that is not to be imported.
    try:
        yield
    finally:
        del modules["keras"]


with _without_keras_3():
    import tensorflow_model_optimization as tfmot

__all__ = ["tfmot"]
