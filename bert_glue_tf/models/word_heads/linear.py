"""The dense layer alone, as Devlin et al. 2019 tag words (https://arxiv.org/abs/1810.04805)."""

from __future__ import annotations

import tensorflow as tf

from bert_glue_tf.models.word_heads.sequences import WordHead


class Linear(WordHead):
    """Hands the encoder's output on: each token is tagged by itself."""

    def call(
        self, hidden: tf.Tensor, is_token: tf.Tensor, training: bool | None = None
    ) -> tf.Tensor:
        del is_token, training
        return hidden
