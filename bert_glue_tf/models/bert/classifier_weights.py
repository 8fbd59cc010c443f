"""The weights of a classifier with a BERT encoder, by name: of a saved or of a live model."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Mapping

import numpy as np
import tf_keras

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models import heads, saving
from bert_glue_tf.models.backbone import ClassifierWeights
from bert_glue_tf.models.bert import structure
from bert_glue_tf.models.bert.architecture import (
    Architecture,
    architecture_of,
    by_canonical_name,
)
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.models.bert.on_demand import OnDemand
from bert_glue_tf.models.bert.quantized_layer import QuantizedEncoder, imitation_of
from bert_glue_tf.models.quantization.imitation import (
    CLIPS,
    QUANTIZE_AWARE,
    RANGES,
    Trained,
    is_weight,
    settle,
)
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED, TRAINED, find
from bert_glue_tf.models.saved_encoders import SavedVariables
from bert_glue_tf.models.transformer_names import canonical_name, name_of
from bert_glue_tf.models.word_heads.names import NO_WORDS, WORD_HEAD


@dataclasses.dataclass(frozen=True)
class EncoderWeights:
    """The weights of an encoder, by name.

    Attributes:
      architecture: of the encoder.
      encoder: canonical name -> float32 weight.
    """

    architecture: Architecture
    encoder: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class SavedWeights(EncoderWeights):
    """The weights of a classifier with a BERT encoder, by name.

    Attributes:
      kernel: float32 [hidden, classes] of the classifier.
      bias: float32 [classes].
      trained: the grids that it was trained on; None where it was trained for no quantization.
      word_head: name of its head of words; empty where texts have one answer.
      head: name -> weight of its head of words, in the order of their names.
    """

    kernel: np.ndarray
    bias: np.ndarray
    trained: Trained | None = None
    word_head: str = NO_WORDS
    head: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def classifier(self) -> ClassifierWeights:
        """The weights that are not the encoder's."""
        return (self.kernel, self.bias, *self.head.values())


def read_weights(folder: pathlib.Path) -> SavedWeights:
    """Return the weights of a saved classifier with a BERT encoder, which are read on demand.

    Raises:
      UserError: the folder holds no model, or its encoder is of another family.
    """
    description = saving.read_description(folder)
    encoder = description.get("encoder")
    if encoder is None:
        raise saving.not_buildable(folder)
    try:
        architecture = Architecture(**encoder)
    except (TypeError, ValueError) as error:
        raise UserError(f"{folder}: the description of its encoder is not whole: {error}") from None
    recipe = description.get(QUANTIZE_AWARE)
    known = find(recipe) if recipe else None
    if recipe and (known is None or known.untrained):
        raise UserError(
            f"{folder}: was trained for the recipe {recipe}, which this version does not have "
            f"(it has {', '.join(TRAINED)}). Train it again."
        )
    saving.require_model(folder)
    saved = SavedVariables(str(folder))
    own = [name for name in saved.names if canonical_name(name)]
    kernel, bias = (saved.read(f"{heads.CLASSIFIER}/{leaf}") for leaf in ("kernel", "bias"))
    trained = _trained(architecture, recipe, saved) if recipe else None
    head = sorted(name for name in saved.names if name.startswith(f"{WORD_HEAD}/"))
    return SavedWeights(
        architecture,
        OnDemand(own, saved.read),
        kernel,
        bias,
        trained,
        description.get(saving.TAGGING_HEAD, NO_WORDS),
        {name: saved.read(name) for name in head},
    )


def _trained(architecture: Architecture, recipe: str, saved: SavedVariables) -> Trained:
    """Return the grids that a saved classifier was trained on."""
    values = (
        saved.read(next(name for name in saved.names if name.endswith(state)))
        for state in (RANGES, CLIPS)
    )
    return imitation_of(architecture, recipe).trained(*values)


