"""Reads SemEval's aspects; says of a bad file what is wrong, and where."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tsv
from bert_glue_tf.data.tags import BIEOS, OUTSIDE, Scheme
from bert_glue_tf.data.tasks import TaskSpec

# Before the polarity in the tags of the files.
_ASPECT = "T-"


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
    for sentence, tagged in _lines(task, path, raw):
        for tag, run in itertools.groupby(tagged, key=lambda pair: pair[1]):
            if tag != OUTSIDE:
                sentences.append(sentence)
                aspects.append(" ".join(word for word, _ in run))
                labels.append(task.tsv_labels.index(tag))
    if not labels:
        raise _without_aspect(task, path)
    return tsv.Table([sentences, aspects], labels, 0, hashlib.sha256(raw).hexdigest())


def parse_tags(task: TaskSpec, path: str, raw: bytes, labelled: bool = True) -> tsv.Table:
    """Read the bytes of an aspect file: one example for each sentence, with a tag for each token.

    The text is the tokens with blanks between. A run of tokens with one tag becomes an aspect in
    BIEOS, as in the code of Li et al. 2019: `T-POS T-POS` becomes `B-POS E-POS`.

    Args:
      task, path, raw, labelled: as for `parse`.

    Raises:
      UserError: the first thing that is wrong, with its line.
    """
    del labelled
    plain = Scheme()
    sentences: list[str] = []
    labels: list[list[int]] = []
    for _, tagged in _lines(task, path, raw):
        found = [OUTSIDE] * len(tagged)
        for span in plain.spans([tag for _, tag in tagged]):
            polarity = span._replace(type=span.type.removeprefix(_ASPECT))
            found[span.start : span.end] = BIEOS.tags(polarity)
        sentences.append(" ".join(word for word, _ in tagged))
        labels.append(list(task.problem.label_from(found)))
    if not any(map(any, labels)):
        raise _without_aspect(task, path)
    return tsv.Table([sentences], labels, 0, hashlib.sha256(raw).hexdigest())


def _lines(task: TaskSpec, path: str, raw: bytes) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield the sentence of each line, and its tokens with their tags."""
    good = ", ".join((OUTSIDE, *task.tsv_labels))
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
            if not word or tag not in (OUTSIDE, *task.tsv_labels):
                raise UserError(
                    f"{path}:{number}: wrong token {tsv.short(token)} after '####'. "
                    f"Good: token=TAG, with single blanks between, and the tags {good}."
                )
            tagged.append((word, tag))
        yield parts[0], tagged


def _without_aspect(task: TaskSpec, path: str) -> UserError:
    good = ", ".join((OUTSIDE, *task.tsv_labels))
    return UserError(
        f"{path}: no aspect in it. Good: {task.folder}'s {os.path.basename(path)}, with lines "
        f"sentence####token=TAG token=TAG ... and the tags {good}."
    )
