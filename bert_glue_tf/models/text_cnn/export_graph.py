"""A trained classifier as a plain TensorFlow function, for the converter to TFLite."""

from __future__ import annotations

import tensorflow as tf

from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.models.text_cnn import forward
from bert_glue_tf.models.text_cnn.classifier_weights import ClassifierWeights


class ExportGraph(tf.Module):
    """The classifier for texts of one length; shapes are static, a function for each.

    Args:
      weights: of the trained classifier.
    """

    def __init__(self, weights: ClassifierWeights) -> None:
        super().__init__(name="classifier")
        self._architecture = weights.architecture
        head = {"classifier/kernel": weights.kernel, "classifier/bias": weights.bias}
        # One variable for a value, whatever number of functions reads it.
        self._variables = {
            name: tf.Variable(value, trainable=False, name=name)
            for name, value in {**weights.encoder, **head}.items()
        }

    def function(self, length: int, texts: int = 1) -> tf.types.experimental.ConcreteFunction:
        """Return int32 [texts, length] features, by name, to {"logits": [texts, classes]}."""
        specs = [tf.TensorSpec([texts, length], tf.int32, name=name) for name in INPUTS]

        # The parameters' names become the names of the signature's inputs.
        @tf.function
        def classify(
            input_word_ids: tf.Tensor, input_mask: tf.Tensor, input_type_ids: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            del input_type_ids  # It says nothing here; files of all encoders are called alike.
            weights = self._variables
            features = {"input_word_ids": input_word_ids, "input_mask": input_mask}
            encoded = forward.encode(weights, self._architecture, features)
            with tf.name_scope("classifier"):
                logits = tf.matmul(encoded["pooled_output"], weights["classifier/kernel"])
                return {"logits": tf.nn.bias_add(logits, weights["classifier/bias"])}

        return classify.get_concrete_function(*specs)

    def without_table(self) -> None:
        """Return None: the word vectors are not so large that a converter could not hold them."""
