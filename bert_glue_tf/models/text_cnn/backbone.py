"""Networks of convolutions over frozen word vectors."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from absl import logging

from bert_glue_tf.core.errors import UserError, reason_of
from bert_glue_tf.models.backbone import Backbone, ClassifierWeights
from bert_glue_tf.models.parts import GIVE_A_SMALL_CNN, States
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED
from bert_glue_tf.models.saved_encoders import (
    NotOfFamilyError,
    ProvedEncoder,
    SavedEncoder,
    TakesOver,
    other_variables,
)
from bert_glue_tf.models.text_cnn import architecture as shapes_of
from bert_glue_tf.models.text_cnn import importing
from bert_glue_tf.models.text_cnn.architecture import DESIGNS, Architecture, by_name

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

    from bert_glue_tf.models.text_cnn.cutting import Report
    from bert_glue_tf.models.text_cnn.export_graph import ExportGraph
    from bert_glue_tf.models.units import Group

_TOLERANCE = 1e-4  # Of two float32 evaluations of one encoder.
# A capability -> why such a network lacks it, behind its name.
_LACKS = {
    "head": "has no attention",
    "neuron": "has no feed-forward layers (its filters are removed by --pruning_method=filter)",
    "kernel": "has kernels over words, and none of 3 x 3",
    "layer": "has layers of different shapes, none of which can be skipped",
    "vocabulary": "has the words that its folder was written with",
    "states": "shows none of its layers to a teacher or a student",
    "quantization": "is quantized after its training only",
}


@dataclasses.dataclass(frozen=True)
class TextCnnBackbone(Backbone):
    """Convolutions over frozen word vectors, each word of a text a token.

    Attributes:
      architecture: shapes of the network.
    """

    architecture: Architecture

    family = "text_cnn"
    imports = ("text_cnn",)
    designs = MappingProxyType({name: one.tables for name, one in DESIGNS.items()})
    takes_over_from = TakesOver.ITS_OWN
    instead = "give a standard BERT"
    instead_of = MappingProxyType({"kernel": GIVE_A_SMALL_CNN})

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

    def describe(self, model: tf_keras.Model | None = None) -> dict[str, Any]:
        own = self.architecture
        if model is not None:
            named = by_name(model.variables)
            own = own.of_shapes({name: tuple(one.shape) for name, one in named.items()})
        return {"family": self.family, "encoder": dataclasses.asdict(own)}

    @classmethod
    def never(cls, capability: str) -> bool:
        return capability in _LACKS

    def _lack(self, capability: str) -> str:
        reason = _LACKS.get(capability)
        return f"the encoder {self.provenance['name']} is a CNN, which {reason}" if reason else ""

    # Building it, and its weights.

    def build(self, dropout: float | None = None, recipe: str = NOT_QUANTIZED) -> Self:
        if recipe != NOT_QUANTIZED:
            raise ValueError(f"{recipe}: {self.why_not('quantization')}")
        architecture = self.architecture
        if dropout is not None:
            architecture = architecture.with_dropout(dropout)
        return self._built(architecture, dict(self.weights()).__getitem__)

    def _built(self, architecture: Architecture, read: Callable[[str], np.ndarray]) -> Self:
        from bert_glue_tf.models.text_cnn import layer

        built = layer.build(architecture, read)
        return dataclasses.replace(self, layer=built, architecture=architecture)

    def weights(self) -> Iterator[tuple[str, np.ndarray]]:
        variables = by_name(self.layer.variables)
        return ((name, variable.numpy()) for name, variable in variables.items())

    def with_weights(self, values: Sequence[np.ndarray]) -> Self:
        names = by_name(self.layer.variables)
        return self._built(self.architecture, dict(zip(names, values, strict=True)).__getitem__)

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

    def start_from(self, folder: pathlib.Path, classes: int) -> tuple[Self, ClassifierWeights]:
        from bert_glue_tf.models.text_cnn.classifier_weights import read_weights

        saved = read_weights(folder)
        if saved.bias.shape != (classes,) or not saved.architecture.is_part_of(self.architecture):
            raise other_variables(folder)
        architecture = dataclasses.replace(saved.architecture, dropouts=self.architecture.dropouts)
        return self._built(architecture, saved.encoder.__getitem__), saved.classifier

    def in_float32(self, model: tf_keras.Model) -> tf_keras.Model:
        from bert_glue_tf.models.text_cnn.classifier_weights import from_weights, weights_of

        return from_weights(weights_of(model, self.architecture))

    # Pruning.

    @staticmethod
    def name_of(variable: tf.Variable) -> str:
        return shapes_of.name_of(variable)

    @staticmethod
    def scope_of(name: str, rank: int) -> str:
        return shapes_of.scope_of(name, rank)

    @staticmethod
    def matrix_shape(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
        return shapes_of.matrix_shape(name, shape)

    @classmethod
    def prunable(cls, model: tf_keras.Model) -> list[tf.Variable]:
        tables = [one for one in model.variables if shapes_of.name_of(one).startswith("words/")]
        return [*tables, *model.trainable_variables]

    @classmethod
    def units(
        cls, kind: str, weights: Iterable[str], variables: Iterable[tf.Variable]
    ) -> list[Group]:
        return shapes_of.units(kind, weights, variables) if kind in shapes_of.UNITS else []

    @classmethod
    def output_of(cls, kind: str) -> str:
        return "kernel" if kind in shapes_of.UNITS else super().output_of(kind)

    def shrink(self, model: tf_keras.Model) -> tuple[tf_keras.Model, Report]:
        from bert_glue_tf.models.text_cnn.classifier_weights import from_weights, weights_of

        smaller, report = weights_of(model, self.architecture).cut()
        return from_weights(smaller), report

    # What tables say of its weights.

    @classmethod
    def part_of(cls, name: str) -> str:
        return shapes_of.part_of(name)

    @classmethod
    def place_of(cls, part: str) -> tuple[int, int]:
        return shapes_of.place_of(part)

    @classmethod
    def region_of(cls, names: Collection[str]) -> str:
        return shapes_of.region_of(names)

    # A saved classifier.

    @classmethod
    def saved_states(cls, folder: pathlib.Path) -> States:
        raise UserError(f"{folder}: its encoder is a CNN, which {_LACKS['states']}")

    @classmethod
    def graph(cls, folder: pathlib.Path) -> ExportGraph:
        from bert_glue_tf.models.text_cnn.classifier_weights import read_weights
        from bert_glue_tf.models.text_cnn.export_graph import ExportGraph

        return ExportGraph(read_weights(folder))

    @classmethod
    def load_classifier(cls, folder: pathlib.Path, dropout: float = 0.0) -> tf_keras.Model:
        from bert_glue_tf.models.text_cnn.classifier_weights import from_weights, read_weights

        return from_weights(read_weights(folder), dropout)
