"""A classifier in one runtime, as the comparison scores and times it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bert_glue_tf.data.preprocessing import TokenizedTexts

FLOAT32 = "float32"
OURS = "ours"  # The runtime of the files that the others' times are given relative to.
ALSO = "also"  # That of files of other weights.
Features = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Peer:
    """A classifier in one runtime.

    Attributes:
      runtime: key of `peer_models.LIBRARIES`, or `ALSO`.
      recipe: "float32", or how it is quantized.
      bytes: of its file(s).
      predict: int32 [1, length] features by name to float32 [1, classes] logits.
      lengths: that it can run at, ascending; none: at any.
      settings: how it was made and is run, for the record.
      tokens: word pieces of the dev examples as it reads them; None for those of the run.
      other: where its weights are not the run's: `number`, `run`, `file`, `sha256`, `lengths`,
        `path`; empty where they are.
    """

    runtime: str
    recipe: str
    bytes: int
    predict: Callable[[Features], np.ndarray]
    lengths: Sequence[int] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tokens: TokenizedTexts | None = None
    other: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the name that it has in tables."""
        return named(self.runtime, self.recipe, self.other)

    @property
    def is_reference(self) -> bool:
        """Tell whether the others' times are given relative to this one's."""
        return self.runtime == OURS and self.recipe == FLOAT32

    def runs_at(self, length: int) -> bool:
        """Tell whether it can run at a length in word pieces."""
        return not self.lengths or length in self.lengths

    def padded_length(self, pieces: int) -> int:
        """Return the length that so many word pieces are padded to, if nobody says more."""
        return min((length for length in self.lengths if length >= pieces), default=pieces)


def named(runtime: str, recipe: str, other: Mapping[str, Any]) -> str:
    """Return the name of a model in tables: a file of other weights has its number in it."""
    return f"{runtime} [{other['number']}] {recipe}" if other else f"{runtime} {recipe}"
