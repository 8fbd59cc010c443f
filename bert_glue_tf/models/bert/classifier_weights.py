"""The weights of a classifier with a BERT encoder, by name: of a saved or of a live model."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
import tf_keras

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models import heads, saving
from bert_glue_tf.models.bert.architecture import (
    Architecture,
    architecture_of,
    by_canonical_name,
    canonical_name,
)
from bert_glue_tf.models.bert.network import build_encoder


@dataclasses.dataclass(frozen=True)
class SavedWeights:
    """What a classifier with a native encoder holds, by name.

    Attributes:
      architecture: of the native encoder.
      encoder: canonical name -> float32 weight.
      kernel: float32 [hidden, classes] of the classifier.
      bias: float32 [classes].
    """

    architecture: Architecture
    encoder: Mapping[str, np.ndarray]
    kernel: np.ndarray
    bias: np.ndarray


def read_weights(folder: pathlib.Path) -> SavedWeights:
    """The saved model's weights (native encoders only).

    Raises:
      UserError: the folder holds no model, or its encoder is opaque.
    """
    description = saving.read_description(folder)
    if description["encoder"] is None:
        raise UserError(
            f"{folder}: its encoder is opaque (a hub.KerasLayer), so its layers cannot be "
            "built again. Train with a standard BERT encoder for that."
        )
    values: dict[str, np.ndarray] = {}
    head: dict[str, np.ndarray] = {}
    for variable in saving.load_saved(folder).variables:
        name = canonical_name(variable.name)
        target, key = (
            (values, name) if name else (head, variable.name.split(":")[0].rsplit("/", 1)[-1])
        )
        target[key] = variable.numpy()
    architecture = Architecture(**description["encoder"])
    return SavedWeights(architecture, values, head["kernel"], head["bias"])


def weights_of(model: tf_keras.Model, like: Architecture) -> SavedWeights:
    """The weights of a live classifier with a native encoder; `from_weights` is the way back.

    Args:
      model: from `build_classifier`, with plain layers.
      like: gives what no weight tells: activation and dropout rates of the encoder.

    Raises:
      NotNativeError: the encoder is not a native one.
    """
    variables = by_canonical_name(model.variables)
    architecture = architecture_of(variables, like)
    kernel, bias = model.get_layer(heads.CLASSIFIER).get_weights()
    encoder = {name: variable.numpy() for name, variable in variables.items()}
    return SavedWeights(architecture, encoder, kernel, bias)


def in_float32(model: tf_keras.Model, like: Architecture) -> tf_keras.Model:
    """A classifier with the same weights that computes in float32, whatever it was trained in.

    Args:
      model: from `build_classifier`, with a native encoder and plain layers.
      like: as for `weights_of`.
    """
    return from_weights(weights_of(model, like))


def from_weights(
    weights: SavedWeights, dropout: float = 0.0, origin: str = "the weights"
) -> tf_keras.Model:
    """A trainable Keras model of plain layers, as `build_classifier` gives it; no custom class.

    Args:
      weights: of the architecture that they name.
      dropout: rate before the classifier.
      origin: where the weights come from, for messages.
    """
    encoder = build_encoder(weights.architecture, weights.encoder.__getitem__, origin)
    model = heads.attach(encoder, len(weights.bias), dropout, seed=0)
    model.get_layer(heads.CLASSIFIER).set_weights([weights.kernel, weights.bias])
    return model


def load_classifier(folder: pathlib.Path, dropout: float = 0.0) -> tf_keras.Model:
    """The saved model as a trainable Keras model of plain layers (native encoders only).

    Raises:
      UserError: the folder holds no model, or its encoder is opaque.
    """
    return from_weights(read_weights(folder), dropout, str(folder))
