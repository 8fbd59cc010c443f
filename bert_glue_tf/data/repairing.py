"""Repairs tags of words that break their scheme, whichever file they come from, and says so."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import logging

if TYPE_CHECKING:
    from bert_glue_tf.data.problems import Problem


def repaired(places: Sequence[str], problem: Problem, labels: list[Any]) -> list[Any]:
    """Return labels whose spans begin as the tags' scheme asks, and say how many were changed.

    A sequence that breaks the scheme is read as conlleval does.

    Args:
      places: where each row stands.
      problem: of tagged words.
      labels: the ids of each sentence.
    """
    found = [problem.repaired(label) for label in labels]
    changed = [row for row, label in enumerate(labels) if label != found[row]]
    if changed:
        words = sum(a != b for row in changed for a, b in zip(labels[row], found[row], strict=True))
        _say(places[changed[0]], len(changed), words)
    return found


@functools.cache  # A command reads its examples more than once.
def _say(first: str, sentences: int, words: int) -> None:
    logging.warning(
        "%s: the tags of this sentence break their scheme, as an I- does that no B- of its type "
        "begins. It and all such sentences (%d, %d tags changed) are read as conlleval does: a "
        "span begins there",
        first,
        sentences,
        words,
    )
