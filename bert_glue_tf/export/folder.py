"""The folder that holds the exported files of a run.

<recipe>.tflite     the file; <recipe>.md is its card, <recipe>.json its metadata
<recipe>.cc, .h     the file as a C array, of recipes of integers alone
vocab.txt           of texts: the vocabulary, for the phone's tokenizer
preprocessing/      the same tokenizer as a SavedModel, or the shape of arrays, for `predict`
int8_report.tsv     noise and pieces of every operator, and whether it is int8
predictions/        label, prediction and logits of every validation example, as .tsv
results.jsonl       a record for each file
timings.jsonl       times of the files, a line for each file and session
export.json         what was exported: source, lengths, calibration; and the versions it began with
SHA256SUMS          as `sha256sum --check` reads it
.lock               held by the process that is exporting here
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from absl import logging

from bert_glue_tf.core import layout, locks, records, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import sha256, write_atomically
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.runs import results, versions

FOLDER = "tflite"
_LOCK = ".lock"
# Beside the settings in export.json; told where they differ, but no other export.
_VERSIONS = "versions"


@dataclasses.dataclass(frozen=True)
class ExportFolder:
    """The folder of one export; `open` takes it for these settings."""

    path: pathlib.Path

    @classmethod
    def open(cls, path: pathlib.Path, settings: Mapping[str, Any]) -> ExportFolder:
        """Take a folder: a new one, an empty one, or one with an export of these settings.

        Raises:
          UserError: it cannot be written, another export is at work in it, or it holds something
            else, or an export of other settings (the message names the difference). Nothing in
            it is touched.
        """
        folder = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            with folder.locked():
                folder._take(settings)
        except OSError as error:
            raise UserError(
                f"--output={path}: cannot be written ({error.strerror}). "
                "Give a folder that you may write, on a disk with space left."
            ) from error
        return folder

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock, so that two exports at once cannot mix their files.

        Raises:
          UserError: another export is at work in it.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locks.holding(self.path / _LOCK))
            except BlockingIOError:
                raise UserError(
                    f"--output={self.path}: another process is exporting into this folder. "
                    "Wait until it has ended, or give another --output."
                ) from None
            yield  # Outside of the try: what fails in the block is no lock.

    def _take(self, settings: Mapping[str, Any]) -> None:
        self.require_free()
        if self.settings_file.is_file():
            self._require(settings)
        else:
            versioned = {**settings, _VERSIONS: versions.installed(versions.QUANTIZER)}
            write_atomically(self.settings_file, json.dumps(versioned, indent=2) + "\n")

    def require_free(self) -> None:
        """Refuse a folder that holds something else than an export.

        Raises:
          UserError: naming it.
        """
        if self.settings_file.is_file() or not self.path.is_dir():
            return
        if any(not entry.name.startswith(".") for entry in self.path.iterdir()):
            raise UserError(
                f"--output={self.path}: holds files, but no export (no "
                f"{self.settings_file.name}). Give an empty or a new folder."
            )

    def seq_lengths(self) -> tuple[int, ...]:
        """Return the lengths of the export that is here, ascending; empty where there is none."""
        try:
            found = strict_json.loads(self.settings_file.read_text(encoding="utf-8"))
            return tuple(int(length) for length in found["seq_lengths"])
        except (OSError, ValueError, LookupError, TypeError):
            return ()  # `open` tells of a damaged one.

    def note_versions(self) -> None:
        """Warn where files are added with other versions than the export was begun with."""
        values = strict_json.loads(self.settings_file.read_text(encoding="utf-8"))
        now = versions.installed(versions.QUANTIZER)
        versions.note_others(f"--output={self.path}", values.get(_VERSIONS, {}), now)

    def _require(self, settings: Mapping[str, Any]) -> None:
        try:
            earlier = strict_json.loads(self.settings_file.read_text(encoding="utf-8"))
            earlier.pop(_VERSIONS, None)
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

    def metadata(self, recipe: str) -> pathlib.Path:
        return self.path / f"{recipe}.json"

    def sources(self, recipe: str) -> tuple[pathlib.Path, pathlib.Path]:
        """Return the files of the C array of a file: its source and its header."""
        return self.path / f"{recipe}.cc", self.path / f"{recipe}.h"

    def predictions_file(self, recipe: str, split: str) -> pathlib.Path:
        return self.path / "predictions" / f"{recipe}.{split}.tsv"

    def copy_tokenizer(self, source: pathlib.Path) -> None:
        """Copy a preprocessing SavedModel and its vocabulary beside the files.

        Raises:
          UserError: the SavedModel has no vocabulary.
        """
        vocabularies = sorted((source / "assets").glob("*"))
        if len(vocabularies) != 1:
            raise UserError(
                f"{source}/assets: expected one vocabulary, found "
                f"{', '.join(file.name for file in vocabularies) or 'none'}."
            )
        write_atomically(self.vocabulary, vocabularies[0].read_bytes())
        self.copy_preprocessing(source)

    def copy_preprocessing(self, source: pathlib.Path) -> None:
        """Copy the folder of what reads examples beside the files, if it is not there."""
        if not self.preprocessing.exists():
            temporary = self.path / f".preprocessing.{os.getpid()}"
            try:
                shutil.copytree(source, temporary)
                os.replace(temporary, self.preprocessing)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def records(self) -> dict[str, ExportResult]:
        """Return the last record of each recipe whose file is there and whole.

        A recipe whose file is neither is left out, with a line in the log.
        """
        if not self.results_file.exists():
            return {}
        found, recorded = {}, set()
        for record in records.load(self.results_file, ExportResult):
            file = self.path / record.file
            recorded.add(file)
            if file.is_file() and sha256(file) == record.sha256:
                found[record.recipe] = record
        for file in sorted(recorded - {self.path / one.file for one in found.values()}):
            _warn_of_other(file)
        return found

    def write_checksums(self) -> None:
        """Write SHA256SUMS anew: over the .tflite files, their metadata and the vocabulary."""
        models = sorted(self.path.glob("*.tflite"))
        described = [file for model in models if (file := self.metadata(model.stem)).is_file()]
        beside = [self.vocabulary] if self.vocabulary.is_file() else []
        sources = [file for model in models for file in self.sources(model.stem) if file.is_file()]
        files = [*models, *described, *sources, *beside]
        write_atomically(
            self.checksums, "".join(f"{sha256(file)}  {file.name}\n" for file in files)
        )


@functools.cache  # A command that looks twice says it once.
def _warn_of_other(file: pathlib.Path) -> None:
    told = layout.near(file.resolve())
    logging.warning("%s: it is gone, or not the file that was measured; left out", told)
