"""The benchmark: .tflite files of one or many runs timed in turns, in one session.

Times of files compare only where they were taken in turns: whatever else the machine does, and
the rate of its clock, then meet all of them alike. Each session has a name, and adds a line for
each file beside it (`timings`).
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
import os
import pathlib
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psutil
from absl import logging

from bert_glue_tf.core import layout, progress, records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.evaluation import cost
from bert_glue_tf.export import timed_lengths
from bert_glue_tf.export.defaults import REPETITIONS, THREADS
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.litert import LiteModel
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.export.timings import FILE_NAME, Timing, identity_of, reference_order
from bert_glue_tf.models.quantization import recipes
from bert_glue_tf.runs import results, versions
from bert_glue_tf.runs.paths import name_of, warn_without, with_sizes


@dataclasses.dataclass(frozen=True)
class File:
    """One .tflite file that is timed.

    Attributes:
      path: of the file, in the folder of its export.
      run: name of its run's folder.
      recipe: of the file.
      subject: task, source of the data and encoder: within them files are compared.
      order: its place in the choice of the file that others are compared with.
      identity: a text that it shares with the same file of a run that was run again.
    """

    path: pathlib.Path
    run: str
    recipe: str
    subject: tuple[str, ...] = ()
    order: tuple[Any, ...] = ()
    identity: str = ""


@dataclasses.dataclass(frozen=True)
class Timed:
    """A file with its times, and those of the file that it is compared with."""

    file: File
    timing: Timing
    reference: File
    base: Timing


def measure(
    folders: Iterable[pathlib.Path],
    *,
    recipes: Sequence[str] = (),
    at_length: int = 0,
    threads: int = THREADS,
    repetitions: int = REPETITIONS,
) -> list[Timed]:
    """Time the exported files of many runs in turns, and add what is found to their folders.

    Args:
      folders: of the runs.
      recipes: names of the files' recipes; empty for all. The unpruned float32 file, with which
        the others are compared, is always among them.
      at_length: in word pieces; 0 for the longest length that all files have, or, where there is
        none, all of a task, its data and its encoder, which are compared with each other.
      threads: of LiteRT.
      repetitions: timed runs of each file.

    Returns:
      The files with their times, in the order of the runs.

    Raises:
      UserError: a value is none, no run has a file, a file has not this length, or a folder
        cannot be written.
    """
    for name, number in {"threads": threads, "repetitions": repetitions}.items():
        if number < 1:
            raise UserError(f"--{name}={number}: must be 1 or more.")
    found = find(folders, recipes)
    lengths = [at_length] if at_length else []
    timings = session(found, lengths, threads=threads, repetitions=repetitions)
    by_file = dict(zip(found, timings, strict=True))
    return [
        Timed(file, timing, (base := _reference(found, file)), by_file[base])
        for file, timing in by_file.items()
    ]


def find(folders: Iterable[pathlib.Path], wanted: Sequence[str] = ()) -> list[File]:
    """Return the exported files of some recipes, and those that they are compared with.

    A run without exported files, or without one of the wanted, is told of in the log.

    Args:
      folders: of the runs.
      wanted: names of recipes; empty for all.

    Raises:
      UserError: there is no such folder or recipe, no run has a file (of a recipe that is asked
        for), or a file of records is damaged.
    """
    names = [recipes.get(name).name for name in wanted]
    held: dict[pathlib.Path, list[File]] = {}
    for folder in _existing(folders):
        export = ExportFolder(folder / FOLDER)
        held[folder] = [_file(export, folder, one) for one in export.records().values()]
        if not held[folder]:
            _warn_without_files(folder)
    found = [file for files in held.values() for file in files]
    if not found:
        raise UserError(_no_files(list(held)))
    by_any = dict.fromkeys(file.recipe for file in found)
    for name in wanted:
        if name not in by_any:
            raise UserError(
                f"--recipes={name}: none of these runs has such a file. They have "
                f"{', '.join(by_any)}; the export_tflite command makes others."
            )
    for folder, files in held.items():
        own = [file.recipe for file in files]
        lacking = [name for name in dict.fromkeys(wanted) if name not in own]
        if own and lacking:
            told = ", ".join(lacking), ", ".join(own)
            logging.warning("%s: no %s file; it has %s", layout.near(folder), *told)
    if not wanted:
        return found
    return [one for one in found if one.recipe in names or one == _reference(found, one)]


def _existing(folders: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """Return the folders, absolute, sorted and each once, without files that a pattern has found.

    Raises:
      UserError: one of them is not there.
    """
    folders = list(folders)
    for folder in folders:
        if not os.path.lexists(folder):  # A pattern finds links whose folder is gone.
            raise UserError(f"--runs={folder}: no such folder. Give folders of the train command.")
    found = {folder.resolve() for folder in folders if folder.is_dir()}
    return sorted({one for folder in found for one in with_sizes(folder)})


def _no_files(folders: Sequence[pathlib.Path]) -> str:
    """Return the message where no run has a file, with the command for a finished one."""
    text = f"--runs: {len(folders)} folder(s), none with exported files."
    finished = [folder for folder in folders if (folder / results.FILE_NAME).is_file()]
    if not finished:
        return (
            f"{text} None of them is a finished run either: train one first, then make its files "
            "with the export_tflite command."
        )
    return f"{text} This makes them:\n" + layout.command("export_tflite", run=finished[0])


def _warn_without_files(folder: pathlib.Path) -> None:
    if (folder / results.FILE_NAME).is_file():
        told = layout.near(folder), FOLDER
        logging.warning("%s: no exported file in it (%s/), so nothing of it is timed", *told)
    else:
        warn_without(folder)


def _file(export: ExportFolder, folder: pathlib.Path, record: ExportResult) -> File:
    config, source = record.config, next(iter(record.data.values()))["name"]
    run, recipe = name_of(folder), record.recipe
    return File(
        path=export.model(recipe),
        run=run,
        recipe=recipe,
        subject=(config["task"], source, record.encoder["name"]),
        order=reference_order(run, recipe, config["pruning_method"], config["seed"]),
        identity=identity_of(folder / results.FILE_NAME, record),
    )


def _reference(files: Sequence[File], file: File) -> File:
    """Return the file that another one is compared with.

    A comparison shows the last one of several runs with the same settings and seed, and so it is
    the last one here as well.
    """
    last = {one.identity or str(one.path): one for one in files if one.subject == file.subject}
    return min(last.values(), key=lambda one: one.order)


def session(
    files: Sequence[File],
    lengths: Sequence[int] = (),
    *,
    threads: int,
    repetitions: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Timing]:
    """Time files in turns, and add a line for each to the timings of its folder.

    Args:
      files: to be timed.
      lengths: in word pieces; none stands for the longest in common (`timed_lengths.choose`).
      threads: of LiteRT.
      repetitions: timed runs of each file at each length.
      clock: tells the time in seconds.

    Returns:
      The lines, in the order of the files.

    Raises:
      UserError: a file cannot be read or has not this length, or a folder cannot be written.
    """
    for folder in {file.path.parent for file in files}:
        if not os.access(folder, os.W_OK):  # Before minutes are spent.
            raise UserError(
                f"{layout.near(folder / FILE_NAME)}: cannot be written. Give runs of your own."
            )
    _note_memory(files)
    models = [_load(file, threads) for file in files]
    held = [
        timed_lengths.Held(str(layout.near(file.path)), file.subject, model.lengths)
        for file, (model, _) in zip(files, models, strict=True)
    ]
    at = timed_lengths.choose(lengths, held)
    now, before, work = datetime.datetime.now(datetime.UTC), os.getloadavg()[0], Work()
    found = _times([model for model, _ in models], at, repetitions, clock)
    common: dict[str, Any] = {
        "session": f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        "started": now.isoformat(timespec="seconds"),
        "machine": versions.machine(),
        "threads": threads,
        "load": {"before": before, "after": os.getloadavg()[0], "others": work.of_others()},
        "files": len(files),
        "repetitions": repetitions,
    }
    timings = [
        Timing(**common, run=file.run, recipe=file.recipe, sha256=sha256, latency=latency)
        for file, (_, sha256), latency in zip(files, models, found, strict=True)
    ]
    for file, timing in zip(files, timings, strict=True):
        path = file.path.parent / FILE_NAME
        try:
            records.append(path, timing)
        except OSError as error:
            raise UserError(
                f"{layout.near(path)}: cannot be written ({error.strerror})."
            ) from error
    return timings


class Work:
    """The cores that the machine keeps at work, from now on.

    The average load tells nothing of a short session: it is that of the minute before as well, in
    which this process itself may have exported or scored.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._start, self._others = time.monotonic(), self._seconds_of_others()

    def of_others(self) -> float:
        """Return how many cores other processes have kept at work since, on average."""
        passed = max(time.monotonic() - self._start, 1e-3)
        return max(0.0, self._seconds_of_others() - self._others) / passed

    def _seconds_of_others(self) -> float:
        machine, own = psutil.cpu_times(), self._process.cpu_times()
        return float(machine.user + machine.nice + machine.system - own.user - own.system)


