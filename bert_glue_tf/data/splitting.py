"""The places where texts are split into words. No TensorFlow is needed here."""

from __future__ import annotations

from collections.abc import Collection

import regex

# As in google-research/bert, `tokenization.py`. Zs by _is_whitespace; Zl and Zp because it ends
# with Python's str.split().
BLANK = r"[\t\n\r\p{Zs}\p{Zl}\p{Zp}]+"
# _is_punctuation: all ASCII that is no letter or digit, and the categories P*.
PUNCTUATION = r"[!-/:-@\[-`{-~\p{P}]"


def _chunks(text: str) -> list[str]:
    return [chunk for chunk in regex.split(BLANK, text) if chunk]


def _parts(chunk: str) -> list[str]:
    """Return a chunk in parts, each a punctuation mark or what stands between two of them."""
    return [part for part in regex.split(f"({PUNCTUATION})", chunk) if part]


def split(text: str, vocabulary: Collection[str]) -> list[str]:
    """Return the words of a text, as `whole_words` splits it, without TensorFlow.

    A word that the vocabulary does not have is returned as it stands.

    Args:
      text: of any language with blanks.
      vocabulary: the words; a set.
    """
    found: list[str] = []
    for chunk in _chunks(text):
        for word in [chunk] if chunk in vocabulary else _parts(chunk):
            is_small = word not in vocabulary and word.lower() in vocabulary
            found.append(word.lower() if is_small else word)
    return found


def candidates(text: str) -> set[str]:
    """Return every word that a vocabulary may have of a text."""
    chunks = _chunks(text)
    words = {*chunks, *(part for chunk in chunks for part in _parts(chunk))}
    return words | {word.lower() for word in words}
