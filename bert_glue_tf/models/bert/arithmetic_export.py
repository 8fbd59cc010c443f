"""The steps of BERT's computation laid out for TFLite, one text at a time or a few.

The same results as Keras's, in a form that TFLite's kernels take whole:

- every matrix product has two dimensions, so that it becomes FULLY_CONNECTED, for which there
  are int8 and int4 kernels; Keras's einsum becomes a batched product, for which there are none;
- the attention mask adds `parts.MASKED`, which leaves padding out to the last bit in float32. Of an
  int8 scale it would leave nothing for the scores: `export.calibration` gives padding a value that
  is as good there;
- gamma and beta of a layer norm go into the dense layers behind it (gamma migration, Wei et
  al. 2022, "Outlier Suppression", section 4.1, https://arxiv.org/abs/2209.13325): gamma is
  what makes a few channels of BERT's activations so large that int8 loses the others;
- 1/sqrt(size of a key) goes into the query's weights;
- the last layer computes its first position only, the one that the pooler reads, unless each has
  an answer;
- half a layer whose last product is zero, since all its heads or neurons are gone, is its bias.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from bert_glue_tf.models.bert.forward import Inputs
from bert_glue_tf.models.parts import MASKED


@dataclasses.dataclass(frozen=True)
class Normalized:
    """A layer norm's output in two parts: `core` (mean 0, variance 1) and `core * gamma + beta`.

    Both are float32 [length, hidden].
    """

    core: tf.Tensor
    name: str
    gamma: np.ndarray
    beta: np.ndarray


@dataclasses.dataclass(frozen=True)
class ExportArithmetic:
    """The `forward.Arithmetic` of a graph for TFLite.

    Weights are float32 arrays, features int32 [texts * length], the mask int32 [1, length] of one
    text and [texts, 1, 1, length] of several. The tokens of all texts are the rows of a product.

    Attributes:
      activation: one of `architecture.ACTIVATIONS`.
      pooler_activation: "tanh", or one of them.
      share: name and value -> the variable that holds the value for all functions of a graph.
      epsilon: of the layer norms.
      texts: number of them that are computed together, all of one length.
      has_words: whether the last layer computes every position, of which each has an answer.
    """

    activation: str
    pooler_activation: str
    share: Callable[[str, np.ndarray], tf.Variable]
    epsilon: float
    texts: int = 1
    has_words: bool = False

    def scope(self, name: str) -> contextlib.AbstractContextManager[Any]:
        return tf.name_scope(name)

    def embed(
        self, inputs: Inputs, words: np.ndarray, positions: np.ndarray, types: np.ndarray | None
    ) -> tf.Tensor:
        if inputs.positions is not None or inputs.firsts is not None:
            raise ValueError("a graph for TFLite computes one text, from its first position on")

        def table(name: str, value: np.ndarray) -> tf.Variable:
            return self.share(f"{name}/embeddings", value)

        total = tf.nn.embedding_lookup(table("word_embeddings", words), inputs.word_ids)
        if types is not None:
            total += tf.nn.embedding_lookup(table("type_embeddings", types), inputs.type_ids)
        each = positions[: inputs.word_ids.shape[0] // self.texts]
        return total + np.tile(each, [self.texts, 1])

    def normalize(
        self, total: tf.Tensor, name: str, gamma: np.ndarray, beta: np.ndarray
    ) -> Normalized:
        mean = tf.reduce_mean(total, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.math.squared_difference(total, mean), axis=-1, keepdims=True)
        core = (total - mean) * tf.math.rsqrt(variance + self.epsilon)
        return Normalized(core, name, gamma, beta)

    def change(self, hidden: Any, function: Callable[[Any], Any]) -> Any:
        if isinstance(hidden, Normalized):
            return dataclasses.replace(hidden, core=function(hidden.core))
        return function(hidden)

    def dropout(self, name: str, hidden: Any) -> Any:
        return hidden

    def prepare_mask(self, mask: tf.Tensor, hidden: Any) -> tf.Tensor:
        return (1.0 - tf.cast(mask, tf.float32)) * MASKED

    def enter_layer(self, hidden: Any, is_last: bool) -> tuple[Any, Any]:
        # Keys and values need every position, what comes after the attention only those
        # that somebody reads.
        if not is_last or self.has_words:
            return hidden, hidden
        return self.change(hidden, self._firsts), hidden

    def _firsts(self, rows: tf.Tensor) -> tf.Tensor:
        """Return the first row of each text."""
        return rows[:1] if self.texts == 1 else rows[:: rows.shape[0] // self.texts]

    def keep_pooled(self, tokens: Normalized | tf.Tensor, inputs: Inputs) -> Any:
        return tokens  # `enter_layer` has left no other.

    def dense(
        self, source: Normalized | tf.Tensor, name: str, kernel: np.ndarray, bias: np.ndarray
    ) -> tf.Tensor:
        return self._dense(source, name, kernel, bias)

    def project(
        self,
        source: Normalized | tf.Tensor,
        name: str,
        kernel: np.ndarray,
        bias: np.ndarray,
        scale: float = 1.0,
    ) -> tf.Tensor:
        heads, size = kernel.shape[1:]
        flat = self._dense(source, name, kernel, bias, scale)
        if self.texts == 1:
            return tf.transpose(tf.reshape(flat, [-1, heads, size]), [1, 0, 2])
        return tf.transpose(tf.reshape(flat, [self.texts, -1, heads, size]), [0, 2, 1, 3])

    def project_query(
        self, source: Normalized | tf.Tensor, name: str, kernel: np.ndarray, bias: np.ndarray
    ) -> tf.Tensor:
        return self.project(source, name, kernel, bias, scale=1.0 / np.sqrt(kernel.shape[2]))

    def scores(self, query: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        return tf.matmul(query, key, transpose_b=True)

    def softmax(self, name: str, scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(scores + mask)

    def context(self, weights: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        heads, _, size = value.shape[-3:]
        order = [1, 0, 2] if self.texts == 1 else [0, 2, 1, 3]
        context = tf.transpose(tf.matmul(weights, value), order)
        return tf.reshape(context, [-1, heads * size])

    def add(self, left: Any, right: Any) -> tf.Tensor:
        new, skipped = (right, left) if isinstance(left, Normalized) else (left, right)
        if not isinstance(skipped, Normalized):  # The projection of narrow tables.
            return new + skipped
        return new + self.plain(skipped)

    def plain(self, hidden: Any) -> tf.Tensor:
        """Return the output of a layer norm as one tensor."""
        if not isinstance(hidden, Normalized):
            return hidden
        gamma = self.share(f"{hidden.name}/gamma", hidden.gamma)
        return hidden.core * gamma + self.share(f"{hidden.name}/beta", hidden.beta)

    def activate(self, name: str, inner: tf.Tensor) -> tf.Tensor:
        return _activate(self.activation, inner)

    def firsts(self, hidden: Normalized, inputs: Inputs) -> Normalized:
        # Else the last layer has computed no other position.
        return self.change(hidden, self._firsts) if self.has_words else hidden

    def activate_pooled(self, pooled: tf.Tensor) -> tf.Tensor:
        return _activate(self.pooler_activation, pooled)

    def is_nothing(self, kernel: np.ndarray) -> bool:
        return not kernel.any()

    def constant(self, name: str, bias: np.ndarray) -> tf.Variable:
        return self.share(f"{name}/bias", bias.astype(np.float32))

    def _dense(
        self,
        source: Normalized | tf.Tensor,
        name: str,
        kernel: np.ndarray,
        bias: np.ndarray,
        scale: float = 1.0,
    ) -> tf.Tensor:
        """Return `(source @ kernel + bias) * scale`; gamma and beta of a norm move into both."""
        # In float64, so that moving factors costs no precision.
        bias = bias.reshape(-1).astype(np.float64) * scale
        kernel = kernel.astype(np.float64) * scale
        # Attention kernels keep their heads apart: [in, heads, size] or [heads, size, out].
        kernel = kernel.reshape(-1, len(bias))
        if isinstance(source, Normalized):
            bias = bias + source.beta @ kernel
            kernel = source.gamma[:, None] * kernel
            source = source.core
        return tf.nn.bias_add(
            tf.matmul(source, self.share(f"{name}/kernel", kernel.astype(np.float32))),
            self.share(f"{name}/bias", bias.astype(np.float32)),
        )


def _activate(name: str, values: tf.Tensor) -> tf.Tensor:
    if name == "tanh":
        return tf.tanh(values)
    if name == "relu":
        return tf.nn.relu(values)
    return tf.nn.gelu(values, approximate=name == "gelu_tanh")
