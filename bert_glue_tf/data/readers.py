"""Reads a task's examples from a place: TFDS, the benchmark's own folders, the embedded sample.

Nothing here needs TensorFlow but the reading of TFDS, which imports it when called:
`check` answers before it is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import glue_tables, published_counts, task_files, tasks, tfds
from bert_glue_tf.data.array_files import reading as array_files
from bert_glue_tf.data.arrays import Arrays
from bert_glue_tf.data.examples import Examples, make
from bert_glue_tf.data.file_formats import split_file
from bert_glue_tf.data.own import files as own_files
from bert_glue_tf.data.own import task as own
from bert_glue_tf.data.settings import DataSettings
from bert_glue_tf.data.tasks import SplitOff, TaskSpec


def task_of(settings: DataSettings) -> TaskSpec:
    """Return the task of a run's settings: a known one, or the one that the user's files pose.

    Raises:
      UserError: no known task, and the user's own files cannot be read as one.
    """
    if settings.task in tasks.TASKS:
        for name in ("text_columns", "label_column", "problem"):
            value = getattr(settings, name)
            if value != DataSettings.defaults()[name]:
                raise UserError(
                    f"--{name}={value}: {settings.task} is a known task, and has its own. "
                    "Good: another --task for texts of your own, or the flag left out."
                )
        known = tasks.get(settings.task)
        split_off = SplitOff(settings.validation_fraction, settings.validation_seed)
        return array_files.infer(known, settings.data, split_off)
    wanted = own.Wanted(
        settings.text_column_names,
        settings.label_column,
        "" if settings.problem == "auto" else settings.problem,
        SplitOff(settings.validation_fraction, settings.validation_seed),
    )
    try:
        return own.infer(settings.task, settings.data, wanted)
    except UserError:
        near = tasks.near(settings.task)
        # The benchmark's folder, and a slip in the task's name: it is no folder of own texts.
        if near and os.path.isdir(os.path.join(os.path.expanduser(settings.data), near.folder)):
            raise UserError(
                f"--task={settings.task}: no such task. Did you mean {near.name}, whose folder "
                f"{near.folder} is in --data={settings.data}?"
            ) from None
        raise


def default_task(data: str, known: str) -> str:
    """Return the task that --data names where no --task does.

    Args:
      data: value of --data.
      known: the known task that is meant where the data are not the user's own.

    Raises:
      UserError: the place is there, and holds neither a file of a known task nor own data.
    """
    if data in tasks.SOURCES:
        return known
    task = tasks.get(known)
    if not own_files.names_training_file(data):
        if not _may_be_known(task, data):
            own_files.find(data)  # Its error says what would be good.
        return known
    is_known = os.path.isdir(os.path.join(os.path.expanduser(data), task.folder))
    if is_known or task_files.is_own_file(task, os.path.join(data, split_file(task, "train"))):
        return known
    return own_files.default_name(data)


def _may_be_known(task: TaskSpec, data: str) -> bool:
    """Tell whether a place is none, or has a known task's folder or the files of this task."""
    path = os.path.expanduser(data)
    if not os.path.isdir(path):
        return not os.path.isfile(path)
    if not os.access(path, os.R_OK):
        return True  # What reads it says so.
    names = {name.lower().replace("-", "").replace("_", "") for name in os.listdir(path)}
    known = {name for each in tasks.TASKS.values() for name in (each.name, each.folder)}
    known |= {split_file(task, split) for split in ("train", "validation", "test")}
    return any(name.lower().replace("-", "").replace("_", "") in names for name in known)


