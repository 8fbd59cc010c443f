"""Values of reports as text. Nothing is formatted before it is shown or written."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from bert_glue_tf.core import quantities
from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.evaluation.significance import Equal, Equivalence
from bert_glue_tf.reports.measured import SAMPLE, Interval, Pruned
from bert_glue_tf.reports.verdicts import Outcome, Verdict

COLLAPSED = Mark.COLLAPSED.value
_OUTCOMES = {
    Outcome.BETTER: "better",
    Outcome.WORSE: "worse",
    Outcome.NO_DIFFERENCE: "no difference shown",
    Outcome.UNDEFINED: "cannot be told",
}
FEW = {1: "one seed", 2: "two seeds"}
_THESE = {1: "these two models", 2: "these models of two seeds"}


@dataclasses.dataclass(frozen=True)
class Score:
    """A score, and the mark of its model."""

    value: float
    mark: Mark | None = None


@dataclasses.dataclass(frozen=True)
class Name:
    """The name of a model over its seeds, its worst mark, and how many of them have it."""

    text: str
    mark: Mark | None = None
    marked: int = 0
    seeds: int = 1


def plain(value: Any) -> str:
    """Return any value as Python writes it; empty for None."""
    return "" if value is None else str(value)


def milliseconds(value: float | None) -> str:
    """Return a time with three significant digits: `15.6`, `3.98`, `0.0871`; empty for None."""
    if value is None:
        return ""
    return number(value) if math.isnan(value) else quantities.significant(value)


def number(value: float | None, digits: int = 4) -> str:
    """Return `0.1234`; empty for None, `undefined` for NaN."""
    if value is None:
        return ""
    return "undefined" if math.isnan(value) else f"{value:.{digits}f}"


def count(value: int | None) -> str:
    """Return `1,234`; empty for None."""
    return "" if value is None else quantities.count(value)


def score(value: Score) -> str:
    """Return `0.1234`, `0.1234 COLLAPSED` or `0.1234, not above chance`."""
    return with_mark(number(value.value), value.mark)


def name(value: Name) -> str:
    """Return the name and its mark, with `(1 of 3 seeds)` behind it where not all have the mark."""
    text = with_mark(value.text, value.mark)
    is_of_some = value.mark and value.marked < value.seeds
    return f"{text} ({value.marked} of {value.seeds} seeds)" if is_of_some else text


def with_mark(text: str, mark: Mark | None) -> str:
    """Return the text with a mark behind it; the milder one behind a comma."""
    if mark is None:
        return text
    return f"{text} {COLLAPSED}" if mark is Mark.COLLAPSED else f"{text}, {mark.value}"


def span(interval: Interval | None, sign: str = "") -> str:
    """Return `0.123 to 0.456`; empty where there is none."""
    if not interval:
        return ""
    low, high = interval
    return "undefined" if math.isnan(low + high) else f"{low:{sign}z.3f} to {high:{sign}z.3f}"


def signed_span(interval: Interval | None) -> str:
    """Return `-0.012 to +0.034`; empty where there is none."""
    return span(interval, "+")


def signed(value: float | None) -> str:
    """Return `+0.1234`; empty for None, `undefined` for NaN."""
    if value is None:
        return ""
    return "undefined" if math.isnan(value) else f"{value:+z.4f}"


def percent(value: float | None) -> str:
    """Return `12.3 %` of a fraction; empty for None."""
    return "" if value is None else quantities.percent(value)


def signed_percent(value: float) -> str:
    """Return `+12.3 %` of a fraction."""
    return f"{100 * value:+z.1f} %"


def pruned(value: Pruned | None) -> str:
    """Return `80.0 % of the classifier (0.0027 % of the model)`; empty for None."""
    if value is None:
        return ""
    of_model = quantities.share(value.of_model)
    return f"{quantities.percent(value.fraction)} of {value.part} ({of_model} of the model)"


def size(value: float | None) -> str:
    """Return a number of bytes as `92.8 MB`; empty for None."""
    return "" if value is None else quantities.size(value)


def ratio(value: float | None) -> str:
    """Return `1.23x`; empty for None."""
    return "" if value is None else f"{value:.2f}x"


def megabytes(digits: int) -> Any:
    """Return a format of bytes as megabytes, for a column whose head names the unit as a document.

    10^6 bytes, as the report counts; None is empty. Elsewhere `size` chooses the unit.
    """

    def text(value: float | None) -> str:
        return "" if value is None else f"{value / 1e6:.{digits}f}"

    return text


def listed(values: Sequence[Any]) -> str:
    """Return `1, 2, 3`."""
    return ", ".join(map(str, values))


def p_value(value: float | None) -> str:
    """Return `0.123`, `< 0.001`, or `cannot be told` for NaN; empty for None."""
    if value is None:
        return ""
    if math.isnan(value):
        return _OUTCOMES[Outcome.UNDEFINED]
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def task(task_and_source: tuple[str, str]) -> str:
    """Return the task's name, with `(sample)` behind it where the data was generated."""
    task_name, source = task_and_source
    return f"{task_name} ({SAMPLE})" if source == SAMPLE else task_name


def verdict(value: Verdict | None) -> str:
    """Return a verdict in words; empty for None.

    `worse`, `these two models: worse` of a single seed, `no difference shown, equal within 0.01`;
    of a model that collapsed, or against one, that alone.
    """
    if value is None:
        return ""
    if value.is_of_collapsed:
        return f"no verdict: {collapsed(value)}"
    text = _OUTCOMES[value.outcome]
    if value.outcome is not Outcome.UNDEFINED:
        if value.equivalence and value.equivalence.outcome is Equal.YES:
            text += f", equal within {value.equivalence.margin:g}"
        if not value.is_of_methods:
            text = f"{_THESE[value.seeds]}: {text}"
    if value.mark:
        text += f", {value.mark.value}"
    if value.base_mark:
        text += f", against a model {value.base_mark.value}"
    return text


def collapsed(value: Verdict) -> str:
    """Return which of the two models collapsed: `COLLAPSED` is the one that is judged."""
    if value.mark is not Mark.COLLAPSED:
        return f"against a {COLLAPSED} model"
    return f"both {COLLAPSED}" if value.base_mark is Mark.COLLAPSED else COLLAPSED


def of_methods(value: Verdict) -> str:
    """Return `cannot be told: one seed` where a verdict says nothing of methods; else nothing."""
    return "" if value.is_of_methods else f"cannot be told: {FEW[value.seeds]}"


def equivalence(value: Equivalence | None) -> str:
    """Return `yes, within 0.01`, `no, beyond 0.01`, or `cannot be told` and what it would take."""
    if value is None:
        return ""
    if value.outcome is Equal.YES:
        return f"yes, within {value.margin:g}"
    if value.outcome is Equal.NO:
        return f"no, beyond {value.margin:g}"
    told = _OUTCOMES[Outcome.UNDEFINED]
    if value.examples is None:
        return told
    return f"{told}: about {about(value.examples)} examples for {value.margin:g}"


def about(value: int) -> str:
    """Return a count rounded up to two digits: `6,200` of 6,194."""
    unit = 10 ** max(0, len(str(value)) - 2)
    return f"{-(-value // unit) * unit:,}"
