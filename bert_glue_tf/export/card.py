"""The card of an exported file, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from bert_glue_tf.core import quantities
from bert_glue_tf.data import tasks
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import collapse, operating_point
from bert_glue_tf.export import litert
from bert_glue_tf.export.record import TRAINED, ExportResult
from bert_glue_tf.models.quantization import recipes


def card(record: ExportResult) -> str:
    """Return a file's card in Markdown: its scores, its cost and its use."""
    task: TaskSpec = tasks.of(record)
    is_sample = record.config["data"] == "sample"
    title = f"{task.name}{' (sample data)' if is_sample else ''}, {record.recipe}"
    lines = [f"# {record.file}: {title}", "", recipes.get(record.recipe).summary, ""]
    if record.quantization.get("ranges") == TRAINED:
        lines += ["Its grids were trained with the network (`--quantize_aware`).", ""]
    if record.collapsed:
        told = f"{collapse.Mark.COLLAPSED.value}: {record.collapsed}. Do not use this file."
        lines += [f"**{told}**", ""]
    if record.at_chance:
        lines += [f"Nothing shows that this file has learned: {record.at_chance}.", ""]
    lines += ["| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in [*_scores(record, task), *_costs(record)]]
    lines += [
        "",
        "In brackets: 95 % bootstrap interval over the validation examples. Times are medians "
        f"on {record.threads} threads of the machine that made the file, which were taken in turns "
        "with those of this run's float32 file.",
    ]
    lines += [line for line in (record.busy, record.cut) if line]
    if is_sample:
        lines.append("Trained on the generated sample: its scores say nothing about GLUE.")
    return "\n".join([*lines, *_use(record, task)]) + "\n"


def _scores(record: ExportResult, task: TaskSpec) -> Iterator[tuple[str, str]]:
    for name, value in record.metrics.items():
        interval = record.intervals.get(name)
        text = f"{value:.4f}"
        if interval and None not in interval:
            text += f" [{interval[0]:.3f}, {interval[1]:.3f}]"
        yield name, text
    yield from operating_point.rows(record.thresholds, record.config)
    yield "validation examples", quantities.count(record.examples)
    yield "labels that differ from float32", str(record.flips)


def _costs(record: ExportResult) -> Iterator[tuple[str, str]]:
    plain, gzipped = quantities.size(record.bytes["plain"]), quantities.size(record.bytes["gzip"])
    yield "file", f"{plain}, gzipped {gzipped}"
    for length, timed in record.latency.items():
        speed = timed["float32_p50"] / timed["p50"]
        yield (
            f"one example at length {length}",
            f"{timed['p50']:.2f} ms, {speed:.2f}x as fast as float32",
        )
    memory = {name: quantities.size(value) for name, value in record.peak_memory_bytes.items()}
    yield (
        "memory at its peak",
        f"{memory['total']}, {memory['total_min']} to {memory['total_max']} in several "
        f"processes ({memory['empty']} of it Python and LiteRT)",
    )
    yield "SHA-256", f"`{record.sha256}`"
    yield "licence", record.encoder.get("licence") or "that of the encoder"


def _use(record: ExportResult, task: TaskSpec) -> list[str]:
    signatures = ", ".join(f"`{litert.SIGNATURE.format(n)}`" for n in record.seq_lengths)
    inputs = ", ".join(f"`{name}`" for name in INPUTS)
    return [
        "",
        "## Use",
        "",
        f"Signatures {signatures}: int32 `[1, length]` inputs {inputs}, float32 output `logits` "
        f"`[1, {task.problem.width}]` ({task.problem.output_text}).",
        "Take the shortest signature that holds the text: `[CLS] a [SEP]` or "
        "`[CLS] a [SEP] b [SEP]` in the word pieces of `vocab.txt`, padded with 0.",
        "",
        "```",
        f"python -m bert_glue_tf.predict --model={record.file}"
        + " --text='...'" * len(task.text_fields),
        "```",
        "",
        f"Source run: `{record.run}`, encoder `{record.encoder['name']}`, "
        f"seed {record.config['seed']}, pruning `{record.config['pruning_method']}`.",
    ]
