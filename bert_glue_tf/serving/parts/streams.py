"""The bytes of a part, packed or not: read in constant memory, and written whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import io
import pathlib
import re
import zlib
from collections.abc import Iterator
from typing import IO

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import reason, written_atomically
from bert_glue_tf.data.own.rows import decode
from bert_glue_tf.data.own.table import PACKED

_MARK = b"\xef\xbb\xbf"


def is_packed(path: pathlib.Path) -> bool:
    """Tell whether a file's name says that it is one of gzip."""
    return path.name.lower().endswith(PACKED)


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[IO[bytes]]:
    """Yield the bytes of a file, unpacked; what is read of them is read within `damage_told`.

    Raises:
      UserError: it cannot be opened.
    """
    try:
        file = gzip.open(path, "rb") if is_packed(path) else path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)}).") from None
    with file:
        yield file  # type: ignore[misc]


@contextlib.contextmanager
def damage_told(path: pathlib.Path) -> Iterator[None]:
    """Tell of a file that turns out to be damaged while the block reads it.

    Raises:
      UserError: it is cut short, no file of gzip, or cannot be read.
    """
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{path}: cut short, or no file of gzip ({error}). Good: the whole file."
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)}).") from None


def lines(path: pathlib.Path, file: IO[bytes]) -> Iterator[str]:
    """Yield the lines of a file in UTF-8, with their ends, as `csv.reader` takes them.

    Raises:
      UserError: a line is not UTF-8; the message names it.
    """
    for number, raw in enumerate(file, start=1):
        if number == 1:
            raw = raw.removeprefix(_MARK)
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            line = _decoded(path, number, raw)
        if "\r" in line[:-2]:  # A line of its own, where a very old program has ended it so.
            yield from re.split(r"(?<=\r)(?!\n)", line)
        else:
            yield line


def _decoded(path: pathlib.Path, number: int, raw: bytes) -> str:
    # The lines before it are empty for `decode`, so that its message counts them.
    return decode(str(path), b"\n" * (number - 1) + raw)


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[IO[bytes]]:
    """Yield a file that becomes `path`, packed by its name, when the block ends well.

    Raises:
      OSError: it cannot be written.
    """
    with written_atomically(path) as file:
        if not is_packed(path):
            yield file
            return
        # Without name and time, so that the same labels are the same bytes.
        with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
            buffered = io.BufferedWriter(packed, 1 << 16)
            yield buffered
            buffered.flush()
