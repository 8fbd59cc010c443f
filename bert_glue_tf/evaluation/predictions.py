"""The file of a model's answers on one split, so that models can be compared in pairs."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.data.problems import NoLabelError
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
