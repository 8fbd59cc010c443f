"""The settings of an export, and the run that it is of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from bert_glue_tf.core import files
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.export.defaults import CALIBRATION_EXAMPLES, LOGITS, OUTPUTS, REPETITIONS, THREADS
from bert_glue_tf.models.quantization.recipes import QuantizationRecipe
from bert_glue_tf.runs.finished import Run

_WEIGHTS = "variables.data-00000-of-00001"


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """The settings that decide the files of an export.

    Attributes:
      seq_lengths: lengths in word pieces, ascending.
      calibration_examples: training sentences for the ranges of static recipes.
      threads: of LiteRT, for evaluation and latency.
      latency_repetitions: timed runs of each file at each length.
      output: of the signatures, one of `litert.OUTPUTS`.
      batch_sizes: numbers of texts at a time, ascending, 1 among them.
    """

    seq_lengths: tuple[int, ...]
    calibration_examples: int = CALIBRATION_EXAMPLES
    threads: int = THREADS
    latency_repetitions: int = REPETITIONS
    output: str = LOGITS
    batch_sizes: tuple[int, ...] = (1,)


def identity(run: Run, settings: ExportSettings) -> dict[str, Any]:
    """Return the facts that decide the content of the files; `ExportFolder.open` compares them."""
    more: dict[str, Any] = {}
    # An export that is older than these settings has their defaults.
    if settings.output != LOGITS:
        more["output"] = settings.output
    if settings.batch_sizes != (1,):
        more["batch_sizes"] = list(settings.batch_sizes)
    return {
        "run": run.name,
        "weights_sha256": weights_sha256(run),
        "seq_lengths": list(settings.seq_lengths),
        "calibration_examples": settings.calibration_examples,
        **more,
    }


def weights_sha256(run: Run) -> str:
    """Return the SHA-256 of the file that holds the weights of a run's model."""
    return files.sha256(run.folder.model / "variables" / _WEIGHTS)


def require_outputs(task: TaskSpec, outputs: str) -> None:
    """Check that the files of a task can have an output.

    Raises:
      UserError: they cannot.
    """
    if outputs not in OUTPUTS:
        raise UserError(f"--outputs={outputs}: no such output. Good values: {', '.join(OUTPUTS)}.")
    if outputs != LOGITS and not task.problem.to_probabilities:
        raise UserError(
            f"--outputs={outputs}: {task.name} asks for {task.problem.title}, which has no "
            "probabilities. Leave the flag out."
        )


def require_output(recipe: QuantizationRecipe, outputs: str) -> None:
    """Check that the files of a recipe can have an output.

    Raises:
      UserError: they cannot.
    """
    if recipe.is_whole and outputs != LOGITS:
        raise UserError(
            f"--outputs={outputs}: {recipe.name} gives int8 logits, whose largest is the answer "
            "without more. Leave the flag out, or the recipe."
        )


def check_data(run: Run, examples: Mapping[str, Examples]) -> None:
    """Check that the validation data is that on which the run was scored.

    Raises:
      UserError: it has changed.
    """
    for split in run.task.scored_splits.values():
        now = str(examples[split].provenance["sha256"])
        then = str(run.result.data[split]["sha256"])
        if now != then:
            raise UserError(
                f"--run={run.path}: its {split} data has changed since it was scored "
                f"({then[:12]} then, {now[:12]} now, from "
                f"--data={run.config.data}). Restore the data; scores before and after "
                "export would not compare."
            )
