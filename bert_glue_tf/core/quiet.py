"""Blocks in which what C++ libraries and tools print is kept off the user's terminal."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def native_output() -> Iterator[None]:
    """Withhold standard output and error at the level of file descriptors.

    TensorFlow's converter and LiteRT write notes there ("Created TensorFlow Lite XNNPACK
    delegate for CPU") that no setting turns off. If the block raises, what was withheld is
    written to standard error, for it may hold the reason.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = {number: os.dup(number) for number in (1, 2)}
    with tempfile.TemporaryFile() as withheld:
        try:
            for number in saved:
                os.dup2(withheld.fileno(), number)
            yield
            failed = False
        except BaseException:
            failed = True
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in saved.items():
                os.dup2(copy, number)
                os.close(copy)
            if failed:
                withheld.seek(0)
                sys.stderr.write(withheld.read().decode(errors="replace"))


@contextlib.contextmanager
def tools() -> Iterator[None]:
    """Withhold what the converter and the quantizer print: progress bars, notes, warnings."""
    with native_output(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


@contextlib.contextmanager
def retracing() -> Iterator[None]:
    """Withhold TensorFlow's warning that one function is traced again and again.

    It knows functions by their place in memory, so that it takes several models, each of which is
    traced once and given up before the next one is made, for one function.
    """

    def keep(record: logging.LogRecord) -> bool:
        return "triggered tf.function retracing" not in record.getMessage()

    logger = logging.getLogger("tensorflow")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
