"""A recurrent layer: GRU of Li et al. 2019."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from bert_glue_tf.models.word_heads import steps
from bert_glue_tf.models.word_heads.sequences import WordHead

_Step = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


class Gru(WordHead):
    """Reads the tokens of a text one after the other, with layer norms in the gates.

    r, z = sigmoid(LN(Wx x) + LN(Wh h)), n = tanh(LN(Wxn x) + r LN(Whn h)), h = (1 - z) n + z h:
    Li et al. 2019 (https://arxiv.org/abs/1910.00883), section 2.2, equation 5. As in their code it
    reads in both directions with the same weights, and each direction has half of the width.
    """

    def build(self, input_shape: Any) -> None:
        """Make the weights."""
        width = input_shape[-1]
        self._units = units = max(1, width // 2)
        weights = steps.Weights(self, self.seed)
        self._of_input = weights.dense("input/gates", width, 2 * units)
        self._of_new = weights.dense("input/new", width, units)
        self._of_state = weights.dense("state/gates", units, 2 * units)
        self._of_old = weights.dense("state/new", units, units)
        self._norms = {
            name: weights.norm(f"{name}/layer_norm", size)
            for name, size in (
                ("input/gates", 2 * units),
                ("input/new", units),
                ("state/gates", 2 * units),
                ("state/new", units),
            )
        }
        (self._last,) = self.dropouts(1)
        super().build(input_shape)

    def call(
        self, hidden: tf.Tensor, is_token: tf.Tensor, training: bool | None = None
    ) -> tf.Tensor:
        gates = self._normed("input/gates", steps.dense(hidden, self._of_input))
        new = self._normed("input/new", steps.dense(hidden, self._of_new))
        mask = tf.cast(is_token, hidden.dtype)[..., None]
        # [positions, both directions of all texts, size], of which the second half is backwards.
        moments = [_both_ways(one) for one in (gates, new, mask)]
        states = self._states(moments)
        texts = tf.shape(hidden)[0] if hidden.shape[0] is None else hidden.shape[0]
        onwards, back = states[:, :texts], states[::-1, texts:]
        return self._last(tf.transpose(tf.concat([onwards, back], axis=-1), [1, 0, 2]))

    def _states(self, moments: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the state after each token: [positions, directions of texts, units]."""
        first = tf.zeros_like(moments[1][0])
        if moments[0].shape[0] is None:
            return tf.scan(self._next, tuple(moments), first)
        # A loop is a graph of its own, which no file's recipe quantizes.
        states = [first]
        for place in range(moments[0].shape[0]):
            gates, new, mask = (one[place] for one in moments)
            states.append(self._next(states[-1], (gates, new, mask)))
        return tf.stack(states[1:])

    def _next(self, state: tf.Tensor, moment: _Step) -> tf.Tensor:
        """Return the state after one more token; where there is none it is zero."""
        of_input, of_new, mask = moment
        gates = self._normed("state/gates", steps.dense(state, self._of_state))
        reset, update = tf.split(tf.sigmoid(of_input + gates), 2, axis=-1)
        old = self._normed("state/new", steps.dense(state, self._of_old))
        new = tf.tanh(of_new + reset * old)
        return ((1.0 - update) * new + update * state) * mask

    def _normed(self, name: str, values: tf.Tensor) -> tf.Tensor:
        return steps.norm(values, self._norms[name])


def _both_ways(values: tf.Tensor) -> tf.Tensor:
    """Return [positions, 2 texts, size] of [texts, positions, size]: onwards, then backwards."""
    onwards = tf.transpose(values, [1, 0, 2])
    return tf.concat([onwards, onwards[::-1]], axis=1)
