"""The tasks, each fact once: flags, readers, metrics and docs derive from here.

The nine of GLUE. Source of the facts: Wang et al. 2019, "GLUE: A Multi-Task Benchmark and
Analysis Platform for Natural Language Understanding" (https://arxiv.org/abs/1804.07461), the
benchmark's own .tsv files, and the TFDS data set `glue`.

Three of aspect-based sentiment: the laptop and restaurant reviews of SemEval-2014 task 4
(https://aclanthology.org/S14-2004/) and the restaurant reviews of SemEval-2016 task 5
(https://aclanthology.org/S16-1002/), in the files of Li et al. 2019, "Exploiting BERT for
End-to-End Aspect-based Sentiment Analysis" (https://arxiv.org/abs/1910.00883). Their task is
end to end: to find the aspects and to classify them, by a tag for each word (`laptop14_e2e` and so
on). `laptop14_aspects` and `rest16_aspects` are its first half, the aspects without polarity, in
the files of Xu et al. 2018 (https://arxiv.org/abs/1805.04601). Of `laptop14`, `rest14` and `rest16`
it is the second half, the polarity of aspects that are given, so that scores do not compare with
theirs.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import array_tasks, problems
from bert_glue_tf.data.problems import Classification, Problem, Regression, Tagging
from bert_glue_tf.data.tags import BIEOS, BIO
from bert_glue_tf.data.task_spec import SplitOff, TaskSpec

_PAIR = ("sentence1", "sentence2")
_ENTAILMENT = ("entailment", "not_entailment")


def _aspects(name: str) -> TaskSpec:
    return TaskSpec(
        name=name,
        folder=name,
        text_fields=("sentence", "aspect"),
        problem=Classification(("negative", "neutral", "positive")),
        # The two that the field reports, since the classes are far from balanced.
        metrics=("accuracy", "macro_f1"),
        primary_metric="accuracy",
        tsv_text=("sentence", "aspect"),
        tsv_label="tag",
        tsv_labels=("T-NEG", "T-NEU", "T-POS"),
        file_format="aspects",
        is_glue=False,
    )


def _aspect_tags(folder: str) -> TaskSpec:
    polarities = ("NEG", "NEU", "POS")
    return TaskSpec(
        name=f"{folder}_e2e",
        folder=folder,
        text_fields=("tokens",),
        problem=Tagging(BIEOS.complete(f"S-{one}" for one in polarities)),
        metrics=("span_f1", "entity_f1", "tag_accuracy"),
        primary_metric="span_f1",
        tsv_text=("tokens",),
        tsv_label="tags",
        tsv_labels=tuple(f"T-{one}" for one in polarities),
        # The published scores are those of the test files.
        test_splits={"_test": "test"},
        file_format="aspect_tags",
        is_glue=False,
    )


def _aspect_terms(name: str, file: str) -> TaskSpec:
    # DE-CNN's own files: train and test in one, its last training sentences for validation.
    places = (f"de_cnn/{file}", file)
    return TaskSpec(
        name=f"{name}_aspects",
        folder="de_cnn",
        text_fields=("tokens",),
        problem=Tagging(BIO.complete(["B-ASPECT"])),
        metrics=("span_f1", "entity_f1", "tag_accuracy"),
        primary_metric="span_f1",
        tsv_text=("tokens",),
        tsv_label="tags",
        test_splits={"_test": "test"},
        tsv_files=dict.fromkeys(("train", "validation", "test"), places),
        file_format="word_arrays",
        is_glue=False,
    )


_SPECS = (
    TaskSpec(
        name="cola",
        folder="CoLA",
        submission_files={"test": "CoLA.tsv"},
        text_fields=("sentence",),
        problem=Classification(("unacceptable", "acceptable")),
        metrics=("matthews", "accuracy"),
        primary_metric="matthews",
        tsv_text=("sentence",),
        tsv_label="label",
        # train.tsv and dev.tsv have no header; test.tsv has one.
        tsv_columns=("source", "label", "star", "sentence"),
        tsv_source="source",
    ),
    TaskSpec(
        name="sst2",
        folder="SST-2",
        submission_files={"test": "SST-2.tsv"},
        text_fields=("sentence",),
        problem=Classification(("negative", "positive")),
        metrics=("accuracy",),
        primary_metric="accuracy",
        tsv_text=("sentence",),
        tsv_label="label",
    ),
    TaskSpec(
        name="mrpc",
        folder="MRPC",
        submission_files={"test": "MRPC.tsv"},
        text_fields=_PAIR,
        problem=Classification(("not_equivalent", "equivalent")),
        metrics=("accuracy", "f1"),
        primary_metric="accuracy",
        tsv_text=("#1 String", "#2 String"),
        tsv_label="Quality",
    ),
    TaskSpec(
        name="stsb",
        folder="STS-B",
        submission_files={"test": "STS-B.tsv"},
        text_fields=_PAIR,
        problem=Regression(0.0, 5.0),
        metrics=("pearson", "spearman"),
        primary_metric="pearson",
        tsv_text=_PAIR,
        tsv_label="score",
    ),
    TaskSpec(
        name="qqp",
        folder="QQP",
        submission_files={"test": "QQP.tsv"},
        text_fields=("question1", "question2"),
        problem=Classification(("not_duplicate", "duplicate")),
        metrics=("accuracy", "f1"),
        primary_metric="accuracy",
        tsv_text=("question1", "question2"),
        tsv_label="is_duplicate",
        # A few questions of the published train.tsv hold a line break, which cuts
        # their row in two; TFDS drops such rows as well.
        drops_short_rows=True,
    ),
    TaskSpec(
        name="mnli",
        folder="MNLI",
        submission_files={
            "test_matched": "MNLI-m.tsv",
            "test_mismatched": "MNLI-mm.tsv",
        },
        text_fields=("premise", "hypothesis"),
        problem=Classification(("entailment", "neutral", "contradiction")),
        metrics=("accuracy",),
        primary_metric="accuracy",
        tsv_text=_PAIR,
        tsv_label="gold_label",
        tsv_labels=("entailment", "neutral", "contradiction"),
        validation_splits={
            "_matched": "validation_matched",
            "_mismatched": "validation_mismatched",
        },
        also_answers=("ax",),
    ),
    TaskSpec(
        name="qnli",
        folder="QNLI",
        submission_files={"test": "QNLI.tsv"},
        text_fields=("question", "sentence"),
        problem=Classification(_ENTAILMENT),
        metrics=("accuracy",),
        primary_metric="accuracy",
        tsv_text=("question", "sentence"),
        tsv_label="label",
        tsv_labels=_ENTAILMENT,
    ),
    TaskSpec(
        name="rte",
        folder="RTE",
        submission_files={"test": "RTE.tsv"},
        text_fields=_PAIR,
        problem=Classification(_ENTAILMENT),
        metrics=("accuracy",),
        primary_metric="accuracy",
        tsv_text=_PAIR,
        tsv_label="label",
        tsv_labels=_ENTAILMENT,
    ),
    TaskSpec(
        name="wnli",
        folder="WNLI",
        submission_files={"test": "WNLI.tsv"},
        text_fields=_PAIR,
        problem=Classification(("not_entailment", "entailment")),
        metrics=("accuracy",),
        primary_metric="accuracy",
        tsv_text=_PAIR,
        tsv_label="label",
        # https://gluebenchmark.com/faq, question 12.
        caution=(
            "WNLI: sentences of its validation split mostly stand in the training split with the "
            "opposite label, so that learning them by heart scores below the 0.563 of always the "
            "same answer."
        ),
    ),
    *map(_aspects, ("laptop14", "rest14", "rest16")),
    *map(_aspect_tags, ("laptop14", "rest14", "rest16")),
    _aspect_terms("laptop14", "laptop.npz"),
    _aspect_terms("rest16", "restaurant.npz"),
    *array_tasks.SPECS,
)

TASKS: Mapping[str, TaskSpec] = {spec.name: spec for spec in _SPECS}

# Test sets without a task of their own. Not trained on, so not among the tasks.
DIAGNOSTICS: Mapping[str, TaskSpec] = {
    "ax": TaskSpec(
        name="ax",
        folder="AX",
        text_fields=("premise", "hypothesis"),
        problem=TASKS["mnli"].problem,
        metrics=("matthews",),
        primary_metric="matthews",
        tsv_text=_PAIR,
        tsv_label="Label",
        tsv_labels=TASKS["mnli"].tsv_labels,
        submission_files={"test": "AX.tsv"},
        # AX.zip of the benchmark's server, and where its download script puts the same file.
        tsv_files={"test": ("AX/AX.tsv", "diagnostic/diagnostic.tsv")},
    )
}


# Values of --data that name a source of known tasks, and no file or folder.
SOURCES = ("tfds", "sample")


def get(name: str) -> TaskSpec:
    """Return the known task called `name`.

    Raises:
      UserError: there is no such task.
    """
    if name not in TASKS:
        raise UserError(
            f"--task={name}: no such task.{meant(name)} Good values: {', '.join(TASKS)}. "
            "A task of your own: --data=FILE_OR_FOLDER with your labelled texts."
        )
    return TASKS[name]


def meant(name: str) -> str:
    """Return the question whether a known task of a similar name is meant; empty without one."""
    found = near(name)
    return f" Did you mean {found.name}?" if found else ""


def near(name: str) -> TaskSpec | None:
    """Return the known task with the nearest name; None where all are far."""
    names = difflib.get_close_matches(name.lower(), TASKS, n=1)
    return TASKS[names[0]] if names else None


def check_name(name: str, data: str) -> None:
    """Refuse a name that no task can have.

    Args:
      name: value of --task.
      data: value of --data; files of one's own may have any task of one's own.

    Raises:
      UserError: no known task, and the data are not the user's own, or a name that can stand in
        no file's name.
    """
    if name not in TASKS and data in SOURCES:
        get(name)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,63}", name):
        raise UserError(
            f"--task={name}: a task's name becomes that of a folder. Good: up to 64 letters, "
            "digits, _, - and dots, a letter or digit first."
        )


def own(
    name: str,
    *,
    text_columns: Sequence[str],
    label_column: str,
    problem: Problem,
    split_off: SplitOff,
    has_test: bool,
) -> TaskSpec:
    """Return a task of the user's own tables.

    Args:
      name: of the task.
      text_columns: one or two.
      label_column: of the label.
      problem: that the labels pose.
      split_off: how the validation examples come about.
      has_test: whether there are labelled test examples, which the finished model is scored on.
    """
    fields = [re.sub(r"\W+", "_", column).strip("_") for column in text_columns]
    if not all(re.match("[A-Za-z]", field) for field in fields) or len(set(fields)) < len(fields):
        fields = [f"text{number}" for number in range(1, len(fields) + 1)]
    return TaskSpec(
        name=name,
        folder=name,
        text_fields=tuple(fields),
        problem=problem,
        metrics=problem.usual_metrics,
        primary_metric=problem.usual_primary_metric,
        tsv_text=tuple(text_columns),
        tsv_label=label_column,
        tsv_labels=problem.labels,
        test_splits={"_test": "test"} if has_test else {},
        file_format="own",
        is_glue=False,
        own=split_off,
    )


def place(name: str) -> tuple[int, str]:
    """Return what orders tasks in tables: the known ones as they are listed, then all others."""
    known = list(TASKS)
    return (known.index(name) if name in known else len(known), name)


class Described(Protocol):
    """A record that says of which task it is."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings of the run."""

    @property
    def own_task(self) -> Mapping[str, Any]:
        """Return the description that `describe` gave; empty for a known task."""


