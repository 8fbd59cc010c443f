"""Reads the records of run folders as models. Nothing is measured again."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bert_glue_tf.analysis import record as sensitivity
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import collapse, predictions
from bert_glue_tf.export import timings
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.export.timings import Timing
from bert_glue_tf.reports import groups, machine, rows, times
from bert_glue_tf.reports.measured import KERAS, Model
from bert_glue_tf.runs import identity, results
from bert_glue_tf.runs.history import read_history
from bert_glue_tf.runs.paths import warn_without, with_sizes
from bert_glue_tf.runs.results import ExperimentResult


def read(folders: Iterable[str | pathlib.Path]) -> list[Model]:
    """Read the models of a comparison: the records of run folders, with their exported files.

    A folder without records is left out, with a line in the log; so is a run that another one of
    these repeats with the same settings and seed. Files have the times of one session that holds
    all of them, or none; see `times.share`.

    Raises:
      UserError: as `every`.
    """
    return groups.without_repeated(every(pathlib.Path(one).expanduser() for one in folders))


def every(folders: Iterable[pathlib.Path]) -> list[Model]:
    """Read the same models as `read`, with those that another one repeats.

    A folder that is not there has none.

    Raises:
      UserError: no folder holds a record, or a file of records is damaged.
    """
    models: list[Model] = []
    found = list(dict.fromkeys(folder.resolve() for folder in folders if folder.is_dir()))
    names = collections.Counter(folder.name for folder in found)
    for folder in sorted(found):
        name = folder.name if names[folder.name] == 1 else str(folder)
        # A name need not be UTF-8.
        shown = os.fsencode(name).decode(errors="replace")
        for own in with_sizes(folder):
            models += _folder(own, shown + str(own).removeprefix(str(folder)))
    if not models:
        raise UserError(
            f"--runs: {len(found)} folder(s), none with a finished run. Give folders of the train "
            "command, for example --runs='runs/*' (in quotes)."
        )
    return times.share(models)


def on_test_splits(model: Model) -> Model:
    """Return a trained model as its task's test splits judge it, marks included.

    A task without test splits, as all of GLUE, leaves the model as it is.

    Args:
      model: of `every`; an exported file stays as it is.

    Raises:
      UserError: the record has no such split, or its predictions are missing or damaged.
    """
    task, splits = model.task, model.task.test_splits
    if model.recipe != KERAS or not splits:
        return model
    file = model.folder / results.FILE_NAME
    with _naming(file):
        record = results.load(file)[-1]
        data = {split: record.data[split] for split in (*splits.values(), "train")}
        paths = {split: _prediction(model.folder, split) for split in splits.values()}
        verdicts = []
        for suffix, split in splits.items():
            read = predictions.read(paths[split], task, data[split]["examples"])
            interval = record.intervals.get(f"{task.primary_metric}{suffix}")
            verdicts.append(collapse.judge(task, read.labels, read.logits, interval))
        marked = collapse.marked(verdicts)
        return _whole(
            dataclasses.replace(model, is_tested=True, data=data, predictions=paths, marked=marked)
        )


def _folder(folder: pathlib.Path, name: str) -> Iterator[Model]:
    """Yield the models of one folder: the trained one, then its files."""
    file = folder / results.FILE_NAME
    records = results.load(file) if file.is_file() else []
    if not records:
        warn_without(folder)
        return
    record = dataclasses.replace(records[-1], config=identity.settings(file, records[-1].config))
    history = read_history(folder / "history.csv")
    export = ExportFolder(folder / FOLDER)
    with _naming(file):
        yield _whole(_trained(folder, name, record, history))
    timed = timings.load(export.path)
    with _naming(export.results_file):
        for exported in export.records().values():
            yield _whole(_exported(folder, name, exported, record, history, timed))


def _whole(model: Model) -> Model:
    """Return the model, once everything that a table or a figure asks of it has been computed."""
    rows.models([model]).texts()
    machine.models([groups.Group((model,), model.run)]).values()
    plain = [model.seed, *map(float, model.bytes.values())]
    if not all(map(math.isfinite, plain)):
        raise ValueError(f"{plain} are no numbers")
    if not isinstance(model.encoder, str):
        raise TypeError(f"the encoder's name is {model.encoder!r}")
    json.dumps([model.key(), model.interval, model.digests])
    return model


@contextlib.contextmanager
def _naming(file: pathlib.Path) -> Iterator[None]:
    """Name the file of a record that lacks something a comparison needs."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UserError(
            f"{file}: its record lacks something, or holds something else ({error!r}). "
            "Each line must be one record as the commands write it."
        ) from error


def _splits(record: Any) -> list[str]:
    return list(tasks.of(record).validation_splits.values())


def _mean_sparsity(record: ExperimentResult) -> float | None:
    if not record.sparsity:
        return None
    return record.parameters["pruned"] / record.parameters["prunable"]


