"""Memory of large objects that sit in reference cycles, as Keras's and TensorFlow's models do."""

from __future__ import annotations

import ctypes
import gc

# Bytes. Of smaller objects Python gets rid by itself before long, and looking for them takes a
# third of a second in a process with TensorFlow.
_SMALL = 1 << 26


def collect(size: int) -> None:
    """Look for reference cycles that nobody holds any more, if they are worth it.

    Args:
      size: of what may be in them, in bytes.
    """
    if size > _SMALL:
        gc.collect()
        _give_back()


def _give_back() -> None:
    """Give what was freed back to the system, where the C library has a function for it (glibc)."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
