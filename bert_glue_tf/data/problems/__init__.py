"""The kinds of answers that a task can ask for: a class, or a number.

A `Problem` owns all that depends on the kind: labels in memory, the head's output, its decoding,
the loss, Keras's loss and metrics, flips, chance, the unit that a bootstrap draws, a row of a
predictions file, and the answer that `predict` shows. No module outside of this folder asks which
kind a task is. A new kind is a file here, a line in `PROBLEMS`, and an example in
tests/data/test_problem_contract.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from bert_glue_tf.data.problems.base import Answer, Metric, NoLabelError, Problem, diverged
from bert_glue_tf.data.problems.classification import Classification
from bert_glue_tf.data.problems.regression import Regression

__all__ = [
    "PROBLEMS",
    "Answer",
    "Classification",
    "Metric",
    "NoLabelError",
    "Problem",
    "Regression",
    "diverged",
]

PROBLEMS: Mapping[str, type[Problem]] = {
    "classification": Classification,
    "regression": Regression,
}
