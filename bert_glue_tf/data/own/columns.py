"""Which columns of a table hold the texts, and which one the label."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bert_glue_tf.core.errors import UserError

# The usual names of two texts that belong together, and of one text.
PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "context"),
    ("query", "passage"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("#1 string", "#2 string"),
)
SINGLE = (
    "text",
    "sentence",
    "review",
    "content",
    "comment",
    "message",
    "utterance",
    "tweet",
    "document",
    "body",
    "title",
    "headline",
    "description",
    "query",
    "question",
    "premise",
    "sentence1",
    "tokens",
    "words",
)
LABELS = (
    "label",
    "labels",
    "category",
    "categories",
    "class",
    "target",
    "intent",
    "sentiment",
    "tag",
    "tags",
    "ner_tags",
    "topic",
    "score",
    "similarity",
    "rating",
    "stars",
    "gold_label",
    "quality",
    "is_duplicate",
)
_TEXTS = {*SINGLE, *(name for pair in PAIRS for name in pair)}
# The usual names of what counts the rows, which is no label.
INDICES = ("id", "idx", "index", "unnamed: 0")


@dataclasses.dataclass(frozen=True)
class Choice:
    """The columns that are used.

    Attributes:
      texts: one or two.
      label: of the label; empty where there is none.
      is_guessed: whether any of them was not given by the user.
      is_only_other: whether the label has no usual name, and is all that there is beside the texts.
    """

    texts: tuple[str, ...]
    label: str
    is_guessed: bool
    is_only_other: bool = False


def choose(
    path: str,
    columns: Mapping[str, Sequence[Any]],
    text_columns: Sequence[str] = (),
    label_column: str = "",
) -> Choice:
    """Return the columns of texts and label, as they are given or else by their usual names.

    Args:
      path: of the file, for messages.
      columns: name -> values.
      text_columns: value of --text_columns; empty for a guess.
      label_column: value of --label_column; empty for a guess.

    Raises:
      UserError: a given column is not there, or what is not given is ambiguous; the message lists
        the columns.
    """
    if len(text_columns) > 2 or len(set(text_columns)) < len(text_columns):
        raise UserError(
            f"--text_columns={','.join(text_columns)}: one text or two different ones are read. "
            f"Good: one or two of {', '.join(columns)}."
        )
    for flag, names in (("text_columns", text_columns), ("label_column", [label_column])):
        for name in filter(None, names):
            _require(path, columns, flag, name)
    if label_column in text_columns and label_column:
        raise UserError(
            f"--text_columns={','.join(text_columns)} --label_column={label_column}: a column is "
            f"text or label. Good: another of {', '.join(columns)}."
        )
    label = label_column or _guess_label(path, columns, text_columns)
    texts = tuple(text_columns) or _guess_texts(path, columns, label)
    is_only_other = not label_column and label.lower() not in LABELS
    return Choice(texts, label, not (text_columns and label_column), is_only_other)


def _require(path: str, columns: Iterable[str], flag: str, name: str) -> None:
    if name not in columns:
        raise UserError(
            f"--{flag}={name}: {path} has no such column. Good: one of {', '.join(columns)}."
        )


def _guess_label(path: str, columns: Mapping[str, Any], texts: Sequence[str]) -> str:
    found = [name for name in columns if name.lower() in LABELS and name not in texts]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        raise UserError(
            f"{path}: several columns may be the label: {', '.join(found)}. "
            f"Good: --label_column={found[0]}. Its columns: {', '.join(columns)}."
        )
    others = [name for name in columns if name not in (texts or guess_texts(columns))]
    rest = [name for name in others if name.lower() not in INDICES]
    if len(rest) == 1 and len(columns) > 1:
        if _is_counting(columns[rest[0]]):
            raise UserError(
                f"{path}: no column has the name of a label, as label, category or class, and "
                f"{rest[0]} has another whole number in every row, as an index has. "
                f"Good: --label_column={rest[0]} where it is the label all the same."
            )
        return rest[0]
    raise UserError(
        f"{path}: no column has the name of a label, as label, category or class. Good: "
        f"--label_column with one of its columns: {', '.join(map(repr, columns))} (its first line "
        "names them; where that is an example, write a header above it, as text,label)."
    )


def guess_texts(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the columns whose names are usual for texts; empty where none or several are."""
    by_name = {name.lower(): name for name in columns}
    pairs = [pair for pair in PAIRS if all(name in by_name for name in pair)]
    if len(pairs) == 1:
        return tuple(by_name[name] for name in pairs[0])
    singles = [name for name in SINGLE if name in by_name]
    return (by_name[singles[0]],) if len(singles) == 1 and not pairs else ()


def are_usual(names: Iterable[str]) -> bool:
    """Tell whether all of some cells are usual names of columns, as in a header; one is a text."""
    lower = [name.lower() for name in names]
    return names_text(lower) and all(name in {*_TEXTS, *LABELS, "", *INDICES} for name in lower)


def names_text(names: Iterable[str]) -> bool:
    """Tell whether any of some cells is a usual name of a text's column."""
    return any(name.lower() in _TEXTS for name in names)


def _guess_texts(path: str, columns: Mapping[str, Sequence[Any]], label: str) -> tuple[str, ...]:
    others = {name: values for name, values in columns.items() if name != label}
    found = guess_texts(others)
    if found:
        return found
    usual = [name for name in others if name.lower() in SINGLE]
    texts = [name for name, values in others.items() if _are_texts(values)]
    if not usual and len(texts) == 1:
        return (texts[0],)
    what = (
        f"several columns may be the text: {', '.join(usual)}"
        if usual
        else ("no column has the name of a text, as text, sentence or review")
    )
    raise UserError(
        f"{path}: {what}. Good: --text_columns with one or two of its columns: "
        f"{', '.join(columns)} (its first line names them)."
    )


def _is_counting(values: Sequence[Any]) -> bool:
    """Tell whether a column has a whole number in every row, and none of them twice."""
    texts = [str(value).strip() for value in values]
    are_whole = all(text.removesuffix(".0").isdecimal() for text in texts)
    return are_whole and len(texts) > 2 and len(set(texts)) == len(texts)


def _are_texts(values: Sequence[Any]) -> bool:
    """Tell whether most of a column's first values are several words each."""
    some = values[:200]
    return sum(isinstance(value, str) and " " in value.strip() for value in some) * 2 > len(some)
