"""Weights that are read when they are asked for. No TensorFlow is needed here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class OnDemand(Mapping[str, "np.ndarray"]):
    """Weights by name, each of which is read whenever it is asked for; none is held.

    Half of a large vocabulary's model is one table: whoever holds all weights beside the model that
    they go into needs the memory twice.

    Args:
      names: of the weights.
      read: name -> float32 weight.
    """

    def __init__(self, names: Iterable[str], read: Callable[[str], np.ndarray]) -> None:
        self._names = dict.fromkeys(names)
        self._read = read

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        return self._read(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names  # Mapping's own would read it.

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def joined(weights: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> OnDemand:
    """Return both as one mapping; of a name that both have, the weight of `others`."""
    return OnDemand(
        {**dict.fromkeys(weights), **dict.fromkeys(others)},
        lambda name: others[name] if name in others else weights[name],
    )
