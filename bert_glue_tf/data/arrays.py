"""Examples that are arrays of numbers of one shape: pictures, windows of sensors, spectra."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from bert_glue_tf.core import lazy, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.modality import (
    FLIP_SHIFT,
    NO_AUGMENTATION,
    Feature,
    Modality,
)

if TYPE_CHECKING:
    import numpy as np

    from bert_glue_tf.data.preprocessing import OfTexts
else:
    np = lazy.module("numpy")  # Commands import this module with their flags.

VALUES = "values"  # The name of the one feature.
FILE = "arrays.json"  # In the folder where an encoder of texts has its tokenizer.
_MOST_SHIFTED = 8  # A picture is shifted by up to an eighth of its side.


@dataclasses.dataclass(frozen=True)
class Arrays(Modality):
    """Arrays of numbers, all of one shape.

    Attributes:
      noun: what messages call them.
      shape: of each; empty where the files of a task say it.
    """

    noun: str = "arrays"
    shape: tuple[int, ...] = ()

    name = "arrays"
    lengths_differ = False
    means_nothing = (
        "text_columns",
        "label_column",
        "problem",
        "preprocessing",
        "seq_length",
        "truncation",
        "tagging_head",
        "tagged_pieces",
        "packing_width",
        "length_buckets",
    )

    @property
    def is_picture(self) -> bool:
        """Tell whether an example is a picture [height, width, channels]."""
        return len(self.shape) == 3

    @property
    def features(self) -> tuple[Feature, ...]:
        return (Feature(VALUES, self.shape, "float32"),)

    def check_settings(self, given: Mapping[str, Any], task: str) -> None:
        super().check_settings(given, task)
        if given.get("packing") == "true":
            raise UserError(
                f"--packing: means nothing for {task}, whose examples are {self.noun} of one "
                "shape. Leave the flag out."
            )
        if self.shape and not self.is_picture and "augmentation" in given:
            raise UserError(
                f"--augmentation={given['augmentation']}: flips and shifts pictures, and the "
                f"examples of {task} are {self.noun}. Leave the flag out."
            )

    def reading_of(self, numbers: str, task: OfTexts) -> str:
        del task
        return f"taking {numbers} {self.noun}"

    def lengths(self, longest: int, buckets: bool = True) -> tuple[int, ...]:
        del longest, buckets
        return (1,)

    def load(self, folder: str, location: str, remedy: str = "") -> ArrayReader:
        path = pathlib.Path(folder) / FILE
        try:
            shape = strict_json.loads(path.read_text(encoding="utf-8"))["shape"]
            return ArrayReader(tuple(map(int, shape)))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UserError(
                f"{location}: says of no arrays which shape they have ({FILE}: {error}){remedy}"
            ) from None

    def reader(self, loaded: Any, task: OfTexts, seq_length: int, truncation: str) -> ArrayReader:
        del task, seq_length, truncation
        if not isinstance(loaded, ArrayReader):
            raise UserError(
                f"the examples are {self.noun} of the shape {list(self.shape)}, and the encoder "
                "reads texts."
            )
        return loaded

    def encode(self, reader: Any, columns: tuple[Sequence[Any], ...]) -> EncodedArrays:
        (values,) = columns
        return reader.read(values)


@dataclasses.dataclass(frozen=True)
class ArrayReader:
    """The reader of arrays, which does nothing to them but look at their shape.

    Attributes:
      shape: that each example must have.
    """

    shape: tuple[int, ...]

    def read(self, values: Sequence[Any]) -> EncodedArrays:
        """Return examples as features are made of them.

        Args:
          values: n arrays.

        Raises:
          UserError: they have another shape, or hold something that is no finite number.
        """
        if not len(values):
            return EncodedArrays(np.zeros((0, *self.shape), np.float32))
        array = values if isinstance(values, np.ndarray) else np.stack(list(values))
        require_shape(array, self.shape, "the examples")
        return EncodedArrays(array)

    def write(self, folder: pathlib.Path) -> None:
        """Write a folder that `Arrays.load` reads."""
        folder.mkdir(parents=True)
        (folder / FILE).write_text(json.dumps({"shape": list(self.shape)}, indent=2) + "\n")


def require_shape(values: np.ndarray, shape: tuple[int, ...], what: str) -> None:
    """Refuse arrays of another shape.

    Args:
      values: [n, ...].
      shape: that each of the n must have.
      what: begins the message.

    Raises:
      UserError: they have another one.
    """
    if tuple(values.shape[1:]) != shape:
        raise UserError(
            f"{what}: each has the shape {list(values.shape[1:])}, and {list(shape)} is needed."
        )


@dataclasses.dataclass(frozen=True)
class EncodedArrays:
    """The n examples of a split, in the type of number of their file.

    Attributes:
      values: [n, ...] of whole numbers or floats.
      moves: int [n, 2], by how many rows and columns each is shifted; None for not at all.
      flips: bool [n], which are mirrored left to right; None for none.
    """

    values: np.ndarray
    moves: np.ndarray | None = None
    flips: np.ndarray | None = None

    cut = 0
    words = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def lengths(self) -> np.ndarray:
        """Return int64 [n], 1 for each."""
        return np.ones(len(self), np.int64)

    def take(self, indices: Sequence[int] | np.ndarray) -> Self:
        """Return some examples, int [b], in that order."""
        chosen = np.asarray(indices, np.int64)
        return dataclasses.replace(
            self,
            values=self.values[chosen],
            moves=None if self.moves is None else self.moves[chosen],
            flips=None if self.flips is None else self.flips[chosen],
        )

    def batch(self, indices: Sequence[int] | np.ndarray, length: int) -> dict[str, np.ndarray]:
        """Return float32 [b, ...] of some examples, under the name of the feature."""
        del length
        chosen = np.asarray(indices, np.int64)
        found = self.values[chosen].astype(np.float32)
        if self.flips is not None:
            flipped = self.flips[chosen]
            found[flipped] = found[flipped, :, ::-1]
        if self.moves is not None:
            found = np.stack(
                [_shifted(one, *move) for one, move in zip(found, self.moves[chosen], strict=True)]
            )
        return {VALUES: found}

    def answers(self, outputs: np.ndarray, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return a model's outputs as they are: each example has one answer."""
        del indices
        return outputs

    def spread(self, values: np.ndarray, filling: float, all_pieces: bool = False) -> np.ndarray:
        """Raise a ValueError: there are no words."""
        raise ValueError("arrays have no words")

    def in_epoch(self, augmentation: str, seed: int, epoch: int) -> Self:
        """Return pictures as a training sees them in an epoch, shifted and mirrored at random.

        A picture is shifted by up to an eighth of its height and width, with its edge repeated
        beyond it. Seed and epoch decide alone, so that a run that goes on sees the same.
        """
        if augmentation == NO_AUGMENTATION:
            return self
        random = np.random.default_rng([seed, epoch, len(self)])
        most = [max(1, side // _MOST_SHIFTED) for side in self.values.shape[1:3]]
        moves = np.stack([random.integers(-one, one + 1, len(self)) for one in most], axis=1)
        flips = random.random(len(self)) < 0.5 if augmentation == FLIP_SHIFT else None
        return dataclasses.replace(self, moves=moves, flips=flips)

    def read_whole(self, positions: int) -> np.ndarray:
        """Return bool [n], all True: no array is cut."""
        del positions
        return np.ones(len(self), bool)


def _shifted(picture: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return a picture [height, width, ...] moved, with its edge repeated where nothing is."""
    rows = np.clip(np.arange(picture.shape[0]) - down, 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(picture.shape[1]) - right, 0, picture.shape[1] - 1)
    return picture[rows][:, columns]


@dataclasses.dataclass(frozen=True)
class ArrayExamples(Examples):
    """Examples of one split that are arrays.

    Attributes:
      values: [n, ...] of the file's type of number.
    """

    values: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0,)))

    @property
    def columns(self) -> tuple[Any, ...]:
        return (self.values,)

    def choose(self, chosen: np.ndarray) -> Self:
        return dataclasses.replace(super().choose(chosen), values=self.values[chosen])
