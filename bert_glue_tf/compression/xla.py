"""Functions that XLA compiles into one pass over their arrays, where it can."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from absl import logging

from bert_glue_tf.core import quiet


@functools.cache
def can_compile() -> bool:
    """Whether XLA works on this machine's first device; asked before a graph is built.

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


def compiled(any_shape: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compiles a function of tensors (no variables: each would be compiled for) and plain values.

    Args:
      any_shape: whether it is called outside of a graph and reads no static shape. It is then not
        traced for each shape, which TensorFlow would warn of from the fifth on.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        jitted = tf.function(function, jit_compile=True, reduce_retracing=any_shape)

        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            return (jitted if can_compile() else function)(*arguments)

        call.jitted = jitted  # type: ignore[attr-defined]
        return call

    return decorate
