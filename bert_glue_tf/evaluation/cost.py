"""The cost of a model besides its score: bytes on disk, plain and compressed, time and memory."""

from __future__ import annotations

import os
import pathlib
import resource
import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.random  # Else NumPy imports it within a session, at its first use.

# Level 6 is gzip's own default, and so what a user gets who runs the command.
GZIP_LEVEL = 6
_CHUNK = 1 << 22
_THREADS = min(os.cpu_count() or 1, 8)  # More would hold more of a large file at a time.
_WINDOW = 1 << 15  # Bytes that deflate looks back.
_GZIP_FRAME = 18  # Bytes of a gzip file's header, without a name, and of its end.
WARMUP = 5  # Calls before those that are timed.


def size_on_disk(path: pathlib.Path) -> dict[str, int]:
    """Return the bytes of a file, or of all files of a folder: {"plain": ..., "gzip": ...}.

    Each file is compressed by itself, and nothing is written.
    """
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    with ThreadPoolExecutor(_THREADS) as threads:
        compressed = sum(_gzipped(file, threads) for file in files)
    return {"plain": sum(file.stat().st_size for file in files), "gzip": compressed}


def _gzipped(file: pathlib.Path, threads: ThreadPoolExecutor) -> int:
    """Return the bytes of a gzipped file.

    Pieces of it are compressed at the same time, each with the end of the one before as its
    dictionary, as the program pigz does: the parts of one valid file, which is larger than gzip's
    own by a few bytes for each piece.
    """
    total, dictionary, is_last = _GZIP_FRAME, b"", False
    with file.open("rb") as source:
        waiting = source.read(_CHUNK)
        while not is_last:
            # As many as there are threads, so that a large file is never held whole.
            pieces: list[Future[int]] = []
            while len(pieces) < _THREADS and not is_last:
                piece, waiting = waiting, source.read(_CHUNK)
                is_last = not waiting
                pieces.append(threads.submit(_deflated, piece, dictionary, is_last))
                dictionary = piece[-_WINDOW:]
            total += sum(piece.result() for piece in pieces)
    return total


def _deflated(piece: bytes, dictionary: bytes, is_last: bool) -> int:
    """Return the bytes of a piece of a file as a part of its compressed form."""
    made = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=dictionary)
    end = zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH
    return len(made.compress(piece)) + len(made.flush(end))


def peak_memory_bytes() -> int:
    """Return the largest resident set of this process so far, in bytes."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        # Not getrusage's figure: on Linux a process inherits it from the one that started it.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts in bytes.


def interleaved_seconds(
    calls: Mapping[str, Callable[[], object]],
    repetitions: int,
    warmup: int = WARMUP,
    *,
    clock: Callable[[], float] = time.perf_counter,
    after_turn: Callable[[], object] = lambda: None,
) -> dict[str, np.ndarray]:
    """Time calls in turns, so that whatever else the machine does meets all of them alike.

    Each turn has an order of its own, drawn with a fixed seed: a call finds the caches and the
    clock rate of the processor as the one before has left them, and with one order for all turns
    it would always be the same one.

    Args:
      calls: name -> what is timed.
      repetitions: timed calls of each.
      warmup: calls of each before.
      clock: tells the time in seconds.
      after_turn: called after each turn, the warmup included, outside of what is timed.

    Returns:
      name -> float64 [repetitions], the seconds of each turn.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    names, random = list(calls), np.random.default_rng(0)
    for turn in range(warmup + repetitions):
        for place in random.permutation(len(names)):
            name = names[place]
            start = clock()
            calls[name]()
            if turn >= warmup:
                seconds[name].append(clock() - start)
        after_turn()
    return {name: np.array(values) for name, values in seconds.items()}


def that_add_up(seconds: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the milliseconds of each call, which are the sum of those of its parts.

    They are means over the half of the turns that took least, so that all are of the same turns,
    also where the machine changes its pace between them; medians are not. One factor brings all of
    them to the turn in the middle, at whose level the medians are.

    Args:
      seconds: as `interleaved_seconds` gives them.
    """
    turns = np.sum(list(seconds.values()), axis=0)
    quick = np.argsort(turns, kind="stable")[: max(1, len(turns) // 2)]
    factor = 1e3 * np.median(turns) / np.mean(turns[quick])
    return {name: float(factor * np.mean(values[quick])) for name, values in seconds.items()}


def interleaved_latency(
    calls: Mapping[str, Callable[[], object]],
    repetitions: int,
    warmup: int = WARMUP,
    *,
    clock: Callable[[], float] = time.perf_counter,
    after_turn: Callable[[], object] = lambda: None,
) -> dict[str, dict[str, float]]:
    """Time calls in turns, as `interleaved_seconds` does, and summarise the times of each.

    Args:
      calls, repetitions, warmup, clock, after_turn: as there.

    Returns:
      name -> {"p50", "p90", "min"}, milliseconds.
    """
    seconds = interleaved_seconds(calls, repetitions, warmup, clock=clock, after_turn=after_turn)
    return {
        name: {
            "p50": float(1e3 * np.median(values)),
            "p90": float(1e3 * np.quantile(values, 0.9)),
            "min": float(1e3 * np.min(values)),
        }
        for name, values in seconds.items()
    }
