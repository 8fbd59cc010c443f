"""The exporter: a finished run to .tflite files, each scored on the dev split and measured."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from bert_glue_tf.core import files, memory, records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.core.progress import doing
from bert_glue_tf.data import batching, tasks
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.layouts import Padded
from bert_glue_tf.evaluation import collapse, cost, evaluator, operating_point, predictions
from bert_glue_tf.evaluation.evaluator import Evaluation
from bert_glue_tf.export import (
    benchmark,
    calibration,
    flatbuffer,
    integers,
    litert,
    measure,
    metadata,
    parity,
    signatures,
    timings,
)
from bert_glue_tf.export.card import card
from bert_glue_tf.export.defaults import LOGITS
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.export.interfaces import choice
from bert_glue_tf.export.litert import LiteModel
from bert_glue_tf.export.making import Maker
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.export.settings import ExportSettings
from bert_glue_tf.models.quantization.recipes import FLOAT32, RECIPES, QuantizationRecipe
from bert_glue_tf.runs import versions
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.training import scoring


def export(
    run: Run,
    settings: ExportSettings,
    recipes: Sequence[QuantizationRecipe],
    folder: ExportFolder,
    examples: Mapping[str, Examples],
) -> list[ExportResult]:
    """Make and measure the files that are not there yet; float32 is always among them.

    Returns:
      The records of float32 and of `recipes`, the earlier ones included.

    Raises:
      UserError: a model that cannot be converted, another export is at work in the folder, or
        recipes were refused (the others are done by then).
    """
    with folder.locked():
        return _export(run, settings, recipes, folder, examples)


def _export(
    run: Run,
    settings: ExportSettings,
    recipes: Sequence[QuantizationRecipe],
    folder: ExportFolder,
    examples: Mapping[str, Examples],
) -> list[ExportResult]:
    """Export into a folder that is locked; see `export`."""
    done = folder.records()
    wanted = [RECIPES[FLOAT32], *(r for r in recipes if r.name != FLOAT32)]
    missing = [recipe for recipe in wanted if recipe.name not in done]
    if not missing:
        logging.info("%s: all of these are exported; these are the results", folder.path)
        return timings.in_one_session(folder.path, [done[recipe.name] for recipe in wanted])
    folder.note_versions()
    export_run = _ExportRun(run, settings, folder, examples)
    refused = []
    for recipe in missing:
        try:
            export_run.make(recipe)
        except UserError as error:
            if recipe.name == FLOAT32:
                raise
            logging.error("%s: REFUSED: %s", recipe.name, error)
            refused.append(f"{recipe.name}: {error}")
    export_run.measure()
    for record in export_run.records():
        records.append(folder.results_file, record)
        described = export_run.described[record.recipe]
        write_atomically(folder.card(record.recipe), card(record, described))
        done[record.recipe] = record
    folder.write_checksums()
    if refused:
        raise UserError("not exported: " + "; ".join(refused))
    return timings.in_one_session(folder.path, [done[recipe.name] for recipe in wanted])


@dataclasses.dataclass
class _File:
    """One file while it is measured.

    `marked` says what its answers are worth, `padded` is of `parity.require_at_every_length`.
    """

    recipe: QuantizationRecipe
    evaluations: dict[str, Evaluation]
    intervals: scoring.Intervals
    quantization: dict[str, Any]
    marked: collapse.Marked
    padded: Mapping[str, float] = dataclasses.field(default_factory=dict)
    latency: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    busy: str = ""


class _ExportRun:
    """The steps of one export; parts that several files need are made once."""

    def __init__(
        self,
        run: Run,
        settings: ExportSettings,
        folder: ExportFolder,
        examples: Mapping[str, Examples],
    ) -> None:
        self._run, self._settings, self._folder = run, settings, folder
        self._task = run.task
        self._examples = examples
        self._files: dict[str, _File] = {}
        self.described: dict[str, dict[str, Any]] = {}  # Recipe -> metadata of a file made now.
        self._interface = choice.of(self._task.modality)
        self._interface.copy(run.folder.model / "preprocessing", folder)
        self._maker = Maker(
            run,
            settings.seq_lengths,
            examples["train"],
            settings.calibration_examples,
            folder.preprocessing,
            settings.batch_sizes,
        )
        self._reads = self._interface.described(run, folder, self._maker.preprocessor)
        modality = self._task.modality
        self._validation = {
            suffix: batching.tokenize(
                self._maker.preprocessor, split, examples[split], modality=modality
            )
            for suffix, split in self._task.scored_splits.items()
        }
        for scored in self._validation.values():
            scored.tell_cut(settings.seq_lengths[-1])
        self._first_split = next(iter(self._validation.values()))
        done = folder.records()
        if FLOAT32 in done:
            content = folder.model(FLOAT32).read_bytes()
            loaded = LiteModel(content, settings.threads, FLOAT32)
            self._files[FLOAT32] = self._evaluated(RECIPES[FLOAT32], loaded, {})
            del loaded  # It holds the file a second time.
            self._maker.take(content)
        else:
            self._maker.convert()
        self._measured_before = set(done)

    def make(self, recipe: QuantizationRecipe) -> None:
        """Quantize, write and score one file."""
        model, found = self._maker.make(recipe, self._folder.int8_report)
        inputs = signatures.inputs(model)
        content = flatbuffer.write(model)
        memory.collect(self._maker.plain_bytes)
        loaded = LiteModel(content, self._settings.threads, recipe.name)
        with doing(f"{recipe.name}: scoring"):
            file = self._evaluated(recipe, loaded, found)
        if recipe.name == FLOAT32:
            file.padded = parity.require_at_every_length(self._run, self._first_split, loaded)
        del loaded  # It holds the file a second time.
        content, values = self._described(recipe, content, inputs)
        self.described[recipe.name] = values
        memory.collect(self._maker.plain_bytes)
        write_atomically(self._folder.metadata(recipe.name), metadata.as_json(values))
        if recipe.is_whole:
            integers.write_c(self._folder, recipe.name, content)
        write_atomically(self._folder.model(recipe.name), content)
        self._files[recipe.name] = file
        for suffix, split in self._validation.items():
            predictions.write(
                self._folder.predictions_file(recipe.name, split.name),
                self._task,
                split.labels,
                file.evaluations[suffix].logits,
            )

    def _described(
        self, recipe: QuantizationRecipe, content: bytes, inputs: Sequence[str]
    ) -> tuple[bytes, dict[str, Any]]:
        """Return a file of logits with the output that is asked for and its metadata, and these."""
        settings, model = self._settings, flatbuffer.read(content)
        if settings.output != LOGITS:
            signatures.add_probabilities(model, self._task.problem.to_probabilities)
            content = flatbuffer.write(model)
            model = flatbuffer.read(content)
        loaded = LiteModel(content, settings.threads, recipe.name)
        values = metadata.of(
            self._run,
            recipe,
            self._reads,
            settings.seq_lengths,
            {
                "inputs": list(inputs),
                "output": settings.output,
                "batch_sizes": list(settings.batch_sizes),
            },
            self._interface.golden(
                self._maker.preprocessor, self._reads, loaded, settings.seq_lengths
            ),
        )
        del loaded  # It holds the file a second time.
        flatbuffer.add_metadata(model, values)
        return flatbuffer.write(model), values

    def _evaluated(
        self, recipe: QuantizationRecipe, model: LiteModel, found: dict[str, Any]
    ) -> _File:
        evaluations = {
            suffix: evaluator.evaluate(
                functools.partial(litert.logits, self._task.problem, model),
                split,
                self._task,
                batch_size=evaluator.EVALUATION_BATCH,
                layout=Padded(lengths=tuple(model.lengths), modality=self._task.modality),
            )
            for suffix, split in self._validation.items()
        }
        intervals = scoring.intervals(self._task, self._validation, evaluations)
        marked = collapse.marked(
            collapse.judge(
                self._task,
                self._validation[suffix].labels,
                done.logits,
                intervals.get(f"{self._task.primary_metric}{suffix}"),
            )
            for suffix, done in evaluations.items()
        )
        return _File(recipe, evaluations, intervals, found, marked)

    def measure(self) -> None:
        """Time the folder's files in turns, at each length: those that were there before too."""
        names = list(dict.fromkeys([*self._files, *self._measured_before]))
        settings = self._settings
        found = benchmark.session(
            [benchmark.File(self._folder.model(name), self._run.name, name) for name in names],
            settings.seq_lengths,
            threads=settings.threads,
            repetitions=settings.latency_repetitions,
        )
        base = found[names.index(FLOAT32)]
        for name, timing in zip(names, found, strict=True):
            if name in self._files:
                self._files[name].latency = timings.with_float32(timing, base)
                self._files[name].busy = timing.warning

    def records(self) -> list[ExportResult]:
        """Return the records of the files that were made now."""
        self._maker.close()
        made = [file for name, file in self._files.items() if name not in self._measured_before]
        with doing(f"size and memory of {len(made)} file(s), each in processes of its own"):
            return [self._record(file) for file in made]

    def _record(self, file: _File) -> ExportResult:
        path = self._folder.model(file.recipe.name)
        operators, pieces = self._operators(path)
        size = cost.size_on_disk(path)
        return ExportResult(
            run=self._run.name,
            config=self._run.config.to_json(),
            data=self._data_provenance(file.recipe),
            encoder=self._run.result.encoder,
            recipe=file.recipe.name,
            file=path.name,
            sha256=files.sha256(path),
            seq_lengths=self._settings.seq_lengths,
            metrics=self._metrics(file),
            intervals=file.intervals,
            flips=self._flips(file),
            parity={
                **parity.compare(
                    self._run,
                    self._validation,
                    file.evaluations,
                    self._settings.seq_lengths[-1],
                ),
                **file.padded,
            },
            parameters=self._run.result.parameters,
            bytes={**size, "saved_model": self._run.result.bytes["plain"]},
            operators=operators,
            pieces=pieces,
            latency=file.latency,
            threads=self._settings.threads,
            peak_memory_bytes=measure.peak_memory_of_prediction(path, self._settings.threads),
            quantization=file.quantization,
            environment=versions.environment([f"CPU (LiteRT, {self._settings.threads} threads)"]),
            busy=file.busy,
            own_task=tasks.describe(self._task),
            thresholds=self._run.result.thresholds,
            size=self._run.result.size,
            **dataclasses.asdict(file.marked),
        )

    def _metrics(self, file: _File) -> dict[str, float]:
        """Return the scores, and precision and recall at the thresholds that the run chose."""
        points = operating_point.of_record(self._run.result.thresholds)
        return scoring.flatten(file.evaluations) | scoring.at_points(
            self._task, self._validation, points, file.evaluations
        )

    def _operators(self, path: pathlib.Path) -> tuple[dict[str, int], int]:
        """Return the operators of a file at its longest length, and its delegated pieces."""
        longest = calibration.one_length(path.read_bytes(), self._settings.seq_lengths[-1])
        counts = flatbuffer.operator_counts(flatbuffer.read(longest))
        return counts, litert.pieces(longest, self._settings.threads)

    def _data_provenance(self, recipe: QuantizationRecipe) -> dict[str, Any]:
        splits = list(self._task.scored_splits.values())
        found = {split: dict(self._examples[split].provenance) for split in splits}
        if recipe.needs_calibration and not self._maker.is_trained(recipe):
            found["calibration"] = dict(self._examples["train"].provenance) | {
                "examples": self._settings.calibration_examples
            }
        return found

    def _flips(self, file: _File) -> int:
        reference = self._files[FLOAT32].evaluations
        return sum(
            self._task.problem.flips(reference[suffix].logits, done.logits)
            for suffix, done in file.evaluations.items()
        )
