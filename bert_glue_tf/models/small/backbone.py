"""Small networks of convolutions over arrays of numbers, begun untrained."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from absl import logging

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.arrays import VALUES, ArrayReader, Arrays
from bert_glue_tf.data.modality import Modality
from bert_glue_tf.models.convolutional import Convolutional, Modules
from bert_glue_tf.models.small import architecture as shapes_of
from bert_glue_tf.models.small.architecture import DEVIATION, MEAN, Architecture
from bert_glue_tf.models.small.designs import DESIGNS

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.data.examples import Examples
    from bert_glue_tf.data.tasks import TaskSpec

_PART = 1024  # Examples whose mean and deviation are computed at once.


@dataclasses.dataclass(frozen=True)
class SmallBackbone(Convolutional):
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
    what = "a small CNN"
    lacks = MappingProxyType(
        {
            "head": "has no attention",
            "neuron": "has no feed-forward layers (filters are removed by --pruning_method=filter)",
            "layer": "has layers of different shapes, none of which can be skipped",
            "vocabulary": "reads arrays and no words",
            "packing": "reads arrays of one shape, of which none is shorter than its row",
            "states": "shows none of its layers to a teacher or a student",
            "quantization": "is quantized after its training only",
            "mixed_precision": "computes in float32: it is too small to gain by another precision",
            "products": "computes in float32: it is too small to gain by another precision",
        }
    )
    shapes: ClassVar[Any] = shapes_of
    no_decay = ("/bias", "/scale")

    @staticmethod
    def modules() -> Modules:
        from bert_glue_tf.models.small import classifier_weights, export_graph, layer

        return Modules(layer, classifier_weights, export_graph)

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

    def write_preprocessing(self, folder: pathlib.Path) -> None:
        self.preprocessing.write(folder)

    def served(
        self, task: TaskSpec, seq_length: int, truncation: str
    ) -> tuple[list[tf.TensorSpec], Callable[..., dict[str, tf.Tensor]]]:
        specs = list(task.modality.signature(None, None).values())
        return specs, lambda values: {VALUES: values}

    # Building it, and its weights.

    def _built(self, architecture: Architecture, read: Callable[[str], np.ndarray]) -> Self:
        built = super()._built(architecture, read)
        return dataclasses.replace(built, preprocessing=ArrayReader(architecture.shape))


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
