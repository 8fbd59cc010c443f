"""Locks on files that the operating system gives back when their process ends."""

from __future__ import annotations

import fcntl
import os
import pathlib

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
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError as error:  # A network file system without locks.
        logging.warning(
            "%s: cannot be locked (%s), so a second process would not be noticed",
            path.parent,
            error.strerror,
        )
    _held[key] = descriptor


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
