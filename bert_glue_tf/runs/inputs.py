"""The inputs and the decisions of a run, which stay as they are when it goes on."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.runs import versions
from bert_glue_tf.runs.config import canonical_place

# What has to stay the same from the first process of a run to its last; a path may change.
_DECIDING = ("name", "version", "sha256", "examples", "vocabulary_sha256")
# The entry of inputs.json with the versions of the software.
_VERSIONS = "versions"

Inputs = Mapping[str, Mapping[str, Any]]


def deciding(inputs: Inputs) -> str:
    """Return what makes inputs the same on two machines, as text: checksums and no paths."""
    keys = [key for key in _DECIDING if key != "name"]
    return json.dumps({name: [values.get(key) for key in keys] for name, values in inputs.items()})


def keep(path: pathlib.Path, inputs: Inputs) -> None:
    """Write what a run is begun with, and the versions of the software.

    Args:
      path: of inputs.json.
      inputs: provenance (JSON types) by what it is of ("train data", "encoder", ...).
    """
    kept = {**inputs, _VERSIONS: versions.installed()}
    write_atomically(path, json.dumps(kept, indent=2) + "\n")


def note_other_versions(path: pathlib.Path, where: str) -> None:
    """Warn where a run goes on with other versions of the software; for `where` see `note_others`.

    Raises:
      UserError: inputs.json cannot be read.
    """
    versions.note_others(where, _read(path).get(_VERSIONS, {}), versions.installed())


def compare(path: pathlib.Path, where: str, inputs: Inputs) -> None:
    """Compare what a run was begun with; for `path` and `inputs` see `keep`.

    Args:
      where: flag and folder of the run, for the message.

    Raises:
      UserError: it was something else (the message names it), or it cannot be read.
    """
    earlier = _read(path)
    for name, now in inputs.items():
        for key in _DECIDING:
            before = earlier.get(name, {}).get(key)
            # An encoder's name may be its folder, written in another way.
            if canonical_place(str(before)) != canonical_place(str(now.get(key))):
                raise UserError(
                    f"{where}: the {name} is not what the run there was "
                    f"begun with: {key} was {before} and is {now.get(key)} now. Bring the "
                    "earlier one back, or give another --workdir; the run is untouched."
                )


def _read(path: pathlib.Path) -> dict[str, dict[str, Any]]:
    try:
        earlier = strict_json.loads(path.read_text(encoding="utf-8"))
        return {name: dict(values) for name, values in earlier.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not what a run was begun with ({error}). Give another --workdir."
        ) from error


def decide(path: pathlib.Path, name: str, make: Callable[[], Any]) -> Any:
    """Return what was decided under a name in a run, by an earlier process or by `make` now.

    Args:
      path: of choices.json.
      name: of the decision.
      make: gives JSON types.

    Raises:
      UserError: what was decided cannot be read.
    """
    made: dict[str, Any] = {}
    if path.exists():
        try:
            made = dict(strict_json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"{path}: not what a run has decided ({error}). Give another --workdir."
            ) from error
    if name not in made:
        made[name] = make()
        write_atomically(path, json.dumps(made, indent=2) + "\n")
    return made[name]
