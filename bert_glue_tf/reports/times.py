"""The times of a comparison: those of one session, relative to one file.

Two sessions do not compare, since the machine may have been busy in one of them. So the files of
a task, its data and its encoder have the times of one session that holds them all, or none.
"""

from __future__ import annotations

import collections
import dataclasses
import glob
import pathlib
from collections.abc import Iterable, Sequence

from bert_glue_tf.core import layout, quantities
from bert_glue_tf.data import modality
from bert_glue_tf.export.benchmark import Timed
from bert_glue_tf.export.folder import FOLDER
from bert_glue_tf.export.timings import FILE_NAME, Timing, reference_order
from bert_glue_tf.reports import formats, groups
from bert_glue_tf.reports.measured import KERAS, Interval, Model, Time
from bert_glue_tf.reports.tables import Column, Table

_Held = dict[int, Timing]  # Place of a file among those that are compared -> its times.


def share(models: Sequence[Model], session: str = "") -> list[Model]:
    """Return the models with their times in the newest session that holds all of them.

    It holds all files of a task, its data and its encoder, or all of some recipes, and the one
    that the others are compared with: the unpruned float32 file of the lowest seed. A session
    with all files is taken before one with some recipes.

    Args:
      models: of the comparison.
      session: the only one to be taken; empty for any.
    """
    found = list(models)
    places: dict[tuple[str, str, str], list[int]] = collections.defaultdict(list)
    for place, model in enumerate(models):
        if model.recipe != KERAS:
            places[model.subject].append(place)
    for some in places.values():
        times = _times([models[place] for place in some], session)
        for place, time in zip(some, times, strict=True):
            found[place] = dataclasses.replace(models[place], time=time)
    return found


def _times(files: Sequence[Model], session: str) -> list[Time | None]:
    """Return the times of the files of one subject, in their order."""
    sessions: dict[tuple[str, int], _Held] = collections.defaultdict(dict)
    for place, file in enumerate(files):
        for timing in file.timings:
            if session in ("", timing.session):
                # The threads as well: times on one and on two threads never share a column.
                sessions[timing.session, timing.threads][place] = timing
    # A run that another one repeats is not shown: it is no reference, and need not be timed.
    shown = set(map(id, groups.latest(files).values()))
    places = [place for place, file in enumerate(files) if id(file) in shown]
    reference = min(places, key=lambda place: _order(files[place]))
    usable = [held for held in sessions.values() if _holds_all(files, held, reference, places)]
    if not usable:
        return [None] * len(files)
    held = max(usable, key=lambda one: (set(places) <= set(one), one[reference].started))
    return [
        _time(held[place], held[reference], files[reference], _length(held))
        if place in held
        else None
        for place in range(len(files))
    ]


def _order(file: Model) -> tuple[object, ...]:
    return reference_order(file.run, file.recipe, file.method, file.seed)


def _holds_all(files: Sequence[Model], held: _Held, reference: int, places: Sequence[int]) -> bool:
    """Return whether a session holds all shown files of each of its recipes, and the reference.

    Args:
      files: of one subject.
      held: what the session has timed.
      reference: the place of the file that the others are compared with.
      places: those of the files that are shown.
    """
    missing = {files[place].recipe for place in places if place not in held}
    others = [files[place].recipe for place in places if place in held and place != reference]
    return (
        reference in held
        and bool(others or len(places) == 1)
        and not missing.intersection(others)
        and bool(_length(held))
    )


def _length(held: _Held) -> str:
    """Return the longest length at which all were timed; empty where there is none."""
    common = set.intersection(*(set(timing.latency) for timing in held.values()))
    return max(common, key=int, default="")


def _time(timing: Timing, base: Timing, reference: Model, length: str) -> Time:
    milliseconds = timing.latency[length]["p50"]
    return Time(
        session=timing.session,
        length=length,
        milliseconds=milliseconds,
        speed=base.latency[length]["p50"] / milliseconds,
        reference=f"{reference.run}, {reference.recipe}",
        base=base,
    )


def notes(models: Iterable[Model]) -> list[str]:
    """Return where the times come from, and the command that takes those that are missing."""
    by_subject: dict[tuple[str, str, str], list[Model]] = collections.defaultdict(list)
    for model in groups.latest(models).values():
        if model.recipe != KERAS:
            by_subject[model.subject].append(model)
    subjects = by_subject.values()
    lines = [line for files in subjects for line in (_told(files) or [_missing(files)])]
    sessions = {file.time.session: file.time.base for s in subjects for file in s if file.time}
    lines += [base.warning for base in sessions.values() if base.was_busy]
    if any(file.time is None for files in subjects for file in files):
        folders = [file.folder for files in subjects for file in files]
        lines.append(f"This times them:\n  {command(folders)}")
    return lines


def _subject(files: Sequence[Model]) -> str:
    task, source, encoder = files[0].subject
    return f"{task} ({source} data), {encoder}"


