"""The times of small files, run in turns in one session."""

from __future__ import annotations

import functools
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import psutil

from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.evaluation import cost
from bert_glue_tf.export import apart, benchmark
from bert_glue_tf.export.litert import LiteModel

# Of the times, for who keeps them: another one where they are taken in another way.
WAY = "of turns, in a process of their own"


def in_turns(
    files: Sequence[pathlib.Path],
    length: int,
    threads: int,
    seconds: float,
    repetitions: tuple[int, int],
) -> tuple[list[float], str]:
    """Time files in turns, in a process without TensorFlow.

    Args:
      files: to be timed.
      length: in word pieces.
      threads: of LiteRT.
      seconds: that it is to take, about.
      repetitions: timed runs of each, at least and at most.

    Returns:
      The milliseconds of each, by which parts add up to their network (`cost.that_add_up`). Where
      others kept the machine at work they are those of the fastest run, which meets the others the
      least: by it they add up as on an idle machine. And a warning where others did so; else
      nothing.

    Raises:
      UserError: a file cannot be read.
    """
    given = [[str(file) for file in files], length, threads, seconds, repetitions]
    milliseconds, busy = apart.call(__name__, given)
    return milliseconds, busy


def _answer(given: Sequence[Any]) -> tuple[list[float], str]:
    """Return what `in_turns` is asked for, timed in this process."""
    files, length, threads, seconds, (least, most) = given
    models = [LiteModel.load(pathlib.Path(file), threads) for file in files]
    features = {name: np.ones((1, length), np.int32) for name in INPUTS}
    calls: dict[str, Callable[[], object]] = {
        str(place): functools.partial(model.predict, features) for place, model in enumerate(models)
    }
    begin = time.perf_counter()
    for call in calls.values():
        call()
    turn = time.perf_counter() - begin
    work = benchmark.Work()
    timed = cost.interleaved_seconds(calls, min(most, max(least, round(seconds / turn))))
    busy = _busy(work.of_others(), threads)
    if busy:
        found = {name: float(1e3 * np.min(values)) for name, values in timed.items()}
    else:
        found = cost.that_add_up(timed)
    return [found[str(place)] for place in range(len(files))], busy


def _busy(others: float, threads: int) -> str:
    """Return a warning that others left too few cores; empty where they did not."""
    cores = psutil.cpu_count() or 1
    if others <= max(0, cores - threads) + 0.5:
        return ""
    return (
        f"other processes kept {others:.1f} of {cores} cores at work while these costs were "
        "measured: the times are those of the fastest runs, and are less certain."
    )


if __name__ == "__main__":
    apart.serve(_answer)
