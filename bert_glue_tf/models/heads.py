"""Heads: what makes a classifier of an encoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from bert_glue_tf.data import packing
from bert_glue_tf.data.preprocessing import INPUTS

CLASSIFIER = "classifier"
DROPOUT = "dropout"
INITIALIZER_RANGE = 0.02  # BERT's own (Devlin et al. 2019, and google-research/bert).


def attach(encoder: tf_keras.layers.Layer, num_classes: int, dropout: float, seed: int) -> Any:
    inputs = _inputs(INPUTS)
    pooled = encoder(inputs)["pooled_output"]
    pooled = tf_keras.layers.Dropout(dropout, seed=seed, name=DROPOUT)(pooled)
    logits = tf_keras.layers.Dense(
        num_classes,
        kernel_initializer=tf_keras.initializers.TruncatedNormal(
            stddev=INITIALIZER_RANGE, seed=seed
        ),
        dtype=tf.float32,  # Logits and loss are float32 under mixed precision too.
        name=CLASSIFIER,
    )(pooled)
    return tf_keras.Model(inputs, logits)


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


def with_states(
    model: tf_keras.Model, inputs: Iterable[str], layers: Sequence[int], tokens: int = 1
) -> tf_keras.Model:
    """Return a classifier as a model that gives the states of some layers besides the logits.

    Args:
      model: as for `over`, on an encoder with the capability `states`.
      inputs: as for `over`.
      layers: their numbers, from 1.
      tokens: how many of each text, from its first one on.

    Returns:
      A model of the features to a dict with logits [texts, width] and states float32 [texts,
      layers, tokens, hidden]. Behind a text's last token, and in a layer that computes the pooled
      tokens alone behind the first one, stand states of other tokens.
    """
    features = _inputs(inputs)
    outputs, logits = _called(model, features)
    hidden = outputs["encoder_outputs"]
    states = [_tokens(hidden[layer - 1], features, tokens) for layer in layers]
    answers = {"logits": logits, "states": tf.stack(states, axis=1)}
    return tf_keras.Model(features, answers, name=model.name)


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


def _tokens(hidden: Any, features: dict[str, Any], tokens: int) -> Any:
    """Return the states of each text's first tokens: float32 [texts, tokens, hidden].

    Args:
      hidden: [rows, width, hidden], or [texts, 1, hidden] of the pooled tokens alone.
      features: of these texts.
      tokens: how many; a row that has fewer gives its last one again.
    """
    last = tf.shape(hidden)[1] - 1
    if packing.FIRSTS in features and hidden.shape[1] != 1:
        rows, columns = tf.split(features[packing.FIRSTS], 2, axis=1)  # [texts, 1] each.
        columns = tf.minimum(columns + tf.range(tokens), last)
        places = tf.stack([tf.broadcast_to(rows, tf.shape(columns)), columns], axis=-1)
        found = tf.gather_nd(hidden, places)
    else:
        found = tf.gather(hidden, tf.minimum(tf.range(tokens), last), axis=1)
    return tf.cast(found, tf.float32)


def _inputs(names: Iterable[str]) -> dict[str, Any]:
    """Return symbolic features: int32 [rows, width], or [texts, 2] for the first tokens."""
    return {
        name: tf_keras.Input((2,) if name == packing.FIRSTS else (None,), dtype=tf.int32, name=name)
        for name in names
    }
