"""Heads: what makes a classifier of an encoder."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from bert_glue_tf.data import packing
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.models.quantization.dense import QuantizedDense
from bert_glue_tf.models.quantization.imitation import recipe_of
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED

CLASSIFIER = "classifier"
DROPOUT = "dropout"
INITIALIZER_RANGE = 0.02  # BERT's own (Devlin et al. 2019, and google-research/bert).


def attach(encoder: tf_keras.layers.Layer, num_classes: int, dropout: float, seed: int) -> Any:
    inputs = _inputs(INPUTS)
    pooled = encoder(inputs)["pooled_output"]
    pooled = tf_keras.layers.Dropout(dropout, seed=seed, name=DROPOUT)(pooled)
    logits = _dense(encoder)(
        num_classes,
        kernel_initializer=tf_keras.initializers.TruncatedNormal(
            stddev=INITIALIZER_RANGE, seed=seed
        ),
        dtype=tf.float32,  # Logits and loss are float32 under mixed precision too.
        name=CLASSIFIER,
    )(pooled)
    return tf_keras.Model(inputs, logits)


def _dense(encoder: tf_keras.layers.Layer) -> Callable[..., tf_keras.layers.Layer]:
    """Return what makes the dense layer on an encoder: quantized where the encoder is."""
    recipe = recipe_of(encoder)
    if recipe == NOT_QUANTIZED:
        return tf_keras.layers.Dense
    return functools.partial(QuantizedDense, recipe=recipe)


def over(model: tf_keras.Model, inputs: Iterable[str]) -> tf_keras.Model:
    """Return a classifier as a model of other features: the same layers and variables.

    Args:
      model: encoder, and a sequence of layers on its pooled output.
      inputs: names of the features, padded (`preprocessing.INPUTS`) or packed (`packing.INPUTS`);
        of texts that are packed, the first axis of the answers is the texts'.
    """
    names = tuple(inputs)
    if set(names) == set(model.input_names):
        return model
    features = _inputs(names)
    outputs, logits = _called(model, features)
    del outputs
    # The same name, since it is a part of the names in a graph.
    return tf_keras.Model(features, logits, name=model.name)


def with_inside(
    model: tf_keras.Model,
    inputs: Iterable[str],
    select: Mapping[str, Callable[[Mapping[str, Any]], Any]],
) -> tf_keras.Model:
    """Return a classifier as a model that gives what its encoder computes besides the logits.

    Args:
      model: as for `over`, on an encoder with the capability `states`.
      inputs: as for `over`.
      select: name -> what it stands for, among the outputs of the encoder.

    Returns:
      A model of the features to a dict with `logits` [texts, width], and what is selected by name.
    """
    features = _inputs(inputs)
    outputs, logits = _called(model, features)
    inside = {name: choose(outputs) for name, choose in select.items()}
    return tf_keras.Model(features, {"logits": logits, **inside}, name=model.name)


def _called(model: tf_keras.Model, features: dict[str, Any]) -> tuple[Any, Any]:
    """Return the outputs of a classifier's encoder for symbolic features, and its logits."""
    encoder, *head = (
        layer for layer in model.layers if not isinstance(layer, tf_keras.layers.InputLayer)
    )
    outputs = encoder(features)
    logits = outputs["pooled_output"]
    for layer in head:
        logits = layer(logits)
    return outputs, logits


def _inputs(names: Iterable[str]) -> dict[str, Any]:
    """Return symbolic features: int32 [rows, width], or [texts, 2] for the first tokens."""
    return {
        name: tf_keras.Input((2,) if name == packing.FIRSTS else (None,), dtype=tf.int32, name=name)
        for name in names
    }
