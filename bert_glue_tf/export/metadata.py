"""The metadata of an exported file: what it says of itself, in JSON.

It stands in the file, under the name `bert_glue_tf`, and in <recipe>.json beside it, for clients
that read no flatbuffer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bert_glue_tf import __version__
from bert_glue_tf.data import problems, tasks
from bert_glue_tf.export import golden
from bert_glue_tf.models.quantization.recipes import QuantizationRecipe
from bert_glue_tf.runs import versions
from bert_glue_tf.runs.finished import Run

# Whoever measures on a phone's GPU or NPU finds other times, and other roundings.
MEASURED = "on a CPU with XNNPACK only"


def of(
    run: Run,
    recipe: QuantizationRecipe,
    reads: Mapping[str, Any],
    lengths: Sequence[int],
    signature: Mapping[str, Any],
    examples: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the metadata of a file.

    Args:
      run: that it is made of.
      recipe: that it is quantized by.
      reads: from `Interface.described`: what its inputs are.
      lengths: of the file in word pieces, ascending.
      signature: `inputs` (in the order that they have in the file), `output` and `batch_sizes`.
      examples: from `Interface.golden`.
    """
    task, result = run.task, run.result
    described = problems.to_json(task.problem)
    return {
        "format": 1,
        "made_by": f"bert_glue_tf {__version__}",
        "made_with": versions.of(versions.QUANTIZER),
        "measured": MEASURED,
        "task": task.name,
        "own_task": tasks.describe(task),
        "kind": described["kind"],
        "data": result.data["train"]["name"],
        "labels": list(task.problem.labels),
        "scale": task.problem.scale,
        "threshold": described.get("threshold"),
        "thresholds": dict(result.thresholds),
        # Where words are tagged: what decoding takes besides the file's answers.
        "tagging_head": run.config.tagging_head if task.problem.tags_words else None,
        "transitions": [list(row) for row in described.get("transitions", ())] or None,
        "seq_lengths": list(lengths),
        **signature,
        **reads,
        "recipe": recipe.name,
        "source_run": run.name,
        "source_commit": result.environment.get("commit"),
        "encoder": result.encoder["name"],
        "licence": result.encoder.get("licence") or "that of the encoder",
        "tolerance": golden.tolerance(recipe),
        "golden": list(examples),
    }


def as_json(values: Mapping[str, Any]) -> str:
    """Return metadata as the text of the file beside the .tflite file."""
    return json.dumps(values, sort_keys=True, ensure_ascii=False, indent=1) + "\n"
