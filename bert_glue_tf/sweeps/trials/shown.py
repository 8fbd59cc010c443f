"""A search for its reader: a table of its trials, and a page with their history and importances."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Sequence
from typing import Any

from bert_glue_tf import __version__
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import reason, write_atomically
from bert_glue_tf.reports import tables, templating
from bert_glue_tf.reports.pictures import axes
from bert_glue_tf.reports.pictures.labels import Box
from bert_glue_tf.sweeps.trials import journal as journals
from bert_glue_tf.sweeps.trials.journal import Journal
from bert_glue_tf.sweeps.trials.search import Search

_TEMPLATE = "search.html.j2"
_WIDTH, _HEIGHT = 720, 320
_AREA = Box(52.0, 24.0, 704.0, 276.0)  # Of the points in the picture.
_BEST = "best"


@dataclasses.dataclass(frozen=True)
class Point:
    """A finished trial in the picture of the history.

    Attributes:
      x, y: its place.
      title: the trial in words.
    """

    x: float
    y: float
    title: str


@dataclasses.dataclass(frozen=True)
class History:
    """The picture of the values of trials in their order, and of the best one so far.

    Attributes:
      metric: that is maximised.
      x_ticks, y_ticks: of trials, and of the metric.
      points: finished trials.
      best: places of the line of the best value so far.
      description: the picture in words.
    """

    metric: str
    x_ticks: list[axes.Tick]
    y_ticks: list[axes.Tick]
    points: list[Point]
    best: list[tuple[float, float]]
    description: str
    width: int = _WIDTH
    height: int = _HEIGHT
    area: Box = _AREA


def rows(search: Search) -> list[dict[str, str]]:
    """Return a row for each trial, the best first and those without a value last."""
    found = [_Row(one, search.why(one)) for one in search.journal.trials()]
    found.sort(key=lambda one: (-one.value, one.number))
    return [
        one.cells(search.metric, is_best=place == 0 and one.value > -math.inf)
        for place, one in enumerate(found)
    ]


class _Row:
    """A trial in the table."""

    def __init__(self, trial: Any, why: str) -> None:
        self.number: int = trial.number
        self.value = -math.inf if trial.value is None else float(trial.value)
        self._params = trial.params
        self._run = trial.user_attrs.get(journals.RUN, "")
        self._state = trial.state.name
        self._why = why.partition("\n")[0]
        # A trial that was stopped has the value of its last epoch, which is no result.
        if self._state != "COMPLETE":
            self.value = -math.inf

    def cells(self, metric: str, is_best: bool) -> dict[str, str]:
        """Return the row."""
        state = "finished" if self._state == "COMPLETE" else self._why
        if self._state == "FAIL" or (self._state == "RUNNING" and self._why):
            state = f"FAILED: {self._why}"
        return {
            "trial": str(self.number),
            **{name: _text(value) for name, value in self._params.items()},
            metric: f"{self.value:.4f}" if self.value > -math.inf else "",
            "state": _BEST if is_best else state or "not finished",
            "run": self._run,
        }


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write(search: Search, command: str) -> None:
    """Write the page of a search beside its journal.

    Args:
      search: that has ended.
      command: that has made it.

    Raises:
      UserError: the file cannot be written.
    """
    try:
        write_atomically(search.journal.page, page(search, command))
    except OSError as error:
        raise UserError(f"{search.journal.page}: cannot be written ({reason(error)}).") from error


def page(search: Search, command: str) -> str:
    """Return the page of a search, one self-contained HTML file; see `write`."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    shown = rows(search)
    return templating.template(_TEMPLATE).render(
        title=search.journal.path.stem,
        made=f"Made by bert_glue_tf {__version__} on {today}.",
        command=command,
        metric=search.metric,
        best=next((row for row in shown if row["state"] == _BEST), None),
        counts=_counts(search.journal),
        history=history(search),
        importance=_bars(search.journal),
        trials=tables.of(shown),
    )


def _counts(journal: Journal) -> str:
    """Return how many trials have ended in which way."""
    told = {"COMPLETE": "finished", "PRUNED": "stopped early", "FAIL": "failed"}
    states = [one.state.name for one in journal.trials()]
    found = [f"{states.count(name)} {words}" for name, words in told.items() if name in states]
    return f"{len(states)} trials: {', '.join(found) or 'none has ended'}."


def _bars(journal: Journal) -> list[tuple[str, float]]:
    return list(journals.importance(journal.study).items())


def history(search: Search) -> History | None:
    """Return the picture of the finished trials; None where there is none."""
    done = [one for one in search.journal.trials() if one.state.name == "COMPLETE"]
    if not done:
        return None
    values = [float(one.value) for one in done]
    last = max(one.number for one in done)
    x = axes.Axis(0.0, float(max(1, last)), _AREA.left + 8, _AREA.right - 8)
    y = axes.of_scores(values, _AREA.bottom, _AREA.top)
    points = [
        Point(x.place(one.number), y.place(value), f"trial {one.number}: {value:.4f}, {_told(one)}")
        for one, value in zip(done, values, strict=True)
    ]
    step = max(1, math.ceil(max(1, last) / 8))
    return History(
        search.metric,
        [axes.Tick(x.place(number), str(number)) for number in range(0, last + 1, step)],
        y.ticks(5),
        points,
        _best(points, x.place(max(1, last))),
        f"{search.metric} of {len(done)} finished trials, from {min(values):.4f} to "
        f"{max(values):.4f}; the line is the best so far.",
    )


def _told(trial: Any) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in trial.params.items())


def _best(points: Sequence[Point], end: float) -> list[tuple[float, float]]:
    """Return the places of a line of steps through the best value so far."""
    found: list[tuple[float, float]] = []
    for point in points:
        if not found:
            found.append((point.x, point.y))
        elif point.y < found[-1][1]:  # Places grow downwards.
            found += [(point.x, found[-1][1]), (point.x, point.y)]
    return [*found, (end, found[-1][1])]
