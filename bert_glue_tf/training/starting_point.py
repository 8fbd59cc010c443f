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
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training.inputs import Inputs
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
    job: Job, run: RunFolder | None, inputs: Inputs, encoder: Mapping[str, Any]
) -> None:
    """Refuse a starting point of another encoder, or one of this run's own with other data.

    Args:
      job: the run that starts from it.
      run: the starting point; None where there is none.
      inputs: the examples of `job`.
      encoder: its provenance.

    Raises:
      UserError: it does not fit; the message names the difference.
    """
    if run is None:
        return
    begun_with = {**inputs.provenance, "encoder": encoder}
    if job.config.start:  # It may have been trained on other examples, and even on another task.
        warn_of_seen(_flag(job), run, inputs)
        begun_with = {"encoder": encoder}
    try:
        run.compare_inputs(begun_with)
    except UserError as error:
        raise UserError(f"{_flag(job)}: the run to start from does not fit. {error}") from error
    logging.info("starting from the weights of %s", run.path)


def warn_of_seen(flag: str, run: RunFolder, inputs: Inputs) -> None:
    """Say so where a run may have been trained on texts that this one is scored on.

    That is so where both have divided the same training file, and this one has kept texts for
    validation or for a choice that the other one has not. Validation texts of a file of their own
    were seen by nobody, however many of the training texts either run takes.

    Args:
      flag: that names the run, with its value.
      run: another, finished one.
      inputs: the examples of this run.
    """
    record = run.record()
    before, now = (record.data.get("train", {}) if record else {}), inputs.train.provenance
    # A table that is divided by the run has the checksum of its file besides that of its part.
    if before.get("file_sha256", before.get("sha256")) != now.get("file_sha256", now.get("sha256")):
        return
    is_held_out = inputs.held_out is not None and (
        before.get("examples") != now.get("examples")
        or _taken(record, before) != len(inputs.read["train"])
    )
    if is_held_out or _is_divided_otherwise(before, now):
        logging.warning(
            "%s: that run has divided the same training texts in another way, and may have been "
            "trained on some that this one is scored on or chooses a threshold on",
            flag,
        )


def _taken(record: ExperimentResult | None, before: Mapping[str, Any]) -> int:
    """Return of how many training examples a run has held some out, if it has."""
    whole = int(before.get("split_examples", 0))
    limit = int(record.config.get("train_examples", 0)) if record else 0
    return min(limit or whole, whole)


def _is_divided_otherwise(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether a run has kept texts for validation that an earlier one has trained on.

    Args:
      before, now: provenance of the training split of both, of the same file.
    """
    kept: Any = now.get("validation_fraction")
    if not kept:
        return False
    # With one seed, a smaller part is contained in a larger one (`data.own.task`).
    return (
        before.get("validation_seed") != now.get("validation_seed")
        or before.get("validation_fraction", 0.0) < kept
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
    if start.task.problem.tags_words:
        _require_same_head(start, folder)
    backbone, classifier = start.backbone.start_from(folder, start.task.problem.width)
    return dataclasses.replace(start, backbone=backbone, classifier=classifier)


def _require_same_head(start: Start, folder: pathlib.Path) -> None:
    """Refuse a saved classifier with another head of words.

    Raises:
      UserError: it has one.
    """
    from bert_glue_tf.models import saving

    saved = saving.read_description(folder).get(saving.TAGGING_HEAD, "")
    if saved != start.tagging_head:
        raise UserError(
            f"--tagging_head={start.tagging_head}: the run to start from has another head. Good: "
            f"--tagging_head={saved}."
        )
