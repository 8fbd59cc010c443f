"""The BERT encoder as a Keras layer that trains on the grids of a quantized file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras.src.mixed_precision import autocast_variable

from bert_glue_tf.data import packing
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.models.bert import forward, structure
from bert_glue_tf.models.bert.architecture import Architecture, by_canonical_name
from bert_glue_tf.models.bert.arithmetic_quantized import QuantizedArithmetic, Settling
from bert_glue_tf.models.bert.layer import NAME, BertEncoder, features, outputs
from bert_glue_tf.models.quantization import grids
from bert_glue_tf.models.quantization.imitation import (
    CLIPS,
    RANGES,
    Beginning,
    Counts,
    Imitation,
    OnGrid,
    Quantizing,
    Trained,
)

# Below it GELU gives 0, to 2e-4; what is far below takes half of a range for nothing.
_GELU_IS_ZERO = -4.0


def imitation_of(architecture: Architecture, recipe: str) -> Imitation:
    """Return the grids that a recipe has for an encoder of an architecture."""
    hidden, products = architecture.hidden_size, {}
    if architecture.embedding_size:
        products["embedding_projection"] = architecture.embedding_size, hidden
    for index, block in enumerate(architecture.each_block()):
        attention = f"layer_{index}/self_attention"
        products |= {
            f"{attention}/query": (hidden, block.heads * block.key_dim),
            f"{attention}/key": (hidden, block.heads * block.key_dim),
            f"{attention}/value": (hidden, block.heads * block.value_dim),
            f"{attention}/attention_output": (block.heads * block.value_dim, hidden),
            f"layer_{index}/intermediate": (hidden, block.inner_dim),
            f"layer_{index}/output": (block.inner_dim, hidden),
        }
    floor = 0.0 if architecture.activation == "relu" else _GELU_IS_ZERO
    layers = range(architecture.layers)
    floors = {f"layer_{index}/intermediate:output": floor for index in layers}
    return Imitation(recipe, products | {"pooler_transform": (hidden, hidden)}, floors)


class QuantizedEncoder(BertEncoder, OnGrid):
    """A BERT encoder that computes what a file of a recipe computes, and learns by that.

    Args:
      architecture: of the encoder.
      recipe: name of the recipe.
      initializer: as for `BertEncoder`.

    Attributes:
      recipe: as given.
      every_token: whether all tokens of the last layer reach the logits, and not the pooled alone.
    """

    def __init__(
        self,
        architecture: Architecture,
        recipe: str,
        name: str = NAME,
        initializer: tf_keras.initializers.Initializer | None = None,
    ) -> None:
        super().__init__(architecture, name=name, initializer=initializer)
        self.recipe = recipe
        self.every_token = False
        self._imitation = imitation_of(architecture, recipe)

    def build(self, input_shape: Any) -> None:
        """Make all variables, those of the grids behind the weights."""
        super().build(input_shape)
        clips = sum(int(np.prod(shape)) for shape in self._imitation.clips.values())
        self._ranges = self._state(RANGES, (len(self._imitation.points), 2))
        self._clips = self._state(CLIPS, (clips,))

    def _state(self, name: str, shape: tuple[int, ...]) -> tf.Variable:
        return self.add_weight(
            name=name,
            shape=shape,
            dtype=tf.float32,
            initializer="zeros",
            trainable=False,
            experimental_autocast=False,
            # Replicas see different examples: each has the mean of what they have found.
            aggregation=tf.VariableAggregation.MEAN,
        )

    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: Mapping[str, tf.Tensor], training: bool | None = None) -> dict[str, Any]:
        """Return what `BertEncoder.call` returns, of the file's computation."""
        last = f"layer_{self.architecture.layers - 1}/"
        counts = _counts(inputs, last, self.every_token)
        session = self._session(Quantizing, counts, bool(training))
        # Weights are put onto their grids in float32, in whatever precision products are computed.
        with autocast_variable.enable_auto_cast_variables(None):
            encoded = self._computed(features(inputs), session, QuantizedArithmetic)
        session.commit()
        return outputs(encoded)

    def answer_every_token(self) -> None:
        super().answer_every_token()
        self.every_token = True

    def begin(self) -> None:
        """Find the first clips of the weights, where the recipe has some."""
        if self._imitation.clips:
            session = self._session(Beginning, _all, True)
            self._computed(_example(), session, QuantizedArithmetic)
            session.commit()

    def settle(self) -> None:
        self._computed(_example(), self._session(Quantizing, _all, False), Settling)
        weights = by_canonical_name(self.variables)
        for name in (structure.TABLE, "type_embeddings/embeddings"):
            if name in weights:
                weights[name].assign(grids.fake_quantize_rows(weights[name]))

    @property
    def trained(self) -> Trained:
        """The grids as they stand."""
        return self._imitation.trained(self._ranges.numpy(), self._clips.numpy())

    def take(self, trained: Trained) -> None:
        """Take the grids of a trained encoder of the same shapes."""
        points = self._imitation.points
        ranges = [trained.ranges[point] for point in points]
        self._ranges.assign(np.reshape(ranges, (len(points), 2)).astype(np.float32))
        flat = [np.ravel(trained.clips[name]) for name in self._imitation.clips]
        self._clips.assign(np.concatenate([np.zeros(0, np.float32), *flat]))

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` makes the layer from, with first weights of its own."""
        return {**super().get_config(), "recipe": self.recipe}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> QuantizedEncoder:
        """Return a new layer of the same architecture and recipe."""
        architecture = Architecture(**config["architecture"])
        return cls(architecture, config["recipe"], name=config["name"])

    def _session(self, kind: type[Quantizing], counts: Counts, is_training: bool) -> Quantizing:
        return kind(self._imitation, self._ranges, self._clips, counts, is_training)

    def _computed(
        self, inputs: forward.Inputs, session: Quantizing, kind: type[QuantizedArithmetic]
    ) -> forward.Encoded[tf.Tensor]:
        plain = self._arithmetic()
        own = {field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)}
        arithmetic = kind(**own, grids=session)
        weights = by_canonical_name(self.variables)
        layers = self.architecture.layers
        encoded = forward.encode(weights, inputs, arithmetic, layers, session)
        attention = ((arithmetic.plain_query(q), k, v) for q, k, v in encoded.attention)
        layers_of = tuple(map(arithmetic.plain, encoded.layers))
        return forward.Encoded(layers_of, encoded.pooled, tuple(attention))


def _all(key: str) -> None:
    """Let all tokens count."""
    del key


def _counts(inputs: Mapping[str, tf.Tensor], last: str, every_token: bool) -> Counts:
    """Return which tokens count for a range: those whose activations reach the logits.

    Args:
      inputs: padded or packed features.
      last: what the names of the last layer's points begin with.
      every_token: whether all of its tokens reach the logits.
    """
    is_packed = packing.TEXTS in inputs
    tokens = tf.cast(inputs[packing.TEXTS if is_packed else INPUTS[1]], tf.bool)
    reads = tuple(f"{last}self_attention{end}" for end in (":", "/query", "/key", "/value"))

    def of(key: str) -> tf.Tensor | None:
        if every_token or not key.startswith(last) or key.startswith(reads):
            return tokens
        if is_packed:  # Only the pooled tokens are computed.
            return None
        return tf.broadcast_to(tf.range(tf.shape(tokens)[1]) == 0, tf.shape(tokens))

    return of


def _example() -> forward.Inputs:
    """Return one text of two pieces."""
    ones = tf.ones((1, 2), tf.int32)
    return forward.Inputs(ones, ones * 0, ones)
