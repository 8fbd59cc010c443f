"""A task's arrays from --data: which files hold them, and their examples."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Collection
from typing import TYPE_CHECKING

from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import array_tasks
from bert_glue_tf.data.array_files.idx import IdxFiles
from bert_glue_tf.data.array_files.npz import NpzFile
from bert_glue_tf.data.array_files.pictures import Pictures, is_tar
from bert_glue_tf.data.array_files.table import ArraySource, ArrayTable
from bert_glue_tf.data.array_files.tfds_arrays import TfdsArrays
from bert_glue_tf.data.arrays import ArrayExamples, Arrays, require_shape
from bert_glue_tf.data.task_spec import SplitOff, TaskSpec

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy.module("numpy")

_KINDS = (IdxFiles, NpzFile, Pictures)
_GOOD = (
    "Good: a folder with idx files (train-images-idx3-ubyte.gz and so on), an .npz file, or "
    "pictures as train/CLASS/NAME.jpg, also in a .tar"
)
_FEWEST = 2  # Classes, of which one is answered.


def find(task: TaskSpec, data: str) -> ArraySource:
    """Return the files that hold a task's arrays.

    Args:
      task: whose folder is looked for in --data, and else --data itself.
      data: "tfds", a folder, an .npz file or a .tar.

    Raises:
      UserError: there are none.
    """
    if data == "tfds" and task.tfds:
        return TfdsArrays(task)
    if data in ("tfds", "sample"):
        raise UserError(f"--data={data}: {task.name} is read from its files only. {_GOOD}.")
    root = pathlib.Path(os.path.expanduser(data))
    if root.is_file():
        if root.suffix == ".npz":
            return NpzFile(root)
        if is_tar(root):
            return Pictures(root)
        raise UserError(f"--data={data}: no .npz file and no .tar. {_GOOD}.")
    if not root.is_dir():
        raise UserError(f"--data={data}: no such file or folder. {_GOOD}.")
    try:
        for folder in filter(pathlib.Path.is_dir, (root / task.folder, root)):
            for kind in _KINDS:
                if found := kind.find(folder):
                    return found
    except OSError as error:
        raise UserError(f"--data={data}: {error.strerror}. Good: a folder you can read.") from None
    raise UserError(f"--data={data}: holds nothing of {task.name}. {_GOOD}.")


def infer(task: TaskSpec, data: str, split_off: SplitOff) -> TaskSpec:
    """Return a task with the classes, the shape and the splits of its files, where these say them.

    Args:
      task: one that `is_open`; any other is returned as it is.
      data: as for `find`.
      split_off: of the validation examples, where the files have no validation split.

    Raises:
      UserError: there are no files, or fewer than two classes in them.
    """
    if not task.is_open:
        return task
    source = find(task, data)
    splits = source.splits()
    classes, shape = source.look()
    if len(classes) < _FEWEST:
        raise UserError(
            f"{source.path}: has {len(classes)} class(es): {', '.join(classes)}. Good: at least "
            f"{_FEWEST}, each a folder of its own or a label."
        )
    return array_tasks.opened(
        task,
        classes,
        shape if len(shape) > 1 else (*shape, 1),
        has_test="test" in splits,
        split_off=None if "validation" in splits else split_off,
    )


def check(task: TaskSpec, data: str, splits: Collection[str]) -> None:
    """Refuse files that do not hold some splits, before anything slow starts.

    Raises:
      UserError: naming what is missing; an `UnreachableError` of TFDS.
    """
    source = find(task, data)
    if isinstance(source, TfdsArrays):
        source.check()
        return
    found = set(source.splits())
    for split in splits:
        if split not in found and not (split == "validation" and task.split_off):
            has = ", ".join(sorted(found)) or "none"
            raise UserError(
                f"{source.path}: holds no {split} split, which {task.name} is scored on (it has: "
                f"{has}). {_GOOD}."
            )


def load(task: TaskSpec, data: str, split: str) -> ArrayExamples:
    """Read one split.

    Raises:
      UserError: as `find` and `ArraySource.read`; or the arrays have another shape than the
        task's, a class is none of its own, or a scored split lacks one of them.
    """
    source = find(task, data)
    kept_off = task.split_off is not None and split in ("train", "validation")
    table = source.read("train" if kept_off else split)
    assert isinstance(task.modality, Arrays)
    values = as_channels(table.values, task.modality.shape)
    require_shape(values, task.modality.shape, f"{table.path}: the {task.modality.noun} of {split}")
    labels = _labels(task, table)
    chosen = np.arange(len(labels))
    if kept_off:
        assert task.split_off is not None
        train, kept = divide(labels, task.split_off)
        chosen = train if split == "train" else kept
    values, labels = values[chosen], labels[chosen]
    missing = set(range(len(task.problem.labels))) - set(labels.tolist())
    if missing:
        names = ", ".join(task.problem.labels[one] for one in sorted(missing))
        raise UserError(
            f"{table.path}: the {split} split has no example of {names}, so that no score of it "
            "says how well they are answered. Good: examples of every class in each split."
        )
    more = {**dataclasses.asdict(task.split_off)} if kept_off and task.split_off else {}
    return ArrayExamples(
        texts=(),
        labels=labels,
        provenance={
            "path": table.path,
            "examples": len(labels),
            "split_examples": len(labels),
            "dropped_rows": 0,
            "name": source.name,
            "split": split,
            "version": table.version,
            "sha256": table.sha256,
            "shape": list(values.shape[1:]),
            "range": [float(values.min()), float(values.max())],
            **({f"validation_{name}": value for name, value in more.items()}),
        },
        values=values,
    )


def _labels(task: TaskSpec, table: ArrayTable) -> np.ndarray:
    """Return the class ids, int32 [n]."""
    spelt = {name: place for place, name in enumerate(task.tsv_labels)}
    named = {name: place for place, name in enumerate(task.problem.labels)}
    wrong = sorted({one for one in table.classes if one not in spelt and one not in named})
    if wrong:
        raise UserError(
            f"{table.path}: the label {wrong[0]!r} is none of {task.name}. Good: "
            f"{', '.join(task.tsv_labels)}."
        )
    return np.array([spelt.get(one, named.get(one, -1)) for one in table.classes], np.int32)


def divide(labels: np.ndarray, split_off: SplitOff) -> tuple[np.ndarray, np.ndarray]:
    """Return which examples stay for the training and which are kept, of each class alike.

    Args:
      labels: int [n].
      split_off: the fraction and the seed.

    Returns:
      int64 [some] each, ascending; each class has at least one example on either side.
    """
    kept = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        order = np.random.RandomState(split_off.seed).permutation(len(own))
        count = min(max(1, round(split_off.fraction * len(own))), len(own) - 1)
        kept.append(own[order[:count]])
    chosen = np.sort(np.concatenate(kept)).astype(np.int64)
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def as_channels(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return arrays [n, ...], with an axis for one channel where only that is missing.

    Args:
      values: as a file has them.
      shape: that each is to have.
    """
    is_bare = shape[-1:] == (1,) and values.ndim == len(shape)
    return values[..., None] if is_bare else values
