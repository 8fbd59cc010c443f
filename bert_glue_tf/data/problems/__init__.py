"""The kinds of answers that a task can ask for: a class, a number, several labels, or a tag a word.

A `Problem` owns all that depends on the kind: labels in memory, the head's output, its decoding,
the loss, Keras's loss and metrics, flips, chance, the unit that a bootstrap draws, a row of a
predictions file, and the answer that `predict` shows. No module outside of this folder asks which
kind a task is. A new kind is a file here, a line in `PROBLEMS`, and an example in
tests/data/test_problem_contract.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from bert_glue_tf.data.problems.answers import Answer, AnsweredSpan, LabelScore
from bert_glue_tf.data.problems.base import (
    Metric,
    NoLabelError,
    Problem,
    diverged,
)
from bert_glue_tf.data.problems.classification import Classification
from bert_glue_tf.data.problems.matching import outputs_of
from bert_glue_tf.data.problems.multi_label import MultiLabel
from bert_glue_tf.data.problems.regression import Regression
from bert_glue_tf.data.problems.tagging import Tagging

__all__ = [
    "PROBLEMS",
    "Answer",
    "AnsweredSpan",
    "Classification",
    "LabelScore",
    "Metric",
    "MultiLabel",
    "NoLabelError",
    "Problem",
    "Regression",
    "Tagging",
    "diverged",
    "from_json",
    "outputs_of",
    "to_json",
]

PROBLEMS: Mapping[str, type[Problem]] = {
    "classification": Classification,
    "regression": Regression,
    "multi_label": MultiLabel,
    "tagging": Tagging,
}


def to_json(problem: Problem) -> dict[str, Any]:
    """Return a problem as values of JSON: its kind, and what else it consists of."""
    (kind,) = (name for name, cls in PROBLEMS.items() if type(problem) is cls)
    return {"kind": kind, **dataclasses.asdict(problem)}  # type: ignore[call-overload]


def from_json(values: Mapping[str, Any]) -> Problem:
    """Return the problem that `to_json` gave.

    Raises:
      KeyError, TypeError: they are not the values of a problem.
    """
    fields = {name: value for name, value in values.items() if name != "kind"}
    return PROBLEMS[values["kind"]].of_fields(fields)