def _widths(record: ExperimentResult) -> Mapping[str, Sequence[Mapping[str, int]]]:
    """Return the widths of a record's layers; empty where it has none.

    Raises:
      ValueError: they are not those of one network before and after.
    """
    if not record.widths:
        return {}
    before, after = record.widths["before"], record.widths["after"]
    if len(after) > len(before) or any(
        set(now) != set(was) or any(not 0 <= now[unit] <= was[unit] for unit in was)
        for now, was in zip(after, before, strict=False)
    ):
        raise ValueError("the widths of its layers do not fit together")
    return record.widths


def _trained(
    folder: pathlib.Path,
    name: str,
    record: ExperimentResult,
    history: Sequence[Mapping[str, str]],
) -> Model:
    splits = _splits(record)
    return Model(
        run=name,
        recipe=KERAS,
        config=record.config,
        data={split: record.data[split] for split in (*splits, "train")},
        encoder=record.encoder["name"],
        encoder_digest=str(record.encoder.get("sha256")),
        metrics=record.metrics,
        intervals=record.intervals,
        marked=marked_run(record, folder),
        flips=None,
        sparsity=_mean_sparsity(record),
        parameters=record.parameters,
        bytes=record.bytes,
        peak_memory_bytes=None,
        predictions=_run_predictions(record, folder),
        history=history,
        widths=_widths(record),
        own_task=record.own_task,
        thresholds=record.thresholds,
        teacher=identity.teacher(record.config, record.teacher),
        folder=folder,
        sensitivity=sensitivity.to_show(sensitivity.load(folder)),
        size=record.size,
        start=_start(record),
    )


def _start(record: ExperimentResult) -> Mapping[str, Any]:
    found = record.encoder.get("starting_point", {})
    return {"run": found["run"], "metrics": dict(found["metrics"])} if found else {}


def marked_run(record: ExperimentResult, folder: pathlib.Path) -> collapse.Marked:
    """Return the marks of a trained model.

    They are those of its record, and those of its predictions where the record is older than
    marks. Whoever shows a mark takes it from here.

    Args:
      record: of the run.
      folder: of the run.

    Raises:
      UserError: the record is older, and its predictions are missing or damaged.
    """
    return _marked(record, _run_predictions(record, folder))


def marked_file(record: ExportResult, export: ExportFolder) -> collapse.Marked:
    """Return the marks of an exported file, as `marked_run` those of a trained model.

    Args:
      record: of the file.
      export: the folder of the file.

    Raises:
      UserError: the record is older than marks, and its predictions are missing or damaged.
    """
    return _marked(record, _file_predictions(record, export))


def _run_predictions(record: ExperimentResult, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    return {split: _prediction(folder, split) for split in _splits(record)}


def _prediction(folder: pathlib.Path, split: str) -> pathlib.Path:
    return folder / "predictions" / f"{split}.tsv"


def _file_predictions(record: ExportResult, export: ExportFolder) -> dict[str, pathlib.Path]:
    return {split: export.predictions_file(record.recipe, split) for split in _splits(record)}


def _marked(
    record: ExperimentResult | ExportResult, files: Mapping[str, pathlib.Path]
) -> collapse.Marked:
    if record.collapsed is not None and record.at_chance is not None:
        return collapse.Marked(record.collapsed, record.at_chance)
    task = tasks.of(record)
    read = (
        predictions.read(path, task, record.data[split]["examples"])
        for split, path in files.items()
    )
    return collapse.marked(collapse.judge(task, one.labels, one.logits) for one in read)


def _exported(
    folder: pathlib.Path,
    name: str,
    record: ExportResult,
    source: ExperimentResult,
    history: Sequence[Mapping[str, str]],
    timed: Iterable[Timing],
) -> Model:
    splits, export, recipe = _splits(record), ExportFolder(folder / FOLDER), record.recipe
    return Model(
        run=name,
        recipe=record.recipe,
        config=source.config,
        data={**{split: record.data[split] for split in splits}, "train": source.data["train"]},
        encoder=record.encoder["name"],
        encoder_digest=str(record.encoder.get("sha256")),
        metrics=record.metrics,
        intervals=record.intervals,
        marked=marked_file(record, export),
        flips=record.flips,
        sparsity=_mean_sparsity(source),
        parameters=record.parameters,
        bytes=record.bytes,
        peak_memory_bytes=record.peak_memory_bytes["total"],
        predictions=_file_predictions(record, export),
        history=history,
        widths=_widths(source),
        own_task=record.own_task,
        thresholds=record.thresholds,
        teacher=identity.teacher(source.config, source.teacher),
        folder=folder,
        size=source.size,
        start=_start(source),
        # A file that was made again since is another one.
        timings=[one for one in timed if (one.recipe, one.sha256) == (recipe, record.sha256)],
    )
