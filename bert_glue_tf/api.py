"""The names for Python users: they stay where they are while the rooms behind them change.

    from bert_glue_tf import api

    settings = api.ExperimentConfig(task="mrpc", encoder="minilm_l6", data="sample")
    api.print_table(api.train(settings))

The import of this module takes a fraction of a second: each name is imported from its room when
it is used for the first time, and TensorFlow with the first name that needs it.
"""

# ruff: noqa: F401  (The names are for others.)

from __future__ import annotations

import importlib
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

# A type checker and an editor see these imports.
if TYPE_CHECKING:
    from bert_glue_tf.analysis.launch import launch as measure_sensitivity
    from bert_glue_tf.analysis.record import Sensitivity
    from bert_glue_tf.budget.record import Outcome as Compressed
    from bert_glue_tf.budget.tables import bought as compression_table
    from bert_glue_tf.compression import units
    from bert_glue_tf.compression.masked import MaskedPruning
    from bert_glue_tf.compression.method import PruningMethod
    from bert_glue_tf.compression.registry import names as method_names
    from bert_glue_tf.compression.registry import register
    from bert_glue_tf.core.errors import UserError
    from bert_glue_tf.data.examples import Examples
    from bert_glue_tf.data.readers import load as load_examples
    from bert_glue_tf.data.tasks import TASKS
    from bert_glue_tf.data.tasks import get as get_task
    from bert_glue_tf.evaluation.robustness import measure as measure_robustness
    from bert_glue_tf.export.benchmark import Timed
    from bert_glue_tf.export.launch import ForClient
    from bert_glue_tf.export.record import ExportResult
    from bert_glue_tf.labelling.launch import Outcome as LabelOutcome
    from bert_glue_tf.models.units import Group, Member
    from bert_glue_tf.reports.files import write as write_comparison
    from bert_glue_tf.reports.groups import group as group_models
    from bert_glue_tf.reports.plots import svg, training_curves
    from bert_glue_tf.reports.reading import read as read_models
    from bert_glue_tf.reports.rows import differences as difference_table
    from bert_glue_tf.reports.rows import groups as group_table
    from bert_glue_tf.reports.rows import models as model_table
    from bert_glue_tf.reports.sensitivity import parts as sensitivity_table
    from bert_glue_tf.reports.summary import notes as comparison_notes
    from bert_glue_tf.reports.tables import csv, markdown
    from bert_glue_tf.reports.terminal import print_exports, print_rows, print_table
    from bert_glue_tf.reports.times import table as timing_table
    from bert_glue_tf.reports.verdicts import compare, differences
    from bert_glue_tf.runs.config import ExperimentConfig
    from bert_glue_tf.runs.results import ExperimentResult
    from bert_glue_tf.runs.results import load as load_results
    from bert_glue_tf.runs.run_folder import RunFolder
    from bert_glue_tf.serving.classifier import Classifier, Prediction
    from bert_glue_tf.training.devices import build as build_strategy

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
    "method_names": "compression.registry:names",
    "register": "compression.registry",
    "units": "compression.units:",
    # Tasks and their examples.
    "Examples": "data.examples",
    "TASKS": "data.tasks",
    "get_task": "data.tasks:get",
    "load_examples": "data.readers:load",
    # Files and predictions.
    "Classifier": "serving.classifier",
    "Compressed": "budget.record:Outcome",
    "compression_table": "budget.tables:bought",
    "ExportResult": "export.record",
    "ForClient": "export.launch",
    "LabelOutcome": "labelling.launch:Outcome",
    "Prediction": "serving.classifier",
    "Sensitivity": "analysis.record",
    "Timed": "export.benchmark",
    "measure_robustness": "evaluation.robustness:measure",
    "measure_sensitivity": "analysis.launch:launch",
    "print_exports": "reports.terminal",
    "sensitivity_table": "reports.sensitivity:parts",
    # Comparisons.
    "compare": "reports.verdicts",
    "comparison_notes": "reports.summary:notes",
    "csv": "reports.tables",
    "difference_table": "reports.rows:differences",
    "differences": "reports.verdicts",
    "group_models": "reports.groups:group",
    "group_table": "reports.rows:groups",
    "markdown": "reports.tables",
    "model_table": "reports.rows:models",
    "print_rows": "reports.terminal",
    "read_models": "reports.reading:read",
    "svg": "reports.plots",
    "timing_table": "reports.times:table",
    "training_curves": "reports.plots",
    "write_comparison": "reports.files:write",
}

__all__ = [
    "benchmark",
    "compress",
    "export",
    "export_hf",
    "import_classifier",
    "label",
    "train",
    *_HOMES,
]


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
    """Run an experiment as the train command does, and return its record.

    A finished run is not run again: its record is returned. A run that was interrupted goes on
    from its last saved state.

    Args:
      settings: of the run.
      workdir: the run's folder; by default runs/ and the run's name.
      tpu: name or address of the TPU, where the strategy is to use one.

    Raises:
      UserError: the folder, the data, the encoder or the pruning cannot be used.
    """
    from bert_glue_tf.core import logs
    from bert_glue_tf.training.launch import Launch

    logs.show_in_python()
    folder = pathlib.Path(workdir or pathlib.Path("runs") / settings.run_name).expanduser()
    launch = Launch(settings, folder)
    finished = launch.finished()
    if finished is not None:
        return finished
    launch.join()
    return launch.train(launch.check(), tpu)


