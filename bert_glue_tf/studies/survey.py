"""Every pruning method at one sparsity, trained alike: what each costs and buys.

What the runs' records do not hold is measured here and kept in `measured.json` beside the tables:
the latency of all files, interleaved in one run, and each model's robustness. It is measured anew
where the files or the models are others.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.registry import NO_PRUNING
from bert_glue_tf.core import cli, files, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.data import readers, tasks
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.evaluation import cost, robustness
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.models import encoders
from bert_glue_tf.models.bert import structure
from bert_glue_tf.reports import reading, tables
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import Model
from bert_glue_tf.runs import finished
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.studies import studying
from bert_glue_tf.studies.studying import Cell, Study

FLOAT32, INT8 = "float32", "dynamic_int8"
MEASURED = "measured.json"
_BATCH = 64
# What the sparsity of a method means, where it is not that of the encoder's matrices.
SPARSITY_OF = {
    "classifier_magnitude": (
        "prunes the dense classifier alone, as the report does: the sparsity is its"
    ),
    "layer": "drops whole layers: the sparsity is the fraction of the layers",
    "attention_head": "removes attention heads: the sparsity is the fraction of the heads",
    "neuron": "removes feed-forward neurons: the sparsity is the fraction of the neurons",
    "vocabulary": "cuts word pieces that the training text never uses: --final_sparsity does not "
    "come into it",
    "lottery_ticket": "divides the same steps into rounds, and winds the weights back after each",
}


def cells(
    methods: Sequence[str], given: Mapping[str, str], options: str, seeds: Sequence[int]
) -> list[Cell]:
    """The unpruned model, and a model for each method.

    Args:
      methods: names; none means all.
      given: settings of the trainings.
      options: settings of the methods' own, as `method.name=value` with spaces between them.
      seeds: of each.

    Raises:
      UserError: an unknown method or option, or a setting is none of a run.
    """
    asked = map(registry.canonical, methods or registry.names())
    chosen = [name for name in asked if name != NO_PRUNING]
    if not chosen:
        raise UserError(f"--methods={','.join(methods)}: give methods to compare with no pruning.")
    own: dict[str, list[str]] = {name: [] for name in chosen}
    for name, value in registry.parse_options(registry.canonical_options(options)).items():
        method = name.partition(".")[0]
        if method not in own or "." not in name:
            raise UserError(
                f"--pruning_options={options}: {name} is not METHOD.OPTION of a method that is "
                "run. Good: --pruning_options='block.block=8x8 lottery_ticket.rounds=2'."
            )
        own[method].append(f"{name}={value}")
    return [
        studying.cell("unpruned", given, NO_PRUNING, seeds),
        *(
            studying.cell(
                name, {**given, "pruning_options": " ".join(found)} if found else given, name, seeds
            )
            for name, found in own.items()
        ),
    ]


# What is measured here.


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the files are made and timed.

    Attributes:
      seq_lengths: lengths of the files in word pieces.
      threads: of LiteRT.
      repetitions: timed runs of each file at each length.
      rate: of the typos, see `robustness.typos`.

    Raises:
      UserError: a length is none that an encoder can have, or the rate is no share.
    """

    seq_lengths: tuple[int, ...] = (32, 64, 128)
    threads: int = 2
    repetitions: int = 50
    rate: float = robustness.RATE

    def __post_init__(self) -> None:
        low, high = encoders.MIN_SEQ_LENGTH, encoders.MAX_SEQ_LENGTH
        if not all(low <= length <= high for length in self.seq_lengths):
            given = ",".join(map(str, self.seq_lengths))
            raise UserError(f"--seq_lengths={given}: give whole numbers from {low} to {high}.")
        if not 0 <= self.rate <= 1:
            raise UserError(f"--typos={self.rate}: must be from 0 to 1.")


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured of one model, that of the first seed.

    Attributes:
      config: of its run.
      record: its run's.
      files: recipe -> record of the file; empty where it could not be exported.
      latency: length -> milliseconds p50, p90 and min of `dynamic_int8`, and `float32_p50` of
        the unpruned model's float32 file, all files of the survey in turns.
      robustness: validation split -> see `robustness.measure`.
      reason: why there are no files.
    """

    config: ExperimentConfig
    record: ExperimentResult
    files: Mapping[str, ExportResult]
    latency: Mapping[str, Mapping[str, float]]
    robustness: Mapping[str, Any]
    reason: str


def measure(
    study: Study, models: Sequence[Cell], settings: Settings, output: pathlib.Path
) -> dict[str, Measured]:
    """Exports and measures the first finished run of each cell; what is measured is kept.

    Returns:
      The cell's label -> what was measured; cells without a finished run are left out.

    Raises:
      UserError: the unpruned model was not trained or cannot be exported, since everything is
        compared with it; or the folder cannot be written.
    """
    runs = {
        one.label: next(c for c in one.configs if c.run_name in study.records)
        for one in models
        if study.record_of(one)
    }
    unpruned = models[0].label
    if unpruned not in runs:
        raise UserError(
            "the unpruned model was not trained, and everything is compared with it: "
            f"{study.reason(models[0])}"
        )
    folders = {label: study.folder(config) for label, config in runs.items()}
    files, reasons = {}, {}
    for label, folder in folders.items():
        files[label], reasons[label] = _exported(folder, settings)
    if reasons[unpruned]:
        raise UserError(f"the unpruned model cannot be exported: {reasons[unpruned]}")
    try:
        output.mkdir(parents=True, exist_ok=True)
        kept = _Kept(output / MEASURED)
        latency = _latency(kept, folders, files, settings, unpruned)
        robust = {
            label: _robustness(kept, runs[label], folder, settings)
            for label, folder in folders.items()
        }
    except OSError as error:
        raise UserError(
            f"--output={output}: cannot be written ({error.strerror}). "
            "Give a folder that you may write, on a disk with space left."
        ) from error
    return {
        label: Measured(
            config,
            study.records[config.run_name],
            files[label],
            latency.get(label, {}),
            robust[label],
            reasons[label],
        )
        for label, config in runs.items()
    }


class _Kept:
    """measured.json: what was measured, each with what decides it."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        try:
            text = path.read_text(encoding="utf-8") if path.exists() else "{}"
            self._values: dict[str, Any] = dict(strict_json.loads(text))
            if not all(set(value) == {"key", "value"} for value in self._values.values()):
                raise ValueError("an entry has not the form {key, value}")
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"{path}: not what a survey has measured ({error}). Delete it to measure anew."
            ) from None

    def get(self, name: str, key: Any) -> Any:
        """What was measured under a name with the same key; None where nothing was."""
        found = self._values.get(name)
        return found["value"] if found and found["key"] == key else None

    def put(self, name: str, key: Any, value: Any) -> None:
        self._values[name] = {"key": key, "value": value}
        write_atomically(self._path, json.dumps(self._values, indent=1) + "\n")


