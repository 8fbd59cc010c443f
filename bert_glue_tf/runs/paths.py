"""The names of a run's files.

config.json       the settings; the run can be repeated from this file alone
inputs.json       checksums of the data and the encoder that the run was begun with, and versions
history.csv       loss and scores of training and validation, a row an epoch
results.jsonl     the result record
predictions/      label, prediction and logits of every validation example, as .tsv; of a task of
                  the user's own also the scores of each label
model/            the trained model (SavedModel) with its preprocessing
choices.json      what was decided before the training and has to stay so when it goes on
teacher_answers/  the teacher's answers to the training texts, kept until the run is finished
checkpoints/      the last two states of the training, to go on from; a finished run has none
sizes/            of a run of several sizes the smaller ones, each a folder as this one
best/             with --keep=best, the weights of the best epoch; a finished run has none
tensorboard/      curves: loss, scores, learning rate, sparsity; settings and results for HParams
.lock             held by the process that is running here
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib

from absl import logging

from bert_glue_tf.core import layout
from bert_glue_tf.runs import results

LOCK = ".lock"
SIZES = "sizes"


def name_of(folder: pathlib.Path) -> str:
    """Return the name of a run: its folder's, and that of the run behind it for a size of one.

    It is the same from whatever working folder the path is given. A folder that is called as that
    of the sizes of a run is none where there is no run above it.
    """
    folder = pathlib.Path(os.path.abspath(folder))
    run = folder.parent.parent
    if folder.parent.name != SIZES or not RunPaths(run).config_file.is_file():
        return folder.name
    return f"{run.name}/{SIZES}/{folder.name}"


def with_sizes(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the folder of a run, and those of the smaller networks that its weights hold."""
    if not (folder / results.FILE_NAME).is_file():
        return [folder]  # Not finished, though some of its sizes may be.
    found = (folder / SIZES).glob(f"*/{results.FILE_NAME}")
    return [folder, *sorted(file.parent for file in found)]


def runs_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the folders of finished runs in a folder, sorted; none where it cannot be read."""
    # An export has records as well, but no settings of a training.
    found = (file.parent for file in folder.glob(f"*/{results.FILE_NAME}"))
    return sorted(one for one in found if RunPaths(one).config_file.is_file())


@functools.cache  # A command that looks twice says it once.
def warn_without(folder: pathlib.Path) -> None:
    """Tell in the log that a folder has no record and is left out.

    Args:
      folder: absolute.
    """
    near = layout.near(folder)
    hint = f"; --runs='{near}/*' takes the runs in it" if runs_in(folder) else ""
    logging.warning("%s: no record in it (%s), left out%s", near, results.FILE_NAME, hint)


@dataclasses.dataclass(frozen=True)
class RunPaths:
    """The files and folders of a run, whether they are there or not."""

    path: pathlib.Path

    @property
    def config_file(self) -> pathlib.Path:
        """Return the file of the settings."""
        return self.path / "config.json"

    @property
    def inputs_file(self) -> pathlib.Path:
        """Return the file of the checksums and versions that the run was begun with."""
        return self.path / "inputs.json"

    @property
    def choices_file(self) -> pathlib.Path:
        """Return the file of the decisions."""
        return self.path / "choices.json"

    @property
    def teacher_answers(self) -> pathlib.Path:
        """Return the folder of the teacher's answers, while the run trains."""
        return self.path / "teacher_answers"

    @property
    def history_file(self) -> pathlib.Path:
        """Return the file of the history per epoch."""
        return self.path / "history.csv"

    @property
    def results_file(self) -> pathlib.Path:
        """Return the file of the result record."""
        return self.path / results.FILE_NAME

    @property
    def model(self) -> pathlib.Path:
        """Return the folder of the trained model."""
        return self.path / "model"

    @property
    def checkpoints(self) -> pathlib.Path:
        """Return the folder of the saved states of the training."""
        return self.path / "checkpoints"

    @property
    def best(self) -> pathlib.Path:
        """Return the folder of the best epoch's weights, while the run trains."""
        return self.path / "best"

    @property
    def tensorboard(self) -> pathlib.Path:
        """Return the folder of the curves."""
        return self.path / "tensorboard"

    @property
    def sizes(self) -> pathlib.Path:
        """Return the folder of the smaller networks that the run's weights hold."""
        return self.path / SIZES

    @property
    def predictions(self) -> pathlib.Path:
        """Return the folder of the predictions."""
        return self.path / "predictions"

    def predictions_file(self, split: str) -> pathlib.Path:
        """Return the file of a split's predictions."""
        return self.predictions / f"{split}.tsv"

    def labels_file(self, split: str) -> pathlib.Path:
        """Return the file of the scores of each label on a split, of a task of the user's own."""
        return self.predictions / f"{split}_labels.tsv"

    @property
    def lock(self) -> pathlib.Path:
        """Return the file that the process which runs here holds a lock on."""
        return self.path / LOCK
