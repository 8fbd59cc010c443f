"""Helpers of the tests of the studies: runs, tiny ones and written ones."""

from __future__ import annotations

import csv
import pathlib

import forked
import numpy as np
import safetensors.numpy
from tensorflow.core.protobuf import trackable_object_graph_pb2
from written_runs import write_run, wrong_at

from bert_glue_tf.models.sizes import MASKS, Masks
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import experiment

N = 400
LABELS = np.arange(N) % 2
TINY = {
    "epochs": "2",
    "finetune_epochs": "6",
    "batch_size": "8",
    "learning_rate": "0.01",
    "weight_decay": "0.0",
    "dropout": "0.0",
    "seq_length": "16",
}


def right(number):
    """Logits of which the first `number` of 400 are right and the others wrong."""
    return wrong_at(LABELS, range(number, N))


def train(cells, root):
    """Every run of the cells, and those they start from, in this process: no sweep is as quick."""
    for one in dict.fromkeys(config for cell in cells for config in cell.configs):
        experiment.train_and_evaluate(one, RunFolder.open(root / one.run_name, one))


def write(cell, root, logits, labels=LABELS):
    """Writes what the sweep would have left for a cell: logits for each of its seeds.

    Labels and the logits of a seed may be those of several splits, as of `write_run`.
    """
    for one, answers in zip(cell.configs, logits, strict=True):
        settings = {k: v for k, v in one.to_json().items() if k != "data"}
        write_run(root / one.run_name, labels, answers, source=one.data, **settings)


def tagged(number, sentences=40):
    """Labels [sentences, 3] with one aspect each, and logits of which so many find it."""
    labels = np.tile([0, 0, 12], (sentences, 1))  # O O S-POS
    answers = labels.copy()
    answers[number:, 2] = 0
    return labels, np.eye(13, dtype=np.float32)[answers]


def write_tagged(cell, root, numbers):
    """Writes runs of aspects with their polarity: for each seed the aspects that are found."""
    both = ("validation", "test")
    labels, _ = tagged(0)
    logits = [dict.fromkeys(both, tagged(number)[1]) for number in numbers]
    write(cell, root, logits, dict.fromkeys(both, labels))


def write_sizes(cell, root, names, logits, own=0, labels=LABELS):
    """Writes runs whose weights hold several networks: logits for each name, the largest last.

    Each of the smaller ones has `own` numbers of its own. Of eight weights that can be pruned
    three are in the smallest of three networks, then two more each time.
    """
    first = {"kernel": np.array([[0, 1, 2, 0], [3, 2, 1, 0]], np.uint8)}
    for one in cell.configs:
        settings = {k: v for k, v in one.to_json().items() if k != "data"}
        told = {"names": list(names), "bytes": {"weights": 4000, "masks": 2}}
        for name, answers in zip(names, logits, strict=True):
            is_whole = name == names[-1]
            folder = root / one.run_name
            write_run(
                folder if is_whole else folder / "sizes" / name,
                labels,
                answers,
                source=one.data,
                size=name,
                sizes=told if is_whole else None,
                **settings,
            )
            if not is_whole:
                _write_own(folder / "sizes" / name / "model", own)
        Masks(len(names), first).write(folder / "sizes" / MASKS)


def _write_own(model, own):
    """Writes what a detached network has of its own: a variable of so many numbers."""
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    key = "mean/.ATTRIBUTES/VARIABLE_VALUE"
    graph.nodes.add().attributes.add(full_name="one/mean", checkpoint_key=key)
    held = {"_CHECKPOINTABLE_OBJECT_GRAPH": np.frombuffer(graph.SerializeToString(), np.uint8)}
    held |= {key: np.zeros(own, np.float32)} if own else {}
    safetensors.numpy.save_file(held, model / "own.safetensors")


def finished(study, root):
    """The study, whose runs are there; nothing is left to be run."""
    study.run(root)
    return study


def read(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def command(name, *arguments, **settings):
    """Run a study's command to its end, in a process that has TensorFlow already."""
    flags = [f"--{key}={value}" for key, value in settings.items()]
    return forked.run(["-m", f"bert_glue_tf.{name}", *flags, *arguments], timeout=300)


def width(table):
    """Of a table that `terminal.print_rows` prints, where no word is folded."""
    shown = table.filled()
    rows = shown.texts()

    def wide(column, text):
        return max(map(len, text.split()), default=0) if column.may_wrap else len(text)

    return sum(
        max(len(column.head), *(wide(column, row[column.head]) for row in rows)) + 2
        for column in shown.columns
    )