def _exported(folder: pathlib.Path, settings: Settings) -> tuple[dict[str, ExportResult], str]:
    """The records of a run's files, or why there are none.

    Made by the command in a process of its own, since a conversion leaves much memory behind.
    """
    lengths = sorted(
        {min(n, finished.Run.read(folder).config.seq_length) for n in settings.seq_lengths}
    )
    found = _files(folder, lengths)
    if found:
        return found, ""
    logging.info("exporting %s", folder)
    line = [
        f"--run={folder}",
        f"--recipes={INT8}",
        f"--seq_lengths={','.join(map(str, lengths))}",
        f"--threads={settings.threads}",
        f"--latency_repetitions={settings.repetitions}",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "bert_glue_tf.export_tflite", *line],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if not done.returncode:
        return _files(folder, lengths), ""
    lines = done.stderr.strip().splitlines()
    errors = [text for text in lines if text.startswith("error: ")]
    if done.returncode == cli.USER_ERROR and errors:
        return {}, f"not exported: {errors[-1].removeprefix('error: ')}"
    return {}, f"not exported: exit status {done.returncode}: {lines[-1] if lines else 'no output'}"


def _files(folder: pathlib.Path, lengths: Sequence[int]) -> dict[str, ExportResult]:
    """The records of both files of a run; empty unless both are there for these lengths."""
    records = ExportFolder(folder / FOLDER).records()
    found = {name: records[name] for name in (FLOAT32, INT8) if name in records}
    same = all(list(record.seq_lengths) == list(lengths) for record in found.values())
    return found if same and len(found) == 2 else {}


