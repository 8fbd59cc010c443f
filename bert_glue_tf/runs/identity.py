"""Tells which runs are the same model: by the settings that come into it, its data and encoder.

Data, encoder and teacher count by their content, not by the path that led to them.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bert_glue_tf.compression.described import Pruning
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs.config import PRUNING, ExperimentConfig
from bert_glue_tf.runs.settings import START

# Stands for an initial sparsity that follows from the method, and is no choice.
COMPUTED = "computed"


def settings(file: pathlib.Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's settings, those included that are younger than its record.

    Args:
      file: of the record.
      config: of the record.

    Raises:
      UserError: they are not the settings of a run; the message names the file.
    """
    try:
        if "task" not in config:
            raise UserError("the setting task is missing")
        found = ExperimentConfig.from_json(config)
        # Computed or given, the same sparsity is the same setting.
        return found.to_json() | {"initial_sparsity": found.first_sparsity}
    except (UserError, TypeError) as error:
        raise UserError(f"{file}: its record has not the settings of a run ({error}).") from None


def teacher(config: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    """Return what the teacher of a run is, wherever it lies: the digest of its weights.

    A teacher that the run has fine-tuned itself is `start`: it follows from the run's other
    settings, and so it is the same for all seeds.

    Args:
      config: of `settings`.
      told: what the run's record says of its teacher. One of a run that was begun before records
        did so says nothing, and the teacher is then its path.
    """
    place = str(config["teacher"])
    if not place or (place == START and config["finetune_epochs"]):
        return place
    return str(told.get("sha256", place))


def deciding(
    config: Mapping[str, Any], prunings: Sequence[Pruning], teacher: str
) -> dict[str, Any]:
    """Return the settings that come into a model: of the pruning's, those that its methods use.

    Of a teacher's, those that mean something for the run.

    Args:
      config: of `settings`.
      prunings: of `described.prunings`.
      teacher: of `teacher`; it stands in the place of the teacher's path.
    """
    unused = [set(one.unused) for one in prunings]
    asked = ExperimentConfig.from_json(config)
    left_out = {*asked.unused_teaching, *(set.intersection(*unused) if unused else PRUNING)}
    found = {name: value for name, value in config.items() if name not in left_out}
    found["teacher"] = teacher
    if found.get("initial_sparsity") == asked.computed_sparsity:
        found["initial_sparsity"] = COMPUTED
    return found


def content(data: Mapping[str, Any], encoder: Mapping[str, Any]) -> list[Any]:
    """Return what data and encoder are, wherever they lie: their names and digests.

    Args:
      data: provenance of the validation split(s), first, and of the training split.
      encoder: provenance.
    """
    digests = {split: str(read["sha256"]) for split, read in data.items()}
    source = str(next(iter(data.values()))["name"])
    return [source, digests, encoder["name"], str(encoder.get("sha256"))]


def of_size(content: Sequence[Any], size: str) -> list[Any]:
    """Return what tells the networks apart that the weights of one run hold.

    Args:
      content: of `content`.
      size: name of the network; empty where the weights hold one.
    """
    return [*content, size] if size else list(content)


def key(
    used: Mapping[str, Any],
    prunings: Sequence[Pruning],
    content: Sequence[Any],
    recipe: str,
    without: Iterable[str] = (),
) -> str:
    """Return a text that is equal for models that differ only in the settings `without`.

    Args:
      used: settings, of `deciding`.
      prunings: of `described.prunings`.
      content: of `content`.
      recipe: of the file, or what stands for a model that was not exported.
      without: names of settings.
    """
    left_out = {*without, "data", "encoder"}
    kept: dict[str, Any] = {n: v for n, v in used.items() if n not in left_out}
    # However the options are written, what each method was asked for counts.
    if kept.pop("pruning_options", None) is not None:
        kept.pop("final_sparsity", None)
        kept["prunings"] = [[one.method, one.sparsity, one.options] for one in prunings]
    return json.dumps([kept, content, recipe], sort_keys=True)
