"""A Transformer layer: TFM of Li et al. 2019."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from bert_glue_tf.models.word_heads import steps
from bert_glue_tf.models.word_heads.sequences import WordHead


class Transformer(WordHead):
    """Puts one more layer of a Transformer onto the encoder.

    h = LN(x + attention(x)), LN(h + W2 relu(W1 h)), with four times as many units inside: Li et
    al. 2019 (https://arxiv.org/abs/1910.00883), section 2.2, equations 2 and 3.
    """

    def build(self, input_shape: Any) -> None:
        """Make the weights."""
        width = input_shape[-1]
        weights = steps.Weights(self, self.seed)
        self._dropouts = self.dropouts(5)
        self._attention = steps.Attention(weights, width, *self._dropouts[:2])
        self._inner = weights.dense("intermediate", width, 4 * width)
        self._output = weights.dense("output", 4 * width, width)
        self._norm = weights.norm("output/layer_norm", width)
        super().build(input_shape)

    def call(
        self, hidden: tf.Tensor, is_token: tf.Tensor, training: bool | None = None
    ) -> tf.Tensor:
        inside, behind, last = self._dropouts[2:]
        hidden = self._attention(hidden, is_token)
        inner = inside(tf.nn.relu(steps.dense(hidden, self._inner)))
        output = behind(steps.dense(inner, self._output))
        return last(steps.norm(hidden + output, self._norm))
