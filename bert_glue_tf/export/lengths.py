"""The lengths that a file can run at, and the numbers of texts at a time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from absl import logging

from bert_glue_tf.core import lazy, quantities
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.progress import doing
from bert_glue_tf.data import preprocessing
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.models import encoders
from bert_glue_tf.runs.finished import Run

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy.module("numpy")

SHARES = (0.5, 0.9, 1.0)  # Of the training texts, which a length of the default holds.
_MULTIPLE = 8
_MOST_TEXTS = 256  # At a time: beyond it a file takes no less time for each.


def seq_lengths(values: list[str], longest: int) -> tuple[int, ...]:
    """Return the lengths to export for, ascending; the run's own stands for any above it.

    Args:
      values: of --seq_lengths.
      longest: --seq_length of the run.

    Raises:
      UserError: a value is no length that an encoder can have.
    """
    low, high = encoders.MIN_SEQ_LENGTH, encoders.MAX_SEQ_LENGTH
    for value in values:
        # Four digits at most: Python refuses to read thousands of them.
        if not re.fullmatch("[0-9]{1,4}", value) or not low <= int(value) <= high:
            raise UserError(
                f"--seq_lengths={','.join(values)}: {value!r} is no length. "
                f"Give whole numbers from {low} to {high}, separated by commas."
            )
    # The run has seen no sentence longer than that.
    return tuple(sorted({min(int(value), longest) for value in values})) or (longest,)


def batch_sizes(values: list[str]) -> tuple[int, ...]:
    """Return the numbers of texts at a time to export for, ascending; 1 is always among them.

    Args:
      values: of --batch_sizes.

    Raises:
      UserError: a value is none.
    """
    for value in values:
        if not re.fullmatch("[0-9]{1,3}", value) or not 1 <= int(value) <= _MOST_TEXTS:
            raise UserError(
                f"--batch_sizes={','.join(values)}: {value!r} is no number of texts. Give whole "
                f"numbers from 1 to {_MOST_TEXTS}, separated by commas."
            )
    return tuple(sorted({1, *map(int, values)}))


def holding(pieces: np.ndarray, shares: tuple[float, ...], longest: int) -> tuple[int, ...]:
    """Return the lengths that hold these shares of texts, ascending, each once.

    Args:
      pieces: int [n], word pieces of each text, n > 0.
      shares: of the texts, of 1.
      longest: that a length can be; others are multiples of 8.
    """
    held = np.quantile(pieces, shares, method="inverted_cdf")
    rounded = -(-held.astype(int) // _MULTIPLE) * _MULTIPLE
    return tuple(sorted({min(int(length), longest) for length in rounded}))


def pieces_of(run: Run, train: Examples) -> np.ndarray:
    """Return the word pieces of each training text, int [n], at most the run's --seq_length."""
    folder = str(run.folder.model / "preprocessing")
    with doing(f"counting the word pieces of {quantities.count(len(train))} training texts"):
        preprocessor = preprocessing.build(
            preprocessing.load(folder, folder), run.task.text_fields, run.config.seq_length
        )
        return preprocessing.tokenize(preprocessor, train.texts).lengths


def of_texts(run: Run, train: Examples) -> tuple[int, ...]:
    """Return the lengths that hold `SHARES` of the training texts, and tell them in the log."""
    pieces, longest = pieces_of(run, train), run.config.seq_length
    lengths = holding(pieces, SHARES, longest)
    logging.info(
        "lengths, and how many of the %s training texts each holds whole: %s%s; --seq_lengths "
        "gives others",
        quantities.count(len(pieces)),
        ", ".join(
            f"{one} ({quantities.percent(float((pieces <= one).mean()), 0)})" for one in lengths
        ),
        f", those of more than {longest} word pieces cut as in the training"
        if (pieces == longest).any()
        else "",
    )
    return lengths
