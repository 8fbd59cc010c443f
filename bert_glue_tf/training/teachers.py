"""The teacher of a run: a finished run, and how its answers fit the student's task.

Nothing here needs TensorFlow, so that one that does not fit is refused before a folder is claimed.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from typing import Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.problems import outputs_of
from bert_glue_tf.data.task_spec import TaskSpec
from bert_glue_tf.models import imported
from bert_glue_tf.runs.config import ExperimentConfig, canonical_place
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.runs.settings import START


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A finished run that a student of the same task learns from.

    Attributes:
      run: the teacher's.
      flag: that names it, with its value.
      outputs: for each output of the student the place of the teacher's output of that name.
      fields: for each text of the teacher's the place of that text in the student's task.
    """

    run: Run
    flag: str
    outputs: list[int]
    fields: list[int]

    @functools.cached_property
    def sha256(self) -> str:
        """The digest of its weights."""
        return imported.folder_sha256(self.run.folder.model / "variables")

    @property
    def provenance(self) -> dict[str, dict[str, Any]]:
        """Return what it is, as `inputs.json` holds it."""
        return {"teacher": {"name": self.run.path.name, "sha256": self.sha256}}


def check(settings: ExperimentConfig, task: TaskSpec) -> None:
    """Refuse a teacher that is no finished run, or does not fit the task.

    One that this run fine-tunes first is not there yet, and fits by itself.

    Args:
      settings: of the run.
      task: of the run.

    Raises:
      UserError: names --teacher, the difference and what would be good.
    """
    place = settings.start if settings.teacher == START else settings.teacher
    if place:
        _teacher(settings, task, pathlib.Path(canonical_place(place)))


def find(settings: ExperimentConfig, task: TaskSpec, start: RunFolder | None) -> Teacher | None:
    """Return the teacher of a run; None where it has none.

    Args:
      settings: of the run.
      task: of the run.
      start: the finished run that this one starts from; None where there is none.

    Raises:
      UserError: as `check`.
    """
    if not settings.teacher:
        return None
    if settings.teacher == START:
        assert start is not None  # `ExperimentConfig` asks for one.
        return _teacher(settings, task, start.path)
    return _teacher(settings, task, pathlib.Path(canonical_place(settings.teacher)))


def _teacher(settings: ExperimentConfig, task: TaskSpec, place: pathlib.Path) -> Teacher:
    flag = f"--teacher={settings.teacher}"
    run = Run.read(place, "teacher")
    theirs = run.task
    # Those of the user's own are named after their files.
    if task.name != theirs.name and None in (task.own, theirs.own):
        raise UserError(
            f"{flag}: it has learned the task {theirs.name}, and this run is of {task.name}. Give "
            f"a finished run of --task={task.name}."
        )
    mine, asked = task.text_fields, theirs.text_fields
    if len(mine) != len(asked):
        raise UserError(
            f"{flag}: it reads {len(asked)} text(s) an example, and this run {len(mine)}. Give a "
            "teacher of the same kind of examples."
        )
    try:
        outputs = outputs_of(task.problem, theirs.problem)
    except ValueError as error:
        raise UserError(
            f"{flag}: does not fit the task {task.name}: {error}. Give a teacher that was trained "
            "with the same labels."
        ) from None
    are_named = sorted(mine) == sorted(asked)
    fields = [mine.index(name) if are_named else place for place, name in enumerate(asked)]
    return Teacher(run, flag, outputs, fields)
