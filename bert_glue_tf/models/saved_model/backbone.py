"""Text encoders that only their SavedModel knows how to compute."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bert_glue_tf.models.backbone import Backbone, ClassifierWeights
from bert_glue_tf.models.parts import CAPABILITIES, GIVE_A_CNN, GIVE_A_SMALL_CNN, States
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED
from bert_glue_tf.models.saved_encoders import SavedEncoder, TakesOver, load_layer, other_variables
from bert_glue_tf.models.transformer_names import TransformerNames
from bert_glue_tf.models.word_heads.names import WORD_HEAD

if TYPE_CHECKING:
    import tf_keras

    from bert_glue_tf.models.blocks import Blocks, EncoderSizes
    from bert_glue_tf.models.parts import Graph
    from bert_glue_tf.models.saved_model.graph import SavedGraph


@dataclasses.dataclass(frozen=True)
class SavedModelBackbone(TransformerNames, Backbone):
    """A text encoder as a trainable `hub.KerasLayer`.

    What looks at its variables alone works: their names are those of the published encoders, or
    the encoder's own.

    Attributes:
      path: the folder of the SavedModel.
      reason: why it is held in this family, in one sentence.
      longest: `positions`; that of every published encoder where its variables do not tell.
    """

    path: str
    reason: str
    longest: int

    family = "saved_model"
    takes_over_from = TakesOver.ANY
    instead = "give a standard BERT"
    instead_of = MappingProxyType({"filter": GIVE_A_CNN, "kernel": GIVE_A_SMALL_CNN})

    @classmethod
    def take_over(cls, saved: SavedEncoder) -> Self:
        return cls(
            layer=saved.layer,
            preprocessing=saved.preprocessing,
            preprocessing_path=saved.preprocessing_path,
            provenance=saved.provenance,
            path=saved.path,
            reason=saved.reason or "the family saved_model was asked for",
            longest=saved.positions,
        )

    @property
    def positions(self) -> int:
        return self.longest

    def describe(self, model: tf_keras.Model | None = None) -> dict[str, Any]:
        del model
        return {"family": self.family, "encoder": None}

    def record(self) -> dict[str, Any]:
        return {**super().record(), "family_reason": self.reason}

    @classmethod
    def why_never(cls, capability: str) -> str:
        # What it has shows in its SavedModel only.
        return f"{CAPABILITIES[capability]}, and a SavedModel is taken as it is"

    def _lack(self, capability: str) -> str:
        encoder = f"the encoder {self.provenance['name']} is held as a SavedModel ({self.reason})"
        if capability in ("mixed_precision", "products"):
            return f"{encoder}, and computes as it was saved"
        if capability == "dropout":
            return f"{encoder}, so its dropout cannot be set"
        return f"{CAPABILITIES[capability]}, and {encoder}"

    def build(self, dropout: float | None = None, recipe: str = NOT_QUANTIZED) -> Self:
        if dropout is not None:
            self.require(
                "dropout",
                f"--encoder_dropout={dropout}",
                f"Leave the flag out, or {self.instead}.",
            )
        if recipe != NOT_QUANTIZED:
            raise ValueError(f"{recipe}: {self.why_not('quantization')}")
        return self.with_weights([variable.numpy() for variable in self.layer.variables])

    def weights(self) -> Iterator[tuple[str, np.ndarray]]:
        return ((self.name_of(variable), variable.numpy()) for variable in self.layer.variables)

    def with_weights(self, values: Sequence[np.ndarray]) -> Self:
        layer = load_layer(self.path)  # Anew, since the one that is there keeps its values.
        for variable, value in zip(layer.variables, values, strict=True):
            variable.assign(value)
        return dataclasses.replace(self, layer=layer)

    def start_from(self, folder: pathlib.Path, classes: int) -> tuple[Self, ClassifierWeights]:
        from bert_glue_tf.models import heads, saving

        # Both were built of the same SavedModel, so their variables come in the same order, the
        # head's last; what each is called and its shape are compared.
        saving.read_description(folder)  # Refuses a folder without a model.
        saved = saving.load_saved(folder).variables
        own = [(variable.name, tuple(variable.shape)) for variable in self.layer.variables]
        found = [(variable.name, tuple(variable.shape)) for variable in saved]
        head = dict(found[len(own) :])
        dense = [f"{heads.CLASSIFIER}/{leaf}:0" for leaf in ("kernel", "bias")]
        words = sorted(name for name in head if name.startswith(f"{WORD_HEAD}/"))
        if (
            found[: len(own)] != own
            or {*head} != {*dense, *words}
            or any(head[name][-1:] != (classes,) for name in dense)
        ):
            raise other_variables(folder)
        values = {variable.name: variable.numpy() for variable in saved[len(own) :]}
        encoder = self.with_weights([variable.numpy() for variable in saved[: len(own)]])
        return encoder, tuple(values[name] for name in (*dense, *words))

    @classmethod
    def saved_states(cls, folder: pathlib.Path) -> States:
        from bert_glue_tf.models import saving

        raise saving.not_buildable(folder)

    @classmethod
    def graph(cls, folder: pathlib.Path) -> SavedGraph:
        from bert_glue_tf.models.saved_model.graph import SavedGraph

        return SavedGraph(folder)

    @classmethod
    def blocks(cls, folder: pathlib.Path) -> Blocks:
        from bert_glue_tf.models import saving

        raise saving.not_buildable(folder)

    @classmethod
    def sizes(cls, folder: pathlib.Path) -> EncoderSizes:
        from bert_glue_tf.models import saving

        raise saving.not_buildable(folder)

    @classmethod
    def sized(cls, folder: pathlib.Path, widths: Sequence[tuple[int, int]], pieces: int) -> Graph:
        from bert_glue_tf.models import saving

        raise saving.not_buildable(folder)

    @classmethod
    def load_classifier(cls, folder: pathlib.Path, dropout: float = 0.0) -> tf_keras.Model:
        del dropout
        from bert_glue_tf.models import saving

        raise saving.not_buildable(folder)
