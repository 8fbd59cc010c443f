"""Judge a model's answers: COLLAPSED, not above chance, or neither. All marks come from here."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Sequence

import numpy as np

from bert_glue_tf.data import problems
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import bootstrap, metrics


class Mark(enum.Enum):
    """The word for a verdict, wherever a model is shown; the worse one stands first."""

    COLLAPSED = "COLLAPSED"
    AT_CHANCE = "not above chance"


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

    That is no collapse: the model tells its examples apart, and a small or hard split may not be
    able to show what it has learned.

    Attributes:
      metric: its name.
      value: the score.
      chance: the score of an answer that does not look at the text.
    """

    metric: str
    value: float
    chance: float


Collapse = Diverged | OneAnswer
Verdict = Collapse | AtChance


def judge(
    task: TaskSpec,
    labels: np.ndarray,
    logits: np.ndarray,
    interval: tuple[float, float] | None = None,
) -> Verdict | None:
    """Find out why a model's answers are worth nothing, or not shown to be worth anything.

    Args:
      task: names the primary metric.
      labels: [n].
      logits: float [n, width].
      interval: `bootstrap.interval` of the primary metric, where it has been computed already.

    Returns:
      The reason; None where the score is above chance.
    """
    problem = task.problem
    if problems.diverged(logits):
        is_whole = np.isfinite(logits).reshape(len(logits), -1).all(axis=1)
        return Diverged(int(np.count_nonzero(~is_whole)), len(logits))
    predictions = problem.decode(logits)
    answer = problem.only_answer(labels, predictions)
    if answer is not None:
        return OneAnswer(answer, problem.is_right_or_wrong)
    name = task.primary_metric
    metric = metrics.of(problem, name)
    chance = problem.chance(metric, labels)
    low, _ = interval or bootstrap.interval(problem, metric, labels, predictions)
    if low > chance:
        return None
    return AtChance(name, metric(labels, predictions), chance)  # Also where `low` is NaN.


def mark(verdict: Verdict) -> Mark:
    """Return the mark of a model with this verdict."""
    return Mark.AT_CHANCE if isinstance(verdict, AtChance) else Mark.COLLAPSED


@dataclasses.dataclass(frozen=True)
class Marked:
    """The marks of a model over its validation splits, as records keep them.

    Attributes:
      collapsed: why it is COLLAPSED; empty where it is not.
      at_chance: why it is not above chance; empty where it is, or where it is COLLAPSED.
    """

    collapsed: str = ""
    at_chance: str = ""

    def reasons(self) -> list[tuple[Mark, str]]:
        """Return the marks that the model has, each with its reason."""
        both = ((Mark.COLLAPSED, self.collapsed), (Mark.AT_CHANCE, self.at_chance))
        return [(one, reason) for one, reason in both if reason]

    @property
    def mark(self) -> Mark | None:
        """The mark that the model is shown with; None where it needs none."""
        return next((one for one, _ in self.reasons()), None)


def marked(verdicts: Iterable[Verdict | None]) -> Marked:
    """Return the reasons of the verdicts on a model's splits, by mark, each reason once."""
    reasons: dict[Mark, dict[str, None]] = {one: {} for one in Mark}
    for verdict in verdicts:
        if verdict:
            reasons[mark(verdict)][_reason(verdict)] = None
    collapsed = "; ".join(reasons[Mark.COLLAPSED])
    return Marked(collapsed, "" if collapsed else "; ".join(reasons[Mark.AT_CHANCE]))


def worst(marks: Sequence[Mark | None]) -> Mark | None:
    """Return the worst mark of several models; None where none has one."""
    return next((one for one in Mark if one in marks), None)


def _reason(verdict: Verdict) -> str:
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


def warning(split: str, verdict: Verdict) -> str:
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
