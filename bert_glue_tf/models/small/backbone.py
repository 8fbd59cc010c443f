"""Small networks of convolutions over arrays of numbers, begun untrained."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from absl import logging

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.arrays import VALUES, ArrayReader, Arrays
from bert_glue_tf.data.modality import Modality
from bert_glue_tf.models.backbone import Backbone, ClassifierWeights
from bert_glue_tf.models.parts import States
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED
from bert_glue_tf.models.saved_encoders import other_variables
from bert_glue_tf.models.small import architecture as shapes_of
from bert_glue_tf.models.small.architecture import DEVIATION, MEAN, Architecture, by_name
from bert_glue_tf.models.small.designs import DESIGNS

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

    from bert_glue_tf.data.examples import Examples
    from bert_glue_tf.data.tasks import TaskSpec
    from bert_glue_tf.models.small.cutting import Report
    from bert_glue_tf.models.small.export_graph import ExportGraph
    from bert_glue_tf.models.units import Group

_PART = 1024  # Examples whose mean and deviation are computed at once.
# A capability -> why such a network lacks it, behind its name.
_LACKS = MappingProxyType(
    {
        "head": "has no attention",
        "neuron": "has no feed-forward layers (filters are removed by --pruning_method=filter)",
        "layer": "has layers of different shapes, none of which can be skipped",
        "vocabulary": "reads arrays and no words",
        "packing": "reads arrays of one shape, of which none is shorter than its row",
        "states": "shows none of its layers to a teacher or a student",
        "quantization": "is quantized after its training only",
        "mixed_precision": "computes in float32: it is too small to gain by another precision",
    }
)


@dataclasses.dataclass(frozen=True)
class SmallBackbone(Backbone):
    """Convolutions over arrays, each example one position.

    Attributes:
      architecture: shapes of the network.
    """

    architecture: Architecture

    family = "small"
    imports = ("small",)
    modality = Arrays.name
    begins = True
    inputs = (VALUES,)
    instead = "give a standard BERT"
    no_decay = ("/bias", "/scale")

    # Where it comes from.

    @classmethod
    def check_weights(cls, kind: str, folder: pathlib.Path) -> int:
        return 1

    @classmethod
    def check_examples(cls, name: str, modality: Modality) -> None:
        assert isinstance(modality, Arrays)
        try:
            Architecture(name, modality.shape)
        except ValueError as error:
            good = [
                other
                for other, design in DESIGNS.items()
                if len(design.shape) == len(modality.shape)
            ]
            raise UserError(
                f"--encoder={name}: {error}. Good: {', '.join(good) or 'other examples'}."
            ) from None

    @classmethod
    def begin(cls, name: str, provenance: Mapping[str, Any]) -> Self:
        design = DESIGNS[name]
        return cls._of(Architecture(name, design.shape), provenance, 0)

    @classmethod
    def _of(cls, architecture: Architecture, provenance: Mapping[str, Any], seed: int) -> Self:
        from bert_glue_tf.models.small import layer

        shapes = architecture.shapes()
        return cls(
            layer=layer.build(architecture, lambda one: layer.first_weights(one, shapes, seed)),
            preprocessing=ArrayReader(architecture.shape),
            preprocessing_path="",
            provenance={**provenance, "parameters": sum(map(math.prod, shapes.values()))},
            architecture=architecture,
        )

    def with_first_weights(self, seed: int) -> Self:
        from bert_glue_tf.models.small import layer

        logging.info("the network begins with weights drawn from --seed=%d", seed)
        given, shapes = dict(self.weights()), self.architecture.shapes()
        return self._built(
            self.architecture,
            lambda name: (
                given[name]
                if name in (MEAN, DEVIATION)
                else layer.first_weights(name, shapes, seed)
            ),
        )

    def fitted(self, examples: Examples) -> Self:
        (values,) = examples.columns
        assert isinstance(values, np.ndarray)
        architecture = dataclasses.replace(self.architecture, shape=values.shape[1:])
        mean, deviation = _moments(values)
        begun = self._of(architecture, self.provenance, 0)
        known = {**dict(begun.weights()), MEAN: mean, DEVIATION: deviation}
        return begun._built(architecture, known.__getitem__)

    # What it is.

    @property
    def positions(self) -> int:
        return 1

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
        name = self.provenance["name"]
        return f"the encoder {name} is a small CNN, which {reason}" if reason else ""

    def write_preprocessing(self, folder: pathlib.Path) -> None:
        self.preprocessing.write(folder)

    def served(
        self, task: TaskSpec, seq_length: int, truncation: str
    ) -> tuple[list[tf.TensorSpec], Callable[..., dict[str, tf.Tensor]]]:
        specs = list(task.modality.signature(None, None).values())
        return specs, lambda values: {VALUES: values}

    # Building it, and its weights.

    def build(self, dropout: float | None = None, recipe: str = NOT_QUANTIZED) -> Self:
        if recipe != NOT_QUANTIZED:
            raise ValueError(f"{recipe}: {self.why_not('quantization')}")
        architecture = self.architecture
        if dropout is not None:
            architecture = dataclasses.replace(architecture, dropout=dropout)
        return self._built(architecture, dict(self.weights()).__getitem__)

    def _built(self, architecture: Architecture, read: Callable[[str], np.ndarray]) -> Self:
        from bert_glue_tf.models.small import layer

        return dataclasses.replace(
            self,
            layer=layer.build(architecture, read),
            preprocessing=ArrayReader(architecture.shape),
            architecture=architecture,
        )

    def weights(self) -> Iterator[tuple[str, np.ndarray]]:
        variables = by_name(self.layer.variables)
        return ((name, variable.numpy()) for name, variable in variables.items())

    def with_weights(self, values: Sequence[np.ndarray]) -> Self:
        names = by_name(self.layer.variables)
        return self._built(self.architecture, dict(zip(names, values, strict=True)).__getitem__)

    def start_from(self, folder: pathlib.Path, classes: int) -> tuple[Self, ClassifierWeights]:
        from bert_glue_tf.models.small.classifier_weights import read_weights

        saved = read_weights(folder)
        if saved.bias.shape != (classes,) or not saved.architecture.is_part_of(self.architecture):
            raise other_variables(folder)
        architecture = dataclasses.replace(saved.architecture, dropout=self.architecture.dropout)
        classifier = (saved.kernel, saved.bias)
        return self._built(architecture, saved.encoder.__getitem__), classifier

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
    def units(
        cls, kind: str, weights: Iterable[str], variables: Iterable[tf.Variable]
    ) -> list[Group]:
        return shapes_of.units(kind, weights, variables) if kind in shapes_of.UNITS else []

    @classmethod
    def output_of(cls, kind: str) -> str:
        return "kernel" if kind in shapes_of.UNITS else super().output_of(kind)

    def shrink(self, model: tf_keras.Model) -> tuple[tf_keras.Model, Report]:
        from bert_glue_tf.models.small.classifier_weights import from_weights, weights_of

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
        raise UserError(f"{folder}: its encoder is a small CNN, which {_LACKS['states']}")

    @classmethod
    def graph(cls, folder: pathlib.Path) -> ExportGraph:
        from bert_glue_tf.models.small.classifier_weights import read_weights
        from bert_glue_tf.models.small.export_graph import ExportGraph

        return ExportGraph(read_weights(folder))

    @classmethod
    def load_classifier(cls, folder: pathlib.Path, dropout: float = 0.0) -> tf_keras.Model:
        from bert_glue_tf.models.small.classifier_weights import from_weights, read_weights

        return from_weights(read_weights(folder), dropout)


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation along the last axis's entries, float32 [last].

    An entry that is always the same has the deviation 1: it says nothing, and is only centred.

    Args:
      values: [n, ..., last].
    """
    width = values.shape[-1]
    count, total, squares = 0, np.zeros(width), np.zeros(width)
    for start in range(0, len(values), _PART):
        part = values[start : start + _PART].astype(np.float64).reshape(-1, width)
        count += len(part)
        total += part.sum(axis=0)
        squares += np.square(part).sum(axis=0)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0.0))
    deviation[deviation < 1e-6 * np.maximum(1.0, np.abs(mean))] = 1.0
    return mean.astype(np.float32), deviation.astype(np.float32)
