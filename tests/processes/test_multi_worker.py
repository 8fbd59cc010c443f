"""--strategy=multi_worker: three real processes over loopback, one of which is killed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import subprocess
import sys
import time

import pytest
import tiny_bert
import workers
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import cluster, experiment

TWO = {"worker": ["a:1", "b:2"]}


def wait_for(folder, pattern, processes, seconds=300):
    end = time.monotonic() + seconds
    while not any(folder.glob(pattern)):
        assert time.monotonic() < end
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)


# Only the chief may look which layers can go: what the others would find is not asked for.
TRAIN = """
import os
from bert_glue_tf import train
from bert_glue_tf.training import experiment
from bert_glue_tf.pruning import layer
if '"index": 0' not in os.environ["TF_CONFIG"]:
    del layer.Layer._greedy
train.command()
"""
HOLD = """
import json, pathlib, sys
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import RunFolder
config = ExperimentConfig.from_json(json.loads(sys.argv[2]))
RunFolder.open(pathlib.Path(sys.argv[1]), config)
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder():
    """hold(folder): a process that runs in the folder, and does nothing."""
    with contextlib.ExitStack() as stack:

        def hold(folder):
            process = subprocess.Popen(
                [sys.executable, "-c", HOLD, str(folder.path), json.dumps(folder.config.to_json())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout.readline() == "open\n"
            return process

        yield hold


def test_a_killed_worker_stops_the_others_and_the_run_goes_on(tmp_path, monkeypatch, holder):
    """Where the run fine-tunes first, and what it prunes then is chosen by its score."""
    settings = ExperimentConfig(
        encoder=str(tiny_bert.write_pair(tmp_path / "pair", layers=2)),
        data="sample",
        epochs=1,
        finetune_epochs=3,
        batch_size=16,  # No multiple of 3.
        learning_rate=1e-3,
        dropout=0.0,
        encoder_dropout=0.0,
        seq_length=32,
        train_examples=141,
        held_out=41,
        pruning_method="layer,magnitude",
        pruning_options="order=greedy layer.final_sparsity=0.5",
        final_sparsity=0.5,
        teacher="start",  # Which each worker asks itself.
        distill_layers="uniform",
        distill_tokens="all",
    )
    together = dataclasses.replace(settings, strategy="multi_worker")
    (tmp_path / "settings.json").write_text(json.dumps(together.to_json()))
    run = RunFolder(tmp_path / "run", together)
    start = run.beside(together.starting_point)
    command = ["-c", TRAIN, f"--config={tmp_path / 'settings.json'}", f"--workdir={run.path}"]
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))

    # Another process has the model to start from: the chief waits for it, the others for the chief.
    held = holder(start)
    processes = workers.start(command, 3, tmp_path / "first")
    logs = [tmp_path / "first" / f"{index}.log" for index in range(3)]
    try:
        end = time.monotonic() + 300
        while f"waiting for {start.path}, which another" not in logs[0].read_text():
            assert time.monotonic() < end
            assert all(process.poll() is None for process in processes)
            time.sleep(0.1)
        assert not start.checkpoints.exists()
        held.kill()
        wait_for(start.checkpoints, "step-*.index", processes)
        processes[1].kill()
        begun = time.monotonic()
        assert processes[0].wait(60) == processes[2].wait(60) == 2
        assert time.monotonic() - begun < 60
    finally:
        workers.end(processes, 0.1)
    for log in (logs[0].read_text(), logs[2].read_text()):
        assert "error: --strategy=multi_worker: another worker has ended" in log
        assert "Traceback" not in log
    assert not start.results_file.exists()

    processes = workers.start(command, 3, tmp_path / "second")
    logs = [tmp_path / "second" / f"{index}.log" for index in range(3)]
    assert workers.end(processes, 300) == [0, 0, 0], logs[0].read_text()[-3000:]
    for log in logs:  # Each from its own copy of the chief's checkpoint.
        text = log.read_text()
        assert re.search(r"going on after step (7|14|21) of 21", text)
        assert text.index("fine-tuning first, in") < text.index("going on after step")
        assert text.index("starting from the weights of") < text.rindex("layers left: ")
        assert "warning: 5 out of" not in text  # TensorFlow's, of functions traced over and over.
        # The scores that decide which layer goes.
        assert ("without it" in text) == (log == logs[0])
    assert f"Everything of this run is in {run.path}" in logs[0].read_text()
    assert "This was worker 3 of 3" in logs[2].read_text()
    # Only the killed worker could not clear up what it had written.
    assert len(list((tmp_path / "tmp").glob("bert_glue_tf_worker.*"))) == 1

    alone = RunFolder.open(tmp_path / "alone" / "run", settings)
    one = experiment.train_and_evaluate(settings, alone)
    assert run.choices_file.read_bytes() == alone.choices_file.read_bytes()
    first, record = start.record(), run.record()
    assert first.environment["replicas"] == record.environment["replicas"] == 3
    scores = one.encoder["starting_point"]["metrics"]
    assert record.encoder["starting_point"]["metrics"]["loss"] == first.metrics["loss"]
    assert first.metrics["loss"] == pytest.approx(scores["loss"], abs=1e-4)
    assert record.sparsity == pytest.approx(one.sparsity, abs=1e-6)
    assert record.teacher["run"] == start.path.name
    assert record.teacher["layers"] == one.teacher["layers"] == [[1, 2]]
    assert record.metrics["loss"] == pytest.approx(one.metrics["loss"], abs=1e-4)
    pairs = [(run, alone), (start, alone.beside(settings.starting_point))]
    for mine, expected in pairs:
        rows = zip(mine.read_history(), expected.read_history(), strict=True)
        for row, other in rows:
            assert row["epoch"] == other["epoch"]
            for name in ("loss", "val_loss"):
                assert float(row[name]) == pytest.approx(float(other[name]), abs=1e-4)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ("{}", '"cluster"'),
        ({"cluster": TWO}, '"task"'),
        ({"cluster": {"ps": ["a:1"]}, "task": {}}, "'ps'"),
        ({"cluster": {"worker": "a:1"}, "task": {}}, '"worker" of "cluster"'),
        ({"cluster": {"worker": ["a"]}, "task": {}}, '"host:port"'),
        ({"cluster": {"worker": ["a:0"]}, "task": {}}, '"host:port"'),
        ({"cluster": {"worker": ["a:1", "a:1"]}, "task": {}}, "a:1"),
        ({"cluster": {"chief": ["a:1", "b:1"]}, "task": {}}, '2 of "chief"'),
        ({"cluster": TWO, "task": {"type": "chief", "index": 0}}, "'chief'"),
        ({"cluster": TWO, "task": {"type": "worker"}}, '"index" of "task" is None'),
        ({"cluster": TWO, "task": {"type": "worker", "index": 2}}, "0 to 1"),
        ({"cluster": TWO, "task": {"type": ["worker"], "index": 0}}, "['worker']"),
    ],
)
def test_a_broken_tf_config_is_told(monkeypatch, text, named):
    text = text if isinstance(text, str) else json.dumps(text)
    monkeypatch.setenv("TF_CONFIG", text)
    for strategy in ("multi_worker", "auto"):
        with refuses(UserError, "TF_CONFIG", named):
            cluster.of(strategy)
    assert cluster.of("cpu") is None  # Which has no use for it.


