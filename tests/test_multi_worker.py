"""--strategy=multi_worker: three real processes over loopback, one of which is killed."""

from __future__ import annotations

import json
import re
import time

import pytest
import workers

from bert_glue_tf import cluster, experiment, results
from bert_glue_tf.config import ExperimentConfig
from bert_glue_tf.errors import UserError
from bert_glue_tf.run_folder import RunFolder

TWO = {"worker": ["a:1", "b:2"]}


def wait_for(folder, pattern, processes, seconds=300):
    end = time.monotonic() + seconds
    while not any(folder.glob(pattern)):
        assert time.monotonic() < end
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)


def test_a_killed_worker_stops_the_others_and_the_run_goes_on(tiny_encoder, tmp_path, monkeypatch):
    settings = ExperimentConfig(
        encoder=tiny_encoder,
        data="sample",
        epochs=2,
        batch_size=16,  # No multiple of 3.
        learning_rate=1e-4,
        dropout=0.0,
        encoder_dropout=0.0,
        seq_length=32,
        train_examples=300,
        pruning_method="irregular",
    )
    values = {**settings.to_json(), "strategy": "multi_worker"}
    (tmp_path / "settings.json").write_text(json.dumps(values))
    together = [f"--config={tmp_path / 'settings.json'}", f"--workdir={tmp_path / 'run'}"]
    command = ["-m", "bert_glue_tf.train", *together]
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))

    processes = workers.start(command, 3, tmp_path / "first")
    try:
        wait_for(tmp_path / "run" / "checkpoints", "step-*.index", processes)
        processes[1].kill()
        start = time.monotonic()
        assert processes[0].wait(60) == processes[2].wait(60) == 2
        assert time.monotonic() - start < 60
    finally:
        workers.end(processes, 0.1)
    for index in (0, 2):
        log = (tmp_path / "first" / f"{index}.log").read_text()
        assert "error: --strategy=multi_worker: another worker has ended" in log
        assert "Traceback" not in log
    assert not (tmp_path / "run" / "results.jsonl").exists()

    processes = workers.start(command, 3, tmp_path / "second")
    logs = [tmp_path / "second" / f"{index}.log" for index in range(3)]
    assert workers.end(processes, 300) == [0, 0, 0], logs[0].read_text()[-3000:]
    for log in logs:  # Each from its own copy of the chief's checkpoint.
        assert re.search(r"going on after step (19|38) of 38", log.read_text())
    assert f"Everything of this run is in {tmp_path / 'run'}" in logs[0].read_text()
    assert "This was worker 3 of 3" in logs[2].read_text()
    # Only the killed worker could not clear up what it had written.
    assert len(list((tmp_path / "tmp").glob("bert_glue_tf_worker.*"))) == 1

    one = experiment.train_and_evaluate(settings, RunFolder.open(tmp_path / "one", settings))
    (record,) = results.load(tmp_path / "run" / "results.jsonl")
    assert record.environment["replicas"] == 3
    assert record.sparsity == pytest.approx(one.sparsity, abs=1e-6)
    assert record.metrics["loss"] == pytest.approx(one.metrics["loss"], abs=1e-4)
    rows = [RunFolder(tmp_path / name, settings).read_history() for name in ("run", "one")]
    for row, expected in zip(*rows, strict=True):
        assert row["epoch"] == expected["epoch"]
        for name in ("loss", "val_loss"):
            assert float(row[name]) == pytest.approx(float(expected[name]), abs=1e-4)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "TF_CONFIG: no JSON ("),
        ("[]", "TF_CONFIG: no JSON object"),
        ("{}", 'TF_CONFIG: no "cluster"'),
        ({"cluster": TWO}, 'TF_CONFIG: no "task", which says which worker this process is'),
        ({"cluster": {"ps": ["a:1"]}, "task": {}}, "\"cluster\" has 'ps'; good: chief and worker"),
        ({"cluster": {"worker": "a:1"}, "task": {}}, '"worker" of "cluster" must be a list'),
        ({"cluster": {"worker": ["a"]}, "task": {}}, 'must be a list of "host:port"'),
        ({"cluster": {"worker": ["a:0"]}, "task": {}}, 'must be a list of "host:port"'),
        ({"cluster": {"worker": ["a:1", "a:1"]}, "task": {}}, "a:1 is named twice"),
        ({"cluster": {"chief": ["a:1", "b:1"]}, "task": {}}, '2 of "chief"; good: one'),
        ({"cluster": TWO, "task": {"type": "chief", "index": 0}}, "is 'chief'; good: worker"),
        ({"cluster": TWO, "task": {"type": "worker"}}, '"index" of "task" is None; good: 0 to 1'),
        ({"cluster": TWO, "task": {"type": "worker", "index": 2}}, "is 2; good: 0 to 1"),
        ({"cluster": TWO, "task": {"type": ["worker"], "index": 0}}, "is ['worker']; good: worker"),
    ],
)
def test_a_broken_tf_config_is_told(monkeypatch, text, told):
    text = text if isinstance(text, str) else json.dumps(text)
    monkeypatch.setenv("TF_CONFIG", text)
    for strategy in ("multi_worker", "auto"):
        with pytest.raises(UserError, match=re.escape(told)) as caught:
            cluster.of(strategy)
        assert "Good" in str(caught.value) or "good" in str(caught.value)
    assert cluster.of("cpu") is None  # Which has no use for it.


def test_a_missing_tf_config_is_told(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="--strategy=multi_worker: the environment variable TF_CO"):
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
    start = RunFolder.open(tmp_path / settings.starting_point.run_name, settings.starting_point)
    start.model.mkdir()
    (start.model / "saved_model.pb").write_text("weights")

    own = RunFolder.follow(tmp_path / "run", settings)
    assert tmp_path not in own.path.parents
    assert own.read_history() == [{"epoch": "1"}]
    assert (own.checkpoints / "checkpoint").read_text() == "of the chief"
    beside = own.path.parent / start.path.name
    assert (beside / "model" / "saved_model.pb").read_text() == "weights"
    own.write_history([{"epoch": 1}, {"epoch": 2}])
    assert chief.read_history() == [{"epoch": "1"}]

    other = ExperimentConfig(strategy="multi_worker", finetune_epochs=1, epochs=5)
    with pytest.raises(UserError, match="holds a run of another configuration: epochs is 3"):
        RunFolder.follow(tmp_path / "run", other)
