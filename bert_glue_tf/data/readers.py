"""A task and a place -> its examples: TFDS, the benchmark's own folders, the embedded sample.

Nothing here needs TensorFlow but the reading of TFDS, which imports it when called:
`check` answers before it is loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bert_glue_tf.core import network, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tsv
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.tasks import TaskSpec

# Where TFDS fetches GLUE from (tensorflow_datasets/url_checksums/glue.txt).
_TFDS_HOST = "https://dl.fbaipublicfiles.com"
_TFDS_CLASSES = "tensorflow_datasets.core."


def check(task: TaskSpec, data: str, splits: Sequence[str] | None = None) -> None:
    """Refuses a source that cannot serve the task, before anything slow starts.

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
        splits = ("train", *task.validation_splits.values())
    if data in ("tfds", "sample") and not task.is_glue:
        raise UserError(
            f"--data={data}: {task.name} is no task of GLUE, and is read from its files only.\n"
            f"Good: --data=FOLDER, where {task.folder}/{task.split_file('train')} and so on lie."
        )
    if data == "tfds":
        if _prepared_folder(task) is None and not network.reachable(_TFDS_HOST):
            raise network.UnreachableError(
                f"--data=tfds: {_TFDS_HOST} cannot be reached, and nothing is prepared under\n"
                f"{os.path.join(_tfds_root(), task.tfds_name)}.",
                what="data",
            )
    elif data == "sample":
        for split in splits:
            _check_sample(task, split)
    else:
        folder = _task_folder(task, data)
        for split in splits:
            path = os.path.join(folder, task.split_file(split))
            if not os.path.isfile(os.path.expanduser(path)):
                raise _missing_file(task, path)


def is_prepared(task: TaskSpec) -> bool:
    """Whether TFDS has the task on this machine already, so that no network is needed."""
    return task.is_glue and _prepared_folder(task) is not None


def load(task: TaskSpec, data: str, split: str, limit: int = 0) -> Examples:
    """Reads one split.

    Args:
      task: the task.
      data: "tfds", "sample" or a folder.
      split: as TFDS names it: `train`, `validation` (`validation_matched` and
        `validation_mismatched` for MNLI), `test` (`test_matched`, ...).
      limit: as in `Examples.take`.

    Raises:
      UserError: the source cannot serve the split, or a file is malformed.
    """
    if data in ("tfds", "sample"):
        check(task, data, [split])
        examples = (_load_tfds if data == "tfds" else _load_sample)(task, split)
    elif split in task.tsv_files:
        examples = _load_file(task, _one_of(data, task.tsv_files[split]), split)
    else:
        examples = _load_file(
            task, os.path.join(_task_folder(task, data), task.split_file(split)), split
        )
    return examples.take(limit)


def _one_of(data: str, names: Sequence[str]) -> str:
    for name in names:
        path = os.path.join(data, name)
        if os.path.isfile(os.path.expanduser(path)):
            return path
    raise UserError(f"--data={data}: none of {', '.join(names)} is in it.")


def load_for_training(task: TaskSpec, data: str, train_examples: int = 0) -> dict[str, Examples]:
    """Reads what a training run needs: split -> examples, training and validation.

    Args:
      task: the task.
      data: as in `load`.
      train_examples: limit on the training split, 0 = all.

    Raises:
      UserError: as `load`.
    """
    splits = ("train", *task.validation_splits.values())
    return {
        split: load(task, data, split, train_examples if split == "train" else 0)
        for split in splits
    }


def _examples(
    task: TaskSpec,
    fields: Iterable[Iterable[str]],
    labels: Iterable | None,
    sources: list[str] | None = None,
    **provenance,
) -> Examples:
    texts = tuple(list(field) for field in fields)
    array = None
    if labels is not None:
        array = task.problem.as_labels(labels)
    if "sha256" not in provenance:
        digest = hashlib.sha256()
        columns = texts if array is None else (*texts, array.tolist())
        for row in zip(*columns, strict=True):
            digest.update((json.dumps(row) + "\n").encode())
        provenance["sha256"] = digest.hexdigest()
    n = len(texts[0])
    common = {"path": None, "examples": n, "split_examples": n, "dropped_rows": 0}
    return Examples(texts=texts, labels=array, provenance={**common, **provenance}, sources=sources)


# --- the embedded sample ---


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
    return _examples(task, fields, labels, name="sample", split=split, version=sample.VERSION)


# --- TFDS ---