def _told(files: Sequence[Model]) -> list[str]:
    time = next((file.time for file in files if file.time), None)
    if time is None:
        return []
    base = time.base
    lines = [
        f"ms and speed of {_subject(files)}: median of {modality.example_of(time.length)} "
        f"on {quantities.threads(base.threads)}, {_in_turns(base)} "
        f"(session {time.session}, {base.machine.get('cpu')}). Speed: times as fast as "
        f"{time.reference} ({formats.milliseconds(base.latency[time.length]['p50'])} ms)."
    ]
    untimed = dict.fromkeys(file.recipe for file in files if not file.time)
    if untimed:
        lines.append(f"Not timed in session {time.session}: the files of {', '.join(untimed)}.")
    return lines


def _in_turns(timing: Timing) -> str:
    return f"{timing.files} files in turns" if timing.files > 1 else "one file"


def _missing(files: Sequence[Model]) -> str:
    number = f"all {len(files)} files" if len(files) > 1 else "the file"
    return (
        f"ms and speed of {_subject(files)} are empty: no session has timed {number} in turns, "
        "and times of several sessions do not compare."
    )


def command(folders: Iterable[pathlib.Path]) -> str:
    """Return the command line that times all files of these runs in turns, ready to be pasted.

    Args:
      folders: of the runs, absolute.
    """
    runs = list(dict.fromkeys(folders))
    by_parent: dict[pathlib.Path, set[pathlib.Path]] = collections.defaultdict(set)
    for folder in runs:
        by_parent[folder.parent].add(folder)
    patterns = []
    for parent, some in by_parent.items():
        exported = {entry.parent for entry in parent.glob(f"*/{FOLDER}")}
        if len(some) > 1 and exported == some:
            patterns.append(f"{glob.escape(str(layout.near(parent)))}/*")
        else:
            patterns += [str(layout.near(folder)) for folder in sorted(some)]
    flags = [f"--runs={pattern}" for pattern in patterns]
    return layout.joined(["python", "-m", "bert_glue_tf.benchmark", *flags])


# --- the table of one session ---


def _spread(one: Timed) -> Interval:
    timed = one.timing.latency[_only_length(one)]
    return timed["min"], timed["p90"]


def _only_length(one: Timed) -> str:
    """Return the length of a benchmark, which times a file at one."""
    return next(iter(one.timing.latency))


def _speed(one: Timed) -> float:
    length = _only_length(one)
    return one.base.latency[length]["p50"] / one.timing.latency[length]["p50"]


_TIMED: tuple[Column[Timed], ...] = (
    Column("run", lambda one: one.file.run, may_wrap=True),
    Column("recipe", lambda one: one.file.recipe),
    Column(
        "ms",
        lambda one: one.timing.latency[_only_length(one)]["p50"],
        formats.milliseconds,
    ),
    Column("min to p90", _spread, lambda ends: " to ".join(map(formats.milliseconds, ends))),
    Column("speed", _speed, formats.ratio),
)


def table(found: Sequence[Timed]) -> Table[Timed]:
    """Return a row for each file of one session: milliseconds, their spread, and the speed.

    The table's notes say what the speed compares, and warn where the machine was busy.
    """
    rows = tuple(sorted(found, key=lambda one: one.file.subject))
    columns = _TIMED
    if len({_only_length(one) for one in found}) > 1:
        columns = (*_TIMED[:2], Column("word pieces", _only_length), *_TIMED[2:])
    return Table(columns, rows, tuple(_explanations(found)))


def title(found: Sequence[Timed]) -> str:
    """Return what one session has measured: of how many files, and how."""
    one = found[0].timing
    lengths = sorted({_only_length(timed) for timed in found}, key=int)
    several = f"one example of {' or '.join(lengths)} word pieces"
    told = modality.example_of(lengths[0]) if len(lengths) == 1 else several
    return (
        f"ms of {told} on {one.threads} "
        f"thread{'s' if one.threads > 1 else ''}, {_in_turns(one)}, {one.repetitions} times each"
    )


def _explanations(found: Sequence[Timed]) -> list[str]:
    """Return the facts that a reader of that table has to know, a line each."""
    one = found[0].timing
    references = dict.fromkeys(
        (timed.file.subject, f"{timed.reference.run}, {timed.reference.recipe}") for timed in found
    )
    lines = [
        "ms: median; speed: times as fast as "
        + "; ".join(
            f"{name}" + (f" ({' '.join(subject)})" if len(references) > 1 else "")
            for subject, name in references
        )
        + "."
    ]
    if one.was_busy:
        lines.append(one.warning)
    lines.append(
        f"Session {one.session} ({one.machine.get('cpu')}) is kept beside the files, in "
        f"{FOLDER}/{FILE_NAME}; the compare command shows it beside the scores."
    )
    return lines
