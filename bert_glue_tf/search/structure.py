"""A structure: the heads, neurons and word pieces of a classifier that stay."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any, Self

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.core.records import check_types

Indices = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The numbers of units of a network, as far as its cost goes.

    Attributes:
      heads: of each layer.
      neurons: of each layer, as many layers.
      pieces: rows of the word embeddings.
    """

    heads: tuple[int, ...]
    neurons: tuple[int, ...]
    pieces: int

    @property
    def widths(self) -> tuple[tuple[int, int], ...]:
        """Return heads and neurons of each layer."""
        return tuple(zip(self.heads, self.neurons, strict=True))


@dataclasses.dataclass(frozen=True)
class Structure:
    """The parts of a run's classifier that stay, as indices of its own units, ascending.

    Attributes:
      heads: of each layer; a layer may have none.
      neurons: of each layer, as many layers; a layer may have none.
      pieces: ids of the word pieces.
    """

    heads: tuple[Indices, ...]
    neurons: tuple[Indices, ...]
    pieces: Indices

    @property
    def sizes(self) -> Sizes:
        """Return how many there are of each."""
        return Sizes(tuple(map(len, self.heads)), tuple(map(len, self.neurons)), len(self.pieces))

    def to_json(self) -> dict[str, Any]:
        """Return the structure in JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_json` has described.

        Raises:
          ValueError: it is no structure.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if set(values) != names:
            raise ValueError(f"its fields are not {', '.join(sorted(names))}")
        check_types(cls, values)
        heads, neurons = (tuple(map(tuple, values[name])) for name in ("heads", "neurons"))
        found = cls(heads, neurons, tuple(values["pieces"]))
        if len(heads) != len(neurons):
            raise ValueError("it has not as many layers of heads as of neurons")
        for indices in (*heads, *neurons, found.pieces):
            if list(indices) != sorted(set(indices)) or (indices and indices[0] < 0):
                raise ValueError("its indices do not ascend")
        return found

    def save(self, path: pathlib.Path) -> None:
        """Write the structure as a file of JSON.

        Raises:
          OSError: it cannot be written.
        """
        write_atomically(path, json.dumps(self.to_json()) + "\n")

    @classmethod
    def load(cls, path: pathlib.Path) -> Self:
        """Return the structure in a file.

        Raises:
          UserError: it cannot be read, or holds none.
        """
        try:
            return cls.from_json(strict_json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{path}: not the structure of a network ({error}).") from None
