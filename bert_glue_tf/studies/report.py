"""The report's Tables 1, 2 and 3 beside what was measured here, and its two hypotheses."""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from bert_glue_tf.compression.registry import DEFAULT_METHOD, NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import collapse, metrics, predictions, significance
from bert_glue_tf.evaluation.significance import Difference
from bert_glue_tf.export import record
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.reports import tables
from bert_glue_tf.runs import finished

CURVES = ("1", "2")  # Tables of loss and accuracy per epoch.
QUANTIZED = ("mrpc", "sst2")
RECIPE = "dynamic_int8"  # What PyTorch's dynamic quantization does, as a .tflite file.
_COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy")


@dataclasses.dataclass(frozen=True)
class Plan:
    """One training that the tables need.

    Attributes:
      task: its name.
      method: pruning method.
      seed: of the training.
      limit: training examples, 0 = all.
      folder: of the run.
      exported: whether its quantized file is needed too.
    """

    task: str
    method: str
    seed: int
    limit: int
    folder: pathlib.Path
    exported: bool


def plans(
    root: pathlib.Path, seeds: Sequence[int], sst2_examples: int, examples: int = 0
) -> list[Plan]:
    """The trainings behind the three tables, in the order in which they are run.

    Args:
      root: folder of the runs.
      seeds: of the trainings.
      sst2_examples: training examples of SST-2; 0 = as the others.
      examples: training examples of each task; 0 = all.
    """
    found = []
    for seed in seeds:
        for task in ("mrpc", "cola", "sst2"):
            methods = (NO_PRUNING,) if task == "sst2" else (NO_PRUNING, DEFAULT_METHOD)
            for method in methods:
                found.append(
                    Plan(
                        task=task,
                        method=method,
                        seed=seed,
                        limit=sst2_examples if task == "sst2" and sst2_examples else examples,
                        folder=root / f"{task}-{method}-seed{seed}",
                        exported=method == NO_PRUNING and task in QUANTIZED,
                    )
                )
    return found


def run(plan: Plan, settings: Mapping[str, str]) -> None:
    """Trains, and exports where needed; what is finished already is not done again.

    Each in a process of its own, as a user would, so that memory and graphs start afresh.

    Raises:
      UserError: one of them failed; it has said why.
    """
    arguments = {
        **settings,
        "task": plan.task,
        "pruning_method": plan.method,
        "seed": str(plan.seed),
        "train_examples": str(plan.limit),
        "workdir": str(plan.folder),
    }
    _call("train", arguments)
    if plan.exported:
        _call(
            "export_tflite",
            {"run": str(plan.folder), "recipes": RECIPE, "seq_lengths": "32,64,128"},
        )


def _call(command: str, arguments: Mapping[str, str]) -> None:
    line = [f"--{name}={value}" for name, value in arguments.items()]
    logging.info("%s %s", command, " ".join(line))
    done = subprocess.run([sys.executable, "-m", f"bert_glue_tf.{command}", *line])
    if done.returncode:
        raise UserError(
            f"{command} ended with status {done.returncode} (see above). What is finished stays; "
            "the same command goes on from there."
        )


def published() -> dict[str, Any]:
    """The report's values, committed as data with their source."""
    file = importlib.resources.files("bert_glue_tf.studies") / "published" / "report.json"
    return dict(json.loads(file.read_text(encoding="utf-8")))


def _cell(value: float | None, digits: int = 4) -> str:
    return "not at hand" if value is None else f"{value:.{digits}f}"


def curve_rows(number: str, done: Sequence[Plan]) -> list[dict[str, str]]:
    """Table 1 or 2: per epoch, the report's value beside the mean of ours over the seeds."""
    table = published()["tables"][number]
    rows = []
    for method in (NO_PRUNING, DEFAULT_METHOD):
        histories = [
            finished.Run.read(plan.folder).folder.read_history()
            for plan in done
            if plan.task == table["task"] and plan.method == method
        ]
        for epoch in range(max(map(len, histories), default=0)):
            theirs = table[method][epoch] if epoch < len(table[method]) else {}
            row = {
                "pruning": "with" if method == DEFAULT_METHOD else "without",
                "epoch": str(epoch + 1),
            }
            for column in _COLUMNS:
                ours = [float(history[epoch][column]) for history in histories]
                row[f"{column}: report"] = _cell(theirs.get(column))
                row[f"{column}: ours"] = f"{np.mean(ours):.4f}"
            rows.append(row)
    return rows


