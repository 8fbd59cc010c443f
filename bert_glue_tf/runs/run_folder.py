"""The folder of one run: what it holds, and who may write into it.

config.json       the settings; the run can be repeated from this file alone
inputs.json       checksums of the data and the encoder that the run was begun with
history.csv       loss and scores of training and validation, a row an epoch
results.jsonl     the result record
predictions/      label, prediction and logits of every validation example, as .tsv
model/            the trained model (SavedModel) with its preprocessing
choices.json      what was decided before the training and has to stay so when it goes on
checkpoints/      the last two states of the training, to go on from; a finished run has none
tensorboard/      curves: loss, scores, learning rate, sparsity
.lock             held by the process that is running here
"""

from __future__ import annotations

import atexit
import csv
import dataclasses
import io
import itertools
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import logging

from bert_glue_tf.core import locks, records, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import is_half_written, reason, write_atomically
from bert_glue_tf.runs import results
from bert_glue_tf.runs.config import NAMED, ExperimentConfig, canonical_place, read_file

LOCK = ".lock"
_EPOCHS = 10**6  # More than any run has.
# What has to stay the same from the first process of a run to its last; a path may change.
_DECIDING = ("name", "version", "sha256", "examples", "vocabulary_sha256")


class BusyError(UserError):
    """Another process is running in the folder."""


def _lock(folder: pathlib.Path) -> None:
    """Takes the folder's lock for as long as the process lives; the system gives it back.

    Raises:
      BusyError: another process holds it.
    """
    try:
        locks.hold(folder / LOCK)
    except BlockingIOError:
        raise BusyError(
            f"--workdir={folder}: another process is running in this folder. "
            "Wait until it has ended, or give another --workdir."
        ) from None


def deciding(inputs: Mapping[str, Mapping[str, Any]]) -> str:
    """What makes inputs the same on two machines, as text: checksums and numbers, no paths."""
    keys = [key for key in _DECIDING if key != "name"]
    return json.dumps({name: [values.get(key) for key in keys] for name, values in inputs.items()})


def _free_beside(path: pathlib.Path) -> pathlib.Path:
    """A folder that is not there yet: the same name with the next number."""
    if path.name in ("", ".."):  # "." has no name to put a number to.
        path = path.resolve()
    numbered = (pathlib.Path(f"{path}-{number}") for number in itertools.count(2))
    return next(other for other in numbered if not os.path.lexists(other))


