"""Figures of a comparison, as SVG text for the page and PNG for a paper."""

from __future__ import annotations

import io
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bert_glue_tf.reports import formats
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import KERAS, SAMPLE

_STYLE: Any = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 120,
    "font.size": 9,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.hashsalt": "bert_glue_tf",  # The same figure gives the same file.
    "text.parse_math": False,  # A folder's name may hold dollar signs.
}
# Paul Tol's bright scheme: told apart with any colour vision, and on paper.
_COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#BBBBBB")
_MARKERS = ("o", "s", "^", "D")  # The next where the colours begin again.
_WIDE = 5  # A logarithmic axis of a smaller ratio has hardly a number on it.


def _style() -> Any:
    """Return a context in which figures are drawn and written in the style of this project."""
    import matplotlib  # Here, since it takes long to import, and most commands draw nothing.

    return matplotlib.rc_context(_STYLE)


def _figure(columns: int, width: float, height: float, **options: Any) -> tuple[Any, Any]:
    """Return a figure of so many inches, and its axes in a row, [columns].

    It is made without pyplot, which would choose how a notebook shows its own figures.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns, squeeze=False, **options)[0]


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the points (cost, score) on the Pareto front, by rising cost.

    Of those, no other point is at least as good in both and better in one. A score of NaN is
    never among them.
    """
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        best = points[front[-1]] if front else (math.nan, -math.inf)
        if points[index][1] > best[1] or points[index] == best:
            front.append(index)
    return front


def training_curves(groups: Sequence[Group]) -> Any:
    """Draw loss and primary metric per epoch, training and validation, of a task's trained models.

    The report's Figures: with and without pruning. Returns a figure, or None where no history
    has more than one epoch.
    """
    trained = [g for g in groups if g.first.recipe == KERAS and g.first.history]
    if not trained or all(len(g.first.history) < 2 for g in trained):
        return None
    panels = ("loss", trained[0].first.task.primary_metric)
    with _style():
        figure, axes = _figure(len(panels), 4.2 * len(panels), 3)
        for axis, panel in zip(axes, panels, strict=True):
            for colour, one in zip(_colours(len(trained)), trained, strict=True):
                _draw_curves(axis, one, panel, colour)
            axis.set_xlabel("epoch")
            axis.set_title(panel)
            axis.xaxis.get_major_locator().set_params(integer=True)
        seeds = sorted({one.first.seed for one in trained})
        named = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        figure.suptitle(f"{_title(trained)}: training curves, {named}", fontsize=10)
        _lay_out(figure, axes[-1])
    return figure


def _draw_curves(axis: Any, one: Group, panel: str, colour: str) -> None:
    """Draw a group's loss or score: of the training, if it has it, and of each validation split."""
    name = one.name.replace(f", {KERAS}", "")
    # MNLI has two validation splits, and so two curves of each.
    columns = {panel: ("training", "--")} | {
        f"val_{panel}{suffix}": (f"validation{suffix.replace('_', ' ')}", style)
        for suffix, style in zip(one.first.task.validation_splits, ("-", "-."), strict=False)
    }
    epochs = [int(row["epoch"]) for row in one.first.history]
    for column, (split, style) in columns.items():
        values = [float(row.get(column) or "nan") for row in one.first.history]
        if all(map(math.isnan, values)):
            continue
        # A single epoch makes no line.
        mark = "o" if len(epochs) == 1 else ""
        axis.plot(epochs, values, mark + style, color=colour, label=f"{name}, {split}")


