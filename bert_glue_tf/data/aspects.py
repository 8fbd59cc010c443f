"""Reads SemEval's aspects; says of a bad file what is wrong, and where."""

from __future__ import annotations

import hashlib
import itertools
import os

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tsv
from bert_glue_tf.data.tasks import TaskSpec

_OUTSIDE = "O"  # The tag of a word that belongs to no aspect.


def parse(task: TaskSpec, path: str, raw: bytes, labelled: bool = True) -> tsv.Table:
    """Read the bytes of an aspect file: one example for each aspect, sentence and aspect.

    A line is `sentence####token=TAG token=TAG ...`, the format of Li et al. 2019 (see tasks.py).
    A token may hold a `=` itself, so that the last one separates. An aspect is a longest run of
    tokens with one tag that is not O; its text is the tokens with blanks between. What the
    format cannot tell is lost: neighbouring aspects of one polarity are one, and an aspect's
    place in the sentence is not among the texts, so that a term that occurs twice gives two
    examples alike. A sentence without an aspect gives no example.

    Args:
      task: its `tsv_labels` are the tags of aspects.
      path: the file's name in messages.
      raw: the file's bytes; byte-order mark and CRLF as in `tsv.parse`.
      labelled: of no account, since the tags that mark an aspect are its label.

    Raises:
      UserError: the first thing that is wrong, with its line.
    """
    del labelled
    sentences: list[str] = []
    aspects: list[str] = []
    labels: list[float] = []
    good = ", ".join((_OUTSIDE, *task.tsv_labels))
    for number, line in enumerate(tsv.lines(path, raw), start=1):
        parts = line.split("####")
        if len(parts) != 2:
            raise UserError(
                f"{path}:{number}: '####' occurs {len(parts) - 1} times. "
                "Good: sentence####token=TAG token=TAG ..."
            )
        tagged = []
        for token in parts[1].split(" "):
            word, _, tag = token.rpartition("=")
            if not word or tag not in (_OUTSIDE, *task.tsv_labels):
                raise UserError(
                    f"{path}:{number}: wrong token {tsv.short(token)} after '####'. "
                    f"Good: token=TAG, with single blanks between, and the tags {good}."
                )
            tagged.append((word, tag))
        for tag, run in itertools.groupby(tagged, key=lambda pair: pair[1]):
            if tag != _OUTSIDE:
                sentences.append(parts[0])
                aspects.append(" ".join(word for word, _ in run))
                labels.append(task.tsv_labels.index(tag))
    if not labels:
        raise UserError(
            f"{path}: no aspect in it. Good: {task.folder}'s {os.path.basename(path)}, with lines "
            f"sentence####token=TAG token=TAG ... and the tags {good}."
        )
    return tsv.Table([sentences, aspects], labels, 0, hashlib.sha256(raw).hexdigest())
