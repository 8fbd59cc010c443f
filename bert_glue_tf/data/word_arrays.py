"""Reads the arrays of DE-CNN: sentences as numbers of words, and a number of a tag for each word.

`laptop.npz` and `restaurant.npz` of Xu et al. 2018 (https://github.com/howardhsu/DE-CNN, MIT): int
[n, longest] `train_X`, `train_y`, `test_X` and `test_y`, 0 behind a sentence; `word_idx.json`
beside them names the words. Labels are 0, 1, 2 for O, B, I of an aspect; an I that no B begins is
repaired as in files of the user's own.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bert_glue_tf.core import lazy, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import repairing, tsv
from bert_glue_tf.data.task_spec import TaskSpec

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy.module("numpy")  # Commands import this module with their flags.

WORDS = "word_idx.json"
# As the authors' code does it, the last sentences of the training part are the validation split.
VALIDATION = 150


def parse(task: TaskSpec, path: str, raw: bytes, split: str) -> tsv.Table:
    """Read one split of a file: one example for each sentence, with a tag for each word.

    Args:
      task: its labels are the tags, in the order of the file's numbers.
      path: the file's name, in messages and beside which the words lie.
      raw: the file's bytes.
      split: "train" (all but the last 150 of the training part), "validation" (these), or "test".

    Raises:
      UserError: the first thing that is wrong.
    """
    part = "test" if split == "test" else "train"
    numbers, labels = _arrays(path, raw, part)
    words = _words(os.path.join(os.path.dirname(path), WORDS))
    if numbers.shape != labels.shape or numbers.ndim != 2:
        raise UserError(
            f"{path}: {part}_X has the shape {list(numbers.shape)}, and {part}_y "
            f"{list(labels.shape)}. Good: a tag for each word, [sentences, words] both."
        )
    unknown = set(np.unique(numbers).tolist()) - {0, *words}
    if unknown:
        raise UserError(
            f"{path}: {part}_X has the word {min(unknown)}, which {WORDS} beside it does not name."
        )
    tags = len(task.problem.labels)
    if not np.isin(labels, range(tags)).all():
        raise UserError(
            f"{path}: {part}_y has the tag {labels.max() if labels.max() >= tags else labels.min()}"
            f". Good: 0 to {tags - 1}, for {', '.join(task.problem.labels)}."
        )
    chosen = {"train": slice(None, -VALIDATION), "validation": slice(-VALIDATION, None)}
    rows = range(len(numbers))[chosen.get(split, slice(None))]
    sentences, found = [], []
    for row in rows:
        length = int(np.count_nonzero(numbers[row]))
        if not length or not numbers[row, :length].all():
            raise UserError(
                f"{path}: sentence {row} of {part}_X is "
                f"{'empty' if not length else 'broken by a 0'}. Good: words, and zeros behind them."
            )
        sentences.append(" ".join(words[one] for one in numbers[row, :length].tolist()))
        found.append(labels[row, :length].tolist())
    places = [f"{path}: sentence {row} of {part}_X" for row in rows]
    found = repairing.repaired(places, task.problem, found)
    return tsv.Table([sentences], found, 0, hashlib.sha256(raw).hexdigest())


def _arrays(path: str, raw: bytes, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the words' and the tags' numbers of a part of a file."""
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            return file[f"{part}_X"], file[f"{part}_y"]
    except (KeyError, OSError, EOFError, ValueError, zipfile.BadZipFile):
        raise UserError(
            f"{path}: is no .npz file with the arrays {part}_X and {part}_y. Good: the file of "
            "DE-CNN."
        ) from None


def _words(path: str) -> Mapping[int, str]:
    """Return number -> word."""
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            found = strict_json.loads(file.read())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read as JSON: {error}. Good: DE-CNN's {WORDS}, word -> number."
        ) from None
    if not isinstance(found, dict) or not all(type(one) is int for one in found.values()):
        raise UserError(f'{path}: has to be an object as {{"screen": 2, "price": 3}}.')
    strange = next((word for word in found if not word or " " in word), None)
    if strange is not None:
        raise UserError(f"{path}: {strange!r} is no word: words are told apart by blanks.")
    return {number: word for word, number in found.items()}
