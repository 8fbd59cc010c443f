"""The tables of a comparison for machines: plain numbers, one fact a column, snake_case heads.

A number is written with all its digits, without a unit, and a cell without a value is empty.
`docs/compare.md` lists the columns, and a test compares the list with the ones here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import Model
from bert_glue_tf.reports.tables import Column, Table
from bert_glue_tf.reports.verdicts import Comparison


@dataclasses.dataclass(frozen=True)
class Row:
    """One model, and the name that it has in the other tables."""

    name: str
    model: Model


def _column(head: str, value: Callable[[Model], Any]) -> Column[Row]:
    return Column(head, lambda row: value(row.model))


def _interval(end: int) -> Callable[[Model], float | None]:
    return lambda model: model.interval[end] if model.interval else None


def _of_time(name: str) -> Callable[[Model], Any]:
    return lambda model: getattr(model.time, name) if model.time else None


MODEL: tuple[Column[Row], ...] = (
    _column("run", lambda m: m.run),
    Column("model", lambda row: row.name),
    _column("task", lambda m: m.task.name),
    _column("source", lambda m: m.source),
    _column("encoder", lambda m: m.encoder),
    _column("encoder_sha256", lambda m: m.encoder_digest),
    _column("method", lambda m: m.method),
    _column("recipe", lambda m: m.recipe),
    _column("seed", lambda m: m.seed),
    _column("metric", lambda m: m.task.primary_metric),
    _column("score", lambda m: m.primary),
    _column("low", _interval(0)),
    _column("high", _interval(1)),
    _column("examples", lambda m: m.examples),
    _column("collapsed", lambda m: bool(m.collapsed)),
    _column("collapsed_reason", lambda m: m.collapsed),
    _column("at_chance", lambda m: m.mark is Mark.AT_CHANCE),
    _column("at_chance_reason", lambda m: m.marked.at_chance),
    _column("flips", lambda m: m.flips),
    _column("parameters", lambda m: m.parameters["total"]),
    _column("nonzero", lambda m: m.parameters["nonzero"]),
    _column("pruned", lambda m: m.pruned.number if m.pruned else None),
    _column("sparsity", lambda m: m.pruned.fraction if m.pruned else None),
    _column("sparsity_of", lambda m: m.pruned.part if m.pruned else None),
    _column("sparsity_of_model", lambda m: m.pruned.of_model if m.pruned else None),
    _column("bytes", lambda m: m.bytes["plain"]),
    _column("bytes_gzip", lambda m: m.bytes["gzip"]),
    _column("milliseconds", _of_time("milliseconds")),
    _column("length", lambda m: int(m.time.length) if m.time else None),
    _column("speed", lambda m: m.speed),
    _column("reference", _of_time("reference")),
    _column("session", _of_time("session")),
    _column("threads", lambda m: m.time.base.threads if m.time else None),
    _column("peak_memory_bytes", lambda m: m.peak_memory_bytes),
)

DIFFERENCE: tuple[Column[Comparison], ...] = (
    Column("task", lambda c: c.task),
    Column("source", lambda c: c.source),
    Column("metric", lambda c: c.metric),
    Column("model", lambda c: c.what),
    Column("against", lambda c: c.against),
    Column("mean", lambda c: c.difference.mean),
    Column("low", lambda c: c.difference.interval[0]),
    Column("high", lambda c: c.difference.interval[1]),
    Column("p", lambda c: c.difference.p),
    Column("test", lambda c: c.difference.test.name.lower()),
    Column("seeds", lambda c: len(c.seeds)),
    Column("seeds_low", lambda c: min(c.difference.by_seed)),
    Column("seeds_high", lambda c: max(c.difference.by_seed)),
    Column("examples", lambda c: c.examples),
    Column("verdict", lambda c: c.outcome.name.lower()),
    Column("of", lambda c: "methods" if c.verdict.is_of_methods else "models"),
    Column("margin", lambda c: c.difference.equivalence.margin),
    Column("equal", lambda c: c.difference.equivalence.outcome.name.lower()),
    Column("equal_low", lambda c: c.difference.equivalence.interval[0]),
    Column("equal_high", lambda c: c.difference.equivalence.interval[1]),
    Column("equal_examples", lambda c: c.difference.equivalence.examples),
    Column("collapsed", lambda c: c.mark is Mark.COLLAPSED),
    Column("against_collapsed", lambda c: c.base_mark is Mark.COLLAPSED),
    Column("at_chance", lambda c: c.mark is Mark.AT_CHANCE),
    Column("against_at_chance", lambda c: c.base_mark is Mark.AT_CHANCE),
)


def differences(found: Iterable[Comparison]) -> Table[Comparison]:
    """Return a row for each difference."""
    return Table(DIFFERENCE, tuple(found))


def models(found: Iterable[Group]) -> Table[Row]:
    """Return a row for each model, with every metric and every setting of its run behind it."""
    rows = tuple(Row(one.name, model) for one in found for model in one.models)
    return Table(
        (
            *MODEL,
            *_each(rows, "metric", lambda model: model.metrics),
            *_each(rows, "metric", _limits),
            *_each(rows, "ms", _latency),
            *_each(rows, "data_sha256", lambda model: model.digests),
            *_each(rows, "setting", _settings),
        ),
        rows,
    )


def _settings(model: Model) -> dict[str, Any]:
    """Return the settings that come into the model, with their own values."""
    return {name: model.config[name] for name in model.deciding}


def _limits(model: Model) -> dict[str, float]:
    """Return the ends of each metric's interval: `accuracy_low`, `accuracy_high`."""
    return {
        f"{name}_{end}": value
        for name, interval in model.intervals.items()
        for end, value in zip(("low", "high"), interval, strict=True)
    }


def _latency(model: Model) -> dict[str, float]:
    """Return the times of the session at every length: `64_p50`, `64_p90`, `64_min`."""
    time = model.time
    if time is None:
        return {}
    taken = next(
        timing
        for timing in model.timings
        if (timing.session, timing.threads) == (time.session, time.base.threads)
    )
    return {
        f"{length}_{name}": value
        for length, measured in taken.latency.items()
        for name, value in measured.items()
    }


def _each(
    rows: Sequence[Row], prefix: str, values: Callable[[Model], Mapping[str, Any]]
) -> list[Column[Row]]:
    """Return a column for each name that one of the models has."""
    names = dict.fromkeys(name for row in rows for name in values(row.model))
    return [_column(f"{prefix}_{name}", _item(values, name)) for name in names]


def _item(values: Callable[[Model], Mapping[str, Any]], name: str) -> Callable[[Model], Any]:
    return lambda model: values(model).get(name)
