"""Result records -> models, their differences, and tables. Nothing is measured again."""

from __future__ import annotations

import collections
import contextlib
import csv
import dataclasses
import io
import json
import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from bert_glue_tf.compression.registry import NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import problems, tasks
from bert_glue_tf.evaluation import collapse, metrics, predictions, significance
from bert_glue_tf.evaluation.significance import Difference
from bert_glue_tf.export import record
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.runs import results
from bert_glue_tf.runs.config import PRUNING, ExperimentConfig
from bert_glue_tf.runs.history import read_history

KERAS = "keras"  # Stands for the recipe of a model that was not exported.
REFERENCE = "float32"
# Settings that tell two trainings of the same experiment apart, or do not decide the model.
_SEED = ("seed",)
_PRUNING = ("pruning_method", *PRUNING)
# What it removes follows from the text, whatever --final_sparsity is.
_WITHOUT_SPARSITY = ("vocabulary",)
_ALL_EXAMPLES = ("train_examples", 0)


@dataclasses.dataclass(frozen=True)
class Model:
    """One record, trained model or exported file, as a comparison sees it.

    Attributes:
      run: name of the run's folder; its path where two folders have the same name.
      recipe: quantization recipe, or `keras`.
      config: the run's settings.
      data: provenance of the validation split(s) and the training split.
      encoder: name of the encoder.
      encoder_digest: SHA-256 of its files, as far as it is known.
      metrics: name -> value.
      intervals: name -> 95 % bootstrap interval.
      collapsed: why the model is worthless; empty where it is not.
      flips: labels that differ from float32's; None for a trained model.
      sparsity: pruned weights over those that could be; None without pruning.
      parameters: number of weights, and of those that are not zero.
      bytes: plain and gzipped.
      latency: length -> p50, p90, min and float32_p50, milliseconds; empty if not exported.
      threads: of the latency.
      peak_memory_bytes: of a process that predicts once; None if not exported.
      predictions: split -> file with the answers.
      history: the run's curves, a dict of text an epoch.
    """

    run: str
    recipe: str
    config: Mapping[str, Any]
    data: Mapping[str, Any]
    encoder: str
    encoder_digest: str
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    collapsed: str
    flips: int | None
    sparsity: float | None
    parameters: Mapping[str, int]
    bytes: Mapping[str, int]
    latency: Mapping[str, Mapping[str, float]]
    threads: int | None
    peak_memory_bytes: int | None
    predictions: Mapping[str, pathlib.Path]
    history: Sequence[Mapping[str, str]]

    @property
    def task(self) -> tasks.TaskSpec:
        return tasks.get(self.config["task"])

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def method(self) -> str:
        return str(self.config["pruning_method"])

    @property
    def source(self) -> str:
        """Where the data came from: `sample` is named wherever its results are."""
        return str(next(iter(self.data.values()))["name"])

    @property
    def examples(self) -> int:
        return sum(self.data[s]["examples"] for s in self.task.validation_splits.values())

    @property
    def primary(self) -> float:
        """The task's primary metric, its mean over the validation splits."""
        names = self.primary_names
        return float(np.mean([self.metrics[name] for name in names]))

    @property
    def primary_names(self) -> list[str]:
        return [f"{self.task.primary_metric}{suffix}" for suffix in self.task.validation_splits]

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % bootstrap interval of `primary`, its ends' means over the validation splits."""
        return _mean_interval([self.intervals.get(name) for name in self.primary_names])

    @property
    def digests(self) -> dict[str, str]:
        """Split -> SHA-256 of its data."""
        return {split: str(read["sha256"]) for split, read in self.data.items()}

    @property
    def longest(self) -> str | None:
        return list(self.latency)[-1] if self.latency else None

    @property
    def milliseconds(self) -> float | None:
        """Median time of one example at the longest length."""
        return self.latency[self.longest]["p50"] if self.longest else None

    @property
    def speed(self) -> float | None:
        """How many times as fast as float32 in the same interleaved run."""
        if not self.longest:
            return None
        timed = self.latency[self.longest]
        return timed["float32_p50"] / timed["p50"]

    def key(self, without: Iterable[str] = _SEED) -> str:
        """Equal for models that differ in nothing but the settings in `without`.

        Data and encoder count by their content, not by the path that led to them.
        """
        left_out = {*without, "data"}
        if self.method == NO_PRUNING:
            left_out.update(PRUNING)  # Given or not, they decide nothing.
        kept = {name: value for name, value in self.config.items() if name not in left_out}
        content = [self.source, self.digests, self.encoder_digest]
        return json.dumps([kept, content, self.recipe], sort_keys=True)


