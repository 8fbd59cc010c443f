"""Comparison: one model against another on the same examples, and the verdict on it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

import numpy as np
from absl import logging

from bert_glue_tf.data import problems, tasks
from bert_glue_tf.evaluation import collapse, metrics, predictions, significance
from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.evaluation.defaults import MARGIN, START, UNPRUNED
from bert_glue_tf.evaluation.significance import Difference, Equivalence
from bert_glue_tf.reports.counterparts import Counterparts
from bert_glue_tf.reports.groups import Group, group
from bert_glue_tf.reports.measured import BUT_SEED, KERAS, REFERENCE, Model


class Outcome(enum.Enum):
    """The four things that a difference of two scores can say.

    No difference shown is no evidence that there is none: ask the equivalence.
    """

    BETTER = enum.auto()
    WORSE = enum.auto()
    NO_DIFFERENCE = enum.auto()
    UNDEFINED = enum.auto()


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A judgement of one model against another; `formats.verdict` puts it into words.

    Attributes:
      outcome: of the difference alone.
      seeds: how many were compared; from `significance.METHOD_SEEDS` on the verdict is of the two
        methods, with fewer of the models at hand.
      equivalence: the answer to the question if the two are equal within a margin.
      mark: of the judged model, the worst of its seeds; None where it has none.
      base_mark: that of the model that it is compared with.
    """

    outcome: Outcome
    seeds: int = significance.METHOD_SEEDS
    equivalence: Equivalence | None = None
    mark: Mark | None = None
    base_mark: Mark | None = None

    @property
    def is_of_methods(self) -> bool:
        """Tell if it speaks of two methods, and not of the models at hand alone."""
        return self.seeds >= significance.METHOD_SEEDS

    @property
    def is_of_collapsed(self) -> bool:
        """Tell if either model is COLLAPSED, so that the difference says nothing."""
        return Mark.COLLAPSED in (self.mark, self.base_mark)


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
      mark: the worst of the models of `what`; None where they have none.
      base_mark: that of `against`.
      encoder: the name of the encoder of both.
      all_collapsed: True where each model of both is COLLAPSED, of all the seeds.
    """

    task: str
    source: str
    metric: str
    examples: int
    what: str
    against: str
    seeds: tuple[int, ...]
    difference: Difference
    mark: Mark | None = None
    base_mark: Mark | None = None
    encoder: str = ""
    all_collapsed: bool = False

    @property
    def subject(self) -> tuple[str, str, str]:
        """Task, source of the data and encoder, as `Model.subject`."""
        return self.task, self.source, self.encoder

    @property
    def outcome(self) -> Outcome:
        """The outcome by the difference alone: neither model's mark counts."""
        if not self.difference.is_defined:
            return Outcome.UNDEFINED
        if not self.difference.is_shown:
            return Outcome.NO_DIFFERENCE
        return Outcome.BETTER if self.difference.mean > 0 else Outcome.WORSE

    @property
    def verdict(self) -> Verdict:
        """The judgement of the model, as a value."""
        return Verdict(
            self.outcome,
            len(self.difference.by_seed),
            self.difference.equivalence,
            self.mark,
            self.base_mark,
        )

    @property
    def is_of_collapsed(self) -> bool:
        """Tell if either model is COLLAPSED."""
        return self.verdict.is_of_collapsed

    def corrected(self, p: float) -> Comparison:
        """Return the comparison with a p-value that is corrected for the number of tests."""
        return dataclasses.replace(self, difference=dataclasses.replace(self.difference, p=p))

    def reversed(self) -> Comparison:
        """Return the same comparison seen from the other model; nothing is drawn anew."""
        return dataclasses.replace(
            self,
            what=self.against,
            against=self.what,
            difference=self.difference.reversed(),
            mark=self.base_mark,
            base_mark=self.mark,
        )


