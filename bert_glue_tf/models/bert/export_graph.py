"""A trained classifier as a plain TensorFlow function, laid out for TFLite.

A BERT encoder is computed by `forward.encode`, as in training, with the steps of
`arithmetic_export`.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.models import parts
from bert_glue_tf.models.bert import forward, structure
from bert_glue_tf.models.bert.arithmetic_export import ExportArithmetic
from bert_glue_tf.models.bert.classifier_weights import SavedWeights
from bert_glue_tf.models.bert.on_demand import joined
from bert_glue_tf.models.word_heads import registry
from bert_glue_tf.models.word_heads.names import PLAIN, WORD_HEAD
from bert_glue_tf.models.word_heads.sequences import WordHead


class ExportGraph(tf.Module):
    """The classifier for texts of one length; shapes are static, a function for each.

    Args:
      weights: of the trained classifier. The number of heads, the sizes of keys and values
        and the inner width are read from each layer's own weights.
      quantize: is called at the points of `forward`, and at those of the classifier
        (`classifier/kernel`, `classifier/bias`, `classifier:input`, `classifier:output`). A
        weight comes as a float32 array, and what is returned for it has to be a value.
      has_table: False puts `parts.stand_in` in the place of the word embeddings.
    """

    def __init__(
        self,
        weights: SavedWeights,
        quantize: forward.Quantize = forward.keep,
        has_table: bool = True,
    ) -> None:
        super().__init__(name="classifier")
        self._architecture = weights.architecture
        head = {"classifier/kernel": weights.kernel, "classifier/bias": weights.bias}
        own = joined(weights.encoder, head)
        # A function, since tf.Module would take the arrays of a dict for part of its state.
        self._weights = lambda: own
        self._again = lambda **changes: ExportGraph(weights, quantize, **changes)
        self._quantize = quantize
        self._word_head = weights.word_head
        self._head_weights = lambda: weights.head
        # A training for a quantized file has gamma and beta in what the classifier takes.
        self._folds = weights.trained is None
        self._has_table = has_table
        self._shared: dict[str, tf.Variable] = {}
        self._built: WordHead | None = None

    def function(self, length: int, texts: int = 1) -> tf.types.experimental.ConcreteFunction:
        """Return int32 [texts, length] features, by name, to {"logits": [texts, classes]}.

        Where words are tagged each position has logits: [texts, length, tags].

        Raises:
          UserError: the encoder has fewer positions than `length`.
        """
        positions = self._architecture.positions
        if length > positions:
            raise UserError(f"length {length}: the encoder has only {positions} positions.")
        specs = [tf.TensorSpec([texts, length], tf.int32, name=name) for name in INPUTS]

        # The parameters' names become the names of the signature's inputs. No branch or loop of
        # Python depends on a tensor, so that nothing is to be translated, which takes seconds.
        @tf.function(autograph=False)
        def classify(
            input_word_ids: tf.Tensor, input_mask: tf.Tensor, input_type_ids: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            words, types, mask = input_word_ids[0], input_type_ids[0], input_mask
            if texts > 1:
                words, types = (tf.reshape(one, [-1]) for one in (input_word_ids, input_type_ids))
                mask = tf.reshape(input_mask, [texts, 1, 1, length])
            inputs = forward.Inputs(words, types, mask)
            if not self._word_head:
                return {"logits": self._logits(inputs, texts)}
            return {"logits": self._word_logits(inputs, input_mask, texts)}

        return classify.get_concrete_function(*specs)

    def without_table(self) -> parts.WithoutTable:
        """Return the graph with a few rows in the place of its word embeddings."""
        return parts.WithoutTable(
            self._again(has_table=False),
            lambda: self._at(structure.TABLE, self._weights()[structure.TABLE]),
        )

    def _logits(self, inputs: forward.Inputs, texts: int) -> tf.Tensor:
        arithmetic, encoded = self._encoded(inputs, texts)
        return self._classified(arithmetic, encoded.pooled)

    def _word_logits(self, inputs: forward.Inputs, mask: tf.Tensor, texts: int) -> tf.Tensor:
        """Return the logits of each position; `mask` is int32 [texts, length]."""
        arithmetic, encoded = self._encoded(inputs, texts)
        last = encoded.layers[-1]
        if self._word_head in PLAIN:
            source = last if self._folds else arithmetic.plain(last)
            logits = self._classified(arithmetic, source)
        else:
            hidden = tf.reshape(arithmetic.plain(last), [*mask.shape, -1])
            with arithmetic.scope(WORD_HEAD):
                found = self._head(hidden.shape)(hidden, tf.cast(mask, tf.bool))
            logits = self._classified(arithmetic, tf.reshape(found, [-1, found.shape[-1]]))
        return tf.reshape(logits, [*mask.shape, -1])

    def _head(self, shape: tf.TensorShape) -> WordHead:
        """Return the head of words, built once for all functions."""
        if self._built is None:
            with tf.init_scope():
                width = len(self._weights()["classifier/bias"])
                head = self._word_head
                self._built = registry.restored(head, width, shape[-1], self._head_weights())
        return self._built

    def _encoded(self, inputs: forward.Inputs, texts: int) -> tuple[ExportArithmetic, Any]:
        arithmetic = ExportArithmetic(
            self._architecture.activation,
            self._architecture.pooler_activation,
            self._share,
            self._architecture.layer_norm_epsilon,
            texts,
            bool(self._word_head),
        )
        layers = self._architecture.layers
        return arithmetic, forward.encode(self._weights(), inputs, arithmetic, layers, self._at)

    def _classified(self, arithmetic: ExportArithmetic, source: Any) -> tf.Tensor:
        """Return the output of the dense layer that ends the classifier."""
        with arithmetic.scope("classifier"):
            name = "classifier"
            at_input = functools.partial(self._at, f"{name}:input")
            source = arithmetic.change(source, at_input)
            kernel, bias = (
                self._at(f"{name}/{leaf}", self._weights()[f"{name}/{leaf}"])
                for leaf in ("kernel", "bias")
            )
            return self._at(f"{name}:output", arithmetic.dense(source, name, kernel, bias))

    def _at(self, point: str, tensor: Any) -> Any:
        """Return what stands for a tensor at a point; for a weight, computed now."""
        if not isinstance(tensor, np.ndarray):
            return self._quantize(point, tensor)
        with tf.init_scope():
            return np.asarray(self._quantize(point, tensor))

    def _share(self, name: str, value: np.ndarray) -> tf.Variable:
        """Return one variable for a value, whatever number of functions reads it.

        As constants each function would carry its own copy through the converter: twice
        the time and memory for three lengths.
        """
        if name not in self._shared:
            if name == structure.TABLE and not self._has_table:
                value = parts.stand_in(value.shape[1])
            with tf.init_scope():
                self._shared[name] = tf.Variable(value, trainable=False, name=name)
        return self._shared[name]
