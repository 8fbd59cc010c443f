"""Hints: what a student learns of the inside of its teacher's encoder, besides its answers.

The word is that of Romero et al. 2015, "FitNets: Hints for Thin Deep Nets"
(https://arxiv.org/abs/1412.6550). A new hint is one subclass of `Hint`.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from bert_glue_tf.models.tokens import Tokens
from bert_glue_tf.training.token_rows import TokenRows


@dataclasses.dataclass(frozen=True)
class Hint(abc.ABC):
    """What a teacher has computed for each token of the training texts.

    Attributes:
      rows: the teacher's, float16 [tokens, ...].
      weight: of the distance in the loss.
    """

    rows: TokenRows
    weight: float

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Its name among the targets of a batch, and among what a student has computed."""

    def targets(self) -> dict[str, Any]:
        """Return name -> what batches are given of the teacher's, indexed by text."""
        return {self.name: self.rows, f"{self.name}_lengths": self.rows.lengths}

    @abc.abstractmethod
    def select(self, outputs: Mapping[str, Any]) -> Any:
        """Return what of the outputs of the student's encoder is compared with the teacher's."""

    def losses(
        self,
        targets: Mapping[str, tf.Tensor],
        found: Any,
        features: Mapping[str, tf.Tensor],
    ) -> tf.Tensor:
        """Return what the hint adds to the loss of each example of a batch.

        Args:
          targets: those of the batch, as `targets` names them.
          found: what `select` has chosen, computed for the batch.
          features: of the batch.

        Returns:
          float32 [batch].
        """
        wanted = targets[self.name]
        tokens = Tokens.of(features, targets[f"{self.name}_lengths"], tf.shape(wanted)[0])
        return self.weight * self._distances(tokens, wanted, found)

    @abc.abstractmethod
    def _distances(self, tokens: Tokens, wanted: tf.Tensor, found: Any) -> tf.Tensor:
        """Return how far each text is from the teacher: float32 [batch].

        Args:
          tokens: of the batch's texts.
          wanted: float16 [m, ...], the teacher's, for each of these tokens.
          found: as for `losses`.
        """


@dataclasses.dataclass(frozen=True)
class LayerStates(Hint):
    """States of layers: |s / |s| - t / |t||^2, in the mean over a text's tokens and the layers.

    s is the student's state of a token and t the teacher's (Sun et al. 2019, "Patient Knowledge
    Distillation for BERT Model Compression", https://arxiv.org/abs/1908.09355, equation 7, there of
    the first token, with the sum over the layers). It is from 0 to 4, and 2 for states at right
    angles.

    Attributes:
      rows: the teacher's directions, [tokens, layers, hidden].
      layers: of the student, from 1.
      are_whole: for each layer, whether the student computes all of its tokens; of the others, as
        the last one of packed texts, only the first token is learned.
    """

    layers: Sequence[int]
    are_whole: Sequence[bool]

    @property
    def name(self) -> str:
        return "teacher_states"

    def select(self, outputs: Mapping[str, Any]) -> list[Any]:
        """Return the outputs of the layers, [rows, width, hidden] each."""
        return [outputs["encoder_outputs"][layer - 1] for layer in self.layers]

    def _distances(
        self, tokens: Tokens, wanted: tf.Tensor, found: Sequence[tf.Tensor]
    ) -> tf.Tensor:
        distances = []
        for place, (hidden, is_whole) in enumerate(zip(found, self.are_whole, strict=True)):
            theirs = wanted[:, place]
            if is_whole:
                distances.append(tokens.means(_apart(tokens.of_rows(hidden), theirs)))
            else:  # [texts, 1 or more, hidden].
                first = tf.cast(hidden[:, 0], tf.float32)
                distances.append(_apart(first, tf.gather(theirs, tokens.firsts)))
        return tf.reduce_mean(tf.stack(distances), axis=0)


def _apart(states: tf.Tensor, directions: tf.Tensor) -> tf.Tensor:
    """Return the squared distances of states, at length 1, and directions: float32 [m]."""
    ours = tf.math.l2_normalize(states, axis=-1)
    return tf.reduce_sum(tf.square(ours - tf.cast(directions, tf.float32)), axis=-1)
