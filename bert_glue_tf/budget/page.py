"""The page of a compression, one self-contained HTML file, and the same tables in Markdown."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bert_glue_tf import __version__
from bert_glue_tf.budget import tables
from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.record import ORIGINAL, Choice, Outcome, Trial
from bert_glue_tf.core import quantities
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import reason, write_atomically
from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.reports import formats, templating
from bert_glue_tf.reports import tables as rooms
from bert_glue_tf.reports.headline import Bar
from bert_glue_tf.reports.measured import SAMPLE
from bert_glue_tf.reports.pictures import scatter
from bert_glue_tf.reports.pictures.layers import Layers, Part
from bert_glue_tf.reports.pictures.scatter import Cost, Scatter

_TEMPLATE = "compression.html.j2"
_WIDE, _NARROW = 1120, 372  # Of a scatter, on a laptop and on a phone.
_SIZE = Cost(
    "size",
    "MB on disk",
    lambda point: point.bytes / 1e6,
    lambda megabytes: formats.size(1e6 * megabytes),
)
_TIME = Cost(
    "time",
    "ms an example, in one session",
    lambda point: point.ms,
    lambda milliseconds: f"{formats.milliseconds(milliseconds)} ms an example",
    is_timed=True,
)


@dataclasses.dataclass(frozen=True)
class _Point:
    """A file that was tried, as a scatter shows it."""

    trial: Trial
    ms: float | None
    session: str | None

    @property
    def name(self) -> str:
        if self.trial.stage == ORIGINAL:
            return f"{ORIGINAL}, {self.trial.recipe}"
        return f"{self.trial.run}, {self.trial.recipe}"

    @property
    def metric(self) -> str:
        return self.trial.metric

    @property
    def bytes(self) -> int:
        return self.trial.bytes

    @property
    def mean(self) -> float:
        return self.trial.score

    @property
    def interval(self) -> tuple[float, float] | None:
        found = self.trial.interval
        if not found or None in found or any(math.isnan(end) for end in found):
            return None
        return found[0], found[1]

    @property
    def spread(self) -> tuple[float, float]:
        return self.mean, self.mean

    @property
    def seeds(self) -> tuple[int, ...]:
        return (1,)

    @property
    def collapsed(self) -> int:
        return int(bool(self.trial.collapsed))

    @property
    def mark(self) -> Mark | None:
        return tables.mark(self.trial)


@dataclasses.dataclass(frozen=True)
class _Named:
    name: str


@dataclasses.dataclass(frozen=True)
class _Bars:
    """The quantities of both files, as the picture of them asks for."""

    base: _Named
    chosen: _Named
    bars: list[Bar]


def write(folder: CompressFolder, outcome: Outcome) -> None:
    """Write the page and its Markdown of a compression that has a result.

    They are made from the records alone, and replace those of an earlier stage.

    Args:
      folder: of the compression.
      outcome: its result.

    Raises:
      UserError: the folder cannot be written.
    """
    choice = folder.choice(outcome.stage)
    trials = folder.trials()
    tried = tables.tried(trials, choice)
    text = "\n".join(
        [
            f"# {_title(outcome)}\n",
            tables.markdown(outcome),
            "## The files that were tried\n",
            rooms.markdown(tried),
            "## The path to the choice\n",
            rooms.markdown(tables.path(folder.steps())),
            f"{choice.reason}\n" if choice else "",
        ]
    )
    try:
        write_atomically(folder.markdown, text)
        write_atomically(folder.page, page(folder, outcome, trials, choice))
    except OSError as error:
        raise UserError(
            f"--workdir={folder.path}: cannot be written ({reason(error)}). "
            "Give a folder that you may write, on a disk with space left."
        ) from error


def page(
    folder: CompressFolder,
    outcome: Outcome,
    trials: Sequence[Trial],
    choice: Choice | None,
) -> str:
    """Return the page.

    Args:
      folder: of the compression.
      outcome: its result.
      trials: the files that were tried.
      choice: the one that was made.
    """
    numbered = list(enumerate(_points(trials, choice), start=1))
    shown = tables.tried(trials, choice)
    number: rooms.Column[Trial] = rooms.Column(
        "no.", lambda t: next(n for n, p in numbered if p.trial.key == t.key)
    )
    return templating.template(_TEMPLATE).render(
        title=_title(outcome),
        made=_made(outcome),
        headline=tables.headline(outcome),
        notes=tables.notes(outcome),
        bars=_bars(outcome),
        bought=tables.bought(outcome),
        scatters=list(_scatters(numbered)),
        tried=dataclasses.replace(shown, columns=(number, *shown.columns)),
        path=tables.path(folder.steps()),
        reason=choice.reason if choice else "",
        predicted=tables.predicted(outcome),
        layers=_layers(outcome),
        pieces=_pieces(outcome),
        settings=_settings(outcome),
    )


def _title(outcome: Outcome) -> str:
    data = f" ({SAMPLE})" if outcome.source == SAMPLE else ""
    return f"{outcome.original['run']}{data}, made smaller"


def _made(outcome: Outcome) -> str:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return f"Made by bert_glue_tf {__version__} on {today} from the records of a compression."


def _points(trials: Sequence[Trial], choice: Choice | None) -> Iterator[_Point]:
    """Yield the files that are kept, the original's first."""
    times = choice.milliseconds if choice else {}
    session = choice.session if choice else None
    for trial in sorted(trials, key=lambda t: t.stage != ORIGINAL):
        if trial.file:
            ms = times.get(" ".join(trial.key))
            yield _Point(trial, ms, session if ms is not None else None)


