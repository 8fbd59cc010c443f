"""The teacher of a run: which one fits, and what is said of one that does not."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
from messages import refuses
from written_runs import write_run

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.data.problems import Classification, MultiLabel, Regression
from bert_glue_tf.data.task_spec import SplitOff
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training import teachers

LABELS = np.array([0, 1, 1, 0])
SPLIT_OFF = SplitOff(0.1, 1)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """The folder of a finished run on MRPC."""
    return write_run(tmp_path_factory.mktemp("runs") / "teacher", LABELS, np.eye(2)[LABELS])


def own(name, problem, fields=("text",)):
    return tasks.own(
        name,
        text_columns=fields,
        label_column="label",
        problem=problem,
        split_off=SPLIT_OFF,
        has_test=False,
    )


def of_own_texts(teacher, tmp_path, task):
    """A copy of the teacher's run that has learned a task of the user's own."""
    folder = shutil.copytree(teacher, tmp_path / "own")
    config = {**json.loads((folder / "config.json").read_text()), "data": "texts.csv"}
    config["task"] = task.name
    (folder / "config.json").write_text(json.dumps(config))
    record = json.loads((folder / "results.jsonl").read_text())
    record |= {"config": config, "own_task": tasks.describe(task)}
    (folder / "results.jsonl").write_text(json.dumps(record) + "\n")
    return folder


def found(folder, task, **settings):
    config = ExperimentConfig(task=task.name, teacher=str(folder), data="x.csv", **settings)
    teachers.check(config, task)
    return teachers.find(config, task, None)


def test_without_a_teacher_there_is_none():
    settings = ExperimentConfig(task="mrpc")
    teachers.check(settings, tasks.get("mrpc"))
    assert teachers.find(settings, tasks.get("mrpc"), None) is None


def test_a_finished_run_of_the_same_task_is_one(teacher):
    one = found(teacher, tasks.get("mrpc"))
    assert one.run.path == teacher
    assert (one.outputs, one.fields) == ([0, 1], [0, 1])
    assert one.provenance["teacher"] == {"name": "teacher", "sha256": one.sha256}


def test_the_run_that_a_run_starts_from_is_one(teacher):
    task = tasks.get("mrpc")
    started = ExperimentConfig(task="mrpc", start=str(teacher), teacher="start")
    teachers.check(started, task)
    folder = teachers.find(ExperimentConfig(task="mrpc", teacher=str(teacher)), task, None).run
    assert teachers.find(started, task, folder.folder).run.path == teacher
    # That one is not there yet.
    teachers.check(ExperimentConfig(task="mrpc", finetune_epochs=1, teacher="start"), task)
    with refuses(UserError, "--teacher=start", "mrpc", "sst2"):
        teachers.check(dataclasses.replace(started, task="sst2"), tasks.get("sst2"))


def test_what_is_no_finished_run_is_none(teacher, tmp_path):
    with refuses(UserError, f"--teacher={tmp_path}/nowhere", "no such folder"):
        found(tmp_path / "nowhere", tasks.get("mrpc"))
    with refuses(UserError, f"--teacher={tmp_path}", "no run"):
        found(tmp_path, tasks.get("mrpc"))
    unfinished = shutil.copytree(teacher, tmp_path / "unfinished")
    (unfinished / "results.jsonl").unlink()
    with refuses(UserError, f"--teacher={unfinished}", "not finished"):
        found(unfinished, tasks.get("mrpc"))
    shutil.copy(teacher / "results.jsonl", unfinished)
    shutil.rmtree(unfinished / "model")
    with refuses(UserError, unfinished, "no model"):
        found(unfinished, tasks.get("mrpc"))


def test_one_of_another_task_is_refused(teacher):
    """Also where the labels have the same names, as those of RTE and QNLI."""
    with refuses(UserError, "--teacher=", "mrpc", "--task=sst2"):
        found(teacher, tasks.get("sst2"))
    with refuses(UserError, "--teacher=", "mrpc"):
        found(teacher, own("mine", Classification(("not_equivalent", "equivalent"))))


def test_one_of_own_texts_is_compared_by_its_labels(teacher, tmp_path):
    """A task of the user's own has the name of its file, which says nothing."""
    colours = Classification(("blue", "red", "green"))
    folder = of_own_texts(teacher, tmp_path, own("many", colours, ("a", "b")))
    pair = own("few", Classification(("red", "green", "blue")), ("a", "b"))
    assert found(folder, pair).outputs == [1, 2, 0]
    # Columns of the same names are the same texts, in whatever order they were given.
    assert found(folder, own("few", colours, ("b", "a"))).fields == [1, 0]
    assert found(folder, own("few", colours, ("b", "c"))).fields == [0, 1]
    with refuses(UserError, "--teacher=", "2 text(s)"):
        found(folder, own("few", colours))
    with refuses(UserError, "--teacher=", "black, green"):
        found(folder, own("few", Classification(("red", "black", "blue")), ("a", "b")))
    for problem in (MultiLabel(colours.labels), Regression(0.0, 1.0)):
        with refuses(UserError, "--teacher=", colours.title, problem.title):
            found(folder, own("few", problem, ("a", "b")))


def test_numbers_of_another_scale_are_refused(teacher, tmp_path):
    """The smallest and the largest number of two files of one scale are nearly the same."""
    folder = of_own_texts(teacher, tmp_path, own("mine", Regression(0.0, 5.0), ("a", "b")))
    for low, high in ((0.0, 5.0), (0.4, 4.8), (-0.2, 5.2)):
        assert found(folder, own("few", Regression(low, high), ("a", "b"))).outputs == [0]
    for low, high in ((0.0, 1.0), (1.0, 6.0), (0.0, 4.0), (-5.0, 5.0)):
        with refuses(UserError, "--teacher=", "from 0 to 5", f"from {low:g} to {high:g}"):
            found(folder, own("few", Regression(low, high), ("a", "b")))
