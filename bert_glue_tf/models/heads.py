"""Heads: what makes a classifier of an encoder."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf
import tf_keras

from bert_glue_tf.data import packing
from bert_glue_tf.data.modality import TEXTS, Modality
from bert_glue_tf.models.quantization.dense import QuantizedDense
from bert_glue_tf.models.quantization.imitation import recipe_of
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED
from bert_glue_tf.models.transformer_names import name_of
from bert_glue_tf.models.word_heads import registry
from bert_glue_tf.models.word_heads.names import NO_WORDS, SEQUENCES
from bert_glue_tf.models.word_heads.sequences import Sequences, TagsWords, WordHead

if TYPE_CHECKING:
    import numpy as np

CLASSIFIER = "classifier"
DROPOUT = "dropout"
INITIALIZER_RANGE = 0.02  # BERT's own (Devlin et al. 2019, and google-research/bert).


def attach(
    encoder: tf_keras.layers.Layer,
    num_classes: int,
    dropout: float,
    seed: int,
    word_head: str = NO_WORDS,
    modality: Modality = TEXTS,
) -> Any:
    """Return a classifier: an encoder, dropout, a head of words if there is one, a dense layer.

    Args:
      encoder: of features to a dict of outputs.
      num_classes: width of the dense layer.
      dropout: rate behind the encoder.
      seed: of the first weights and of dropout.
      word_head: name of the head that tags words; empty for one answer an example.
      modality: of the examples, which says what the encoder's features are.
    """
    inputs = {
        name: tf_keras.Input(spec.shape[1:], dtype=spec.dtype, name=name)
        for name, spec in modality.signature(None, None).items()
    }
    drop = tf_keras.layers.Dropout(dropout, seed=seed, name=DROPOUT)
    dense = _dense(encoder)(
        num_classes,
        kernel_initializer=tf_keras.initializers.TruncatedNormal(
            stddev=INITIALIZER_RANGE, seed=seed
        ),
        dtype=tf.float32,  # Logits and loss are float32 under mixed precision too.
        name=CLASSIFIER,
    )
    if word_head == NO_WORDS:
        return tf_keras.Model(inputs, dense(drop(encoder(inputs)["pooled_output"])))
    if isinstance(encoder, TagsWords):
        encoder.answer_every_token()
    outputs = encoder(_every(inputs))
    hidden, is_token = Sequences(name=SEQUENCES)(outputs["sequence_output"], inputs)
    head = registry.build(word_head, width=num_classes, seed=seed, dropout=dropout)
    return tf_keras.Model(inputs, dense(head(drop(hidden), is_token)))


def word_head_of(model: tf_keras.Model) -> WordHead | None:
    """Return the head of a classifier that tags words; None where texts have one answer."""
    return next((layer for layer in model.layers if isinstance(layer, WordHead)), None)


def word_head_name(model: tf_keras.Model) -> str:
    """Return the name of a classifier's head of words; empty where texts have one answer."""
    head = word_head_of(model)
    return NO_WORDS if head is None else type(head).__module__.rsplit(".", 1)[-1]


def set_weights(model: tf_keras.Model, weights: Sequence[np.ndarray]) -> None:
    """Give a classifier the weights of a head.

    Args:
      model: from `attach`.
      weights: kernel [size, classes] and bias [classes] of the dense layer, then those of its head
        of words, in the order of their names.
    """
    model.get_layer(CLASSIFIER).set_weights(list(weights[:2]))
    for variable, value in zip(word_head_variables(model).values(), weights[2:], strict=True):
        variable.assign(value)


def word_head_variables(model: tf_keras.Model) -> dict[str, tf.Variable]:
    """Return the weights of a classifier's head of words by name, in the order of their names."""
    head = word_head_of(model)
    named = {} if head is None else {name_of(weight): weight for weight in head.weights}
    return dict(sorted(named.items()))


def _every(features: Mapping[str, Any]) -> dict[str, Any]:
    """Return features that name no single token, of which an encoder computes all tokens."""
    return {name: value for name, value in features.items() if name != packing.FIRSTS}


def _dense(encoder: tf_keras.layers.Layer) -> Callable[..., tf_keras.layers.Layer]:
    """Return what makes the dense layer on an encoder: quantized where the encoder is."""
    recipe = recipe_of(encoder)
    if recipe == NOT_QUANTIZED:
        return tf_keras.layers.Dense
    return functools.partial(QuantizedDense, recipe=recipe)


def over(model: tf_keras.Model, inputs: Iterable[str]) -> tf_keras.Model:
    """Return a classifier as a model of other features: the same layers and variables.

    Args:
      model: encoder, and a sequence of layers on its output.
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
    if word_head_of(model) is None:
        outputs = encoder(features)
        logits = outputs["pooled_output"]
        for layer in head:
            logits = layer(logits)
        return outputs, logits
    outputs = encoder(_every(features))
    logits, is_token = model.get_layer(SEQUENCES)(outputs["sequence_output"], features)
    for layer in head:
        if isinstance(layer, WordHead):
            logits = layer(logits, is_token)
        elif not isinstance(layer, Sequences):
            logits = layer(logits)
    return outputs, logits


def _inputs(names: Iterable[str]) -> dict[str, Any]:
    """Return symbolic features: int32 [rows, width], or [texts, 2] for the first tokens."""
    return {
        name: tf_keras.Input((2,) if name == packing.FIRSTS else (None,), dtype=tf.int32, name=name)
        for name in names
    }
