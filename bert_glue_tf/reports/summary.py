"""A comparison in sentences: the differences, and the notes without which they mislead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bert_glue_tf.reports import formats, times, unmatched
from bert_glue_tf.reports.measured import SAMPLE, Model
from bert_glue_tf.reports.verdicts import Comparison


def sentences(comparisons: Sequence[Comparison]) -> list[str]:
    """Return the differences in words, a sentence each."""
    lines = []
    for one in comparisons:
        seeds = f"{len(one.seeds)} seed{'s' if len(one.seeds) > 1 else ''}"
        low, high = one.difference.interval
        numbers = (
            f"{one.metric} {one.difference.mean:+.3f}, {low:+.3f} to {high:+.3f}, "
            if one.difference.is_defined
            else f"{one.metric} is undefined, "
        )
        lines.append(
            f"{formats.task((one.task, one.source))}: {one.what} against {one.against}: "
            f"{formats.verdict(one.verdict)} ({numbers}{one.examples:,} examples, {seeds})."
        )
    return lines or ["There is nothing to compare: give runs with and without pruning, or exports."]


def notes(models: Iterable[Model]) -> list[str]:
    """Return the facts that a reader of the numbers has to know, a line each."""
    models = list(models)
    lines = [
        f"{formats.COLLAPSED}: {model.run}, {model.recipe}: {model.collapsed}. "
        "Do not use this model."
        for model in models
        if model.collapsed
    ]
    if any(model.source == SAMPLE for model in models):
        sample = "Scores marked (sample) are of generated sentences; they say nothing of GLUE."
        lines.insert(0, sample)
    return [*lines, *unmatched.notes(models), *times.notes(models)]
