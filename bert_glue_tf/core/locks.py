"""Locks on files that the operating system gives back when their process ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator

from absl import logging

# Descriptors of the lock files that this process holds until it ends, by device and inode.
_held: dict[tuple[int, int], int] = {}


def hold(path: pathlib.Path) -> None:
    """Take the lock of a file, made where it is missing, for as long as the process lives.

    A process may ask again for a lock that it holds. On a file system without locks, a warning
    says that a second process would not be noticed.

    Raises:
      BlockingIOError: another process holds it.
      OSError: the file cannot be opened for writing.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    key = _key(os.fstat(descriptor))
    if key in _held:
        os.close(descriptor)
        return
    try:
        _lock(descriptor, path)
    except BlockingIOError:
        os.close(descriptor)
        raise
    _held[key] = descriptor


@contextlib.contextmanager
def holding(path: pathlib.Path) -> Iterator[None]:
    """Hold the lock of a file, made where it is missing, for the block.

    On a file system without locks the block runs without one, with a warning.

    Raises:
      BlockingIOError: somebody holds it, this process included.
      OSError: the file cannot be opened for writing.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def is_free(path: pathlib.Path) -> bool:
    """Tell whether the lock of a file was given back: not where that cannot be known."""
    try:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # Held, gone, of another user, or on a file system without locks.
        return False
    return True


def _lock(descriptor: int, path: pathlib.Path) -> None:
    """Lock an open file, or warn where its file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        logging.warning(
            "%s: cannot be locked (%s), so a second process would not be noticed",
            path.parent,
            error.strerror,
        )


def hand_over(path: pathlib.Path) -> int:
    """Return the descriptor of a lock that this process holds, for another process to `adopt`.

    The lock is held as long as any process has the descriptor open: it is passed to a new
    process, which calls `adopt`, and closed here.
    """
    return _held.pop(_key(os.stat(path)))


def adopt(descriptor: int) -> None:
    """Take over the lock that the process was started with; see `hand_over`."""
    os.set_inheritable(descriptor, False)
    _held[_key(os.fstat(descriptor))] = descriptor


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
