"""GLUE as TensorFlow Datasets has it. TensorFlow is imported when a split is read."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core import lazy, network, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import examples
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.tasks import TaskSpec

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy.module("numpy")  # Commands import this module with their flags.

# Where TFDS fetches data sets from (tensorflow_datasets/url_checksums/glue.txt and so on), by the
# first part of their names.
_HOSTS = {
    "glue": "https://dl.fbaipublicfiles.com",
    "mnist": "https://storage.googleapis.com",
    "speech_commands": "https://storage.googleapis.com",
}
_CLASSES = "tensorflow_datasets.core."


def check(task: TaskSpec) -> None:
    """Refuse a task that is neither prepared on this machine nor can be downloaded.

    Raises:
      network.UnreachableError: the network does not answer.
    """
    host = _HOSTS[task.tfds_name.split("/")[0]]
    if _prepared_folder(task) is None and not network.reachable(host):
        raise network.UnreachableError(
            f"--data=tfds: {host} cannot be reached, and nothing is prepared under\n"
            f"{os.path.join(_root(), task.tfds_name)}.",
            what="data",
        )


def is_prepared(task: TaskSpec) -> bool:
    """Tell if the task is on this machine already, so that no network is needed."""
    return bool(task.is_glue or task.tfds) and _prepared_folder(task) is not None


def load(task: TaskSpec, split: str) -> Examples:
    """Read one split, which is downloaded and prepared where it is not on this machine.

    Raises:
      UserError: it cannot be downloaded, or what is prepared is damaged.
    """
    builder = builder_of(task, split)
    fields, labels = _read(builder, task, split)
    return examples.make(
        task.problem,
        fields,
        labels if task.has_labels(split) else None,  # TFDS has -1 for each
        name="tfds",
        split=split,
        version=str(builder.info.version),
    )


def builder_of(task: TaskSpec, split: str) -> Any:
    """Return TFDS's builder of a task, downloaded and prepared where it is not on this machine.

    Raises:
      UserError: it cannot be downloaded, what is prepared is damaged, or it has no such split.
    """
    folder = _prepared_folder(task)
    builder = _download(task) if folder is None else _open(folder)
    if split not in builder.info.splits:
        raise UserError(
            f"--data=tfds: {task.tfds_name} has no split {split}. "
            f"Good values: {', '.join(builder.info.splits)}."
        )
    return builder


def _root() -> str:
    return os.path.expanduser(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def _prepared_folder(task: TaskSpec) -> str | None:
    """Return the newest prepared version on this machine's disk (a gs:// root is left to TFDS)."""
    parent = os.path.join(_root(), *task.tfds_name.split("/"))
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


def _open(folder: str) -> Any:
    """Return the builder of a prepared folder, without the network or TFDS's code for GLUE."""
    import tensorflow_datasets as tfds

    try:
        _check_features(folder)
        builder = tfds.builder_from_directory(folder)
    except ImportError:
        raise
    except Exception as error:  # by what is damaged: ValueError, ParseError, KeyError, ...
        raise damaged(folder, error) from error
    if not builder.info.splits:
        raise damaged(folder, ValueError("dataset_info.json names no split"))
    return builder


def _download(task: TaskSpec) -> Any:
    import tensorflow_datasets as tfds

    builder = tfds.builder(task.tfds_name, data_dir=_root())
    try:
        # TFDS knows the SHA-256 of all that GLUE consists of, and takes nothing else.
        checked = tfds.download.DownloadConfig(force_checksums_validation=True)
        builder.download_and_prepare(download_config=checked)
    except ImportError:
        raise  # a broken installation, whose traceback is wanted
    except Exception as error:  # TFDS's own errors have no common base class
        raise UserError(
            f"--data=tfds: {task.tfds_name} could not be downloaded and prepared under "
            f"{_root()}:\n{_one_line(error)}. Good: a network that serves it, room on "
            "the disk, or --data=FOLDER with the benchmark's .tsv files."
        ) from error
    return builder


def _read(builder: Any, task: TaskSpec, split: str) -> tuple[list[list[str]], list[float]]:
    """Return texts and labels; those of a split without labels in the benchmark's own order."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

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
        raise damaged(builder.data_dir, error) from error
    if not task.has_labels(split):
        # TFDS shuffles what it writes; a submission has the order of the benchmark's file.
        order = np.argsort(places)
        fields = [[field[i] for i in order] for field in fields]
    return fields, labels


def _check_features(folder: str) -> None:
    """Raise ValueError unless features.json names TFDS's own classes only.

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
                name = value.get(key, _CLASSES)
                if key == "type" and "content" not in value:
                    continue
                if not str(name).startswith(_CLASSES):
                    raise ValueError(f"features.json names {name!r}, which is no class of TFDS")
        elif isinstance(value, str) and value.lstrip().startswith("{"):
            waiting.append(strict_json.loads(value))  # As some features keep theirs.


def damaged(folder: str, error: Exception) -> UserError:
    """Return the error of a prepared folder that cannot be read."""
    return UserError(
        f"--data=tfds: {folder} cannot be read: {_one_line(error)}.\n"
        "Good: delete that folder and run again with the network, to prepare it anew."
    )


def _one_line(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
    return text if len(text) <= 200 else text[:200] + "..."
