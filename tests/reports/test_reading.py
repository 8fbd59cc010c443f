"""Records of run folders -> models."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from messages import refuses
from report_runs import LABELS, changed, read, right
from written_runs import write_export, write_run, write_session

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import predictions
from bert_glue_tf.evaluation.collapse import Mark, Marked
from bert_glue_tf.export.folder import FOLDER
from bert_glue_tf.reports import page, reading, rows, verdicts
from bert_glue_tf.reports.groups import group
from bert_glue_tf.runs.finished import Run


def message(*folders):
    with pytest.raises(UserError) as caught:
        read(*folders)
    return str(caught.value)


def test_a_record_becomes_a_model(tmp_path):
    run = write_run(
        tmp_path / "run", LABELS, right(300), seed=7, pruning_method="classifier_magnitude"
    )
    write_export(run, "float32", LABELS, right(300), milliseconds=10)
    write_export(run, "dynamic_int8", LABELS, right(290))
    write_session(run)
    trained, _, exported = read(run)
    assert (trained.run, trained.recipe, trained.seed) == ("run", "keras", 7)
    assert (trained.method, trained.sparsity, trained.flips) == ("classifier_magnitude", 0.8, None)
    assert trained.primary == 0.75
    assert trained.examples == 400
    assert (trained.milliseconds, trained.speed, trained.session) == (None, None, None)
    assert (exported.run, exported.recipe, exported.flips) == ("run", "dynamic_int8", 3)
    assert exported.primary == 0.725
    assert exported.sparsity == 0.8
    # At the longest length: 8 ms against 20.
    assert (exported.milliseconds, exported.speed) == (8.0, 2.5)
    assert exported.peak_memory_bytes == 123_000_000


def test_a_model_is_judged_on_the_test_split_where_its_task_has_one(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", LABELS, right(340))
    (plain,) = read(run)
    assert reading.on_test_splits(plain) == plain  # MRPC keeps the labels of its test file.
    tested = dataclasses.replace(tasks.get("mrpc"), test_splits={"_test": "test"})
    monkeypatch.setitem(tasks.TASKS, "mrpc", tested)
    with pytest.raises(UserError, match=r"results\.jsonl"):
        reading.on_test_splits(plain)  # It was not scored on it.
    file = run / "results.jsonl"
    record = json.loads(file.read_text())
    record["metrics"] |= {"accuracy_test": 0.5, "f1_test": 0.25}
    record["intervals"] |= {"accuracy_test": [0.4, 0.6]}
    record["data"]["test"] = {**record["data"]["validation"], "examples": 300}
    file.write_text(json.dumps(record) + "\n")
    predictions.write(run / "predictions" / "test.tsv", tested, LABELS[:300], right(150)[:300])
    (trained,) = read(run)
    assert (trained.primary, trained.examples, trained.mark) == (0.85, 400, None)
    model = reading.on_test_splits(trained)
    assert (model.primary, model.score("f1"), model.examples) == (0.5, 0.25, 300)
    assert model.interval == (0.4, 0.6)
    assert model.mark is Mark.AT_CHANCE
    first, second = (group([one])[0] for one in (model, reading.on_test_splits(trained)))
    assert verdicts.compare(first, second).examples == 300
    assert verdicts.constant_answer(model, "accuracy") == 0.5


def test_the_networks_of_a_run_are_models_and_each_is_compared_with_the_unpruned(tmp_path):
    write_run(tmp_path / "plain", LABELS, right(300))
    told = {"names": ["0.6", "0.2"], "bytes": {}}
    run = write_run(
        tmp_path / "run", LABELS, right(290), pruning_method="shared", size="0.2", sizes=told
    )
    smaller = write_run(
        run / "sizes" / "0.6", LABELS, right(200), pruning_method="shared", size="0.6"
    )
    write_export(smaller, "float32", LABELS, right(200))
    models = read(tmp_path / "plain", run)
    assert [(one.run, one.recipe, one.size) for one in models] == [
        ("plain", "keras", ""),
        ("run", "keras", "0.2"),
        ("run/sizes/0.6", "keras", "0.6"),
        ("run/sizes/0.6", "float32", "0.6"),
    ]
    assert len({one.key() for one in models}) == 4
    found = {one.what: one for one in verdicts.differences(models) if "keras" in one.what}
    assert [round(one.difference.mean, 3) for one in found.values()] == [-0.025, -0.25]
    assert all(f"size {name}" in what for name, what in zip(("0.2", "0.6"), found, strict=True))
    # A run that is not finished has no sizes, though some of them may be.
    (run / "results.jsonl").unlink()
    assert [one.run for one in read(tmp_path / "plain", run)] == ["plain"]


def test_the_last_record_of_a_run_counts(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300))
    earlier = (run / "results.jsonl").read_text()
    later = json.loads(earlier)
    later["metrics"]["accuracy"] = 0.5
    (run / "results.jsonl").write_text(earlier + json.dumps(later) + "\n")
    assert read(run)[0].primary == 0.5


def test_a_file_that_is_gone_or_cut_is_no_model(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300))
    for recipe in ("float32", "int8", "int4"):
        folder = write_export(run, recipe, LABELS, right(300))
    folder.model("int8").unlink()
    folder.model("int4").write_bytes(b"cut")
    assert [model.recipe for model in read(run)] == ["keras", "float32"]


def test_folders_without_a_record_are_left_out_with_a_line(tmp_path, caplog):
    run = write_run(tmp_path / "b", LABELS, right(300))
    (tmp_path / "a").mkdir()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "results.jsonl").write_text("")
    (tmp_path / "file").write_text("")
    found = read(*(tmp_path / name for name in ("a", "b", "c", "file", "none")))
    assert [model.run for model in found] == [run.name]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / name}: no record in it (results.jsonl), left out" for name in "ac"
    ]


def test_of_a_folder_with_runs_in_it_these_are_named(tmp_path, caplog):
    run = write_run(tmp_path / "whole", LABELS, right(300))
    compressed = tmp_path / "compressed"
    write_run(compressed / "again", LABELS, right(300))
    write_run(compressed / "searched-int4", LABELS, right(300))
    (compressed / "outcomes.jsonl").write_text("{}\n")
    assert [model.run for model in read(run, compressed)] == [run.name]
    (record,) = caplog.records
    hint = f"left out; --runs='{compressed}/*' takes the runs in it"
    assert record.getMessage().endswith(hint)
    with refuses(UserError, f"--run={compressed}: no run", "those in it: again, searched-int4"):
        Run.read(compressed)


def test_no_record_at_all(tmp_path):
    (tmp_path / "a").mkdir()
    assert message(tmp_path / "a", tmp_path / "none").startswith(
        "--runs: 1 folder(s), none with a finished run. Give folders of the train command"
    )


def test_a_damaged_record_is_named_with_its_line(tmp_path):
    write_run(tmp_path / "a", LABELS, right(300))
    run = write_run(tmp_path / "b", LABELS, right(300))
    file = run / "results.jsonl"
    file.write_text(file.read_text() + "{}\n")
    assert message(tmp_path / "a", run).startswith(f"{file}:2: no record of a run")
    file.write_bytes(b"\xff\xfe")
    assert message(tmp_path / "a", run).startswith(f"{file}: not a readable file of results")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"config": {}}, "its record has not the settings of a run (the setting task is missing)"),
        ({"config": {"task": "x"}}, "its record has not the settings of a run (--task=x: no such"),
        (
            {"config": {"task": "mrpc", "epochs": -1}},
            "its record has not the settings of a run (--e",
        ),
        ({"data": {}}, "its record lacks something, or holds something else (KeyError('validatio"),
        ({"encoder": {}}, "its record lacks something, or holds something else (KeyError('name'"),
    ],
)
def test_a_record_that_lacks_something(tmp_path, values, told):
    file = changed(write_run(tmp_path / "run", LABELS, right(300)), **values)
    assert message(tmp_path / "run").startswith(f"{file}: {told}")


def test_a_setting_of_a_later_version_is_passed_over(tmp_path):
    changed(write_run(tmp_path / "run", LABELS, right(300)), config={"task": "mrpc", "colour": 1})
    assert "colour" not in read(tmp_path / "run")[0].config


def test_a_run_of_a_method_that_is_not_installed_is_read_and_shown_by_its_name(tmp_path):
    settings = {"pruning_method": "mine", "pruning_options": "rounds=3", "final_sparsity": 0.5}
    write_run(tmp_path / "1", LABELS, right(300), **settings)
    write_run(tmp_path / "2", LABELS, right(300), **{**settings, "pruning_options": "rounds=4"})
    both = {"pruning_method": "attention_head,mine", "pruning_options": "mine.final_sparsity=0.3"}
    write_run(tmp_path / "3", LABELS, right(300), **both)
    models = read(*sorted(tmp_path.iterdir()))
    assert [one.name for one in group(models)] == [
        "pruned: mine 50 % (rounds=3)",
        "pruned: mine 50 % (rounds=4)",
        "pruned: attention_head 80 %, mine 30 %",
    ]
    assert [model.pruned.part for model in models] == [
        *["the weights of what mine may prune"] * 2,
        "the weights of all attention heads and what mine may prune",
    ]
    assert "mine" in page.page(group(models), verdicts.differences(models))


@pytest.mark.parametrize("kind", ["keras", "float32"])
def test_marks_are_those_of_the_record_and_of_its_predictions_where_it_is_older(tmp_path, kind):
    run = write_run(tmp_path / "run", LABELS, right(208))
    write_export(run, "float32", LABELS, right(208))
    file = run / "results.jsonl" if kind == "keras" else run / FOLDER / "results.jsonl"
    values = json.loads(file.read_text())

    def marked(**others):
        file.write_text(json.dumps({**values, "collapsed": "", **others}) + "\n")
        return {model.recipe: model for model in read(run)}[kind].marked

    assert marked(at_chance="as it says") == Marked("", "as it says")
    assert marked(collapsed="as it says", at_chance="") == Marked("as it says")
    assert marked(at_chance="") == Marked()
    del values["at_chance"]  # As before there was the mark.
    assert marked().at_chance.startswith("accuracy 0.520 is not above chance (0.500) by")


def test_predictions_that_are_gone(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300))
    pruned = write_run(tmp_path / "pruned", LABELS, right(300), pruning_method="magnitude")
    gone = pruned / "predictions" / "validation.tsv"
    gone.unlink()
    with pytest.raises(UserError) as caught:
        verdicts.differences(read(run, pruned))
    assert str(caught.value).startswith(f"{gone}: not the predictions of a run")


def test_a_history_that_is_none(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300))
    (run / "history.csv").write_text("epoch,loss\nfirst,0.5\n")
    assert message(run).startswith(f"{run}/history.csv: not the history of a run (ValueError(")


def test_folders_of_the_same_name_are_told_apart(tmp_path):
    for parent, seed in (("x", 1), ("y", 2)):
        write_run(tmp_path / parent / "run", LABELS, right(300), seed=seed)
    models = read(tmp_path / "x" / "run", tmp_path / "y" / "run", tmp_path / "x" / ".." / "x/run")
    assert [model.run for model in models] == [f"{tmp_path}/x/run", f"{tmp_path}/y/run"]
    text = page.page(group(models), [])
    assert f"<h3>{tmp_path}/x/run</h3>" in text
    assert f"<h3>{tmp_path}/y/run</h3>" in text
    assert "2 models of 2 runs" in text


def test_the_score_of_mnli_is_the_mean_of_its_splits(mnli):
    (model,) = mnli
    assert model.primary == pytest.approx((0.9 + 0.7) / 2)
    assert model.examples == 600
    ends = [model.intervals[f"accuracy{suffix}"] for suffix in ("_matched", "_mismatched")]
    assert model.interval == pytest.approx(np.mean(ends, axis=0))
    (row,) = rows.models(mnli).texts()
    assert row["95 % interval"] == f"{model.interval[0]:.3f} to {model.interval[1]:.3f}"
