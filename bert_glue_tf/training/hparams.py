"""The settings and results of a run for TensorBoard's HParams, which compares many runs.

`tensorboard --logdir runs` then shows a table, parallel coordinates and scatter plots of them.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api

from bert_glue_tf.runs.paths import name_of
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.runs.run_folder import RunFolder

RESULT = "result/"  # The results' names begin so, as those of no curve do.


def write(folder: RunFolder, result: ExperimentResult) -> None:
    """Write a run's settings and results beside its curves.

    Args:
      folder: of the run.
      result: its record.
    """
    writer = tf.summary.create_file_writer(str(folder.tensorboard / "hparams"))
    with writer.as_default(step=int(result.config["epochs"])):
        settings = {name: _value(value) for name, value in result.config.items()}
        api.hparams(settings, trial_id=name_of(folder.path))
        for name, value in results(result).items():
            tf.summary.scalar(f"{RESULT}{name}", value)
    writer.close()


def results(result: ExperimentResult) -> dict[str, float]:
    """Return name -> value of what runs are compared by; what is no number is left out."""
    found = {
        **result.metrics,
        "megabytes": result.bytes["plain"] / 1e6,
        "seconds": result.speed["seconds"],
        "nonzero_parameters": float(result.parameters["nonzero"]),
    }
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def _value(value: Any) -> bool | int | float | str:
    """Return a setting as HParams takes it."""
    return value if isinstance(value, (bool, int, float, str)) else str(value)
