"""The phases of a compression in their order, each resumed where an earlier process has stopped."""

from __future__ import annotations

from typing import Any

from bert_glue_tf.budget import final, steps, training
from bert_glue_tf.budget.candidates import Candidates
from bert_glue_tf.budget.checked import Launch
from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.record import Outcome
from bert_glue_tf.budget.steps import Steps
from bert_glue_tf.budget.trials import HeldOut
from bert_glue_tf.budget.work import Job, Work
from bert_glue_tf.core import quantities
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.search import making
from bert_glue_tf.search.refine import refine
from bert_glue_tf.search.session import Search
from bert_glue_tf.sweeps.executors import base

# In the folder of the run, since what its parts are worth does not depend on a budget.
_SEARCH = "search"
_AGAIN = "again"  # The folder of the run that is trained once more.


def compress(launch: Launch, folder: CompressFolder, executor: base.Executor[Any]) -> Outcome:
    """Take all steps of a compression, and return its result.

    Args:
      launch: what was checked.
      folder: of the compression, which this process has claimed.
      executor: where trainings are run.

    Raises:
      UserError: as the steps.
    """
    taken = Steps(launch.planned(), folder)
    original = _original(launch, folder, executor, taken)
    settings, limits = launch.settings, launch.settings.limits
    search = Search(original, launch.read, original.path / _SEARCH)  # Refuses before it measures.
    with taken.take(steps.COSTS) as step:
        tables = making.tables(
            original,
            settings.recipes,
            length=launch.length,
            threads=settings.threads,
            lengths=launch.lengths,
        )
        step.text = f"the costs of a network's parts as {', '.join(tables)}"
    with taken.take(steps.WORTH) as step:
        levels = search.levels()
        step.text = f"what {len(levels.blocks)} blocks of the network are worth"
    job = _job(launch, folder, original, executor)
    with taken.take(steps.STRUCTURES) as step:
        candidates = Candidates(
            folder,
            limits,
            levels,
            tables,
            lambda one, budget: refine(search, levels, tables[one.recipe], budget, one),
        )
        work = Work(job, search, candidates, tables)
        step.text = work.search()
    if not launch.is_search_only:
        with taken.take(steps.TRAININGS) as step:
            step.text = work.train()
        with taken.take(steps.AWARE) as step:
            step.text = work.train_for_grids()
    with taken.take(steps.RESULT) as step:
        choice = work.choose(launch.stage)
        outcome = final.finish(launch, job, work.run_of(choice.run), choice, work.beside_parts)
        step.text = (
            f"{quantities.size(outcome.original['bytes'])} to "
            f"{quantities.size(outcome.file['bytes'])}"
        )
    folder.add(outcome)
    return outcome


def _original(
    launch: Launch, folder: CompressFolder, executor: base.Executor[Any], taken: Steps
) -> Run:
    """Return the run that is made smaller: the given one, or the same without held-out texts."""
    if not launch.is_trained_again:
        return launch.run
    with taken.take(steps.AGAIN) as step:
        config = training.again(launch.run, launch.held_out)
        (run,) = training.run_all({_AGAIN: config}, folder.path, executor).values()
        step.text = f"{launch.held_out:,} training texts held out, the run trained without them"
    return run


def _job(
    launch: Launch, folder: CompressFolder, original: Run, executor: base.Executor[Any]
) -> Job:
    train, held_out = launch.read["train"].hold_out(launch.held_out, original.task.problem)
    assert held_out is not None
    return Job(
        original=original,
        settings=launch.settings,
        folder=folder,
        lengths=launch.lengths,
        length=launch.length,
        read=launch.read,
        held_out=HeldOut(held_out, train, launch.was_seen),
        held_out_count=launch.held_out,
        executor=executor,
    )
