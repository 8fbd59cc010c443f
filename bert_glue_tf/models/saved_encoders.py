"""A text encoder's SavedModel, loaded and asked, before a family holds it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.imported import IMPORT_RECORD
from bert_glue_tf.models.transformer_names import canonical_name

if TYPE_CHECKING:
    import numpy as np


class NotOfFamilyError(Exception):
    """A SavedModel that a family cannot hold; the message is the reason."""


class TakesOver(enum.Enum):
    """The SavedModels of encoders that a family can hold."""

    NONE = "none"
    ITS_OWN = "those of encoders of the family"
    ANY = "any that no other family holds"


@dataclasses.dataclass(frozen=True)
class SavedEncoder:
    """A SavedModel that is a text encoder.

    Attributes:
      layer: `load_layer` of it.
      path: its folder.
      preprocessing, preprocessing_path, provenance: as in `Backbone`.
      positions: the longest sequence; that of every published encoder where it does not tell.
      batch: a probe, int32 [batch, length] by name.
      outputs: its own pooled_output and sequence_output on the probe.
      record: of the import that wrote it (`imported.read_record`); empty where there was none.
      remedy: what to do about a damaged file of it, for the end of a message; may be empty.
      reason: why no other family holds it, in one sentence; empty where none was asked.
    """

    layer: Any
    path: str
    preprocessing: Any
    preprocessing_path: str
    provenance: Mapping[str, Any]
    positions: int
    batch: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    record: Mapping[str, Any]
    remedy: str = ""
    reason: str = ""

    @property
    def kind(self) -> str:
        """The kind of folder that it was imported from; empty where it was not imported."""
        return str(self.record.get("kind", ""))

    def damaged_record(self, reason: str) -> UserError:
        """Return the error of an import's record that lacks what a family needs of it."""
        path = Path(self.path).parent / IMPORT_RECORD
        return UserError(f"{path}: not whole: {reason}{self.remedy}")


@dataclasses.dataclass(frozen=True)
class ProvedEncoder:
    """A SavedModel that a family has been proved equal to before, read without its graphs.

    Attributes:
      encoder: what `Backbone.describe` said of the encoder that was proved.
      variables: the SavedModel's.
      preprocessing, preprocessing_path, provenance: as in `Backbone`.
    """

    encoder: Mapping[str, Any]
    variables: SavedVariables
    preprocessing: Any
    preprocessing_path: str
    provenance: Mapping[str, Any]


class SavedVariables:
    """The variables of a SavedModel, read from its file by their canonical names.

    Args:
      path: the folder of the SavedModel.
    """

    def __init__(self, path: str) -> None:
        import tensorflow as tf
        from tensorflow.core.protobuf import trackable_object_graph_pb2

        self._file = tf.train.load_checkpoint(str(Path(path) / "variables" / "variables"))
        graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
            self._file.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
        )
        self._keys = {
            canonical_name(saved.full_name) or saved.full_name: saved.checkpoint_key
            for node in graph.nodes
            for saved in node.attributes
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The variables' canonical names; where one has none, its own."""
        return tuple(self._keys)

    def read(self, name: str) -> np.ndarray:
        """Return the value of the variable with a canonical name, or with its own.

        Raises:
          KeyError: there is none.
        """
        value: np.ndarray = self._file.get_tensor(self._keys[name])
        return value


def other_variables(folder: Path) -> UserError:
    """Return the error for a saved classifier that is not one of the same encoder and task."""
    return UserError(
        f"{folder}: its variables are not those of this run's model, so it cannot start from "
        "them. Delete that run's folder to fine-tune anew."
    )


def load_layer(path: str) -> Any:
    """Return the SavedModel of an encoder as a layer that can be trained.

    It is loaded here, since a `hub.KerasLayer` that is given a path asks Keras for its options
    and imports all of Keras 3 for it, which is not used: a second of each command.

    Raises:
      ValueError: it cannot be called. And whatever a damaged SavedModel makes TensorFlow raise.
    """
    import tensorflow_hub as hub

    loaded = hub.load(path)
    if not callable(loaded):
        raise ValueError("it has no function to be called")
    return hub.KerasLayer(loaded, trainable=True, name="encoder")
