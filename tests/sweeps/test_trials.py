"""A search: trials that Optuna proposes, stopped by each epoch's metric, in one journal."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import written_runs
from messages import refuses

from bert_glue_tf.core import progress, records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs import history, results
from bert_glue_tf.sweeps import table
from bert_glue_tf.sweeps.executors import base
from bert_glue_tf.sweeps.trials import journal, search, shown, space

optuna = pytest.importorskip("optuna")
GIVEN = {"task": "sst2", "data": "sample", "encoder": "minilm_l6", "epochs": "3"}
SPACE = "learning_rate=log(1e-5,1e-3);batch_size=8..64;keep=last,best"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "--search="),
        ("learning_rate", "'learning_rate'"),
        ("learning_rat=0.1..0.2", "Did you mean learning_rate"),
        ("seed=1;seed=2", "seed"),
        ("learning_rate=log(0,1)", "'log(0,1)'"),
        ("learning_rate=2..1", "'2..1'"),
        ("learning_rate=a..b", "'a..b'"),
        ("learning_rate=1..inf", "'1..inf'"),
        ("batch_size=1.5..3", "whole numbers"),
        ("keep=1..2", "keep"),
        ("keep=(last", "parentheses"),
        ("task=cola,sst2", "task"),
    ],
)
def test_a_space_that_cannot_be_read_is_refused(text, named):
    with refuses(UserError, f"--search={text}", named):
        space.parse(text)


def test_a_space_is_read_and_its_ends_have_to_be_settings():
    found = space.parse(SPACE)
    assert found == {
        "learning_rate": space.Range(1e-5, 1e-3, True, False),
        "batch_size": space.Range(8, 64, False, True),
        "keep": space.Choice(("last", "best")),
    }
    assert [one.text for one in found.values()] == ["log(1e-05,0.001)", "8..64", "last,best"]
    assert space.check(GIVEN, found).batch_size == 8
    with refuses(UserError, "--keep=worst"):
        space.check(GIVEN, space.parse("keep=last,worst"))
    with refuses(UserError, "--final_sparsity=1.5"):
        space.check({**GIVEN, "prune": "true"}, space.parse("final_sparsity=0.5..1.5"))


class Here(base.Executor):
    """Runs that end in this process: an epoch at each look, and a value that the settings give."""

    workers = 1

    def __init__(self, template, value, epochs=3):
        self.template, self.value, self.epochs = template, value, epochs
        self.begun, self.stopped, self.jobs = [], [], []

    def check(self, tasks):
        pass

    def begin(self, task):
        record = task.record()
        if record is not None:
            return base.Finished(record)
        task.folder.path.mkdir(parents=True, exist_ok=True)
        self.begun.append(task.name)
        self.jobs.append(Epochs(task, self))
        return self.jobs[-1]

    def collect(self, job):
        run, value = job.task, self.value(job.task.config)
        if value is None:
            return base.Failed("a defect")
        record = dataclasses.replace(
            self.template, config=run.config.to_json(), metrics={"accuracy": value}
        )
        records.append(run.folder.results_file, record)
        return base.Finished(record, 1.0)

    def stop(self, jobs):
        self.stopped += [job.task.name for job in jobs]

    def close(self):
        pass


class Epochs(base.Job):
    """A run whose metric rises to its value."""

    def __init__(self, task, executor):
        self.task, self.executor, self.epoch = task, executor, 0

    def seconds(self):
        return 0.0

    def is_over(self):
        self.epoch += 1
        value = self.executor.value(self.task.config) or 0.0
        rows = [
            {"epoch": epoch + 1, "val_accuracy": value * (epoch + 1) / self.executor.epochs}
            for epoch in range(min(self.epoch, self.executor.epochs))
        ]
        history.write_history(self.task.folder.history_file, rows)
        return self.epoch > self.executor.epochs


@pytest.fixture
def template(tmp_path):
    labels = np.array([0, 1] * 4)
    folder = tmp_path / "template"
    written_runs.write_run(folder, labels, written_runs.wrong_at(labels, [0]), task="sst2")
    return results.load(folder / "results.jsonl")[-1]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Nothing is waited for."""
    monkeypatch.setattr("bert_glue_tf.sweeps.sweep._TICK", 0.0)
    monkeypatch.setattr(search, "_LOOK", 0.0)
    # The encoder and the data of these runs are never used.
    monkeypatch.setattr("bert_glue_tf.sweeps.plan.check", lambda runs: None)


