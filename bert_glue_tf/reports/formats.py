"""Values of reports as text. Nothing is formatted before it is shown or written."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from bert_glue_tf.core import quantities
from bert_glue_tf.evaluation import collapse
from bert_glue_tf.reports.measured import SAMPLE, Interval, Pruned
from bert_glue_tf.reports.verdicts import Outcome, Verdict

COLLAPSED = collapse.MARK
_OUTCOMES = {
    Outcome.BETTER: "better",
    Outcome.WORSE: "worse",
    Outcome.WITHIN_NOISE: "within noise",
    Outcome.UNDEFINED: "undefined",
}


@dataclasses.dataclass(frozen=True)
class Score:
    """A score, and whether its model is worthless."""

    value: float
    is_collapsed: bool = False


@dataclasses.dataclass(frozen=True)
class Name:
    """The name of a model over its seeds, and how many of them are worthless."""

    text: str
    collapsed: int = 0
    seeds: int = 1


@dataclasses.dataclass(frozen=True)
class Timed:
    """A median time of one example in milliseconds, and the length that it was taken at."""

    milliseconds: float
    length: str


def plain(value: Any) -> str:
    """Return any value as Python writes it; empty for None."""
    return "" if value is None else str(value)


def number(value: float | None, digits: int = 4) -> str:
    """Return `0.1234`; empty for None, `undefined` for NaN."""
    if value is None:
        return ""
    return "undefined" if math.isnan(value) else f"{value:.{digits}f}"


def count(value: int | None) -> str:
    """Return `1,234`; empty for None."""
    return "" if value is None else quantities.count(value)


def score(value: Score) -> str:
    """Return `0.1234`, or `0.1234 COLLAPSED`."""
    return number(value.value) + (f" {COLLAPSED}" if value.is_collapsed else "")


def name(value: Name) -> str:
    """Return the name, with `COLLAPSED (1 of 3)` behind it where models are worthless."""
    if not value.collapsed:
        return value.text
    return f"{value.text} {COLLAPSED} ({value.collapsed} of {value.seeds})"


def span(interval: Interval | None, sign: str = "") -> str:
    """Return `0.123 to 0.456`; empty where there is none."""
    if not interval:
        return ""
    low, high = interval
    return "undefined" if math.isnan(low + high) else f"{low:{sign}.3f} to {high:{sign}.3f}"


def signed_span(interval: Interval | None) -> str:
    """Return `-0.012 to +0.034`; empty where there is none."""
    return span(interval, "+")


def signed(value: float | None) -> str:
    """Return `+0.1234`; empty for None, `undefined` for NaN."""
    if value is None:
        return ""
    return "undefined" if math.isnan(value) else f"{value:+.4f}"


def percent(value: float | None) -> str:
    """Return `12.3 %` of a fraction; empty for None."""
    return "" if value is None else quantities.percent(value)


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


def timed(value: Timed | None) -> str:
    """Return `1.23 at 128`; empty for None."""
    return "" if value is None else f"{number(value.milliseconds, 2)} at {value.length}"


def listed(values: Sequence[Any]) -> str:
    """Return `1, 2, 3`."""
    return ", ".join(map(str, values))


def p_values(values: Sequence[float]) -> str:
    """Return `0.001, 0.250`."""
    return ", ".join(f"{p:.3f}" for p in values)


def task(task_and_source: tuple[str, str]) -> str:
    """Return the task's name, with `(sample)` behind it where the data was generated."""
    task_name, source = task_and_source
    return f"{task_name} ({SAMPLE})" if source == SAMPLE else task_name


def verdict(value: Verdict | None) -> str:
    """Return a verdict in words; empty for None."""
    if value is None:
        return ""
    text = _OUTCOMES[value.outcome]
    if value.collapsed:
        text += f", {COLLAPSED}"
    if value.base_collapsed:
        text += f", against a {COLLAPSED} model"
    return text
