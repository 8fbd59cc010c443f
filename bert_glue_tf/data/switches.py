"""The switches of a tokenizer: what a port in another language has to know of it.

A preprocessing SavedModel does not tell them, so that they are tried out on words.
"""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bert_glue_tf.core.errors import UserError

REFERENCE, PUBLISHED, WORDS = "reference", "published", "words"
WHOLE_WORDS = "whole_words"  # Says it, among what `get_special_tokens_dict` tells.
# Longer words are one [UNK]: docs/tokenization.md.
_CHARACTERS, _BYTES = 200, 100


@dataclasses.dataclass(frozen=True)
class Switches:
    """The switches of a tokenizer.

    Attributes:
        kind: "reference" (google-research/bert, `tokenization.py`), "published" (the
            preprocessing models of TF-Hub) or "words" (`whole_words`); docs/tokenization.md
            compares them.
        lower_case: whether it lower-cases the text.
        strip_accents: whether it takes the accents off the letters.
        characters_a_word: longer words are one [UNK]; None where bytes are counted.
        bytes_a_word: the same, in bytes of UTF-8; None where characters are counted.
        special_ids: special token -> its id.
    """

    kind: str
    lower_case: bool
    strip_accents: bool
    characters_a_word: int | None
    bytes_a_word: int | None
    special_ids: dict[str, int]


def of(tokenizer: Any, pieces: Sequence[str], special: Iterable[str], folder: Path) -> Switches:
    """Return the switches of a preprocessing SavedModel.

    Args:
        tokenizer: its `tokenize`, loaded.
        pieces: its vocabulary, in the order of the ids.
        special: special tokens, whose ids are told where there are such pieces.
        folder: of the SavedModel, for messages.

    Raises:
        UserError: there is no letter in its vocabulary.
    """
    places = {piece: place for place, piece in enumerate(pieces)}
    special_ids = {token: places[token] for token in special if token in places}
    if _keeps_whole_words(tokenizer):
        return Switches(WORDS, False, False, None, None, special_ids)
    is_reference = _drops_control_characters(tokenizer)
    return Switches(
        kind=REFERENCE if is_reference else PUBLISHED,
        lower_case=lowers_case(tokenizer, pieces, folder),
        strip_accents=strips_accents(tokenizer, pieces),
        characters_a_word=_CHARACTERS if is_reference else None,
        bytes_a_word=None if is_reference else _BYTES,
        special_ids=special_ids,
    )


def lowers_case(tokenizer: Any, pieces: Sequence[str], folder: Path) -> bool:
    """Tell if a tokenizer gives capital letters the ids of small ones.

    Raises:
        UserError: there is no letter in its vocabulary.
    """
    small, large = (
        tokenizer(list(letters)).to_list()
        for letters in (string.ascii_lowercase, string.ascii_uppercase)
    )
    known = [i for i, letter in enumerate(string.ascii_lowercase) if letter in pieces]
    if not known:
        raise UserError(f"{folder}: no letter in its vocabulary: not a BERT vocabulary")
    return all(small[i] == large[i] for i in known)


def strips_accents(tokenizer: Any, pieces: Sequence[str]) -> bool:
    """Tell, in the same way, if a tokenizer takes the accents off the letters."""
    plain, accented = (tokenizer(list(letters)).to_list() for letters in ("aeou", "äéôú"))
    known = [i for i, letter in enumerate("aeou") if letter in pieces]
    return bool(known) and all(plain[i] == accented[i] for i in known)


def _keeps_whole_words(tokenizer: Any) -> bool:
    """Tell if a tokenizer says of itself that its tokens are words."""
    tell = getattr(tokenizer, "get_special_tokens_dict", None)
    return tell is not None and WHOLE_WORDS in tell()


def _drops_control_characters(tokenizer: Any) -> bool:
    """Tell if a control character inside a word vanishes, as in the reference, or splits it."""
    (words,) = tokenizer(["a\x12b"]).to_list()
    return len(words) == 1
