"""Labels of a table: what kind of problem they pose, and each as the problem's own label."""

from __future__ import annotations

import ast
import collections
import contextlib
import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import repairing
from bert_glue_tf.data.own.table import Table
from bert_glue_tf.data.own.words import tags_of
from bert_glue_tf.data.problems import Classification, MultiLabel, Problem, Regression, Tagging

MOST_CLASSES = 5000
# Whole numbers are classes where there are not more of them than this, and two examples of each on
# average: stars are classes, prices are not.
_MOST_NUMBERED = 100
# A list of names in quotes or of whole numbers as JSON or Python writes it into a cell; without
# commas, as NumPy writes it, Python would take the names for one.
_ITEM = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|-?\d+)"""
_CELL_OF_LIST = re.compile(rf"\[\s*(?:{_ITEM}(?:\s*,\s*{_ITEM})*\s*,?\s*)?\]")
_LOOKS_LIKE_LIST = re.compile(r"""\[\s*["'].*\]""", flags=re.DOTALL)
_NO_LABEL = -1  # As test files without labels have it, as a whole number or not.


@dataclasses.dataclass(frozen=True)
class Column:
    """The labels of one split as a file holds them.

    Attributes:
      name: of the column.
      values: n, of the types of JSON.
      places: where each stands, for messages.
      class_names: names of the classes that whole numbers stand for; empty where nobody gives any.
    """

    name: str
    values: Sequence[Any]
    places: Sequence[str]
    class_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: Table, name: str) -> Column:
        """Return a column of a table; lists that stand in the cells of a text file are read.

        Raises:
          UserError: a cell looks like a list of names, and cannot be read as one.
        """
        column = cls(name, table.columns[name], table.places, table.class_names.get(name, ()))
        values = [column._listed(row) for row in range(len(column.values))]
        return dataclasses.replace(column, values=values)

    def _listed(self, row: int) -> Any:
        """Return the value of a row, as a list where it is the text of one."""
        value = self.values[row]
        if not isinstance(value, str) or not value.lstrip().startswith("["):
            return value
        text = value.strip()
        if _CELL_OF_LIST.fullmatch(text):
            with contextlib.suppress(ValueError, SyntaxError):
                return ast.literal_eval(text)
        if _LOOKS_LIKE_LIST.fullmatch(text):
            raise self.wrong(row, '["a", "b"] with commas between the names; or a .jsonl file')
        return value

    def wrong(self, row: int, good: str) -> UserError:
        """Return the error of a row whose label is none."""
        shown = "no label" if _is_missing(self.values[row]) else f"wrong label {self._short(row)}"
        return UserError(
            f"{self.places[row]}: {shown} in the column {self.name!r}. Good values: {good}."
        )

    def _short(self, row: int) -> str:
        text = repr(self.values[row])
        return text if len(text) <= 40 else text[:40] + "..."

    @property
    def has_none(self) -> bool:
        """Return whether no row has a label: all are empty or -1."""
        return all(map(_is_missing, self.values))


def _is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    if isinstance(value, (list, bool)):
        return False
    return not str(value).strip() or _is_minus_one(value)


def _is_minus_one(value: Any) -> bool:
    """Tell whether a value is -1, also as text or as the real number that pandas makes of it."""
    return _type(value) == _NUMBER and float(value) == _NO_LABEL


def labelled_rows(column: Column, problem: Problem) -> list[int]:
    """Return the rows of a test file that have a label; -1 is one where training has it too."""
    try:
        problem.parse_label(str(_NO_LABEL), problem.labels)
        is_label = True
    except ValueError:
        is_label = False
    return [
        row
        for row, value in enumerate(column.values)
        if not _is_missing(value) or (is_label and _is_minus_one(value))
    ]


