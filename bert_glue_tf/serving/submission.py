"""The files that the benchmark's server takes, made from a classifier."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import numpy as np
from absl import logging

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.data import readers, tasks
from bert_glue_tf.serving.answers import CHUNK
from bert_glue_tf.serving.classifier import Classifier


def write_submission(classifier: Classifier, source: str, folder: pathlib.Path) -> list[str]:
    """Write the task's files as gluebenchmark.com takes them, and return their names.

    Args:
      classifier: the model.
      source: value of --data, with the task's test split(s).
      folder: to write to; files that are there are not overwritten.

    Raises:
      UserError: no task of GLUE, the test data is missing, or a file is there already.
    """
    if not classifier.task.is_glue:
        known = ", ".join(name for name, task in tasks.TASKS.items() if task.is_glue)
        raise UserError(
            f"--glue_submission={folder}: the model is for {classifier.task.name}, which the "
            f"benchmark's server does not take. Good: a model for {known}."
        )
    answered = [classifier.task, *(tasks.DIAGNOSTICS[n] for n in classifier.task.also_answers)]
    planned = [
        (folder / file, task, split)
        for task in answered
        for split, file in task.submission_files.items()
    ]
    for path, _, _ in planned:
        if path.exists():
            raise UserError(f"{path}: is there already. Give another folder, or remove it.")
    # All data is read first, so that a missing split leaves no half of a submission.
    read = [(path, task, readers.load(task, source, split)) for path, task, split in planned]
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for path, task, examples in read:
        logging.info("%s: %d examples", path.name, len(examples))
        texts = list(zip(*examples.texts, strict=True))
        chunks = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
        logits = np.concatenate([classifier.logits(chunk) for chunk in chunks])
        answers = enumerate(task.problem.submission(logits, task.tsv_labels))
        rows = [f"{index}\t{answer}" for index, answer in answers]
        with _writing(folder):
            write_atomically(path, "\n".join(["index\tprediction", *rows]) + "\n")
    return [path.name for path, _, _ in planned]


@contextlib.contextmanager
def _writing(folder: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"--glue_submission={folder}: cannot be written ({error.strerror}). "
            "Give a folder that you may write, on a disk with space left."
        ) from error
