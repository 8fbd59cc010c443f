"""Group: the same model over several training seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from absl import logging

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.data import tasks
from bert_glue_tf.reports.measured import BUT_PRUNING, Interval, Model, mean_interval

# What it removes follows from the text, whatever --final_sparsity is.
_WITHOUT_SPARSITY = ("vocabulary",)
_ALL_EXAMPLES = ("train_examples", 0)


@dataclasses.dataclass(frozen=True)
class Group:
    """Models that differ in nothing but the training seed.

    Attributes:
      models: by rising seed.
      settings: those in which it differs from other groups of its task, apart from pruning.
      label: the name to call it by; empty for a name made from its settings.
    """

    models: tuple[Model, ...]
    settings: tuple[str, ...] = ()
    label: str = ""

    @property
    def first(self) -> Model:
        """The model of the lowest seed."""
        return self.models[0]

    @property
    def subject(self) -> tuple[str, str, str]:
        """Task, source of the data and encoder: the models of one figure share them."""
        return self.first.task.name, self.first.source, self.first.encoder

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, ascending."""
        return tuple(model.seed for model in self.models)

    @property
    def mean(self) -> float:
        """Mean of the primary metric over the seeds."""
        return float(np.mean([model.primary for model in self.models]))

    @property
    def spread(self) -> Interval:
        """Smallest and largest primary metric over the seeds."""
        values = [model.primary for model in self.models]
        return min(values), max(values)

    @property
    def interval(self) -> Interval | None:
        """95 % bootstrap interval over the examples, its ends' means over seeds and splits."""
        return mean_interval([model.interval for model in self.models])

    @property
    def collapsed(self) -> int:
        """Number of the models that are worthless."""
        return sum(bool(model.collapsed) for model in self.models)

    @property
    def speed(self) -> float | None:
        """Mean of the models' speeds; None for trained models, which are not timed."""
        speeds = [model.speed for model in self.models if model.speed is not None]
        return float(np.mean(speeds)) if speeds else None

    def bytes(self, kind: str) -> float:
        """Return the mean size in bytes, `plain` or `gzip`."""
        return float(np.mean([model.bytes[kind] for model in self.models]))

    @property
    def name(self) -> str:
        """A name that tells it from the other groups of its task."""
        if self.label:
            return self.label
        model = self.first
        name = "no pruning" if model.method == NO_PRUNING else f"pruned: {model.method}"
        if model.method not in (NO_PRUNING, *_WITHOUT_SPARSITY):
            name += f" to {model.config['final_sparsity']:.0%}"
        return ", ".join([name, model.recipe, *self.settings])


def group(models: Iterable[Model]) -> list[Group]:
    """Group models over their seeds, by task, then as they come. A repeated run counts once."""
    found: dict[str, dict[int, Model]] = {}
    for model in models:
        by_seed = found.setdefault(model.key(), {})
        if model.seed in by_seed:
            logging.warning(
                "%s repeats %s (%s, the same settings and seed), which is left out",
                model.run,
                by_seed[model.seed].run,
                model.recipe,
            )
        by_seed[model.seed] = model
    groups = [Group(tuple(by_seed[seed] for seed in sorted(by_seed))) for by_seed in found.values()]
    order = list(tasks.TASKS)
    groups.sort(key=lambda g: (order.index(g.first.task.name), *g.subject[1:]))
    return [dataclasses.replace(g, settings=_telling(g, groups)) for g in groups]


def _telling(one: Group, groups: Sequence[Group]) -> tuple[str, ...]:
    """Return the settings, apart from pruning, in which other groups of its subject differ."""
    others = [g.first for g in groups if g.subject == one.subject]
    mine = one.first
    unsaid = {*BUT_PRUNING, "task", "encoder", "data"}
    found = [
        f"{name}={'all' if (name, mine.config[name]) == _ALL_EXAMPLES else mine.config[name]}"
        for name in mine.config
        if name not in unsaid
        and any(other.config.get(name) != mine.config[name] for other in others)
    ]
    if any(other.digests != mine.digests for other in others):
        found.append(f"data={mine.config['data']}")
    if any(other.encoder_digest != mine.encoder_digest for other in others):
        found.append(f"encoder {mine.encoder_digest[:8]}")
    return tuple(found)
