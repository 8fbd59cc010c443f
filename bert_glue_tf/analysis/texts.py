"""The texts of the training split that parts of a finished classifier are judged by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from absl import logging

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import batching, preprocessing
from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.training import task_settings

_TRAIN = "train"


@dataclasses.dataclass(frozen=True)
class Texts:
    """Some examples of the training split; no validation or test split is ever looked at.

    Attributes:
      examples: a fixed choice.
      held_out: True where the run has not trained on them.
    """

    examples: Examples
    held_out: bool

    def tokenize(self, run: Run) -> Split:
        """Return them in the word pieces of a run's classifier."""
        folder = str(run.folder.model / "preprocessing")
        preprocessor = preprocessing.of_task(
            preprocessing.load(folder, folder),
            run.task,
            run.config.seq_length,
            run.config.truncation,
        )
        return batching.tokenize(preprocessor, _TRAIN, self.examples)


def choose(run: Run, read: Mapping[str, Examples], count: int) -> Texts:
    """Return texts that the run has held out, and without such texts some that it has trained on.

    Args:
      run: a finished one.
      read: split -> examples, as `readers.load_for_training` gives them for the run.
      count: how many are wanted.

    Raises:
      UserError: the training split has changed since, or has no labels.
    """
    train = read[_TRAIN]
    then, now = (str(one["sha256"]) for one in (run.result.data[_TRAIN], train.provenance))
    if then != now:
        raise UserError(
            f"--run={run.path}: its training data has changed since it was trained ({then[:12]} "
            f"then, {now[:12]} now, from --data={run.config.data}). Restore the data: which texts "
            "the run has held out cannot be told from other ones."
        )
    kept_apart = task_settings.held_out_of(run.config, run.task, len(train))
    seen, held_out = train.hold_out(kept_apart, run.task.problem)
    chosen = (seen if held_out is None else held_out).take(count)
    if chosen.labels is None:
        raise UserError(f"--run={run.path}: its training split has no labels.")
    if held_out is None:
        logging.warning(
            "the run has trained on the %s texts that its parts are measured by, and knows them "
            "better than others; a run with --held_out=%s keeps some apart",
            f"{len(chosen):,}",
            count,
        )
    elif len(chosen) < count:
        logging.info("the run has held out %s texts: all are used", f"{len(chosen):,}")
    return Texts(chosen, held_out is not None)
