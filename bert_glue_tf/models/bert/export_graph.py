"""A trained classifier as a plain TensorFlow function, laid out for TFLite.

The same arithmetic as the Keras model, and the same logits, in a form that TFLite's kernels
take whole:

- every matrix product has two dimensions, so that it becomes FULLY_CONNECTED, for which there
  are int8 and int4 kernels; Keras's einsum becomes a batched product, for which there are none;
- the attention mask adds -30, not -1e9: one number of that size in a tensor leaves an int8
  scale nothing for the others (exp(-30) is 1e-13, below float32's resolution of a softmax);
- gamma and beta of a layer norm go into the dense layers behind it (gamma migration, Wei et
  al. 2022, "Outlier Suppression", section 4.1, https://arxiv.org/abs/2209.13325): gamma is
  what makes a few channels of BERT's activations so large that int8 loses the others;
- 1/sqrt(size of a key) goes into the query's weights;
- the last layer computes its first position only, the one that the pooler reads.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.models import saving
from bert_glue_tf.models.bert.classifier_weights import SavedWeights, read_weights

# See the module's docstring.
MASKED = -30.0
LAYER_NORM_EPSILON = 1e-12  # tf-models-official's BertEncoderV2, as BERT's own.


@dataclasses.dataclass(frozen=True)
class _Normalized:
    """A layer norm's output in two parts: `core` (mean 0, variance 1) and `core * gamma + beta`.

    Both are float32 [length, hidden].
    """

    core: tf.Tensor
    name: str
    gamma: np.ndarray
    beta: np.ndarray

    def first(self) -> _Normalized:
        """The first position alone: [1, hidden]."""
        return dataclasses.replace(self, core=self.core[:1])


class OpaqueGraph(tf.Module):
    """A classifier whose encoder is not ours: its SavedModel as it is.

    Args:
      folder: of the saved model.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(name="classifier")
        self._saved = tf.saved_model.load(str(folder))

    def function(self, length: int) -> tf.types.experimental.ConcreteFunction:
        """As `ExportGraph.function`."""
        specs = [tf.TensorSpec([1, length], tf.int32, name=name) for name in INPUTS]

        @tf.function
        def classify(
            input_word_ids: tf.Tensor, input_mask: tf.Tensor, input_type_ids: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            features = (input_word_ids, input_mask, input_type_ids)
            return {"logits": self._saved.serve(dict(zip(INPUTS, features, strict=True)))["logits"]}

        return classify.get_concrete_function(*specs)


def load(folder: pathlib.Path) -> ExportGraph | OpaqueGraph:
    """The inference graph of a saved model.

    Raises:
      UserError: the folder holds no model.
    """
    if saving.read_description(folder)["encoder"] is None:
        return OpaqueGraph(folder)
    return ExportGraph(read_weights(folder))


class ExportGraph(tf.Module):
    """The classifier for one example at a time; shapes are static, for one length a function.

    Args:
      weights: of the trained classifier. The number of heads, the sizes of keys and values
        and the inner width are read from each layer's own weights.
    """

    def __init__(self, weights: SavedWeights) -> None:
        super().__init__(name="classifier")
        self._architecture = weights.architecture
        head = {"classifier/kernel": weights.kernel, "classifier/bias": weights.bias}
        # A function, since tf.Module would take the arrays of a dict for part of its state.
        self._weight = {**weights.encoder, **head}.__getitem__
        self._shared: dict[str, tf.Variable] = {}

    def function(self, length: int) -> tf.types.experimental.ConcreteFunction:
        """int32 [1, length] features, by name, to {"logits": float32 [1, classes]}.

        Raises:
          UserError: the encoder has fewer positions than `length`.
        """
        positions = self._architecture.positions
        if length > positions:
            raise UserError(f"length {length}: the encoder has only {positions} positions.")
        specs = [tf.TensorSpec([1, length], tf.int32, name=name) for name in INPUTS]

        # The parameters' names become the names of the signature's inputs.
        @tf.function
        def classify(
            input_word_ids: tf.Tensor, input_mask: tf.Tensor, input_type_ids: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            return {"logits": self._logits(input_word_ids[0], input_mask, input_type_ids[0])}

        return classify.get_concrete_function(*specs)

    def _share(self, name: str, value: np.ndarray) -> tf.Variable:
        """One variable for a value, whatever number of functions reads it.

        As constants each function would carry its own copy through the converter: twice
        the time and memory for three lengths.
        """
        if name not in self._shared:
            with tf.init_scope():
                self._shared[name] = tf.Variable(value, trainable=False, name=name)
        return self._shared[name]

    def _logits(self, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor) -> tf.Tensor:
        hidden = self._embed(ids, types)
        bias = (1.0 - tf.cast(mask, tf.float32)) * MASKED
        layers = self._architecture.layers
        for index in range(layers):
            with tf.name_scope(f"layer_{index}"):
                hidden = self._layer(
                    f"transformer/layer_{index}", hidden, bias, is_last=index == layers - 1
                )
        with tf.name_scope("pooler"):
            pooled = tf.tanh(self._dense(hidden, "pooler_transform"))
        with tf.name_scope("classifier"):
            return self._dense(pooled, "classifier")

    def _embed(self, ids: tf.Tensor, types: tf.Tensor) -> _Normalized:
        def table(name: str) -> tf.Variable:
            return self._share(f"{name}/embeddings", self._weight(f"{name}/embeddings"))

        with tf.name_scope("embeddings"):
            total = (
                tf.nn.embedding_lookup(table("word_embeddings"), ids)
                + tf.nn.embedding_lookup(table("type_embeddings"), types)
                + self._weight("position_embedding/embeddings")[: ids.shape[0]]
            )
            return self._normalize(total, "embeddings/layer_norm")

    def _layer(
        self, prefix: str, hidden: _Normalized, bias: tf.Tensor, is_last: bool
    ) -> _Normalized:
        # Keys and values need every position, what comes after the attention only those
        # that somebody reads.
        queried = hidden.first() if is_last else hidden
        with tf.name_scope("self_attention"):
            attention = self._attention(f"{prefix}/self_attention", queried, hidden, bias)
        with tf.name_scope("self_attention_layer_norm"):
            attended = self._normalize(
                attention + self._value(queried), f"{prefix}/self_attention_layer_norm"
            )
        with tf.name_scope("intermediate"):
            inner = self._activation(self._dense(attended, f"{prefix}/intermediate"))
        with tf.name_scope("output"):
            output = self._dense(inner, f"{prefix}/output")
        with tf.name_scope("output_layer_norm"):
            return self._normalize(output + self._value(attended), f"{prefix}/output_layer_norm")

    def _attention(
        self, prefix: str, queried: _Normalized, hidden: _Normalized, bias: tf.Tensor
    ) -> tf.Tensor:
        heads, key_dim = self._weight(f"{prefix}/key/kernel").shape[1:]
        value_dim = self._weight(f"{prefix}/value/kernel").shape[2]

        def project(part: str, source: _Normalized, scale: float = 1.0) -> tf.Tensor:
            with tf.name_scope(part):
                flat = self._dense(source, f"{prefix}/{part}", scale)
                return tf.transpose(
                    tf.reshape(flat, [-1, heads, flat.shape[1] // heads]), [1, 0, 2]
                )

        query = project("query", queried, scale=1.0 / np.sqrt(key_dim))
        key, value = project("key", hidden), project("value", hidden)
        with tf.name_scope("scores"):
            weights = tf.nn.softmax(tf.matmul(query, key, transpose_b=True) + bias)
        with tf.name_scope("context"):
            context = tf.transpose(tf.matmul(weights, value), [1, 0, 2])
            context = tf.reshape(context, [-1, heads * value_dim])
        with tf.name_scope("attention_output"):
            return self._dense(context, f"{prefix}/attention_output")

    def _normalize(self, total: tf.Tensor, name: str) -> _Normalized:
        mean = tf.reduce_mean(total, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.math.squared_difference(total, mean), axis=-1, keepdims=True)
        return _Normalized(
            (total - mean) * tf.math.rsqrt(variance + LAYER_NORM_EPSILON),
            name,
            self._weight(f"{name}/gamma"),
            self._weight(f"{name}/beta"),
        )

    def _value(self, normalized: _Normalized) -> tf.Tensor:
        gamma = self._share(f"{normalized.name}/gamma", normalized.gamma)
        return normalized.core * gamma + self._share(f"{normalized.name}/beta", normalized.beta)

    def _activation(self, inner: tf.Tensor) -> tf.Tensor:
        name = self._architecture.activation
        if name == "relu":
            return tf.nn.relu(inner)
        return tf.nn.gelu(inner, approximate=name == "gelu_tanh")

    def _dense(self, source: _Normalized | tf.Tensor, name: str, scale: float = 1.0) -> tf.Tensor:
        """`(source @ kernel + bias) * scale`; a layer norm's gamma and beta move into both."""
        # In float64, so that moving factors costs no precision.
        bias = self._weight(f"{name}/bias").reshape(-1).astype(np.float64) * scale
        kernel = self._weight(f"{name}/kernel").astype(np.float64) * scale
        # Attention kernels keep their heads apart: [in, heads, size] or [heads, size, out].
        kernel = kernel.reshape(-1, len(bias))
        if isinstance(source, _Normalized):
            bias = bias + source.beta @ kernel
            kernel = source.gamma[:, None] * kernel
            source = source.core
        return tf.nn.bias_add(
            tf.matmul(source, self._share(f"{name}/kernel", kernel.astype(np.float32))),
            self._share(f"{name}/bias", bias.astype(np.float32)),
        )