def made(root, executor, trials, text=SPACE, **options):
    parsed = space.parse(text)
    one = space.check(GIVEN, parsed)
    opened = journal.Journal.open(root, one, GIVEN, parsed, **options)
    return search.Search(opened, one, root, GIVEN, parsed, trials, executor)


def by_rate(config):
    """A metric that is best at a rate of 1e-4."""
    return 1 - abs(math.log10(config.learning_rate) + 4) / 4


def states(found):
    return [one.state.name for one in found.journal.trials()]


def test_a_search_goes_on_where_it_was_and_its_page_has_history_and_importance(tmp_path, template):
    first = Here(template, by_rate)
    made(tmp_path, first, 6, pruner="none").run()
    assert len(first.begun) == 6
    second = Here(template, by_rate)
    found = made(tmp_path, second, 12, pruner="none")
    found.run()
    assert len(second.begun) == 6
    assert not set(first.begun) & set(second.begun)
    assert states(found) == ["COMPLETE"] * 12
    third = Here(template, by_rate)
    made(tmp_path, third, 12, pruner="none").run()
    assert third.begun == []
    rows = shown.rows(found)
    values = [float(row["accuracy"]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert [row["state"] for row in rows] == ["best"] + ["finished"] * 11
    assert {row["run"] for row in rows} == {*first.begun, *second.begun}
    importance = journal.importance(found.journal.study)
    assert next(iter(importance)) == "learning_rate"
    assert sum(importance.values()) == pytest.approx(1)
    shown.write(found, "python -m bert_glue_tf.sweep --search=...")
    page = found.journal.page.read_text()
    assert page.count('<circle class="mark"') == 12
    assert f"trial {rows[0]['trial']} ({rows[0]['run']})" in page
    assert f"learning_rate {importance['learning_rate']:.0%}".replace("%", " %") in page
    # Other settings or another space are another search.
    assert made(tmp_path, first, 1, "seed=1..9").journal.path != found.journal.path


def test_a_hopeless_trial_is_stopped_and_marked_and_not_begun_again(tmp_path, template):
    def value(config):  # The first four are good, and a pruner by the median waits for them.
        good.setdefault(config.run_name, len(good) < 4)
        return 0.9 if good[config.run_name] else 0.1

    good = {}
    executor = Here(template, value)
    found = made(tmp_path, executor, 6)
    found.run()
    assert states(found) == ["COMPLETE"] * 4 + ["PRUNED"] * 2
    stopped = [one.user_attrs["run"] for one in found.journal.trials()[4:]]
    assert executor.stopped[:2] == stopped
    told = [row["state"] for row in shown.rows(found)]
    assert told[4:] == ["stopped after epoch 1 of 3"] * 2
    again = Here(template, value)
    made(tmp_path, again, 6).run()
    assert again.begun == []


def test_a_trial_that_fails_is_tried_again_and_one_that_diverges_is_not(tmp_path, template):
    found = made(tmp_path, Here(template, lambda config: None), 2)
    found.run()
    assert len(found.sweep.failures) == 2
    assert [row["state"] for row in shown.rows(found)] == ["FAILED: a defect"] * 2
    executor = Here(template, lambda config: math.nan)
    found = made(tmp_path, executor, 2)
    found.run()
    assert len(executor.begun) == 2
    assert states(found) == ["FAIL"] * 2
    assert "not a number" in shown.rows(found)[0]["state"]
    assert shown.history(found) is None
    with refuses(UserError, "all 2 trial(s)", "accuracy is not a number"):
        found.require_result()
    again = Here(template, by_rate)
    made(tmp_path, again, 2).run()
    assert again.begun == []
    # What diverged once does not end a search: the fifth trial is good.
    some = Here(template, lambda config: 0.5 if len(some.begun) > 4 else math.nan)
    found = made(tmp_path, some, 5, "seed=1..99")
    found.run()
    assert states(found) == ["FAIL"] * 4 + ["COMPLETE"]
    assert len(found.sweep.failures) == 4
    found.require_result()


def test_a_trial_that_diverges_on_the_way_has_failed_where_the_pruner_stops_it(tmp_path, template):
    executor = Here(template, lambda config: math.nan)
    found = made(tmp_path, executor, 2, pruner="hyperband")
    found.run()
    assert states(found) == ["FAIL"] * 2
    assert {job.epoch for job in executor.jobs} <= {1, 2}
    assert "not a number" in shown.rows(found)[0]["state"]


def cannot_be_had(*encoders):
    def check(runs):
        for run in runs:
            if run.config.encoder in encoders:
                raise UserError(f"--encoder={run.config.encoder}: cannot be reached.")

    return check


def test_a_trial_whose_encoder_cannot_be_had_has_failed_and_the_search_goes_on(
    tmp_path, template, monkeypatch
):
    monkeypatch.setattr(
        "bert_glue_tf.sweeps.plan.check",
        cannot_be_had("mobilebert"),
    )
    text = "encoder=mobilebert,minilm_l6;seed=1..9"
    executor = Here(template, lambda config: config.seed / 10)
    found = made(tmp_path, executor, 6, text)
    found.journal.study.enqueue_trial({"encoder": "mobilebert", "seed": 1})
    found.journal.study.enqueue_trial({"encoder": "minilm_l6", "seed": 1})
    found.run()
    rows = {row["trial"]: row for row in shown.rows(found)}
    assert rows["0"]["state"] == "FAILED: --encoder=mobilebert: cannot be reached."
    assert rows["1"]["state"] in ("best", "finished")
    bad = {row["run"] for row in rows.values() if row["encoder"] == "mobilebert"}
    assert set(found.sweep.failures) == bad
    assert not bad & set(executor.begun)
    found.require_result()
    # Where it can be had, the same command runs what had failed.
    monkeypatch.setattr("bert_glue_tf.sweeps.plan.check", cannot_be_had())
    again = made(tmp_path, Here(template, lambda config: config.seed / 10), 6, text)
    again.run()
    assert states(again) == ["COMPLETE"] * 6
    assert again.sweep.failures == {}


def test_a_search_ends_when_all_trials_fail_in_one_way_and_gets_further_each_time(
    tmp_path, template, monkeypatch
):
    monkeypatch.setattr("bert_glue_tf.sweeps.plan.check", cannot_be_had("mobilebert"))
    text = "encoder=mobilebert,minilm_l6;seed=1..999"
    found = made(tmp_path, Here(template, by_rate), 40, text)
    for number in range(3):
        found.journal.study.enqueue_trial({"encoder": "mobilebert", "seed": number + 1})
    found.run()
    assert states(found) == ["RUNNING"] * 3
    with refuses(UserError, "all 3 trial(s)", "--encoder=mobilebert: cannot be reached."):
        found.require_result()
    found = made(tmp_path, Here(template, by_rate), 5, text)
    found.journal.study.enqueue_trial({"encoder": "minilm_l6", "seed": 4})
    found.run()
    assert states(found)[3] == "COMPLETE"
    found.require_result()
    # Runs that fail in their processes, too.
    failing = Here(template, lambda config: None)
    found = made(tmp_path, failing, 40, "seed=1..99")
    found.run()
    assert len(failing.begun) == 3
    with refuses(UserError, "all 3 trial(s)", "a defect"):
        found.require_result()


def test_what_all_trials_need_is_checked_before_the_first_is_asked_for(
    tmp_path, template, monkeypatch
):
    monkeypatch.setattr("bert_glue_tf.sweeps.plan.check", cannot_be_had("minilm_l6"))
    found = made(tmp_path, Here(template, by_rate), 4, "seed=1..9")
    with pytest.raises(UserError, match="--encoder=minilm_l6"):
        found.run()
    assert states(found) == []


def test_a_trial_whose_settings_do_not_fit_has_failed_and_the_search_goes_on(tmp_path, template):
    text = "pruning_method=magnitude,attention_head;quantize_aware=int8,int4"
    found = made(tmp_path, Here(template, by_rate), 8, text, sampler="random")
    # The first trial is one that an earlier process has left open.
    queued = {"pruning_method": "attention_head", "quantize_aware": "int4"}
    found.journal.study.enqueue_trial(queued)
    opened = found.journal.ask()
    found.run()
    trials = found.journal.trials()
    assert len(trials) == 8
    bad = [one for one in trials if one.params == queued]
    assert [one.number for one in bad][:1] == [opened.number]
    assert {one.state.name for one in bad} == {"FAIL"}
    assert {one.state.name for one in trials if one not in bad} == {"COMPLETE"}
    assert set(found.sweep.failures) == {f"trial {one.number}" for one in bad}
    assert "FAILED: --quantize_aware=int4" in shown.rows(found)[-1]["state"]
    told = table.told_failures(found.sweep.runs, found.sweep.failures)
    assert told[0] == "FAILED: trial 0"
    assert "--pruning_method=attention_head" in told[1]


def test_a_search_whose_trials_would_all_fail_is_refused():
    with refuses(UserError, "--pruning_method=attention_head"):
        space.check(
            {**GIVEN, "quantize_aware": "int4"}, space.parse("pruning_method=attention_head,neuron")
        )


def test_settings_that_come_again_are_told_what_their_run_has_come_to(tmp_path, template):
    executor = Here(template, by_rate)
    found = made(tmp_path, executor, 6, "keep=last,best", sampler="random")
    found.run()
    assert len(executor.begun) == 2
    assert states(found) == ["COMPLETE"] * 6
    assert len(shown.rows(found)) == 6


def test_a_search_waits_where_no_worker_has_a_place(tmp_path, template, monkeypatch):
    class Late(Here):
        looks = 0

        @property
        def workers(self):
            self.looks += 1
            return int(self.looks > 20)

    executor = Late(template, by_rate)
    found = made(tmp_path, executor, 2)
    found.run()
    assert states(found) == ["COMPLETE"] * 2


def test_a_journal_that_was_cut_short_is_read_to_its_last_whole_line(tmp_path, template):
    found = made(tmp_path, Here(template, by_rate), 2)
    found.run()
    with found.journal.path.open("a") as file:
        file.write('{"op_code": 4, "wor')
    again = made(tmp_path, Here(template, by_rate), 3)
    again.run()
    assert states(again) == ["COMPLETE"] * 3


def test_what_another_process_has_stopped_is_dropped(tmp_path, template):
    executor = Here(template, by_rate)
    first = made(tmp_path, executor, 1)
    trial = first.journal.ask()
    config = first.config_of(trial)
    second = made(tmp_path, executor, 1)
    second._add(next(second.journal.begun()))
    first.journal.tell(trial.number, None, why="stopped after epoch 1 of 3")
    second._compare(None)
    assert second.sweep.missing() == []
    assert config.run_name not in executor.begun


def test_a_pruner_that_would_see_no_epoch_is_refused():
    storage = "gs://bucket/runs"
    with refuses(UserError, f"--storage={storage}", "--pruner=median", "--pruner=none"):
        journal.check_pruner("median", storage)
    journal.check_pruner("none", storage)
    journal.check_pruner("median", "")


def test_an_epoch_of_a_trial_that_another_process_has_ended_stops_its_run(tmp_path, template):
    executor = Here(template, by_rate)
    first = made(tmp_path, executor, 1)
    trial = first.journal.ask()
    first._add(trial)
    (run,) = first.sweep.missing()
    run.folder.path.mkdir(parents=True)
    history.write_history(run.folder.history_file, [{"epoch": 1, "val_accuracy": 0.5}])
    second = made(tmp_path, executor, 1)
    before = first.journal.trials()  # As of a look before the other process has ended it.
    second.journal.tell(trial.number, None, why="stopped after epoch 1 of 3")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(journal.Journal, "trials", lambda self: before)
        first._compare(progress.Bar(1, "sweep"))
    first._compare(progress.Bar(1, "sweep"))
    assert first.sweep.missing() == []


def test_without_optuna_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with refuses(UserError, "--search", "[search]"):
        journal.require()
