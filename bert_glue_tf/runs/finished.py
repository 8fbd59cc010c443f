"""A finished run, read from its folder."""

from __future__ import annotations

import dataclasses
import pathlib

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.models import sizes
from bert_glue_tf.runs import paths, results
from bert_glue_tf.runs.config import ExperimentConfig, read_file
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.runs.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: its folder, settings and record.

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

    @property
    def name(self) -> str:
        """Return what records call it."""
        return paths.name_of(self.path)

    @property
    def task(self) -> TaskSpec:
        """Return the task that it was trained on."""
        return tasks.of(self.result)

    @property
    def sizes(self) -> tuple[str, ...]:
        """Return the names of the networks that its weights hold, from the smallest on.

        None where they hold one.
        """
        return tuple(self.result.sizes.get("names", ()))

    def of_size(self, name: str) -> Run:
        """Return one of the networks that the run's weights hold, as a finished run.

        Raises:
          UserError: there is no such size, or its folder is not whole.
        """
        if name not in self.sizes:
            good = ", ".join(self.sizes)
            has = f"it has {good}" if good else "it has one network"
            raise UserError(
                f"--size={name}: the run {self.path} has no such size ({has}). "
                + (f"Good values: {good}." if good else "Leave --size out.")
            )
        is_whole = name == self.sizes[-1]
        if is_whole:
            return self
        folder = self.folder.sizes / name
        if not folder.is_dir():
            raise UserError(
                f"{folder}: this folder is missing, the size {name} of the run. Copy the run as a "
                "whole, or train again."
            )
        return Run.read(folder, "size")

    @classmethod
    def read(cls, path: pathlib.Path, flag: str = "run") -> Run:
        """Read the folder of a finished run.

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
            what = "a file, not a folder" if path.is_file() else what
            inside = [one.name for one in paths.runs_in(path)] if is_folder else []
            hint = f", as one of those in it: {', '.join(inside)}" if inside else ""
            raise UserError(f"--{flag}={path}: {what}. Give the folder of a finished run{hint}.")
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
        sizes.restore(folder.model)
        return cls(path, config, found[-1])
