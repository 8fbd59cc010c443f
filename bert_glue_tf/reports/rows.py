"""The tables of a comparison: models, their groups over seeds, and differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.evaluation.significance import Equivalence
from bert_glue_tf.reports import formats
from bert_glue_tf.reports.formats import Name, Score
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import Interval, Model
from bert_glue_tf.reports.tables import Column, Table, Tone
from bert_glue_tf.reports.verdicts import Comparison, Outcome, Verdict

_TONES = {
    Outcome.BETTER: Tone.GOOD,
    Outcome.WORSE: Tone.BAD,
    Outcome.NO_DIFFERENCE: Tone.NOISE,
    Outcome.UNDEFINED: Tone.PLAIN,
}


def score_tone(score: Score) -> Tone:
    """Return the meaning of a score: bad where its model is COLLAPSED, noise at chance."""
    return _mark_tone(score.mark)


def verdict_tone(verdict: Verdict | None) -> Tone:
    """Return the meaning of a verdict: bad where a model is COLLAPSED, whatever the difference."""
    if verdict is None:
        return Tone.PLAIN
    if verdict.is_of_collapsed:
        return Tone.BAD
    return _TONES[verdict.outcome]


def _name_tone(name: Name) -> Tone:
    return _mark_tone(name.mark)


def _mark_tone(mark: Mark | None) -> Tone:
    if mark is None:
        return Tone.PLAIN
    return Tone.BAD if mark is Mark.COLLAPSED else Tone.NOISE


def _others(model: Model) -> dict[str, float]:
    """Return the metrics that are neither the primary one nor a loss, and the thresholds."""
    metrics = {
        name: value
        for name, value in model.metrics.items()
        if name not in model.primary_names and not name.startswith("loss")
    }
    thresholds = {f"threshold_for_{name}": value for name, value in model.thresholds.items()}
    return metrics | thresholds


def _named(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {formats.number(value)}" for name, value in values.items())


def _word_pieces(length: str | None) -> str:
    return "" if length is None else f"{length} word pieces"


_MODEL: tuple[Column[Model], ...] = (
    Column("task", lambda m: (m.task.name, m.source), formats.task),
    Column("encoder", lambda m: m.encoder),
    Column("pruning", lambda m: m.method),
    Column("recipe", lambda m: m.recipe),
    Column("seed", lambda m: m.seed),
    Column("examples", lambda m: m.examples, formats.count),
    Column("metric", lambda m: m.task.primary_metric),
    Column("score", lambda m: Score(m.primary, m.mark), formats.score, score_tone),
    Column("95 % interval", lambda m: m.interval, formats.span),
    Column("other scores", _others, _named),
    Column("flips", lambda m: m.flips),
    Column("pruned", lambda m: m.pruned, formats.pruned, may_wrap=True),
    Column("non-zero parameters", lambda m: m.parameters["nonzero"], formats.count),
    Column("size", lambda m: m.bytes["plain"], formats.size),
    Column("gzipped", lambda m: m.bytes["gzip"], formats.size),
    Column("ms", lambda m: m.milliseconds, formats.milliseconds),
    Column("timed at", lambda m: m.time.length if m.time else None, _word_pieces),
    Column("speed", lambda m: m.speed, formats.ratio),
    Column("peak memory", lambda m: m.peak_memory_bytes, formats.size),
    Column("run", lambda m: m.run, may_wrap=True),
)


def models(found: Iterable[Model]) -> Table[Model]:
    """Return a row for each model: every number with its run, seed and number of examples."""
    return Table(_MODEL, tuple(found))


def _seeds_range(seeds: Sequence[Any], values: Sequence[float]) -> Interval | None:
    """Return the smallest and the largest value; None for a single seed."""
    return (min(values), max(values)) if len(seeds) > 1 else None


_GROUP: tuple[Column[Group], ...] = (
    Column("task", lambda g: g.subject[:2], formats.task),
    Column(
        "model",
        lambda g: Name(g.name, g.mark, g.marked, len(g.models)),
        formats.name,
        _name_tone,
        may_wrap=True,
    ),
    Column("examples", lambda g: g.first.examples, formats.count, spare=3),
    Column("seeds", lambda g: g.seeds, formats.listed),
    Column("score", lambda g: g.mean, formats.number),
    Column("95 % interval", lambda g: g.interval, formats.span),
    Column("seeds' range", lambda g: _seeds_range(g.seeds, g.spread), formats.span, spare=2),
    Column("pruned", lambda g: g.first.pruned, formats.pruned, may_wrap=True, spare=1),
    Column("size", lambda g: g.bytes("plain"), formats.size),
    Column("gzipped", lambda g: g.bytes("gzip"), formats.size, spare=4),
    Column("ms", lambda g: g.milliseconds, formats.milliseconds),
    Column("speed", lambda g: g.speed, formats.ratio),
)


def groups(found: Iterable[Group]) -> Table[Group]:
    """Return a row for each experiment, its seeds together: short enough for a terminal.

    The table's notes are the settings that no name says.
    """
    shown = tuple(found)
    return Table(_GROUP, shown, tuple(unsaid(shown)))


def unsaid(found: Iterable[Group]) -> list[str]:
    """Return a line for each subject of which the groups' names leave settings out.

    Args:
      found: groups of one or more subjects.
    """
    usual = dict.fromkeys((one.subject, one.usual) for one in found)
    subjects = {subject for subject, _ in usual}
    lines = []
    for (task, source, encoder), settings in usual:
        if settings:
            of = f" of {formats.task((task, source))} with {encoder}" if len(subjects) > 1 else ""
            lines.append(f"Where a name{of} says nothing else: {', '.join(settings)}.")
    return lines


def _equivalence(comparison: Comparison) -> Equivalence | None:
    """Return the equivalence of two scores; None where a model is COLLAPSED."""
    return None if comparison.is_of_collapsed else comparison.difference.equivalence


# The columns of a difference that other tables show beside their own.
DIFFERENCE: tuple[Column[Comparison], ...] = (
    Column("difference", lambda c: c.difference.mean, formats.signed),
    Column("95 % interval", lambda c: c.difference.interval, formats.signed_span),
    Column(
        "seeds' range",
        lambda c: _seeds_range(c.seeds, c.difference.by_seed),
        formats.signed_span,
        spare=2,
    ),
    Column("p", lambda c: None if c.is_of_collapsed else c.difference.p, formats.p_value),
    Column("verdict", lambda c: c.verdict, formats.verdict, verdict_tone, may_wrap=True),
    Column("equal", _equivalence, formats.equivalence, may_wrap=True),
)
_COMPARISON: tuple[Column[Comparison], ...] = (
    Column("task", lambda c: (c.task, c.source), formats.task),
    Column("model", lambda c: c.what, may_wrap=True),
    Column("against", lambda c: c.against, may_wrap=True),
    Column("examples", lambda c: c.examples, formats.count, spare=3),
    Column("seeds", lambda c: c.seeds, formats.listed, spare=2),
    *DIFFERENCE,
)


def differences(found: Iterable[Comparison]) -> Table[Comparison]:
    """Return a row for each difference, and what it is worth."""
    return Table(_COMPARISON, tuple(found))
