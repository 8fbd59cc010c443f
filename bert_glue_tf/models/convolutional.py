"""Connect backbones of convolutions with the modules of their families."""

from __future__ import annotations

import abc
import dataclasses
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.backbone import Backbone, ClassifierWeights
from bert_glue_tf.models.parts import Cut, Graph, States
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED
from bert_glue_tf.models.saved_encoders import other_variables

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    import tf_keras

    from bert_glue_tf.models.units import Group


class Modules(NamedTuple):
    """The modules of a family that load TensorFlow.

    Attributes:
      layer: has `build(architecture, read)`, the layer with the weights that `read` gives by name.
      classifier_weights: has `read_weights(folder)`, `weights_of(model, architecture)` and
        `from_weights(weights, dropout)`.
      export_graph: has `ExportGraph(weights)`.
    """

    layer: ModuleType
    classifier_weights: ModuleType
    export_graph: ModuleType


@dataclasses.dataclass(frozen=True)
class Convolutional(Backbone):
    """An encoder of convolutions, whose weights are known by their names.

    Attributes:
      architecture: shapes of the network; each family has a class of its own for it.
      what: what messages call it, as "a CNN".
      lacks: a capability -> why such a network lacks it, behind its name.
      shapes: the family's module of names and shapes, `architecture`.
    """

    architecture: Any

    what: ClassVar[str]
    lacks: ClassVar[Mapping[str, str]]
    shapes: ClassVar[Any]
    instead = "give a standard BERT"

    @staticmethod
    @abc.abstractmethod
    def modules() -> Modules:
        """Return the family's modules, loaded here and not before."""

    # What it is.

    def describe(self, model: tf_keras.Model | None = None) -> dict[str, Any]:
        own = self.architecture
        if model is not None:
            named = self.shapes.by_name(model.variables)
            own = own.of_shapes({name: tuple(one.shape) for name, one in named.items()})
        return {"family": self.family, "encoder": dataclasses.asdict(own)}

    @classmethod
    def why_never(cls, capability: str) -> str:
        return f"{cls.what} {cls.lacks[capability]}" if capability in cls.lacks else ""

    def _lack(self, capability: str) -> str:
        reason = self.lacks.get(capability)
        name = self.provenance["name"]
        return f"the encoder {name} is {self.what}, which {reason}" if reason else ""

    # Building it, and its weights.

    def build(self, dropout: float | None = None, recipe: str = NOT_QUANTIZED) -> Self:
        if recipe != NOT_QUANTIZED:
            raise ValueError(f"{recipe}: {self.why_not('quantization')}")
        architecture = self.architecture
        if dropout is not None:
            architecture = architecture.with_dropout(dropout)
        return self._built(architecture, dict(self.weights()).__getitem__)

    def _built(self, architecture: Any, read: Callable[[str], np.ndarray]) -> Self:
        built = self.modules().layer.build(architecture, read)
        return dataclasses.replace(self, layer=built, architecture=architecture)

    def weights(self) -> Iterator[tuple[str, np.ndarray]]:
        variables = self.shapes.by_name(self.layer.variables)
        return ((name, variable.numpy()) for name, variable in variables.items())

    def with_weights(self, values: Sequence[np.ndarray]) -> Self:
        names = self.shapes.by_name(self.layer.variables)
        return self._built(self.architecture, dict(zip(names, values, strict=True)).__getitem__)

    def start_from(self, folder: pathlib.Path, classes: int) -> tuple[Self, ClassifierWeights]:
        saved = self.modules().classifier_weights.read_weights(folder)
        if saved.bias.shape != (classes,) or not saved.architecture.is_part_of(self.architecture):
            raise other_variables(folder)
        architecture = saved.architecture.with_dropout_of(self.architecture)
        return self._built(architecture, saved.encoder.__getitem__), saved.classifier

    # Pruning.

    @classmethod
    def name_of(cls, variable: tf.Variable) -> str:
        name: str = cls.shapes.name_of(variable)
        return name

    @classmethod
    def scope_of(cls, name: str, rank: int) -> str:
        scope: str = cls.shapes.scope_of(name, rank)
        return scope

    @classmethod
    def matrix_shape(cls, name: str, shape: tuple[int, ...]) -> tuple[int, int]:
        rows, columns = cls.shapes.matrix_shape(name, shape)
        return rows, columns

    @classmethod
    def units(
        cls, kind: str, weights: Iterable[str], variables: Iterable[tf.Variable]
    ) -> list[Group]:
        has_any = kind in cls.shapes.UNITS
        return list(cls.shapes.units(kind, weights, variables)) if has_any else []

    @classmethod
    def output_of(cls, kind: str) -> str:
        return "kernel" if kind in cls.shapes.UNITS else super().output_of(kind)

    def shrink(self, model: tf_keras.Model) -> tuple[tf_keras.Model, Cut]:
        code = self.modules().classifier_weights
        smaller, report = code.weights_of(model, self.architecture).cut()
        return code.from_weights(smaller), report

    # What tables say of its weights.

    @classmethod
    def part_of(cls, name: str) -> str:
        part: str = cls.shapes.part_of(name)
        return part

    @classmethod
    def place_of(cls, part: str) -> tuple[int, int]:
        place: tuple[int, int] = cls.shapes.place_of(part)
        return place

    @classmethod
    def region_of(cls, names: Collection[str]) -> str:
        region: str = cls.shapes.region_of(names)
        return region

    # A saved classifier.

    @classmethod
    def saved_states(cls, folder: pathlib.Path) -> States:
        raise UserError(f"{folder}: its encoder is {cls.what}, which {cls.lacks['states']}")

    @classmethod
    def graph(cls, folder: pathlib.Path) -> Graph:
        code = cls.modules()
        graph: Graph = code.export_graph.ExportGraph(code.classifier_weights.read_weights(folder))
        return graph

    @classmethod
    def load_classifier(cls, folder: pathlib.Path, dropout: float = 0.0) -> tf_keras.Model:
        code = cls.modules().classifier_weights
        return code.from_weights(code.read_weights(folder), dropout)
