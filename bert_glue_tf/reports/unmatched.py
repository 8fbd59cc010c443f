"""Pruned models that cannot be compared with an unpruned one: which, and what stands between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core import layout
from bert_glue_tf.reports import names
from bert_glue_tf.reports.measured import BUT_PRUNING, KERAS, Model
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.paths import RunPaths


def notes(models: Iterable[Model]) -> list[str]:
    """Return the pruned runs without an unpruned counterpart, with the nearest one: a line each.

    A counterpart has the same settings but the pruning's, the same data and encoder, and a seed
    in common. Runs that lack it for the same reason share a line. So do those whose counterpart
    has other seeds, which alone are left out; with them stand the commands that run what is
    missing.
    """
    trained = [model for model in models if model.recipe == KERAS]
    unpruned = [model for model in trained if model.method == NO_PRUNING]
    by_key: dict[str, list[Model]] = {}
    for model in trained:
        if model.method != NO_PRUNING:
            by_key.setdefault(model.key(), []).append(model)
    runs: dict[str, list[str]] = {}
    partly: dict[str, list[Model]] = {}
    for some in by_key.values():
        key = some[0].key(BUT_PRUNING)
        seeds = {other.seed for other in unpruned if other.key(BUT_PRUNING) == key}
        alone = [model for model in some if model.seed not in seeds]
        if len(alone) == len(some):
            runs.setdefault(_reason(some[0], unpruned), []).extend(model.run for model in some)
        elif alone:
            partly.setdefault(key, []).extend(alone)
    lines = [f"{_told(some_runs)} {reason}" for reason, some_runs in runs.items()]
    for key, alone in partly.items():
        partners = [other for other in unpruned if other.key(BUT_PRUNING) == key]
        lines.append(f"{_told([model.run for model in alone])} {_missing(alone, partners)}")
    return lines


def _told(runs: Iterable[str]) -> str:
    return f"Not compared with an unpruned model: {', '.join(runs)}."


def _missing(alone: Sequence[Model], partners: Sequence[Model]) -> str:
    """Return the seeds that the unpruned model has, and the commands that run the others."""
    seeds = ", ".join(str(seed) for seed in sorted({other.seed for other in partners}))
    plural = "s" if "," in seeds else ""
    text = f"The unpruned model has only seed{plural} {seeds} ({partners[0].run})."
    settings = RunPaths(partners[0].folder).config_file
    if not settings.is_file():
        return text
    commands = []
    for seed in sorted({model.seed for model in alone}):
        wanted = ExperimentConfig.from_json({**partners[0].config, "seed": seed})
        folder = partners[0].folder.with_name(wanted.run_name)
        commands.append(
            layout.command(
                "train", config=layout.near(settings), seed=seed, workdir=layout.near(folder)
            )
        )
    return "\n".join([f"{text} This runs what is missing:", *commands])


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
