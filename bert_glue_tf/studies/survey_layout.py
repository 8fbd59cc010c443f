"""The survey's tables as a reader wants them: what decides first, then small parts.

`survey.csv` has all columns of `survey_rows.COLUMNS`; here they are divided into tables of at most
nine, which a laptop's screen shows side by side. A number behind a column is its `Column.spare`: a
terminal that is too narrow does without the largest first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from bert_glue_tf.reports.tables import Table
from bert_glue_tf.studies.survey_rows import OWN, PRINTED, Row, printed_text

# What decides: with a name of a hybrid it fits 80 columns without those that may be spared.
FIRST: Mapping[str, int] = {
    "method": 0,
    "sparsity": 4,
    "score": 0,
    "range": 3,
    "difference": 0,
    "95 % interval": 2,
    "verdict": 0,
    "int8 MB": 0,
    "speed": 0,
}
# The rest, part by part.
PARTS: Mapping[str, Mapping[str, int]] = {
    "Scores": {
        "method": 0,
        "seeds": 3,
        "score's interval": 0,
        "majority": 2,
        "p": 0,
        "equal": 1,
        "int8 score": 0,
        "typos": 0,
        "in domain": 2,
        "out of domain": 2,
    },
    "Weights": {
        "method": 0,
        "scope": 0,
        "of all weights": 0,
        "parameters": 0,
        "non-zero": 1,
        "ratio": 0,
    },
    "Files": {
        "method": 0,
        "float32 MB": 2,
        "float32 gzip": 3,
        "int8 gzip": 0,
        "gzip ratio": 0,
        "ms": 0,
        "peak MB": 1,
    },
    "Files that rows are made for": {
        "method": 0,
        OWN: 0,
        "own MB": 0,
        "own ms": 0,
        "own score": 0,
    },
    "Beside the survey's Table 1": {
        "method": 0,
        PRINTED: 0,
        "difference": 0,
        "ratio": 0,
        "speed": 0,
    },
}

# A column -> the rows of its table, which are not all.
_ABOUT: Mapping[str, Callable[[Row], bool]] = {
    OWN: lambda row: row.own is not None,
    PRINTED: lambda row: bool(printed_text(row.method)),
}


def part(table: Table[Row], columns: Mapping[str, int]) -> Table[Row]:
    """Return the table with some of its columns, and the names of hybrids broken at their parts.

    Args:
      table: of the survey.
      columns: heads -> how easily a narrow terminal can do without each (`Column.spare`).
    """
    picked = table.pick(*columns)
    shown = tuple(
        dataclasses.replace(column, spare=columns[column.head]) for column in picked.columns
    )
    method, *others = shown
    method = dataclasses.replace(method, text=_breakable, may_wrap=True)
    found = dataclasses.replace(picked, columns=(method, *others)).filled()
    wanted = next((about for head, about in _ABOUT.items() if head in columns), None)
    return found.where(wanted) if wanted else found


def _breakable(name: str) -> str:
    return name.replace("+", " + ")
