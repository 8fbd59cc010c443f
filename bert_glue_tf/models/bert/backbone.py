"""BERT encoders whose layers can be seen, cut and built anew."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from absl import logging

from bert_glue_tf.core.errors import reason_of
from bert_glue_tf.data import preprocessing
from bert_glue_tf.models import imported
from bert_glue_tf.models.backbone import Backbone, ClassifierWeights
from bert_glue_tf.models.bert import cutting, network, structure
from bert_glue_tf.models.bert.architecture import (
    Architecture,
    architecture_of,
    by_canonical_name,
)
from bert_glue_tf.models.bert.on_demand import OnDemand
from bert_glue_tf.models.parts import GIVE_A_CNN, GIVE_A_SMALL_CNN, Layers, Part, States, Table
from bert_glue_tf.models.quantization.imitation import QUANTIZE_AWARE, Trained, recipe_of
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED
from bert_glue_tf.models.saved_encoders import (
    ProvedEncoder,
    SavedEncoder,
    TakesOver,
    other_variables,
)
from bert_glue_tf.models.transformer_names import TransformerNames

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

    from bert_glue_tf.models.bert.blocks import BertBlocks
    from bert_glue_tf.models.bert.classifier_weights import EncoderWeights
    from bert_glue_tf.models.bert.export_graph import ExportGraph
    from bert_glue_tf.models.bert.shrinking import Report
    from bert_glue_tf.models.blocks import EncoderSizes
    from bert_glue_tf.models.foreign_classifiers import ForeignClassifier
    from bert_glue_tf.models.foreign_heads import ForeignHead
    from bert_glue_tf.models.units import Group


# What the record of an import says that a run's record repeats.
_TOLD = ("new_weights", "notes", "warnings", "unused_head")
# Capability -> why no BERT has it.
_LACKS = dict.fromkeys(("filter", "kernel"), "has no convolutions and so no filters")


@dataclasses.dataclass(frozen=True)
class BertBackbone(TransformerNames, Backbone):
    """A standard BERT, with weights under canonical names.

    Attributes:
      architecture: shapes and arithmetic of the layer.
    """

    architecture: Architecture

    family = "bert"
    imports = ("embedded", "huggingface", "tf_checkpoint")
    takes_over_from = TakesOver.ITS_OWN
    shows_blocks = True
    instead_of = MappingProxyType({"filter": GIVE_A_CNN, "kernel": GIVE_A_SMALL_CNN})

    @classmethod
    def reads(cls, kind: str, folder: pathlib.Path) -> bool:
        from bert_glue_tf.models.bert.foreign_config import MODEL_TYPES

        return super().reads(kind, folder) and imported.model_type(folder) in ("", *MODEL_TYPES)

    @classmethod
    def check_weights(cls, kind: str, folder: pathlib.Path) -> int:
        from bert_glue_tf.models.bert import foreign_weights

        return foreign_weights.judge(kind, folder).architecture.positions

    @classmethod
    def check_config(cls, kind: str, folder: pathlib.Path) -> None:
        from bert_glue_tf.models.bert import foreign_config

        if kind == "huggingface":
            foreign_config.check_model_type(folder / foreign_config.CONFIG)

    @classmethod
    def import_weights(
        cls, name: str, kind: str, folder: pathlib.Path, licence: str
    ) -> pathlib.Path:
        from bert_glue_tf.models.bert import importing

        return importing.import_pair(name, kind, folder, licence)

    @classmethod
    def import_head(cls, kind: str, folder: pathlib.Path) -> ForeignHead:
        from bert_glue_tf.models.bert import foreign_head

        return (
            foreign_head.read(folder)
            if kind == "huggingface"
            else super().import_head(kind, folder)
        )

    @classmethod
    def saved_sizes(cls, variables: Iterable[tf.Variable]) -> tuple[int, int]:
        tables = by_canonical_name(variables)
        rows, positions = (
            tables[name].shape[0] if name in tables else 0
            for name in (structure.TABLE, structure.POSITIONS)
        )
        return rows, positions

    @classmethod
    def take_over(cls, saved: SavedEncoder) -> Self:
        try:
            known = Architecture(**saved.record["architecture"]) if saved.record else None
        except (KeyError, TypeError) as error:
            raise saved.damaged_record(reason_of(error)) from None
        layer, architecture, gap = network.take_over(saved.layer, saved.outputs, saved.batch, known)
        return cls(
            layer=layer,
            preprocessing=saved.preprocessing,
            preprocessing_path=saved.preprocessing_path,
            provenance={
                **saved.provenance,
                **{key: saved.record[key] for key in _TOLD if saved.record.get(key)},
                "activation": architecture.activation,
                "probe_difference": gap,
            },
            architecture=architecture,
        )

    @classmethod
    def take_again(cls, proved: ProvedEncoder) -> Self:
        architecture = Architecture(**proved.encoder)
        return cls(
            layer=network.build_encoder(architecture, proved.variables.read),
            preprocessing=proved.preprocessing,
            preprocessing_path=proved.preprocessing_path,
            provenance=proved.provenance,
            architecture=architecture,
        )

    @property
    def positions(self) -> int:
        return self.architecture.positions

    def describe(self, model: tf_keras.Model | None = None) -> dict[str, Any]:
        told = {"family": self.family, "encoder": dataclasses.asdict(self._own(model))}
        recipe = recipe_of(model)
        return told if recipe == NOT_QUANTIZED else {**told, QUANTIZE_AWARE: recipe}

    def widths(self, model: tf_keras.Model | None = None) -> list[dict[str, int]]:
        blocks = self._own(model).each_block()
        return [{"heads": block.heads, "neurons": block.inner_dim} for block in blocks]

    def _own(self, model: tf_keras.Model | None) -> Architecture:
        """Return the architecture of a live classifier's own weights; without one the encoder's."""
        if model is None:
            return self.architecture
        return architecture_of(by_canonical_name(model.variables), self.architecture)

    @classmethod
    def why_never(cls, capability: str) -> str:
        # Every other capability is there: the layers are built by this project.
        reason = _LACKS.get(capability)
        return f"a BERT {reason}" if reason else ""

    def _lack(self, capability: str) -> str:
        reason = _LACKS.get(capability)
        return f"the encoder {self.provenance['name']} is a BERT, which {reason}" if reason else ""

    def build(self, dropout: float | None = None, recipe: str = NOT_QUANTIZED) -> Self:
        architecture = self.architecture
        if dropout is not None:
            architecture = dataclasses.replace(
                architecture, output_dropout=dropout, attention_dropout=dropout
            )
        variables = by_canonical_name(self.layer.variables)
        return self._built(architecture, lambda name: network.value_of(variables[name]), recipe)

    def with_first_weights(self, seed: int) -> Self:
        new = self.provenance.get("new_weights", ())
        if not new:
            return self
        logging.info("the encoder has no pooler: a new one is drawn from --seed=%d", seed)
        variables = by_canonical_name(self.layer.variables)
        return self._built(
            self.architecture,
            lambda name: (
                network.first_weights(name, tuple(variables[name].shape), seed)
                if name in new
                else network.value_of(variables[name])
            ),
        )

    def _built(
        self,
        architecture: Architecture,
        read: Callable[[str], np.ndarray],
        recipe: str = NOT_QUANTIZED,
    ) -> Self:
        layer = network.build_encoder(architecture, read, recipe=recipe)
        if recipe != NOT_QUANTIZED:
            layer.begin()
        return dataclasses.replace(self, layer=layer, architecture=architecture)

    def weights(self) -> Iterator[tuple[str, np.ndarray]]:
        variables = by_canonical_name(self.layer.variables)
        return ((name, network.value_of(variable)) for name, variable in variables.items())

    def with_weights(self, values: Sequence[np.ndarray]) -> Self:
        names = by_canonical_name(self.layer.variables)
        return self._built(self.architecture, dict(zip(names, values, strict=True)).__getitem__)

    def start_from(self, folder: pathlib.Path, classes: int) -> tuple[Self, ClassifierWeights]:
        from bert_glue_tf.models import saving
        from bert_glue_tf.models.bert.classifier_weights import read_weights

        saved = read_weights(folder)
        if saved.bias.shape != (classes,) or not saved.architecture.is_part_of(self.architecture):
            raise other_variables(folder)
        # The dropout rates are this run's own.
        architecture = saved.architecture.told_by(self.architecture)
        started = self._built(architecture, saved.encoder.__getitem__)
        if architecture.vocab_size < self.architecture.vocab_size:
            started = started._reading(folder / saving.PREPROCESSING)
        return started, saved.classifier

    def in_float32(self, model: tf_keras.Model) -> tf_keras.Model:
        from bert_glue_tf.models.bert.classifier_weights import from_weights, weights_of

        return from_weights(weights_of(model, self.architecture))

    @property
    def states(self) -> States:
        return self.architecture.states

    @classmethod
    def saved_states(cls, folder: pathlib.Path) -> States:
        from bert_glue_tf.models.bert.classifier_weights import read_weights

        return read_weights(folder).architecture.states

    @classmethod
    def units(
        cls, kind: str, weights: Iterable[str], variables: Iterable[tf.Variable]
    ) -> list[Group]:
        return structure.layer_units(kind, weights, variables)

    @classmethod
    def parts(cls, variables: Iterable[tf.Variable]) -> list[Part]:
        named = list(variables)
        return [*structure.parts(named), *super().parts(named)]

    @classmethod
    def rounded(cls, folder: pathlib.Path, recipe: str) -> dict[str, np.ndarray]:
        from bert_glue_tf.models.bert.classifier_weights import rounded

        return rounded(folder, recipe)

    @classmethod
    def output_of(cls, kind: str) -> str:
        return structure.LAYER_UNITS[kind].output

    def shrink(self, model: tf_keras.Model) -> tuple[tf_keras.Model, Report]:
        from bert_glue_tf.models.bert import shrinking

        return shrinking.shrink_model(model, self.architecture)

    def _encoder(self) -> EncoderWeights:
        from bert_glue_tf.models.bert.classifier_weights import EncoderWeights

        variables = by_canonical_name(self.layer.variables)
        values = OnDemand(variables, lambda name: network.value_of(variables[name]))
        return EncoderWeights(self.architecture, values)

    def _with(self, weights: EncoderWeights) -> Self:
        return self._built(weights.architecture, weights.encoder.__getitem__)

    @property
    def layers(self) -> Layers:
        variables = by_canonical_name(self.layer.variables)
        sizes = (
            variable.shape.num_elements()
            for name, variable in variables.items()
            if name.startswith(structure.LAYERS)
        )
        return Layers(self.architecture.layers, sum(sizes), structure.LAYERS)

    def drop_layers(self, keep: Sequence[int]) -> Self:
        return self._with(cutting.drop_layers(self._encoder(), keep))

    def computing(
        self, model: tf_keras.Model, keep: Sequence[int]
    ) -> contextlib.AbstractContextManager[None]:
        return network.encoder_of(model).computing(keep)

    def first_units(
        self, model: tf_keras.Model, widths: Sequence[tuple[int, int]], keep: Sequence[int]
    ) -> tf_keras.Model:
        from bert_glue_tf.models import heads
        from bert_glue_tf.models.bert.classifier_weights import from_weights, weights_of

        fewer = cutting.drop_layers(weights_of(model, self.architecture), keep)
        smaller = cutting.first_units(fewer, widths)
        return from_weights(smaller, model.get_layer(heads.DROPOUT).rate)

    @classmethod
    def layer_name(cls, index: int) -> str:
        return structure.layer_name(index)

    @property
    def table(self) -> Table:
        rows, width = by_canonical_name(self.layer.variables)[structure.TABLE].shape
        return Table(structure.TABLE, rows, width)

    def keep_pieces(self, ids: Sequence[int] | np.ndarray, folder: pathlib.Path) -> Self:
        return self._with(cutting.keep_pieces(self._encoder(), ids))._reading(folder)

    def _reading(self, folder: pathlib.Path) -> Self:
        """Return the encoder with the preprocessing SavedModel of a smaller vocabulary."""
        return dataclasses.replace(
            self,
            preprocessing=preprocessing.load(str(folder), str(folder)),
            preprocessing_path=str(folder),
        )

    @classmethod
    def graph(cls, folder: pathlib.Path) -> ExportGraph:
        from bert_glue_tf.models.bert.classifier_weights import read_weights
        from bert_glue_tf.models.bert.export_graph import ExportGraph

        return ExportGraph(read_weights(folder))

    @classmethod
    def trained_grids(cls, folder: pathlib.Path) -> Trained | None:
        from bert_glue_tf.models.bert.classifier_weights import trained_of_file

        return trained_of_file(folder)

    @classmethod
    def blocks(cls, folder: pathlib.Path) -> BertBlocks:
        from bert_glue_tf.models.bert.blocks import BertBlocks

        return BertBlocks(folder)

    @classmethod
    def sizes(cls, folder: pathlib.Path) -> EncoderSizes:
        from bert_glue_tf.models.bert.classifier_weights import read_weights

        saved = read_weights(folder)
        return saved.architecture.sizes(len(saved.bias))

    @classmethod
    def sized(
        cls, folder: pathlib.Path, widths: Sequence[tuple[int, int]], pieces: int
    ) -> ExportGraph:
        from bert_glue_tf.models.bert import blocks
        from bert_glue_tf.models.bert.classifier_weights import read_weights

        saved = read_weights(folder)
        return blocks.sized(saved.architecture, widths, pieces, len(saved.bias))

    @classmethod
    def load_classifier(cls, folder: pathlib.Path, dropout: float = 0.0) -> tf_keras.Model:
        from bert_glue_tf.models.bert.classifier_weights import load_classifier

        return load_classifier(folder, dropout)

    @classmethod
    def to_hugging_face(cls, folder: pathlib.Path, dropout: float) -> ForeignClassifier:
        from bert_glue_tf.models.bert import to_hugging_face
        from bert_glue_tf.models.bert.classifier_weights import read_weights

        return to_hugging_face.classifier(read_weights(folder), str(folder), dropout)
