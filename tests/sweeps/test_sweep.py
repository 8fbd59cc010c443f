"""A grid of runs: each once, whoever is killed, and all from the same starting points."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import types

import numpy as np
import pytest
import tensorflow as tf
import tiny_bert
import written_runs
from absl import flags
from messages import refused, refuses
from slow_fixtures import slow_to_make

from bert_glue_tf.core import progress
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import predictions
from bert_glue_tf.models import loading
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.reports import reading
from bert_glue_tf.runs import command_line
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import BusyError, RunFolder
from bert_glue_tf.sweeps import grid as grids
from bert_glue_tf.sweeps import plan, table
from bert_glue_tf.sweeps.executors.local import LocalExecutor
from bert_glue_tf.sweeps.sweep import Sweep
from bert_glue_tf.sweeps.trials import space
from bert_glue_tf.training import callbacks, experiment, loop, needed, starting_point
from bert_glue_tf.training.job import Job


def lines_of(path: pathlib.Path) -> list[str]:
    return (path / "results.jsonl").read_text().splitlines()


# The starting point.


@pytest.fixture(scope="module")
def settings(tiny_encoder, tiny_glue):
    return ExperimentConfig(
        task="sst2",
        encoder=tiny_encoder,
        data=str(tiny_glue),
        epochs=1,
        finetune_epochs=3,
        batch_size=8,
        learning_rate=1e-2,
        weight_decay=0.0,
        dropout=0.0,
        encoder_dropout=0.0,
        seq_length=32,
        pruning_method="classifier_magnitude",
        seed=5,
    )


@pytest.fixture(scope="module")
@slow_to_make
def started(settings, tmp_path_factory):
    """The folder of a finished run with a starting point, and its scores before training."""
    folder = RunFolder.open(tmp_path_factory.mktemp("started") / settings.run_name, settings)
    return folder, scores_before_training(settings, folder)


def scores_before_training(config, folder):
    """Runs it, and returns what the model of the run itself scored when `fit` was entered."""
    seen = []

    def fit(*arguments):
        (validate,) = (one for one in arguments[-1] if isinstance(one, callbacks.Validate))
        seen.append(dict(validate._evaluate()))
        return original(*arguments)

    original = loop._fit
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "_fit", fit)
        experiment.train_and_evaluate(config, folder)
    return seen[-1]  # The starting point's own training, where there was one, came first.


def start_of(folder):
    return RunFolder(
        folder.path.parent / folder.config.starting_point.run_name, folder.config.starting_point
    )


def test_a_run_starts_from_the_weights_of_its_starting_point(started, settings):
    folder, before = started
    start = start_of(folder)
    record = start.record()
    assert record.config["epochs"] == 3
    assert record.config["pruning_method"] == "none"
    # Learned, so that equal scores say something: an untrained model is at chance (0.5).
    assert record.metrics["accuracy"] > 0.7
    assert before == pytest.approx(record.metrics, abs=1e-6)
    assert folder.record().encoder["starting_point"] == {
        "run": start.path.name,
        "metrics": record.metrics,
    }
    assert "starting_point" not in record.encoder


def test_two_runs_share_one_starting_point(started, settings):
    folder, _ = started
    start = start_of(folder)
    before = {path: path.stat().st_mtime_ns for path in start.path.rglob("*")}
    other = dataclasses.replace(settings, final_sparsity=0.5)
    assert other.starting_point == settings.starting_point
    beside = RunFolder.open(folder.path.parent / other.run_name, other)
    scores = scores_before_training(other, beside)
    assert scores == pytest.approx(start.record().metrics, abs=1e-6)
    assert {path: path.stat().st_mtime_ns for path in start.path.rglob("*")} == before
    assert len(lines_of(start.path)) == 1


def test_a_starting_point_of_other_data_is_refused(settings, tiny_glue, tmp_path):
    source = shutil.copytree(tiny_glue, tmp_path / "glue")
    config = dataclasses.replace(settings, data=str(source), finetune_epochs=1)
    folder = RunFolder.open(tmp_path / "runs" / config.run_name, config)
    experiment.train_and_evaluate(config.starting_point, open_start(folder))
    file = source / "SST-2" / "train.tsv"
    rows = file.read_text().splitlines()
    file.write_text("\n".join([*rows[:-1], "a good book\t1"]) + "\n")
    start = start_of(folder).path
    with refuses(UserError, "--finetune_epochs=1", f"--workdir={start}", "train data", "sha256"):
        experiment.train_and_evaluate(config, folder)
    assert folder.record() is None


def open_start(folder):
    start = start_of(folder)
    return RunFolder.open(start.path, start.config)


def test_a_saved_model_encoder_starts_from_the_weights_too(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "load", load_saved_model)
    config = dataclasses.replace(settings, encoder_dropout=-1.0, finetune_epochs=2)
    folder = RunFolder.open(tmp_path / config.run_name, config)
    before = scores_before_training(config, folder)
    record = start_of(folder).record()
    assert record.encoder["family"] == "saved_model"
    assert before == pytest.approx(record.metrics, abs=1e-6)


def load_saved_model(source, **arguments):
    return original_load(source, **{**arguments, "family": "saved_model"})


original_load = loading.load


def test_a_model_of_other_variables_is_no_starting_point(started):
    folder, _ = started
    shapes = tiny_bert.architecture(layers=2)  # The starting point has one.
    layer = build_encoder(shapes, tiny_bert.weights(shapes).__getitem__)
    for backbone in (tiny_bert.backbone(layer, shapes), tiny_bert.saved_model_backbone(layer)):
        with refuses(UserError, start_of(folder).model, "variables"):
            backbone.start_from(start_of(folder).model, classes=2)


def test_a_run_waits_for_a_starting_point_that_another_process_runs(
    started, settings, tmp_path, monkeypatch, caplog
):
    source, _ = started
    folder = RunFolder(tmp_path / settings.run_name, settings)
    start = start_of(folder)
    other = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import json, pathlib, sys, time\n"
            "from bert_glue_tf.runs.config import ExperimentConfig\n"
            "from bert_glue_tf.runs.run_folder import RunFolder\n"
            "config = ExperimentConfig.from_json(json.loads(sys.argv[2]))\n"
            "RunFolder.open(pathlib.Path(sys.argv[1]), config)\n"
            "print('open', flush=True)\n"
            "time.sleep(60)\n",
            str(start.path),
            json.dumps(start.config.to_json()),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert other.stdout.readline() == b"open\n"
        looked = []

        def look(seconds):
            looked.append(seconds)
            if len(looked) == 3:  # The other dies, and this one takes over.
                other.kill()
                other.wait()

        ran = []

        def run(config, opened):
            ran.append((config, opened.path))
            shutil.copytree(start_of(source).path, opened.path, dirs_exist_ok=True)

        monkeypatch.setattr(needed, "time", types.SimpleNamespace(sleep=look))
        job = Job(settings, folder, tf.distribute.get_strategy())
        with caplog.at_level(logging.INFO, "absl"):
            (finished,) = needed.finish_all(job, rehearse=lambda: None, train=run)
        assert finished == start
        assert starting_point.find(job, [finished]) == start
        assert len(looked) >= 3
        assert ran == [(start.config, start.path)]
        assert caplog.text.count("which another process is running") == 1
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


# The grid.


def test_a_grid_is_read_with_values_that_hold_commas():
    text = "final_sparsity=0.1, 0.5,0.5; pruning_weights=(key|query)(x),(a,b);seed=1"
    assert grids.parse_grid(text) == {
        "final_sparsity": ("0.1", "0.5"),
        "pruning_weights": ("(key|query)(x)", "a,b"),
        "seed": ("1",),
    }
    assert grids.parse_grid("") == {}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            "seeds=1",
            "'seeds'. Did you mean seed?",
        ),
        ("workdir=a", "'workdir'"),
        ("seed", "'seed'"),
        ("seed=1;seed=2", "seed"),
        ("pruning_method=(attention_head,classifier_magnitude", "parentheses"),
        ("pruning_method=attention_head),classifier_magnitude", "parentheses"),
        ("epochs=1,many", "--epochs=many"),
        ("prune=perhaps", "--prune=perhaps"),
        ("final_sparsity=0.5,80", "--final_sparsity=80.0"),
        (
            "ranking=local,best",
            "--ranking=best",
        ),
    ],
)
def test_a_bad_grid_is_refused_by_name_with_the_good_values(text, named):
    with refuses(UserError, named):
        grids.configurations({"prune": "true"}, grids.parse_grid(text))


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        ({"pruning_options": ["rounds=3"]}, ("'rounds'", "classifier_magnitude")),
        ({"pruning_method": ["classifier_magnitude", "least"]}, ("--pruning_method=least",)),
    ],
)
def test_settings_that_no_method_takes_are_refused_but_of_a_finished_run(tmp_path, chosen, named):
    grid = {"seed": ["1", "2"], **chosen}
    runs = plan.plan(grids.configurations({"prune": "true"}, grid), tmp_path)
    with refuses(UserError, *named):
        plan.check_methods(runs)
    labels = np.array([0, 1] * 4)
    for run in runs:
        settings = run.config.to_json()
        written_runs.write_run(
            run.folder.path, labels, written_runs.wrong_at(labels, [0]), **settings
        )
    plan.check_methods(Sweep(runs).missing())


def configurations(grid, **given):
    return grids.configurations(given, grids.parse_grid(grid))


def test_the_runs_are_those_of_the_train_command():
    found = configurations("final_sparsity=0.1,0.3;seed=1,2", prune="true", task="mrpc")
    assert found == [
        ExperimentConfig(
            task="mrpc", pruning_method="classifier_magnitude", final_sparsity=sparsity, seed=seed
        )
        for sparsity in (0.1, 0.3)
        for seed in (1, 2)
    ]
    values = flags.FlagValues()
    command_line.define_flags(values)
    values(["train", "--task=mrpc", "--prune", "--final_sparsity=0.3", "--seed=2"])
    assert found[3] == command_line.from_flags(values)


def test_without_pruning_one_run_stands_for_all_sparsities():
    unpruned = ExperimentConfig()
    pruned = [
        ExperimentConfig(pruning_method="classifier_magnitude", final_sparsity=s)
        for s in (0.1, 0.3)
    ]
    for grid, given in (
        ("pruning_method=none,classifier_magnitude;final_sparsity=0.1,0.3", {}),
        ("pruning_method=none,classifier_magnitude;final_sparsity=0.1,0.3", {"prune": "true"}),
        ("prune=false,true;final_sparsity=0.1,0.3", {}),
        ("prune=f,t;final_sparsity=0.1,0.3", {"pruning_method": "classifier_magnitude"}),
    ):
        assert configurations(grid, **given) == [unpruned, *pruned], (grid, given)
    # The same initial sparsity, computed and given, is one run.
    assert len(configurations("initial_sparsity=-1,0.5", prune="true")) == 1


def test_a_run_shows_no_values_that_mean_nothing_for_it(tmp_path):
    grid = "teacher=,RUN;distill_layers=,uniform;distill_tokens=first,all;distill_weight=0.5,0.9"
    names = ("teacher", "distill_layers", "distill_tokens", "distill_weight")
    runs = plan.plan(configurations(grid), tmp_path, names)
    assert [run.chosen for run in runs] == [
        {"teacher": ""},
        *({"teacher": "RUN", "distill_layers": "", "distill_weight": w} for w in ("0.5", "0.9")),
        *(
            dict(zip(names, ("RUN", "uniform", tokens, weight), strict=True))
            for tokens in ("first", "all")
            for weight in ("0.5", "0.9")
        ),
    ]
    pruned = plan.plan(configurations("prune=false,true;final_sparsity=0.1"), tmp_path)
    assert [plan.chosen_values(run.config, ["final_sparsity"]) for run in pruned] == [
        {},
        {"final_sparsity": "0.1"},
    ]


def test_two_folders_of_one_name_are_refused(tmp_path):
    folders = [tmp_path / name / "glue" for name in "ab"]
    for folder in folders:
        (folder / "CoLA").mkdir(parents=True)
    with refuses(UserError, "--grid", "cola-"):
        configurations(f"data={folders[0]},{folders[1]}")


def test_starting_points_come_first_and_once(tmp_path):
    configs = configurations(
        "pruning_method=none,classifier_magnitude;finetune_epochs=0,2;seed=1,2", epochs="2"
    )
    runs = plan.plan(configs, tmp_path)
    # Unpruned with finetune_epochs=0 and epochs=2 is in the grid, and what the others start from.
    assert [(run.config.seed, run.needs, run.in_grid) for run in runs[:2]] == [
        (1, (), True),
        (2, (), True),
    ]
    assert len(runs) == len(configs) == 8
    names = [run.name for run in runs]
    for run in runs[2:]:
        own = (names[run.config.seed - 1],) if run.config.finetune_epochs else ()
        assert run.needs == own
    (start, run) = plan.plan(configurations("seed=3", finetune_epochs="2"), tmp_path)
    assert (start.in_grid, run.in_grid, run.needs) == (False, True, (start.name,))


# Who runs what. The runs are stood in for by a process that writes a record, so that many
# can be run; it takes the lock and watches its parent as the train command's process does.
PROGRAMS = pathlib.Path(__file__).parents[1] / "programs"
STAND_IN, SWEEP = str(PROGRAMS / "stand_in.py"), str(PROGRAMS / "sweep_of_stand_ins.py")


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """The command of a process that stands in for a run."""
    labels = np.array([0, 1] * 4)
    written = written_runs.write_run(
        tmp_path / "template", labels, written_runs.wrong_at(labels, [0]), task="sst2"
    )
    monkeypatch.setenv("TEMPLATE", str(written / "results.jsonl"))
    return [sys.executable, STAND_IN]


def sst2(root, grid, **given):
    configs = grids.configurations({"task": "sst2", **given}, grids.parse_grid(grid))
    return plan.plan(configs, root)


def begun(root):
    return (root / "begun").read_text().split()


def test_two_sweeps_at_the_same_time_run_nothing_twice(tmp_path, stand_in):
    root = tmp_path / "runs"
    seeds = "seed=" + ",".join(map(str, range(1, 13)))
    command = [sys.executable, SWEEP, str(root), seeds, *stand_in]
    sweeps = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [sweep.communicate(timeout=100) for sweep in sweeps]
    assert [sweep.returncode for sweep in sweeps] == [0, 0], outputs
    runs = sst2(root, seeds)
    assert sorted(begun(root)) == sorted(run.name for run in runs)
    assert [len(lines_of(run.folder.path)) for run in runs] == [1] * 12
    # Each has told of all of them, and both have run some.
    for output, _ in outputs:
        numbers = re.findall(r"^(\d+)/12 sst2-\S+: accuracy 0\.\d{4}, ", output, re.MULTILINE)
        assert numbers == [str(number) for number in range(1, 13)]
        assert 0 < output.count(" s; ") + output.count(" s\n") < 12


def test_a_run_that_fails_stops_no_other_and_is_told_with_its_message(tmp_path, stand_in, capsys):
    root = tmp_path / "runs"
    runs = sst2(root, "seed=13,1,14,15,2")
    sweep = Sweep(runs, LocalExecutor(1, stand_in))
    sweep.run()
    names = {run.config.seed: run.name for run in runs}
    assert sweep.failures == {
        names[13]: "--seed=13: unlucky.\nTake another.",
        names[14]: "exit status 1: ValueError: a defect",
        names[15]: "its process was killed (SIGKILL); the same command goes on with it",
    }
    assert sorted(sweep.records) == sorted([names[1], names[2]])
    printed = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"1/5 {names[13]}: FAILED: --seed=13: unlucky\.", printed[0])
    assert re.fullmatch(rf"2/5 {names[1]}: accuracy 0\.0100, \d s; about \d+ s left", printed[1])
    assert re.fullmatch(rf"5/5 {names[2]}: accuracy 0\.0200, \d s", printed[4])
    told = table.told_failures(runs, sweep.failures)
    assert told[:2] == [
        f"FAILED: {names[13]} (log: {root}/{names[13]}.log)",
        "  --seed=13: unlucky.\n  Take another.",
    ]
    (row,) = table.table(runs, sweep.records, sweep.failures, ["seed"])
    assert row == {
        "metric": "accuracy",
        "mean": "0.0150",
        "range": "0.0100 to 0.0200",
        "seeds": "1, 2",
        "failed": "seed 13, seed 14, seed 15",
    }
    first = names[1]
    one = sweep.records[first]
    # A score that is not above chance is a warning, and no collapse.
    told = {**sweep.records, first: dataclasses.replace(one, warnings=("w",), at_chance="weak")}
    (row,) = table.table(runs, told, sweep.failures, ["seed"])
    assert row["mean"] == "0.0150"
    told = {**sweep.records, first: dataclasses.replace(one, warnings=("w",), collapsed="one")}
    (row,) = table.table(runs, told, sweep.failures, ["seed"])
    assert row["mean"] == "0.0150 COLLAPSED (1 of 2)"
    # One that is older than the mark has that of its predictions.
    task = tasks.get("sst2")
    answers = np.tile(np.float32([1.0, 0.0]), (8, 1))
    folder = next(run.folder.path for run in runs if run.name == first)
    predictions.write(folder / "predictions" / "validation.tsv", task, np.arange(8) % 2, answers)
    older = {**sweep.records, first: dataclasses.replace(one, collapsed=None, at_chance=None)}
    (row,) = table.table(runs, older, sweep.failures, ["seed"])
    assert row["mean"] == "0.0150 COLLAPSED (1 of 2)"
    of_grid = [dataclasses.replace(run, chosen={"epochs": "2", "seed": "1"}) for run in runs]
    assert f"Warning: {first} (epochs=2): w." in table.notes(told, of_grid)
    # A new sweep tries what has failed again, and only that.
    Sweep(runs, LocalExecutor(1, stand_in)).run()
    assert sorted(begun(root)) == sorted([*names.values(), names[13], names[14], names[15]])


def test_what_starts_from_a_run_that_failed_is_not_run(tmp_path, stand_in):
    runs = sst2(tmp_path, "finetune_epochs=1;seed=13,1;prune=true")
    sweep = Sweep(runs, LocalExecutor(2, stand_in))
    sweep.run()
    failed = {run.name: run for run in runs if run.config.seed == 13}
    ((start,),) = (run.needs for run in failed.values() if run.needs)
    (pruned,) = set(failed) - {start}
    assert sweep.failures[pruned] == f"not run, since its starting point {start} failed"
    assert pruned not in begun(tmp_path)
    assert len(sweep.records) == 2
    # The starting point of the other was first, its table row is the pruned run's alone.
    order = begun(tmp_path)
    (good,) = (run for run in runs if run.config.seed == 1 and run.needs)
    assert order.index(good.needs[0]) < order.index(good.name)
    (row,) = table.table(runs, sweep.records, sweep.failures, ["finetune_epochs", "seed"])
    assert (row["seeds"], row["failed"], row["range"]) == ("1", "seed 13", "")


def test_a_sweep_comes_back_to_a_run_that_was_busy(tmp_path, stand_in, caplog):
    runs = sst2(tmp_path, "seed=1,2")
    first = runs[0].folder
    lock = RunFolder.open(first.path, first.config).hand_over()
    sweep = Sweep(runs, LocalExecutor(1, stand_in))
    timer = threading.Timer(4.0, os.close, [lock])
    timer.start()
    with caplog.at_level(logging.INFO, "absl"):
        sweep.run()
    timer.join()
    assert begun(tmp_path) == [runs[1].name, runs[0].name]
    assert f"waiting for 1 run(s) of other processes: {runs[0].name}" in caplog.text


def test_interrupted_it_ends_its_runs_and_gives_back_what_it_had(tmp_path, stand_in):
    runs = sst2(tmp_path, "seed=16")
    command = [sys.executable, SWEEP, str(tmp_path), "seed=16", *stand_in]
    for number in (signal.SIGTERM, signal.SIGINT):
        (tmp_path / "begun").unlink(missing_ok=True)
        sweep = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        wait_for((tmp_path / "begun").exists)
        sweep.send_signal(number)
        _, error = sweep.communicate(timeout=30)
        assert "KeyboardInterrupt" in error
        # Nobody holds the lock any more: the run's process has ended.
        os.close(RunFolder.open(runs[0].folder.path, runs[0].config).hand_over())


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_run_ends_when_its_sweep_is_killed(tmp_path, stand_in):
    (run,) = sst2(tmp_path, "seed=16")
    command = [sys.executable, SWEEP, str(tmp_path), "seed=16", *stand_in]
    sweep = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_for((tmp_path / "begun").exists)
    with pytest.raises(BusyError):
        RunFolder.open(run.folder.path, run.config)
    sweep.kill()
    sweep.wait()

    def is_free():
        try:
            os.close(RunFolder.open(run.folder.path, run.config).hand_over())
        except BusyError:
            return False
        return True

    wait_for(is_free, 20)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (89.4, "89 s"), (90, "2 min"), (720, "12 min"), (12000, "3 h 20 min")],
)
def test_time_left_in_words(seconds, told):
    assert progress.duration(seconds) == told


def test_time_left_is_counted_in_epochs_and_shared_by_the_workers(tmp_path, stand_in):
    runs = sst2(tmp_path, "epochs=2,4;seed=1,2,3")
    sweep = Sweep(runs, LocalExecutor(2, stand_in))
    assert sweep.seconds_left() is None
    line = json.loads(pathlib.Path(os.environ["TEMPLATE"]).read_text())
    for run in runs[:2]:  # 10 s for 2 epochs each.
        run.folder.path.mkdir()
        settings = {"config": run.config.to_json(), "speed": {"seconds": 10.0}}
        (run.folder.path / "results.jsonl").write_text(json.dumps({**line, **settings}) + "\n")
    # One of 2 epochs and three of 4 are left, at 5 s an epoch, by two workers.
    assert Sweep(runs, LocalExecutor(2, stand_in)).seconds_left() == pytest.approx(5 * (2 + 12) / 2)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, "0 running"),
        (0.0, "0 running, longer than estimated"),
        (0.2, "0 running, about 1 s left"),
        (40.0, "0 running, about 40 s left"),
    ],
)
def test_no_0_seconds_are_left_while_something_runs(tmp_path, stand_in, monkeypatch, seconds, told):
    sweep = Sweep(sst2(tmp_path, "seed=1,2"), LocalExecutor(2, stand_in))
    monkeypatch.setattr(sweep, "seconds_left", lambda: seconds)
    assert sweep._status() == told


# The command.


def sweep_command(settings, *arguments):
    return [
        *(sys.executable, "-m", "bert_glue_tf.sweep", "--task=sst2", "--prune", "--epochs=2"),
        *(f"--encoder={settings.encoder}", f"--data={settings.data}", "--batch_size=8"),
        *("--learning_rate=1e-2", "--dropout=0", "--encoder_dropout=0", "--seq_length=32"),
        *arguments,
    ]


def call(command, cwd, timeout=200, **variables):
    # Wide enough for tables with nothing moved.
    environment = {**os.environ, "COLUMNS": "300", **variables}
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=timeout, env=environment
    )
    assert "Traceback" not in done.stderr
    return done


def test_a_mistake_is_answered_before_tensorflow_is_imported_and_nothing_is_written(
    settings, tmp_path
):
    command = sweep_command(settings, "--grid=final_sparsity=0.5,80")
    # Python tells of each import in a line.
    done = call(command, tmp_path, PYTHONPROFILEIMPORTTIME="1")
    lines = done.stderr.splitlines()
    imports = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert "bert_glue_tf.sweeps.grid" in imports
    assert "tensorflow" not in imports
    refused(call(command, tmp_path), "--final_sparsity=80.0")
    done = call(sweep_command(settings, "--grid=seed=1", "--data=nowhere"), tmp_path)
    refused(done, "--data=nowhere")
    done = call(sweep_command(settings, "--grid=seed=1", "--workers=0"), tmp_path)
    refused(done, "--workers=0")
    assert list(tmp_path.iterdir()) == []


def test_the_sweep_imports_no_tensorflow():
    code = (
        "import sys\n"
        "from bert_glue_tf import sweep\n"
        "from bert_glue_tf.reports import terminal\n"
        "from bert_glue_tf.sweeps import grid, plan, sweep, table\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.long(
    "a minute, of a kill as those of single runs, whose sweeps are tested without training"
)
def test_a_grid_killed_in_the_middle_is_finished_by_two_sweeps_and_then_left_alone(
    settings, tmp_path
):
    command = sweep_command(settings, "--grid=final_sparsity=0.25,0.5;seed=1,2")
    given = {
        **{"task": "sst2", "prune": "true", "epochs": "2", "encoder": settings.encoder},
        **{"data": settings.data, "batch_size": "8", "learning_rate": "1e-2", "dropout": "0"},
        **{"encoder_dropout": "0", "seq_length": "32"},
    }
    grid = grids.parse_grid("final_sparsity=0.25,0.5;seed=1,2")
    runs = plan.plan(grids.configurations(given, grid), tmp_path / "runs")
    assert len(runs) == 4

    killed = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: runs[0].folder.has_checkpoint)
    killed.kill()
    killed.wait()
    dry = call([*command, "--dry_run"], tmp_path)
    # The process of its run may live on for a moment and finish it: only then 3 are missing.
    if runs[0].folder.record() is None:
        assert dry.stdout.count("to be run") == 4

    both = [
        subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    outputs = [sweep.communicate(timeout=200) for sweep in both]
    assert [sweep.returncode for sweep in both] == [0, 0], outputs
    for run in runs:
        assert len(lines_of(run.folder.path)) == 1
        # One process each; two where one was killed before it had finished its run.
        processes = run.log.read_text().count("starting TensorFlow")
        assert 1 <= processes <= (2 if run is runs[0] else 1), run.name
        weights = run.folder.record().sparsity
        assert weights == {"classifier/kernel": run.config.final_sparsity}
    # What an undisturbed run comes to: the same, since nothing is drawn after the first step.
    reference = RunFolder.open(tmp_path / "reference", runs[0].config)
    undisturbed = experiment.train_and_evaluate(runs[0].config, reference)
    assert runs[0].folder.record().metrics == pytest.approx(undisturbed.metrics, abs=1e-3)

    table = outputs[0][0]
    for sparsity in (0.25, 0.5):
        records = [run.folder.record() for run in runs if run.config.final_sparsity == sparsity]
        two = [record.metrics["accuracy"] for record in records]
        low, high = sorted(two)
        fallen = sum(bool(record.collapsed) for record in records)
        mean = f"{sum(two) / 2:.4f}" + (rf" COLLAPSED \({fallen} of 2\)" if fallen else "")
        row = rf"{sparsity} +accuracy +{mean} +{low:.4f} to {high:.4f} +1, 2 *$"
        assert re.search(row, table, re.MULTILINE), table

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")}
    again = call(command, tmp_path)
    assert again.returncode == 0
    assert "4 of 4 runs are finished already" in again.stderr
    assert table[table.index("Primary metric") :] == again.stdout
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")} == before
    dry = call([*command, "--dry_run"], tmp_path)
    assert dry.stdout.count("finished: accuracy 0.") == 4
    # The compare command reads the same folder.
    models = reading.read((tmp_path / "runs").iterdir())
    assert sorted(model.run for model in models) == sorted(run.name for run in runs)


def test_a_run_of_the_command_that_fails_is_told_and_the_status_is_1(settings, tmp_path):
    done = call(sweep_command(settings, "--grid=end_step=9999"), tmp_path)
    assert done.returncode == 1
    assert "1/1 sst2-" in done.stdout
    assert "FAILED: --end_step=9999: training has only" in done.stdout
    (log,) = (tmp_path / "runs").glob("*.log")
    assert f"(log: runs/{log.name})" in done.stdout


def test_what_the_grid_chose_is_told_where_the_runs_name_does_not(tmp_path):
    grid = grids.parse_grid("pruning_method=none,magnitude;final_sparsity=0.1,0.5;seed=1,2")
    configs = grids.configurations({"task": "sst2", "finetune_epochs": "2"}, grid)
    runs = plan.plan(configs, tmp_path, list(grid))
    rows = table.dry_rows(runs, {})
    assert [list(row) for row in rows] == [["run", "final_sparsity", "starts from", "state"]] * 8
    told = [(run.title.removeprefix(run.name), row["final_sparsity"]) for run, row in
            zip(runs, rows, strict=True)]  # fmt: skip
    # Two starting points, what is not pruned, and what is.
    assert told == [
        *[("", "")] * 4,
        *[(" (final_sparsity=0.1)", "0.1")] * 2,
        *[(" (final_sparsity=0.5)", "0.5")] * 2,
    ]
    assert all(row["run"] == run.name for run, row in zip(runs, rows, strict=True))


def test_the_readmes_grids_are_grids():
    readme = (pathlib.Path(__file__).parents[2] / "docs" / "sweep.md").read_text()
    commands = re.findall(r"^python -m bert_glue_tf\.sweep (.*)$", readme, re.MULTILINE)
    assert commands
    for command in commands:
        given = dict(part[2:].partition("=")[::2] for part in shlex.split(command))
        assert set(given) - {"grid", "search", "trials", "flagfile"} <= set(grids.setting_names())
        if "search" in given:
            space.check({"prune": "true"}, space.parse(given["search"]))
            continue
        grid = grids.parse_grid(given["grid"])
        expected = math.prod(len(values) for values in grid.values())
        assert len(grids.configurations({"prune": "true"}, grid)) == expected
    assert grids.parse_grid("pruning_method=none,(attention_head,magnitude)") == {
        "pruning_method": ("none", "attention_head,magnitude")
    }


@pytest.mark.processes
def test_grids_that_are_given_one_by_one_are_one(tmp_path):
    command = [sys.executable, "-m", "bert_glue_tf.sweep", "--task=cola", "--data=sample"]
    command += ["--encoder=minilm_l6", "--prune", "--dry_run"]
    done = call([*command, "--grid=seed=1,2", "--grid=final_sparsity=0.3,0.5"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("to be run") == 4
    again = call([*command, "--grid=seed=1", "--grid=seed=2"], tmp_path)
    assert again.returncode == 2  # Which of the two would be meant?
    assert "seed" in again.stderr
