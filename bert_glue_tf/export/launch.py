"""A finished run to its measured files; TensorFlow is imported when everything else is sure."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.progress import doing
from bert_glue_tf.data import readers
from bert_glue_tf.export.defaults import CALIBRATION_EXAMPLES, LENGTHS, REPETITIONS, THREADS
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.lengths import seq_lengths as read_lengths
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.export.settings import ExportSettings, check_data, identity
from bert_glue_tf.models.quantization import recipes as known
from bert_glue_tf.runs.finished import Run


def launch(
    path: pathlib.Path,
    *,
    recipes: Sequence[str] = (),
    seq_lengths: Sequence[str | int] = LENGTHS,
    output: pathlib.Path | None = None,
    threads: int = THREADS,
    calibration_examples: int = CALIBRATION_EXAMPLES,
    latency_repetitions: int = REPETITIONS,
) -> tuple[ExportFolder, list[ExportResult]]:
    """Make and measure the files of a finished run that are not there yet.

    Args:
      path: folder of the run.
      recipes: names of quantization recipes; empty for all.
      seq_lengths: lengths in word pieces at which the files can run; the run's own --seq_length
        stands for any above it.
      output: folder of the files; by default tflite/ in the run.
      threads: of LiteRT.
      calibration_examples: training sentences from which static recipes take their ranges.
      latency_repetitions: timed runs of each file at each length.

    Returns:
      The folder of the files, and the records of float32 and of `recipes`.

    Raises:
      UserError: a value is none, the folder holds no finished run or its data has changed, or a
        file cannot be made.
    """
    numbers = {
        "threads": threads,
        "calibration_examples": calibration_examples,
        "latency_repetitions": latency_repetitions,
    }
    for name, number in numbers.items():
        if number < 1:
            raise UserError(f"--{name}={number}: must be 1 or more.")
    chosen = [known.get(name) for name in recipes or known.RECIPES]
    run = Run.read(path)
    lengths = read_lengths([str(length) for length in seq_lengths], run.config.seq_length)
    examples = readers.load_for_training(run.task, run.config.data, run.config.train_examples)

    check_data(run, examples)
    settings = ExportSettings(lengths, calibration_examples, threads, latency_repetitions)
    folder = ExportFolder.open(output or run.path / FOLDER, identity(run, settings))
    with doing("starting TensorFlow"):
        from bert_glue_tf.export import exporter

    return folder, exporter.export(run, settings, chosen, folder, examples)
