"""Decide whether a model is worthless: what other modules show as COLLAPSED is this verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from bert_glue_tf.data import problems
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import bootstrap, metrics


@dataclasses.dataclass(frozen=True)
class Diverged:
    """The model's outputs are no numbers.

    Attributes:
      examples: how many of the examples have an output that is NaN or infinite.
      of: how many examples there are.
    """

    examples: int
    of: int


@dataclasses.dataclass(frozen=True)
class OneAnswer:
    """Every example gets the same answer, although the labels differ.

    Attributes:
      answer: the class, or the score as text.
      is_class: whether it is a class.
    """

    answer: str
    is_class: bool


@dataclasses.dataclass(frozen=True)
class AtChance:
    """The 95 % bootstrap interval of the primary metric reaches down to chance.

    Attributes:
      metric: its name.
      value: the score.
      chance: the score of an answer that does not look at the text.
    """

    metric: str
    value: float
    chance: float


Collapse = Diverged | OneAnswer | AtChance
# The word for all of them, wherever a model is shown.
MARK = "COLLAPSED"


def judge(
    task: TaskSpec,
    labels: np.ndarray,
    logits: np.ndarray,
    interval: tuple[float, float] | None = None,
) -> Collapse | None:
    """Find out why a model's answers are worthless; None where they are not.

    Args:
      task: names the primary metric.
      labels: [n].
      logits: float [n, width].
      interval: `bootstrap.interval` of the primary metric, where it has been computed already.
    """
    problem = task.problem
    if problems.diverged(logits):
        return Diverged(int(np.count_nonzero(~np.isfinite(logits).all(axis=1))), len(logits))
    predictions = problem.decode(logits)
    answer = problem.only_answer(labels, predictions)
    if answer is not None:
        return OneAnswer(answer, problem.is_right_or_wrong)
    name = task.primary_metric
    metric = metrics.METRICS[name]
    chance = problem.chance(metric, labels)
    low, _ = interval or bootstrap.interval(problem, metric, labels, predictions)
    if low > chance:
        return None
    return AtChance(name, metric(labels, predictions), chance)  # Also where `low` is NaN.


def text(verdicts: Iterable[Collapse | None]) -> str:
    """Return the reasons of one or several verdicts, each once; empty where there is none."""
    return "; ".join(dict.fromkeys(_reason(verdict) for verdict in verdicts if verdict))


def _reason(verdict: Collapse) -> str:
    match verdict:
        case Diverged():
            return "the logits are not numbers"
        case OneAnswer():
            return f"every prediction is {verdict.answer}"
        case AtChance():
            return (
                f"{verdict.metric} {verdict.value:.3f} is not above chance "
                f"({verdict.chance:.3f}) by more than its noise"
            )


def warning(split: str, verdict: Collapse) -> str:
    """Return what a training run says of a verdict on one of its validation splits."""
    match verdict:
        case Diverged():
            return (
                f"{split}: the model diverged: its outputs for {verdict.examples} of {verdict.of} "
                "examples are no numbers (NaN), so its scores are undefined; a smaller "
                "--learning_rate may help"
            )
        case OneAnswer(is_class=True):
            return (
                f"{split}: every prediction is {verdict.answer!r}: the model has "
                "learned nothing that tells the classes apart"
            )
    return f"{split}: {_reason(verdict)}: nothing shows that the model has learned"