def _tfds_root() -> str:
    return os.path.expanduser(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def _prepared_folder(task: TaskSpec) -> str | None:
    """The newest prepared version on this machine's disk (a gs:// root is left to TFDS)."""
    parent = os.path.join(_tfds_root(), "glue", task.name)
    versions = os.listdir(parent) if os.path.isdir(parent) else []
    prepared = [
        version
        for version in versions
        if re.fullmatch(r"\d+\.\d+\.\d+", version)  # not 2.0.0.incompleteXY
        and os.path.isfile(os.path.join(parent, version, "dataset_info.json"))
        and os.path.isfile(os.path.join(parent, version, "features.json"))  # TFDS 4 and later
    ]
    if not prepared:
        return None
    return os.path.join(parent, max(prepared, key=lambda v: tuple(map(int, v.split(".")))))


def _load_tfds(task: TaskSpec, split: str) -> Examples:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    prepared = _prepared_folder(task)
    if prepared:
        # Reads the folder alone, and so never asks the network or the builder's code.
        try:
            _check_features(prepared)
            builder = tfds.builder_from_directory(prepared)
        except ImportError:
            raise
        except Exception as error:  # by what is damaged: ValueError, ParseError, KeyError, ...
            raise _damaged_tfds(prepared, error) from error
    else:
        builder = tfds.builder(task.tfds_name, data_dir=_tfds_root())
        try:
            # TFDS knows the SHA-256 of all that GLUE consists of, and takes nothing else.
            checked = tfds.download.DownloadConfig(force_checksums_validation=True)
            builder.download_and_prepare(download_config=checked)
        except ImportError:
            raise  # a broken installation, whose traceback is wanted
        except Exception as error:  # TFDS's own errors have no common base class
            raise UserError(
                f"--data=tfds: {task.tfds_name} could not be downloaded and prepared under "
                f"{_tfds_root()}:\n{_one_line(error)}. Good: a network that serves it, room on "
                "the disk, or --data=FOLDER with the benchmark's .tsv files."
            ) from error
    if prepared and not builder.info.splits:
        raise _damaged_tfds(prepared, ValueError("dataset_info.json names no split"))
    if split not in builder.info.splits:
        raise UserError(
            f"--data=tfds: {task.tfds_name} has no split {split}. "
            f"Good values: {', '.join(builder.info.splits)}."
        )
    fields: list[list[str]] = [[] for _ in task.text_fields]
    labels: list[float] = []
    places: list[int] = []
    try:
        for batch in tfds.as_numpy(builder.as_dataset(split=split, batch_size=1024)):
            for field, name in zip(fields, task.text_fields, strict=True):
                field.extend(text.decode("utf-8") for text in batch[name])
            labels.extend(batch["label"].tolist())
            places.extend(batch["idx"].tolist())
    except (tf.errors.OpError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise _damaged_tfds(builder.data_dir, error) from error
    if not task.has_labels(split):
        # TFDS shuffles what it writes; a submission has the order of the benchmark's file.
        order = np.argsort(places)
        fields = [[field[i] for i in order] for field in fields]
    return _examples(
        task,
        fields,
        labels if task.has_labels(split) else None,  # TFDS has -1 for each
        name="tfds",
        split=split,
        version=str(builder.info.version),
    )


def _check_features(folder: str) -> None:
    """Raises ValueError unless features.json names TFDS's own classes only.

    TFDS imports the module of any class that is named there.
    """
    with open(os.path.join(folder, "features.json"), encoding="utf-8") as file:
        waiting: list[Any] = [strict_json.loads(file.read())]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            for key in ("pythonClassName", "python_class_name", "type"):
                name = value.get(key, _TFDS_CLASSES)
                if key == "type" and "content" not in value:
                    continue
                if not str(name).startswith(_TFDS_CLASSES):
                    raise ValueError(f"features.json names {name!r}, which is no class of TFDS")
        elif isinstance(value, str) and value.lstrip().startswith("{"):
            waiting.append(strict_json.loads(value))  # As some features keep theirs.


def _damaged_tfds(folder: str, error: Exception) -> UserError:
    return UserError(
        f"--data=tfds: {folder} cannot be read: {_one_line(error)}.\n"
        "Good: delete that folder and run again with the network, to prepare it anew."
    )


def _one_line(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
    return text if len(text) <= 200 else text[:200] + "..."


# --- the benchmark's own folders ---


def _task_folder(task: TaskSpec, data: str) -> str:
    """The folder of the task's files: `data`/CoLA, or `data` itself if they lie in it."""
    root = os.path.expanduser(data)
    if not os.path.isdir(root):
        what = "a file, not a folder" if os.path.exists(root) else "no such folder"
        example = f"(e.g. {task.folder}/{task.split_file('train')})"
        raise UserError(
            f"--data={data}: {what}. Good values: {'tfds, sample, or ' if task.is_glue else ''}"
            f"a folder that holds the benchmark's task folders {example}."
        )
    if os.path.isdir(os.path.join(root, task.folder)):
        return os.path.join(data, task.folder)
    names = _listing(data)
    if any(name.endswith(task.file_suffix) for name in names):
        return data

    def plain(name: str) -> str:
        return re.sub("[^a-z0-9]", "", name.lower())

    for name in names:
        near = os.path.join(data, name)
        if plain(name) == plain(task.folder) and os.path.isdir(os.path.expanduser(near)):
            raise UserError(
                f"--data={data}: no folder {task.folder} in it, but {name}. "
                f"Good: rename that to {task.folder}, or pass --data={near}."
            )
    raise UserError(
        f"--data={data}: no folder {task.folder} and no {task.file_suffix} file in it. "
        f"Good: {os.path.join(data, task.folder, task.split_file('train'))} and so on."
    )


def _listing(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(os.path.expanduser(folder)))
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}. Good: a folder you can read.") from error


def _missing_file(task: TaskSpec, path: str) -> UserError:
    folder, name = os.path.split(path)
    found = [other for other in _listing(folder) if other.endswith(task.file_suffix)]
    listed = ", ".join(found) or f"no {task.file_suffix} file"
    return UserError(
        f"{path}: no such file. Found in {folder}: {listed}. "
        f"Good: the benchmark's own {task.folder} files, {name} among them."
    )


def _load_file(task: TaskSpec, path: str, split: str) -> Examples:
    try:
        with open(os.path.expanduser(path), "rb") as file:
            raw = file.read()
    except FileNotFoundError:
        raise _missing_file(task, path) from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}. Good: a file you can read.") from error
    if task.file_format == "aspects":
        table = tsv.parse_aspects(task, path, raw)
    else:
        table = tsv.parse(task, path, raw, labelled=task.has_labels(split))
    return _examples(
        task,
        table.fields,
        table.labels,
        table.sources,
        name=task.file_format,
        split=split,
        version=None,
        sha256=table.sha256,
        path=path,
        dropped_rows=table.dropped,
    )
