"""Networks of convolutions over frozen word vectors."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from absl import logging

from bert_glue_tf.core.errors import reason_of
from bert_glue_tf.models.convolutional import Convolutional, Modules
from bert_glue_tf.models.parts import GIVE_A_SMALL_CNN
from bert_glue_tf.models.saved_encoders import (
    NotOfFamilyError,
    ProvedEncoder,
    SavedEncoder,
    TakesOver,
)
from bert_glue_tf.models.text_cnn import architecture as shapes_of
from bert_glue_tf.models.text_cnn import importing
from bert_glue_tf.models.text_cnn.architecture import DESIGNS, Architecture, by_name

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras


_TOLERANCE = 1e-4  # Of two float32 evaluations of one encoder.


@dataclasses.dataclass(frozen=True)
class TextCnnBackbone(Convolutional):
    """Convolutions over frozen word vectors, each word of a text a token.

    Attributes:
      architecture: shapes of the network.
    """

    architecture: Architecture

    family = "text_cnn"
    imports = ("text_cnn",)
    designs = MappingProxyType({name: one.tables for name, one in DESIGNS.items()})
    takes_over_from = TakesOver.ITS_OWN
    what = "a CNN"
    lacks = MappingProxyType(
        {
            "head": "has no attention",
            "neuron": "has no feed-forward layers (its filters are removed by "
            "--pruning_method=filter)",
            "kernel": "has kernels over words, and none of 3 x 3",
            "layer": "has layers of different shapes, none of which can be skipped",
            "vocabulary": "has the words that its folder was written with",
            "states": "shows none of its layers to a teacher or a student",
            "quantization": "is quantized after its training only",
            "products": "has no products that could be computed in bfloat16 alone",
        }
    )
    shapes: ClassVar[Any] = shapes_of
    instead_of = MappingProxyType(
        {"kernel": GIVE_A_SMALL_CNN, "products": "give --mixed_precision=bfloat16"}
    )

    @staticmethod
    def modules() -> Modules:
        from bert_glue_tf.models.text_cnn import classifier_weights, export_graph, layer

        return Modules(layer, classifier_weights, export_graph)

    # Where it comes from.

    @classmethod
    def check_weights(cls, kind: str, folder: pathlib.Path) -> int:
        from bert_glue_tf.models.encoders import MAX_SEQ_LENGTH

        importing.read(folder)
        return MAX_SEQ_LENGTH

    @classmethod
    def import_weights(
        cls, name: str, kind: str, folder: pathlib.Path, licence: str
    ) -> pathlib.Path:
        return importing.import_pair(name, folder, licence)

    @classmethod
    def write_untrained(
        cls,
        folder: pathlib.Path,
        design: str,
        words: Sequence[str],
        vectors: Mapping[str, np.ndarray],
        about: Mapping[str, str],
    ) -> None:
        importing.write(folder, design, words, vectors, about)

    @classmethod
    def saved_sizes(cls, variables: Iterable[tf.Variable]) -> tuple[int, int]:
        rows = (one.shape[0] for name, one in by_name(variables).items() if len(one.shape) == 2)
        return next(rows, 0), 0

    @classmethod
    def take_over(cls, saved: SavedEncoder) -> Self:
        from bert_glue_tf.models.probing import difference
        from bert_glue_tf.models.text_cnn import layer

        variables = by_name(saved.layer.variables)
        if saved.record.get("kind") not in cls.imports or not variables:
            raise NotOfFamilyError("it was not imported from a folder of word vectors")
        try:
            architecture = Architecture(**saved.record["architecture"])
            new = list(saved.record["new_weights"])
        except (KeyError, TypeError, ValueError) as error:
            raise saved.damaged_record(reason_of(error)) from None
        built = layer.build(architecture, lambda name: variables[name].numpy())
        gap = difference(built(dict(saved.batch)), saved.outputs)
        if not gap < _TOLERANCE:
            raise NotOfFamilyError(f"its outputs differ from such a network's by {gap:.1e}")
        return cls(
            layer=built,
            preprocessing=saved.preprocessing,
            preprocessing_path=saved.preprocessing_path,
            provenance={**saved.provenance, "new_weights": new, "probe_difference": gap},
            architecture=architecture,
        )

    @classmethod
    def take_again(cls, proved: ProvedEncoder) -> Self:
        from bert_glue_tf.models.text_cnn import layer

        architecture = Architecture(**proved.encoder)
        return cls(
            layer=layer.build(architecture, proved.variables.read),
            preprocessing=proved.preprocessing,
            preprocessing_path=proved.preprocessing_path,
            provenance=proved.provenance,
            architecture=architecture,
        )

    # What it is.

    @property
    def positions(self) -> int:
        from bert_glue_tf.models.encoders import MAX_SEQ_LENGTH

        return MAX_SEQ_LENGTH  # A setting's, since a convolution has no end.

    # Building it, and its weights.

    def with_first_weights(self, seed: int) -> Self:
        from bert_glue_tf.models.text_cnn import layer

        new = self.provenance.get("new_weights", ())
        if not new:
            return self
        logging.info("the convolutions begin with weights drawn from --seed=%d", seed)
        given, shapes = dict(self.weights()), self.architecture.shapes()
        return self._built(
            self.architecture,
            lambda name: layer.first_weights(name, shapes, seed) if name in new else given[name],
        )

    def in_float32(self, model: tf_keras.Model) -> tf_keras.Model:
        from bert_glue_tf.models.text_cnn.classifier_weights import from_weights, weights_of

        return from_weights(weights_of(model, self.architecture))

    # Pruning.

    @classmethod
    def prunable(cls, model: tf_keras.Model) -> list[tf.Variable]:
        tables = [one for one in model.variables if shapes_of.name_of(one).startswith("words/")]
        return [*tables, *model.trainable_variables]
