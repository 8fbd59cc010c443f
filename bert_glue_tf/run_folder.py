"""The folder of one run: what it holds, and who may write into it.

config.json       the settings; the run can be repeated from this file alone
history.csv       loss and scores of training and validation, a row an epoch
results.jsonl     the result record
predictions/      label, prediction and logits of every validation example, as .tsv
model/            the trained model (SavedModel) with its preprocessing
checkpoints/      the last epoch's state, to go on from
tensorboard/      curves: loss, scores, learning rate, sparsity
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence

from absl import logging

from bert_glue_tf import results
from bert_glue_tf.config import ExperimentConfig
from bert_glue_tf.errors import UserError


def write_atomically(path: pathlib.Path, content: str | bytes) -> None:
    """Replaces a file as a whole: a reader sees the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner may read.
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """A run's folder, claimed for one configuration by `open`."""

    path: pathlib.Path
    config: ExperimentConfig

    @classmethod
    def open(cls, path: pathlib.Path, config: ExperimentConfig) -> RunFolder:
        """Claims a folder: a new one, an empty one, or one that holds a run of `config`.

        Raises:
          UserError: the folder cannot be written, holds something else, or holds a run of
            another configuration (the message names the difference). Nothing in it is touched.
        """
        folder = cls(path, config)
        try:
            if folder.config_file.is_file() and folder._holds_training():
                folder._require_same_config()
            elif folder.config_file.is_file():
                folder.config_file.unlink()  # A start that failed before its first epoch.
            elif path.is_dir() and any(path.iterdir()):
                raise UserError(
                    f"--workdir={path}: holds files, but no run (no {folder.config_file.name}). "
                    "Give an empty or a new folder."
                )
            path.mkdir(parents=True, exist_ok=True)
            # Also shows a folder that is there and cannot be written, or a full disk.
            if not folder.config_file.exists():
                write_atomically(folder.config_file, json.dumps(config.to_json(), indent=2) + "\n")
            else:
                with tempfile.TemporaryFile(dir=path) as probe:
                    probe.write(b"\0")
        except OSError as error:
            raise UserError(
                f"--workdir={path}: cannot be written ({error.strerror}). "
                "Give a folder that you may write, on a disk with space left."
            ) from error
        return folder

    def _holds_training(self) -> bool:
        """Whether training has begun here: curves, a checkpoint, a history or a result."""
        begun = (self.tensorboard, self.checkpoints, self.history_file, self.results_file)
        return any(path.exists() for path in begun)

    def _require_same_config(self) -> None:
        try:
            values = json.loads(self.config_file.read_text(encoding="utf-8"))
            earlier = ExperimentConfig.from_json(values)
        except (ValueError, TypeError, AttributeError, UserError) as error:
            raise UserError(
                f"{self.config_file}: not the settings of a run ({error}). Give another --workdir."
            ) from error
        difference = earlier.difference(self.config)
        if difference:
            listed = ", ".join(
                f"{name} is {old!r} there and {new!r} here"
                for name, (old, new) in difference.items()
            )
            raise UserError(
                f"--workdir={self.path}: holds a run of another configuration: {listed}. "
                "Give another --workdir; the earlier run is untouched."
            )

    @property
    def config_file(self) -> pathlib.Path:
        return self.path / "config.json"

    @property
    def history_file(self) -> pathlib.Path:
        return self.path / "history.csv"

    @property
    def results_file(self) -> pathlib.Path:
        return self.path / results.FILE_NAME

    @property
    def model(self) -> pathlib.Path:
        return self.path / "model"

    @property
    def checkpoints(self) -> pathlib.Path:
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> pathlib.Path:
        return self.path / "tensorboard"

    def predictions_file(self, split: str) -> pathlib.Path:
        return self.path / "predictions" / f"{split}.tsv"

    def finished_result(self) -> results.ExperimentResult | None:
        """The run's record if it has been written, else None."""
        if not self.results_file.exists():
            return None
        records = results.load(self.results_file)
        if not records:
            return None
        logging.info("%s: this run is finished; these are its results", self.path)
        return records[-1]

    def write_history(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Writes the history per epoch as a whole."""
        if not rows:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.history_file, text.getvalue())

    def read_history(self) -> list[dict[str, str]]:
        """The history per epoch as it was written; empty if there is none yet."""
        if not self.history_file.exists():
            return []
        with self.history_file.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