def _mean_interval(
    intervals: Sequence[tuple[float, float] | None],
) -> tuple[float, float] | None:
    """Means of the ends; None where one of the intervals is missing or undefined."""
    ends = [pair for pair in intervals if pair and None not in pair]
    if not ends or len(ends) < len(intervals):
        return None
    return float(np.mean([low for low, _ in ends])), float(np.mean([high for _, high in ends]))


def read(folders: Iterable[pathlib.Path]) -> list[Model]:
    """The records of run folders, those of their exported files included.

    A folder without records is left out, with a line in the log.

    Raises:
      UserError: no folder holds a record, or a file of records is damaged.
    """
    models: list[Model] = []
    found = list(dict.fromkeys(folder.resolve() for folder in folders if folder.is_dir()))
    names = collections.Counter(folder.name for folder in found)
    for folder in sorted(found):
        file = folder / results.FILE_NAME
        records = results.load(file) if file.is_file() else []
        if not records:
            logging.warning("%s: no record in it (%s), left out", folder, results.FILE_NAME)
            continue
        name = folder.name if names[folder.name] == 1 else str(folder)
        name = os.fsencode(name).decode(errors="replace")  # A name need not be UTF-8.
        record = dataclasses.replace(records[-1], config=_config(file, records[-1].config))
        history = read_history(folder / "history.csv")
        export = ExportFolder(folder / FOLDER)
        with _naming(file):
            models.append(_whole(_trained(folder, name, record, history)))
        with _naming(export.results_file):
            for exported in export.records().values():
                models.append(_whole(_exported(name, export, exported, record, history)))
    if not models:
        raise UserError(
            f"--runs: {len(found)} folder(s), none with a finished run. Give folders of the train "
            "command, for example --runs='runs/*' (in quotes)."
        )
    return models


def _whole(model: Model) -> Model:
    """The model, once everything that a table or a figure asks of it has been computed."""
    csv_text([model])
    plain = [model.seed, model.milliseconds or 0, *map(float, model.bytes.values())]
    if not all(map(math.isfinite, plain)):
        raise ValueError(f"{plain} are no numbers")
    if not isinstance(model.encoder, str):
        raise TypeError(f"the encoder's name is {model.encoder!r}")
    json.dumps([model.key(), model.interval, model.digests])
    return model


@contextlib.contextmanager
def _naming(file: pathlib.Path) -> Iterator[None]:
    """Names the file of a record that lacks what a comparison needs."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UserError(
            f"{file}: its record lacks something, or holds something else ({error!r}). "
            "Each line must be one record as the commands write it."
        ) from error


def _config(file: pathlib.Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings, those included that are younger than its record."""
    try:
        if "task" not in config:
            raise UserError("the setting task is missing")
        settings = ExperimentConfig.from_json(config)
        # Computed or given, the same sparsity is the same setting.
        return settings.to_json() | {"initial_sparsity": settings.first_sparsity}
    except (UserError, TypeError) as error:
        raise UserError(f"{file}: its record has not the settings of a run ({error}).") from None


def _splits(record: Any) -> list[str]:
    return list(tasks.get(record.config["task"]).validation_splits.values())


def _mean_sparsity(record: results.ExperimentResult) -> float | None:
    if not record.sparsity:
        return None
    if record.parameters.get("prunable"):
        return record.parameters["pruned"] / record.parameters["prunable"]
    return float(np.mean(list(record.sparsity.values())))  # A record of version 0.1.0.


