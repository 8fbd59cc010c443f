"""Pruned models that cannot be compared with an unpruned one: which, and what stands between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core import layout
from bert_glue_tf.reports import names
from bert_glue_tf.reports.measured import BUT_PRUNING, KERAS, Model
from bert_glue_tf.runs.config import ExperimentConfig


def notes(models: Iterable[Model]) -> list[str]:
    """Return the pruned runs without an unpruned counterpart, with the nearest one: a text each.

    A counterpart has the same settings but the pruning's, the same data and encoder, and a seed
    in common. Runs that lack it for the same reason share a text. So do those whose counterpart
    has other seeds, which alone are left out. Below stand the commands that run what is missing.
    """
    trained = [model for model in models if model.recipe == KERAS]
    unpruned = [model for model in trained if model.method == NO_PRUNING]
    by_key: dict[str, list[Model]] = {}
    for model in trained:
        if model.method != NO_PRUNING:
            by_key.setdefault(model.key(), []).append(model)
    without: dict[str, list[Model]] = {}
    partly: dict[str, list[Model]] = {}
    for some in by_key.values():
        key = some[0].key(BUT_PRUNING)
        seeds = {other.seed for other in unpruned if other.key(BUT_PRUNING) == key}
        alone = [model for model in some if model.seed not in seeds]
        if len(alone) == len(some):
            without.setdefault(_reason(some[0], unpruned), []).extend(some)
        elif alone:
            partly.setdefault(key, []).extend(alone)
    for key, alone in partly.items():
        partners = [other for other in unpruned if other.key(BUT_PRUNING) == key]
        without.setdefault(_seeds(partners), []).extend(alone)
    return [_note(reason, alone, unpruned) for reason, alone in without.items()]


def _note(reason: str, alone: Sequence[Model], unpruned: Sequence[Model]) -> str:
    """Return the runs, the reason why they are not compared, and the commands against it."""
    text = f"Not compared with an unpruned model: {', '.join(m.run for m in alone)}. {reason}"
    commands = _commands(alone, unpruned)
    return "\n".join([f"{text} This runs what is missing:", *commands]) if commands else text


def _commands(alone: Iterable[Model], unpruned: Iterable[Model]) -> list[str]:
    """Return the commands that run the unpruned counterparts, each beside its pruned run.

    Where the same settings were run already, the contents of data or encoder have changed since:
    no command tells which of them are meant.
    """
    held = {ExperimentConfig.from_json(other.config).unpruned for other in unpruned}
    wanted: dict[ExperimentConfig, Model] = {}
    for model in sorted(alone, key=lambda one: one.seed):
        wanted.setdefault(ExperimentConfig.from_json(model.config).unpruned, model)
    return [
        layout.command(
            "train",
            **settings.given(),
            workdir=layout.near(model.folder.with_name(settings.run_name)),
        )
        for settings, model in wanted.items()
        if settings not in held
    ]


def _seeds(partners: Sequence[Model]) -> str:
    """Return the seeds that the unpruned model has."""
    seeds = ", ".join(str(seed) for seed in sorted({other.seed for other in partners}))
    plural = "s" if "," in seeds else ""
    return f"The unpruned model has only seed{plural} {seeds} ({partners[0].run})."


def _reason(pruned: Model, unpruned: Sequence[Model]) -> str:
    rivals = [model for model in unpruned if model.task.name == pruned.task.name]
    if not rivals:
        return f"No unpruned run of {pruned.task.name} is among these."
    nearest = min(rivals, key=lambda other: len(names.differing(pruned, other)))
    differing = names.differing(pruned, nearest) or {"seed": (pruned.seed, nearest.seed)}
    told = ", ".join(_setting(name, *values) for name, values in differing.items())
    return f"The nearest unpruned run, {nearest.run}, has {told}."


def _setting(name: str, mine: object, other: object) -> str:
    """Return one setting: the unpruned run's value, then the pruned one's."""
    if mine == other:  # The same place, whose content has changed.
        return f"other contents of {name}={other}"
    return f"{name}={other} instead of {mine}"
