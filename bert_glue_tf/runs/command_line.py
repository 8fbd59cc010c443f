"""The flags of a run: defined from the fields of `ExperimentConfig`, and read into one."""

from __future__ import annotations

import dataclasses
import pathlib
import types
from collections.abc import Iterable, Mapping
from typing import Any

from absl import flags, logging

from bert_glue_tf.compression.names import DEFAULT_METHOD, NO_PRUNING
from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.settings import refuse_huge
from bert_glue_tf.data import readers
from bert_glue_tf.data.settings import DataSettings
from bert_glue_tf.models.settings import EncoderSettings
from bert_glue_tf.runs import config
from bert_glue_tf.runs.config import PRUNING, ExperimentConfig, canonical_place
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.runs.settings import NEEDED

# The flags count as those of the command that defines them, so that its --help shows them.
flags.disclaim_key_flags()

_OF_A_RECIPE = " By default the recipe's, or where it has none, that of the train command."
_DEFINERS: Mapping[type, Any] = types.MappingProxyType(
    {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
    }
)


def define_settings(
    defaults: Mapping[str, Any], flag_values: flags.FlagValues = flags.FLAGS
) -> None:
    """Define the flags of some fields of `ExperimentConfig`, with these defaults.

    A default of None leaves the setting to a recipe of the command's own.
    """
    fields = {field.name: field for field in dataclasses.fields(ExperimentConfig)}
    for name, default in defaults.items():
        field = fields[name]
        if field.metadata["is_switch"]:
            flags.DEFINE_flag(_Switch(name, default, field), flag_values=flag_values)
            continue
        define = _DEFINERS[type(field.default)]
        told = field.metadata["help"] + (_OF_A_RECIPE if default is None else "")
        define(name, default, told, flag_values=flag_values)


class _Switch(flags.Flag):
    """A flag that is auto unless it is given: --name for true, --noname for false."""

    def __init__(self, name: str, default: str, field: dataclasses.Field[Any]) -> None:
        parser: flags.ArgumentParser[str] = flags.ArgumentParser()
        serializer: flags.ArgumentSerializer[str] = flags.ArgumentSerializer()
        super().__init__(parser, serializer, name, default, field.metadata["help"])
        self.boolean = True  # absl then gives "true" and "false" where no value stands.

    def serialize(self) -> str:
        return f"--{self.name}={self.value}"


