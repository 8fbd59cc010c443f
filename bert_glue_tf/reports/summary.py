"""A comparison in sentences: the differences, and the notes without which they mislead."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from bert_glue_tf.evaluation import significance
from bert_glue_tf.evaluation.defaults import START, UNPRUNED
from bert_glue_tf.evaluation.significance import Equal
from bert_glue_tf.reports import formats, times, unmatched
from bert_glue_tf.reports.measured import KERAS, SAMPLE, Model
from bert_glue_tf.reports.verdicts import Comparison


def sentences(comparisons: Sequence[Comparison]) -> list[str]:
    """Return the differences in words, a sentence each."""
    lines = [
        f"{formats.task((one.task, one.source))}: {one.what} against {one.against}: "
        f"{formats.verdict(one.verdict)} ({'; '.join(_numbers(one))})."
        for one in comparisons
    ]
    return lines or ["There is nothing to compare: give runs with and without pruning, or exports."]


def _numbers(one: Comparison) -> Iterator[str]:
    """Yield the parts of the bracket behind a verdict: numbers, examples, and what is not known."""
    seeds = f"{len(one.seeds)} seed{'s' if len(one.seeds) > 1 else ''}"
    examples = f"{one.examples:,} examples, {seeds}"
    if one.is_of_collapsed:
        yield examples
        return
    difference = one.difference
    low, high = difference.interval
    yield (
        f"{one.metric} {difference.mean:+z.3f}, {low:+z.3f} to {high:+z.3f}"
        if difference.is_defined
        else f"{one.metric} is undefined"
    )
    yield examples
    if not difference.is_defined:
        return
    if difference.equivalence.outcome is Equal.UNKNOWN:
        yield f"equal: {formats.equivalence(difference.equivalence)}"
    if not one.verdict.is_of_methods:
        yield f"of the methods: {formats.of_methods(one.verdict)}"


def legend(comparisons: Sequence[Comparison], left_out: Sequence[str] = ()) -> list[str]:
    """Return the lines on how the differences were tested, without which they mislead.

    Args:
      comparisons: the differences.
      left_out: the heads of the columns that their table does not show.
    """
    tested = [one for one in comparisons if not one.is_of_collapsed and one.difference.is_defined]
    if not tested:
        return []
    names = dict.fromkeys(one.difference.test.value for one in tested)
    margins = dict.fromkeys(f"{one.difference.equivalence.margin:g}" for one in tested)
    p = "" if "p" in left_out else f"; p by {', '.join(names)}"
    within = f"within {', '.join(margins)} (two one-sided tests; --margin)"
    lines = [
        f"Differences: 95 % intervals{p}. No difference shown is no evidence that two scores are "
        + (
            f"equal; a verdict of “equal” is, {within}."
            if "equal" in left_out
            else f'equal: that is the column "equal", {within}.'
        )
    ]
    few = sorted({one.verdict.seeds for one in tested if not one.verdict.is_of_methods})
    if few:
        seeds = " or ".join(formats.FEW[number] for number in few)
        lines.append(
            f'A verdict on "these models" says that other examples would show it too, not that '
            f"other trainings would: with {seeds} that cannot be told. Train "
            f"{significance.METHOD_SEEDS} seeds or more of each."
        )
    if len(tested) > 1:
        lines.append(
            f"Each of the {len(tested)} differences is tested for itself: of twenty without any "
            "real difference, one is called better or worse on average."
        )
    return lines


def notes(models: Iterable[Model], against: str = UNPRUNED) -> list[str]:
    """Return the facts that a reader of the numbers has to know, a line each.

    Args:
      models: of the comparison.
      against: what they are compared with, as in `verdicts.differences`.
    """
    models = list(models)
    lines = list(_collapsed(models))
    if any(model.source == SAMPLE for model in models):
        sample = "Scores marked (sample) are of generated sentences; they say nothing of GLUE."
        lines.insert(0, sample)
    cautions = dict.fromkeys(model.task.caution for model in models)
    lines = [*filter(None, cautions), *lines]
    lacking = unmatched.without_start if against == START else unmatched.notes
    return [*lines, *lacking(models), *times.notes(models)]


def _collapsed(models: Sequence[Model]) -> Iterator[str]:
    """Yield a line for each run of which models are COLLAPSED; seeds of the same share a line."""
    recipes: dict[str, list[str]] = {}
    marked: dict[str, list[Model]] = {}
    for model in models:
        recipes.setdefault(model.run, []).append(model.recipe)
        if model.collapsed:
            marked.setdefault(model.run, []).append(model)
    alike: dict[tuple[str, str], list[str]] = {}
    for run, some in marked.items():
        which = _which([model.recipe for model in some], recipes[run])
        training = dataclasses.replace(some[0], recipe=KERAS).key()
        alike.setdefault((training, which), []).append(run)
    for (_, which), runs in alike.items():
        found = [model for run in runs for model in marked[run]]
        reasons = "; ".join(dict.fromkeys(model.collapsed for model in found))
        these = "these models" if len(found) > 1 else "this model"
        yield f"{formats.COLLAPSED}: {', '.join(runs)}, {which}: {reasons}. Do not use {these}."


def _which(marked: Sequence[str], recipes: Sequence[str]) -> str:
    """Return the recipes of a run that are COLLAPSED, in few words where they are all of them.

    Args:
      marked: the recipes of the models that are COLLAPSED.
      recipes: of all models of the run.
    """
    files = [recipe for recipe in recipes if recipe != KERAS]
    if len(marked) < 2 or not set(files) <= set(marked):
        return ", ".join(marked)
    told = f"all {len(files)} files" if len(files) > 1 else f"the file {files[0]}"
    return f"the trained model and {told}" if KERAS in marked else told
