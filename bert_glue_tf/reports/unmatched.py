"""Pruned models that cannot be compared with an unpruned one: which, and what stands between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.reports import names
from bert_glue_tf.reports.measured import BUT_PRUNING, KERAS, Model


def notes(models: Iterable[Model]) -> list[str]:
    """Return the pruned runs without an unpruned counterpart, with the nearest one: a line each.

    A counterpart has the same settings but the pruning's, the same data and encoder, and a seed
    in common. Runs that lack it for the same reason share a line.
    """
    trained = [model for model in models if model.recipe == KERAS]
    unpruned = [model for model in trained if model.method == NO_PRUNING]
    by_key: dict[str, list[Model]] = {}
    for model in trained:
        if model.method != NO_PRUNING:
            by_key.setdefault(model.key(), []).append(model)
    runs: dict[str, list[str]] = {}
    for some in by_key.values():
        if not _is_matched(some, unpruned):
            runs.setdefault(_reason(some[0], unpruned), []).extend(model.run for model in some)
    return [
        f"Not compared with an unpruned model: {', '.join(some_runs)}. {reason}"
        for reason, some_runs in runs.items()
    ]


def _is_matched(pruned: Sequence[Model], unpruned: Sequence[Model]) -> bool:
    key = pruned[0].key(BUT_PRUNING)
    seeds = {model.seed for model in pruned}
    return any(other.seed in seeds for other in unpruned if other.key(BUT_PRUNING) == key)


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
