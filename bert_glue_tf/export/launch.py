"""A finished run to its measured files; TensorFlow is imported when everything else is sure."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import logging

from bert_glue_tf.core import layout
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.progress import doing
from bert_glue_tf.data import readers
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.export import lengths as held
from bert_glue_tf.export.defaults import CALIBRATION_EXAMPLES, LOGITS, REPETITIONS, THREADS
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.interfaces import choice
from bert_glue_tf.export.interfaces.base import Interface
from bert_glue_tf.export.mediapipe import client as finding
from bert_glue_tf.export.mediapipe import refusals
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.export.settings import (
    ExportSettings,
    check_data,
    identity,
    require_output,
    require_outputs,
)
from bert_glue_tf.models import encoders
from bert_glue_tf.models.quantization import recipes as known
from bert_glue_tf.models.quantization.recipes import QuantizationRecipe
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.runs.paths import SIZES

if TYPE_CHECKING:
    from bert_glue_tf.export.mediapipe.exporter import MediaPipeExport


Exported = tuple[ExportFolder, list[ExportResult]]


def launch_sizes(
    path: pathlib.Path, *, size: str = "", output: pathlib.Path | None = None, **options: Any
) -> list[Exported]:
    """Make and measure the files of each network that the weights of a finished run hold.

    Args:
      path: folder of the run.
      size: name of one of them; empty for all. A run whose weights hold one network has no sizes.
      output: folder of the files; those of the smaller networks are in sizes/ there. By default
        tflite/ in the run, and in the folder of each size.
      **options: of `launch`.

    Returns:
      As `launch` for each network, the largest first.

    Raises:
      UserError: there is no such size; or as `launch`.
    """
    run = Run.read(path)
    if size:
        return [launch(run.of_size(size).path, output=output, **options)]
    # All of them are read before the first file is made, which takes minutes.
    smaller = {name: run.of_size(name) for name in reversed(run.sizes[:-1])}
    found = [launch(path, output=output, **options)]
    for name, one in smaller.items():
        place = output / SIZES / name if output else None
        found.append(launch(one.path, output=place, **options))
    return found


def launch(
    path: pathlib.Path,
    *,
    recipes: Sequence[str] = (),
    seq_lengths: Sequence[str | int] = (),
    output: pathlib.Path | None = None,
    threads: int = THREADS,
    calibration_examples: int = CALIBRATION_EXAMPLES,
    latency_repetitions: int = REPETITIONS,
    outputs: str = LOGITS,
    batch_sizes: Sequence[str | int] = (1,),
    client: ForClient | None = None,
) -> tuple[ExportFolder, list[ExportResult]]:
    """Make and measure the files of a finished run that are not there yet.

    Args:
      path: folder of the run.
      recipes: names of quantization recipes; empty for all.
      seq_lengths: in word pieces, at which the files can run; the run's own --seq_length stands
        for any above it. Empty for those of an export in the folder, else `lengths.of_texts`.
      output: folder of the files; by default tflite/ in the run.
      threads: of LiteRT.
      calibration_examples: training sentences from which static recipes take their ranges.
      latency_repetitions: timed runs of each file at each length.
      outputs: of the files: "logits" or "probabilities".
      batch_sizes: numbers of texts at a time, each with signatures; 1 is always among them.
      client: for which another file is made of each of them; None for none.

    Returns:
      The folder of the files, and the records of float32 and of `recipes`.

    Raises:
      UserError: a value is none, there is no finished run, its data has changed, or a file cannot
        be made.
    """
    _require_positive(
        threads=threads,
        calibration_examples=calibration_examples,
        latency_repetitions=latency_repetitions,
    )
    named = [known.get(name) for name in recipes]
    run = Run.read(path)
    interface = choice.of(run.task.modality)
    chosen = _recipes(interface, named, outputs)
    place = output or run.path / FOLDER
    lengths = interface.given_lengths(run, list(map(str, seq_lengths)))
    batches = held.batch_sizes(list(map(str, batch_sizes)))
    require_outputs(run.task, outputs)
    if client:
        client.require(run)
    examples = readers.load_for_training(run.task, run.config.data, run.config.train_examples)

    check_data(run, examples)
    if not lengths:
        lengths = _lengths(run, interface, ExportFolder(place), examples["train"])
    settings = ExportSettings(
        lengths, calibration_examples, threads, latency_repetitions, outputs, batches
    )
    folder = ExportFolder.open(place, identity(run, settings))
    return folder, _export(run, settings, chosen, folder, examples, client)


def _recipes(
    interface: Interface, named: Sequence[QuantizationRecipe], outputs: str
) -> list[QuantizationRecipe]:
    """Return the recipes that are named, or all that make files with such outputs.

    Raises:
      UserError: one that is named makes no such files.
    """
    for recipe in named:
        interface.require_recipe(recipe)
        require_output(recipe, outputs)
    return list(named) or [
        one for one in interface.recipes() if outputs == LOGITS or not one.is_whole
    ]


def _export(
    run: Run,
    settings: ExportSettings,
    chosen: Sequence[QuantizationRecipe],
    folder: ExportFolder,
    examples: Mapping[str, Examples],
    client: ForClient | None,
) -> list[ExportResult]:
    """Start TensorFlow, and make the files, a client's after all others."""
    with doing("starting TensorFlow"):
        from bert_glue_tf.export import exporter

    # What it refuses is refused before minutes are spent.
    further = client.of(run, examples) if client else None
    if further:
        further.require(folder, chosen)
    records = exporter.export(run, settings, chosen, folder, examples)
    if further:
        further.make(folder, settings, chosen)
    return records


