"""A trained classifier as a plain TensorFlow function, for the converter to TFLite."""

from __future__ import annotations

import tensorflow as tf

from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.models.text_cnn import forward
from bert_glue_tf.models.text_cnn.classifier_weights import ClassifierWeights
from bert_glue_tf.models.word_heads import registry
from bert_glue_tf.models.word_heads.names import PLAIN, WORD_HEAD
from bert_glue_tf.models.word_heads.sequences import WordHead


class ExportGraph(tf.Module):
    """The classifier for texts of one length; shapes are static, a function for each.

    Args:
      weights: of the trained classifier.
    """

    def __init__(self, weights: ClassifierWeights) -> None:
        super().__init__(name="classifier")
        self._architecture = weights.architecture
        self._word_head = weights.word_head
        self._head_weights = lambda: weights.head  # No part of the module's state.
        self._built: WordHead | None = None
        head = {"classifier/kernel": weights.kernel, "classifier/bias": weights.bias}
        # One variable for a value, whatever number of functions reads it.
        self._variables = {
            name: tf.Variable(value, trainable=False, name=name)
            for name, value in {**weights.encoder, **head}.items()
        }

    def function(self, length: int, texts: int = 1) -> tf.types.experimental.ConcreteFunction:
        """Return int32 [texts, length] features, by name, to {"logits": [texts, classes]}.

        Where words are tagged each position has logits: [texts, length, tags].
        """
        specs = [tf.TensorSpec([texts, length], tf.int32, name=name) for name in INPUTS]

        # The parameters' names become the names of the signature's inputs. No branch or loop of
        # Python depends on a tensor, so that nothing is to be translated, which takes seconds.
        @tf.function(autograph=False)
        def classify(
            input_word_ids: tf.Tensor, input_mask: tf.Tensor, input_type_ids: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            del input_type_ids  # It says nothing here; files of all encoders are called alike.
            features = {"input_word_ids": input_word_ids, "input_mask": input_mask}
            encoded = forward.encode(self._variables, self._architecture, features)
            if not self._word_head:
                return {"logits": self._classified(encoded["pooled_output"])}
            hidden = encoded["sequence_output"]
            if self._word_head not in PLAIN:
                with tf.name_scope(WORD_HEAD):
                    hidden = self._head(hidden.shape[-1])(hidden, tf.cast(input_mask, tf.bool))
            logits = self._classified(tf.reshape(hidden, [-1, hidden.shape[-1]]))
            return {"logits": tf.reshape(logits, [texts, length, -1])}

        return classify.get_concrete_function(*specs)

    def _classified(self, source: tf.Tensor) -> tf.Tensor:
        """Return the output of the dense layer that ends the classifier."""
        with tf.name_scope("classifier"):
            logits = tf.matmul(source, self._variables["classifier/kernel"])
            return tf.nn.bias_add(logits, self._variables["classifier/bias"])

    def _head(self, size: int) -> WordHead:
        """Return the head of words, built once for all functions."""
        if self._built is None:
            with tf.init_scope():
                width = self._variables["classifier/bias"].shape[0]
                self._built = registry.restored(self._word_head, width, size, self._head_weights())
        return self._built

    def without_table(self) -> None:
        """Return None: the word vectors are not so large that a converter could not hold them."""
