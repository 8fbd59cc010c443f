"""Hints: what a student learns of the inside of its teacher's encoder, besides its answers.

The word is that of Romero et al. 2015, "FitNets: Hints for Thin Deep Nets"
(https://arxiv.org/abs/1412.6550). A new hint is one subclass of `Hint`.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from bert_glue_tf.models.tokens import Tokens
from bert_glue_tf.training.token_rows import TokenRows

_LOWEST = -1e9  # A product that no softmax counts.


@dataclasses.dataclass(frozen=True)
class Hint(abc.ABC):
    """Something that a teacher has computed for each token of the training texts.

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

    def projection(self, seed: int) -> tf.Variable | None:
        """Return a variable that is trained for the hint alone, and is no part of what is saved.

        It is created under the scope of the run's strategy. None where the hint has none.

        Args:
          seed: of its first values.
        """
        del seed
        return None

    @abc.abstractmethod
    def select(self, outputs: Mapping[str, Any]) -> Any:
        """Return what of the outputs of the student's encoder is compared with the teacher's."""

    def losses(
        self,
        targets: Mapping[str, tf.Tensor],
        found: Any,
        features: Mapping[str, tf.Tensor],
        projection: tf.Variable | None = None,
    ) -> tf.Tensor:
        """Return what the hint adds to the loss of each example of a batch.

        Args:
          targets: those of the batch, as `targets` names them.
          found: what `select` has chosen, computed for the batch.
          features: of the batch.
          projection: of `projection`.

        Returns:
          float32 [batch].
        """
        wanted = targets[self.name]
        tokens = Tokens.of(features, targets[f"{self.name}_lengths"], tf.shape(wanted)[0])
        return self.weight * self._distances(tokens, wanted, found, projection)

    @abc.abstractmethod
    def _distances(
        self, tokens: Tokens, wanted: tf.Tensor, found: Any, projection: tf.Variable | None
    ) -> tf.Tensor:
        """Return how far each text is from the teacher: float32 [batch].

        Args:
          tokens: of the batch's texts.
          wanted: float16 [m, ...], the teacher's, for each of these tokens.
          found, projection: as for `losses`.
        """


@dataclasses.dataclass(frozen=True)
class LayerStates(Hint):
    """States of layers: |s / |s| - t / |t||^2, in the mean over a text's tokens and the layers.

    s is the student's state of a token and t the teacher's (Sun et al. 2019, "Patient Knowledge
    Distillation for BERT Model Compression", https://arxiv.org/abs/1908.09355, equation 7, there of
    the first token, with the sum over the layers). It is from 0 to 4, and 2 for states at right
    angles.

    Where the two differ in width, the student's is s W with one matrix W for all layers, which is
    learned (Jiao et al. 2020, "TinyBERT", https://arxiv.org/abs/1909.10351, equation 8).

    Attributes:
      rows: the teacher's directions, [tokens, layers, hidden].
      layers: of the student, from 1.
      are_whole: for each layer, whether the student computes all of its tokens; of the others, as
        the last one of packed texts, only the first token is learned.
      width: of the student's states.
    """

    layers: Sequence[int]
    are_whole: Sequence[bool]
    width: int

    @property
    def name(self) -> str:
        return "teacher_states"

    def select(self, outputs: Mapping[str, Any]) -> list[Any]:
        """Return the outputs of the layers, [rows, width, hidden] each."""
        return [outputs["encoder_outputs"][layer - 1] for layer in self.layers]

    def projection(self, seed: int) -> tf.Variable | None:
        """Return the matrix float32 [student's width, teacher's width]; None for the same width."""
        width = self.rows.rows.shape[-1]
        if width == self.width:
            return None
        first = tf_keras.initializers.GlorotUniform(seed)((self.width, width))
        return tf.Variable(first, name="distill_projection")

    def _distances(
        self,
        tokens: Tokens,
        wanted: tf.Tensor,
        found: Sequence[tf.Tensor],
        projection: tf.Variable | None,
    ) -> tf.Tensor:
        def apart(states: tf.Tensor, directions: tf.Tensor) -> tf.Tensor:
            """Return the squared distances of states, at length 1, and directions: [m]."""
            ours = states if projection is None else tf.matmul(states, projection)
            ours = tf.math.l2_normalize(ours, axis=-1)
            return tf.reduce_sum(tf.square(ours - tf.cast(directions, tf.float32)), axis=-1)

        distances = []
        for place, (hidden, is_whole) in enumerate(zip(found, self.are_whole, strict=True)):
            theirs = wanted[:, place]
            if is_whole:
                distances.append(tokens.means(apart(tokens.of_rows(hidden), theirs)))
            else:  # [texts, 1 or more, hidden].
                first = tf.cast(hidden[:, 0], tf.float32)
                distances.append(apart(first, tf.gather(theirs, tokens.firsts)))
        return tf.reduce_mean(tf.stack(distances), axis=0)