@dataclasses.dataclass(frozen=True)
class ForClient:
    """The client that further files are for.

    Attributes:
      name: "mediapipe", for its TextClassifier.
      seq_length: of its file, which has one length; 0 for the shortest that holds 99 % of the
        training texts.
      python: a Python with the client's package, which is asked to answer the validation texts;
        empty for that of `make clients`, if it is there.
    """

    name: str = refusals.CLIENT
    seq_length: int = 0
    python: str = ""

    def require(self, run: Run) -> None:
        """Check, before TensorFlow is started, that the client can answer a run's task.

        Raises:
          UserError: it cannot, a value is none, or the Python has no such client.
        """
        if self.name != refusals.CLIENT:
            raise UserError(f"--client={self.name}: no such client. Good value: {refusals.CLIENT}.")
        refusals.require_task(run.task)
        program = finding.python(self.python)
        low, high = encoders.MIN_SEQ_LENGTH, run.config.seq_length
        if self.seq_length and not low <= self.seq_length <= high:
            raise UserError(
                f"--seq_length={self.seq_length}: must be from {low} to {high}, the --seq_length "
                "of the run."
            )
        if program:
            with doing(f"asking {program} for MediaPipe"):
                finding.require(program)

    def of(self, run: Run, examples: Mapping[str, Examples]) -> MediaPipeExport:
        """Return what makes the files of a run for the client; starts TensorFlow.

        Raises:
          UserError: the client's tokenizer cannot read the run's vocabulary.
        """
        from bert_glue_tf.export.mediapipe.exporter import MediaPipeExport

        return MediaPipeExport(run, examples, self.seq_length, finding.python(self.python))


def _require_positive(**numbers: int) -> None:
    """Refuse numbers below 1, by the names of their flags.

    Raises:
      UserError: naming the first.
    """
    for name, number in numbers.items():
        if number < 1:
            raise UserError(f"--{name}={number}: must be 1 or more.")


def _lengths(
    run: Run, interface: Interface, folder: ExportFolder, train: Examples
) -> tuple[int, ...]:
    """Return the lengths of the export that is in a folder; else those that fit the examples."""
    folder.require_free()
    earlier = folder.seq_lengths()
    if earlier:
        told = ", ".join(map(str, earlier)), layout.near(folder.path)
        logging.info("lengths %s, as the export has them that is in %s already", *told)
        return earlier
    return interface.own_lengths(run, train)