def _latency(
    kept: _Kept,
    folders: Mapping[str, pathlib.Path],
    files: Mapping[str, Mapping[str, ExportResult]],
    settings: Settings,
    unpruned: str,
) -> dict[str, dict[str, dict[str, float]]]:
    """Label -> length -> milliseconds of its dynamic_int8 file, all in turns."""
    chosen = {label: (INT8, found[INT8]) for label, found in files.items() if found}
    chosen[""] = (FLOAT32, files[unpruned][FLOAT32])  # No method has an empty name.
    key = {
        "sha256": {label: record.sha256 for label, (_, record) in chosen.items()},
        "threads": settings.threads,
        "repetitions": settings.repetitions,
    }
    known = kept.get("latency", key)
    if known:
        return dict(known)
    from bert_glue_tf.export import litert

    logging.info("latency of %d files in turns", len(chosen))
    models = {
        label: litert.LiteModel.load(
            ExportFolder(folders[label or unpruned] / FOLDER).model(recipe),
            settings.threads,
        )
        for label, (recipe, _) in chosen.items()
    }
    found: dict[str, dict[str, dict[str, float]]] = {label: {} for label in models if label}
    for length in models[unpruned].lengths:
        features = {name: np.ones((1, length), np.int32) for name in INPUTS}
        timed = cost.interleaved_latency(
            {label: functools.partial(one.predict, features) for label, one in models.items()},
            settings.repetitions,
        )
        for label, values in found.items():
            values[str(length)] = {**timed[label], "float32_p50": timed[""]["p50"]}
    kept.put("latency", key, found)
    return found


def _robustness(
    kept: _Kept, config: ExperimentConfig, folder: pathlib.Path, settings: Settings
) -> dict[str, Any]:
    """Validation split -> how well the run's model holds out."""
    weights = folder / "model" / "variables" / "variables.data-00000-of-00001"
    record = finished.Run.read(folder).result
    task = tasks.get(config.task)
    key = {
        "weights_sha256": files.sha256(weights),
        "data_sha256": [record.data[split]["sha256"] for split in task.validation_splits.values()],
        "rate": settings.rate,
    }
    known = kept.get(f"robustness of {config.run_name}", key)
    if known:
        return dict(known)
    logging.info("robustness of %s", config.run_name)
    import tf_keras

    from bert_glue_tf.serving.classifier import Classifier

    model = Classifier.load(folder, settings.threads)
    train = readers.load(task, config.data, "train")
    found = {
        split: robustness.measure(
            model.predict_fn,
            model.preprocessor,
            task,
            readers.load(task, config.data, split),
            train,
            batch_size=_BATCH,
            buckets=model.lengths,
            rate=settings.rate,
        )
        for split in task.validation_splits.values()
    }
    tf_keras.backend.clear_session()  # The next model needs the memory.
    kept.put(f"robustness of {config.run_name}", key, found)
    return found


# Tables.


def scope(record: ExperimentResult) -> str:
    """What a method has pruned, by the names in its run's record."""
    names = record.sparsity
    if not names:
        return ""
    if "layers" in names:
        return "layers"
    parts = {structure.part_of(name) for name in names}
    if all(part.startswith("layer ") for part in parts):
        attention = any("attention" in name for name in names)
        other = any("attention" not in name for name in names)
        return "encoder" if attention and other else "attention" if attention else "feed-forward"
    return ", ".join(sorted(parts))


