"""Columns that the tables of several studies have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from bert_glue_tf.reports import formats, rows
from bert_glue_tf.reports.formats import Score
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import Interval
from bert_glue_tf.reports.tables import Column, Tone
from bert_glue_tf.reports.verdicts import Comparison

R = TypeVar("R")


def score(head: str, group: Callable[[R], Group | None]) -> Column[R]:
    """Return a column of the primary metric's mean over the seeds."""
    return Column(head, lambda row: group_score(group(row)), score_text, score_tone, may_wrap=True)


def group_score(group: Group | None) -> Score | None:
    """Return the score of a group; None where none of its runs was finished."""
    return None if group is None else Score(group.mean, group.mark)


def score_text(value: Score | None) -> str:
    """Return `0.8123`; `failed` where there is none."""
    return "failed" if value is None else formats.score(value)


def score_tone(value: Score | None) -> Tone:
    """Return the meaning of a score; bad where there is none."""
    return Tone.BAD if value is None else rows.score_tone(value)


def spread(head: str, group: Callable[[R], Group | None]) -> Column[R]:
    """Return a column of the range over the seeds, which is empty for one seed."""
    return Column(head, lambda row: _spread(group(row)), formats.span)


def _spread(group: Group | None) -> Interval | None:
    return None if group is None or len(group.seeds) < 2 else group.spread


def score_interval(head: str, group: Callable[[R], Group | None]) -> Column[R]:
    """Return a column of the primary metric's 95 % interval over the examples."""

    def value(row: R) -> Interval | None:
        found = group(row)
        return None if found is None else found.interval

    return Column(head, value, formats.span)


def difference(found: Callable[[R], Comparison | None]) -> tuple[Column[R], ...]:
    """Return the columns of a difference, which are empty where there is none."""
    return tuple(_of(column, found) for column in rows.DIFFERENCE)


def _of(column: Column[Comparison], found: Callable[[R], Comparison | None]) -> Column[R]:
    def value(row: R) -> Any:
        one = found(row)
        return None if one is None else column.value(one)

    def text(shown: Any) -> str:
        return "" if shown is None else column.text(shown)

    return Column(column.head, value, text, column.tone, column.may_wrap)