def import_classifier(
    model: str | pathlib.Path,
    workdir: str | pathlib.Path = "",
    labels: Sequence[str] = (),
    **settings: Any,
) -> ExperimentResult:
    """Make a finished, scored run of a classifier that another program has fine-tuned.

    Nothing is trained. A finished run is not scored again: its record is returned.

    Args:
      model: its folder, as the import_classifier command takes it.
      workdir: the run's folder; by default runs/ and the run's name.
      labels: the task's labels in the order of the classifier's outputs, where the folder does not
        name them.
      **settings: of `training.launch.UNTRAINED`: task, data, seq_length and so on.

    Raises:
      UserError: as the import_classifier command.
    """
    from bert_glue_tf.core import logs
    from bert_glue_tf.training import launch as launches

    logs.show_in_python()
    config = launches.untrained(pathlib.Path(model).expanduser(), settings)
    folder = pathlib.Path(workdir or pathlib.Path("runs") / config.run_name).expanduser()
    launch = launches.Launch(config, folder)
    finished = launch.finished()
    if finished is not None:
        return finished
    head = launch.foreign_head(labels)
    return launch.take_over(head, labels, launch.check())


def export(
    run: str | pathlib.Path, recipes: Sequence[str] = (), **options: Any
) -> list[ExportResult]:
    """Export a finished run to .tflite files, and return their records.

    Where its weights hold several networks, those of the largest stand first.

    Args:
      run: folder of the run.
      recipes: names of quantization recipes; empty for all.
      **options: of `export.launch.launch_sizes`: size, seq_lengths, output, threads,
        calibration_examples, latency_repetitions, outputs, batch_sizes and client.

    Raises:
      UserError: as the export command.
    """
    from bert_glue_tf.core import logs
    from bert_glue_tf.export.launch import launch_sizes

    logs.show_in_python()
    found = launch_sizes(pathlib.Path(run).expanduser(), recipes=recipes, **options)
    return [record for _, records in found for record in records]


def export_hf(run: str | pathlib.Path, output: str | pathlib.Path = "") -> pathlib.Path:
    """Write a finished run as a folder that Hugging Face's transformers loads, and return it.

    Args:
      run: folder of the run.
      output: folder to write; by default hugging_face/ in the run.

    Raises:
      UserError: as the export_hf command.
    """
    from bert_glue_tf.core import logs
    from bert_glue_tf.export import hugging_face

    logs.show_in_python()
    folder = pathlib.Path(output).expanduser() if output else None
    return hugging_face.export(pathlib.Path(run).expanduser(), folder)


def label(
    model: str | pathlib.Path,
    texts: str,
    output: str | pathlib.Path,
    *,
    workers: int = 1,
    cluster: str = "",
    **options: Any,
) -> LabelOutcome:
    """Label much text, part by part, and return what all parts have come to.

    Parts that are labelled already are not labelled again.

    Args:
      model: folder of a run, or a .tflite file.
      texts: a file, or a pattern as `texts/*.jsonl`.
      output: folder of the parts with their labels.
      workers: processes at a time on this machine.
      cluster: address of a Dask scheduler whose workers label; empty for this machine.
      **options: of `labelling.launch.label`: text_columns, at and threads.

    Raises:
      UserError: as the label command.
    """
    from bert_glue_tf.core import logs
    from bert_glue_tf.labelling.launch import label as launched
    from bert_glue_tf.sweeps.executors import choice

    logs.show_in_python()
    return launched(model, texts, output, executor=choice.executor(workers, cluster), **options)


def benchmark(
    runs: Iterable[str | pathlib.Path], recipes: Sequence[str] = (), **options: Any
) -> list[Timed]:
    """Time the exported files of many runs in turns, and add what is found to their folders.

    Args:
      runs: folders of the runs.
      recipes: names of the files' recipes; empty for all.
      **options: of `export.benchmark.measure`: at_length, threads and repetitions.

    Returns:
      Each file with its times, and those of the file that it is compared with.

    Raises:
      UserError: as the benchmark command.
    """
    from bert_glue_tf.export.benchmark import measure

    folders = [pathlib.Path(run).expanduser() for run in runs]
    return measure(folders, recipes=recipes, **options)


def compress(run: str | pathlib.Path, **options: Any) -> Compressed:
    """Make the best file of a finished run that keeps a budget, and return the result.

    A compression that was interrupted goes on, and a finished one is not repeated.

    Args:
      run: folder of the run.
      **options: of `budget.launch.compress`: max_mb, max_ms and max_drop, at least one of them;
        at_length, seq_lengths, recipes, epochs, trainings, search_only, workdir and so on. The
        folder then holds the page too.

    Raises:
      UserError: as the compress command.
    """
    from bert_glue_tf.budget.launch import compress as launched
    from bert_glue_tf.core import logs

    logs.show_in_python()
    return launched(run, **options)
