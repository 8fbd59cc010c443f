"""The finished run whose weights another one starts from."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from bert_glue_tf.compression.start import Start
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training.job import Job


def find(job: Job, finished: Sequence[RunFolder]) -> RunFolder | None:
    """Return the run to start from: --start, or one of those that are finished.

    None starts from pre-training.

    Args:
      job: the run.
      finished: the folders of the runs that it needs.

    Raises:
      UserError: --start names no finished run.
    """
    if job.config.start:
        return Run.read(pathlib.Path(job.config.start), "start").folder
    wanted = job.config.starting_point
    return next((run for run in finished if run.config == wanted), None)


def require_fitting(
    job: Job, run: RunFolder | None, inputs: Mapping[str, Mapping[str, Any]]
) -> None:
    """Refuse a starting point of another encoder, or one of this run's own with other data.

    Args:
      job: the run that starts from it.
      run: the starting point; None where there is none.
      inputs: what `job` is begun with, as `RunFolder.require_same_inputs` takes it.

    Raises:
      UserError: it does not fit; the message names the difference.
    """
    if run is None:
        return
    if job.config.start:  # It may have been trained on other examples, and even on another task.
        warn_of_seen(_flag(job), run, inputs)
        inputs = {"encoder": inputs["encoder"]}
    try:
        run.compare_inputs(inputs)
    except UserError as error:
        raise UserError(f"{_flag(job)}: the run to start from does not fit. {error}") from error
    logging.info("starting from the weights of %s", run.path)


def warn_of_seen(flag: str, run: RunFolder, inputs: Mapping[str, Mapping[str, Any]]) -> None:
    """Say so where a run has divided the same training file in another way than this one.

    Args:
      flag: that names the run, with its value.
      run: another, finished one.
      inputs: what this run is begun with, as `RunFolder.require_same_inputs` takes it.
    """
    record = run.record()
    before, now = (record.data.get("train", {}) if record else {}), inputs["train data"]
    # A table that is divided by the run has the checksum of its file besides that of its part.
    if before.get("file_sha256", before.get("sha256")) != now.get("file_sha256", now.get("sha256")):
        return
    names = ("examples", "validation_fraction", "validation_seed")
    if any(before.get(name) != now.get(name) for name in names):
        logging.warning(
            "%s: that run has divided the same training texts in another way, and may have been "
            "trained on some that this one is scored on or chooses a threshold on",
            flag,
        )


def _flag(job: Job) -> str:
    """Return the flag that asks for a starting point, with its value."""
    if job.config.start:
        return f"--start={job.config.start}"
    return f"--finetune_epochs={job.config.finetune_epochs}"


def describe(run: RunFolder | None, encoder: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the record tells of the encoder and of the starting point.

    Of the starting point these are its run and that run's scores. A head of the encoder's folder is
    unused where that run does not use it either.

    Args:
      run: the starting point; None where there is none.
      encoder: `Backbone.record` of the encoder.
    """
    if run is None:
        return dict(encoder)
    record = run.record()
    scores = dict(record.metrics) if record else {}
    told = dict(encoder)
    if record and "unused_head" not in record.encoder:
        told.pop("unused_head", None)
    return {**told, "starting_point": {"run": run.path.name, "metrics": scores}}


def fine_tuned(start: Start, folder: pathlib.Path) -> Start:
    """Return `start` with the weights of a saved classifier of the same encoder and task.

    Args:
      start: what the training begins with.
      folder: of the saved classifier.

    Raises:
      UserError: the folder holds no model, or one of other weights.
    """
    backbone, classifier = start.backbone.start_from(folder, start.task.problem.width)
    return dataclasses.replace(start, backbone=backbone, classifier=classifier)