@dataclasses.dataclass(frozen=True)
class Relations(Hint):
    """Relations among the tokens of a text, of one layer's queries, keys or values.

    The features of all attention heads are divided into relation heads. Of one with d features,
    the relations of a token t are softmax(a_t A^T / sqrt(d)) over the tokens A of its text; learned
    is the Kullback-Leibler divergence of the student's from the teacher's, in the mean over the
    tokens of a text and the relation heads (Wang et al. 2021, "MiniLMv2", equations 4 to 6,
    https://arxiv.org/abs/2012.15828). So student and teacher may differ in the number of heads and
    in their widths.

    A relation head has every r-th feature here, and there as many that lie side by side: so it has
    features of every attention head, and none is left with nothing where some of these are pruned.

    Attributes:
      rows: the teacher's queries, keys or values, [tokens, 1, width].
      part: the place of these in the encoder's attention_inputs: 0, 1 or 2.
      layer: of the student, from 1.
      heads: the number r of relation heads, which divides the widths of both.
    """

    part: int
    layer: int
    heads: int

    @property
    def name(self) -> str:
        return f"teacher_relations_{self.part}"

    def select(self, outputs: Mapping[str, Any]) -> Any:
        """Return queries, keys or values, [rows, width, heads, size]."""
        return outputs["attention_inputs"][self.layer - 1][self.part]

    def _distances(
        self,
        tokens: Tokens,
        wanted: tf.Tensor,
        found: tf.Tensor,
        projection: tf.Variable | None,
    ) -> tf.Tensor:
        del projection
        shape = tf.shape(found)[:2]
        theirs = tokens.in_rows(tf.cast(wanted[:, 0], tf.float32), shape)
        ours = tf.reshape(
            tf.cast(found, tf.float32), [*tf.unstack(shape), found.shape[2] * found.shape[3]]
        )
        # Of what fills a row up each position reads the others, since a softmax over nothing
        # would be NaN; it is left out below.
        owners = tokens.in_rows(tokens.texts + 1, shape)
        is_same = tf.equal(owners[:, :, None], owners[:, None, :])[:, None]
        wanted_log, found_log = (self._log_relations(one, is_same) for one in (theirs, ours))
        apart = tf.reduce_sum(tf.exp(wanted_log) * (wanted_log - found_log), axis=-1)
        return tokens.means(tokens.of_rows(tf.reduce_mean(apart, axis=1)))

    def _log_relations(self, vectors: tf.Tensor, is_same: tf.Tensor) -> tf.Tensor:
        """Return the logarithms of relations, float32 [rows, relation heads, width, width].

        Args:
          vectors: float32 [rows, width, features].
          is_same: bool [rows, 1, width, width], where two tokens are of one text.
        """
        size = vectors.shape[-1] // self.heads
        split = tf.reshape(vectors, [*tf.unstack(tf.shape(vectors)[:2]), size, self.heads])
        products = tf.einsum("bqdr,bkdr->brqk", split, split) / math.sqrt(size)
        return tf.nn.log_softmax(tf.where(is_same, products, _LOWEST), axis=-1)
