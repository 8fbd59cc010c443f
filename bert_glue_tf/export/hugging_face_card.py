"""The model card of a Hugging Face folder, from the record of its run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bert_glue_tf import __version__
from bert_glue_tf.core import quantities
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import collapse, operating_point
from bert_glue_tf.models.foreign_classifiers import ForeignClassifier
from bert_glue_tf.runs.finished import Run

# The licences that Hugging Face's hub has a name for, of those that encoders come with.
_LICENCES = ("apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "bsd-3-clause")


def card(run: Run, foreign: ForeignClassifier, notes: Sequence[str]) -> str:
    """Return README.md: what the classifier is, what it scores, and how it is used.

    Args:
      run: that the classifier is of.
      foreign: the classifier.
      notes: sentences on what a user should know besides.
    """
    result, config, task = run.result, run.config, run.task
    is_sample = config.data == "sample"
    lines = [
        *_head(result.encoder.get("licence") or ""),
        f"# {task.name}{' (sample data)' if is_sample else ''}: {foreign.model}",
        "",
        f"It answers {'pairs of texts' if len(task.text_fields) == 2 else 'texts'} with "
        f"{task.problem.title} ({task.problem.output_text}). Fine-tuned from the encoder "
        f"`{result.encoder['name']}` by bert_glue_tf {__version__}.",
        "",
    ]
    if is_sample:
        lines += ["Trained on a generated sample: its scores say nothing about other text.", ""]
    if result.collapsed:
        mark = collapse.Mark.COLLAPSED.value
        lines += [f"**{mark}: {result.collapsed}. Do not use this model.**", ""]
    elif result.at_chance:
        lines += [f"Nothing shows that this model has learned: {result.at_chance}.", ""]
    lines += ["| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in [*_scores(run), *_facts(run)]]
    lines += ["", "In brackets: 95 % bootstrap interval over the validation examples.", ""]
    lines += _use(task)
    lines += ["", "## To know", "", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def _head(licence: str) -> list[str]:
    """Return what the hub reads."""
    known = licence.lower() in _LICENCES
    return [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-classification",
        f"license: {licence.lower() if known else 'other'}",
        *([] if known else ["license_name: that-of-the-encoder"]),
        "tags:",
        "- bert_glue_tf",
        "---",
        "",
    ]


def _scores(run: Run) -> Iterator[tuple[str, str]]:
    for name, value in run.result.metrics.items():
        interval = run.result.intervals.get(name)
        text = f"{value:.4f}"
        if interval and None not in interval:
            text += f" [{interval[0]:.3f}, {interval[1]:.3f}]"
        yield name, text
    yield from operating_point.rows(run.result.thresholds, run.result.config)


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    result, config = run.result, run.config
    data: dict[str, Any] = dict(result.data)
    for split in ("train", *run.task.scored_splits.values()):
        if split in data:
            yield f"{split} examples", quantities.count(int(data[split]["examples"]))
    total, nonzero = result.parameters["total"], result.parameters["nonzero"]
    yield "parameters", f"{quantities.count(total)}, of which {quantities.count(nonzero)} not zero"
    yield "pruning", config.pruning_method
    yield "longest input", f"{config.seq_length} word pieces"
    yield "epochs, seed", f"{config.epochs}, {config.seed}"
    yield "licence of the encoder", result.encoder.get("licence") or "not known"
    yield "run, commit", f"`{run.path.name}`, `{result.environment.get('commit')}`"


def _use(task: TaskSpec) -> list[str]:
    """Return how it is used with transformers."""
    given = '"The first text."'
    if len(task.text_fields) == 2:
        given = '{"text": "The first text.", "text_pair": "The second text."}'
    return [
        "## Use",
        "",
        "```python",
        "from transformers import pipeline",
        "",
        'classifier = pipeline("text-classification", ".", top_k=None, truncation=True)',
        f"print(classifier({given}))",
        "```",
    ]
