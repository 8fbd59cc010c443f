"""The card of an exported file, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bert_glue_tf.core import quantities
from bert_glue_tf.data import tasks
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import collapse, operating_point
from bert_glue_tf.export.interfaces import choice
from bert_glue_tf.export.interfaces.base import Interface
from bert_glue_tf.export.interfaces.choice import TEXT_FILES
from bert_glue_tf.export.record import TRAINED, ExportResult
from bert_glue_tf.models.quantization import recipes


def card(record: ExportResult, described: Mapping[str, Any] | None = None) -> str:
    """Return a file's card in Markdown: its scores, its cost, its use, and what a port needs.

    Args:
      record: of the file.
      described: its metadata; None leaves out what a port needs.
    """
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
        f"on {quantities.threads(record.threads)} of the machine that made the file, which were "
        "taken in turns with those of this run's float32 file.",
    ]
    lines += [line for line in (record.busy, record.cut) if line]
    if is_sample:
        lines.append("Trained on the generated sample: its scores say nothing about GLUE.")
    interface = choice.of(task.modality)
    lines += ["", "## Use", "", *interface.use(record, task)]
    if described:
        lines += port(described, record.recipe, interface)
    return "\n".join([*lines, *_source(record)]) + "\n"


def _scores(record: ExportResult, task: TaskSpec) -> Iterator[tuple[str, str]]:
    # The metric that counts comes first.
    names = sorted(record.metrics, key=lambda name: not name.startswith(task.primary_metric))
    for name in names:
        value = record.metrics[name]
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
            f"{quantities.significant(timed['p50'])} ms, {speed:.2f}x as fast as float32",
        )
    memory = {name: quantities.size(value) for name, value in record.peak_memory_bytes.items()}
    yield (
        "memory at its peak",
        f"{memory['total']}, {memory['total_min']} to {memory['total_max']} in several "
        f"processes ({memory['empty']} of it Python and LiteRT)",
    )
    yield "SHA-256", f"`{record.sha256}`"
    yield "licence", record.encoder.get("licence") or "that of the encoder"


def _source(record: ExportResult) -> list[str]:
    return [
        "",
        f"Source run: `{record.run}`, encoder `{record.encoder['name']}`, "
        f"seed {record.config['seed']}, pruning `{record.config['pruning_method']}`.",
    ]


def port(described: Mapping[str, Any], name: str, interface: Interface = TEXT_FILES) -> list[str]:
    """Return the lines for who writes a client in another language.

    Args:
      described: the metadata of the file.
      name: of the file and of its metadata beside it, without the ending.
      interface: of its kind of examples.
    """
    inputs = ", ".join(f"`{one}`" for one in described["inputs"])
    made_with = ", ".join(f"{name} {version}" for name, version in described["made_with"].items())
    return [
        "",
        "## For a client in another language",
        "",
        f"- Inputs by name, never by position: in the file they are {inputs}.",
        f"- {interface.reading(described)}",
        *_decoding(described),
        f"- Made and tested with {made_with}; measured {described['measured']}.",
        f"- `{name}.json` holds this and the golden examples whole, as the file itself does. "
        f"`python -m bert_glue_tf.predict --model={name}.tflite --check` compares them; an output "
        f"may differ by {described['tolerance']:g}, in proportion where it is larger than 1.",
        "",
        *interface.golden_table(described),
    ]


def _decoding(described: Mapping[str, Any]) -> Iterator[str]:
    """Yield how the answers for positions become tags of words, where words are tagged."""
    if not described.get("tagging_head"):
        return
    yield (
        "- The tag of a word is that of its first word piece; words are what stands between blanks."
    )
    if described.get("transitions"):
        yield (
            "- The tags of a text are the chain with the highest score (Viterbi): the sum of each "
            "word's logit of its tag, and of `transitions` in the metadata, whose rows are the tag "
            "before, the beginning of the text (the last row but one) and its end (the last row), "
            "and whose columns are the tag."
        )
