"""The BERT encoder as a Keras layer, which trains what `forward` computes."""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras
from absl import logging as absl_logging
from official.modeling import activations
from official.nlp.modeling import layers, networks

from bert_glue_tf.data import packing
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.models import precision
from bert_glue_tf.models.bert import forward, structure
from bert_glue_tf.models.bert.architecture import (
    INITIALIZER_RANGE,
    Architecture,
    Block,
    by_canonical_name,
)
from bert_glue_tf.models.bert.arithmetic_training import TrainingArithmetic

NAME = "bert_encoder"


def official_arguments(architecture: Architecture) -> dict[str, Any]:
    """Return the arguments of tf-models-official's encoders; they know layers of one width."""
    return {
        "vocab_size": architecture.vocab_size,
        "hidden_size": architecture.hidden_size,
        "num_layers": architecture.layers,
        "num_attention_heads": architecture.heads,
        "max_sequence_length": architecture.positions,
        "inner_dim": architecture.inner_dim,
        "type_vocab_size": architecture.type_vocab_size,
        "embedding_width": architecture.embedding_size or architecture.hidden_size,
        "inner_activation": _activation(architecture.activation),
        "output_dropout": architecture.output_dropout,
        "attention_dropout": architecture.attention_dropout,
    }


def _activation(name: str) -> Any:
    """Return what Keras takes for an activation of `architecture`."""
    return activations.gelu if name == "gelu_tanh" else name


def _pooler_activation(architecture: Architecture) -> Any:
    """Return a function of tensors; for tanh TensorFlow's own, whose graph is the published one."""
    name = architecture.pooler_activation
    return tf.tanh if name == "tanh" else tf_keras.activations.get(_activation(name))


class AssignedLater(tf_keras.initializers.TruncatedNormal):
    """An initializer of variables that get their values at once: zeros, which take no time.

    It draws a seed as its class does, so that what is drawn after it (the seeds of dropout) is the
    same as if the first weights had been drawn.
    """

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        """Return zeros of a shape; `kwargs` are Keras's."""
        self._random_generator.make_seed_for_stateless_op()
        return tf.zeros(shape, dtype or tf_keras.backend.floatx())


