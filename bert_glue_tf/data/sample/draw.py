"""The random choices behind the sample, and the words they are made from."""

from __future__ import annotations

import dataclasses
import random
import zlib
from collections.abc import Sequence
from typing import TypeVar

Row = tuple[tuple[str, ...], int]  # (texts, label id), ids in the order of tasks.py
Pair = tuple[str, ...]  # two sentences
T = TypeVar("T")

_HELD_OUT_EVERY = 7
_VALIDATION_SHARE = 5  # one combination of content words in five belongs to validation


@dataclasses.dataclass(frozen=True)
class Group:
    """Rows drawn together: a cola minimal pair (acceptable first), else a single row.

    Attributes:
      kind: the phenomenon or the operation, for scores by kind.
      rows: of the group.
    """

    kind: str
    rows: tuple[Row, ...]


class Draw:
    """The random choices of one group; remembers the content words it handed out."""

    def __init__(self, rng: random.Random, split: str):
        self._rng = rng
        self._split = split
        self._content: set[str] = set()

    def any(self, pool: Sequence[T]) -> T:
        """Return one of `pool`, not remembered: structure and filler."""
        # Of the random module, only random() is promised to repeat across Python versions.
        return pool[int(self._rng.random() * len(pool))]

    def flip(self, chance: float = 0.5) -> bool:
        """Return True with this probability."""
        return self._rng.random() < chance

    def word(self, pool: Sequence[T], but: Sequence[T] = ()) -> T:
        """Return a content word of `pool`, none of `but`; training never gets the held-out ones."""
        keep = [
            w
            for i, w in enumerate(pool)
            if w not in but
            and (self._split != "train" or i % _HELD_OUT_EVERY != _HELD_OUT_EVERY - 1)
        ]
        choice = self.any(keep)
        self._content.add(str(choice))
        return choice

    def in_split(self) -> bool:
        """Tell if these content words, in whatever order, belong to the split."""
        digest = zlib.crc32(" ".join(sorted(self._content)).encode())
        return (digest % _VALIDATION_SHARE == 0) == (self._split == "validation")


def sentence(*parts: str, end: str = ".") -> str:
    """Join the parts that are not empty to a sentence."""
    text = " ".join(part for part in parts if part)
    return text[0].upper() + text[1:] + end


def table(text: str) -> list[tuple[str, ...]]:
    """Read `a/b c/d` as [("a", "b"), ("c", "d")]; an underscore stands for a space."""
    return [tuple(w.replace("_", " ") for w in entry.split("/")) for entry in text.split()]


def entries(text: str) -> list[str]:
    """Read `a b` as ["a", "b"]; an underscore stands for a space."""
    return [entry[0] for entry in table(text)]
