"""The table of tasks against GLUE's own definitions and TFDS's, and SemEval's three."""

import dataclasses

import pytest
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import file_formats, tasks
from bert_glue_tf.data.file_formats import split_file
from bert_glue_tf.data.modality import TEXTS
from bert_glue_tf.data.problems import Regression

# Wang et al. 2019, table 1; the primary metrics are the project's choice where GLUE
# averages two (MRPC, STS-B, QQP). CoLA's accuracy is reported beside GLUE's Matthews.
GLUE = {
    # name: (folder, text fields, classes, metrics, primary metric)
    "cola": ("CoLA", 1, 2, {"matthews", "accuracy"}, "matthews"),
    "sst2": ("SST-2", 1, 2, {"accuracy"}, "accuracy"),
    "mrpc": ("MRPC", 2, 2, {"accuracy", "f1"}, "accuracy"),
    "stsb": ("STS-B", 2, 1, {"pearson", "spearman"}, "pearson"),
    "qqp": ("QQP", 2, 2, {"accuracy", "f1"}, "accuracy"),
    "mnli": ("MNLI", 2, 3, {"accuracy"}, "accuracy"),
    "qnli": ("QNLI", 2, 2, {"accuracy"}, "accuracy"),
    "rte": ("RTE", 2, 2, {"accuracy"}, "accuracy"),
    "wnli": ("WNLI", 2, 2, {"accuracy"}, "accuracy"),
}
# Pairs of sentence and aspect; three polarities.
ASPECTS = {
    name: (name, 2, 3, {"accuracy", "macro_f1"}, "accuracy")
    for name in ("laptop14", "rest14", "rest16")
}
# Tasks of other origin, each a line as in `GLUE`.
OTHERS: dict[str, tuple[str, int, int, set[str], str]] = (
    {
        # Three polarities of four tags each, and O.
        f"{name}_e2e": (name, 1, 13, {"span_f1", "entity_f1", "tag_accuracy"}, "span_f1")
        for name in ("laptop14", "rest14", "rest16")
    }
    | {
        # DE-CNN's: O, B and I.
        f"{name}_aspects": ("de_cnn", 1, 3, {"span_f1", "entity_f1", "tag_accuracy"}, "span_f1")
        for name in ("laptop14", "rest16")
    }
    | {
        # Arrays: no text, and pictures whose classes their files say.
        name: (name, 0, classes, {"accuracy", "macro_f1"}, "accuracy")
        for name, classes in (("mnist", 10), ("har", 6), ("keywords", 3), ("images", 0))
    }
)


def test_the_table_holds_the_tasks_that_it_should():
    table = {
        name: (
            task.folder,
            len(task.text_fields),
            task.problem.width,
            set(task.metrics),
            task.primary_metric,
        )
        for name, task in tasks.TASKS.items()
    }
    assert table == {**GLUE, **ASPECTS, **OTHERS}
    assert {name for name, task in tasks.TASKS.items() if task.is_glue} == set(GLUE)


@pytest.mark.parametrize("task", tasks.TASKS.values(), ids=lambda task: task.name)
def test_each_row_is_consistent(task):
    assert tasks.get(task.name) is task
    assert task.primary_metric in task.metrics
    assert len(set(task.metrics)) == len(task.metrics)
    assert len(task.tsv_text) == len(task.text_fields) == len(set(task.text_fields))
    labels = task.problem.labels
    assert isinstance(task.problem, Regression) == (task.problem.width == 1)
    if labels:
        # Tags of words are made of those of a file, whose words have no prefix.
        assert task.problem.tags_words or len(task.tsv_labels) == len(labels)
        assert len(labels) == len(set(labels))
    assert (task.file_format in file_formats.FORMATS) == (task.modality is TEXTS)
    # Spelled labels stand in the order of their ids, as the names do.
    if task.file_format == "aspects":
        assert [tag.removeprefix("T-").lower() for tag in task.tsv_labels] == [
            label[:3] for label in labels
        ]
    elif task.is_glue and "0" not in task.tsv_labels:
        assert task.tsv_labels == labels
    if task.tsv_columns:
        assert {task.tsv_label, *task.tsv_text} <= set(task.tsv_columns)
        assert not task.tsv_source or task.tsv_source in task.tsv_columns
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.name = "other"


def test_of_glue_only_cola_has_no_header_and_only_qqp_loses_rows():
    glue = [tasks.get(name) for name in GLUE]
    assert [task.name for task in glue if task.tsv_columns] == ["cola"]
    assert [task.name for task in glue if task.drops_short_rows] == ["qqp"]
    assert tasks.get("stsb").problem == Regression(0.0, 5.0)


def test_files_and_splits():
    for name in {*GLUE, *ASPECTS} - {"mnli"}:
        assert tasks.get(name).validation_splits == {"": "validation"}
    mnli = tasks.get("mnli")
    assert mnli.validation_splits == {
        "_matched": "validation_matched",
        "_mismatched": "validation_mismatched",
    }
    assert [split_file(mnli, s) for s in ("train", "validation_matched", "test_mismatched")] == [
        "train.tsv",
        "dev_matched.tsv",
        "test_mismatched.tsv",
    ]
    assert split_file(tasks.get("cola"), "validation") == "dev.tsv"
    assert [split_file(tasks.get("rest16"), s) for s in ("train", "validation", "test")] == [
        "train.txt",
        "dev.txt",
        "test.txt",
    ]


def test_glue_alone_keeps_the_labels_of_its_test_splits():
    for name in GLUE:
        assert tasks.get(name).has_labels("train")
        assert tasks.get(name).has_labels("validation_matched")
        assert not tasks.get(name).has_labels("test")
        assert not tasks.get(name).has_labels("test_mismatched")
    for name in ASPECTS:
        assert all(tasks.get(name).has_labels(split) for split in ("train", "validation", "test"))


def test_an_unknown_task_lists_the_good_ones():
    with refuses(
        UserError, "--task=CoLA", "Did you mean cola?", ", ".join([*GLUE, *ASPECTS, *OTHERS])
    ):
        tasks.get("CoLA")


def test_fields_labels_and_columns_are_those_of_tfds():
    from tensorflow_datasets.text.glue import Glue

    configs = {config.name: config for config in Glue.BUILDER_CONFIGS}
    for task in map(tasks.get, GLUE):
        assert task.tfds_name == f"glue/{task.name}"
        config = configs[task.name]
        assert task.text_fields == tuple(config.text_features)
        assert task.problem.labels == tuple(config.label_classes or ())
        assert task.folder == config.data_dir
        if task.name != "mrpc":  # TFDS builds it from Microsoft's files
            assert task.tsv_text == tuple(config.text_features.values())
        if task.name != "cola":  # whose files name no columns
            assert task.tsv_label == config.label_column