def _load(file: File, threads: int) -> tuple[LiteModel, str]:
    """Return a file, ready to be run, and its SHA-256; that of the bytes which are run."""
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise UserError(f"{layout.near(file.path)}: cannot be read ({error.strerror}).") from error
    return LiteModel(content, threads, str(layout.near(file.path))), hashlib.sha256(
        content
    ).hexdigest()


def _note_memory(files: Iterable[File]) -> None:
    """Warn where the files, with the copies that LiteRT prepares, do not fit into memory."""
    needed = 2 * sum(file.path.stat().st_size for file in files)
    free = psutil.virtual_memory().available
    if needed > free:
        logging.warning(
            "the files need about %.1f GB of memory together, and %.1f GB are free: times of a "
            "machine that swaps are worth nothing. Time fewer of them (--recipes, --runs).",
            needed / 1e9,
            free / 1e9,
        )


def _times(
    models: Sequence[LiteModel],
    lengths: Sequence[Sequence[int]],
    repetitions: int,
    clock: Callable[[], float],
) -> list[dict[str, dict[str, float]]]:
    """Time the models in turns; return length -> milliseconds of each, in their order.

    Args:
      models: to be timed.
      lengths: of each of them.
      repetitions: timed runs of each at each length.
      clock: tells the time in seconds.
    """
    found: list[dict[str, dict[str, float]]] = [{} for _ in models]
    at = sorted({length for own in lengths for length in own})
    with _Progress((cost.WARMUP + repetitions) * len(at)) as shown:
        for length in at:
            timed = [place for place, own in enumerate(lengths) if length in own]
            logging.info(
                "timing %d file(s) in turns at length %d: %d turns to warm up, then %d that count",
                len(timed),
                length,
                cost.WARMUP,
                repetitions,
            )
            calls = {
                str(place): functools.partial(models[place].predict, models[place].ones(length))
                for place in timed
            }
            taken = cost.interleaved_latency(calls, repetitions, clock=clock, after_turn=shown.step)
            for place in timed:
                found[place][str(length)] = taken[str(place)]
    return found


class _Progress(progress.Bar):
    """A bar on the terminal; elsewhere a line in the log now and then."""

    _LOGGED = 20.0  # Seconds between two lines.

    def __init__(self, turns: int) -> None:
        super().__init__(turns, "turns")
        self._turns, self._done, self._told = turns, 0, time.monotonic()

    def step(self) -> None:
        """Count a turn as done, and show it."""
        self._done += 1
        self.show(self._done, "")
        now = time.monotonic()
        if not self.is_drawn and now - self._told > self._LOGGED:
            self._told = now
            logging.info("turn %d of %d", self._done, self._turns)
