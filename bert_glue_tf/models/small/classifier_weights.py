"""The weights of a classifier on a small network, by name: of a saved or of a live model."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
import tf_keras

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.arrays import Arrays
from bert_glue_tf.models import heads, saving
from bert_glue_tf.models.saved_encoders import SavedVariables
from bert_glue_tf.models.small import cutting, layer
from bert_glue_tf.models.small.architecture import Architecture, by_name, known_name


@dataclasses.dataclass(frozen=True)
class ClassifierWeights:
    """The weights of a classifier.

    Attributes:
      architecture: of its network.
      encoder: name -> float32 weight of the network.
      kernel: float32 [hidden, outputs] of the dense layer at the end.
      bias: float32 [outputs].
    """

    architecture: Architecture
    encoder: Mapping[str, np.ndarray]
    kernel: np.ndarray
    bias: np.ndarray

    @property
    def classifier(self) -> tuple[np.ndarray, ...]:
        """The weights behind the encoder, as `heads.set_weights` takes them."""
        return self.kernel, self.bias

    def cut(self) -> tuple[ClassifierWeights, cutting.Report]:
        """Return the same function with as few filters as it takes, and the report of the cut."""
        encoder, architecture, kernel = cutting.cut(self.encoder, self.architecture, self.kernel)
        smaller = ClassifierWeights(architecture, encoder, kernel, self.bias)
        before, after = (
            {one.name: one.filters for one in weights.architecture.layers}
            for weights in (self, smaller)
        )
        return smaller, cutting.Report(before, after, (self._count(), smaller._count()))

    def _count(self) -> int:
        return sum(value.size for value in (*self.encoder.values(), self.kernel, self.bias))


def read_weights(folder: pathlib.Path) -> ClassifierWeights:
    """Return the weights of a saved classifier on such a network.

    Raises:
      UserError: the folder holds no model, or its description is not whole.
    """
    description = saving.read_description(folder)
    try:
        architecture = Architecture(**description["encoder"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder}: the description of its encoder is not whole: {error}") from None
    saving.require_model(folder)
    saved = SavedVariables(str(folder))
    encoder = {known: saved.read(name) for name in saved.names if (known := known_name(name))}
    kernel, bias = (saved.read(f"{heads.CLASSIFIER}/{leaf}") for leaf in ("kernel", "bias"))
    return ClassifierWeights(architecture, encoder, kernel, bias)


def weights_of(model: tf_keras.Model, like: Architecture) -> ClassifierWeights:
    """Return the weights of a live classifier; `from_weights` is the way back.

    Args:
      model: from `build_classifier`, with plain layers.
      like: gives what no weight tells: design, shape and dropout.
    """
    encoder = {name: variable.numpy() for name, variable in by_name(model.variables).items()}
    kernel, bias = model.get_layer(heads.CLASSIFIER).get_weights()
    architecture = like.of_shapes({name: value.shape for name, value in encoder.items()})
    return ClassifierWeights(architecture, encoder, kernel, bias)


def from_weights(weights: ClassifierWeights, dropout: float = 0.0) -> tf_keras.Model:
    """Return a trainable Keras model of plain layers, as `build_classifier` gives it.

    Args:
      weights: of the architecture that they name.
      dropout: rate before the head.
    """
    encoder = layer.build(weights.architecture, weights.encoder.__getitem__)
    modality = Arrays(shape=weights.architecture.shape)
    model = heads.attach(encoder, len(weights.bias), dropout, 0, modality=modality)
    heads.set_weights(model, weights.classifier)
    return model
