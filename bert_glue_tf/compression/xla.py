"""Functions that XLA compiles into one pass over their arrays, where it can."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from absl import logging

from bert_glue_tf.core import lazy, quiet

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy.module("tensorflow")


@functools.cache
def can_compile() -> bool:
    """Return whether XLA works on this machine's first device; asked before a graph is built.

    What XLA tells of the first compilation of a process is kept off the terminal.
    """
    try:
        with quiet.native_output(), tf.init_scope():
            tf.function(tf.negative, jit_compile=True)(tf.constant(0.0))
    except (tf.errors.OpError, ValueError) as error:  # As a GPU without CUDA's libdevice.
        logging.warning(
            "XLA compiles nothing here (%s): a pruning that learns its scores takes longer",
            str(error).splitlines()[0][:120],
        )
        return False
    return True


class Compiled:
    """A function that XLA compiles when it is called for the first time.

    Args:
      function: of tensors (no variables: each would be compiled for) and plain values.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        functools.update_wrapper(self, function)

    @functools.cached_property
    def jitted(self) -> Any:
        """The function as TensorFlow compiles it."""
        return tf.function(self._function, jit_compile=True)

    def __call__(self, *arguments: Any) -> Any:
        return (self.jitted if can_compile() else self._function)(*arguments)
