"""The result: the chosen file, scored on validation once, beside the original's float32 file."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bert_glue_tf.budget import tables
from bert_glue_tf.budget.checked import Launch
from bert_glue_tf.budget.choice import kept_when_chosen
from bert_glue_tf.budget.record import ORIGINAL, Choice, Outcome, Trial
from bert_glue_tf.budget.trials import milliseconds
from bert_glue_tf.budget.work import Job
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.data import problems, tasks
from bert_glue_tf.evaluation import metrics, predictions, significance
from bert_glue_tf.export import benchmark, session_apart
from bert_glue_tf.export.card import card
from bert_glue_tf.export.defaults import REPETITIONS
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.launch import launch as export
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.models.quantization.recipes import FLOAT32
from bert_glue_tf.reports.measured import mean_interval
from bert_glue_tf.runs import versions
from bert_glue_tf.runs.finished import Run

# The choice and its file -> `Outcome.in_turns`.
BesideParts = Callable[[Choice, pathlib.Path], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class _Exported:
    """A file with its record."""

    folder: ExportFolder
    record: ExportResult

    @property
    def path(self) -> pathlib.Path:
        return self.folder.model(self.record.recipe)


def finish(
    launch: Launch, job: Job, run: Run, choice: Choice, beside_parts: BesideParts
) -> Outcome:
    """Export the chosen file with its card, score and time it beside the original, and say so.

    Args:
      launch: what was asked for; its run is the original that the file is compared with.
      job: of the work.
      run: of the chosen file.
      choice: the chosen file.
      beside_parts: times it in turns with the parts of its network.

    Raises:
      UserError: a file cannot be made, or the folder cannot be written.
    """
    original = _original_file(launch, job)
    lengths, threads = launch.lengths, launch.settings.threads
    exported, records = export(
        run.path, recipes=[choice.recipe], seq_lengths=lengths, threads=threads
    )
    file = _Exported(exported, records[-1])
    outcome = dataclasses.replace(
        _outcome(launch, job, run, choice, original, file), in_turns=beside_parts(choice, file.path)
    )
    write_atomically(exported.card(choice.recipe), _card(outcome, file.record))
    return outcome


def _original_file(launch: Launch, job: Job) -> _Exported:
    """Return the original run's float32 file, made now unless it is there.

    It runs at the same lengths, and at the longest one that the run reads.
    """
    there = ExportFolder(launch.run.path / FOLDER)
    record = there.records().get(FLOAT32)
    lengths = sorted({*launch.lengths, launch.run.config.seq_length})
    if record is None or not set(lengths) <= set(record.seq_lengths):
        there, (record, *_) = export(
            launch.run.path,
            recipes=[FLOAT32],
            seq_lengths=lengths,
            threads=launch.settings.threads,
            output=job.folder.path / ORIGINAL,
        )
    return _Exported(there, record)


def _outcome(
    launch: Launch, job: Job, run: Run, choice: Choice, original: _Exported, file: _Exported
) -> Outcome:
    timings = session_apart.session(
        [
            benchmark.File(original.path, launch.run.path.name, FLOAT32),
            benchmark.File(file.path, run.path.name, choice.recipe),
        ],
        launch.length,
        threads=launch.settings.threads,
        repetitions=REPETITIONS,
    )
    trials = {one.key: one for one in job.folder.trials()}
    trial, base = trials[choice.run, choice.recipe], trials[ORIGINAL, FLOAT32]
    before, after = (
        _told(one, timing.latency[str(launch.length)]["p50"])
        for one, timing in zip((original, file), timings, strict=True)
    )
    missed = _missed(launch, file, milliseconds(timings[1], launch.length), trial)
    place = file.path.resolve()
    after["path"] = str(place.relative_to(job.folder.path.resolve()))
    after["collapsed"] = file.record.collapsed
    after["at_chance"] = file.record.at_chance or ""
    return Outcome(
        stage=choice.stage,
        settings=launch.settings.to_json(),
        original={"run": launch.run.path.name, **before},
        file={"run": run.path.name, "recipe": choice.recipe, **after},
        predicted=trial.predicted,
        held_out={
            "original": base.score,
            "file": trial.score,
            "drop": trial.drop,
            "examples": trial.examples,
            "was_seen": trial.was_seen,
        },
        missed=missed,
        kept_when_chosen=kept_when_chosen(missed, choice, trial),
        metric=launch.run.task.primary_metric,
        difference=_difference(launch.run, run, original, file),
        examples=file.record.examples,
        length=launch.length,
        threads=launch.settings.threads,
        session=timings[0].session,
        busy=timings[0].warning,
        cut=file.record.cut,
        source=str(next(iter(file.record.data.values()))["name"]),
        widths={
            "before": launch.run.result.widths["after"],
            "after": trial.widths,
        },
        pieces=[base.pieces, trial.pieces],
        environment=versions.environment([f"CPU (LiteRT, {launch.settings.threads} threads)"]),
    )


def _missed(launch: Launch, file: _Exported, ms: float, trial: Trial) -> dict[str, float]:
    """Return name of a limit -> the value of the file as it is given away, of those it misses."""
    values = {
        "max_mb": file.record.bytes["plain"] / 1e6,
        "max_ms": ms,
        "max_drop": trial.drop,
    }
    given = launch.settings.limits.given
    return {name: values[name] for name, most in given.items() if not values[name] <= most + 1e-9}


def _told(one: _Exported, ms: float) -> dict[str, Any]:
    record = one.record
    return {
        "bytes": record.bytes["plain"],
        "ms": ms,
        "score": _score(record),
        "interval": _interval(record),
        "sha256": record.sha256,
    }


def _score(record: ExportResult) -> float:
    return float(np.mean([record.metrics[name] for name in _names(record)]))


def _interval(record: ExportResult) -> list[float] | None:
    found = mean_interval([record.intervals.get(name) for name in _names(record)])
    return None if found is None else list(found)


def _names(record: ExportResult) -> list[str]:
    """Return the names of the primary metric, one for each validation split."""
    task = tasks.of(record)
    return [f"{task.primary_metric}{suffix}" for suffix in task.validation_splits]


def _difference(source: Run, run: Run, original: _Exported, file: _Exported) -> Mapping[str, Any]:
    """Return the validation score of the file minus the original's, paired over the examples."""
    metric = metrics.of(source.task.problem, source.task.primary_metric)
    labels, first = _answers(source, original)
    _, second = _answers(run, file)
    if problems.diverged(first) or problems.diverged(second):
        found = significance.undefined(1)
    else:
        found = significance.compare(
            source.task.problem,
            metric,
            labels,
            [source.task.problem.decode(first)],
            [run.task.problem.decode(second)],
        )
    low, high = found.interval
    return {
        "mean": found.mean,
        "low": low,
        "high": high,
        "p": found.p,
        "test": found.test.name.lower(),
        "equal": found.equivalence.outcome.name.lower(),
        "margin": found.equivalence.margin,
    }


def _answers(run: Run, one: _Exported) -> tuple[np.ndarray, np.ndarray]:
    """Return labels [n] and logits [n, width] of a file, all validation splits in a row."""
    read = [
        predictions.read(
            one.folder.predictions_file(one.record.recipe, split),
            run.task,
            one.record.data[split]["examples"],
        )
        for split in run.task.validation_splits.values()
    ]
    return np.concatenate([r.labels for r in read]), np.concatenate([r.logits for r in read])


def _card(outcome: Outcome, record: ExportResult) -> str:
    """Return the card of the file, with a part on how it came about."""
    return f"{card(record)}\n## How it was made smaller\n\n{tables.markdown(outcome)}"
