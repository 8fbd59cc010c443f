"""The seam between an encoder and everything else: one object that answers for its family.

A family is a folder beside this file with a `backbone.py` (see `families`). Nobody outside of
`models` asks of which family an encoder is: what a caller needs it asks for by a capability
(`Backbone.why_not`), and what it does it does with the methods here.
"""

from __future__ import annotations

import abc
import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.models.examples_of import ReadsExamples
from bert_glue_tf.models.importer import Importer
from bert_glue_tf.models.layered import Layered
from bert_glue_tf.models.naming import Naming
from bert_glue_tf.models.parts import CAPABILITIES, Cut, Graph, States, Table
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED
from bert_glue_tf.models.saved_encoders import TakesOver

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    import tf_keras

    from bert_glue_tf.models.blocks import Blocks, EncoderSizes
    from bert_glue_tf.models.quantization.imitation import Trained
    from bert_glue_tf.models.saved_encoders import ProvedEncoder, SavedEncoder
    from bert_glue_tf.models.units import Group

# float32 kernel [hidden, classes] and bias [classes] of a classifier, and those of a head of words.
ClassifierWeights = tuple["np.ndarray", ...]


@dataclasses.dataclass(frozen=True)
class Backbone(Importer, ReadsExamples, Naming, Layered, abc.ABC):
    """An encoder with the preprocessing that belongs to it.

    It is never changed: what would change it returns another one.

    Attributes:
      layer: the `tf_keras` layer: dict of int32 [batch, length] (by `inputs`) -> dict with
        pooled_output [batch, hidden] and sequence_output [batch, length, hidden], float32. With
        the capability `states` also encoder_outputs, a list of the output of each layer, and
        attention_inputs, a list of each layer's queries, keys and values [batch, length, heads,
        size]; of packed texts the last output may have the pooled tokens alone, [texts, 1, hidden].
      preprocessing: the loaded preprocessing SavedModel, or what else `Modality.load` gives.
      preprocessing_path: the folder it was loaded from; empty where it is made with the network.
      provenance: name, kind, encoder, preprocessing, version, sha256 (of the weights' file, else
        of the SavedModel's variables), parameters, licence, vocabulary_sha256 (of the
        preprocessing's assets), and what the family adds. JSON types.
    """

    layer: Any
    preprocessing: Any
    preprocessing_path: str
    provenance: Mapping[str, Any]

    # Parts of the names of weights without weight decay: biases and layer norms, as Keras and the
    # published encoders name them (Devlin et al. 2019, appendix A.2, and google-research/bert).
    no_decay: ClassVar[tuple[str, ...]] = ("LayerNorm", "layer_norm", "bias")
    inputs: ClassVar[tuple[str, ...]] = INPUTS
    takes_over_from: ClassVar[TakesOver] = TakesOver.NONE
    shows_blocks: ClassVar[bool] = False  # True: `blocks`, `sizes` and `sized` work.
    # What has the capabilities that it lacks, as the end of a remedy; see `instead_for`.
    instead: ClassVar[str] = "give an encoder of another family"
    instead_of: ClassVar[Mapping[str, str]] = MappingProxyType({})  # Of single capabilities.

    # Where it comes from. A family says what of this and of `Importer` it can do by `imports` and
    # `takes_over_from`.

    @classmethod
    def saved_sizes(cls, variables: Iterable[tf.Variable]) -> tuple[int, int]:
        """Return the word embeddings' rows and the positions that a SavedModel's variables tell.

        Args:
          variables: of any text encoder; their names tell, if it is known what they mean.

        Returns:
          (rows, positions), each 0 where it is not known.
        """
        del variables
        return 0, 0

    @classmethod
    def take_over(cls, saved: SavedEncoder) -> Self:
        """Return a loaded SavedModel as an encoder of the family.

        One that computes by itself is proved equal to the SavedModel on its probe.

        Raises:
          NotOfFamilyError: it is none of the family.
          UserError: the record of its import is damaged.
        """
        raise NotImplementedError(f"{cls.family} takes no SavedModel over")

    @classmethod
    def take_again(cls, proved: ProvedEncoder) -> Self:
        """Return what `take_over` returned for the same bytes, from the variables alone.

        It is asked of a family whose `describe` says what it takes to build the encoder again.
        """
        raise NotImplementedError(f"{cls.family} cannot be built from variables alone")

    # The encoder's sizes and description.

    @property
    @abc.abstractmethod
    def positions(self) -> int:
        """The longest sequence, in word pieces."""

    @abc.abstractmethod
    def describe(self, model: tf_keras.Model | None = None) -> dict[str, Any]:
        """Return, in JSON types, `family` and `encoder`: what it takes to build it again.

        `encoder` is None where only the SavedModel tells how to compute it.

        Args:
          model: a live classifier that was built on this encoder, whose own encoder is described;
            it may have become smaller.
        """

    def widths(self, model: tf_keras.Model | None = None) -> list[dict[str, int]]:
        """Return each layer's units, `[{"heads": 12, "neurons": 3072}, ...]`; empty if hidden.

        `model` is that of `describe`.
        """
        del model
        return []

    def record(self) -> dict[str, Any]:
        """Return what a run's record says of the encoder, in JSON types."""
        return {**self.provenance, "family": self.family}

    def why_not(self, capability: str) -> str:
        """Return why the encoder lacks a capability; empty if it has it.

        Args:
          capability: one of `CAPABILITIES`.

        Returns:
          A clause for a message, without a full stop.

        Raises:
          ValueError: there is no such capability.
        """
        if capability not in CAPABILITIES:
            raise ValueError(f"{capability}: no such capability; {', '.join(CAPABILITIES)}")
        return self._lack(capability)

    @abc.abstractmethod
    def _lack(self, capability: str) -> str:
        """Return what `why_not` returns, for one of `CAPABILITIES`."""

    def require(self, capability: str, flag: str, remedy: str) -> None:
        """Raise a UserError that begins with `flag` where the encoder lacks a capability.

        Args:
          capability: one of `CAPABILITIES`.
          flag: with its value, as the user gave it.
          remedy: a sentence that says what would be good.
        """
        if reason := self.why_not(capability):
            raise UserError(f"{flag}: {reason}. {remedy}")

    def instead_for(self, capability: str) -> str:
        """Return what has a capability that the encoder lacks, as the end of a remedy."""
        return self.instead_of.get(capability, self.instead)

    def with_provenance(self, **more: Any) -> Self:
        """Return the same encoder with more that is known of where it comes from."""
        return dataclasses.replace(self, provenance={**self.provenance, **more})

    # Building it.

    @abc.abstractmethod
    def build(self, dropout: float | None = None, recipe: str = NOT_QUANTIZED) -> Self:
        """Return the same encoder in variables that are created anew.

        Under the scope of a distribution strategy they become variables of that strategy. An
        encoder is loaded outside of the scope: what is loaded under it can be called by a
        replica, within `strategy.run`, but not between them, and so not be probed.

        Args:
          dropout: rate inside of the encoder, on attention weights and outputs; None keeps the
            encoder's own.
          recipe: name of the one whose file the encoder is to imitate, with the capability
            `quantization`.

        Raises:
          UserError: `dropout` is given, and the encoder's cannot be set; or it can imitate none.
        """

    # Its weights.

    @abc.abstractmethod
    def weights(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield name and value of each variable, in an order that is always the same."""

    @abc.abstractmethod
    def with_weights(self, values: Sequence[np.ndarray]) -> Self:
        """Return the same encoder with other values of the same shapes, in `weights`' order."""

    def with_first_weights(self, seed: int) -> Self:
        """Return the same encoder with new values, drawn from `seed`, for what it came without.

        A folder may lack a weight that a classifier needs, as a pooler.
        """
        del seed
        return self

    @abc.abstractmethod
    def start_from(self, folder: pathlib.Path, classes: int) -> tuple[Self, ClassifierWeights]:
        """Return this encoder with the weights of a saved classifier, and that classifier's head.

        Where units or word pieces of the saved one are gone, they are gone here as well.

        Args:
          folder: of a model that was saved of the same encoder.
          classes: width of the head.

        Raises:
          UserError: the folder holds no model, or one of other variables.
        """

    def in_float32(self, model: tf_keras.Model) -> tf_keras.Model:
        """Return a classifier of the same weights that computes in float32.

        Args:
          model: built on this encoder, with plain layers; trained in whatever precision.
        """
        return model

    # Units that run through several weights, and weights as files hold them.

    @classmethod
    def units(
        cls, kind: str, weights: Iterable[str], variables: Iterable[tf.Variable]
    ) -> list[Group]:
        """Return the units that run through several weights of a layer.

        Args:
          kind: "head", "neuron", "filter" or "channel".
          weights: names of those that may be pruned; a layer counts if its output matrix is one.
          variables: all of the model's.
        """
        del kind, weights, variables
        return []

    @classmethod
    def rounded(cls, folder: pathlib.Path, recipe: str) -> dict[str, np.ndarray]:
        """Return weights of a saved classifier as the file of a recipe holds them, in float32.

        Args:
          folder: of the saved model.
          recipe: name of a quantization recipe.

        Returns:
          Name -> value of each weight that is rounded or shifted with it; none where it is not
          known what the file does with the weights.
        """
        del folder, recipe
        return {}

    @classmethod
    def output_of(cls, kind: str) -> str:
        """Return the name, within a layer, of the matrix where a kind of unit ends."""
        raise NotImplementedError(f"{cls.family} has no units of the kind {kind}")

    # The outputs of the layers, for a student and its teacher. A caller asks `why_not` first.

    @property
    def states(self) -> States:
        """The number and the width of the outputs that `layer` gives of its layers."""
        raise NotImplementedError(self.why_not("states"))

    @classmethod
    def saved_states(cls, folder: pathlib.Path) -> States:
        """Return `states` of a saved classifier's encoder.

        Raises:
          UserError: the folder holds no model, or its layers cannot be built again.
        """
        raise NotImplementedError(f"{cls.family} does not show its layers")

    # What is cut before or after a training. A caller asks `why_not` first.

    def shrink(self, model: tf_keras.Model) -> tuple[tf_keras.Model, Cut]:
        """Return a smaller classifier of the same function, and the report of what was cut out.

        Args:
          model: built on this encoder, with plain layers; unchanged.
        """
        raise NotImplementedError(self.why_not("shrink"))

    @property
    def table(self) -> Table:
        """The table of word embeddings that `keep_pieces` cuts."""
        raise NotImplementedError(self.why_not("vocabulary"))

    def keep_pieces(self, ids: Sequence[int] | np.ndarray, folder: pathlib.Path) -> Self:
        """Return the encoder for a smaller vocabulary.

        Args:
          ids: int [n], which rows of the word embeddings stay, in their new order.
          folder: of the preprocessing SavedModel with that vocabulary.
        """
        raise NotImplementedError(self.why_not("vocabulary"))

    # A saved classifier of the family.

    @classmethod
    @abc.abstractmethod
    def graph(cls, folder: pathlib.Path) -> Graph:
        """Return a saved classifier as a module that an export converts.

        Raises:
          UserError: the folder holds no model.
        """

    @classmethod
    def trained_grids(cls, folder: pathlib.Path) -> Trained | None:
        """Return the grids that a saved classifier was trained on; None if on none.

        Raises:
          UserError: the folder holds no model.
        """
        del folder
        return None

    @classmethod
    def blocks(cls, folder: pathlib.Path) -> Blocks:
        """Return a saved classifier as a row of blocks, which are looked into and cut.

        Raises:
          UserError: the folder holds no model, or its blocks cannot be told apart.
        """
        raise NotImplementedError(f"{cls.family} does not show its blocks")

    @classmethod
    def sizes(cls, folder: pathlib.Path) -> EncoderSizes:
        """Return the sizes of a saved classifier's encoder that a file's cost depends on.

        Raises:
          UserError: as `blocks`.
        """
        raise NotImplementedError(f"{cls.family} does not show its blocks")

    @classmethod
    def sized(cls, folder: pathlib.Path, widths: Sequence[tuple[int, int]], pieces: int) -> Graph:
        """Return a graph as a saved classifier's would be with other widths, of random weights.

        Args:
          folder: of the saved model.
          widths: heads and neurons of each layer, of as many layers as wanted.
          pieces: rows of the word embeddings.

        Raises:
          UserError: as `blocks`.
        """
        raise NotImplementedError(f"{cls.family} does not show its blocks")

    @classmethod
    @abc.abstractmethod
    def load_classifier(cls, folder: pathlib.Path, dropout: float = 0.0) -> tf_keras.Model:
        """Return a saved classifier as a trainable Keras model of plain layers.

        Args:
          folder: of the saved model.
          dropout: rate before the head.

        Raises:
          UserError: the folder holds no model, or its layers cannot be built again.
        """