def differences(
    models: Sequence[Model], margin: float = MARGIN, against: str = UNPRUNED
) -> list[Comparison]:
    """Compare every pruned model with the unpruned, every file with float32, seed by seed.

    A model that has learned from a teacher is compared with the untaught one as well, and one
    whose training rounded as a file does with the one whose training did not.

    Args:
      models: see `reading.read`.
      margin: scores that differ by less are called equal.
      against: one of `evaluation.defaults.AGAINST`; with `START` every model is compared with the
        one that it was made of and with nothing else, also one that is not pruned.
    """
    groups = group(models)
    by_key = {g.first.key(BUT_SEED): g for g in groups}
    counterparts = Counterparts(groups)
    found = []
    for judged in groups:
        model = judged.first
        if against == START:
            base = counterparts.start(judged)
            found += [compare(judged, base, margin=margin)] if base else []
            continue
        bases = [
            counterparts.unpruned(judged),
            counterparts.untaught(judged),
            counterparts.in_float(judged),
        ]
        if model.recipe not in (KERAS, REFERENCE):
            bases.append(by_key.get(dataclasses.replace(model, recipe=REFERENCE).key()))
        found += [compare(judged, base, margin=margin) for base in bases if base]
    return [comparison for comparison in found if comparison]


def compare(
    judged: Group, base: Group, metric: str = "", margin: float = MARGIN
) -> Comparison | None:
    """Compare one group with another of the same task, over the seeds that both have.

    Args:
      judged: the models that are judged.
      base: those that they are compared with.
      metric: its name; by default the task's primary metric.
      margin: scores that differ by less are called equal.

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
        difference=_difference(task, metric, labels, first, second, seeds, margin),
        mark=collapse.worst([m.mark for m in judged.models if m.seed in seeds]),
        base_mark=collapse.worst([m.mark for m in base.models if m.seed in seeds]),
        encoder=model.encoder,
        all_collapsed=all(
            m.mark is Mark.COLLAPSED for m in (*judged.models, *base.models) if m.seed in seeds
        ),
    )


def constant_answer(model: Model, metric: str) -> float:
    """Return the score of the best answer that does not look at the text, as the majority class.

    Args:
      model: whose validation examples are asked for.
      metric: its name.
    """
    labels, _ = _answers(Group((model,), model.run), [model.seed])
    return model.task.problem.chance(metrics.of(model.task.problem, metric), labels)


def mean_difference(pairs: Sequence[tuple[Group, Group]]) -> Difference | None:
    """Return the mean of several differences (judged, base) on the same examples.

    The pairs of one seed are averaged first, and seeds that a pair lacks do not count for it.
    None where there is none, or they have answered different examples.
    """
    labels: np.ndarray | None = None
    first: list[np.ndarray | None] = []
    second: list[np.ndarray | None] = []
    of: list[int] = []
    for judged, base in pairs:
        seeds = [seed for seed in judged.seeds if seed in base.seeds]
        of += seeds
        for models, answers in ((base, first), (judged, second)):
            own, found = _answers(models, seeds)
            if seeds and labels is not None and not np.array_equal(labels, own):
                return None
            labels = own if seeds else labels
            answers += found
    if labels is None:
        return None
    task = pairs[0][0].first.task
    return _difference(task, task.primary_metric, labels, first, second, of)


def _difference(
    task: tasks.TaskSpec,
    metric: str,
    labels: np.ndarray,
    first: Sequence[np.ndarray | None],
    second: Sequence[np.ndarray | None],
    seeds: Sequence[int],
    margin: float = MARGIN,
) -> Difference:
    """Return `second` minus `first`, for each pair the answers to the labels [n]."""
    one, other = ([found for found in side if found is not None] for side in (first, second))
    if len(one) < len(first) or len(other) < len(second):
        # As `metrics.compute` has it for a model that diverged.
        return significance.undefined(len(set(seeds)), margin)
    return significance.compare(
        task.problem,
        metrics.of(task.problem, metric),
        labels,
        one,
        other,
        margin=margin,
        seeds=seeds,
    )


def _answers(models: Group, seeds: Sequence[int]) -> tuple[np.ndarray, list[np.ndarray | None]]:
    """Return labels [n] and, for each seed, answers [n], all validation splits in a row.

    Each model's logits are decoded as its own training has it, by its threshold for example. The
    answers of a model that diverged are None.
    """
    by_seed = {model.seed: model for model in models.models}
    labels: np.ndarray = np.zeros(0)
    answers: list[np.ndarray | None] = []
    for seed in seeds:
        model = by_seed[seed]
        read = [
            predictions.read(path, model.task, model.data[split]["examples"])
            for split, path in model.predictions.items()
        ]
        labels = np.concatenate([one.labels for one in read])
        logits = np.concatenate([one.logits for one in read])
        is_sound = not problems.diverged(logits)
        answers.append(model.task.problem.decode(logits) if is_sound else None)
    return labels, answers
