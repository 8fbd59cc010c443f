"""Tables for the terminal: of one record, of an export's files, of any rows."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bert_glue_tf.core import layout, quantities
from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import operating_point
from bert_glue_tf.evaluation.defaults import OPERATING_POINTS
from bert_glue_tf.export.record import OF_SPREAD, TRAINED, ExportResult
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED
from bert_glue_tf.reports import fitting, formats, tables
from bert_glue_tf.reports.measured import SAMPLE, Pruned
from bert_glue_tf.reports.tables import Column, Table
from bert_glue_tf.runs.results import ExperimentResult


def _score(value: float, interval: tuple[float, float] | None, diverged: bool) -> str:
    if not math.isfinite(value):
        return f"undefined ({'the model diverged: NaN' if diverged else 'constant predictions'})"
    text = f"{value:.4f}"
    # None is a NaN that has been read back: an interval that is not defined.
    if interval and not any(limit is None or math.isnan(limit) for limit in interval):
        text += f"   [{interval[0]:.3f}, {interval[1]:.3f}]"
    return text


def _sparsity_rows(result: ExperimentResult) -> list[tuple[str, str]]:
    """Return a row for each pruned matrix; of more than a few, one row for all of them."""
    values = result.sparsity
    if len(values) <= 3:
        return [(f"sparsity of {name}", f"{100 * value:.2f} %") for name, value in values.items()]
    low, high = (
        quantities.percent(limit) for limit in (min(values.values()), max(values.values()))
    )
    among = f"{low} each" if low == high else f"{low} to {high}"
    return [(f"sparsity of {len(values)} matrices", among)]


def _pruned_rows(result: ExperimentResult) -> list[tuple[str, str]]:
    """Return what is pruned, of what, and how much of the model that is."""
    counts = result.parameters
    if not result.sparsity or not counts.get("prunable"):
        return []
    found = Pruned.of(result.config, counts)
    return [
        (
            "pruned",
            f"{quantities.percent(found.fraction, 2)} of {found.part} "
            f"({quantities.share(found.of_model)} of the model)",
        )
    ]


def rows(result: ExperimentResult) -> list[tuple[str, str]]:
    """Return the table's (name, value) pairs; an empty pair separates groups."""
    return [
        *_score_rows(result),
        *_teacher_rows(result),
        *_quantized_rows(result),
        ("", ""),
        *_sparsity_rows(result),
        *_pruned_rows(result),
        *_size_rows(result),
        ("", ""),
        *_speed_rows(result),
    ]


def _score_rows(result: ExperimentResult) -> list[tuple[str, str]]:
    """Return the number of examples and the scores of each split, and the thresholds."""
    task = tasks.of(result)
    lines: list[tuple[str, str]] = []
    for suffix, split in task.scored_splits.items():
        number = result.data[split]["examples"]
        lines.append((f"{split} examples", quantities.count(number)))
        # A loss is a number whatever the predictions are, unless the model's outputs are none.
        diverged = not math.isfinite(result.metrics.get(f"loss{suffix}", 0.0))
        first = task.primary_metric
        for name in dict.fromkeys((first, *task.metrics, "accuracy", *OPERATING_POINTS, "loss")):
            key = f"{name}{suffix}"
            if key in result.metrics:
                lines.append(
                    (key, _score(result.metrics[key], result.intervals.get(key), diverged))
                )
    return [*lines, *operating_point.rows(result.thresholds, result.config)]


def _quantized_rows(result: ExperimentResult) -> list[tuple[str, str]]:
    """Return the recipe whose rounding the scores have, where the training had it."""
    recipe = result.config.get("quantize_aware", NOT_QUANTIZED)
    return [] if recipe == NOT_QUANTIZED else [("rounded as the file", str(recipe))]


def _teacher_rows(result: ExperimentResult) -> list[tuple[str, str]]:
    """Return the teacher's run with its scores, where the record tells of one."""
    if not {"run", "metrics", "train_metrics"} <= set(result.teacher):
        return []
    task, scores = tasks.of(result), result.teacher["metrics"]
    names = [f"{task.primary_metric}{suffix}" for suffix in task.validation_splits]
    told = [f"{name} {_number(scores.get(name))}" for name in names]
    learned = _number(result.teacher["train_metrics"].get(task.primary_metric))
    told.append(f"{learned} on the training texts")
    return [("teacher", f"{result.teacher['run']}: {', '.join(told)}")]


def _number(value: float | None) -> str:
    """Return a score, which is None where it is not defined or not known."""
    return "undefined" if value is None or math.isnan(value) else f"{value:.4f}"


