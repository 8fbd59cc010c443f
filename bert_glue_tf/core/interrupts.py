"""Ctrl-C and SIGTERM: kept while compiled modules are imported, and one like the other in work."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the block ends, and then let them have their effect.

    The first import of a compiled module (`numpy.random`, LiteRT) can swallow a KeyboardInterrupt
    that is raised within it, or turn it into an ImportError: the command would go on, or end with
    a traceback. In other threads than the main one, which gets no signals, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def note(number: int, frame: object) -> None:
        caught.append(number)

    earlier = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            # None: set by other code than Python's, which cannot be set again from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if caught:
            signal.raise_signal(caught[0])


@contextlib.contextmanager
def terminating() -> Iterator[None]:
    """End the block on SIGTERM, as job schedulers send it, as on Ctrl-C.

    In other threads than the main one, which gets no signals, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)
