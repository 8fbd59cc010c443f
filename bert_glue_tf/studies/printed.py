"""Printed values of documents, as our tables need them: as fractions, by our names.

The values themselves lie in `published/`, one JSON file a document, as the document prints them;
null where it prints no number.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from bert_glue_tf.compression.names import DEFAULT_METHOD, NO_PRUNING

Scores = Mapping[str, Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class Printed:
    """A model of the second report's Table 2.

    Attributes:
      sparsity: as a fraction.
      accuracy: as a fraction.
      seconds: of an inference on its microcontroller.
    """

    sparsity: float
    accuracy: float
    seconds: float


PRUNED = DEFAULT_METHOD  # What the report calls pruning.
_COLUMNS = {NO_PRUNING: "no_pruning", PRUNED: "pruning"}
REPORT_ENCODER = "bert_en_uncased_L-12_H-768_A-12"
# Table of the report with the curves of a task -> its key in the file, and the task.
_CURVES = {"1": ("table1_mrpc", "mrpc"), "2": ("table2_cola", "cola")}
_CURVE_NAMES = {
    "loss": "training_loss",
    "accuracy": "training_accuracy",
    "val_loss": "validation_loss",
    "val_accuracy": "validation_accuracy",
}
TITLES = {
    "1": "MRPC: loss and accuracy per epoch, without and with pruning",
    "2": "CoLA: loss and accuracy per epoch, without and with pruning",
    "3": "Accuracy and size without and with quantization",
}
_TASKS = {
    "MNLI": "mnli",
    "QQP": "qqp",
    "QNLI": "qnli",
    "SST-2": "sst2",
    "STS-B": "stsb",
    "MRPC": "mrpc",
    "RTE": "rte",
}
# Model of the second report's Table 1 -> our method; the first two are not pruned.
STRUCTURES = {
    "bert_base_own": NO_PRUNING,
    "irregular": "magnitude",
    "row": "row",
    "column": "column",
    "whole_block": "block",
}
# Technique of the survey's Table 1 -> our method; the others are no method of ours.
_TECHNIQUES = {
    "layer (greedy)": "layer",
    "filter": "filter",
    "structured weight (block, L2 norm)": "block",
    "block": "block",
    "movement": "movement",
    "magnitude (stage-wise, RNN)": "magnitude",
}
# Head by the names of Li et al. 2019 -> ours.
HEADS = {
    "linear": "linear",
    "gru": "gru",
    "san": "self_attention",
    "tfm": "transformer",
    "crf": "crf",
}
# Embeddings in Figure 10 of the local and global study -> part of a BERT here. Its fourth row, the
# numbers of the positions, is of no weights.
_EMBEDDINGS = {"word": "words", "position": "positions", "token_type": "types"}
# The metrics of that table; accuracy for the others.
_METRICS = {"mrpc": "f1", "stsb": "spearman"}
# Task -> score of always giving one answer, by the report's metric, and number of its dev examples:
# of RTE's 277 pairs 146 are entailment, of MRPC's 408 are 279 paraphrases, whose F1 it prints.
MAJORITY: Mapping[str, tuple[float, int]] = {
    "rte": (146 / 277, 277),
    "mrpc": (2 * 279 / (408 + 279), 408),
}
NORMAL_95 = 1.96  # Standard errors of a 95 % interval.


def document(name: str) -> dict[str, Any]:
    """Return the facts of one document, as committed.

    Args:
      name: report, structured, local_global, survey or tagging.
    """
    file = importlib.resources.files("bert_glue_tf.studies") / "published" / f"{name}.json"
    return dict(json.loads(file.read_text(encoding="utf-8")))


def task_of_curves(number: str) -> str:
    """Return the task of the report's Table 1 or 2."""
    return _CURVES[number][1]


def curves(number: str) -> dict[str, list[dict[str, float]]]:
    """Return the report's Table 1 or 2: method -> for each epoch its losses and accuracies.

    Losses as the training gives them, accuracies as fractions; the report prints both in percent.
    """
    return {method: _curve(number, name) for method, name in _COLUMNS.items()}


def curve_differences(number: str) -> list[dict[str, float]]:
    """Return the report's Table 1 or 2, its column of differences: with pruning minus without.

    For each epoch those of losses and accuracies, as `curves` has them. The report prints them
    rounded from numbers that it does not print, so that they are not those of its other columns.
    """
    return _curve(number, "difference")


def _curve(number: str, column: str) -> list[dict[str, float]]:
    table = document("report")[_CURVES[number][0]]
    place = table["columns"].index(column)
    return [
        {name: table[key][epoch][place] / 100 for name, key in _CURVE_NAMES.items()}
        for epoch in range(len(table["training_loss"]))
    ]


def quantization() -> dict[str, dict[str, float]]:
    """Return the report's Table 3: task -> accuracies as fractions, sizes in MB, `reduction`."""
    facts = document("report")
    found = {}
    for row in facts["table3_quantization"]:
        found[_TASKS[row["task"]]] = {
            "accuracy": row["accuracy"] / 100,
            "quantized_accuracy": row["quantized_accuracy"] / 100,
            "mb": row["mb"],
            "quantized_mb": row["quantized_mb"],
            "reduction": facts["reduction_percent"] / 100,
        }
    return found