def _trained(
    folder: pathlib.Path,
    name: str,
    record: results.ExperimentResult,
    history: Sequence[Mapping[str, str]],
) -> Model:
    splits = _splits(record)
    files = {split: folder / "predictions" / f"{split}.tsv" for split in splits}
    return Model(
        run=name,
        recipe=KERAS,
        config=record.config,
        data={split: record.data[split] for split in (*splits, "train")},
        encoder=record.encoder["name"],
        encoder_digest=str(record.encoder.get("sha256")),
        metrics=record.metrics,
        intervals=record.intervals,
        collapsed=_collapsed(record, files),
        flips=None,
        sparsity=_mean_sparsity(record),
        parameters=record.parameters,
        bytes=record.bytes,
        latency={},
        threads=None,
        peak_memory_bytes=None,
        predictions=files,
        history=history,
    )


def _collapsed(record: results.ExperimentResult, files: Mapping[str, pathlib.Path]) -> str:
    task = tasks.get(record.config["task"])
    read = (
        predictions.read(path, task, record.data[split]["examples"])
        for split, path in files.items()
    )
    return collapse.text(collapse.judge(task, one.labels, one.logits) for one in read)


def _exported(
    name: str,
    export: ExportFolder,
    record: record.ExportResult,
    source: results.ExperimentResult,
    history: Sequence[Mapping[str, str]],
) -> Model:
    splits = _splits(record)
    return Model(
        run=name,
        recipe=record.recipe,
        config=source.config,
        data={**{split: record.data[split] for split in splits}, "train": source.data["train"]},
        encoder=record.encoder["name"],
        encoder_digest=str(record.encoder.get("sha256")),
        metrics=record.metrics,
        intervals=record.intervals,
        collapsed=record.collapsed,
        flips=record.flips,
        sparsity=_mean_sparsity(source),
        parameters=record.parameters,
        bytes=record.bytes,
        latency=record.latency,
        threads=record.threads,
        peak_memory_bytes=record.peak_memory_bytes["total"],
        predictions={split: export.predictions_file(record.recipe, split) for split in splits},
        history=history,
    )


@dataclasses.dataclass(frozen=True)
class Group:
    """Models that differ in nothing but the training seed.

    Attributes:
      models: by rising seed.
      settings: those in which it differs from other groups of its task, apart from pruning.
      label: what to call it; empty for a name made from its settings.
    """

    models: tuple[Model, ...]
    settings: tuple[str, ...] = ()
    label: str = ""

    @property
    def first(self) -> Model:
        return self.models[0]

    @property
    def subject(self) -> tuple[str, str, str]:
        """Task, source of the data and encoder: what is shown in one figure."""
        return self.first.task.name, self.first.source, self.first.encoder

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(model.seed for model in self.models)

    @property
    def mean(self) -> float:
        return float(np.mean([model.primary for model in self.models]))

    @property
    def spread(self) -> tuple[float, float]:
        """Smallest and largest primary metric over the seeds."""
        values = [model.primary for model in self.models]
        return min(values), max(values)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % bootstrap interval over the examples, its ends' means over seeds and splits."""
        return _mean_interval([model.interval for model in self.models])

    @property
    def collapsed(self) -> int:
        """How many of the models are worthless."""
        return sum(bool(model.collapsed) for model in self.models)

    @property
    def name(self) -> str:
        """What tells it from the other groups of its task."""
        if self.label:
            return self.label
        model = self.first
        name = "no pruning" if model.method == NO_PRUNING else f"pruned: {model.method}"
        if model.method not in (NO_PRUNING, *_WITHOUT_SPARSITY):
            name += f" to {model.config['final_sparsity']:.0%}"
        return ", ".join([name, model.recipe, *self.settings])