def infer(column: Column, kind: str = "") -> Problem:
    """Return the problem that the labels of a training split pose.

    Strings and few whole numbers are classes, lists several labels each, other numbers are to be
    predicted as they are.

    Args:
      column: of the training split.
      kind: value of --problem, which is not inferred then; empty: by the labels.

    Raises:
      UserError: the labels are of mixed types or missing, too many or too few are different, or
        they are not those of `kind`.
    """
    is_number = kind == "regression" or (not kind and _goes_below_zero(column))
    for row, value in enumerate(column.values):
        if _is_missing(value) and not (is_number and _is_minus_one(value)):
            good = "a label for every training text; or leave the row out"
            if _is_minus_one(value):
                good += (
                    "; where -1 is a class, another name for it, since -1 stands for no label; "
                    "where it is a number like the others, --problem=regression"
                )
            raise column.wrong(row, good)
    return _PROBLEMS[kind or _kind(column)](column)


def _goes_below_zero(column: Column) -> bool:
    """Tell whether all labels are numbers, some not whole and some below zero: -1 is one then."""
    if column.class_names or not all(_type(value) == _NUMBER for value in column.values):
        return False
    numbers = [float(value) for value in column.values]
    below = any(number < 0 and number != _NO_LABEL for number in numbers)
    return below and not all(map(float.is_integer, numbers))


