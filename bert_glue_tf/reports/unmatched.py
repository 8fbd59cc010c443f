"""Pruned models that cannot be compared with an unpruned one: which, and what stands between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core import layout
from bert_glue_tf.reports import names
from bert_glue_tf.reports.counterparts import Counterparts
from bert_glue_tf.reports.groups import Group, group
from bert_glue_tf.reports.measured import KERAS, Model
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.settings import TEACHING

# A pruned run, and the unpruned model of other seeds that it could be compared with.
_Alone = tuple[Model, Group | None]


def notes(models: Iterable[Model]) -> list[str]:
    """Return the pruned runs without an unpruned counterpart, with the nearest one: a text each.

    A counterpart has the same settings but the pruning's, the same data and encoder, and a seed
    in common; see `Counterparts.unpruned` for teachers. Runs that lack it for the same reason share
    a text. So do those whose counterpart has other seeds, which alone are left out. Below stand the
    commands that run what is missing.
    """
    trained = [model for model in models if model.recipe == KERAS]
    unpruned = [model for model in trained if model.method == NO_PRUNING]
    groups = group(trained)
    counterparts = Counterparts(groups)
    without: dict[str, list[_Alone]] = {}
    partly: dict[str, list[_Alone]] = {}
    for one in groups:
        if one.first.method == NO_PRUNING:
            continue
        base = counterparts.unpruned(one)
        seeds = base.seeds if base else ()
        alone = [(model, base) for model in one.models if model.seed not in seeds]
        if len(alone) == len(one.models):
            without.setdefault(_reason(one.first, unpruned), []).extend(alone)
        elif alone and base:
            partly.setdefault(_seeds(base), []).extend(alone)
    told = [*without.items(), *partly.items()]
    return [_note(reason, alone, unpruned) for reason, alone in told]


def without_start(models: Iterable[Model]) -> list[str]:
    """Return the models that are compared with no start although they have one, a text a reason.

    Args:
      models: of the comparison; those that began with no other run's weights need none.
    """
    groups = group(models)
    counterparts = Counterparts(groups)
    if not any(model.start for one in groups for model in one.models):
        return [
            "None of these runs began with another run's weights, so that nothing is compared. "
            "Leave out --against=start."
        ]
    runs, exported = [], []
    for one in groups:
        base = counterparts.start(one)
        paired = base.seeds if base else ()
        for model in one.models:
            if model.start and model.seed not in paired:
                told = f"{model.run} ({model.start['run']})"
                if model.recipe == KERAS:
                    runs.append(told)
                else:
                    exported.append(f"{model.recipe} of {told}")
    notes = []
    if runs:
        notes.append(
            f"Not compared: {', '.join(runs)}. In brackets is the run that it began with. It is "
            "not among these as it was then, or runs of several seeds began with runs of different "
            "settings. Give its folder as well, with one more --runs."
        )
    if exported:
        notes.append(
            f"Not compared, since the run in brackets has no such file: {', '.join(exported)}. "
            "export_tflite makes it."
        )
    return notes


def _note(reason: str, alone: Sequence[_Alone], unpruned: Sequence[Model]) -> str:
    """Return the runs, the reason why they are not compared, and the commands against it."""
    runs = ", ".join(model.run for model, _ in alone)
    text = f"Not compared with an unpruned model: {runs}. {reason}"
    commands = _commands(alone, unpruned)
    return "\n".join([f"{text} This runs what is missing:", *commands]) if commands else text


def _commands(alone: Iterable[_Alone], unpruned: Iterable[Model]) -> list[str]:
    """Return the commands that run the unpruned counterparts, each beside its pruned run.

    One that has other seeds is run with its own teacher, if it has one, and any other without.
    Where the same settings were run already, the contents of data or encoder have changed since:
    no command tells which of them are meant.
    """
    held = {ExperimentConfig.from_json(other.config).unpruned for other in unpruned}
    wanted: dict[ExperimentConfig, Model] = {}
    for model, base in sorted(alone, key=lambda one: one[0].seed):
        settings = ExperimentConfig.from_json(model.config).unpruned
        if not (base and base.first.teacher):
            settings = settings.untaught
        wanted.setdefault(settings, model)
    return [
        layout.command(
            "train",
            **settings.given(),
            workdir=layout.near(model.folder.with_name(settings.run_name)),
        )
        for settings, model in wanted.items()
        if settings not in held
    ]


def _seeds(base: Group) -> str:
    """Return the seeds that the unpruned model has."""
    seeds = ", ".join(map(str, base.seeds))
    plural = "s" if "," in seeds else ""
    return f"The unpruned model has only seed{plural} {seeds} ({base.first.run})."


def _reason(pruned: Model, unpruned: Sequence[Model]) -> str:
    rivals = [model for model in unpruned if model.task.name == pruned.task.name]
    if not rivals:
        return f"No unpruned run of {pruned.task.name} is among these."
    nearest = min(rivals, key=lambda other: len(_hindering(pruned, other)))
    differing = _hindering(pruned, nearest) or {"seed": (pruned.seed, nearest.seed)}
    told = ", ".join(_setting(name, *values) for name, values in differing.items())
    return f"The nearest unpruned run, {nearest.run}, has {told}."


def _hindering(pruned: Model, unpruned: Model) -> dict[str, tuple[Any, Any]]:
    """Return the settings that keep two models apart; see `names.differing`."""
    found = names.differing(pruned, unpruned)
    if unpruned.teacher:
        return found
    # A pruned model with a teacher is compared with an unpruned one that has none.
    return {name: values for name, values in found.items() if name not in TEACHING}


def _setting(name: str, mine: object, other: object) -> str:
    """Return one setting: the unpruned run's value, then the pruned one's."""
    if mine == other:  # The same place, whose content has changed.
        return f"other contents of {name}={other}"
    if mine == "":
        return f"--{name}={other} instead of none"
    if other == "":
        return f"no --{name} instead of --{name}={mine}"
    return f"{name}={other} instead of {mine}"