def describe(task: TaskSpec) -> dict[str, Any]:
    """Return all that a record has to say of a task, as values of JSON.

    Of a known one that is what its problem has learned in training, if anything; empty otherwise.
    """
    if task.is_open:
        return array_tasks.describe(task)
    if task.own is None:
        return {"problem": problems.to_json(task.problem)} if task.problem.learned else {}
    return {
        "text_columns": list(task.tsv_text),
        "label_column": task.tsv_label,
        "problem": problems.to_json(task.problem),
        "split_off": dataclasses.asdict(task.own),
        "has_test": bool(task.test_splits),
    }


def of(record: Described) -> TaskSpec:
    """Return the task that a record is of.

    Raises:
      UserError: no known task, and nothing that describes another one.
    """
    return described(record.config["task"], record.own_task)


def described(name: str, values: Mapping[str, Any]) -> TaskSpec:
    """Return a known task, or the one that `describe` gave these values of.

    Raises:
      UserError: there is no such task, or the values do not describe one.
    """
    if not values:
        return get(name)
    try:
        if name in TASKS and TASKS[name].is_open:
            return array_tasks.described(TASKS[name], values)
        if set(values) == {"problem"} and name in TASKS:
            return dataclasses.replace(get(name), problem=problems.from_json(values["problem"]))
        return own(
            name,
            text_columns=tuple(map(str, values["text_columns"])),
            label_column=str(values["label_column"]),
            problem=problems.from_json(values["problem"]),
            split_off=SplitOff(**values["split_off"]),
            has_test=bool(values["has_test"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"the task {name!r} is described by values that are none ({error})."
        ) from None