def trained_of_file(folder: pathlib.Path) -> Trained | None:
    """Return the grids that a saved classifier was trained on, as far as its file has the products.

    Half a layer whose last product is zero is its bias there (`arithmetic_export`).

    Raises:
      UserError: as `read_weights`.
    """
    saved = read_weights(folder)
    if saved.trained is None:
        return None
    gone = ["pooler_transform"] if saved.word_head else []
    for index in range(saved.architecture.layers):
        for kind in structure.LAYER_UNITS.values():
            if not saved.encoder[f"{structure.LAYERS}layer_{index}/{kind.output}"].any():
                first = {name.split("/")[0] for name in (kind.output, *kind.others)}
                gone += [f"layer_{index}/{name}" for name in first]
    is_there = [re.compile(rf"{re.escape(name)}(?=[/:]|$)").match for name in gone]

    def of_file(name: str) -> bool:
        return not any(match(name) for match in is_there)

    return dataclasses.replace(
        saved.trained,
        ranges={name: one for name, one in saved.trained.ranges.items() if of_file(name)},
        clips={name: one for name, one in saved.trained.clips.items() if of_file(name)},
    )


def weights_of(model: tf_keras.Model, like: Architecture) -> SavedWeights:
    """Return the weights of a live classifier; `from_weights` is the way back.

    Args:
      model: from `build_classifier`, with plain layers.
      like: gives what no weight tells: activation and dropout rates of the encoder.

    Raises:
      NotBertError: the encoder is no BERT of ours.
    """
    variables = by_canonical_name(model.variables)
    architecture = architecture_of(variables, like)
    kernel, bias = model.get_layer(heads.CLASSIFIER).get_weights()
    encoder = {name: variable.numpy() for name, variable in variables.items()}
    layers = (layer for layer in model.layers if isinstance(layer, QuantizedEncoder))
    trained = next((layer.trained for layer in layers), None)
    head = {name: value.numpy() for name, value in heads.word_head_variables(model).items()}
    return SavedWeights(
        architecture, encoder, kernel, bias, trained, heads.word_head_name(model), head
    )


def from_weights(
    weights: SavedWeights, dropout: float = 0.0, origin: str = "the weights"
) -> tf_keras.Model:
    """Return a trainable Keras model of plain layers, as `build_classifier` gives it.

    Args:
      weights: of the architecture that they name.
      dropout: rate before the classifier.
      origin: where the weights come from, for messages.
    """
    recipe = weights.trained.recipe if weights.trained else NOT_QUANTIZED
    encoder = build_encoder(weights.architecture, weights.encoder.__getitem__, origin, recipe)
    if weights.trained:
        encoder.take(weights.trained)
    model = heads.attach(encoder, len(weights.bias), dropout, 0, weights.word_head)
    heads.set_weights(model, weights.classifier)
    return model


def load_classifier(folder: pathlib.Path, dropout: float = 0.0) -> tf_keras.Model:
    """Return a saved classifier as a trainable Keras model of plain layers.

    Raises:
      UserError: the folder holds no model, or its encoder is of another family.
    """
    return from_weights(read_weights(folder), dropout, str(folder))


def rounded(folder: pathlib.Path, recipe: str) -> dict[str, np.ndarray]:
    """Return the weights of a saved classifier that a recipe's file holds as integers, and biases.

    They are those of a training on the recipe's grids at its end, which has no step.

    Args:
      folder: of the saved model.
      recipe: name of the recipe.

    Returns:
      Name -> float32 value, of each weight that is changed.

    Raises:
      UserError: the folder holds no model, or its encoder is of another family.
    """
    saved = read_weights(folder)
    read = saved.encoder.__getitem__
    encoder = build_encoder(saved.architecture, read, str(folder), recipe)
    if saved.trained and saved.trained.recipe == recipe:
        encoder.take(saved.trained)
    else:
        encoder.begin()
    model = heads.attach(encoder, len(saved.bias), 0.0, 0, saved.word_head)
    head = {f"{heads.CLASSIFIER}/kernel": saved.kernel, f"{heads.CLASSIFIER}/bias": saved.bias}
    head |= saved.head
    heads.set_weights(model, saved.classifier)
    settle(model)
    found = {name_of(variable): variable.numpy() for variable in filter(is_weight, model.variables)}
    return {
        name: value
        for name, value in found.items()
        if not np.array_equal(value, head[name] if name in head else read(name))
    }
