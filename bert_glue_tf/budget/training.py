"""The trainings of a compression: each a run of its own, in a process, through the executor."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bert_glue_tf.budget.settings import AWARE_EPOCHS, CompressSettings
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.models import saving
from bert_glue_tf.models.settings import QuantizationSettings
from bert_glue_tf.runs.config import ExperimentConfig, canonical_place
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.runs.settings import ALL, FIRST, LAST, UNIFORM
from bert_glue_tf.search.writing import read_told
from bert_glue_tf.sweeps import table
from bert_glue_tf.sweeps.executors import base
from bert_glue_tf.sweeps.plan import Run as PlannedRun
from bert_glue_tf.sweeps.sweep import Sweep

# Bytes that the teacher's states may take on the disk; with more of them only those of each text's
# first token are learned.
_MOST_STATES = 8e9
_PIECES_A_WORD = 1.5  # Of a text, to estimate these bytes; a little more than it is.


def again(run: Run, held_out: int) -> ExperimentConfig:
    """Return the settings of a run that is trained once more, with some training texts held out.

    A run that is fine-tuned first (--finetune_epochs) is so again: its starting point, a run of its
    own beside it, keeps the same texts apart.
    """
    return dataclasses.replace(run.config, held_out=held_out)


def student(
    original: Run,
    start: Run,
    settings: CompressSettings,
    held_out: int,
    train: Examples,
) -> ExperimentConfig:
    """Return the settings of the training of a smaller network, with the original as its teacher.

    States of all word pieces and the attention are learned where both read the same pieces.

    Args:
      original: the teacher.
      start: the smaller network, a finished run.
      settings: of the compression.
      held_out: training texts that no training sees.
      train: the others.
    """
    is_same = bool(read_told(start.result)["same_pieces"])
    all_fit = is_same and _bytes_of_states(original, train) <= _MOST_STATES
    plain = original.config.unpruned.untaught
    return dataclasses.replace(
        plain,
        **QuantizationSettings.defaults(),
        start=canonical_place(str(start.path)),
        teacher=canonical_place(str(original.path)),
        finetune_epochs=0,
        held_out=held_out,
        epochs=settings.epochs,
        learning_rate=settings.learning_rate or plain.learning_rate,
        keep="last",
        distill_layers=UNIFORM,
        distill_tokens=ALL if all_fit else FIRST,
        distill_attention=LAST if is_same else "",
    )


def aware(trained: Run, recipe: str) -> ExperimentConfig:
    """Return the settings of a training on the grids of a recipe, from a trained network.

    It goes on with the same teacher.
    """
    return dataclasses.replace(
        trained.config,
        start=canonical_place(str(trained.path)),
        quantize_aware=recipe,
        epochs=AWARE_EPOCHS,
    )


def _bytes_of_states(teacher: Run, train: Examples) -> float:
    """Estimate the bytes of a teacher's states of all word pieces: 2 for a feature and a layer."""
    words = sum(len(text.split()) for column in train.texts for text in column)
    layers = saving.family_of(teacher.folder.model).sizes(teacher.folder.model).layers
    features = sum(layer.heads * layer.head_size for layer in layers)
    return 2.0 * _PIECES_A_WORD * words * features


def run_all(
    configs: Mapping[str, ExperimentConfig],
    folder: pathlib.Path,
    executor: base.Executor[Any] | None = None,
) -> dict[str, Run]:
    """Train runs that are not finished, and return them by name, each finished.

    Args:
      configs: name of the run's folder -> its settings.
      folder: of the runs.
      executor: where they are trained; by default one process at a time of this machine.

    Raises:
      UserError: a training has failed; the message says why, and where its log is.
    """
    runs = [
        PlannedRun(one, RunFolder(folder / name, one), needs=(), in_grid=True)
        for name, one in configs.items()
    ]
    sweep = Sweep(runs, executor, told=_told)
    if sweep.missing():
        sweep.run()
    if sweep.failures:
        raise UserError("\n".join(_failures(runs, sweep.failures)))
    return {name: Run.read(folder / name) for name in configs}


def _failures(runs: Sequence[PlannedRun], failures: Mapping[str, str]) -> list[str]:
    return ["a training has failed.", *table.told_failures(runs, failures)]


def _told(record: ExperimentResult) -> str:
    """Return what a finished training is said to be: its validation score chooses nothing."""
    return f"trained for {record.config['epochs']} epochs"
