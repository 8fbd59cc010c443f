"""Group: the same model over several training seeds."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from absl import logging

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import collapse
from bert_glue_tf.models.quantization.recipes import RECIPES
from bert_glue_tf.reports import names
from bert_glue_tf.reports.measured import KERAS, Interval, Model, Time, mean_interval


@dataclasses.dataclass(frozen=True)
class Group:
    """Models that differ in nothing but the training seed.

    Attributes:
      models: by rising seed.
      name: which tells it from the other groups that it is shown with.
      usual: the settings that names leave out, where they are those of most of these groups.
    """

    models: tuple[Model, ...]
    name: str
    usual: tuple[str, ...] = ()

    @property
    def first(self) -> Model:
        """The model of the lowest seed."""
        return self.models[0]

    @property
    def subject(self) -> tuple[str, str, str]:
        """Task, source of the data and encoder: the models of one figure share them."""
        return self.first.subject

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, ascending."""
        return tuple(model.seed for model in self.models)

    @property
    def metric(self) -> str:
        """The name of the task's primary metric."""
        return self.first.task.primary_metric

    @property
    def mean(self) -> float:
        """Mean of the primary metric over the seeds."""
        return float(np.mean([model.primary for model in self.models]))

    @property
    def spread(self) -> Interval:
        """Smallest and largest primary metric over the seeds."""
        return self.spread_of(self.first.task.primary_metric)

    def mean_of(self, metric: str) -> float:
        """Return the mean of one of the task's metrics over the seeds."""
        return float(np.mean([model.score(metric) for model in self.models]))

    def spread_of(self, metric: str) -> Interval:
        """Return the smallest and the largest value of a metric over the seeds."""
        values = [model.score(metric) for model in self.models]
        return min(values), max(values)

    @property
    def interval(self) -> Interval | None:
        """95 % bootstrap interval over the examples, its ends' means over seeds and splits."""
        return self.interval_of(self.metric)

    def interval_of(self, metric: str) -> Interval | None:
        """Return the 95 % bootstrap interval of a metric over the examples, as `interval`."""
        return mean_interval([model.interval_of(metric) for model in self.models])

    @property
    def collapsed(self) -> int:
        """Number of the models that are COLLAPSED."""
        return sum(bool(model.collapsed) for model in self.models)

    @property
    def mark(self) -> collapse.Mark | None:
        """The worst mark of its models; None where none has one."""
        return collapse.worst([model.mark for model in self.models])

    @property
    def marked(self) -> int:
        """Number of the models that have the worst mark."""
        return sum(self.mark is not None and model.mark is self.mark for model in self.models)

    @property
    def times(self) -> tuple[Time, ...]:
        """The models' times; empty unless all of them have one, of the same session."""
        found = tuple(model.time for model in self.models if model.time)
        shared = len({time.session for time in found}) == 1
        return found if shared and len(found) == len(self.models) else ()

    @property
    def milliseconds(self) -> float | None:
        """Mean of the models' median times of one example; None where they share no session."""
        return float(np.mean([time.milliseconds for time in self.times])) if self.times else None

    @property
    def speed(self) -> float | None:
        """Mean over the models: times as fast as the comparison's reference."""
        return float(np.mean([time.speed for time in self.times])) if self.times else None

    @property
    def session(self) -> str | None:
        """The session of these times: those of two sessions do not compare."""
        return self.times[0].session if self.times else None

    def bytes(self, kind: str) -> float:
        """Return the mean size in bytes, `plain` or `gzip`."""
        return float(np.mean([model.bytes[kind] for model in self.models]))


def latest(models: Iterable[Model]) -> dict[tuple[str, int], Model]:
    """Return the models without those that a later one repeats, by settings and seed."""
    return {(model.key(), model.seed): model for model in models}


def without_repeated(models: Iterable[Model]) -> list[Model]:
    """Return the models of `latest`, and tell in the log which runs are left out."""
    models = list(models)
    kept = latest(models)
    left_out: dict[tuple[str, str], list[str]] = {}
    for model in models:
        repeat = kept[model.key(), model.seed]
        if repeat is not model:
            left_out.setdefault((model.run, repeat.run), []).append(model.recipe)
    for (run, stays), recipes in left_out.items():
        logging.warning(
            "%s (%s) is left out: %s repeats it, with the same settings and seed",
            run,
            ", ".join(recipes),
            stays,
        )
    return list(kept.values())


def _training(model: Model) -> str:
    """Return a text that the models of one training share, its seeds together."""
    return dataclasses.replace(model, recipe=KERAS).key()


def _order(model: Model, trainings: Sequence[str]) -> tuple[object, ...]:
    """Return a model's place among the groups."""
    recipes = [KERAS, *RECIPES]
    return (
        tasks.place(model.task.name),
        *model.subject[1:],
        model.method != NO_PRUNING,
        trainings.index(_training(model)),
        recipes.index(model.recipe) if model.recipe in recipes else len(recipes),
        model.recipe,
    )


def group(models: Iterable[Model]) -> list[Group]:
    """Group models over their seeds.

    They stand by task, data and encoder; then the unpruned models, and the others as they come;
    of one training the trained model, its float32 file, and its files in the order of the recipes.

    Args:
      models: as `reading.read` returns them, where a run that is repeated is left out.
    """
    found: dict[str, dict[int, Model]] = {}
    for model in latest(models).values():
        found.setdefault(model.key(), {})[model.seed] = model
    seeds_together = [
        tuple(by_seed[seed] for seed in sorted(by_seed)) for by_seed in found.values()
    ]
    trainings = list(dict.fromkeys(_training(some[0]) for some in seeds_together))
    seeds_together.sort(key=lambda some: _order(some[0], trainings))
    groups: list[Group] = []
    for _, together in itertools.groupby(seeds_together, key=lambda some: some[0].subject):
        compared = list(together)
        named, usual = names.names([some[0] for some in compared])
        groups += [
            Group(some, name, tuple(usual)) for some, name in zip(compared, named, strict=True)
        ]
    return groups