def _parent(path: pathlib.Path) -> pathlib.Path:
    """The folder that holds this one, also where it is given as "." or ".."."""
    if path.name in ("", ".."):
        path = pathlib.Path(os.path.abspath(path))
    return path.parent


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """A run's folder; `open` claims it for one configuration and for this process."""

    path: pathlib.Path
    config: ExperimentConfig
    # The chief's folder, where this is the temporary one of another worker.
    followed: pathlib.Path | None = None

    @classmethod
    def open(cls, path: pathlib.Path, config: ExperimentConfig) -> RunFolder:
        """Claims a folder: a new one, an empty one, or one that holds a run of `config`.

        The claim holds until the process ends; the same process may claim a folder again.

        Raises:
          BusyError: another process runs in it.
          UserError: the folder cannot be written, it holds something else, or it holds a run of
            another configuration (the message names the difference). Nothing in it is touched.
        """
        folder = cls(path, config)
        try:
            folder._judge()
            path.mkdir(parents=True, exist_ok=True)
            _lock(path)
            folder._remove_leftovers()
            folder._judge()  # Before the lock was held, another process may have begun a run.
            # Writing also shows a folder that is there and cannot be written, or a full disk.
            if folder._holds_training():
                with tempfile.TemporaryFile(dir=path) as probe:
                    probe.write(b"\0")
            else:
                folder.choices_file.unlink(missing_ok=True)
                write_atomically(folder.config_file, config.to_text())
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path.
            raise UserError(
                f"--workdir={path}: cannot be written ({reason(error)}). "
                "Give a folder that you may write, on a disk with space left."
            ) from error
        return folder

    @classmethod
    def follow(cls, path: pathlib.Path, config: ExperimentConfig) -> RunFolder:
        """A temporary folder for a worker of the run that is not its chief.

        It begins with what the chief's folder holds of an interrupted run, so that the worker
        goes on where the chief does. All workers write the same (a checkpoint of a variable of
        several replicas needs each of them), and what is not the chief's goes when the process
        ends.

        Args:
          path: the chief's folder; it is read only.
          config: of the run.

        Raises:
          UserError: the folder holds a run of another configuration, or cannot be read.
        """
        temporary = pathlib.Path(tempfile.mkdtemp(prefix="bert_glue_tf_worker."))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        # Not the name as it was given, which may be "..".
        own = cls(temporary / (os.path.basename(os.path.abspath(path)) or "run"), config, path)
        own.claim()
        return own

    def claim(self) -> None:
        """Claims the folder as `open`; a worker's temporary one with a new copy of the chief's.

        Raises:
          UserError: as `open` and `follow`.
        """
        if self.followed is not None:
            self._copy(self.followed)
        RunFolder.open(self.path, self.config)

    def _copy(self, source: pathlib.Path) -> None:
        chiefs = RunFolder(source, self.config)
        try:
            chiefs._judge()
            shutil.rmtree(self.path, ignore_errors=True)
            for part in (
                chiefs.config_file,
                chiefs.inputs_file,
                chiefs.choices_file,
                chiefs.history_file,
                chiefs.results_file,
            ):
                if part.is_file():
                    self.path.mkdir(parents=True, exist_ok=True)
                    shutil.copy(part, self.path)
            for part in (chiefs.checkpoints, chiefs.model):
                if part.is_dir():
                    shutil.copytree(part, self.path / part.name)
        except OSError as error:
            raise UserError(
                f"--workdir={source}: cannot be copied ({reason(error)}). Give a folder "
                "that every worker may read, and make room for temporary files."
            ) from error

    def beside(self, config: ExperimentConfig) -> RunFolder:
        """The folder of another run where its name puts it beside this one; not claimed."""
        name = config.run_name
        followed = None if self.followed is None else _parent(self.followed) / name
        return RunFolder(_parent(self.path) / name, config, followed)

    def hand_over(self) -> int:
        """Returns the descriptor of the lock that `open` took; see `locks.hand_over`."""
        return locks.hand_over(self.path / LOCK)

    def _judge(self) -> None:
        """Refuses a folder that holds anything but a run of this configuration."""
        if not self.path.is_dir():
            return
        if self._holds_training() and self.config_file.is_file():
            self._refuse_another_run(self._read_config())
            return
        foreign = [name for name in sorted(os.listdir(self.path)) if not self._is_of_a_start(name)]
        if foreign:
            raise UserError(
                f"--workdir={self.path}: holds files, but no run ({foreign[0]!r} is not of a run). "
                "Give an empty or a new folder."
            )
        if self.config_file.is_file():
            self._read_config()  # Of a version that has other settings, it is not replaced.

    def _holds_training(self) -> bool:
        """Whether training has begun here: curves, a checkpoint, or anything that came of it."""
        begun = (
            self.tensorboard,
            self.checkpoints,
            self.history_file,
            self.results_file,
            self.model,
            self.predictions,
        )
        return any(path.exists() for path in begun)

    def _is_of_a_start(self, name: str) -> bool:
        """Whether a file is what a start leaves behind that failed before its first epoch."""
        if name == self.config_file.name:
            return self._is_settings()
        written = [file.name for file in (self.config_file, self.inputs_file, self.choices_file)]
        return name in (LOCK, *written) or any(is_half_written(name, whole) for whole in written)

    def _remove_leftovers(self) -> None:
        """Removes what killed processes have left half-written; the lock has to be held."""
        files = (self.config_file, self.inputs_file, self.choices_file, self.history_file)
        for path in self.path.glob(".*"):
            if any(is_half_written(path.name, file.name) for file in files):
                path.unlink(missing_ok=True)
        for path in self.predictions.glob(".*.tsv.*"):
            path.unlink(missing_ok=True)

    def _is_settings(self) -> bool:
        """Return whether config.json was written by `open`, of this version or of another."""
        try:
            values = strict_json.loads(self.config_file.read_text(encoding="utf-8"))
            return set(values) >= {records.FORMAT, *NAMED}
        except (IsADirectoryError, ValueError, TypeError):
            return False

    def _read_config(self) -> ExperimentConfig:
        """Return the settings in config.json, all of which this version has to know."""
        try:
            return read_file(self.config_file, is_exact=True)
        except (ValueError, UserError) as error:
            raise UserError(
                f"{self.config_file}: not the settings of a run ({error}). Give another --workdir."
            ) from error

    def _refuse_another_run(self, earlier: ExperimentConfig) -> None:
        difference = earlier.difference(self.config)
        if difference:
            listed = ", ".join(
                f"{name} is {old!r} there and {new!r} here"
                for name, (old, new) in difference.items()
            )
            raise UserError(
                f"--workdir={self.path}: holds a run of another configuration: {listed}. "
                f"Give another folder, as --workdir={_free_beside(self.path)}; the earlier run is "
                "untouched."
            )

    @property
    def config_file(self) -> pathlib.Path:
        return self.path / "config.json"

    @property
    def inputs_file(self) -> pathlib.Path:
        return self.path / "inputs.json"

    @property
    def choices_file(self) -> pathlib.Path:
        return self.path / "choices.json"

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
    def has_checkpoint(self) -> bool:
        """Whether a state of the training has been saved that the run can go on from."""
        return any(self.checkpoints.glob("*.index"))

    @property
    def tensorboard(self) -> pathlib.Path:
        return self.path / "tensorboard"

    @property
    def predictions(self) -> pathlib.Path:
        return self.path / "predictions"

    def predictions_file(self, split: str) -> pathlib.Path:
        return self.predictions / f"{split}.tsv"

    def finished_result(self) -> results.ExperimentResult | None:
        """The run's record, as `record` reads it, with a line in the log that it was there."""
        result = self.record()
        if result is not None:
            # Where a process was killed between the record and the end.
            shutil.rmtree(self.checkpoints, ignore_errors=True)
            logging.info("%s: this run is finished; these are its results", self.path)
        return result

    def record(self) -> results.ExperimentResult | None:
        """The run's record if it has been written, else None; nothing is claimed or written.

        Raises:
          UserError: the folder or its record cannot be read, or the record is of another
            configuration.
        """
        try:
            if not self.results_file.exists():
                return None
        except OSError as error:
            raise UserError(
                f"--workdir={self.path}: cannot be read ({reason(error)}). "
                "Give a folder that you may read and write."
            ) from error
        found = results.load(self.results_file)
        if not found:
            return None
        try:
            earlier = ExperimentConfig.from_json(found[-1].config)
        except (TypeError, AttributeError, UserError) as error:
            raise UserError(
                f"{self.results_file}: its last record has not the settings of a run ({error}). "
                "Give another --workdir."
            ) from error
        self._refuse_another_run(earlier)
        return found[-1]

    def require_same_inputs(self, inputs: Mapping[str, Mapping[str, Any]]) -> None:
        """Keeps what the run trains on, or compares it with what its first process kept.

        Args:
          inputs: provenance (JSON types) by what it is of ("train data", "encoder", ...).

        Raises:
          UserError: training has begun here, and with something else; the message names it.
        """
        if self._holds_training() and self.inputs_file.exists():
            self.compare_inputs(inputs)
            return
        write_atomically(self.inputs_file, json.dumps(inputs, indent=2) + "\n")

    def decide(self, name: str, make: Callable[[], Any]) -> Any:
        """What was decided under this name in the run, by an earlier process or by `make` now.

        Args:
          name: of the decision.
          make: gives JSON types.

        Raises:
          UserError: what was decided cannot be read.
        """
        made: dict[str, Any] = {}
        if self.choices_file.exists():
            try:
                made = dict(strict_json.loads(self.choices_file.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError) as error:
                raise UserError(
                    f"{self.choices_file}: not what a run has decided ({error}). "
                    "Give another --workdir."
                ) from error
        if name not in made:
            made[name] = make()
            write_atomically(self.choices_file, json.dumps(made, indent=2) + "\n")
        return made[name]

    def require_present(self) -> None:
        """Asks for the folder before something is written into it.

        Raises:
          UserError: somebody has removed or renamed it while the run was going on.
        """
        if not self.config_file.is_file():
            raise UserError(
                f"--workdir={self.path}: the folder has vanished while the run was going on (its "
                f"{self.config_file.name} cannot be found), so nothing more is written. Bring it "
                "back: the same command then goes on from the last state that is in it. Without "
                "it, the same command starts anew."
            )

    def compare_inputs(self, inputs: Mapping[str, Mapping[str, Any]]) -> None:
        """Compares what the run was begun with; for `inputs` see `require_same_inputs`.

        Raises:
          UserError: it was something else (the message names it), or it cannot be read.
        """
        try:
            earlier = strict_json.loads(self.inputs_file.read_text(encoding="utf-8"))
            earlier = {name: dict(values) for name, values in earlier.items()}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UserError(
                f"{self.inputs_file}: not what a run was begun with ({error}). "
                "Give another --workdir."
            ) from error
        for name, now in inputs.items():
            for key in _DECIDING:
                before = earlier.get(name, {}).get(key)
                # An encoder's name may be its folder, written in another way.
                if canonical_place(str(before)) != canonical_place(str(now.get(key))):
                    raise UserError(
                        f"--workdir={self.path}: the {name} is not what the run there was "
                        f"begun with: {key} was {before} and is {now.get(key)} now. Bring the "
                        "earlier one back, or give another --workdir; the run is untouched."
                    )

    def write_history(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Writes the history per epoch as a whole.

        Raises:
          UserError: as `require_present`.
        """
        if not rows:
            return
        self.require_present()
        text = io.StringIO()
        # A run that goes on in a later version may have columns that its first rows have not.
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.history_file, text.getvalue())

    def read_history(self) -> list[dict[str, str]]:
        """The history per epoch as it was written; see the function `read_history`."""
        return read_history(self.history_file)


def read_history(path: pathlib.Path) -> list[dict[str, str]]:
    """The rows of a run's history.csv, an epoch each; empty if there is no such file.

    Raises:
      UserError: it cannot be read, or holds something else than numbers.
    """
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            if not 0 <= int(row["epoch"]) <= _EPOCHS:
                raise ValueError(f"epoch {row['epoch']}")
            for value in row.values():
                float(value or "nan")  # Of a column that an earlier version did not write.
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: not the history of a run ({error!r}).") from None
    return rows
