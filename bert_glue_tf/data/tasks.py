"""The tasks, each fact once: flags, readers, metrics and docs derive from here.

The nine of GLUE. Source of the facts: Wang et al. 2019, "GLUE: A Multi-Task Benchmark and
Analysis Platform for Natural Language Understanding" (https://arxiv.org/abs/1804.07461), the
benchmark's own .tsv files, and the TFDS data set `glue`.

Three of aspect-based sentiment: the laptop and restaurant reviews of SemEval-2014 task 4
(https://aclanthology.org/S14-2004/) and the restaurant reviews of SemEval-2016 task 5
(https://aclanthology.org/S16-1002/), in the files of Li et al. 2019, "Exploiting BERT for
End-to-End Aspect-based Sentiment Analysis" (https://arxiv.org/abs/1910.00883). Their task is
end to end: to find the aspects and to classify them. Here it is the second half, the polarity of
aspects that are given, so that scores do not compare with theirs.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.problems import Classification, Problem, Regression


@dataclasses.dataclass(frozen=True)
class TaskSpec:
    """The facts of one task.

    Attributes:
      name: the task's name in flags, records and tables; for GLUE, TFDS's `glue/<name>`.
      folder: the task's folder in the benchmark's own distribution.
      text_fields: the text features, in TFDS's names (one sentence, or a pair).
      problem: the kind of answer: which classes, or numbers from where to where.
      metrics: names of the functions in `metrics.py` that are reported.
      primary_metric: the one that a single comparison uses.
      tsv_text: columns of the text in the .tsv files, as named in their header.
      tsv_label: column of the label in the .tsv files.
      tsv_columns: the columns' names where the labelled files have no header.
      tsv_labels: the spelling of the labels in the files, aspect files too.
      tsv_source: column of the .tsv files that says where an example comes from, if any.
      validation_splits: suffix of the metrics' names -> TFDS name of the split.
      submission_files: TFDS name of a test split -> the file that the benchmark's server takes
        its predictions in.
      tsv_files: split -> where its file may lie below GLUE's folder, if not at the usual place.
      also_answers: names of `DIAGNOSTICS` that a model for this task answers as well.
      drops_short_rows: whether rows with too few columns are counted and dropped
        instead of refused.
      file_format: of its files, a name in `file_formats.FORMATS`; "tsv" is GLUE's.
      is_glue: whether it is a task of GLUE: TFDS has it, its test files have no labels, and the
        benchmark's server takes answers to them.
    """

    name: str
    folder: str
    text_fields: tuple[str, ...]
    problem: Problem
    metrics: tuple[str, ...]
    primary_metric: str
    tsv_text: tuple[str, ...]
    tsv_label: str
    tsv_columns: tuple[str, ...] = ()
    tsv_labels: tuple[str, ...] = ("0", "1")
    validation_splits: Mapping[str, str] = dataclasses.field(
        default_factory=lambda: {"": "validation"}
    )
    submission_files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    also_answers: tuple[str, ...] = ()
    tsv_files: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    drops_short_rows: bool = False
    tsv_source: str = ""
    file_format: str = "tsv"
    is_glue: bool = True

    @property
    def tfds_name(self) -> str:
        """Return TFDS's name of a task of GLUE."""
        return f"glue/{self.name}"

    def has_labels(self, split: str) -> bool:
        """Tell if a split's labels are public: GLUE keeps those of its test splits."""
        return not (self.is_glue and split.startswith("test"))


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
    ),
    *map(_aspects, ("laptop14", "rest14", "rest16")),
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


def get(name: str) -> TaskSpec:
    """Return the task called `name`.

    Raises:
      UserError: there is no such task.
    """
    if name not in TASKS:
        near = difflib.get_close_matches(name.lower(), TASKS, n=1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise UserError(f"--task={name}: no such task.{meant} Good values: {', '.join(TASKS)}.")
    return TASKS[name]
