"""The flags that the studies' commands share, and the way that a command shows its study."""

from __future__ import annotations

import pathlib
import re
import shlex
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from bert_glue_tf.core import cli, layout
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs import command_line as train_flags
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.sweeps.executors import choice

if TYPE_CHECKING:
    from bert_glue_tf.studies.study import Study
    from bert_glue_tf.studies.swept import SweptStudy

flags.disclaim_key_flags()  # They are those of the command that asks for them.

# The settings of a training that every study leaves to its user.
_SETTINGS = (
    "encoder",
    "preprocessing",
    "data",
    "epochs",
    "finetune_epochs",
    "batch_size",
    "learning_rate",
    "warmup_fraction",
    "weight_decay",
    "decay",
    "plateau_epochs",
    "early_stopping",
    "early_stopping_loss",
    "early_stopping_threshold",
    "keep",
    "dropout",
    "encoder_dropout",
    "seq_length",
    "train_examples",
    "packing",
    "strategy",
)


# Those that a published recipe may have: none says where data or devices are.
OF_A_RECIPE = tuple(
    name
    for name in _SETTINGS
    if name not in ("encoder", "preprocessing", "data", "packing", "strategy")
)
_SEEDS = "Seeds, separated by commas; tables show their mean."


def define_flags(
    name: str,
    seeds: Sequence[str] = ("1", "2", "3"),
    seeds_help: str = _SEEDS,
    decided: Collection[str] = (),
    **defaults: Any,
) -> None:
    """Define the flags of a study.

    Args:
      name: of its default folder.
      seeds: the default of --seeds.
      seeds_help: what --help says of it.
      decided: settings that the study decides on itself where they are not given; their flags
        are then None.
      defaults: further settings of `ExperimentConfig`, or other defaults than its own.
    """
    own = ExperimentConfig().to_json()
    undecided = dict.fromkeys(decided)
    train_flags.define_settings({key: own[key] for key in _SETTINGS} | defaults | undecided)
    flags.DEFINE_list("seeds", list(seeds), seeds_help)
    flags.DEFINE_string(
        "runs_dir", "runs", "Folder of the runs; what is finished there is not run again."
    )
    flags.DEFINE_string("output", f"studies/{name}", "Folder of the tables and the figures.")
    choice.define_flags()
    flags.DEFINE_bool("dry_run", False, "Show what would be run, and what is finished.")


def numbers(flag: str, good: str = "1,2,3") -> tuple[int, ...]:
    """Return the whole numbers of a list flag, each once.

    Raises:
      UserError: it is empty, or holds something else.
    """
    values = flags.FLAGS[flag].value
    if not values or not all(re.fullmatch("[0-9]{1,10}", value) for value in values):
        raise UserError(f"--{flag}={','.join(values)}: give whole numbers, as in {good}.")
    return tuple(dict.fromkeys(map(int, values)))


def settings(*names: str) -> dict[str, str]:
    """Return the settings that the flags give, and further ones by name, for a `Cell`."""
    found = {name: str(flags.FLAGS[name].value) for name in (*_SETTINGS, *names)}
    if not flags.FLAGS["early_stopping"].value:
        # A study's own loss and threshold, which mean nothing where all epochs are trained.
        for name in ("early_stopping_loss", "early_stopping_threshold"):
            if not flags.FLAGS[name].present:
                del found[name]
    return found


def given_settings() -> dict[str, str]:
    """Return those of the settings that somebody has given, in place of a study's own recipe."""
    return {name: str(flags.FLAGS[name].value) for name in _SETTINGS if flags.FLAGS[name].present}


def folder(flag: str) -> pathlib.Path:
    """Return the folder that a flag names."""
    return cli.path(flag, flags.FLAGS[flag].value)


# The runs are the same wherever they lie, and however many are made at a time.
_OF_THE_PLACE = (
    "runs_dir",
    "workdir",
    "output",
    "workers",
    "cluster",
    "storage",
    "encoders",
    "dry_run",
    "flagfile",
)


def command_line(command: str, **decided: Sequence[Any]) -> str:
    """Return the command with the given flags that decide its runs, as one would type it.

    Args:
      command: name of its module.
      decided: lists of flags that the study has decided on where they are not given.
    """
    values = flags.FLAGS
    given = [
        values[name].serialize()
        for name in sorted(values)
        if values[name].present and name not in _OF_THE_PLACE
    ]
    given += [
        f"--{name}={','.join(map(str, found))}"
        for name, found in decided.items()
        if not values[name].present
    ]
    return " ".join([f"python -m bert_glue_tf.{command}", *map(shlex.quote, given)])


def run(study: SweptStudy) -> None:
    """Run what a study lacks, in the folder and on the executor that the flags name.

    With --dry_run its runs are shown instead, and the command ends.

    Raises:
      UserError: a setting does not fit, or nothing could be run.
    """
    if flags.FLAGS["dry_run"].value:
        from bert_glue_tf.reports import terminal

        runs_dir = folder("runs_dir")
        terminal.print_plan(runs_dir, study.planned(runs_dir))
        sys.exit(0)
    study.run(folder("runs_dir"), choice.chosen())


def show(study: Study[Any]) -> None:
    """Print the parts of a study."""
    from bert_glue_tf.reports import terminal

    for section in study.sections():
        if section.table is not None:
            terminal.print_rows(section.title, section.table)
        if section.lines:
            layout.say("\n".join(section.lines))


def present(study: SweptStudy, files: str) -> None:
    """Print a study and write its files; exit with status 1 where runs of it failed.

    Args:
      study: whose runs are done.
      files: the names of its files in words.

    Raises:
      UserError: the folder cannot be written.
    """
    output = folder("output")
    study.write(output)
    show(study)
    layout.say(f"Written to {output}: {files}.")
    if study.failures:
        layout.say("\n".join(study.told_failures()))
        sys.exit(1)
