"""A run and a budget to the best file that keeps it; TensorFlow comes when all else is sure."""

from __future__ import annotations

import pathlib
from typing import Any

from absl import logging

from bert_glue_tf.budget import page
from bert_glue_tf.budget.checked import Launch
from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.record import Outcome
from bert_glue_tf.budget.settings import CompressSettings
from bert_glue_tf.core import layout
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.progress import doing
from bert_glue_tf.sweeps.executors import choice as executors


def compress(
    path: str | pathlib.Path,
    *,
    workdir: str | pathlib.Path = "",
    search_only: bool = False,
    workers: int = 1,
    cluster: str = "",
    **settings: Any,
) -> Outcome:
    """Make the best file of a finished run that keeps a budget, and return the result.

    The page is written as by the command. Killed, the same call goes on.

    Args:
      path: folder of the run.
      workdir: folder of the compression; by default beside the run.
      search_only: True stops before any training.
      workers: trainings at a time.
      cluster: address of a Dask scheduler whose workers train; empty for this machine.
      **settings: `max_mb`, `max_ms` and `max_drop`, at least one of them; and those of
        `CompressSettings`.

    Raises:
      UserError: as `CompressSettings.of_call`, `Launch.check` and `work`.
    """
    if workers < 1:
        raise UserError(f"workers={workers}: must be 1 or more.")
    launch = Launch.check(
        pathlib.Path(path).expanduser(),
        CompressSettings.of_call(settings),
        pathlib.Path(workdir).expanduser() if workdir else None,
        is_search_only=search_only,
        workers=workers,
        cluster=cluster,
    )
    outcome = work(launch)
    page.write(CompressFolder(launch.folder), outcome)
    return outcome


def work(launch: Launch) -> Outcome:
    """Do what is not done yet of a compression, and return its result.

    Args:
      launch: what was checked.

    Raises:
      UserError: no network is so small, a training has failed, or a file cannot be made.
    """
    folder = CompressFolder.open(launch.folder, launch.run.path, launch.settings)
    finished = folder.outcome(launch.stage)
    if finished is not None:
        logging.info("%s: this compression is finished; this is its result", launch.folder)
        return finished
    if launch.was_seen:
        logging.warning("%s", _told_seen(launch))
    with doing("starting TensorFlow"):
        from bert_glue_tf.budget import phases

    return phases.compress(launch, folder, executors.executor(launch.workers, launch.cluster))


def _told_seen(launch: Launch) -> str:
    """Return the warning that files are chosen by texts that the original may know."""
    run, learned = layout.near(launch.run.path), launch.learned_by
    if launch.own_held_out and learned is not None:
        by = "the program that trained it" if learned == launch.run.path else layout.near(learned)
        who = (
            f"{run} has held out {launch.held_out:,} training texts, but {by} may have learned "
            "from them before: files are chosen by texts that the run may know"
        )
    else:
        who = (
            f"{run} has held out no training texts: files are chosen by texts that it has learned "
            "from, and knows"
        )
    return f"{who} better than others. A run with --held_out={launch.held_out} keeps some apart"