def _robust(one: Measured, kind: str) -> str:
    """Mean of the primary metric over the validation splits; empty where it is not known."""
    name = tasks.get(one.config.task).primary_metric
    found = [split[kind] for split in one.robustness.values()]
    if not found or any(values is None for values in found):
        return ""
    values = [values[name] for values in found]
    return (
        "undefined" if any(v is None or math.isnan(v) for v in values) else f"{np.mean(values):.4f}"
    )


def rows(
    study: Study, models: Sequence[Cell], measured: Mapping[str, Measured]
) -> list[dict[str, str]]:
    """A row for each method, the unpruned model first."""
    base = measured[models[0].label]
    total = base.record.parameters["total"]
    found = []
    for one in models:
        group = study.group(one)
        row = {
            "method": one.label,
            "scope": "",
            "sparsity": "",
            "of all weights": "",
            "score": studying.score(group),
            "range": studying.spread(group),
            **studying.difference(None if one is models[0] else study.compare(one, models[0])),
        }
        own = measured.get(one.label)
        row |= _costs(own, base)
        if own:
            row["scope"] = scope(own.record)
            prunable = own.record.parameters.get("prunable", 0)
            if prunable:
                row["sparsity"] = f"{own.record.parameters['pruned'] / prunable:.1%}"
                row["of all weights"] = f"{prunable / total:.2%}"
        row["why not"] = "; ".join(filter(None, [study.reason(one), own.reason if own else ""]))
        found.append(row)
    return found


_COSTS = (
    "typos",
    "in domain",
    "out of domain",
    "parameters",
    "non-zero",
    "ratio",
    "float32 MB",
    "float32 gzip",
    "int8 MB",
    "int8 gzip",
    "gzip ratio",
    "int8 score",
    "ms",
    "speed",
    "peak MB",
)


def _costs(one: Measured | None, base: Measured) -> dict[str, str]:
    row = dict.fromkeys(_COSTS, "")
    if one is None:
        return row
    row |= {
        "typos": _robust(one, "typos"),
        "in domain": _robust(one, "in_domain"),
        "out of domain": _robust(one, "out_of_domain"),
        "parameters": f"{one.record.parameters['total']:,}",
        "non-zero": f"{one.record.parameters['nonzero']:,}",
        "ratio": f"{base.record.parameters['total'] / one.record.parameters['nonzero']:.2f}x",
    }
    if not one.files:
        return row
    for recipe, name in ((FLOAT32, "float32"), (INT8, "int8")):
        size = one.files[recipe].bytes
        row |= {
            f"{name} MB": f"{size['plain'] / 1e6:.2f}",
            f"{name} gzip": f"{size['gzip'] / 1e6:.2f}",
        }
    int8 = one.files[INT8]
    task = tasks.get(one.config.task)
    names = [f"{task.primary_metric}{suffix}" for suffix in task.validation_splits]
    timed = one.latency[max(one.latency, key=int)]
    mine = base.latency[max(base.latency, key=int)]
    return row | {
        "gzip ratio": f"{base.files[INT8].bytes['gzip'] / int8.bytes['gzip']:.2f}x",
        "int8 score": f"{np.mean([int8.metrics[name] for name in names]):.4f}"
        + (" COLLAPSED" if int8.collapsed else ""),
        "ms": f"{timed['p50']:.2f}",
        "speed": f"{mine['p50'] / timed['p50']:.2f}x",
        "peak MB": f"{int8.peak_memory_bytes['total'] / 1e6:.0f}",
    }