def _size_rows(result: ExperimentResult) -> list[tuple[str, str]]:
    """Return the number of parameters, of the zeros among them, and the size on disk."""
    counts = result.parameters
    return [
        ("parameters", quantities.count(counts["total"])),
        ("non-zero parameters", quantities.count(counts["nonzero"])),
        ("zeros", _zeros(counts["total"] - counts["nonzero"], counts.get("pruned", 0))),
        ("saved model", quantities.size(result.bytes["plain"])),
        ("saved model, gzipped", quantities.size(result.bytes["gzip"])),
    ]


def _zeros(zeros: int, pruned: int) -> str:
    """Return the zeros of the final model, and where they come from.

    A weight is zero without pruning where it began so (a bias, a padding row) or by chance.
    """
    if pruned > zeros:  # Which of those that are left are pruned ones is not known.
        gone = quantities.count(pruned - zeros)
        return f"{quantities.count(zeros)}; at least {gone} pruned weights are cut out"
    reasons = []
    if pruned:
        reasons.append(f"{quantities.count(pruned)} pruned")
    if zeros > pruned:
        reasons.append(f"{quantities.count(zeros - pruned)} from the start or by chance")
    text = quantities.count(zeros)
    return f"{text}: {', '.join(reasons)}" if reasons else text


def _speed_rows(result: ExperimentResult) -> list[tuple[str, str]]:
    """Return the speeds that are known, and time and memory of the whole run."""
    lines = []
    for name, key in (
        ("training", "train_examples_per_second"),
        ("evaluation", "evaluation_examples_per_second"),
    ):
        speed = result.speed[key]
        if speed is not None and not math.isnan(speed):
            lines.append((name, f"{quantities.significant(speed)} examples/s"))
    seconds, memory = result.speed["seconds"], quantities.size(result.peak_memory_bytes)
    return [*lines, ("time, peak memory", f"{seconds:.0f} s, {memory}")]


def title(result: ExperimentResult) -> str:
    """Return task, data, encoder and method; `sample` is named wherever its results are."""
    config = result.config
    text = f"{config['task']} ({result.data['train']['name']} data), {config['encoder']}"
    return f"{text}, {_pruning(config, result.size)}, seed {config['seed']}"


def _pruning(config: Mapping[str, Any], size: str) -> str:
    """Return the pruning of a run, and which network it is where its weights hold several."""
    text = f"pruning: {config['pruning_method']}"
    return f"{text}, size {size}" if size else text


def notes(result: ExperimentResult) -> list[str]:
    """Return the facts that a reader of the numbers has to know, a line each."""
    lines = ["In brackets: 95 % bootstrap interval over the examples.", *_without_width(result)]
    if result.data["train"]["name"] == SAMPLE:
        lines.append("Data: sample, generated by this project; its scores say nothing about GLUE.")
    caution = tasks.of(result).caution
    lines += [caution] if caution else []
    used, of = result.data["train"]["examples"], result.data["train"]["split_examples"]
    if used != of:
        lines.append(f"Trained on {used:,} of the {of:,} examples of {result.config['task']}.")
    return [*lines, *(f"Warning: {text}." for text in result.warnings)]


def _without_width(result: ExperimentResult) -> list[str]:
    """Return a line on accuracies of 0 or 1, whose bootstrap knows no other answers.

    The bound is the exact one of a binomial proportion (Clopper and Pearson 1934), one-sided.
    """
    low, high = result.intervals.get("accuracy", (0.0, 1.0))
    if low != high or low not in (0.0, 1.0) or "validation" not in result.data:
        return []
    examples = result.data["validation"]["examples"]
    share = 1 - 0.05 ** (1 / examples)
    what = "wrong" if low else "right"
    return [
        f"No answer among {examples:,} is {what}, so that the bootstrap gives no width. Of other "
        f"texts up to {100 * share:.1f} % may be {what} (95 % confidence)."
    ]


def print_table(result: ExperimentResult) -> None:
    """Print the record to standard output."""
    layout.say(title(result))
    _print_lines(fitting.pairs(rows(result), layout.width()))
    for line in notes(result):
        layout.say(line)


