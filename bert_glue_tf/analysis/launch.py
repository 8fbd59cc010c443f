"""A finished run to the sensitivity of its parts; TensorFlow is imported when all else is sure."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import logging

from bert_glue_tf.analysis import record
from bert_glue_tf.analysis.defaults import EXAMPLES, RECIPES
from bert_glue_tf.analysis.record import Sensitivity
from bert_glue_tf.core import records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.progress import Bar, doing, duration
from bert_glue_tf.data import readers
from bert_glue_tf.runs.finished import Run

if TYPE_CHECKING:
    from bert_glue_tf.analysis.sensitivity import Plan

MARKDOWN = "sensitivity.md"  # The tables of the newest measurement, made of the records.


def launch(
    path: str | pathlib.Path,
    *,
    examples: int = EXAMPLES,
    recipes: Sequence[str] = RECIPES,
    each_head: bool = True,
    removals: bool = True,
) -> list[Sensitivity]:
    """Measure what the parts of a finished run's classifier are worth, and add it to its folder.

    Each line is written as soon as it is measured, so that nothing is lost where the process is
    killed; the same call then goes on. What was measured before on the same texts is not measured
    again.

    Args:
      path: folder of the run.
      examples: texts of the training split, those that the run has held out where there are some.
      recipes: names of those on whose grids weights are rounded; empty for none.
      each_head: False leaves single heads at their first-order estimates.
      removals: False leaves out what the parts cost when they are gone.

    Returns:
      The lines of all parts.

    Raises:
      UserError: a value is none, the folder holds no finished run, its data has changed, or none of
        its parts can be told apart.
    """
    if examples < 2:
        raise UserError(f"--examples={examples}: must be 2 or more.")
    for recipe in recipes:
        if recipe not in RECIPES:
            raise UserError(
                f"--recipes={recipe}: no such grid of weights. Good values: {', '.join(RECIPES)}; "
                "empty for none."
            )
    path = pathlib.Path(path).expanduser()
    run = Run.read(path)
    run.task.modality.require_texts(f"--run={path}", "a run on texts")
    read = readers.load_for_training(run.task, run.config.data, run.config.train_examples)
    known = record.load(path)
    with doing("starting TensorFlow"):
        from bert_glue_tf.analysis import sensitivity, texts

    chosen = texts.choose(run, read, examples)
    texts_of = f"{len(chosen.examples):,} texts"
    with doing(f"loading the classifier, and estimating by the gradients of {texts_of}"):
        plan = sensitivity.plan(
            run,
            chosen,
            recipes=recipes,
            each_head=each_head,
            removals=removals,
            known=known,
        )
    _measure(plan, path, known)
    wanted = {*([record.REMOVED] if removals else []), *recipes}
    found = record.of_texts(known, plan.base)
    return [one for one in found if one.change in wanted]


def _measure(plan: Plan, path: pathlib.Path, known: list[Sensitivity]) -> None:
    """Measure the changes of a plan, and add each line to the run's folder and to those known."""
    total, begin = len(plan.changes), time.perf_counter()
    logging.info("measuring %s changes of its parts", f"{total:,}")
    with Bar(total, "parts") as bar:
        for number, one in enumerate(plan.measured(), start=1):
            records.append(path / record.FILE_NAME, one)
            known.append(one)
            left = (time.perf_counter() - begin) / number * (total - number)
            bar.show(number, f"{one.part}, {one.change}; {duration(left)} left")
