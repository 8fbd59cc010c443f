"""The runs that a run has started from: texts that these have learned from are not held out."""

from __future__ import annotations

import pathlib

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.training import task_settings


def who_learned(run: Run, held_out: int) -> pathlib.Path | None:
    """Return the run that may have learned from the texts that a run keeps apart; None for none.

    It is the run itself where another program has trained it, or one of those that it started from,
    one after the other, with the same training texts. One that is not there any more may have
    learned from them too.

    Args:
      run: a finished one.
      held_out: number of training texts that it keeps apart.
    """
    one = run
    while one.config.start:
        path = pathlib.Path(one.config.start)
        try:
            one = Run.read(path, "start")
        except UserError:
            return path
        if _may_know(one, run, held_out):
            return path
    return run.path if _is_foreign(run) else None


def _is_foreign(run: Run) -> bool:
    """Tell if another program has trained a run, on what texts nobody knows."""
    return not (run.config.epochs or run.config.start)


def _may_know(before: Run, run: Run, held_out: int) -> bool:
    """Tell if an earlier run may have learned from the texts that a later one keeps apart.

    Of one and the same training split the texts kept apart are a fixed choice, and a larger number
    of them contains a smaller one.
    """
    then, now = (one.result.data.get("train", {}) for one in (before, run))
    # A table that is divided by the run has the checksum of its file besides that of its part.
    if then.get("file_sha256", then.get("sha256")) != now.get("file_sha256", now.get("sha256")):
        return False
    is_same = then.get("sha256") == now.get("sha256") and _taken(before) == _taken(run)
    own = task_settings.held_out_of(before.config, before.task, _taken(before))
    return _is_foreign(before) or not (is_same and own >= held_out)


def _taken(run: Run) -> int:
    """Return how many training texts a run has taken, before any were kept apart."""
    whole = int(run.result.data.get("train", {}).get("split_examples", 0))
    return min(run.config.train_examples or whole, whole)