def compact(table: Sequence[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    """The table in parts for a terminal of 100 columns: title -> rows."""
    bought = ("score", "difference", "95 % interval", "verdict", "typos", "out of domain")
    cost = ("scope", "sparsity", "ratio", "int8 MB", "int8 gzip", "gzip ratio", "ms", "peak MB")
    return {
        "Scores": studying.pick(table, ("method", *bought)),
        "Costs (files: dynamic_int8)": studying.pick(table, ("method", *cost)),
    }


def reasons(table: Sequence[dict[str, str]]) -> list[str]:
    """Each method that was not measured, with its reason."""
    return [f"Not measured: {row['method']}: {row['why not']}" for row in table if row["why not"]]


def files_as_groups(
    study: Study, models: Sequence[Cell], measured: Mapping[str, Measured]
) -> list[Group]:
    """The dynamic_int8 files with the survey's own latency, for a plot."""
    found = []
    for one in models:
        own = measured.get(one.label)
        if own is None or not own.files:
            continue
        (model,) = [
            model for model in reading.read([study.folder(own.config)]) if model.recipe == INT8
        ]
        timed: Model = dataclasses.replace(model, latency=own.latency)
        found.append(Group((timed,), label=one.label))
    return found


def notes(
    models: Sequence[Cell], measured: Mapping[str, Measured], settings: Settings
) -> list[str]:
    """What the columns mean, a line each."""
    base = measured[models[0].label]
    length = max(base.latency, key=int)
    lines = [
        "Score and difference: of the trained model, means over the seeds; the other columns: the "
        "model of the first seed. of all weights: the share of the unpruned model's weights among "
        "which was pruned, and sparsity, how much of that is gone. ratio: weights of the unpruned "
        "model over those that are left and not zero.",
        f"ms: median of one example of {length} word pieces in the dynamic_int8 file, "
        f"{settings.threads} threads, {settings.repetitions} runs, all files in turns (the "
        f"unpruned float32 file: {base.latency[length]['float32_p50']:.2f} ms); speed: against "
        "the unpruned dynamic_int8 file. peak MB: of a fresh process that loads that file and "
        "predicts once. gzip ratio: the unpruned dynamic_int8 file, gzipped, over this one's.",
        f"typos: score with spelling mistakes in {settings.rate:.0%} of the words that can have "
        "one; in and out of domain: on sources that the training split has, and that it has not.",
    ]
    lines += [f"{m.label}: {SPARSITY_OF[m.label]}." for m in models if m.label in SPARSITY_OF]
    return lines


def text(
    study: Study,
    models: Sequence[Cell],
    measured: Mapping[str, Measured],
    settings: Settings,
) -> str:
    """The whole survey in Markdown."""
    mark = studying.sample_mark(study)
    task = models[0].task
    table = rows(study, models, measured)
    heads = [head for head in table[0] if any(row[head] for row in table)]
    first = measured[models[0].label].record
    return "\n".join(
        [
            f"# Pruning methods on {task}{mark}",
            "",
            studying.settings_line(models, study),
            "",
            f"{task}: {studying.examples(first)}. Differences: to the unpruned model, 95 % paired "
            "bootstrap over the examples; p: McNemar's exact test, one for each seed.",
            "",
            tables.markdown(tables.of(studying.pick(table, heads))),
            *(f"- {line}" for line in reasons(table)),
            *(f"- {line}" for line in notes(models, measured, settings)),
            *(f"- {line}" for line in study.notes()),
            "",
            "![score against latency](survey_latency.png)",
            "",
            "![score against size](survey_size.png)",
            "",
            *studying.reasons(study),
        ]
    )


def write(
    study: Study,
    models: Sequence[Cell],
    measured: Mapping[str, Measured],
    settings: Settings,
    output: pathlib.Path,
) -> None:
    """Writes survey.md, survey.csv and the figures.

    Raises:
      UserError: the folder cannot be written.
    """
    from bert_glue_tf.reports import plots

    groups = files_as_groups(study, models, measured)
    made = {
        f"survey_{cost}": figure
        for cost in ("latency", "size")
        if (figure := plots.score_against(groups, cost)) is not None
    }
    files = {
        "survey.md": text(study, models, measured, settings),
        "survey.csv": tables.csv(tables.of(rows(study, models, measured))),
    }
    studying.write(output, files, made)