def quantization_rows(done: Sequence[Plan]) -> list[dict[str, str]]:
    """Table 3: accuracy and size, without and with quantization."""
    table = published()["tables"]["3"]
    rows = []
    for task in QUANTIZED:
        some = [plan for plan in done if plan.task == task and plan.exported]
        if not some:
            continue
        records = [ExportFolder(p.folder / FOLDER).records() for p in some]
        for name, recipe in (("", "float32"), ("quantized_", RECIPE)):
            ours = [record[recipe] for record in records]
            size = float(np.mean([record.bytes["plain"] for record in ours])) / 1e6
            rows.append(
                {
                    "task": f"{task}, {comparison_examples(some[0])}",
                    "quantized": "yes" if name else "no",
                    "accuracy: report": _cell(table[task][f"{name}accuracy"]),
                    "accuracy: ours": f"{np.mean([r.metrics['accuracy'] for r in ours]):.4f}",
                    "MB: report": _cell(table[task][f"{name}mb"], 2),
                    "MB: ours": f"{size:.2f}",
                    "smaller by": _saved(records, recipe),
                    "report's": f"{table[task]['reduction']:.2%}" if name else "",
                    "COLLAPSED": "yes" if any(record.collapsed for record in ours) else "",
                }
            )
    return rows


def _saved(records: Sequence[Mapping[str, record.ExportResult]], recipe: str) -> str:
    if recipe == "float32":
        return ""
    ratios = [r[recipe].bytes["plain"] / r["float32"].bytes["plain"] for r in records]
    return f"{1 - float(np.mean(ratios)):.2%}"


def hypotheses(done: Sequence[Plan]) -> list[str]:
    """Whether the report's two hypotheses hold here, in words, with intervals."""
    lines = []
    for task in ("mrpc", "cola"):
        pairs = [
            (_accurate(without, ""), _accurate(with_, ""))
            for without in done
            for with_ in done
            if without.task == with_.task == task
            and without.seed == with_.seed
            and without.method == NO_PRUNING
            and with_.method == DEFAULT_METHOD
        ]
        if pairs:
            difference = _difference(task, pairs)
            verdict = (
                "does not hold: the difference is within noise"
                if difference.is_noise
                else ("holds" if difference.mean > 0 else "does not hold: it lowers it")
            )
            told = _told(
                {
                    "without pruning": _collapsed(task, [pair[0] for pair in pairs]),
                    "with pruning": _collapsed(task, [pair[1] for pair in pairs]),
                }
            )
            lines.append(
                f"Pruning raises validation accuracy, {task}: {verdict} "
                f"({_interval(difference)}).{told}"
            )
    for task in QUANTIZED:
        some = [plan for plan in done if plan.task == task and plan.exported]
        if some:
            pairs = [(_accurate(p, "float32"), _accurate(p, RECIPE)) for p in some]
            difference = _difference(task, pairs)
            base = _collapsed(task, [pair[0] for pair in pairs])
            quantized = _collapsed(task, [pair[1] for pair in pairs])
            told = _told({"float32": base, RECIPE: quantized})
            # On 408 examples a model that says one thing to all may be within noise of a weak one.
            if base:
                verdict = "cannot be told"
            elif quantized:
                verdict = "does not hold"
            elif difference.is_noise:
                verdict = "holds: the difference is within noise"
            else:
                verdict = "holds: it raises it" if difference.mean > 0 else "does not hold"
            lines.append(
                f"Quantization keeps validation accuracy, {task}: {verdict} "
                f"({_interval(difference)}).{told}"
            )
    return lines


