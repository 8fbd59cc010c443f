"""The weights of a classifier on such a network, by name: of a saved or of a live model."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
import tf_keras

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models import heads, saving
from bert_glue_tf.models.saved_encoders import SavedVariables
from bert_glue_tf.models.text_cnn import cutting, layer
from bert_glue_tf.models.text_cnn.architecture import Architecture, by_name, known_name
from bert_glue_tf.models.word_heads.names import NO_WORDS, PLAIN, WORD_HEAD


@dataclasses.dataclass(frozen=True)
class ClassifierWeights:
    """The weights of a classifier.

    Attributes:
      architecture: of its encoder.
      encoder: name -> float32 weight of the encoder.
      kernel: float32 [hidden, outputs] of the dense layer at the end.
      bias: float32 [outputs].
      word_head: name of its head of words; empty where texts have one answer.
      head: name -> weight of its head of words, in the order of their names.
    """

    architecture: Architecture
    encoder: Mapping[str, np.ndarray]
    kernel: np.ndarray
    bias: np.ndarray
    word_head: str = NO_WORDS
    head: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def classifier(self) -> tuple[np.ndarray, ...]:
        """The weights behind the encoder, as `heads.set_weights` takes them."""
        return self.kernel, self.bias, *self.head.values()

    def cut(self) -> tuple[ClassifierWeights, cutting.Report]:
        """Return the same function with as few filters as it takes, and the report of the cut."""
        # A head with weights of its own reads the last layer, which so keeps its width.
        reads = self.word_head in (NO_WORDS, *PLAIN)
        encoder, architecture, kernel = cutting.cut(
            self.encoder, self.architecture, self.kernel if reads else None
        )
        smaller = dataclasses.replace(
            self,
            architecture=architecture,
            encoder=encoder,
            kernel=self.kernel if kernel is None else kernel,
        )
        before, after = (
            tuple(sum(filters for filters, _ in one) for one in architecture.layers)
            for architecture in (self.architecture, architecture)
        )
        report = cutting.Report(before, after, (self._trained(), smaller._trained()))
        return smaller, report

    def _trained(self) -> int:
        """Count the weights but for the word vectors."""
        own = (value for name, value in self.encoder.items() if not name.startswith("words/"))
        return sum(value.size for value in (*own, *self.classifier))


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
    head = sorted(name for name in saved.names if name.startswith(f"{WORD_HEAD}/"))
    return ClassifierWeights(
        architecture,
        encoder,
        kernel,
        bias,
        description.get(saving.TAGGING_HEAD, NO_WORDS),
        {name: saved.read(name) for name in head},
    )


def weights_of(model: tf_keras.Model, like: Architecture) -> ClassifierWeights:
    """Return the weights of a live classifier; `from_weights` is the way back.

    Args:
      model: from `build_classifier`, with plain layers.
      like: gives what no weight tells: the rates of dropout.
    """
    encoder = {name: variable.numpy() for name, variable in by_name(model.variables).items()}
    kernel, bias = model.get_layer(heads.CLASSIFIER).get_weights()
    architecture = like.of_shapes({name: value.shape for name, value in encoder.items()})
    head = {name: value.numpy() for name, value in heads.word_head_variables(model).items()}
    return ClassifierWeights(architecture, encoder, kernel, bias, heads.word_head_name(model), head)


def from_weights(weights: ClassifierWeights, dropout: float = 0.0) -> tf_keras.Model:
    """Return a trainable Keras model of plain layers, as `build_classifier` gives it.

    Args:
      weights: of the architecture that they name.
      dropout: rate before the head.
    """
    encoder = layer.build(weights.architecture, weights.encoder.__getitem__)
    model = heads.attach(encoder, len(weights.bias), dropout, 0, weights.word_head)
    heads.set_weights(model, weights.classifier)
    return model
