"""Phrases and published values that the studies share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import significance
from bert_glue_tf.evaluation.defaults import MARGIN
from bert_glue_tf.reports import formats
from bert_glue_tf.reports.verdicts import Comparison


def interval(found: Comparison) -> str:
    """Return a difference as `+0.012 (+0.001 to +0.023)`."""
    if not found.difference.is_defined:
        return "undefined"
    low, high = found.difference.interval
    return f"{found.difference.mean:+z.3f} ({low:+z.3f} to {high:+z.3f})"


def tests(what: str) -> str:
    """Return the sentences on intervals, p-values and equality that a study's text has.

    Args:
      what: the comparisons whose p-values are corrected together, in words.
    """
    return (
        "Interval: 95 %, over the examples, from three seeds on over seeds and examples together. "
        f"p: of the tests of docs/compare.md, corrected by Holm's method for the number of "
        f"comparisons, {what} together. equal: within {MARGIN:g}, by two one-sided "
        "tests."
    )


def these_models(seeds: int) -> str:
    """Return the end of a claim that few seeds speak of; empty where they are enough."""
    if seeds >= significance.METHOD_SEEDS:
        return ""
    return f", of these models; of the methods: cannot be told: {formats.FEW[seeds]}"


def examples(task: tasks.TaskSpec, data: Mapping[str, Any]) -> str:
    """Return how many examples a run was trained and scored on, in words.

    Args:
      task: of the run.
      data: split -> its provenance, as a record has it.
    """
    used, of = data["train"]["examples"], data["train"]["split_examples"]
    scored = sum(data[split]["examples"] for split in task.validation_splits.values())
    limited = f"{used:,} of its {of:,}" if used != of else f"all {of:,}"
    return f"trained on {limited} examples, scored on {scored:,}"


def listed_seeds(seeds: list[int]) -> str:
    """Return `mean of seeds 1, 2`."""
    return f"mean of seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def percent(sparsity: float) -> str:
    """Return `30 %`, or `12.5 %`."""
    return f"{100 * sparsity:g} %"
