"""The folder of one run: who may write into it, and what it holds; see `paths` for its files."""

from __future__ import annotations

import atexit
import dataclasses
import itertools
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
from bert_glue_tf.runs import history, results
from bert_glue_tf.runs.config import NAMED, ExperimentConfig, read_file
from bert_glue_tf.runs.inputs import Inputs, compare, decide, keep, note_other_versions
from bert_glue_tf.runs.paths import LOCK, RunPaths


class BusyError(UserError):
    """Another process is running in the folder."""


def _lock(folder: pathlib.Path) -> None:
    """Take the folder's lock for as long as the process lives; the system gives it back.

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


def _free_beside(path: pathlib.Path) -> pathlib.Path:
    """Return a folder that is not there yet: the same name with the next number."""
    if path.name in ("", ".."):  # "." has no name to put a number to.
        path = path.resolve()
    numbered = (pathlib.Path(f"{path}-{number}") for number in itertools.count(2))
    return next(other for other in numbered if not os.path.lexists(other))


def _parent(path: pathlib.Path) -> pathlib.Path:
    """Return the folder that holds this one, also where it is given as "." or ".."."""
    if path.name in ("", ".."):
        path = pathlib.Path(os.path.abspath(path))
    return path.parent


@dataclasses.dataclass(frozen=True)
class RunFolder(RunPaths):
    """A run's folder; `open` claims it for one configuration and for this process.

    Attributes:
      path: of the folder.
      config: the run's settings.
      followed: the chief's folder, where this is the temporary one of another worker.
    """

    config: ExperimentConfig
    followed: pathlib.Path | None = None

    @classmethod
    def open(cls, path: pathlib.Path, config: ExperimentConfig) -> RunFolder:
        """Claim a folder: a new one, an empty one, or one that holds a run of `config`.

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
        """Return a temporary folder for a worker of the run that is not its chief.

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
        """Claim the folder as `open`; a worker's temporary one with a new copy of the chief's.

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
            for part in (chiefs.checkpoints, chiefs.best, chiefs.teacher_answers, chiefs.model):
                if part.is_dir():
                    shutil.copytree(part, self.path / part.name)
        except OSError as error:
            raise UserError(
                f"--workdir={source}: cannot be copied ({reason(error)}). Give a folder "
                "that every worker may read, and make room for temporary files."
            ) from error

    def beside(self, config: ExperimentConfig) -> RunFolder:
        """Return the folder of another run, which lies beside this one; it is not claimed."""
        name = config.run_name
        followed = None if self.followed is None else _parent(self.followed) / name
        return RunFolder(_parent(self.path) / name, config, followed)

    @property
    def has_others_beside(self) -> bool:
        """Return whether the folder that holds this one holds other finished runs."""
        found = _parent(self.path).glob(f"*/{self.results_file.name}")
        own = os.path.abspath(self.results_file)
        return any(os.path.abspath(file) != own for file in found)

    def hand_over(self) -> int:
        """Return the descriptor of the lock that `open` took; see `locks.hand_over`."""
        return locks.hand_over(self.lock)

    def _judge(self) -> None:
        """Refuse a folder that holds anything but a run of this configuration."""
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
        """Return whether training has begun here: there are curves, a checkpoint or results."""
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
        """Return whether a start that failed before its first epoch leaves such a file behind."""
        if name == self.config_file.name:
            return self._is_settings()
        written = [file.name for file in (self.config_file, self.inputs_file, self.choices_file)]
        return name in (LOCK, self.teacher_answers.name, *written) or any(
            is_half_written(name, whole) for whole in written
        )

    def _remove_leftovers(self) -> None:
        """Remove what killed processes have left half-written; the lock has to be held."""
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
    def has_checkpoint(self) -> bool:
        """Return whether a state of the training has been saved that the run can go on from."""
        return any(self.checkpoints.glob("*.index"))

    @property
    def can_go_on(self) -> bool:
        """Return whether something is saved of the run, or of one that it needs."""
        needed = [self.beside(config) for config in self.config.needs]
        return self.has_checkpoint or any(
            run.has_checkpoint or run.results_file.exists() for run in needed
        )

    def finished_result(self) -> results.ExperimentResult | None:
        """Return the run's record as `record` does; the log says that the run is finished."""
        result = self.record()
        if result is not None:
            self.remove_states()  # Where a process was killed between the record and the end.
            logging.info("%s: this run is finished; these are its results", self.path)
        return result

    def record(self) -> results.ExperimentResult | None:
        """Return the run's record, None before it has been written; nothing is claimed or written.

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

    def remove_states(self) -> None:
        """Remove what only a training needs to go on; a finished run never does."""
        for folder in (self.checkpoints, self.best, self.teacher_answers):
            shutil.rmtree(folder, ignore_errors=True)

    def require_same_inputs(self, inputs: Inputs) -> None:
        """Keep what the run trains on, or compare it with what its first process kept.

        Other versions of the software than those it was begun with are told in a warning.

        Args:
          inputs: provenance (JSON types) by what it is of ("train data", "encoder", ...).

        Raises:
          UserError: training has begun here, and with something else; the message names it.
        """
        if self._holds_training() and self.inputs_file.exists():
            self.compare_inputs(inputs)
            note_other_versions(self.inputs_file, f"--workdir={self.path}")
            return
        keep(self.inputs_file, inputs)

    def compare_inputs(self, inputs: Inputs) -> None:
        """Compare what the run was begun with; for `inputs` see `require_same_inputs`.

        Raises:
          UserError: it was something else (the message names it), or it cannot be read.
        """
        compare(self.inputs_file, f"--workdir={self.path}", inputs)

    def decide(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what was decided under this name in the run, as `inputs.decide`."""
        return decide(self.choices_file, name, make)

    def require_present(self) -> None:
        """Require that the folder is still there, before something is written into it.

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

    def write_history(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Write the history per epoch as a whole.

        Raises:
          UserError: as `require_present`.
        """
        if rows:
            self.require_present()
            history.write_history(self.history_file, rows)

    def read_history(self) -> list[dict[str, str]]:
        """Return the history per epoch; see `history.read_history`."""
        return history.read_history(self.history_file)