def _kind(column: Column) -> str:
    types = [_type(value) for value in column.values]
    counted = collections.Counter(types)
    if len(counted) > 1:
        usual, rare = counted.most_common(1)[0][0], counted.most_common()[-1][0]
        row = types.index(rare)
        many = f"{counted[usual]:,} of its {len(types):,} labels are {usual}s"
        raise UserError(
            f"{column.places[row]}: {column._short(row)} in the column {column.name!r} is a "
            f"{rare}, and {many}. Good: labels of one "
            "type, or --problem=classification, which takes each for the name of a class."
        )
    if types[0] == _LIST:
        return "multi_label"
    if types[0] != _NUMBER or column.class_names:
        return "classification"
    values = [float(value) for value in column.values]
    different = len(set(values))
    are_whole = all(value.is_integer() for value in values)
    few = different <= min(_MOST_NUMBERED, max(2, len(values) // 2))
    return "classification" if are_whole and few else "regression"


_LIST, _NUMBER, _WORD = "list", "number", "word"


def _type(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return _LIST
    if isinstance(value, bool):
        return _WORD
    try:
        return _NUMBER if math.isfinite(float(value)) else _WORD
    except (TypeError, ValueError):
        return _WORD


def name_of(value: Any, class_names: Sequence[str] = ()) -> str:
    """Return the name of a class as a file holds it; a whole number may stand for a name.

    Args:
      value: of JSON.
      class_names: by number; empty where numbers are names themselves.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)) and float(value).is_integer():
        number = int(value)
        return class_names[number] if 0 <= number < len(class_names) else str(number)
    text = " ".join(str(value).split())
    # pandas writes a column of whole numbers with a gap in it as 1.0, 2.0.
    whole = text.removesuffix(".0")
    return whole if whole.isdecimal() else text


def _in_order(names: Sequence[str], class_names: Sequence[str]) -> tuple[str, ...]:
    """Return different names: in the schema's order, else numbers by size, else the alphabet."""
    different = set(names)
    if class_names:
        return tuple(name for name in class_names if name in different)
    if all(name.isdecimal() for name in different):
        return tuple(sorted(different, key=int))
    return tuple(sorted(different))


def _classification(column: Column) -> Problem:
    if isinstance(column.values[0], (list, tuple)):
        raise column.wrong(0, "one name or number, or --problem=multi_label for lists")
    names = [name_of(value, column.class_names) for value in column.values]
    labels = _in_order(names, column.class_names)
    if len(labels) == 1:
        raise UserError(
            f"{column.places[0]}: {labels[0]!r} is the only label in the column {column.name!r}. "
            "Good: two classes at least."
        )
    _refuse_many(column, labels, len(names))
    return Classification(labels)


def _refuse_many(column: Column, labels: Sequence[str], count: int) -> None:
    if len(labels) > MOST_CLASSES:
        raise UserError(
            f"{column.places[0]}: the column {column.name!r} holds {len(labels):,} different "
            f"labels in {count:,} rows. Good: at most {MOST_CLASSES:,} classes, another "
            "--label_column, or --problem=regression for numbers."
        )


def _regression(column: Column) -> Problem:
    values = [number_of(column, row) for row in range(len(column.values))]
    if min(values) == max(values):
        raise UserError(
            f"{column.places[0]}: {values[0]:g} is the only number in the column "
            f"{column.name!r}. Good: two different ones at least."
        )
    return Regression(min(values), max(values))


def number_of(column: Column, row: int) -> float:
    """Return the number that is a row's label.

    Raises:
      UserError: it is none.
    """
    value = column.values[row]
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise column.wrong(row, "a number")
    return found


def _multi_label(column: Column) -> Problem:
    names = [name for row in range(len(column.values)) for name in names_of(column, row)]
    labels = _in_order(names, column.class_names)
    if len(labels) < 2:
        raise UserError(
            f"{column.places[0]}: the lists in the column {column.name!r} hold {len(labels)} "
            "different label(s). Good: two at least."
        )
    _refuse_many(column, labels, len(column.values))
    return MultiLabel(labels)


def names_of(column: Column, row: int) -> list[str]:
    """Return the names in the list that is a row's label.

    Raises:
      UserError: it is no list of names or numbers.
    """
    value = column.values[row]
    is_list = isinstance(value, (list, tuple))
    if not is_list or not all(isinstance(one, (str, int)) for one in value):
        raise column.wrong(row, "a list of labels, empty where none applies")
    return [name_of(one, column.class_names) for one in value]


def _tagging(column: Column) -> Problem:
    rows = range(len(column.values))
    tags = dict.fromkeys(tag for row in rows for tag in _tags(column, row) if tag is not None)
    _refuse_many(column, tuple(tags), len(column.values))
    try:
        return Tagging.of_tags(tags)
    except ValueError as error:
        raise UserError(f"{column.places[0]}: the column {column.name!r}: {error}.") from None


def _tags(column: Column, row: int) -> list[str | None]:
    """Return the tags of a row.

    Raises:
      UserError: they are none.
    """
    found = tags_of(column.values[row], column.class_names)
    if found is None:
        raise column.wrong(row, "a list with a tag for each word")
    return found


_PROBLEMS: Mapping[str, Callable[[Column], Problem]] = MappingProxyType(
    {
        "classification": _classification,
        "regression": _regression,
        "multi_label": _multi_label,
        "tagging": _tagging,
    }
)


def read(column: Column, problem: Problem, good: str = "") -> list[Any]:
    """Return each label as `problem.as_labels` takes it.

    Args:
      column: of any split.
      problem: of the task.
      good: names of the labels for messages, where they are not those of the training texts.

    Raises:
      UserError: a row has no label, or one that training does not have.
    """
    if problem.tags_words:
        return _read_tags(column, problem, good)
    known: dict[str, Any] = {}
    found = []
    for row, value in enumerate(column.values):
        if isinstance(value, (list, tuple)):
            plain: str | list[str] = names_of(column, row)
        else:
            plain = name_of(value, column.class_names)
        if isinstance(plain, str) and plain in known:
            found.append(known[plain])
            continue
        try:
            found.append(problem.label_from(plain))
        except ValueError as error:
            raise column.wrong(row, good or str(error)) from None
        if isinstance(plain, str):
            known[plain] = found[-1]
    return found


def _read_tags(column: Column, problem: Problem, good: str) -> list[Any]:
    """Return the ids of each row's tags, repaired where they break their scheme."""
    found = []
    for row in range(len(column.values)):
        try:
            found.append(problem.label_from(_tags(column, row)))
        except ValueError as error:
            wrong = f"{column.places[row]}: the column {column.name!r}: {error}."
            raise UserError(f"{wrong} {good}".rstrip()) from None
    return repairing.repaired(column.places, problem, found)
