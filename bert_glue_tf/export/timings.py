"""Timings: what a session that times several files in turns has found, a line for each file.

A line lies beside its file, in `timings.jsonl` of the export's folder, to which every session
adds. Times of two sessions do not compare: the machine may have been busy in one of them.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from bert_glue_tf.compression import described
from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core import records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.records import Record, check_types
from bert_glue_tf.data import tasks
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.models.quantization.recipes import FLOAT32
from bert_glue_tf.runs import identity, results

FILE_NAME = "timings.jsonl"
_LOADS = ("before", "after", "others")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing(Record):
    """The times of one file in one session.

    Attributes:
      session: its name, which no other session has.
      started: time in UTC, ISO 8601.
      machine: `cpu`, the model of the processor, and `cores`.
      threads: of LiteRT.
      load: average number of processes at work in the minute `before` the session and in the
        last one of it, `after`, this process among them; and the cores that `others` kept at work
        during the session, on average.
      files: number of files of the session.
      repetitions: timed runs of the file at each length.
      run: name of the folder of the run that the file is of.
      recipe: of the file.
      sha256: of the file.
      latency: length in word pieces -> milliseconds of one example, `p50`, `p90` and `min`.
    """

    what_is_foreign: ClassVar[str] = "its session, file and times are not those of a benchmark"
    kind: ClassVar[str] = "a file's times"
    written_by: ClassVar[str] = "the benchmark command writes it"

    session: str
    started: str
    machine: Mapping[str, Any]
    threads: int
    load: Mapping[str, float]
    files: int
    repetitions: int
    run: str
    recipe: str
    sha256: str
    latency: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Return the record of a line's values; see `Record.of`."""
        check_types(cls, values)
        if not values["latency"] or set(values["load"]) != set(_LOADS):
            raise ValueError("its times or loads are missing")
        for length, timed in values["latency"].items():
            numbers = [timed[name] for name in ("p50", "p90", "min")]
            if not length.isdecimal() or not all(x and 0 < x < math.inf for x in numbers):
                raise ValueError(f"its times at length {length!r} are {timed}")
        return cls(**values)

    @property
    def was_busy(self) -> bool:
        """Return whether others left fewer cores than its threads; half a core is noise."""
        cores = self.machine.get("cores") or 1
        return self.load["others"] > max(0, cores - self.threads) + 0.5

    @property
    def warning(self) -> str:
        """Return a warning that others kept the machine at work; empty where they did not."""
        if not self.was_busy:
            return ""
        return (
            f"Warning: the machine was busy in session {self.session} (other processes kept "
            f"{self.load['others']:.1f} of its {self.machine.get('cores')} cores at work, on "
            "average): the ms are too long, and the ratios less certain. Time again when it is "
            "idle."
        )


def load(folder: pathlib.Path) -> list[Timing]:
    """Return all lines of an export's folder; none where its files were never timed.

    Raises:
      UserError: the file cannot be read, or a line is no timing (the message names it).
    """
    path = folder / FILE_NAME
    return records.load(path, Timing) if path.exists() else []


def reference_order(run: str, recipe: str, method: str, seed: int) -> tuple[Any, ...]:
    """Return the place of a file in the choice of the one that others are compared with.

    The smallest of all is chosen: the unpruned float32 file of the lowest seed; without one, the
    next best by the same order.

    Args:
      run: name of its run's folder.
      recipe: of the file.
      method: the pruning method of its run.
      seed: of its run.
    """
    return recipe != FLOAT32, method != NO_PRUNING, seed, run


def identity_of(file: pathlib.Path, record: ExportResult) -> str:
    """Return a text that only files of the same training and recipe share, seed included.

    Args:
      file: of the run's record; without it the file is like no other.
      record: of the exported file.

    Raises:
      UserError: one of the two lacks something; the message names the file.
    """
    found = results.load(file) if file.is_file() else []
    if not found:
        return f"{file} {record.recipe}"
    try:
        splits = tasks.of(record).validation_splits.values()
        data = {split: record.data[split] for split in splits}
        content = identity.content(data | {"train": found[-1].data["train"]}, record.encoder)
    except (LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file}: its record lacks something, or holds something else ({error!r})."
        ) from error
    config = identity.settings(file, found[-1].config)
    prunings = described.prunings(config)
    used = identity.deciding(config, prunings, identity.teacher(config, found[-1].teacher))
    return identity.key(used, prunings, identity.of_size(content, record.size), record.recipe)


def in_one_session(folder: pathlib.Path, results: Sequence[ExportResult]) -> list[ExportResult]:
    """Return an export's records with the times of the newest session that holds all their files.

    A record has the times of the session in which its file was made, and files may be added later.
    Without such a session, and float32 in it, the records are returned as they are.

    Args:
      folder: of the export.
      results: its records, all with the same lengths.
    """
    sessions: dict[str, dict[tuple[str, str], Timing]] = collections.defaultdict(dict)
    for timing in load(folder):
        sessions[timing.session][timing.recipe, timing.sha256] = timing
    lengths = {(one.recipe, one.sha256): set(one.latency) for one in results}
    for held in reversed(sessions.values()):  # The newest comes last in the file.
        found = {file: set(held[file].latency) for file in lengths if file in held}
        base = next((held[file] for file in found if file[0] == FLOAT32), None)
        if base and found == lengths:
            return [_timed(one, held[one.recipe, one.sha256], base) for one in results]
    return list(results)


def _timed(result: ExportResult, timing: Timing, base: Timing) -> ExportResult:
    latency = with_float32(timing, base)
    return dataclasses.replace(result, latency=latency, threads=timing.threads, busy=timing.warning)


def with_float32(timing: Timing, base: Timing) -> dict[str, dict[str, float]]:
    """Return a file's times with `float32_p50`, that of the file `base` of the same session."""
    return {
        length: {**timed, "float32_p50": base.latency[length]["p50"]}
        for length, timed in timing.latency.items()
    }
