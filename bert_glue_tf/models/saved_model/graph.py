"""A classifier as its SavedModel computes it, for the converter of an export."""

from __future__ import annotations

import pathlib

import tensorflow as tf

from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.models import saving


class SavedGraph(tf.Module):
    """A saved classifier as it is.

    Args:
      folder: of the saved model.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(name="classifier")
        self._saved = saving.load_saved(folder)

    def function(self, length: int, texts: int = 1) -> tf.types.experimental.ConcreteFunction:
        """Return int32 [texts, length] features, by name, to {"logits": [texts, classes]}."""
        specs = [tf.TensorSpec([texts, length], tf.int32, name=name) for name in INPUTS]

        @tf.function
        def classify(
            input_word_ids: tf.Tensor, input_mask: tf.Tensor, input_type_ids: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            features = (input_word_ids, input_mask, input_type_ids)
            return {"logits": self._saved.serve(dict(zip(INPUTS, features, strict=True)))["logits"]}

        return classify.get_concrete_function(*specs)

    def without_table(self) -> None:
        """Return None: which of the weights is the table is not known of a SavedModel."""
