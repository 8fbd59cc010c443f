"""The seam between an example and everything else: what the examples of a task are made of.

A task has a modality, and asks it for what depends on the kind of example: which features a batch
has, of which shapes and types they are, and what turns examples into them. Texts are one, numbers
in arrays of one shape (`data.arrays`: pictures, windows of sensors, spectra of sounds) another.
Behind it all examples are alike: rows that have a length, of which batches are made. A text is as
long as its word pieces are many, an array has the length 1.

TensorFlow is imported inside the functions that need it.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from bert_glue_tf.data.preprocessing import OfTexts
    from bert_glue_tf.data.words import Words


class Encoded(Protocol):
    """The n examples of a split as a model's features are made of them."""

    @property
    def cut(self) -> int:
        """Return the number of examples of which a model does not read all."""

    @property
    def words(self) -> Words | None:
        """Return which words positions are of, where each word has an answer; else None."""

    @property
    def lengths(self) -> np.ndarray:
        """Return int64 [n]: positions of each example."""

    def __len__(self) -> int:
        """Return n."""

    def take(self, indices: Sequence[int] | np.ndarray) -> Self:
        """Return some examples, int [b], in that order."""

    def batch(self, indices: Sequence[int] | np.ndarray, length: int) -> dict[str, np.ndarray]:
        """Return the features of some examples, int [b], in rows of a length."""

    def answers(self, outputs: np.ndarray, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return a model's outputs [b, ...] for some examples as problems take them."""

    def spread(self, values: np.ndarray, filling: float, all_pieces: bool = False) -> np.ndarray:
        """Return the values of words at their positions; only where there are `words`."""

    def in_epoch(self, augmentation: str, seed: int, epoch: int) -> Self:
        """Return the examples as a training sees them in an epoch, changed at random or not.

        Args:
          augmentation: one of `AUGMENTATIONS`.
          seed: of the run, and
          epoch: from 0, which decide together how each example is changed.
        """

    def read_whole(self, positions: int) -> np.ndarray:
        """Return which examples are surely read whole in so many positions, bool [n]."""


# The random changes of training examples; the first changes none.
AUGMENTATIONS = NO_AUGMENTATION, SHIFT, FLIP_SHIFT = "none", "shift", "flip_shift"


@dataclasses.dataclass(frozen=True)
class Feature:
    """A feature of a batch.

    Attributes:
      name: of the model's input.
      shape: of one example; None stands for the length of the batch's rows.
      dtype: of the numbers, as NumPy names it.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclasses.dataclass(frozen=True)
class Modality(abc.ABC):
    """The kind of example of a task.

    Attributes:
      noun: what messages call examples.
      name: of the kind, in records and descriptions.
      lengths_differ: whether one may have more positions than another.
      means_nothing: names of settings of a run that such examples have no use for.
    """

    noun: str = "texts"

    name: ClassVar[str]
    lengths_differ: ClassVar[bool] = True
    means_nothing: ClassVar[tuple[str, ...]] = ()

    @property
    @abc.abstractmethod
    def features(self) -> tuple[Feature, ...]:
        """The features of a batch that is not packed."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the features."""
        return tuple(feature.name for feature in self.features)

    def signature(self, size: int | None, length: int | None) -> dict[str, tf.TensorSpec]:
        """Return name -> shape and dtype of the features of a batch.

        Args:
          size: examples of the batch; None where it may differ.
          length: of its rows; None where it may differ.
        """
        import tensorflow as tf

        return {
            one.name: tf.TensorSpec(
                (size, *(length if side is None else side for side in one.shape)),
                tf.as_dtype(one.dtype),
                name=one.name,
            )
            for one in self.features
        }

    @abc.abstractmethod
    def reading_of(self, numbers: str, task: OfTexts) -> str:
        """Return what is done while so many examples are encoded, for the terminal.

        Args:
          numbers: of the examples of each split, in words.
          task: whose they are.
        """

    @abc.abstractmethod
    def lengths(self, longest: int, buckets: bool = True) -> tuple[int, ...]:
        """Return the lengths that rows may have, ascending.

        Args:
          longest: --seq_length of the run.
          buckets: whether there may be several.
        """

    @abc.abstractmethod
    def load(self, folder: str, location: str, remedy: str = "") -> Any:
        """Load what belongs to an encoder and turns examples into its features.

        Args:
          folder: where it lies.
          location: what the user called it, for messages.
          remedy: what to do about a damaged one, to end the message.

        Raises:
          UserError: it is damaged, or of another kind.
        """

    @abc.abstractmethod
    def reader(self, loaded: Any, task: OfTexts, seq_length: int, truncation: str) -> Any:
        """Return what reads a task's examples, for `encode`.

        Args:
          loaded: from `load`.
          task: says which fields an example has.
          seq_length: the longest row.
          truncation: which part of a longer example is read.
        """

    @abc.abstractmethod
    def encode(self, reader: Any, columns: tuple[Sequence[Any], ...]) -> Encoded:
        """Return examples as features are made of them.

        Args:
          reader: from `reader`.
          columns: of n values each, one for each field of the task.

        Raises:
          UserError: a value is none that the reader takes.
        """

    def require_texts(self, what: str, good: str = "a task of texts, or leave it out") -> None:
        """Refuse what is done with texts only.

        Args:
          what: flag or command with its value, which begins the message.
          good: what would be good instead, which ends it.

        Raises:
          UserError: the examples are no texts.
        """
        if self.name != TEXTS.name:
            raise UserError(
                f"{what}: is for tasks whose examples are texts, and here they are {self.noun}. "
                f"Good: {good}."
            )

    def check_settings(self, given: Mapping[str, Any], task: str) -> None:
        """Refuse settings that say something about another kind of example.

        Args:
          given: the settings that differ from their defaults.
          task: name of the task, for the message.

        Raises:
          UserError: naming the first of them.
        """
        for name in self.means_nothing:
            if name in given:
                raise UserError(
                    f"--{name}={given[name]}: means nothing for {task}, whose examples are "
                    f"{self.noun}. Leave the flag out."
                )


@dataclasses.dataclass(frozen=True)
class Texts(Modality):
    """One or two texts, read in word pieces (`data.preprocessing`)."""

    name = "texts"
    means_nothing = ("augmentation",)

    @property
    def features(self) -> tuple[Feature, ...]:
        from bert_glue_tf.data.preprocessing import INPUTS

        return tuple(Feature(name, (None,), "int32") for name in INPUTS)

    def reading_of(self, numbers: str, task: OfTexts) -> str:
        kind = "sentences" if len(task.text_fields) == 1 else "pairs of sentences"
        return f"tokenizing {numbers} {kind}"

    def lengths(self, longest: int, buckets: bool = True) -> tuple[int, ...]:
        return bucket_lengths(longest, buckets)

    def load(self, folder: str, location: str, remedy: str = "") -> Any:
        from bert_glue_tf.data import preprocessing

        return preprocessing.load(folder, location, remedy)

    def reader(self, loaded: Any, task: OfTexts, seq_length: int, truncation: str) -> Any:
        from bert_glue_tf.data import preprocessing

        return preprocessing.of_task(loaded, task, seq_length, truncation)

    def encode(self, reader: Any, columns: tuple[Sequence[Any], ...]) -> Encoded:
        from bert_glue_tf.data import preprocessing

        return preprocessing.tokenize(reader, columns)


TEXTS = Texts()


def example_of(length: int | str) -> str:
    """Return an example in words by its length, as a time is told: no text is as short as an array.

    Args:
      length: in positions.
    """
    return "one example" if int(length) == 1 else f"one example of {length} word pieces"


BUCKETS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


def bucket_lengths(seq_length: int, length_buckets: bool = True) -> tuple[int, ...]:
    """Return the lengths to pad texts to, ascending; the last is `seq_length`."""
    if not length_buckets:
        return (seq_length,)
    return (*(length for length in BUCKETS if length < seq_length), seq_length)