class BertEncoder(networks.BertEncoderV2):
    """A standard BERT encoder: int32 [batch, length] features in, a dict of outputs out.

    tf-models-official's class, of which it is one, makes the variables and the layers of
    dropout; computed is by `forward.encode`, to the same bits.

    Args:
      architecture: of the encoder; its layers may differ in width.
      quantize: is called at the points of `forward`; weights come as variables.
      initializer: of the first weights; None draws them as BERT's authors do.

    Attributes:
      architecture: as given.
    """

    def __init__(
        self,
        architecture: Architecture,
        quantize: forward.Quantize = forward.keep,
        name: str = NAME,
        initializer: tf_keras.initializers.Initializer | None = None,
    ) -> None:
        initializer = initializer or tf_keras.initializers.TruncatedNormal(stddev=INITIALIZER_RANGE)
        super().__init__(**official_arguments(architecture), initializer=initializer, name=name)
        self.architecture = architecture
        self._quantize = quantize
        self._kept: tuple[int, ...] = ()
        if architecture.blocks:
            # A layer makes its weights when it is first called, so nothing is built yet. The list
            # is replaced as a whole, since Keras refuses to save one whose elements were.
            self._transformer_layers = [
                _block_layer(architecture, block, i, initializer)
                for i, block in enumerate(architecture.blocks)
            ]

    def build(self, input_shape: Any) -> None:
        """Make all variables, in the order of tf-models-official's computation."""
        with _without_the_divisors_warning():
            super().call({name: tf.ones((1, 2), tf.int32) for name in INPUTS})
        super().build(input_shape)

    def _get_embeddings(self, word_ids: Any, type_ids: Any, words: Any, *dense: Any) -> tf.Tensor:
        """Return the sum of the tables' rows; without a table of types, of the other two."""
        if self.architecture.type_vocab_size:
            return super()._get_embeddings(word_ids, type_ids, words, *dense)
        return words + self._position_embedding_layer(words)

    def call(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        """Return pooled_output [batch, hidden], sequence_output [batch, length, hidden],
        encoder_outputs, a list with the output of each layer, and attention_inputs, a list with the
        queries, keys and values of each layer [batch, length, heads, size], biases included.

        Of packed features (`data.packing.INPUTS`) pooled_output is [texts, hidden], and
        sequence_output, the last layer's, has the tokens that are pooled alone: [texts, 1, hidden].
        Without `packing.FIRSTS` among the features it has all of them: [rows, width, hidden].
        """
        return outputs(self.encode(features(inputs)))

    def answer_every_token(self) -> None:
        """Leave the pooler untrained, since the answers are those of the last layer's tokens."""
        self._pooler_layer.trainable = False

    @contextlib.contextmanager
    def computing(self, keep: Sequence[int]) -> Iterator[None]:
        """Leave all other layers out of what is computed, or traced, in the block.

        Args:
          keep: indices of the layers that are computed, ascending.
        """
        self._kept = tuple(keep)
        try:
            yield
        finally:
            self._kept = ()

    # Keras has AutoGraph read a layer's code; this has no branch that depends on a tensor.
    @tf.autograph.experimental.do_not_convert
    def encode(self, inputs: forward.Inputs) -> forward.Encoded[tf.Tensor]:
        """Return the outputs of `forward.encode`."""
        arithmetic = self._arithmetic()
        weights, count = by_canonical_name(self.variables), self.architecture.layers
        if not self._kept:
            return forward.encode(weights, inputs, arithmetic, count, self._quantize)
        weights = structure.numbered_anew(weights, self._kept)
        found = forward.encode(weights, inputs, arithmetic, len(self._kept), self._quantize)
        # A layer that is left out gives what the one before it does, so that Keras, which knows
        # outputs by their number, finds the others where they were.
        places = [max(0, bisect.bisect_right(self._kept, index) - 1) for index in range(count)]
        return dataclasses.replace(
            found,
            layers=tuple(found.layers[place] for place in places),
            attention=tuple(found.attention[place] for place in places),
        )

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` makes the layer from, with first weights of its own."""
        return {"architecture": dataclasses.asdict(self.architecture), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> BertEncoder:
        """Return a new layer of the same architecture."""
        return cls(Architecture(**config["architecture"]), name=config["name"])

    def _arithmetic(self) -> TrainingArithmetic:
        dropouts, softmaxes, activations = {"embeddings": self._embedding_dropout}, {}, {}
        kept = self._kept or range(len(self._transformer_layers))
        for index, block in enumerate(self._transformer_layers[place] for place in kept):
            point, attention = f"layer_{index}", block._attention_layer
            softmaxes[f"{point}/self_attention/softmax"] = attention._softmax
            activations[f"{point}/intermediate"] = block._intermediate_activation_layer
            dropouts |= {
                f"{point}/self_attention/softmax": attention._dropout_layer,
                f"{point}/self_attention/attention_output": block._attention_dropout,
                f"{point}/intermediate": block._inner_dropout_layer,
                f"{point}/output": block._output_dropout,
            }
        return TrainingArithmetic(
            tf.as_dtype(self.compute_dtype),
            precision.products_of(self),
            self._attention_mask_layer,
            dropouts,
            softmaxes,
            activations,
            _pooler_activation(self.architecture),
            self.architecture.layer_norm_epsilon,
        )


def features(inputs: Mapping[str, tf.Tensor]) -> forward.Inputs:
    """Return the features of a layer's call, padded or packed, as `forward` takes them."""
    return _packed(inputs) if packing.TEXTS in inputs else _padded(inputs)


def outputs(encoded: forward.Encoded[tf.Tensor]) -> dict[str, Any]:
    """Return what a layer's call gives."""
    return {
        "sequence_output": encoded.layers[-1],
        "pooled_output": encoded.pooled,
        "encoder_outputs": list(encoded.layers),
        "attention_inputs": [list(parts) for parts in encoded.attention],
    }


def _padded(inputs: Mapping[str, tf.Tensor]) -> forward.Inputs:
    """Return the features of one text a row."""
    word_ids, mask, type_ids = (inputs[name] for name in INPUTS)
    return forward.Inputs(word_ids, type_ids, mask)


def _packed(inputs: Mapping[str, tf.Tensor]) -> forward.Inputs:
    """Return the features of several texts a row, of which each reads itself alone."""
    word_ids, type_ids, texts, positions, firsts = map(inputs.get, packing.INPUTS)
    # What fills a row up has a number of its own, 0, and so reads itself too: a softmax over
    # nothing would be NaN. Nobody reads it.
    same_text = tf.equal(tf.expand_dims(texts, 2), tf.expand_dims(texts, 1))
    return forward.Inputs(word_ids, type_ids, same_text, positions, firsts)


def _block_layer(
    architecture: Architecture,
    block: Block,
    index: int,
    initializer: tf_keras.initializers.Initializer,
) -> Any:
    """Return a layer with the arguments that `BertEncoderV2` gives to each of its own."""
    return layers.TransformerEncoderBlock(
        num_attention_heads=block.heads,
        inner_dim=block.inner_dim,
        inner_activation=tf_keras.activations.get(_activation(architecture.activation)),
        output_dropout=architecture.output_dropout,
        attention_dropout=architecture.attention_dropout,
        # A copy, since one keeps its seed.
        kernel_initializer=type(initializer).from_config(initializer.get_config()),
        key_dim=block.key_dim,
        value_dim=block.value_dim,
        # Else the attention's output would be as wide as its heads together.
        output_last_dim=architecture.hidden_size,
        name=f"transformer/layer_{index}",
    )


@contextlib.contextmanager
def _without_the_divisors_warning() -> Iterator[None]:
    """Hide that the hidden size is no multiple of a number of heads: the widths are given."""

    def keep(record: logging.LogRecord) -> bool:
        return "is not a multiple of the number of attention" not in record.getMessage()

    logger = absl_logging.get_absl_logger()
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
