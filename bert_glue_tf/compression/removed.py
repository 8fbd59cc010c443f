"""The outcome of a pruning."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Removed:
    """The outcome of a pruning.

    Attributes:
      sparsities: name of a weight -> fraction of it that is pruned.
      pruned: number of weights that are.
      prunable: number of weights of which they are, those in the method's scope.
      within: regular expression, which the names of these weights match, of a method that cuts
        before the training; empty for others.
    """

    sparsities: Mapping[str, float]
    pruned: int
    prunable: int
    within: str = ""
