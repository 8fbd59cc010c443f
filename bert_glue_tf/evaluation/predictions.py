"""The file of a model's answers on one split, so that models can be compared in pairs."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.data.problems import LabelScore, NoLabelError
from bert_glue_tf.data.tasks import TaskSpec


@dataclasses.dataclass(frozen=True)
class Predictions:
    """A model's answers on one split.

    Attributes:
      labels: [n], int64, or float64 for regression.
      logits: float32 [n, width].
    """

    labels: np.ndarray
    logits: np.ndarray


def write(path: pathlib.Path, task: TaskSpec, labels: np.ndarray, logits: np.ndarray) -> None:
    """Write label, prediction and logits of every example, a line each below a header.

    Args:
      path: of the file.
      task: that the answers are of.
      labels: [n].
      logits: float32 [n, width].
    """
    rows = [task.problem.header(), *task.problem.rows(labels, logits)]
    write_atomically(path, "".join("\t".join(row) + "\n" for row in rows))


def write_labels(path: pathlib.Path, scores: Sequence[LabelScore]) -> None:
    """Write the scores of each label, a line each below a header; nothing without labels.

    Args:
      path: of the file.
      scores: as `Problem.per_label` gives them.
    """
    rows = [
        [one.label, str(one.examples), *(f"{v:.4f}" for v in (one.precision, one.recall, one.f1))]
        for one in scores
    ]
    if rows:
        header = ["label", "examples", "precision", "recall", "f1"]
        write_atomically(path, "".join("\t".join(row) + "\n" for row in [header, *rows]))


def read(path: pathlib.Path, task: TaskSpec, examples: int | None = None) -> Predictions:
    """Read what `write` wrote.

    Args:
      path: of the file.
      task: that the answers are of.
      examples: how many answers there have to be; None where nobody knows.

    Raises:
      UserError: the file is missing, was cut short, or is no such file.
    """
    try:
        _, *lines, end = path.read_text(encoding="utf-8").split("\n")
        if end or examples not in (None, len(lines)):
            expected = "" if examples is None else f" of {examples}"
            raise ValueError(f"cut short: {len(lines)} whole lines{expected}")
        try:
            return Predictions(*task.problem.read_rows([line.split("\t") for line in lines]))
        except NoLabelError as error:
            raise ValueError(f"line {error.row + 2}: no label of {task.name}") from None
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"{path}: not the predictions of a run ({error}).") from None