def define_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Define a flag for each setting, and --prune, --workdir, --tpu and --config."""
    define_settings(ExperimentConfig.defaults(), flag_values)
    flags.DEFINE_bool(
        "prune",
        False,
        f"Prune with --pruning_method, or with {DEFAULT_METHOD} if that is not given.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "workdir",
        "",
        "The run's folder; by default runs/ and a name made from task, encoder, data, "
        "method and seed, and a checksum of other settings that are not the defaults.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "tpu",
        "local",
        "Of --strategy=tpu: name or grpc:// address of the TPU; local = of this machine.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "config",
        "",
        "Repeat a run: its config.json. Flags that are given besides replace its settings.",
        flag_values=flag_values,
    )


def from_flags(flag_values: flags.FlagValues) -> ExperimentConfig:
    """Return the configuration of a run that can be run, that the parsed flags ask for.

    Raises:
      UserError: as `read_flags` and `config.check_method`.
    """
    settings = read_flags(flag_values)
    config.check_method(settings)
    return settings


def read_flags(flag_values: flags.FlagValues) -> ExperimentConfig:
    """Return the configuration that the parsed flags ask for.

    Folders are written as their absolute paths, so that a run is the same wherever it is
    started.

    Raises:
      UserError: a value is out of its range, --prune and --pruning_method contradict, the
        schedule of a pruning is given where nothing is pruned, how to learn from a teacher where
        there is none, or --config names no file of settings.
    """
    names = ExperimentConfig.names()
    values = {name: flag_values[name].value for name in names}
    for name, value in values.items():
        refuse_huge(name, value)
    if flag_values["config"].value:
        kept = _read(flag_values["config"].value)
        values |= {name: kept[name] for name in names if not flag_values[name].present}
    # A run that is repeated has all its settings, whatever the run has that it starts from.
    if values["start"] and (flag_values["start"].present or not flag_values["config"].value):
        values["start"] = canonical_place(values["start"])
        begun = Run.read(pathlib.Path(values["start"]), "start").config
        names = (*DataSettings.names(), *EncoderSettings.names())
        values |= {name: getattr(begun, name) for name in names if not flag_values[name].present}
    values["pruning_method"] = _method(flag_values, values["pruning_method"])
    if values["pruning_method"] == NO_PRUNING:
        _refuse_details(flag_values)
    unused: set[str] = set()
    for needed, names in NEEDED.items():
        if not values[needed] and needed not in unused:
            _refuse_teaching(flag_values, needed)
            values |= {name: ExperimentConfig.defaults()[name] for name in names}
            unused |= set(names)
    if not any(flag_values[name].present for name in ("task", "config", "start")):
        values["task"] = readers.default_task(values["data"], values["task"])
    values |= {name: canonical_place(values[name]) for name in ExperimentConfig.places()}
    return ExperimentConfig(**values)


def settings_of(flag_values: flags.FlagValues, names: Iterable[str]) -> dict[str, Any]:
    """Return the settings of some flags by name, for a command that has not all of them.

    Folders are written as in `read_flags`.

    Raises:
      UserError: a number is too large for any setting.
    """
    values = {name: flag_values[name].value for name in names}
    for name, value in values.items():
        refuse_huge(name, value)
    if "task" in values and not flag_values["task"].present:
        values["task"] = readers.default_task(values["data"], values["task"])
    places = [name for name in ExperimentConfig.places() if name in values]
    return {**values, **{name: canonical_place(values[name]) for name in places}}


def _method(flag_values: flags.FlagValues, method: str) -> str:
    """Return the pruning method that --prune, --pruning_method and --config ask for together.

    Args:
      flag_values: the parsed flags.
      method: value of --pruning_method, or of --config where that flag is not given.

    Raises:
      UserError: the flags contradict each other.
    """
    prune, given = flag_values["prune"], flag_values["pruning_method"]
    if not prune.present:
        return method
    if not given.present:
        if not prune.value:
            return NO_PRUNING
        if method != NO_PRUNING:
            return method
        scope = flag_values["pruning_scope"]
        if scope.present and scope.value != "classifier":
            raise UserError(
                f"--prune --pruning_scope={scope.value}: --prune alone prunes the classifier "
                f"({DEFAULT_METHOD}). Good: --pruning_method=magnitude "
                f"--pruning_scope={scope.value}."
            )
        return DEFAULT_METHOD
    if prune.value == (given.value == NO_PRUNING):
        raise UserError(
            f"--{'' if prune.value else 'no'}prune --pruning_method={given.value}: "
            "these contradict. Give one of them."
        )
    return method


def _refuse_details(flag_values: flags.FlagValues) -> None:
    """Refuse settings of the pruning where nothing is pruned, unless that was asked for.

    Raises:
      UserError: one is given, and neither --noprune nor --pruning_method=none.
    """
    given = [name for name in PRUNING if flag_values[name].present]
    if not given:
        return
    # --noprune beside a flagfile that prunes is how its unpruned baseline is run.
    if not flag_values["prune"].present and not flag_values["pruning_method"].present:
        shown = f"--{given[0]}={flag_values[given[0]].value}"
        raise UserError(
            f"{shown}: nothing is pruned without --prune. Add --prune, or leave {shown} out."
        )
    logging.info("%s: not used, since nothing is pruned", ", ".join(f"--{n}" for n in given))


def _refuse_teaching(flag_values: flags.FlagValues, needed: str) -> None:
    """Refuse settings that say how to learn from a teacher, or from its layers, where none is.

    Args:
      flag_values: the parsed flags.
      needed: the setting of `NEEDED` that is not given.

    Raises:
      UserError: one is given, and no `--teacher=`, with which a flagfile's teacher is left out;
        so with `--distill_layers=`.
    """
    given = [name for name in NEEDED[needed] if flag_values[name].present]
    if not given:
        return
    if not flag_values[needed].present:
        raise config.means_nothing(given[0], flag_values[given[0]].value, needed)
    shown = ", ".join(f"--{name}" for name in given)
    logging.info("%s: not used, since --%s is empty", shown, needed)


def _read(path: str) -> dict[str, Any]:
    """Return the settings that --config names."""
    try:
        return config.read_file(pathlib.Path(path).expanduser(), is_exact=True).to_json()
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: no such home folder.
        raise UserError(
            f"--config={path}: cannot be read as settings "
            f"({getattr(error, 'strerror', None) or error}). Good: the config.json of a run."
        ) from None
    except UserError as error:
        raise UserError(f"--config={path}: {error}") from None


def workdir(flag_values: flags.FlagValues, settings: ExperimentConfig) -> pathlib.Path:
    """Return the folder that --workdir names, or else `runs/` and the run's name.

    Raises:
      UserError: as `cli.path`.
    """
    given = flag_values["workdir"].value
    if not given:
        return pathlib.Path("runs") / settings.run_name
    # A shell expands ~ at the start of a word only, and this one comes after "--workdir=".
    return cli.path("workdir", given)
