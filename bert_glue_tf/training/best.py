"""The epoch with the best score: its weights are kept, and are the run's at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import tensorflow as tf
import tf_keras
from absl import logging

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core.progress import doing
from bert_glue_tf.training.checkpoints import Checkpoints
from bert_glue_tf.training.inputs import Inputs
from bert_glue_tf.training.job import Job
from bert_glue_tf.training.network import Network
from bert_glue_tf.training.plan import Plan


def first_whole_epoch(job: Job, plan: Plan) -> int:
    """Return the first epoch, from 1, that ends with the final sparsity."""
    is_pruned = job.config.pruning_method != NO_PRUNING
    last = plan.method.last_step(plan.context) if is_pruned else 0
    return max(1, math.ceil(last / plan.steps_per_epoch))


class BestEpoch(tf_keras.callbacks.Callback):
    """Keeps the weights and masks of the epoch with the best primary metric.

    The metric is the mean over the validation splits; a test split is never looked at. Where
    something is pruned, only epochs count that end with the final sparsity, and none that ends at
    the step of --keep_after or before. A run that goes on knows the scores of its earlier epochs
    from the history. Weights of an epoch that it trains again, since its process was killed after
    they were kept and before the training itself was saved, are removed: that epoch is judged anew,
    and need not repeat bit for bit.

    Attributes:
      epoch: the best one, from 1; 0 where there is none yet.
    """

    def __init__(
        self,
        job: Job,
        inputs: Inputs,
        plan: Plan,
        network: Network,
        rows: Sequence[Mapping[str, str]],
        saved_step: int,
    ) -> None:
        """Take the run, and what its history holds of earlier epochs.

        Args:
          job, inputs, plan, network: of the run.
          rows: a dict of text for each epoch after which, or later, the training was saved.
          saved_step: after which the training was saved last; 0 where it begins.
        """
        super().__init__()
        task = inputs.task
        self._names = [f"val_{task.primary_metric}{end}" for end in task.validation_splits]
        self._steps = plan.steps_per_epoch
        after = math.ceil((job.config.keep_after + 1) / self._steps)
        self._first = max(first_whole_epoch(job, plan), after if job.config.keep_after else 1)
        self._folder = job.folder.best
        self._states = Checkpoints(self._folder, 0, last_step=saved_step)
        self._state = tf.train.Checkpoint(model=network.model, pruning=plan.method.state())
        self.epoch = self._states.step // self._steps
        self._score = -math.inf
        if 0 < self.epoch <= len(rows):  # Where the history is lost, any score is better.
            self._score = self._mean({n: float(v) for n, v in rows[self.epoch - 1].items() if v})

    def _mean(self, logs: Mapping[str, float]) -> float:
        values = [logs.get(name, math.nan) for name in self._names]
        return sum(values) / len(values)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Keep the epoch's weights where no earlier score is better; NaN is never kept.

        Of equal scores the later one has trained for longer: as long as no probability of rare
        labels reaches the threshold, every epoch has the same.
        """
        score = self._mean(logs or {})
        # Of the last one that is known to be pruned to the end, the run has some weights at least.
        if epoch + 1 >= self._first and score >= self._score:
            self._score, self.epoch = score, epoch + 1
            with doing("keeping the best weights so far", is_logged=False):
                self._states.save(self._state, self.epoch * self._steps)

    def restore(self) -> bool:
        """Give the model the weights of the best epoch, and say which one that is.

        Without one (all scores are NaN) the last one's stay. Returns whether there is one.
        """
        if not self.epoch:
            logging.warning(
                "--keep=best: no epoch that counts has a score; the last one's weights are kept"
            )
            return False
        Checkpoints(self._folder, 0).restore(self._state)
        logging.info("--keep=best: the weights of epoch %d, score %.4f", self.epoch, self._score)
        return True
