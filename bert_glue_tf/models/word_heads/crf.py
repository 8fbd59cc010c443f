"""A chain of tags: CRF of Li et al. 2019."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from bert_glue_tf.data.keras_metrics import LossOfChains
from bert_glue_tf.data.problems.tagging import USUAL_WORDS
from bert_glue_tf.models.word_heads.sequences import WordHead


class Crf(WordHead):
    """Learns how likely one tag follows another, besides how likely it is of its token.

    Lafferty et al. 2001; as in Li et al. 2019 (https://arxiv.org/abs/1910.00883), section 2.2,
    equations 6 and 7. The chain goes over the words of a text, by the pieces that learn their tags.
    The network gives the scores of tokens alone: the best chain is found outside of it
    (`Tagging.transitions`), since TFLite has no operator for it.
    """

    def build(self, input_shape: Any) -> None:
        """Make the scores of one tag behind another, which begin with 0 as if there were none."""
        # Rows: the tag before, the beginning, and the end; columns: the tag.
        self._transitions = self.add_weight(
            "transitions", (self.width + 2, self.width), tf.float32, "zeros"
        )
        super().build(input_shape)

    def call(
        self, hidden: tf.Tensor, is_token: tf.Tensor, training: bool | None = None
    ) -> tf.Tensor:
        del is_token, training
        return hidden

    def losses(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return LossOfChains(USUAL_WORDS, self._transitions).call(labels, logits)

    def learned(self) -> dict[str, Any]:
        rows = self._transitions.numpy().astype(float).tolist()
        return {"transitions": tuple(map(tuple, rows))}