def group(models: Iterable[Model]) -> list[Group]:
    """Groups over seeds, by task, then as the models come. A repeated run counts once."""
    found: dict[str, dict[int, Model]] = {}
    for model in models:
        by_seed = found.setdefault(model.key(), {})
        if model.seed in by_seed:
            logging.warning(
                "%s repeats %s (%s, the same settings and seed), which is left out",
                model.run,
                by_seed[model.seed].run,
                model.recipe,
            )
        by_seed[model.seed] = model
    groups = [Group(tuple(by_seed[seed] for seed in sorted(by_seed))) for by_seed in found.values()]
    order = list(tasks.TASKS)
    groups.sort(key=lambda g: (order.index(g.first.task.name), *g.subject[1:]))
    return [dataclasses.replace(g, settings=_telling(g, groups)) for g in groups]


def _telling(one: Group, groups: Sequence[Group]) -> tuple[str, ...]:
    """Settings of a group, apart from pruning, that other groups of its subject have otherwise."""
    others = [g.first for g in groups if g.subject == one.subject]
    mine = one.first
    unsaid = {*_SEED, *_PRUNING, "task", "encoder", "data"}
    found = [
        f"{name}={'all' if (name, mine.config[name]) == _ALL_EXAMPLES else mine.config[name]}"
        for name in mine.config
        if name not in unsaid
        and any(other.config.get(name) != mine.config[name] for other in others)
    ]
    if any(other.digests != mine.digests for other in others):
        found.append(f"data={mine.config['data']}")
    if any(other.encoder_digest != mine.encoder_digest for other in others):
        found.append(f"encoder {mine.encoder_digest[:8]}")
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One difference.

    Attributes:
      task: name; with it stands the data.
      source: where the data came from.
      metric: name of the primary metric.
      examples: on which both answered.
      what: the model that is judged.
      against: the model that it is compared with.
      seeds: that both have.
      difference: `what` minus `against`.
      collapsed: whether a model of `what` is worthless.
      base_collapsed: whether one of `against` is.
    """

    task: str
    source: str
    metric: str
    examples: int
    what: str
    against: str
    seeds: tuple[int, ...]
    difference: Difference
    collapsed: bool = False
    base_collapsed: bool = False

    @property
    def verdict(self) -> str:
        """In words."""
        if not self.difference.is_defined:
            text = "undefined"
        elif self.difference.is_noise:
            text = "within noise"
        else:
            text = "better" if self.difference.mean > 0 else "worse"
        # What is no better than a constant may well be within noise of something weak.
        if self.collapsed:
            text += ", COLLAPSED"
        if self.base_collapsed:
            text += ", against a COLLAPSED model"
        return text


def differences(models: Sequence[Model]) -> list[Comparison]:
    """Every pruned model against the unpruned, every file against float32, seed by seed."""
    groups = group(models)
    by_key = {g.first.key(): g for g in groups}
    unpruned = {g.first.key((*_SEED, *_PRUNING)): g for g in groups if g.first.method == NO_PRUNING}
    found = []
    for judged in groups:
        model = judged.first
        if model.method != NO_PRUNING:
            base = unpruned.get(model.key((*_SEED, *_PRUNING)))
            if base:
                found.append(compare(judged, base))
        if model.recipe not in (KERAS, REFERENCE):
            base = by_key.get(dataclasses.replace(model, recipe=REFERENCE).key())
            if base:
                found.append(compare(judged, base))
    return [comparison for comparison in found if comparison]


def compare(judged: Group, base: Group) -> Comparison | None:
    """One group against another of the same task, over the seeds that both have.

    Returns:
      None where they share no seed, or have answered other examples.
    """
    seeds = tuple(seed for seed in judged.seeds if seed in base.seeds)
    if not seeds:
        return None
    model = judged.first
    labels, first = _answers(base, seeds)
    same, second = _answers(judged, seeds)
    if not np.array_equal(labels, same):
        logging.warning("%s and %s: other labels, not compared", judged.name, base.name)
        return None
    task = model.task
    return Comparison(
        task=task.name,
        source=model.source,
        metric=task.primary_metric,
        examples=len(labels),
        what=judged.name,
        against=base.name,
        seeds=seeds,
        difference=_difference(task, labels, first, second),
        collapsed=any(m.collapsed for m in judged.models if m.seed in seeds),
        base_collapsed=any(m.collapsed for m in base.models if m.seed in seeds),
    )


def mean_difference(pairs: Sequence[tuple[Group, Group]]) -> Difference | None:
    """The mean of several differences (judged, base) on the same examples, with its interval.

    Each pair and each seed that both have counts once; `by_seed` and `mcnemar` are theirs in a
    row. None where there is none, or they have answered different examples.
    """
    labels: np.ndarray | None = None
    first: list[np.ndarray] = []
    second: list[np.ndarray] = []
    for judged, base in pairs:
        seeds = [seed for seed in judged.seeds if seed in base.seeds]
        for group, answers in ((base, first), (judged, second)):
            own, found = _answers(group, seeds)
            if seeds and labels is not None and not np.array_equal(labels, own):
                return None
            labels = own if seeds else labels
            answers += found
    if labels is None:
        return None
    return _difference(pairs[0][0].first.task, labels, first, second)


def _difference(
    task: tasks.TaskSpec,
    labels: np.ndarray,
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
) -> Difference:
    if any(problems.diverged(logits) for logits in (*first, *second)):
        nan = float("nan")  # As `metrics.compute` has it for a model that diverged.
        return Difference(nan, (nan, nan), (nan,) * len(first), ())
    return significance.compare(
        task.problem,
        metrics.METRICS[task.primary_metric],
        labels,
        [task.problem.decode(logits) for logits in first],
        [task.problem.decode(logits) for logits in second],
    )


def _answers(models: Group, seeds: Sequence[int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels [n] and, for each seed, logits [n, classes], all validation splits in a row."""
    by_seed = {model.seed: model for model in models.models}
    labels: np.ndarray = np.zeros(0)
    answers = []
    for seed in seeds:
        model = by_seed[seed]
        read = [
            predictions.read(path, model.task, model.data[split]["examples"])
            for split, path in model.predictions.items()
        ]
        labels = np.concatenate([one.labels for one in read])
        answers.append(np.concatenate([one.logits for one in read]))
    return labels, answers