def _exports(task: tasks.TaskSpec, lengths: Sequence[str]) -> tuple[Column[ExportResult], ...]:
    """Return the columns of the files of one export."""
    longest = lengths[-1]

    def speed(record: ExportResult) -> float:
        return record.latency[longest]["float32_p50"] / record.latency[longest]["p50"]

    def score(name: str) -> Column[ExportResult]:
        return Column(name, lambda record: record.metrics[name], lambda value: f"{value:.4f}")

    def milliseconds(length: str) -> Column[ExportResult]:
        return Column(
            f"ms/{length}",
            lambda record: record.latency[length]["p50"],
            formats.milliseconds,
            spare=0 if length == longest else 2,
        )

    return (
        Column("recipe", lambda record: (record.recipe, bool(record.collapsed)), _recipe),
        *(score(f"{task.primary_metric}{suffix}") for suffix in task.validation_splits),
        Column("flips", lambda record: record.flips),
        Column("size", lambda record: record.bytes["plain"], formats.size),
        Column("gzipped", lambda record: record.bytes["gzip"], formats.size, spare=3),
        *map(milliseconds, lengths),
        Column("speed", speed, formats.ratio),
        Column(
            "peak memory",
            lambda record: record.peak_memory_bytes["total"],
            formats.size,
            spare=1,
        ),
    )


def _recipe(name_and_collapsed: tuple[str, bool]) -> str:
    name, is_collapsed = name_and_collapsed
    return name + (f" {formats.COLLAPSED}" if is_collapsed else "")


def print_exports(records: Sequence[ExportResult]) -> None:
    """Print the records of one export to standard output, a row for each file."""
    first = records[0]
    task = tasks.of(first)
    shown = Table(_exports(task, list(first.latency)), tuple(records))
    layout.say(
        f"{task.name} ({first.data[next(iter(first.data))]['name']} data), "
        f"{first.encoder['name']}, {_pruning(first.config, first.size)}, "
        f"seed {first.config['seed']}"
    )
    _print_lines(fitting.lines(shown, layout.width()))
    for record in records:
        if record.collapsed:
            layout.say(f"{record.recipe}: {formats.COLLAPSED}: {record.collapsed}")
        if record.at_chance:
            layout.say(f"{record.recipe}: {record.at_chance}")
    for line in _export_notes(records):
        layout.say(line)


def _export_notes(records: Sequence[ExportResult]) -> list[str]:
    """Return the facts that a reader of an export's table has to know, a line each."""
    first = records[0]
    # The file that computes what the Keras model does.
    like = next((one for one in records if one.quantization.get("ranges") == TRAINED), first)
    compared, longest = like.parity, list(first.latency)[-1]
    spread = compared.get(OF_SPREAD)
    share = "" if spread is None or like is first else f"{spread:.1%} of their spread on average, "
    notes = [
        f"{like.recipe} against Keras: {share}largest difference of a logit "
        f"{compared['largest_difference']:.1e}, "
        f"{compared['flips']} of {compared['examples']:,} labels differ. Flips: labels that differ "
        "from float32's.",
        f"The float32 SavedModel has {quantities.size(first.bytes['saved_model'])}. ms/{longest}: "
        f"median time of one example of length {longest} on {quantities.threads(first.threads)}; "
        f"speed: how many times as fast as float32 at length {longest}, all files timed in turns. "
        "It compares the files of this run only; `compare --time --runs=...` compares runs.",
    ]
    notes += [line for line in (first.busy, first.cut) if line]
    if first.config["data"] == SAMPLE:
        notes.append("Data: sample, generated by this project; its scores say nothing about GLUE.")
    return notes


def print_rows(title: str, rows: Table[Any] | Sequence[Mapping[str, Any]]) -> list[str]:
    """Print rows with the same columns as a table; a column that is empty is left out.

    Returns the heads of the columns that had no room, which a legend below need not explain.

    Args:
      title: a line above it.
      rows: a table, whose notes are printed below it, or mappings with the same keys.
    """
    shown = (rows if isinstance(rows, Table) else tables.of(rows)).filled()
    if not shown.rows:
        return []
    layout.say(title)
    lines, left_out = fitting.fitted(shown, layout.width())
    _print_lines(lines)
    for note in shown.notes:
        layout.say(note)
    if shown.notes:
        layout.say("")
    return left_out


def print_plan(folder: pathlib.Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Print the runs of a dry run, and count them.

    Args:
      folder: of the runs.
      rows: one a run, with the key `state`: `finished`, which more may follow, or `to be run`.
    """
    print_rows(f"Runs in {folder}", rows)
    finished = sum(row["state"].startswith("finished") for row in rows)
    layout.say(
        f"Of {len(rows)} run{'' if len(rows) == 1 else 's'} {finished} "
        f"{'is' if finished == 1 else 'are'} finished; {len(rows) - finished} would be run."
    )


def _print_lines(lines: Sequence[str]) -> None:
    """Print a table with an empty line above and below it."""
    print("\n".join(["", *lines, ""]))
