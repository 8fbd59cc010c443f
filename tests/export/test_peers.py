"""The comparison with other runtimes, as far as it runs without them."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
import re
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest
import tiny_bert
from messages import refused, refuses
from slow_fixtures import slow_to_make

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import sample, tasks
from bert_glue_tf.evaluation.predictions import read as read_predictions
from bert_glue_tf.export.settings import ExportSettings, identity
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import experiment

ROOT = pathlib.Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
BUSY = str(ROOT / "tests" / "programs" / "busy.py")


@pytest.fixture(scope="module", autouse=True)
def benchmarks():
    """The modules of benchmarks/, which is no package."""
    sys.path.insert(0, str(BENCHMARKS))
    import finetuning
    import peer_inputs
    import peers
    import peers_weights

    yield types.SimpleNamespace(
        inputs=peer_inputs, peers=peers, weights=peers_weights, finetuning=finetuning
    )
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
@slow_to_make
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("peers")
    config = ExperimentConfig(
        task="cola",
        encoder=str(tiny_bert.write_pair(root / "pair")),
        data="sample",
        epochs=1,
        batch_size=16,
        learning_rate=1e-3,
        seq_length=32,
        train_examples=64,
    )
    experiment.train_and_evaluate(config, RunFolder.open(root / "run", config))
    return Run.read(root / "run")


@pytest.fixture(scope="module")
def written(run, benchmarks, tmp_path_factory):
    """Return the inputs that were collected, those read back from the files, and the folder."""
    folder = tmp_path_factory.mktemp("inputs")
    collected = benchmarks.weights.collect(run, calibration_examples=20)
    collected.save(folder)
    return collected, benchmarks.inputs.PeerInputs.load(folder), folder


def test_weights_and_word_pieces_give_the_keras_logits_in_numpy(written):
    _, inputs, _ = written
    weights = dict(inputs.weights)
    kernel, bias = weights.pop("classifier/kernel"), weights.pop("classifier/bias")
    assert weights.keys() == inputs.architecture.shapes().keys()
    batch = inputs.dev.batch(range(40), 32)
    pooled = tiny_bert.forward(inputs.architecture, weights, batch)["pooled_output"]
    np.testing.assert_allclose(pooled @ kernel + bias, inputs.keras_logits[:40], atol=1e-5)


def test_logits_and_labels_are_those_of_the_run(written, run):
    _, inputs, _ = written
    predictions = read_predictions(
        run.folder.predictions_file("validation"), tasks.get(run.config.task)
    )
    np.testing.assert_array_equal(inputs.labels, predictions.labels)
    np.testing.assert_allclose(inputs.keras_logits, predictions.logits, atol=1e-5)
    assert len(inputs.dev) == len(sample.examples("cola", "validation"))
    assert len(inputs.calibration) == 20
    settings = ExportSettings((32,))
    assert inputs.weights_sha256 == identity(run, settings)["weights_sha256"]


def test_files_give_back_what_was_collected_and_name_no_folder(written, run):
    collected, inputs, folder = written
    for field in dataclasses.fields(collected):
        before, after = (getattr(inputs_, field.name) for inputs_ in (collected, inputs))
        if field.name == "weights":
            for name, value in before.items():
                np.testing.assert_array_equal(value, after[name], strict=True)
        elif field.name in ("dev", "calibration"):
            assert before.padding_id == after.padding_id
            for part in ("ids", "type_ids", "row_splits"):
                np.testing.assert_array_equal(getattr(before, part), getattr(after, part))
        elif isinstance(before, np.ndarray):
            np.testing.assert_array_equal(before, after, strict=True)
        else:
            assert before == after, field.name
    assert inputs.encoder == "pair"
    assert str(run.path.parent) not in (folder / "inputs.json").read_text()


def test_a_folder_with_other_files_is_not_touched(written, tmp_path):
    collected, _, _ = written
    (tmp_path / "notes.txt").write_text("mine")
    with refuses(UserError, tmp_path):
        collected.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_damaged_folder_is_refused(written, benchmarks, tmp_path):
    written[0].save(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"short")
    with refuses(UserError, tmp_path, "benchmarks/peers_weights.py"):
        benchmarks.inputs.PeerInputs.load(tmp_path)


def test_a_float32_model_has_to_be_the_same_model(written, benchmarks):
    _, inputs, _ = written
    peers = benchmarks.peers
    chosen, lengths = np.array([3, 0, 7]), (16, 32)

    def peer(shift):
        def predict(features):
            length = features["input_word_ids"].shape[1]
            assert length == (16 if features["input_mask"].sum() <= 16 else 32)
            row = next(
                i
                for i in chosen
                if np.array_equal(
                    inputs.dev.batch([i], length)["input_word_ids"], features["input_word_ids"]
                )
            )
            return inputs.keras_logits[row : row + 1] + shift

        return types.SimpleNamespace(name="theirs float32", predict=predict)

    same = peer(np.float32(0.0))
    found = peers.score(same, inputs, chosen, lengths)
    assert (found.flips, found.largest_difference) == (0, 0.0)
    peers.require_same(same, found)
    moved = peer(np.array([[0.002, 0.0]], np.float32))
    with refuses(UserError, "theirs float32", "0 labels", "2.0e-03"):
        peers.require_same(moved, peers.score(moved, inputs, chosen, lengths))
    found = np.argmax(inputs.keras_logits[chosen], axis=1)
    for label in (0, 1):  # What answers always the same differs where the other is right.
        shift = np.where(np.arange(2) == label, 100.0, -100.0)[None].astype(np.float32)
        flips = peers.score(peer(shift), inputs, chosen, lengths).flips
        assert flips == np.sum(found != label)


def test_ratios_are_taken_round_by_round(benchmarks):
    # The machine was three times as slow in the second round, for both.
    reference = np.array([[2.0, 2.0, 4.0], [6.0, 6.0, 9.0]])
    found = benchmarks.peers.summary(np.array([[1.0, 1.0, 9.0], [3.0, 3.0, 3.0]]), reference)
    assert found["ratio"] == 0.5
    assert found["ratio_quartiles"] == [0.5, 0.5]
    assert found["ratio_of_min"] == 0.5
    assert (found["p50"], found["min"]) == (3.0, 1.0)


def test_each_model_has_its_turn_in_every_round(benchmarks):
    called = []
    peers = [
        types.SimpleNamespace(name=name, predict=lambda x, name=name: called.append(name + x))
        for name in "ab"
    ]
    found = benchmarks.peers.time_in_turns(peers, {"a": ["1", "2"], "b": ["3", "4"]}, rounds=2)
    # The first call of a turn is not timed, and the order changes from round to round.
    assert called == ["a1", "a1", "a2", "b3", "b3", "b4", "b3", "b3", "b4", "a1", "a1", "a2"]
    assert {name: values.shape for name, values in found.items()} == {"a": (2, 2), "b": (2, 2)}


def refusal(tmp_path, script, *arguments):
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *arguments],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not list(tmp_path.iterdir())
    return refused(done)


@pytest.mark.parametrize(
    ("script", "arguments", "named"),
    [
        ("peers_weights.py", [], "--run"),
        ("peers_weights.py", ["--run=nowhere"], "--run=nowhere"),
        ("peers.py", [], "--run"),
        ("peers.py", ["--run=r", "--rounds=0"], "--rounds=0"),
        ("peers.py", ["--run=r", "--lengths=32,x"], "'x'"),
        ("finetuning.py", ["--contenders=ours,jax"], "ours, padded, dynamic"),
        ("finetuning.py", ["--turn=0"], "--turn=0.0"),
        ("finetuning.py", ["--peers_python=nowhere"], "nowhere"),
        ("finetuning.py", ["--at_most=0.5"], "--at_most=0.5"),
        ("finetuning.py", ["--contenders=ours"], "--encoder=minilm_l6"),
        ("training_steps.py", ["--variants=jax"], "torch_128"),
        ("training_steps.py", ["--base=grouped", "--variants=padded"], "--base=grouped"),
        ("training_steps.py", ["--peers_python=nowhere"], "nowhere"),
        ("first_step.py", ["--times=0"], "--times=0"),
        ("first_step.py", ["--other=nowhere"], "--other=nowhere"),
        # The other runtimes are not in the tests' environment.
        ("peers.py", ["--run=r"], "make bench-peers"),
    ],
)
def test_mistakes_are_told_in_one_message(tmp_path, script, arguments, named):
    assert named in refusal(tmp_path, script, *arguments)


@pytest.fixture
def contender(benchmarks, tmp_path):
    """A process of a contender whose turns are noted: its clock at the begin of each."""

    class Noted(benchmarks.finetuning.Contender):
        def __init__(self, name, *command):
            super().__init__(name, [sys.executable, *command], tmp_path / f"{name}.log")
            self.turns = []

        def take_turn(self, seconds):
            self.turns.append(self.seconds)
            return super().take_turn(seconds)

    return Noted


def test_contenders_are_awake_in_turns_and_only_then_their_clock_runs(
    benchmarks, contender, tmp_path
):
    start = time.perf_counter()
    both = [
        contender(name, BUSY, f"--moments={tmp_path / name}.json") for name in ("ours", "dynamic")
    ]
    benchmarks.finetuning.run_in_turns(both, 0.25)
    assert sum(one.seconds for one in both) <= time.perf_counter() - start
    for one in both:
        assert one.process.returncode == 0
        # It runs for a moment before it is put to sleep for the first time.
        assert 0.9 <= one.processor_seconds <= one.seconds + 0.2
        assert 0 < one.first_step <= one.epochs[0] <= one.epochs[1] <= one.seconds
        assert one.peak_memory_bytes > 1e6
        assert len(one.turns) > 1
    # Neither was awake while the other one was: then the moments at which they worked, a thousand
    # of each, would change hands far more often than their turns do.
    worked = sorted(
        (moment, one.name)
        for one in both
        for moment in json.loads((tmp_path / f"{one.name}.json").read_text())
    )
    assert len(worked) > 500
    changes = sum(name != after for (_, name), (_, after) in itertools.pairwise(worked))
    assert changes <= 3 * sum(len(one.turns) for one in both)


def test_who_takes_too_long_is_stopped(benchmarks, contender):
    ours = contender("ours", BUSY)
    slow = contender("padded", "-c", "import time; time.sleep(600)")
    benchmarks.finetuning.run_in_turns([ours, slow], 0.25, at_most=1.5)
    assert (ours.is_stopped, ours.process.returncode) == (False, 0)
    assert (slow.is_stopped, slow.process.returncode) == (True, -signal.SIGKILL)
    # It had no turn after the one in which it became too slow.
    assert slow.turns[-1] <= 1.5 * ours.seconds < slow.seconds
    assert slow.peak_memory_bytes > 1e6


def test_a_contender_that_fails_is_told_and_the_other_one_ends(benchmarks, contender):
    both = [contender("ours", BUSY, "--fails"), contender("padded", BUSY)]
    with refuses(UserError, "ours", "status 1", "it broke"):
        benchmarks.finetuning.run_in_turns(both, 30.0)
    assert both[1].process.returncode == -signal.SIGKILL


def test_requirements_agree_with_the_projects_own():
    def pins(path):
        found = re.findall(r"^([\w.-]+)==([^\s;]+)", path.read_text(), re.MULTILINE)
        return {re.sub(r"[-_.]+", "-", name.lower()): version for name, version in found}

    theirs, ours = pins(BENCHMARKS / "peers_requirements.txt"), pins(ROOT / "constraints.txt")
    assert {"torch", "onnxruntime", "openvino", "nncf"} <= theirs.keys()
    for name in ("absl-py", "ai-edge-litert", "backports-strenum", "safetensors"):
        assert theirs[name] == ours[name], name