def metric_of(task: str, primary: str) -> str:
    """Return the metric of a task in the second report's Table 1.

    Args:
      task: its name.
      primary: the task's primary metric here, for a task that the table has not.
    """
    return _METRICS.get(task, "accuracy" if task in _TASKS.values() else primary)


def structures() -> Scores:
    """Return the second report's Table 1: our method -> task -> score as a fraction."""
    table = document("structured")["table1"]
    tasks = [_TASKS[name] for name in table["tasks"]]
    return {
        method: {task: value / 100 for task, value in zip(tasks, table[name], strict=True)}
        for name, method in STRUCTURES.items()
    }


def devlin() -> dict[str, float]:
    """Return the row of BERT-base by its own paper in that table: task -> score as a fraction."""
    table = document("structured")["table1"]
    pairs = zip(table["tasks"], table["bert_base_devlin"], strict=True)
    return {_TASKS[name]: value / 100 for name, value in pairs}


def taggers(folder: str) -> dict[str, float]:
    """Return what was published of BERT's taggers on an aspect data set, by our heads' names.

    Args:
      folder: of the data set, as rest14.

    Returns:
      Head -> micro F1 as a fraction; empty of a data set without a number.
    """
    facts = document("tagging")
    values = facts["f1"].get(folder) or [None] * len(facts["heads"])
    pairs = zip(facts["heads"], values, strict=True)
    return {HEADS[name]: value / 100 for name, value in pairs if value is not None}


def unpruned(model: str) -> float | None:
    """Return the F1 that was published of a model of local and global pruning, unpruned.

    Not by that document, whose curves are pictures, but by those that its models come from.

    Args:
      model: name of `local_global_models.MODELS`; None is returned of one without a number.
    """
    found = document("local_global")["unpruned_elsewhere"]["f1"].get(model)
    return None if found is None else found / 100


def embedding_weights() -> dict[str, tuple[int, float]]:
    """Return the local and global study's Figure 10, of BERT-base.

    Returns:
      Part of the network, by our names -> number of its weights, and their share as a fraction.
    """
    figure = document("local_global")["figure10_embedding_parameters"]
    found = {ours: figure[theirs] for theirs, ours in _EMBEDDINGS.items()}
    return {
        part: (weights, float(percent.removesuffix("%")) / 100)
        for part, (weights, percent) in found.items()
    }


@functools.cache
def survey_values() -> Mapping[str, str]:
    """Return the survey's Table 1: our method -> what it prints of it, in its words."""
    found: dict[str, str] = {}
    for row in document("survey")["table1"]:
        method = _TECHNIQUES.get(row["technique"])
        if method is not None:
            before = f"{found[method]}; " if method in found else ""
            found[method] = f"{before}{row['value']}"
    return found


def shared_networks() -> list[str]:
    """Return the networks of the second report's Table 2, by the names that it gives them."""
    table = document("structured")["table2"]
    return [name for name, values in table.items() if isinstance(values, dict)]


def shared_note(network: str) -> str:
    """Return in what the second report's text contradicts its Table 2; empty of most networks.

    Args:
      network: by the report's name; for any other there is nothing.
    """
    if network not in shared_networks():
        return ""
    name = network.partition(" / ")[0]
    notes = document("structured")["table2"]["notes"]
    return next((note for note in notes if name in note), "")


def shared(network: str) -> list[Printed]:
    """Return the models of a network in the second report's Table 2, the sparsest first.

    Args:
      network: by the report's name; for any other there are none.
    """
    if network not in shared_networks():
        return []
    values = document("structured")["table2"][network]
    columns = zip(values["sparsity"], values["accuracy"], values["latency_s"], strict=True)
    return [
        Printed(round(sparsity / 100, 6), score / 100, seconds)
        for sparsity, score, seconds in columns
    ]


def irregular_is_best() -> tuple[list[str], list[str]]:
    """Return the tasks on which the second report's own table says so, and the others."""
    table = structures()
    pruned = [method for method in table if method != NO_PRUNING]
    return _divided(
        table, lambda task: max(pruned, key=lambda method: table[method][task]) == "magnitude"
    )


def column_best_block_worst() -> tuple[list[str], list[str]]:
    """Return the tasks on which its own table has the columns first and the blocks last."""
    table = structures()

    def holds(task: str) -> bool:
        row, column, block = (table[method][task] for method in ("row", "column", "block"))
        return column >= row >= block

    return _divided(table, holds)


def _divided(table: Scores, holds: Any) -> tuple[list[str], list[str]]:
    tasks = list(table[NO_PRUNING])
    return [one for one in tasks if holds(one)], [one for one in tasks if not holds(one)]


def names(tasks: Sequence[str]) -> str:
    """Return tasks by the names that documents give them, as `MRPC, SST-2`."""
    known = {ours: theirs for theirs, ours in _TASKS.items()} | {"cola": "CoLA"}
    return ", ".join(known.get(task, task) for task in tasks)


def is_above(score: float, majority: float, examples: int) -> bool:
    """Tell if a printed score is above the answer that is always the same by more than its noise.

    Args:
      score: as a fraction.
      majority: the score of the best answer that does not look at the text.
      examples: of the split; a share of them has a standard error of sqrt(p (1 - p) / n).
    """
    noise = math.sqrt(majority * (1 - majority) / examples)
    return score > majority + NORMAL_95 * noise