def test_a_missing_tf_config_is_told(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with refuses(UserError, "--strategy=multi_worker", "TF_CONFIG"):
        cluster.of("multi_worker")
    assert cluster.of("auto") is None


def test_the_chief_comes_first(monkeypatch):
    machines = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    for kind, index, place in (("chief", 0, 0), ("worker", 0, 1), ("worker", "1", 2)):
        value = {"cluster": machines, "task": {"type": kind, "index": index}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(value))
        found = cluster.of("auto")
        assert found == cluster.Cluster(("a:1", "b:1", "c:1"), place)
        assert found.is_chief == (place == 0)
    alone = {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(alone))
    assert cluster.of("auto") is None  # One machine: what its own devices ask for.
    assert cluster.of("multi_worker") is not None


def test_a_follower_has_a_copy_of_what_the_chief_has(tmp_path):
    settings = ExperimentConfig(strategy="multi_worker", finetune_epochs=1)
    chief = RunFolder.open(tmp_path / "run", settings)
    chief.checkpoints.mkdir()
    (chief.checkpoints / "checkpoint").write_text("of the chief")
    chief.write_history([{"epoch": 1}])

    own = RunFolder.follow(tmp_path / "run", settings)
    assert tmp_path not in own.path.parents
    assert own.read_history() == [{"epoch": "1"}]
    assert (own.checkpoints / "checkpoint").read_text() == "of the chief"
    own.write_history([{"epoch": 1}, {"epoch": 2}])
    assert chief.read_history() == [{"epoch": "1"}]

    # What it starts from it has when it asks for it.
    beside = own.beside(settings.starting_point)
    assert beside.path.parent == own.path.parent
    for weights in ("early", "late"):
        start = RunFolder.open(tmp_path / settings.starting_point.run_name, beside.config)
        start.model.mkdir(exist_ok=True)
        (start.model / "saved_model.pb").write_text(weights)
        beside.claim()
        assert (beside.model / "saved_model.pb").read_text() == weights
    assert chief.beside(settings.starting_point) == start

    other = ExperimentConfig(strategy="multi_worker", finetune_epochs=1, epochs=5)
    with refuses(UserError, tmp_path / "run", "epochs is 3"):
        RunFolder.follow(tmp_path / "run", other)
