"""ExportResult: the record of one .tflite file, and the folder that holds the files of a run.

<recipe>.tflite     the file; <recipe>.md is its card
vocab.txt           the vocabulary, for the phone's tokenizer
preprocessing/      the same tokenizer as a SavedModel, for `predict`
int8_report.tsv     noise and pieces of every operator, and whether it is int8
predictions/        label, prediction and logits of every validation example, as .tsv
results.jsonl       a record for each file
export.json         what was exported: source, lengths, calibration
SHA256SUMS          as `sha256sum --check` reads it
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from bert_glue_tf.core import records, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import sha256, write_atomically
from bert_glue_tf.core.records import Record, check_types, with_nan
from bert_glue_tf.runs import results
from bert_glue_tf.runs.config import ExperimentConfig, read_file
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.runs.run_folder import RunFolder

FOLDER = "tflite"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportResult(Record):
    """One measured .tflite file.

    Attributes:
      run: the source run's folder.
      config: the source run's `ExperimentConfig` as JSON.
      data: provenance of the validation split(s), and of the calibration sentences.
      encoder: provenance of the encoder.
      recipe: name of the quantization recipe.
      file: name of the file in the export's folder.
      sha256: of the file.
      seq_lengths: lengths that the file runs at.
      metrics: name -> value on the validation split(s); NaN is stored as null.
      intervals: name -> 95 % bootstrap interval of the metric over the examples.
      collapsed: why the file is worthless; empty where it is not.
      flips: examples whose label differs from float32's.
      parity: largest difference of a logit from the Keras model's, over the examples that are
        not longer than the longest length; labels that differ; and the number of examples.
      parameters: of the source run's model.
      bytes: of the file, plain and gzipped, and of the source run's SavedModel.
      operators: name -> number in the signature of the longest length.
      pieces: into how many delegated pieces LiteRT cuts that signature.
      latency: length -> milliseconds p50, p90, min of one example, and `float32_p50`, that of
        float32 interleaved in the same run.
      threads: of the latency and the evaluation.
      peak_memory_bytes: of a fresh process that loads the file and predicts once, and of one
        that only starts ("empty").
      quantization: what int8's selection found; empty for the others.
      environment: device, library versions, commit.
      finished: time in UTC, ISO 8601.
    """

    what_is_foreign: ClassVar[str] = "no record of an export"

    run: str
    config: Mapping[str, Any]
    data: Mapping[str, Any]
    encoder: Mapping[str, Any]
    recipe: str
    file: str
    sha256: str
    seq_lengths: Sequence[int]
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    collapsed: str
    flips: int
    parity: Mapping[str, float]
    parameters: Mapping[str, int]
    bytes: Mapping[str, int]
    operators: Mapping[str, int]
    pieces: int
    latency: Mapping[str, Mapping[str, float]]
    threads: int
    peak_memory_bytes: Mapping[str, int]
    quantization: Mapping[str, Any]
    environment: Mapping[str, Any]
    finished: str = dataclasses.field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Return the record of a line's values; see `Record.of`."""
        check_types(cls, values)
        recipe = values["recipe"]
        # They become names in the export's folder, and must not lead out of it.
        if not re.fullmatch(r"[\w+-]+", recipe) or values["file"] != f"{recipe}.tflite":
            raise ValueError(f"{recipe!r} with the file {values['file']!r} is no recipe")
        return cls(**{**values, "metrics": with_nan(values["metrics"])})


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run as its folder tells it.

    Attributes:
      path: of the folder.
      config: its settings.
      result: its record.
    """

    path: pathlib.Path
    config: ExperimentConfig
    result: ExperimentResult

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.path, self.config)

    @classmethod
    def read(cls, path: pathlib.Path, flag: str = "run") -> Run:
        """Reads the folder of a finished run.

        Args:
          path: of the folder.
          flag: that named it, for messages.

        Raises:
          UserError: there is no such folder, or it holds no finished run.
        """
        config_file = path / "config.json"
        try:
            is_folder, is_run = path.is_dir(), config_file.is_file()
        except (OSError, ValueError) as error:  # A name that is too long, or can be none.
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"--{flag}={path}: cannot be read ({reason}).") from None
        if not is_run:
            what = "no run (no config.json)" if is_folder else "no such folder"
            raise UserError(f"--{flag}={path}: {what}. Give the folder of a finished run.")
        try:
            config = read_file(config_file)
        except (OSError, ValueError, UserError) as error:
            raise UserError(f"{config_file}: not the settings of a run ({error}).") from error
        folder = RunFolder(path, config)
        if not folder.results_file.exists():
            raise UserError(
                f"--{flag}={path}: this run is not finished (no {results.FILE_NAME}). Give the "
                "command that began it again; it goes on after its last saved state."
            )
        found = results.load(folder.results_file)
        if not found:
            raise UserError(f"{folder.results_file}: holds no record.")
        if not (folder.model / "saved_model.pb").is_file():
            raise UserError(
                f"{folder.model}: holds no model. Copy the whole folder of the run, or train again."
            )
        return cls(path, config, found[-1])


@dataclasses.dataclass(frozen=True)
class ExportFolder:
    """Where the files of one export lie."""

    path: pathlib.Path

    @classmethod
    def open(cls, path: pathlib.Path, settings: Mapping[str, Any]) -> ExportFolder:
        """Claims a folder: a new one, an empty one, or one with an export of these settings.

        Raises:
          UserError: it cannot be written, holds something else, or an export of other
            settings (the message names the difference). Nothing in it is touched.
        """
        folder = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            if folder.settings_file.is_file():
                folder._require(settings)
            elif any(not entry.name.startswith(".") for entry in path.iterdir()):
                raise UserError(
                    f"--output={path}: holds files, but no export (no "
                    f"{folder.settings_file.name}). Give an empty or a new folder."
                )
            else:
                write_atomically(folder.settings_file, json.dumps(settings, indent=2) + "\n")
        except OSError as error:
            raise UserError(
                f"--output={path}: cannot be written ({error.strerror}). "
                "Give a folder that you may write, on a disk with space left."
            ) from error
        return folder

    def _require(self, settings: Mapping[str, Any]) -> None:
        try:
            earlier = strict_json.loads(self.settings_file.read_text(encoding="utf-8"))
            different = sorted(
                name for name in {*earlier, *settings} if earlier.get(name) != settings.get(name)
            )
        except (ValueError, AttributeError, TypeError) as error:
            raise UserError(
                f"{self.settings_file}: not the settings of an export ({error}). "
                "Give another --output."
            ) from error
        if different:
            listed = ", ".join(
                f"{name} is {earlier.get(name)!r} there and {settings.get(name)!r} here"
                for name in different
            )
            raise UserError(
                f"--output={self.path}: holds another export: {listed}. "
                "Give another --output; the earlier files are untouched."
            )

    @property
    def settings_file(self) -> pathlib.Path:
        return self.path / "export.json"

    @property
    def results_file(self) -> pathlib.Path:
        return self.path / results.FILE_NAME

    @property
    def vocabulary(self) -> pathlib.Path:
        return self.path / "vocab.txt"

    @property
    def preprocessing(self) -> pathlib.Path:
        return self.path / "preprocessing"

    @property
    def int8_report(self) -> pathlib.Path:
        return self.path / "int8_report.tsv"

    @property
    def checksums(self) -> pathlib.Path:
        return self.path / "SHA256SUMS"

    def model(self, recipe: str) -> pathlib.Path:
        return self.path / f"{recipe}.tflite"

    def card(self, recipe: str) -> pathlib.Path:
        return self.path / f"{recipe}.md"

    def predictions_file(self, recipe: str, split: str) -> pathlib.Path:
        return self.path / "predictions" / f"{recipe}.{split}.tsv"

    def records(self) -> dict[str, ExportResult]:
        """Recipe -> its last record, of the files that are there and whole."""
        if not self.results_file.exists():
            return {}
        found = {}
        for record in records.load(self.results_file, ExportResult):
            file = self.path / record.file
            if file.is_file() and sha256(file) == record.sha256:
                found[record.recipe] = record
        return found

    def write_checksums(self) -> None:
        """Writes SHA256SUMS anew, over the .tflite files and the vocabulary."""
        files = [*sorted(self.path.glob("*.tflite")), self.vocabulary]
        write_atomically(
            self.checksums, "".join(f"{sha256(file)}  {file.name}\n" for file in files)
        )
