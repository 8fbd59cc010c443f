"""Run folders as the commands leave them, written from answers that a test chooses."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bert_glue_tf.core import files, records
from bert_glue_tf.data import problems, tasks
from bert_glue_tf.evaluation import bootstrap, collapse, metrics, predictions
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.export.timings import FILE_NAME as TIMINGS
from bert_glue_tf.export.timings import Timing
from bert_glue_tf.runs import results
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.results import ExperimentResult

LENGTHS = ("32", "64")


def wrong_at(labels: np.ndarray, places: Sequence[int]) -> np.ndarray:
    """Logits of answers that are right but at `places`."""
    answers = np.array(labels)
    answers[list(places)] = 1 - answers[list(places)]
    return np.eye(2, dtype=np.float32)[answers]


def _write_predictions(path: pathlib.Path, task: tasks.TaskSpec, labels: Any, logits: Any) -> None:
    predictions.write(path, task, labels, np.asarray(logits))


def _scores(task: tasks.TaskSpec, labels: Mapping[str, Any], logits: Mapping[str, Any]) -> Any:
    """Metrics and intervals by name, as the commands compute them."""
    found, intervals = {}, {}
    known = {**task.validation_splits, **task.test_splits}
    for suffix, split in known.items():
        if split not in labels:  # Not every run was scored on a test split.
            continue
        for name, value in metrics.compute(task, labels[split], logits[split]).items():
            found[name + suffix] = value
            if not problems.diverged(logits[split]):
                answers = task.problem.decode(logits[split])
                intervals[name + suffix] = bootstrap.interval(
                    task.problem,
                    metrics.of(task.problem, name),
                    labels[split],
                    answers,
                    resamples=50,
                )
        found["loss" + suffix] = 0.5
    return found, intervals


def _by_split(task: tasks.TaskSpec, values: Any) -> dict[str, Any]:
    splits = list(task.validation_splits.values())
    return values if isinstance(values, dict) else {splits[0]: values}


def write_run(
    path: pathlib.Path,
    labels: Any,
    logits: Any,
    *,
    source: str = "tsv",
    train: str = "train",
    history: Sequence[Mapping[str, float]] = (),
    megabytes: float = 90.0,
    size: str = "",
    sizes: Mapping[str, Any] | None = None,
    **settings: Any,
) -> pathlib.Path:
    """A finished run; `labels` and `logits` [n] and [n, classes], or a dict of them by split.

    `size` and `sizes` are those of the record, where the run's weights hold several networks.
    """
    config = ExperimentConfig(**{"task": "mrpc", "encoder": "tiny", "data": source, **settings})
    task = tasks.get(config.task)
    labels, logits = _by_split(task, labels), _by_split(task, logits)
    path.mkdir(parents=True, exist_ok=bool(sizes))
    for split in labels:
        file = path / "predictions" / f"{split}.tsv"
        _write_predictions(file, task, labels[split], logits[split])
    found, intervals = _scores(task, labels, logits)
    data = {
        split: {
            "name": source,
            "examples": len(values),
            "split_examples": len(values),
            "sha256": hashlib.sha256(repr(list(values)).encode()).hexdigest(),
        }
        for split, values in labels.items()
    }
    digest = hashlib.sha256(train.encode()).hexdigest()
    limit = config.train_examples or 2000
    data["train"] = {"name": source, "examples": limit, "split_examples": 2000, "sha256": digest}
    record = ExperimentResult(
        config=config.to_json(),
        data=data,
        encoder={"name": config.encoder, "sha256": "e" * 64, "family": "bert"},
        pruning={},
        metrics=found,
        intervals=intervals,
        sparsity={} if config.pruning_method == "none" else {"classifier/kernel": 0.8},
        parameters={"total": 1000, "nonzero": 900, "pruned": 80, "prunable": 100},
        bytes={"plain": int(megabytes * 1e6), "gzip": int(megabytes * 0.9e6)},
        speed={},
        peak_memory_bytes=10**9,
        environment={},
        size=size,
        sizes=sizes or {},
        **dataclasses.asdict(
            collapse.marked(collapse.judge(task, labels[one], logits[one]) for one in labels)
        ),
    )
    records.append(path / results.FILE_NAME, record)
    (path / "config.json").write_text(json.dumps(config.to_json()))
    (path / "model").mkdir()
    (path / "model" / "saved_model.pb").write_bytes(b"not a real one")
    if history:
        with (path / "history.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(history[0]))
            writer.writeheader()
            writer.writerows(history)
    return path


def write_export(
    path: pathlib.Path,
    recipe: str,
    labels: Any,
    logits: Any,
    *,
    megabytes: float = 25.0,
    milliseconds: float = 4.0,
    lengths: Sequence[str] = LENGTHS,
    collapsed: str = "",
    at_chance: str | None = "",
    content: bytes = b"",
    flips: int = 3,
) -> ExportFolder:
    """One .tflite file (not a real one without `content`) of the run at `path`, with its record.

    Its record is older than the mark where `at_chance` is None. It takes `milliseconds` at the
    first length and twice as many at each further one; float32
    10 at the first.
    """
    run = results.load(path / results.FILE_NAME)[-1]
    task = tasks.get(run.config["task"])
    labels, logits = _by_split(task, labels), _by_split(task, logits)
    folder = ExportFolder(path / FOLDER)
    folder.path.mkdir(exist_ok=True)
    folder.model(recipe).write_bytes(content or recipe.encode())
    for split in labels:
        file = folder.predictions_file(recipe, split)
        _write_predictions(file, task, labels[split], logits[split])
    found, intervals = _scores(task, labels, logits)
    record = ExportResult(
        run=path.name,
        config=run.config,
        data={split: run.data[split] for split in labels},
        encoder=run.encoder,
        recipe=recipe,
        file=folder.model(recipe).name,
        sha256=files.sha256(folder.model(recipe)),
        seq_lengths=[int(length) for length in lengths],
        metrics=found,
        intervals=intervals,
        collapsed=collapsed,
        at_chance=at_chance,
        flips=flips,
        parity={
            "largest_difference": 0.0,
            "flips": 0,
            "examples": sum(len(part) for part in labels.values()),
        },
        parameters=run.parameters,
        bytes={"plain": int(megabytes * 1e6), "gzip": int(megabytes * 0.9e6), "saved_model": 1},
        operators={},
        pieces=1,
        latency={
            length: {
                "p50": milliseconds * 2**i,
                "p90": milliseconds * 2**i + 1,
                "min": milliseconds,
                "float32_p50": 10.0 * 2**i,
            }
            for i, length in enumerate(lengths)
        },
        threads=2,
        peak_memory_bytes=dict.fromkeys(("total", "total_min", "total_max"), 123_000_000)
        | {"empty": 50_000_000},
        quantization={},
        environment={},
    )
    records.append(folder.results_file, record)
    return folder


def write_session(
    *runs: pathlib.Path,
    name: str = "20260102-030405-abcd",
    started: str = "2026-01-02T03:04:05+00:00",
    threads: int = 2,
    recipes: Sequence[str] = (),
    slower: float = 1.0,
    others: float = 0.1,
) -> None:
    """One session that has timed the files of `runs`: `slower` times what their records say."""
    found = [
        (ExportFolder(run / FOLDER), record)
        for run in runs
        for record in ExportFolder(run / FOLDER).records().values()
        if not recipes or record.recipe in recipes
    ]
    for folder, record in found:
        timing = Timing(
            session=name,
            started=started,
            machine={"cpu": "A processor", "cores": 4},
            threads=threads,
            load={"before": 0.1, "after": 2.1, "others": others},
            files=len(found),
            repetitions=50,
            run=record.run,
            recipe=record.recipe,
            sha256=record.sha256,
            latency={
                length: {kind: timed[kind] * slower for kind in ("p50", "p90", "min")}
                for length, timed in record.latency.items()
            },
        )
        records.append(folder.path / TIMINGS, timing)
