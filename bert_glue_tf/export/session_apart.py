"""A session in which files are timed, in a process without TensorFlow."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bert_glue_tf.export import apart, benchmark
from bert_glue_tf.export.timings import Timing


def session(
    files: Sequence[benchmark.File], length: int, *, threads: int, repetitions: int
) -> list[Timing]:
    """Time files in turns as `benchmark.session` does, in a process of its own.

    Args:
      files: to be timed; path, run and recipe of each count.
      length: in word pieces.
      threads: of LiteRT.
      repetitions: timed runs of each file.

    Returns:
      The lines, in the order of the files.

    Raises:
      UserError: as `benchmark.session`.
    """
    given = {
        "files": [[str(file.path), file.run, file.recipe] for file in files],
        "length": length,
        "threads": threads,
        "repetitions": repetitions,
    }
    return [Timing.from_line(line) for line in apart.call(__name__, given)]


def _answer(given: Mapping[str, Any]) -> list[str]:
    """Return the lines of a session."""
    files = [
        benchmark.File(pathlib.Path(path), run, recipe) for path, run, recipe in given["files"]
    ]
    found = benchmark.session(
        files, [given["length"]], threads=given["threads"], repetitions=given["repetitions"]
    )
    return [one.to_line() for one in found]


if __name__ == "__main__":
    apart.serve(_answer)