_Pair = tuple[predictions.Predictions, predictions.Predictions]


def _collapsed(task: str, answers: Sequence[predictions.Predictions]) -> str:
    """Why one of the models is worthless, or an empty text."""
    return collapse.text(collapse.judge(tasks.get(task), one.labels, one.logits) for one in answers)


def _told(reasons: Mapping[str, str]) -> str:
    """A sentence about the models that are worthless, or an empty text."""
    found = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
    return f" COLLAPSED: {'; '.join(found)}." if found else ""


def _difference(task: str, pairs: Sequence[_Pair]) -> Difference:
    problem = tasks.get(task).problem
    return significance.compare(
        problem,
        metrics.accuracy,
        pairs[0][0].labels,
        [problem.decode(first.logits) for first, _ in pairs],
        [problem.decode(second.logits) for _, second in pairs],
    )


def _accurate(plan: Plan, recipe: str) -> predictions.Predictions:
    task = tasks.get(plan.task)
    (split,) = task.validation_splits.values()
    if recipe:
        folder = ExportFolder(plan.folder / FOLDER)
        return predictions.read(folder.predictions_file(recipe, split), task)
    return predictions.read(plan.folder / "predictions" / f"{split}.tsv", task)


def _interval(difference: Difference) -> str:
    low, high = difference.interval
    seeds = len(difference.by_seed)
    text = f"{difference.mean:+.4f} accuracy, 95 % interval {low:+.3f} to {high:+.3f}"
    if seeds == 1:
        return f"{text}, one seed, McNemar p {difference.mcnemar[0]:.3f}"
    return (
        f"{text}, {seeds} seeds from {min(difference.by_seed):+.3f} to "
        f"{max(difference.by_seed):+.3f}, McNemar p "
        + ", ".join(f"{p:.3f}" for p in difference.mcnemar)
    )


def text(done: Sequence[Plan], settings: Mapping[str, str]) -> str:
    """The whole comparison in Markdown."""
    report = published()
    counts = {plan.task: comparison_examples(plan) for plan in done}
    seeds = sorted({plan.seed for plan in done})
    sample = settings["data"] == "sample"
    marked = " (sample)" if sample else ""
    lines = [
        "# The report's tables, reproduced",
        "",
        f"Report: {report['source']} {report['note']}",
        "",
        f"Ours: encoder `{settings['encoder']}`, data "
        f"{'the generated sample (its scores say nothing about GLUE)' if sample else 'GLUE'}, "
        + ", ".join(f"{k} {v}" for k, v in settings.items() if k not in ("encoder", "data"))
        + f", mean of seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}. "
        + (
            ""
            if settings["encoder"] == report["encoder"]
            else f"The report used {report['encoder']}: the values are of another, larger encoder."
        ),
        "",
        *(f"- {task}: {line}" for task, line in counts.items()),
        "",
    ]
    for number in CURVES:
        rows = curve_rows(number, done)
        if rows:
            title = report["tables"][number]["title"]
            lines += [f"## Table {number}. {title}{marked}", "", tables.markdown(tables.of(rows))]
    rows = quantization_rows(done)
    if rows:
        lines += [
            f"## Table 3. {report['tables']['3']['title']}{marked}",
            "",
            f"Ours: float32 and {RECIPE} .tflite files; the report: PyTorch's checkpoints.",
            "",
            tables.markdown(tables.of(rows)),
        ]
    lines += [f"## The two hypotheses{marked}", "", *(f"- {line}" for line in hypotheses(done)), ""]
    return "\n".join(lines)


def comparison_examples(plan: Plan) -> str:
    """How many examples a run was trained and scored on, in words."""
    data = finished.Run.read(plan.folder).result.data
    used, of = data["train"]["examples"], data["train"]["split_examples"]
    (split,) = tasks.get(plan.task).validation_splits.values()
    limited = f"{used:,} of its {of:,}" if used != of else f"all {of:,}"
    return f"trained on {limited} examples, scored on {data[split]['examples']:,}"
