"""The tasks whose examples are arrays: those of the second report's small networks.

MNIST (LeCun et al. 1998, "Gradient-based learning applied to document recognition"); the smartphone
activities of HAPT (Reyes-Ortiz et al. 2016, "Transition-aware human activity recognition using
smartphones"), whose recordings are those of UCI HAR with windows cut anew; three words of Speech
Commands (Warden 2018, https://arxiv.org/abs/1804.03209) as MFCCs; and pictures of any classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from bert_glue_tf.data.arrays import Arrays
from bert_glue_tf.data.problems import Classification
from bert_glue_tf.data.task_spec import SplitOff, TaskSpec

_ACTIVITIES = ("walking", "upstairs", "downstairs", "sitting", "standing", "laying")
_WORDS = ("bed", "cat", "happy")
_DIGITS = tuple(map(str, range(10)))


def _task(
    name: str, noun: str, labels: tuple[str, ...], shape: tuple[int, ...], **more: Any
) -> TaskSpec:
    return TaskSpec(
        name=name,
        folder=name,
        text_fields=(),
        problem=Classification(labels),
        metrics=("accuracy", "macro_f1"),
        primary_metric="accuracy",
        tsv_text=(),
        tsv_label="",
        file_format="arrays",
        is_glue=False,
        modality=Arrays(noun=noun, shape=shape),
        **{"tsv_labels": labels, **more},
    )


SPECS = (
    _task(
        "mnist",
        "pictures",
        _DIGITS,
        (28, 28, 1),
        # The published scores are those of its 10,000 test examples, and it has no other split.
        validation_splits={"": "test"},
        tfds="mnist",
        caution="MNIST is scored on its test split: choose no setting by that score.",
    ),
    _task(
        "har",
        "windows",
        _ACTIVITIES,
        (128, 9),
        tsv_labels=("1", "2", "3", "4", "5", "6"),
        validation_splits={"": "test"},
        caution=(
            "har is HAPT, six activities, scored on its nine test persons: the people and "
            "recordings are UCI HAR's, the windows are not, and scores do not compare to the digit."
        ),
    ),
    _task(
        "keywords",
        "MFCCs",
        _WORDS,
        (49, 10),
        test_splits={"_test": "test"},
        tfds="speech_commands",
    ),
    _task("images", "pictures", (), (), is_open=True),
)


def opened(
    task: TaskSpec,
    classes: Sequence[str],
    shape: Sequence[int],
    *,
    has_test: bool,
    split_off: SplitOff | None,
) -> TaskSpec:
    """Return an open task with its classes, the shape of its arrays, and its splits."""
    assert isinstance(task.modality, Arrays)
    return dataclasses.replace(
        task,
        problem=Classification(tuple(classes)),
        tsv_labels=tuple(classes),
        modality=dataclasses.replace(task.modality, shape=tuple(shape)),
        test_splits={"_test": "test"} if has_test else {},
        split_off=split_off,
    )


def describe(task: TaskSpec) -> dict[str, Any]:
    """Return what a record has to say of an open task, as values of JSON."""
    assert isinstance(task.modality, Arrays)
    return {
        "classes": list(task.problem.labels),
        "shape": list(task.modality.shape),
        "has_test": bool(task.test_splits),
        "split_off": task.split_off and dataclasses.asdict(task.split_off),
    }


def described(task: TaskSpec, values: Mapping[str, Any]) -> TaskSpec:
    """Return an open task as `describe` has told it.

    Raises:
      KeyError, TypeError, ValueError: the values tell none.
    """
    return opened(
        task,
        tuple(map(str, values["classes"])),
        tuple(map(int, values["shape"])),
        has_test=bool(values["has_test"]),
        split_off=values["split_off"] and SplitOff(**values["split_off"]),
    )
