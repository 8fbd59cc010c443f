"""What a model costs besides its score: bytes on disk, plain and compressed, and memory."""

from __future__ import annotations

import gzip
import pathlib
import resource
import sys

# Level 6 is gzip's own default, and so what a user gets who runs the command.
GZIP_LEVEL = 6
_CHUNK = 1 << 22


class _Counter:
    """A file that only counts what is written into it."""

    def __init__(self) -> None:
        self.bytes = 0

    def write(self, data: bytes) -> int:
        self.bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


def size_on_disk(path: pathlib.Path) -> dict[str, int]:
    """Bytes of a file, or of all files of a folder: {"plain": ..., "gzip": ...}.

    Each file is compressed by itself, and nothing is written.
    """
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    counter = _Counter()
    for file in files:
        with (
            file.open("rb") as source,
            gzip.GzipFile(
                filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=counter, mtime=0
            ) as sink,
        ):
            while chunk := source.read(_CHUNK):
                sink.write(chunk)
    return {"plain": sum(file.stat().st_size for file in files), "gzip": counter.bytes}


def peak_memory_bytes() -> int:
    """Largest resident set of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB.
