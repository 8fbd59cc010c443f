"""Files that are replaced as a whole, and their checksums."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator
from typing import IO


def write_atomically(path: pathlib.Path, content: str | bytes) -> None:
    """Replace a file as a whole: a reader sees the old content or the new.

    Args:
      path: the file; its folder is made where it is missing.
      content: text is written in UTF-8.

    Raises:
      OSError: the file cannot be written.
    """
    with written_atomically(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def written_atomically(path: pathlib.Path) -> Iterator[IO[bytes]]:
    """Yield a file that becomes `path` as a whole when the block ends well; else nothing stays.

    Args:
      path: the file; its folder is made where it is missing.

    Raises:
      OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner may read.
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise


def is_half_written(name: str, whole: str) -> bool:
    """Return whether `name` is a temporary file of `written_atomically` for the file `whole`."""
    return re.fullmatch(rf"\.{re.escape(whole)}\.[a-z0-9_]{{8}}", name) is not None


def sha256(path: pathlib.Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def reason(error: OSError | ValueError) -> str:
    """Return the cause of an error of the file system, without its number and path."""
    return getattr(error, "strerror", None) or str(error)