def score_against(groups: Sequence[Group], cost: str) -> Any:
    """Draw score against a cost (`size` or `latency`), with the Pareto front.

    Points are means over seeds, thin bars the range of the seeds, broad ones the 95 % bootstrap
    interval over the examples. Returns a figure, or None where fewer than two models have the
    cost.
    """
    if cost == "latency" and len({one.session for one in groups if one.session}) > 1:
        return None  # Times of two sessions have no common axis.
    points, places = [], []
    for place, one in enumerate(groups):
        value = _cost(one, cost)
        if value is not None and not math.isnan(one.mean):
            points.append((value, one))
            places.append(place)  # By which a model has the same colour against each cost.
    if len(points) < 2:
        return None
    with _style():
        figure, (axis,) = _figure(1, 6.4, 3.8)
        _draw_front(axis, points)
        for place, (value, one) in zip(places, points, strict=True):
            _draw_point(axis, value, one, place)
        _scale_cost(axis, cost, [value for value, _ in points])
        axis.set_xlabel(
            f"ms an example at length {points[0][1].times[0].length} (median, files in turns)"
            if cost == "latency"
            else "MB on disk"
        )
        axis.set_ylabel(points[0][1].first.task.primary_metric)
        title = f"{_title([one for _, one in points])}: score against {cost}"
        axis.set_title(f"{title} (broad bars: 95 % interval)", fontsize=10)
        _lay_out(figure, axis)
    return figure


def _draw_front(axis: Any, points: Sequence[tuple[float, Group]]) -> None:
    # A model that collapsed is worth nothing at any cost.
    front = pareto([(value, math.nan if g.collapsed else g.mean) for value, g in points])
    axis.plot(
        [points[i][0] for i in front],
        [points[i][1].mean for i in front],
        color="#999999",
        linewidth=1,
        drawstyle="steps-post",
        zorder=1,
        label="Pareto front",
    )


def _draw_point(axis: Any, cost: float, one: Group, place: int) -> None:
    """Draw a group's score at its cost, with its bars; its place decides colour and marker."""
    colour = _COLOURS[place % len(_COLOURS)]
    marker = _MARKERS[place // len(_COLOURS) % len(_MARKERS)]
    if one.interval:
        axis.plot([cost, cost], one.interval, color=colour, alpha=0.25, linewidth=4)
    low, high = one.spread
    axis.errorbar(
        cost,
        one.mean,
        # The mean of equal scores may lie outside them by a rounding error.
        yerr=[[max(0.0, one.mean - low)], [max(0.0, high - one.mean)]],
        fmt="x" if one.mark else marker,
        color=colour,
        capsize=2,
        label=formats.with_mark(one.name, one.mark),
    )


def _scale_cost(axis: Any, cost: str, values: Sequence[float]) -> None:
    """Scale the axis of the costs: logarithmic for latencies that are far apart."""
    from matplotlib import ticker

    if cost == "latency" and max(values) > _WIDE * min(values):
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        # Plain numbers: matplotlib's own powers of ten are formulas, which are off.
        axis.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
    else:
        axis.set_xlim(left=0)


def score_against_sparsity(
    title: str, curves: Mapping[str, Sequence[tuple[float, Group]]], base: Group | None
) -> Any:
    """Draw score against sparsity, a curve for each name; the unpruned model as a level line.

    Points are means over the seeds, bars their range, pale bands the 95 % bootstrap interval
    over the examples. Crosses are models that collapsed.
    """
    with _style():
        figure, (axis,) = _figure(1, 6.4, 3.8)
        if base is not None and not math.isnan(base.mean):
            axis.axhline(base.mean, color="#999999", linewidth=1, label="unpruned")
        metrics = [
            _draw_sparsities(axis, name, points, place)
            for place, (name, points) in enumerate(curves.items())
        ]
        axis.set_xlabel("percent of the weights pruned (crosses: COLLAPSED)")
        axis.set_ylabel(next(filter(None, reversed(metrics)), ""))
        axis.set_title(f"{title} (bands: 95 % interval)", fontsize=10)
        _lay_out(figure, axis)
    return figure


def _draw_sparsities(
    axis: Any, name: str, points: Sequence[tuple[float, Group]], place: int
) -> str:
    """Draw one curve over the sparsities and return its metric; empty where nothing is defined."""
    points = [(x, one) for x, one in points if not math.isnan(one.mean)]
    if not points:
        return ""
    colour, marker = _COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)]
    x = [100 * sparsity for sparsity, _ in points]
    y = [one.mean for _, one in points]
    bars = [
        [max(0.0, one.mean - one.spread[0]) for _, one in points],
        [max(0.0, one.spread[1] - one.mean) for _, one in points],
    ]
    axis.errorbar(x, y, yerr=bars, fmt=f"{marker}-", color=colour, capsize=2, label=name, zorder=3)
    known = [(100 * s, one.interval) for s, one in points if one.interval]
    axis.fill_between(
        [at for at, _ in known],
        [ends[0] for _, ends in known],
        [ends[1] for _, ends in known],
        color=colour,
        alpha=0.15,
        linewidth=0,
    )
    fallen = [(100 * s, one.mean) for s, one in points if one.collapsed]
    if fallen:
        axis.plot(*zip(*fallen, strict=True), "x", color="#000000", zorder=4)
    return points[0][1].first.task.primary_metric


