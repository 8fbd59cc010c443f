"""The folder of a compression.

compress.json     the run and the settings; another run or other settings are refused
candidates.json   the structures that were found, as they are written
again/            run: the same once more, with training texts held out, where it has held out none
searched-*/       runs: the smaller networks, with outputs fitted by least squares
trained-*/        runs: the same networks, trained with the original as their teacher
aware-*/          runs: trained on for the grids of one recipe
files/RUN/        the files of a run that were tried, and the times of their sessions
trials.jsonl      a record for each of them
steps.jsonl       a record for each step, with what it took
choices.jsonl     the file that was chosen, a record for each stage
outcomes.jsonl    the result: the chosen file beside the original
report.html       the page
report.md         the same tables in Markdown
.lock             held by the process that is compressing here
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any, Self, TypeVar

from bert_glue_tf.budget.record import TRAINED, Choice, Outcome, Step, Trial
from bert_glue_tf.budget.settings import CompressSettings
from bert_glue_tf.core import locks, records, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import reason, write_atomically
from bert_glue_tf.core.records import Record
from bert_glue_tf.runs.config import canonical_place

_R = TypeVar("_R", bound=Record)
_RUN = "run"
# They may change as long as nothing has been trained.
_OF_TRAININGS = ("epochs", "learning_rate", "trainings")


@dataclasses.dataclass(frozen=True)
class CompressFolder:
    """The folder of one compression; `open` takes it for a run and settings.

    Attributes:
      path: of the folder.
    """

    path: pathlib.Path

    @classmethod
    def open(cls, path: pathlib.Path, run: pathlib.Path, settings: CompressSettings) -> Self:
        """Take a folder: a new one, an empty one, or one with this compression.

        It is this process's until that ends.

        Args:
          path: of the folder.
          run: the run that is compressed.
          settings: of the compression.

        Raises:
          UserError: it cannot be written, another process is at work in it, or it holds something
            else, or another compression (the message names the difference). Nothing is touched.
        """
        folder = cls(path)
        try:
            folder._judge(run, settings)
            path.mkdir(parents=True, exist_ok=True)
            folder._lock()
            folder._judge(run, settings)
            values = {_RUN: canonical_place(str(run)), **settings.to_json()}
            write_atomically(folder.settings_file, json.dumps(values, indent=2) + "\n")
        except (OSError, ValueError) as error:
            raise UserError(
                f"--workdir={path}: cannot be written ({reason(error)}). "
                "Give a folder that you may write, on a disk with space left."
            ) from error
        return folder

    def _lock(self) -> None:
        try:
            locks.hold(self.path / ".lock")
        except BlockingIOError:
            raise UserError(
                f"--workdir={self.path}: another process is compressing in this folder. "
                "Wait until it has ended, or give another --workdir."
            ) from None

    def _judge(self, run: pathlib.Path, settings: CompressSettings) -> None:
        """Refuse a folder that holds anything but this compression."""
        if not self.path.exists():
            return
        if not self.settings_file.is_file():
            # A process that was killed at once leaves a lock, or a file that is half written.
            if any(not name.startswith(".") for name in os.listdir(self.path)):
                raise UserError(
                    f"--workdir={self.path}: holds files, but no compression (no "
                    f"{self.settings_file.name}). Give an empty or a new folder."
                )
            return
        earlier, of_run = self._read_settings()
        free = () if any(self.path.glob(f"{TRAINED}-*")) else _OF_TRAININGS
        different = {
            name: (old, new)
            for name, new in {**settings.to_json(), _RUN: canonical_place(str(run))}.items()
            if (old := {**earlier.to_json(), _RUN: canonical_place(of_run)}[name]) != new
            and name not in free
        }
        if different:
            listed = ", ".join(
                f"{name} is {_shown(old)} there and {_shown(new)} here"
                for name, (old, new) in different.items()
            )
            raise UserError(
                f"--workdir={self.path}: holds another compression: {listed}. Give another "
                "--workdir; the earlier one is untouched. What was measured of the run and of this "
                "machine is used again."
            )

    def _read_settings(self) -> tuple[CompressSettings, str]:
        try:
            values = dict(strict_json.loads(self.settings_file.read_text(encoding="utf-8")))
            run = str(values.pop(_RUN))
            return CompressSettings.from_json(values), run
        except (ValueError, TypeError, KeyError, UserError) as error:
            raise UserError(
                f"{self.settings_file}: not the settings of a compression ({error}). "
                "Give another --workdir."
            ) from error

    @property
    def settings_file(self) -> pathlib.Path:
        return self.path / "compress.json"

    @property
    def candidates_file(self) -> pathlib.Path:
        return self.path / "candidates.json"

    @property
    def page(self) -> pathlib.Path:
        return self.path / "report.html"

    @property
    def markdown(self) -> pathlib.Path:
        return self.path / "report.md"

    @property
    def files(self) -> pathlib.Path:
        """Return the folder of all files that were tried."""
        return self.path / "files"

    def trials(self) -> list[Trial]:
        """Return the last record of each file that was tried, and is there and whole."""
        return list({one.key: one for one in self._load("trials", Trial)}.values())

    def steps(self) -> list[Step]:
        """Return the steps that were taken, in their order."""
        return self._load("steps", Step)

    def choice(self, stage: str) -> Choice | None:
        """Return the choice among the files up to a stage; None before it was made."""
        return next((one for one in self._load("choices", Choice) if one.stage == stage), None)

    def outcome(self, stage: str) -> Outcome | None:
        """Return the result of a stage; None before there is one."""
        # `results` is what earlier versions called it, and what a run calls its own record.
        found = [*self._load("outcomes", Outcome), *self._load("results", Outcome)]
        return next((one for one in found if one.stage == stage), None)

    def add(self, record: Record) -> None:
        """Add a record to the file of its kind."""
        records.append(self._file(_NAMES[type(record)]), record)

    def _load(self, name: str, kind: type[_R]) -> list[_R]:
        path = self._file(name)
        return records.load(path, kind) if path.exists() else []

    def _file(self, name: str) -> pathlib.Path:
        return self.path / f"{name}.jsonl"


_NAMES: dict[type, str] = {Trial: "trials", Step: "steps", Choice: "choices", Outcome: "outcomes"}


def _shown(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