# --- tables ---

Row = dict[str, str]


def _number(value: float | None, digits: int = 4) -> str:
    if value is None:
        return ""
    return "undefined" if math.isnan(value) else f"{value:.{digits}f}"


def _range(interval: tuple[float, float] | None, sign: str = "") -> str:
    """`0.123 to 0.456`; empty where there is none."""
    if not interval:
        return ""
    low, high = interval
    return "undefined" if math.isnan(low + high) else f"{low:{sign}.3f} to {high:{sign}.3f}"


def model_rows(models: Sequence[Model]) -> list[Row]:
    """A row for each model: every number with its run, seed and number of examples."""
    rows = []
    for model in models:
        others = [
            f"{name} {_number(value)}"
            for name, value in model.metrics.items()
            if name not in model.primary_names and not name.startswith("loss")
        ]
        rows.append(
            {
                "task": _task(model.task.name, model.source),
                "encoder": model.encoder,
                "pruning": model.method,
                "recipe": model.recipe,
                "seed": str(model.seed),
                "examples": f"{model.examples:,}",
                "metric": model.task.primary_metric,
                "score": _number(model.primary) + (" COLLAPSED" if model.collapsed else ""),
                "95 % interval": _range(model.interval),
                "other scores": ", ".join(others),
                "flips": "" if model.flips is None else str(model.flips),
                "sparsity": "" if model.sparsity is None else f"{model.sparsity:.1%}",
                "non-zero parameters": f"{model.parameters['nonzero']:,}",
                "MB": f"{model.bytes['plain'] / 1e6:.2f}",
                "MB gzipped": f"{model.bytes['gzip'] / 1e6:.2f}",
                "ms": _number(model.milliseconds, 2)
                + (f" at {model.longest}" if model.longest else ""),
                "speed": "" if model.speed is None else f"{model.speed:.2f}x",
                "peak MB": ""
                if model.peak_memory_bytes is None
                else f"{model.peak_memory_bytes / 1e6:.0f}",
                "run": model.run,
            }
        )
    return rows