def zeros_by_part(title: str, panels: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Any:
    """Draw the fraction of zeros in each part of a model: panel -> line -> part -> fraction."""
    import matplotlib

    panels = {name: lines for name, lines in panels.items() if lines}
    parts = list(
        dict.fromkeys(p for lines in panels.values() for one in lines.values() for p in one)
    )
    with _style():
        figure, axes = _figure(len(panels), 4.2 * len(panels), 3.6, sharey=True)
        shades = matplotlib.colormaps["viridis"]
        for axis, (panel, lines) in zip(axes, panels.items(), strict=True):
            for place, (name, values) in enumerate(lines.items()):
                axis.plot(
                    range(len(parts)),
                    [100 * values.get(part, math.nan) for part in parts],
                    "o-",
                    markersize=3,
                    color=shades(0.9 * place / max(1, len(lines) - 1)),
                    label=name,
                )
            axis.set_xticks(range(len(parts)), parts, rotation=60, ha="right")
            axis.set_title(panel)
        axes[0].set_ylabel("percent of zeros")
        figure.suptitle(title, fontsize=10)
        _lay_out(figure, axes[-1])
    return figure


def against_numbers(
    title: str, numbers: str, unit: str, places: Sequence[int], lines: Mapping[str, Sequence[float]]
) -> Any:
    """Draw values against whole numbers, a line for each name.

    Args:
      title: of the figure.
      numbers: what the numbers count.
      unit: of the values.
      places: the numbers.
      lines: name -> a value for each of them.
    """
    with _style():
        figure, (axis,) = _figure(1, 6.4, 3.8)
        for (name, values), colour in zip(lines.items(), _colours(len(lines)), strict=True):
            axis.plot(places, values, "o-", markersize=3, color=colour, label=name)
        axis.set_xlabel(numbers)
        axis.set_ylabel(unit)
        axis.set_ylim(bottom=0)
        axis.set_title(title, fontsize=10)
        _lay_out(figure, axis)
    return figure


def _lay_out(figure: Any, axis: Any) -> None:
    """Fit the axes into the figure, then put the legend beside them.

    In that order: the layout would make room for a long legend by narrowing the axes. When it
    is saved, the figure grows instead.
    """
    figure.tight_layout()
    # A line that only one of several axes has is explained as well.
    shown = {
        name: artist
        for each in figure.axes
        for artist, name in zip(*each.get_legend_handles_labels(), strict=True)
    }
    if shown:
        place: Any = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        axis.legend(list(shown.values()), list(shown), fontsize=7, **place)


def _cost(one: Group, cost: str) -> float | None:
    """Return mean milliseconds, None for models that share no session; or megabytes."""
    return one.milliseconds if cost == "latency" else one.bytes("plain") / 1e6


def _colours(number: int) -> list[str]:
    return [_COLOURS[i % len(_COLOURS)] for i in range(number)]


def _title(groups: Sequence[Group]) -> str:
    first = groups[0].first
    sample = " (sample data)" if first.source == SAMPLE else ""
    return f"{first.task.name}{sample}, {first.encoder}"


def svg(figure: Any) -> str:
    """Return the figure as an <svg> element."""
    text = io.StringIO()
    with _style():
        figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
    content = text.getvalue()
    return content[content.index("<svg") :]


def save_png(figure: Any, path: pathlib.Path) -> None:
    """Write the figure as PNG."""
    figure.savefig(path, bbox_inches="tight", dpi=150)
