"""Words and their tags in a table of the user's own, each row a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.own.table import Table
from bert_glue_tf.data.words import between_blanks

_TRIED = 200  # Rows that tell what a column holds.
# How files say that the tag of a word is not known; -100 is what Hugging Face's trainers skip.
_UNKNOWN = ("", "-1", "-100")


def are_lists(values: Sequence[Any]) -> bool:
    """Tell whether a column holds lists, as of words."""
    some = values[:_TRIED]
    return bool(some) and all(isinstance(value, (list, tuple)) for value in some)


def sentences(rows: Table, name: str) -> list[str]:
    """Return the words of each row, with single blanks between.

    Args:
      rows: of a split.
      name: of the column with the words: a list, or a text with blanks between.

    Raises:
      UserError: a row holds no words, or a word is empty or has a blank in it.
    """
    found = []
    for row, value in enumerate(rows.columns[name]):
        words = between_blanks(value) if isinstance(value, str) else value
        place = f"{rows.places[row]}: the column {name!r}"
        if not isinstance(words, (list, tuple)) or not words:
            raise UserError(f"{place} holds no words. Good: a list of words in every row.")
        for word in words:
            if not isinstance(word, str) or between_blanks(word) != [word]:
                raise UserError(
                    f"{place} holds the word {str(word)[:40]!r}, which is empty, no text, or has a "
                    "blank in it. Good: words without blanks, each with its tag."
                )
        found.append(" ".join(words))
    return found


def tags_of(values: Any, class_names: Sequence[str] = ()) -> list[str | None] | None:
    """Return the tags of a sentence; None for a tag that is not known, and where there are none.

    Args:
      values: a list, or a text with blanks between.
      class_names: of the numbers that stand for tags.
    """
    if isinstance(values, str):
        values = values.split()
    if not isinstance(values, (list, tuple)) or not values:
        return None
    found: list[str | None] = []
    for value in values:
        if value is None or str(value).strip() in _UNKNOWN or value != value:
            found.append(None)
        elif isinstance(value, str) and value.split() == [value]:
            found.append(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            number = float(value)
            if not math.isfinite(number) or not number.is_integer():
                return None
            at = int(number)
            found.append(class_names[at] if 0 <= at < len(class_names) else str(at))
        else:
            return None
    return found


def require_as_many(rows: Table, texts: Sequence[str], labels: Sequence[Sequence[int]]) -> None:
    """Refuse a sentence that has not as many tags as words.

    Raises:
      UserError: names the first one.
    """
    for place, text, label in zip(rows.places, texts, labels, strict=True):
        words = text.count(" ") + 1
        if words != len(label):
            raise UserError(
                f"{place}: {words} words and {len(label)} tags. Good: a tag for each word."
            )