def group_rows(groups: Sequence[Group]) -> list[Row]:
    """A row for each experiment, its seeds together: short enough for a terminal."""
    rows = []
    for one in groups:
        model = one.first
        mark = f" COLLAPSED ({one.collapsed} of {len(one.models)})" if one.collapsed else ""
        speeds = [m.speed for m in one.models if m.speed is not None]
        rows.append(
            {
                "task": _task(model.task.name, model.source),
                "model": one.name + mark,
                "examples": f"{model.examples:,}",
                "seeds": _listed(one.seeds),
                "score": _number(one.mean),
                "95 % interval": _range(one.interval),
                "seeds' range": _range(one.spread) if len(one.seeds) > 1 else "",
                "MB": f"{np.mean([m.bytes['plain'] for m in one.models]) / 1e6:.1f}",
                "gzip": f"{np.mean([m.bytes['gzip'] for m in one.models]) / 1e6:.1f}",
                "speed": f"{np.mean(speeds):.2f}x" if speeds else "",
            }
        )
    return rows


def difference_rows(comparisons: Sequence[Comparison]) -> list[Row]:
    """A row for each difference, and what it is worth."""
    rows = []
    for one in comparisons:
        difference = one.difference
        rows.append(
            {
                "task": _task(one.task, one.source),
                "model": one.what,
                "against": one.against,
                "examples": f"{one.examples:,}",
                "seeds": _listed(one.seeds),
                "difference": f"{difference.mean:+.4f}" if difference.is_defined else "undefined",
                "95 % interval": _range(difference.interval, "+"),
                "seeds' range": _range((min(difference.by_seed), max(difference.by_seed)), "+")
                if len(one.seeds) > 1
                else "",
                "McNemar p": ", ".join(f"{p:.3f}" for p in difference.mcnemar),
                "verdict": one.verdict,
            }
        )
    return rows


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _task(name: str, source: str) -> str:
    return f"{name} (sample)" if source == "sample" else name


def markdown(rows: Sequence[Row]) -> str:
    """A Markdown table."""
    if not rows:
        return ""
    heads = list(rows[0])
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += [
        "| " + " | ".join(row[head].replace("|", "\\|") for head in heads) + " |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def csv_text(models: Sequence[Model]) -> str:
    """Every model and every number, for a spreadsheet."""
    rows = []
    for model, row in zip(models, model_rows(models), strict=True):
        numbers = {name: str(value) for name, value in model.metrics.items()}
        latency = {
            f"ms_{length}_{name}": str(value)
            for length, timed in model.latency.items()
            for name, value in timed.items()
        }
        rows.append({**row, **numbers, **latency, "bytes": str(model.bytes["plain"])})
    return rows_csv(rows)


def rows_csv(rows: Sequence[Row]) -> str:
    """Rows as CSV; a column that a row has not is empty there."""
    heads = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, heads, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points (cost, score) on the Pareto front, by rising cost.

    Of those, no other point is at least as good in both and better in one. A score of NaN is
    never among them.
    """
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        best = points[front[-1]] if front else (math.nan, -math.inf)
        if points[index][1] > best[1] or points[index] == best:
            front.append(index)
    return front


def notes(models: Iterable[Model]) -> list[str]:
    """What has to be known to read the numbers, a line each."""
    models = list(models)
    lines = [
        f"COLLAPSED: {model.run}, {model.recipe}: {model.collapsed}. Do not use this model."
        for model in models
        if model.collapsed
    ]
    if any(model.source == "sample" for model in models):
        sample = "Scores marked (sample) are of generated sentences; they say nothing of GLUE."
        lines.insert(0, sample)
    unpruned = {m.key((*_SEED, *_PRUNING)) for m in models if m.method == NO_PRUNING}
    alone = [
        m.run
        for m in models
        if m.method != NO_PRUNING
        and m.recipe == KERAS
        and m.key((*_SEED, *_PRUNING)) not in unpruned
    ]
    if alone:
        lines.append(
            f"Not compared with an unpruned model: {', '.join(alone)}. No run with the same "
            "settings and --pruning_method=none is among these."
        )
    return lines