def _scatters(numbered: Sequence[tuple[int, _Point]]) -> Iterator[tuple[Scatter, Scatter]]:
    """Yield score against size and against time, each for a laptop and for a phone."""
    for cost in (_SIZE, _TIME):
        wide = scatter.scatter(numbered, cost, _WIDE, 500, has_names=True)
        narrow = scatter.scatter(numbered, cost, _NARROW, 340, has_names=False)
        if wide and narrow:
            yield wide, narrow


def _bars(outcome: Outcome) -> _Bars:
    original, file = outcome.original, outcome.file
    told = (
        ("size", "bytes", formats.size, True),
        ("time of an example", "ms", lambda value: f"{formats.milliseconds(value)} ms", True),
        (outcome.metric, "score", lambda value: f"{value:.3f}", False),
    )
    bars = []
    for name, key, text, is_smaller_better in told:
        was, now = (0.0 if one[key] is None else float(one[key]) for one in (original, file))
        largest = max(abs(was), abs(now)) or 1.0
        shares = [max(0.0, value / largest) for value in (was, now)]
        bars.append(Bar(name, text(was), shares[0], text(now), shares[1], is_smaller_better))
    return _Bars(_Named(ORIGINAL), _Named(str(file["recipe"])), bars)


def _layers(outcome: Outcome) -> list[Layers]:
    """Return the picture of the layers; empty where all are as they were."""
    before, after = outcome.widths["before"], outcome.widths["after"]
    if list(before) == list(after):
        return []
    parts = [
        [Part(unit, left, was[unit]) for unit, left in layer.items()]
        for layer, was in zip(after, before, strict=False)
    ]
    told = [
        f"layer {i}: " + ", ".join(f"{p.left:,} of {p.of:,} {p.unit}" for p in layer)
        for i, layer in enumerate(parts, start=1)
    ]
    name = f"{outcome.file['run']}, {outcome.file['recipe']}"
    return [Layers(1, name, len(before), parts, "; ".join(told))]


def _pieces(outcome: Outcome) -> str:
    before, after = outcome.pieces
    if before == after:
        return f"All {quantities.count(before)} word pieces are left."
    return f"Of {quantities.count(before)} word pieces {quantities.count(after)} are left."


def _settings(outcome: Outcome) -> rooms.Table[Mapping[str, Any]]:
    values = {
        "run": outcome.original["run"],
        **{name: value for name, value in outcome.settings.items() if value not in (None, "", [])},
        "file": outcome.file["path"],
        "file: SHA-256": outcome.file["sha256"],
        "original: SHA-256": outcome.original["sha256"],
    }
    return rooms.of({"setting": name, "value": _text(value)} for name, value in values.items())


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
