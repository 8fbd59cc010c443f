"""Self-attention with a residual connection: SAN of Li et al. 2019."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from bert_glue_tf.models.word_heads import steps
from bert_glue_tf.models.word_heads.sequences import WordHead


class SelfAttention(WordHead):
    """Lets the tokens of a text read each other once more: LN(x + attention(x)).

    Li et al. 2019 (https://arxiv.org/abs/1910.00883), section 2.2, equation 4.
    """

    def build(self, input_shape: Any) -> None:
        """Make the weights."""
        self._dropouts = self.dropouts(3)
        weights, width = steps.Weights(self, self.seed), input_shape[-1]
        self._attention = steps.Attention(weights, width, *self._dropouts[:2])
        super().build(input_shape)

    def call(
        self, hidden: tf.Tensor, is_token: tf.Tensor, training: bool | None = None
    ) -> tf.Tensor:
        return self._dropouts[-1](self._attention(hidden, is_token))