def check(task: TaskSpec, data: str, splits: Sequence[str] | None = None) -> None:
    """Refuse a source that cannot serve the task, before anything slow starts.

    Files are found, not read; the network is asked (4 seconds at most) only for
    `tfds`, and only if the task is not already prepared on this machine.

    Args:
      task: the task.
      data: "tfds", "sample" or a folder.
      splits: what will be loaded; training and validation if None.

    Raises:
      network.UnreachableError: TFDS data neither prepared nor reachable.
      UserError: any other reason why it cannot be served.
    """
    if splits is None:
        splits = ("train", *task.scored_splits.values())
    if task.own is not None:
        for split in splits:
            own.load(task, data, split)
        return
    if isinstance(task.modality, Arrays):
        array_files.check(task, data, splits)
        return
    if data in ("tfds", "sample") and not task.is_glue:
        train = f"{task.folder}/{split_file(task, 'train')} and so on"
        train = " or ".join(task.tsv_files.get("train", ())) or train
        raise UserError(
            f"--data={data}: {task.name} is no task of GLUE, and is read from its files only.\n"
            f"Good: --data=FOLDER, where {train} lie."
        )
    if data == "tfds":
        tfds.check(task)
    elif data == "sample":
        for split in splits:
            _check_sample(task, split)
    elif tables := glue_tables.find(task, data):
        for split in splits:
            glue_tables.require(tables, data, split)
    else:
        for split in splits:
            if split in task.tsv_files:
                _one_of(data, task.tsv_files[split])
                continue
            folder = task_files.task_folder(task, data)
            path = os.path.join(folder, split_file(task, split))
            if not os.path.isfile(os.path.expanduser(path)):
                raise task_files.missing_file(task, path)


def load(task: TaskSpec, data: str, split: str, limit: int = 0) -> Examples:
    """Read one split.

    Args:
      task: the task.
      data: "tfds", "sample" or a folder.
      split: as TFDS names it: `train`, `validation` (`validation_matched` and
        `validation_mismatched` for MNLI), `test` (`test_matched`, ...).
      limit: as in `Examples.take`.

    Raises:
      UserError: the source cannot serve the split, or a file is malformed.
    """
    if task.own is not None:
        examples = own.load(task, data, split)
    elif isinstance(task.modality, Arrays):
        examples = array_files.load(task, data, split)
    elif data in ("tfds", "sample"):
        check(task, data, [split])
        examples = (tfds.load if data == "tfds" else _load_sample)(task, split)
    elif glue_tables.find(task, data):
        examples = glue_tables.load(task, data, split)
    elif split in task.tsv_files:
        examples = task_files.load(task, _one_of(data, task.tsv_files[split]), split)
    else:
        examples = task_files.load(
            task,
            os.path.join(task_files.task_folder(task, data), split_file(task, split)),
            split,
        )
    if data != "sample":
        published_counts.check(task.name, split, len(examples))
    return examples.take(limit)


def _one_of(data: str, names: Sequence[str]) -> str:
    for name in names:
        path = os.path.join(data, name)
        if os.path.isfile(os.path.expanduser(path)):
            return path
    raise UserError(f"--data={data}: none of {', '.join(names)} is in it.")


def load_for_training(task: TaskSpec, data: str, train_examples: int = 0) -> dict[str, Examples]:
    """Read what a training run needs: split -> examples, training and validation.

    Args:
      task: the task.
      data: as in `load`.
      train_examples: limit on the training split, 0 = all.

    Raises:
      UserError: as `load`.
    """
    splits = ("train", *task.scored_splits.values())
    found = {
        split: load(task, data, split, train_examples if split == "train" else 0)
        for split in splits
    }
    if task.own is not None:
        own.warn_of_overlap(found)
    return found


def _check_sample(task: TaskSpec, split: str) -> None:
    from bert_glue_tf.data import sample

    if task.name not in sample.TASKS:
        raise UserError(
            f"--data=sample: the sample has no {task.name}. "
            f"Good values of --task with it: {', '.join(sample.TASKS)}."
        )
    if split not in sample.SPLITS:
        raise UserError(
            f"--data=sample: the sample has no split {split}. "
            f"Good values: {', '.join(sample.SPLITS)}."
        )


def _load_sample(task: TaskSpec, split: str) -> Examples:
    from bert_glue_tf.data import sample

    rows = sample.examples(task.name, split)
    fields = zip(*(texts for texts, _ in rows), strict=True)
    labels = [label for _, label in rows]
    return make(task.problem, fields, labels, name="sample", split=split, version=sample.VERSION)
