"""The names for Python users: they stay where they are while the rooms behind them change.

    from bert_glue_tf import api

    settings = api.ExperimentConfig(task="mrpc", encoder="minilm_l6", data="sample")
    api.print_table(api.train(settings))

The import of this module takes a fraction of a second: each name is imported from its room when
it is used for the first time, and TensorFlow with the first name that needs it.
"""

from __future__ import annotations

import importlib
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bert_glue_tf.export.record import ExportResult
    from bert_glue_tf.runs.config import ExperimentConfig
    from bert_glue_tf.runs.results import ExperimentResult

# Name -> the module that has it, and what it is called there where that is something else.
_HOMES = {
    # A run and its record.
    "ExperimentConfig": "runs.config",
    "ExperimentResult": "runs.results",
    "RunFolder": "runs.run_folder",
    "UserError": "core.errors",
    "build_strategy": "training.devices:build",
    "load_results": "runs.results:load",
    "print_table": "reports.terminal",
    # A pruning method of one's own.
    "Group": "models.units",
    "MaskedPruning": "compression.masked",
    "Member": "models.units",
    "PruningMethod": "compression.method",
    "register": "compression.registry",
    "units": "compression.units:",
    # Tasks and their examples.
    "Examples": "data.examples",
    "TASKS": "data.tasks",
    "get_task": "data.tasks:get",
    "load_examples": "data.readers:load",
    # Files and predictions.
    "Classifier": "serving.classifier",
    "ExportResult": "export.record",
    "Prediction": "serving.classifier",
    "measure_robustness": "evaluation.robustness:measure",
    "print_exports": "reports.terminal",
    # Comparisons.
    "differences": "reports.comparison",
    "group_models": "reports.comparison:group",
    "group_rows": "reports.comparison",
    "markdown": "reports.comparison",
    "model_rows": "reports.comparison",
    "read_models": "reports.comparison:read",
    "svg": "reports.plots",
    "training_curves": "reports.plots",
    "write_comparison": "reports.files:write",
}

__all__ = ["export", "train", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import a name from its room; Python asks for it once, and then finds it here."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place, colon, there = _HOMES[name].partition(":")
    module = importlib.import_module(f"bert_glue_tf.{place}")
    value = module if colon and not there else getattr(module, there or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def train(
    settings: ExperimentConfig, workdir: str | pathlib.Path = "", tpu: str = "local"
) -> ExperimentResult:
    """Run an experiment, or what is left of it, and return its record, as the train command does.

    A finished run is not run again: its record is returned. A run that was interrupted goes on
    from its last saved state.

    Args:
      settings: of the run.
      workdir: the run's folder; by default runs/ and the run's name.
      tpu: name or address of the TPU, where the strategy is to use one.

    Raises:
      UserError: the folder, the data, the encoder or the pruning cannot be used.
    """
    from bert_glue_tf.training.launch import Launch

    folder = pathlib.Path(workdir or pathlib.Path("runs") / settings.run_name).expanduser()
    launch = Launch(settings, folder)
    finished = launch.finished()
    if finished is not None:
        return finished
    launch.join()
    return launch.train(launch.check(), tpu)


def export(
    run: str | pathlib.Path, recipes: Sequence[str] = (), **options: Any
) -> list[ExportResult]:
    """Export a finished run to .tflite files, and return their records.

    Args:
      run: folder of the run.
      recipes: names of quantization recipes; empty for all.
      **options: of `export.launch.launch`: seq_lengths, output, threads, calibration_examples
        and latency_repetitions.

    Raises:
      UserError: as the export command.
    """
    from bert_glue_tf.export.launch import launch

    _, records = launch(pathlib.Path(run).expanduser(), recipes=recipes, **options)
    return records
