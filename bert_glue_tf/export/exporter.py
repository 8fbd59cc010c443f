"""The exporter: a finished run to .tflite files, each scored on the dev split and measured."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from bert_glue_tf import __version__
from bert_glue_tf.core import files, memory, records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.core.progress import doing
from bert_glue_tf.data import batching, preprocessing, tasks
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.layouts import Padded
from bert_glue_tf.evaluation import collapse, cost, evaluator, operating_point, predictions
from bert_glue_tf.evaluation.evaluator import Evaluation
from bert_glue_tf.export import (
    benchmark,
    calibration,
    convert,
    flatbuffer,
    litert,
    measure,
    parity,
    quantize,
    timings,
    trained,
)
from bert_glue_tf.export.calibration import Features
from bert_glue_tf.export.card import card
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.export.litert import LiteModel
from bert_glue_tf.export.quantize import Range
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.export.selection import (
    Selection,
    conclusion,
    extremes,
    report,
    select,
    summary,
)
from bert_glue_tf.export.settings import ExportSettings
from bert_glue_tf.models import saving
from bert_glue_tf.models.quantization.recipes import FLOAT32, RECIPES, QuantizationRecipe, Rule
from bert_glue_tf.runs import versions
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.training import scoring

PROBE_EXAMPLES = 64  # Training sentences on which int8's selection measures noise.


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
        write_atomically(folder.card(record.recipe), card(record))
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
        folder.copy_tokenizer(run.folder.model / "preprocessing")
        self._preprocessor = preprocessing.build(
            preprocessing.load(str(folder.preprocessing), str(folder.preprocessing)),
            self._task.text_fields,
            settings.seq_lengths[-1],
            run.config.truncation,
        )
        self._validation = {
            suffix: batching.tokenize(self._preprocessor, split, examples[split])
            for suffix, split in self._task.scored_splits.items()
        }
        for scored in self._validation.values():
            scored.tell_cut(settings.seq_lengths[-1])
        self._first_split = next(iter(self._validation.values()))
        # float32 without metadata, of which the others are made; each reads it when it needs it.
        self._scratch = tempfile.TemporaryDirectory()
        self._plain = pathlib.Path(self._scratch.name) / FLOAT32
        file = folder.model(FLOAT32)
        done = folder.records()
        if FLOAT32 in done:
            content = file.read_bytes()
            self._files[FLOAT32] = self._evaluated(RECIPES[FLOAT32], content, {})
            model = flatbuffer.read(content)
            flatbuffer.drop_metadata(model)  # Each file gets its own.
            self._plain.write_bytes(flatbuffer.write(model))
        else:
            with doing(f"converting to TFLite, lengths {_listed(settings.seq_lengths)}"):
                content = convert.convert(run.folder.model, settings.seq_lengths)
            self._plain.write_bytes(content)
        memory.collect(len(content))
        self._measured_before = set(done)
        self._trained = saving.trained_grids(run.folder.model)
        self._selection: Selection | None = None
        self._ranges: calibration.Ranges | None = None

    def make(self, recipe: QuantizationRecipe) -> None:
        """Quantize, write and score one file."""
        rules, ranges, found = self._rules(recipe)
        with doing(f"{recipe.name}: quantizing"):
            model = flatbuffer.read(quantize.quantize(self._plain.read_bytes(), rules, ranges))
        flatbuffer.require_builtin(model, recipe.name)
        flatbuffer.add_metadata(model, self._metadata(recipe))
        content = flatbuffer.write(model)
        memory.collect(self._plain.stat().st_size)
        with doing(f"{recipe.name}: scoring"):
            file = self._evaluated(recipe, content, found)
        if recipe.name == FLOAT32:
            loaded = LiteModel(content, self._settings.threads)
            file.padded = parity.require_at_every_length(self._run, self._first_split, loaded)
        write_atomically(self._folder.model(recipe.name), content)
        self._files[recipe.name] = file
        for suffix, split in self._validation.items():
            predictions.write(
                self._folder.predictions_file(recipe.name, split.name),
                self._task,
                split.labels,
                file.evaluations[suffix].logits,
            )

    def _rules(
        self, recipe: QuantizationRecipe
    ) -> tuple[Sequence[Rule], Mapping[str, Range] | None, dict[str, Any]]:
        """Return the rules, the ranges, and what the record says of them."""
        if self._trained and self._is_trained(recipe):
            return trained.rules_and_ranges(self._plain.read_bytes(), self._trained)
        if recipe.selects:
            selection = self._select()
            write_atomically(self._folder.int8_report, report(selection))
            return selection.rules, selection.ranges, summary(selection)
        return recipe.rules, self._extremes() if recipe.needs_calibration else None, {}

    def _is_trained(self, recipe: QuantizationRecipe) -> bool:
        """Tell if the run was trained on the grids of a recipe."""
        return self._trained is not None and self._trained.recipe == recipe.name

    def _evaluated(
        self, recipe: QuantizationRecipe, content: bytes, found: dict[str, Any]
    ) -> _File:
        model = LiteModel(content, self._settings.threads, recipe.name)
        evaluations = {
            suffix: evaluator.evaluate(
                model.predict,
                split,
                self._task,
                batch_size=evaluator.EVALUATION_BATCH,
                layout=Padded(lengths=tuple(model.lengths)),
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
            [benchmark.File(self._folder.model(name), self._run.path.name, name) for name in names],
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
        self._scratch.cleanup()  # Everything is made.
        made = [file for name, file in self._files.items() if name not in self._measured_before]
        with doing(f"size and memory of {len(made)} file(s), each in processes of its own"):
            return [self._record(file) for file in made]

    def _record(self, file: _File) -> ExportResult:
        path = self._folder.model(file.recipe.name)
        operators, pieces = self._operators(path)
        size = cost.size_on_disk(path)
        return ExportResult(
            run=self._run.path.name,
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
        if recipe.needs_calibration and not self._is_trained(recipe):
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

    def _metadata(self, recipe: QuantizationRecipe) -> dict[str, Any]:
        return {
            "format": 1,
            "made_by": f"bert_glue_tf {__version__}",
            "task": self._task.name,
            "own_task": tasks.describe(self._task),
            "data": self._run.result.data["train"]["name"],
            "labels": list(self._task.problem.labels),
            "thresholds": dict(self._run.result.thresholds),
            "seq_lengths": list(self._settings.seq_lengths),
            "truncation": self._run.config.truncation,
            "recipe": recipe.name,
            "source_run": self._run.path.name,
            "source_commit": self._run.result.environment.get("commit"),
            "encoder": self._run.result.encoder["name"],
            "licence": self._run.result.encoder.get("licence") or "that of the encoder",
            "vocabulary_sha256": files.sha256(self._folder.vocabulary),
        }

    def _sentences(self) -> tuple[list[Features], list[Features], int]:
        """Return calibration and probe sentences, and the exported length that holds them all."""
        train = self._examples["train"]
        number = min(len(train), self._settings.calibration_examples + PROBE_EXAMPLES)
        if number < 2:
            raise UserError("calibration needs at least 2 training sentences.")
        chosen = np.random.default_rng(0).choice(len(train), number, replace=False)
        texts = tuple([column[i] for i in chosen] for column in train.texts)
        tokens = preprocessing.tokenize(self._preprocessor, texts)
        length = next(n for n in self._settings.seq_lengths if n >= tokens.lengths.max())
        features: list[Features] = [tokens.batch([i], length) for i in range(number)]
        # Too few training sentences for both: two thirds for the ranges.
        cut = min(self._settings.calibration_examples, max(1, number * 2 // 3))
        return features[:cut], features[cut:], length

    def _select(self) -> Selection:
        if self._selection is None:
            calibration, probe, length = self._sentences()
            with doing(
                f"int8: calibrating on {len(calibration)} training sentences, then each operator "
                f"by itself on {len(probe)} others at length {length} (a minute or two)"
            ):
                self._selection = select(self._plain.read_bytes(), length, calibration, probe)
            logging.info("int8: %s", conclusion(self._selection))
        return self._selection

    def _extremes(self) -> calibration.Ranges:
        if self._ranges is None:
            calibration, _, length = self._sentences()
            with doing(f"calibrating on {len(calibration)} training sentences"):
                self._ranges = extremes(self._plain.read_bytes(), length, calibration)
        return self._ranges


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
