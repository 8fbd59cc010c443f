"""Pruned models that cannot be compared with an unpruned one: which, and what stands between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.reports import names
from bert_glue_tf.reports.measured import BUT_PRUNING, KERAS, Model


def notes(models: Iterable[Model]) -> list[str]:
    """Return the pruned runs without an unpruned counterpart, with the nearest one: a line each.

    A counterpart has the same settings but the pruning's, the same data and encoder, and a seed
    in common. Runs of the same settings, whose seeds alone differ, share a line.
    """
    trained = [model for model in models if model.recipe == KERAS]
    unpruned = [model for model in trained if model.method == NO_PRUNING]
    by_key: dict[str, list[Model]] = {}
    for model in trained:
        if model.method != NO_PRUNING:
            by_key.setdefault(model.key(), []).append(model)
    return [_note(some, unpruned) for some in by_key.values() if not _is_matched(some, unpruned)]


def _is_matched(pruned: Sequence[Model], unpruned: Sequence[Model]) -> bool:
    key = pruned[0].key(BUT_PRUNING)
    seeds = {model.seed for model in pruned}
    return any(other.seed in seeds for other in unpruned if other.key(BUT_PRUNING) == key)


def _note(pruned: Sequence[Model], unpruned: Sequence[Model]) -> str:
    first = pruned[0]
    text = f"Not compared with an unpruned model: {', '.join(model.run for model in pruned)}."
    rivals = [model for model in unpruned if model.task.name == first.task.name]
    if not rivals:
        return f"{text} No unpruned run of {first.task.name} is among these."
    nearest = min(rivals, key=lambda other: len(names.differing(first, other)))
    differing = names.differing(first, nearest) or {"seed": (first.seed, nearest.seed)}
    told = ", ".join(_setting(name, *values) for name, values in differing.items())
    return f"{text} The nearest unpruned run, {nearest.run}, has {told}."


def _setting(name: str, mine: object, other: object) -> str:
    """Return one setting: the unpruned run's value, then the pruned one's."""
    if mine == other:  # The same place, whose content has changed.
        return f"other contents of {name}={other}"
    return f"{name}={other} instead of {mine}"
