"""The answers of a classifier to some texts while its blocks are cut, and how far they have gone.

The states before each layer are kept, so that a cut of a late layer costs the layers behind it
alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.packing import WORD_IDS
from bert_glue_tf.models.blocks import Blocks, Cuts, State
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.search import texts
from bert_glue_tf.training import objective as objectives


@dataclasses.dataclass(frozen=True)
class Distance:
    """The distance of a cut network's answers from those of the whole one.

    Attributes:
      rise: mean distance of the answers (`Problem.distillation_loss`), 0 for the same.
      rise_error: standard error of it over the texts.
      loss_rise: by how much the mean loss rises.
    """

    rise: float
    rise_error: float
    loss_rise: float


class Answers:
    """A classifier and the texts that it is judged by.

    Attributes:
      blocks: of the classifier.
      reference: float32 [n, width], the logits of the whole network.
      loss: mean over the texts.
    """

    def __init__(self, run: Run, blocks: Blocks, split: Split) -> None:
        """Let the whole network answer.

        Args:
          run: of the classifier.
          blocks: of the classifier.
          split: texts with labels.

        Raises:
          UserError: its answers are no numbers.
        """
        self.blocks = blocks
        self._problem = run.task.problem
        self._objective = objectives.build(run.config, run.task)
        self._targets = {
            name: tf.constant(values) for name, values in self._objective.targets(split).items()
        }
        self._split = split
        self._batches = texts.batches(split)
        self._states = [list(_states(blocks, features)) for _, features in self._batches]
        self.reference = self._collected(
            {place: blocks.logits(states[-1]) for place, states in enumerate(self._states)}
        )
        if not np.isfinite(self.reference).all():
            raise UserError(
                f"--run={run.path}: the classifier answers with values that are no numbers, since "
                "its training diverged. Give another run."
            )
        self._losses = self._losses_of(self.reference)
        self.loss = float(self._losses.mean())

    def cut(self, cuts: Cuts) -> Distance:
        """Return how far the answers are with some of the blocks cut."""
        first = min((index for index, _ in cuts), default=len(self.blocks.sizes.layers))
        found = {}
        for place, states in enumerate(self._states):
            state = states[first]
            for index in range(first, len(self.blocks.sizes.layers)):
                state = self.blocks.layer(index, state, cuts)
            found[place] = self.blocks.logits(state)
        return self.distance(self._collected(found))

    def of(self, split: Split, ids: np.ndarray, cuts: Cuts) -> Distance:
        """Return how far the answers are if the texts are divided into other word pieces.

        Args:
          split: the same texts, in the pieces of a smaller vocabulary.
          ids: int64 [m], the old id of each of its pieces.
          cuts: of the blocks.
        """
        logits = np.zeros_like(self.reference)
        for some, features in texts.batches(split):
            state = self.blocks.begin({**features, WORD_IDS: ids[features[WORD_IDS]]})
            for index in range(len(self.blocks.sizes.layers)):
                state = self.blocks.layer(index, state, cuts)
            logits[some] = self.blocks.logits(state)
        return self.distance(logits)

    def distance(self, logits: np.ndarray) -> Distance:
        """Return how far logits float32 [n, width] are from those of the whole network."""
        apart = self._problem.distillation_loss(
            tf.constant(self.reference), tf.constant(logits), 1.0
        ).numpy()
        rises = self._losses_of(logits) - self._losses
        # The last digits of two equal answers differ.
        return Distance(
            rise=max(0.0, float(apart.mean(dtype=np.float64))),
            rise_error=float(apart.std(dtype=np.float64) / math.sqrt(len(apart))),
            loss_rise=float(rises.mean(dtype=np.float64)),
        )

    def _losses_of(self, logits: np.ndarray) -> np.ndarray:
        return self._objective.losses(self._targets, tf.constant(logits)).numpy()

    def _collected(self, logits: Mapping[int, np.ndarray]) -> np.ndarray:
        """Return the logits of all texts in their order."""
        found = np.zeros((len(self._split), next(iter(logits.values())).shape[1]), np.float32)
        for place, (some, _) in enumerate(self._batches):
            found[some] = logits[place]
        return found


def _states(blocks: Blocks, features: Mapping[str, np.ndarray]) -> Iterator[State]:
    """Yield the states before each layer, and the one behind the last."""
    state = blocks.begin(features)
    yield state
    for index in range(len(blocks.sizes.layers)):
        state = blocks.layer(index, state, {})
        yield state
