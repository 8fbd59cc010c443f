"""The grid of a sweep: its text to the settings of its runs."""

from __future__ import annotations

import contextlib
import difflib
import itertools
from collections.abc import Mapping, Sequence

from absl import flags

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs import command_line
from bert_glue_tf.runs.config import PRUNING, ExperimentConfig

# Flags of the train command that are none of a sweep's: each run has a folder of its own, and
# the devices of its machine.
_NO_SWEEP_FLAGS = ("workdir", "tpu")

Settings = Mapping[str, str]


def setting_names() -> list[str]:
    """Return the flags of the train command that decide a run, `config` and `prune` too."""
    return [name for name in _train_flags() if name not in _NO_SWEEP_FLAGS]


def _train_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    command_line.define_flags(values)
    return values


def parse_grid(text: str) -> dict[str, tuple[str, ...]]:
    """Read `final_sparsity=0.1,0.5;pruning_method=(row,block),column` into values by setting.

    A value that holds commas or semicolons is put in parentheses; they are not part of it.

    Raises:
      UserError: a part is not name=value, its parentheses are not closed, or a setting is
        unknown or given twice.
    """
    grid: dict[str, tuple[str, ...]] = {}
    for part in split(text, ";", f"--grid={text}"):
        if not part:
            continue
        name, sign, values = (piece.strip() for piece in part.partition("="))
        if not sign:
            raise UserError(
                f"--grid={text}: {part!r} is not name=value,value. Good: "
                "--grid='final_sparsity=0.1,0.5;seed=1,2,3'."
            )
        require_setting(name, f"--grid={text}")
        if name in grid:
            raise UserError(f"--grid={text}: {name} is given twice. Give all its values at once.")
        grid[name] = values_of(values, f"--grid={text}")
    return grid


def require_setting(name: str, flag: str) -> None:
    """Refuse a name that is none of a run's settings.

    Args:
      name: that may be one.
      flag: that it is of, with its value, for messages.

    Raises:
      UserError: it is none; the message has the nearest names.
    """
    good = [one for one in setting_names() if one != "config"]
    if name not in good:
        near = difflib.get_close_matches(name, good, n=3)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UserError(f"{flag}: no setting {name!r}.{meant} Good settings: {', '.join(good)}.")


def values_of(text: str, flag: str) -> tuple[str, ...]:
    """Return the values in a list, each once and without the parentheses around it.

    Raises:
      UserError: as `split`.
    """
    return tuple(dict.fromkeys(map(_unwrapped, split(text, ",", flag))))


def split(text: str, separator: str, flag: str) -> list[str]:
    """Split a text at the separators that stand outside of parentheses.

    Args:
      text: that is split.
      separator: one letter.
      flag: that the text is of, with its value, for messages.

    Raises:
      UserError: its parentheses do not match.
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            break
        if letter == separator and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    if depth:
        raise UserError(
            f"{flag}: its parentheses do not match. They stand around a value that holds "
            "commas, as in pruning_method=(attention_head,neuron),magnitude."
        )
    return [part.strip() for part in parts]


def _unwrapped(value: str) -> str:
    """Take the parentheses around the whole of a value away."""
    if not (value.startswith("(") and value.endswith(")")):
        return value
    depth = 0
    for place, letter in enumerate(value):
        depth += (letter == "(") - (letter == ")")
        if not depth and place < len(value) - 1:
            return value  # As in (a|b)(c|d).
    return value[1:-1].strip()


def configurations(given: Settings, grid: Mapping[str, Sequence[str]]) -> list[ExperimentConfig]:
    """Return the runs of a grid, in its order; two that differ in nothing are one.

    Where nothing is pruned, settings that say how mean nothing: of a grid over methods and
    sparsities, `none` is one run for each of the other settings.

    Args:
      given: flag -> text, as given besides the grid, which comes before them.
      grid: setting -> values, as `parse_grid` returns it.

    Raises:
      UserError: as `config.read_flags`, for any of the runs.
    """
    found: dict[str, ExperimentConfig] = {}
    for values in itertools.product(*grid.values()):
        one = configuration(given, dict(zip(grid, values, strict=True)))
        other = found.setdefault(one.run_name, one)
        difference = other.difference(one)
        if difference:
            listed = ", ".join(f"{k}: {old!r} and {new!r}" for k, (old, new) in difference.items())
            raise UserError(
                f"--grid: two runs would have the same folder, {one.run_name} ({listed}). Run them "
                "in two sweeps with different --runs_dir."
            )
    return list(found.values())


def configuration(given: Settings, chosen: Settings) -> ExperimentConfig:
    """Return the run of some values of settings.

    Args:
      given: flag -> text, as given besides them.
      chosen: setting -> text; these come before `given`.

    Raises:
      UserError: as `config.read_flags`.
    """
    arguments = {**given, **chosen}
    # Of --prune and --pruning_method, which may contradict, the grid's counts.
    if "prune" in chosen and "pruning_method" in given and "pruning_method" not in chosen:
        if _truth(chosen["prune"]):
            del arguments["prune"]
        else:
            del arguments["pruning_method"]
    if "pruning_method" in chosen and "prune" not in chosen:
        arguments.pop("prune", None)
    is_none = chosen.get("pruning_method") == NO_PRUNING or _truth(chosen.get("prune")) is False
    values = _train_flags()
    try:
        values(
            [
                "sweep",
                *(
                    f"--{name}={value}"
                    for name, value in arguments.items()
                    if not (is_none and name in PRUNING)
                ),
            ]
        )
    except flags.Error as error:
        raise UserError(cli.plain(error)) from None
    one = command_line.read_flags(values)
    return one.unpruned if one.pruning_method == NO_PRUNING else one


def _truth(value: str | None) -> bool | None:
    """Return what absl takes a value of --prune for; None where it takes it for neither."""
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        return bool(flags.BooleanParser().parse(value))
    return None
