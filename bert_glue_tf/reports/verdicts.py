"""Comparison: one model against another on the same examples, and the verdict on it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

import numpy as np
from absl import logging

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.data import problems, tasks
from bert_glue_tf.evaluation import metrics, predictions, significance
from bert_glue_tf.evaluation.significance import Difference
from bert_glue_tf.reports.groups import Group, group
from bert_glue_tf.reports.measured import BUT_PRUNING, BUT_SEED, KERAS, REFERENCE, Model


class Outcome(enum.Enum):
    """The four things that a difference of two scores can say."""

    BETTER = enum.auto()
    WORSE = enum.auto()
    WITHIN_NOISE = enum.auto()
    UNDEFINED = enum.auto()


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A judgement of one model against another; `formats.verdict` puts it into words.

    Attributes:
      outcome: of the difference alone.
      collapsed: whether the judged model is worthless. It may well be within noise of something
        weak.
      base_collapsed: whether the model that it is compared with is worthless.
    """

    outcome: Outcome
    collapsed: bool = False
    base_collapsed: bool = False


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One difference.

    Attributes:
      task: name; with it stands the data.
      source: where the data came from.
      metric: name of the metric that is compared.
      examples: on which both answered.
      what: the model that is judged.
      against: the model that it is compared with.
      seeds: that both have.
      difference: `what` minus `against`.
      collapsed: whether a model of `what` is worthless.
      base_collapsed: whether one of `against` is.
    """

    task: str
    source: str
    metric: str
    examples: int
    what: str
    against: str
    seeds: tuple[int, ...]
    difference: Difference
    collapsed: bool = False
    base_collapsed: bool = False

    @property
    def outcome(self) -> Outcome:
        """The outcome by the difference alone: neither model's collapse counts."""
        if not self.difference.is_defined:
            return Outcome.UNDEFINED
        if self.difference.is_noise:
            return Outcome.WITHIN_NOISE
        return Outcome.BETTER if self.difference.mean > 0 else Outcome.WORSE

    @property
    def verdict(self) -> Verdict:
        """The judgement of the model, as a value."""
        return Verdict(self.outcome, self.collapsed, self.base_collapsed)

    def reversed(self) -> Comparison:
        """Return the same comparison seen from the other model; nothing is drawn anew."""
        low, high = self.difference.interval
        difference = dataclasses.replace(
            self.difference,
            mean=-self.difference.mean,
            interval=(-high, -low),
            by_seed=tuple(-value for value in self.difference.by_seed),
        )
        return dataclasses.replace(
            self,
            what=self.against,
            against=self.what,
            difference=difference,
            collapsed=self.base_collapsed,
            base_collapsed=self.collapsed,
        )


def differences(models: Sequence[Model]) -> list[Comparison]:
    """Compare every pruned model with the unpruned, every file with float32, seed by seed."""
    groups = group(models)
    by_key = {g.first.key(BUT_SEED): g for g in groups}
    unpruned = {g.first.key(BUT_PRUNING): g for g in groups if g.first.method == NO_PRUNING}
    found = []
    for judged in groups:
        model = judged.first
        if model.method != NO_PRUNING:
            base = unpruned.get(model.key(BUT_PRUNING))
            if base:
                found.append(compare(judged, base))
        if model.recipe not in (KERAS, REFERENCE):
            base = by_key.get(dataclasses.replace(model, recipe=REFERENCE).key())
            if base:
                found.append(compare(judged, base))
    return [comparison for comparison in found if comparison]


def compare(judged: Group, base: Group, metric: str = "") -> Comparison | None:
    """Compare one group with another of the same task, over the seeds that both have.

    Args:
      judged: the models that are judged.
      base: those that they are compared with.
      metric: its name; by default the task's primary metric.

    Returns:
      None where they share no seed, or have answered other examples.
    """
    seeds = tuple(seed for seed in judged.seeds if seed in base.seeds)
    if not seeds:
        return None
    model = judged.first
    labels, first = _answers(base, seeds)
    same, second = _answers(judged, seeds)
    if not np.array_equal(labels, same):
        logging.warning("%s and %s: other labels, not compared", judged.name, base.name)
        return None
    task = model.task
    metric = metric or task.primary_metric
    return Comparison(
        task=task.name,
        source=model.source,
        metric=metric,
        examples=len(labels),
        what=judged.name,
        against=base.name,
        seeds=seeds,
        difference=_difference(task, metric, labels, first, second),
        collapsed=any(m.collapsed for m in judged.models if m.seed in seeds),
        base_collapsed=any(m.collapsed for m in base.models if m.seed in seeds),
    )


def mean_difference(pairs: Sequence[tuple[Group, Group]]) -> Difference | None:
    """Return the mean of several differences (judged, base) on the same examples.

    Each pair and each seed that both have counts once; `by_seed` and `mcnemar` are theirs in a
    row. None where there is none, or they have answered different examples.
    """
    labels: np.ndarray | None = None
    first: list[np.ndarray] = []
    second: list[np.ndarray] = []
    for judged, base in pairs:
        seeds = [seed for seed in judged.seeds if seed in base.seeds]
        for models, answers in ((base, first), (judged, second)):
            own, found = _answers(models, seeds)
            if seeds and labels is not None and not np.array_equal(labels, own):
                return None
            labels = own if seeds else labels
            answers += found
    if labels is None:
        return None
    task = pairs[0][0].first.task
    return _difference(task, task.primary_metric, labels, first, second)


def _difference(
    task: tasks.TaskSpec,
    metric: str,
    labels: np.ndarray,
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
) -> Difference:
    """Return `second` minus `first`, for each seed logits [n, classes] of the labels [n]."""
    if any(problems.diverged(logits) for logits in (*first, *second)):
        nan = float("nan")  # As `metrics.compute` has it for a model that diverged.
        return Difference(nan, (nan, nan), (nan,) * len(first), ())
    return significance.compare(
        task.problem,
        metrics.METRICS[metric],
        labels,
        [task.problem.decode(logits) for logits in first],
        [task.problem.decode(logits) for logits in second],
    )


def _answers(models: Group, seeds: Sequence[int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return labels [n] and, for each seed, logits [n, classes], all validation splits in a row."""
    by_seed = {model.seed: model for model in models.models}
    labels: np.ndarray = np.zeros(0)
    answers = []
    for seed in seeds:
        model = by_seed[seed]
        read = [
            predictions.read(path, model.task, model.data[split]["examples"])
            for split, path in model.predictions.items()
        ]
        labels = np.concatenate([one.labels for one in read])
        answers.append(np.concatenate([one.logits for one in read]))
    return labels, answers
