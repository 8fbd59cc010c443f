"""Training on several replicas, here two logical CPUs, gives what training on one gives."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re

import forked
import numpy as np
import pytest
import tensorflow as tf
import tiny_bert
import workers
from messages import refuses
from of_convolutions import OF_CONVOLUTIONS
from slow_fixtures import slow_to_make

from bert_glue_tf.compression import registry
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models import loading
from bert_glue_tf.models.bert.classifier_weights import load_classifier, read_weights
from bert_glue_tf.models.probing import probe
from bert_glue_tf.runs import results
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import devices, experiment

# Logical devices have to be set before TensorFlow is first used, so in a process of its own.
ON_TWO_CPUS = """
import json, pathlib, sys
import bert_glue_tf
import tensorflow as tf
cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from bert_glue_tf.models import classifiers, loading
from bert_glue_tf.training import experiment, loop
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import RunFolder
load, fit = loading.load, loop._fit
def noting(model, *rest):
    local = model.distribute_strategy.experimental_local_results
    states = [len(local(generator.state)) for generator in classifiers.dropout_states(model)]
    print("dropout states by layer:", *states)
    return fit(model, *rest)
loop._fit = noting
for folder, family, values in json.loads(sys.argv[1]):
    loading.load = lambda source, **options: load(source, family=family, **options)
    config = ExperimentConfig.from_json(values)
    experiment.train_and_evaluate(config, RunFolder.open(pathlib.Path(folder), config))
"""
# A worker whose encoder is held as a SavedModel, whatever it is.
SAVED_MODEL_WORKER = """
from bert_glue_tf import train
from bert_glue_tf.models import loading
load = loading.load
loading.load = lambda source, **options: load(source, **{**options, "family": "saved_model"})
train.command()
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A short run without dropout, so that two runs can be compared number by number."""
    folder = tiny_bert.write_huggingface(
        tmp_path_factory.mktemp("hf"), tiny_bert.architecture(layers=1)
    )
    path = folder / "config.json"
    values = json.loads(path.read_text())
    values |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    path.write_text(json.dumps(values))
    return ExperimentConfig(
        encoder=str(folder),
        data="sample",
        epochs=2,
        batch_size=16,
        learning_rate=1e-3,
        dropout=0.0,
        seq_length=32,
        train_examples=97,  # The last batch of an epoch is a single one.
    )


def on_two_cpus(runs) -> str:
    """Trains (folder, family of the encoder, settings) one after the other; what they printed."""
    done = forked.run(["-c", ON_TWO_CPUS, json.dumps(runs)])
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_two_replicas_train_what_one_device_trains(settings, tmp_path):
    # Padded on one device and packed on two: neither packing nor replicas change what is trained.
    padded = dataclasses.replace(settings, packing="false")
    one = experiment.train_and_evaluate(padded, RunFolder.open(tmp_path / "one", padded))
    mirrored = dataclasses.replace(settings, strategy="mirrored")
    pruned = dataclasses.replace(mirrored, pruning_method="classifier_magnitude")
    aware = dataclasses.replace(settings, quantize_aware="int8")
    experiment.train_and_evaluate(aware, RunFolder.open(tmp_path / "aware_one", aware))
    aware = dataclasses.replace(aware, strategy="mirrored")
    runs = [
        (str(tmp_path / "native"), None, mirrored.to_json()),
        (str(tmp_path / "pruned"), None, pruned.to_json()),
        # `auto` sees no GPU and takes one CPU, where tfmot's wrapper prunes.
        (str(tmp_path / "auto"), None, dataclasses.replace(pruned, strategy="auto").to_json()),
        (str(tmp_path / "aware"), None, aware.to_json()),
    ]
    told = on_two_cpus(runs)
    weights = load_classifier(tmp_path / "one" / "model").get_weights()
    (record,) = results.load(tmp_path / "native" / "results.jsonl")
    assert len([d for d in record.environment["devices"] if "CPU" in d]) == 2
    assert record.metrics["loss"] == pytest.approx(one.metrics["loss"], abs=1e-4)
    found = load_classifier(tmp_path / "native" / "model").get_weights()
    for mine, theirs in zip(weights, found, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)
    # Each of its layers keeps for both replicas where its dropout is.
    assert re.search("^dropout states by layer:( 2)+$", told, re.MULTILINE)
    # What fills up the last batch for the second replica counts nowhere.
    for row, expected in zip(
        *(RunFolder(tmp_path / name, settings).read_history() for name in ("native", "one")),
        strict=True,
    ):
        assert list(row) == list(expected)
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert float(row[name]) == pytest.approx(float(expected[name]), abs=2e-5), name
        assert float(row["accuracy"]) * 97 == pytest.approx(round(float(row["accuracy"]) * 97))
    kernels = []
    for name, count in (("pruned", 2), ("auto", 1)):
        (record,) = results.load(tmp_path / name / "results.jsonl")
        assert record.environment["replicas"] == count
        assert list(record.sparsity) == ["classifier/kernel"]
        kernels.append(read_weights(tmp_path / name / "model").kernel)
        assert np.mean(kernels[-1] == 0) == pytest.approx(0.8, abs=1 / 32)
    # tfmot ranks a step later than the masks on replicas: of 64 weights few may differ.
    assert np.mean((kernels[0] == 0) == (kernels[1] == 0)) > 0.9

    # Trained for an int8 file: a replica moves its ranges by its own half of each batch, whose
    # smallest and largest values lie within those of the whole batch.
    whole, halves = (
        read_weights(tmp_path / name / "model").trained.ranges for name in ("aware_one", "aware")
    )
    assert list(whole) == list(halves)
    for point, (low, high) in whole.items():
        width = high - low
        assert halves[point] == pytest.approx((low, high), abs=0.25 * width), point
        assert halves[point] != (0.0, 0.0)
    alone, together = (
        results.load(tmp_path / name / "results.jsonl")[0] for name in ("aware_one", "aware")
    )
    assert together.metrics["loss"] == pytest.approx(alone.metrics["loss"], abs=2e-2)
    assert together.environment["replicas"] == 2


def test_what_cuts_before_the_training_leaves_the_same_on_replicas(tmp_path):
    """Vocabulary and layers, on one device, two replicas and two workers."""
    settings = ExperimentConfig(
        encoder=str(tiny_bert.write_pair(tmp_path / "pair", layers=2)),
        data="sample",
        epochs=1,
        batch_size=16,
        learning_rate=1e-3,
        dropout=0.0,
        encoder_dropout=0.0,
        seq_length=32,
        train_examples=64,
        pruning_method="vocabulary,layer",
        pruning_options="layer.final_sparsity=0.5 layer.order=top",
    )
    one = experiment.train_and_evaluate(
        settings, RunFolder.open(tmp_path / "one" / "run", settings)
    )
    mirrored = dataclasses.replace(settings, strategy="mirrored")
    on_two_cpus([(str(tmp_path / "mirrored" / "run"), None, mirrored.to_json())])
    together = dataclasses.replace(settings, strategy="multi_worker")
    (tmp_path / "settings.json").write_text(json.dumps(together.to_json()))
    command = ["-m", "bert_glue_tf.train", f"--config={tmp_path / 'settings.json'}"]
    command += [f"--workdir={tmp_path / 'workers' / 'run'}"]
    processes = workers.start(command, 2, tmp_path / "logs")
    log = tmp_path / "logs" / "0.log"
    assert workers.end(processes, 300) == [0, 0], log.read_text()[-3000:]
    assert one.parameters["pruned"] > 0
    for name in ("mirrored", "workers"):
        (record,) = results.load(tmp_path / name / "run" / "results.jsonl")
        assert record.environment["replicas"] == 2
        assert record.parameters == one.parameters
        assert record.metrics["loss"] == pytest.approx(one.metrics["loss"], abs=1e-4)


def test_a_saved_model_encoder_trains_and_is_pruned_on_replicas(settings, tmp_path, monkeypatch):
    """Fine-tuned, then pruned: on one device, two replicas and two workers."""
    settings = dataclasses.replace(
        settings, epochs=1, finetune_epochs=1, pruning_method="magnitude", final_sparsity=0.5
    )
    mirrored, together = (
        dataclasses.replace(settings, strategy=name) for name in ("mirrored", "multi_worker")
    )
    folders = {name: tmp_path / name / "run" for name in ("one", "mirrored", "workers")}
    on_two_cpus([(str(folders["mirrored"]), "saved_model", mirrored.to_json())])
    (tmp_path / "settings.json").write_text(json.dumps(together.to_json()))
    command = ["-c", SAVED_MODEL_WORKER, f"--config={tmp_path / 'settings.json'}"]
    processes = workers.start([*command, f"--workdir={folders['workers']}"], 2, tmp_path / "logs")
    log = tmp_path / "logs" / "0.log"
    assert workers.end(processes, 300) == [0, 0], log.read_text()[-3000:]
    load = loading.load
    monkeypatch.setattr(
        loading,
        "load",
        lambda source, **options: load(source, **{**options, "family": "saved_model"}),
    )
    one = experiment.train_and_evaluate(settings, RunFolder.open(folders["one"], settings))
    batch = probe(tiny_bert.architecture().vocab_size, batch=3, length=16)

    def logits(folder):
        saved = tf.saved_model.load(str(folder / "model"))
        return saved.serve(batch)["logits"]

    for name in ("mirrored", "workers"):
        (record,) = results.load(folders[name] / "results.jsonl")
        assert record.environment["replicas"] == 2
        assert record.encoder["family"] == "saved_model"
        assert record.sparsity == one.sparsity
        assert set(record.sparsity.values()) == {0.5}
        assert record.metrics["loss"] == pytest.approx(one.metrics["loss"], abs=1e-4)
        np.testing.assert_allclose(logits(folders[name]), logits(folders["one"]), atol=1e-3)


# Those that cut before the training have no masks. The others left out rank by magnitudes, as
# `magnitude` and `attention_head` do, and have no state of their own: only what they call a unit
# differs, which tests/pruning finds on one device.
LEFT_OUT = {"none", "layer", "vocabulary", "block", "column", "neuron", "row"} | OF_CONVOLUTIONS
# What is ranked at once measures gradients between two steps, on all devices together.
ONE_SHOT = "attention_head#one_shot"
# They refuse replicas.
ONE_DEVICE = {name for name in registry.names() if registry.get(name).has_sizes}
METHODS = [*sorted(set(registry.names()) - LEFT_OUT - ONE_DEVICE), "movement@saved_model", ONE_SHOT]
# These have no state of their own either, and keep on workers what `magnitude` keeps there; a
# SavedModel is trained on workers above.
ON_REPLICAS_ONLY = {"attention_head", "classifier_magnitude", "pattern", "movement@saved_model"}
ON_WORKERS = [name for name in METHODS if name not in ON_REPLICAS_ONLY]


@pytest.fixture(scope="module")
@slow_to_make
def replicas(tmp_path_factory):
    """Return the arrays of every method's runs on one device, two replicas and two workers.

    Packed, where the encoder is no SavedModel.
    """
    folder = tmp_path_factory.mktemp("replicas")
    script = str(pathlib.Path(__file__).parents[1] / "programs" / "replicas.py")
    together = workers.start([script, "multi_worker", str(folder), *ON_WORKERS], 2, folder)
    assert workers.end(together, 600) == [0, 0], (folder / "0.log").read_text()[-3000:]
    done = forked.run([script, "devices", str(folder), *METHODS])
    assert done.returncode == 0, done.stderr[-3000:]
    return {path.stem: dict(np.load(path)) for path in folder.glob("*.npz")}


@pytest.mark.parametrize(
    ("kind", "name"),
    [*(("mirrored", name) for name in METHODS), *(("worker0", name) for name in ON_WORKERS)],
)
def test_every_method_prunes_on_replicas_what_it_prunes_on_one_device(replicas, kind, name):
    one = {label: v for label, v in replicas["one"].items() if label.startswith(f"{name}:")}
    other = replicas[kind]
    masks = [label for label in one if label.startswith(f"{name}:mask/")]
    assert np.mean([one[label].mean() for label in masks]) == pytest.approx(0.5, abs=0.02)
    differ = sum(np.count_nonzero(one[label] != other[label]) for label in masks)
    # The order in which gradients are summed may turn the ranks of two weights around, and
    # their values are then not the same either.
    assert differ <= 0.001 * sum(one[label].size for label in masks)
    if not differ:
        for label, value in one.items():
            np.testing.assert_allclose(other[label], value, atol=1e-4, err_msg=label)


def test_the_parts_of_a_batch_have_different_numbers_of_rows(replicas):
    """So that the tests here show that packed replicas need not have arrays of one shape."""
    first, second = replicas["rows"]["rows"].T
    assert (first != second).sum() >= len(first) / 4


@pytest.mark.parametrize("kind", ["mirrored", "worker0"])
def test_most_masks_are_the_same_to_the_bit(replicas, kind):
    masks = [label for label in replicas[kind] if ":mask/" in label]
    differ = {
        label.split(":")[0]
        for label in masks
        if not np.array_equal(replicas["one"][label], replicas[kind][label])
    }
    assert len(differ) <= 3


def test_masks_and_weights_are_the_same_on_every_worker(replicas):
    first, second = replicas["worker0"], replicas["worker1"]
    assert set(first) == set(second)
    assert {label.split(":")[0] for label in first} == set(ON_WORKERS)
    for label, value in first.items():
        np.testing.assert_array_equal(second[label], value, err_msg=label)


@pytest.mark.parametrize("kind", ["mirrored", "worker0", "worker1"])
def test_ranges_of_activations_are_the_mean_of_what_the_replicas_see(replicas, kind):
    first, second = replicas["ranges-one"]["ranges"]
    assert (first != second).mean() > 0.5
    (found,) = replicas[f"ranges-{kind}"]["ranges"]
    np.testing.assert_allclose(found, (first + second) / 2, rtol=1e-4)


def test_every_replica_draws_its_own_dropout(replicas):
    one, mirrored = replicas["dropout-one"], replicas["dropout-mirrored"]
    assert set(one) == {"0"}
    assert set(mirrored) == {"0", "1"}
    # By the seed and the replica's number, wherever the replica is.
    np.testing.assert_allclose(one["0"], mirrored["0"], atol=1e-6)
    for number in ("0", "1"):
        worker = replicas[f"dropout-worker{number}"]
        assert set(worker) == {number}
        np.testing.assert_allclose(worker[number], mirrored[number], atol=1e-6)
    first, second = mirrored["0"], mirrored["1"]
    steps = len(first)
    for draws in (first, second):  # Of each replica, each step's are others.
        assert len({draw.tobytes() for draw in draws}) == steps
    assert not any((a == b).all(-1).any() for a, b in zip(first, second, strict=True))


SUMS_ON_TWO_CPUS = """
import json
import bert_glue_tf
import numpy as np
import tensorflow as tf
import tf_keras
cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from bert_glue_tf.training import devices
from bert_glue_tf.training.checkpoints import RunningSums
def train(width):
    strategy = devices.build("mirrored")
    assert strategy.num_replicas_in_sync == 2
    with strategy.scope():
        model = tf_keras.Sequential([tf_keras.layers.Dense(width)])
        model.compile(loss="mse", weighted_metrics=["mae"])
    values = np.arange(12 * width, dtype=np.float32).reshape(12, width)
    model.fit(values, values, batch_size=4, verbose=0)
    return model
model = train(1)
kept, later = RunningSums(), RunningSums()
kept.take(model)
before = [[float(v.numpy()) for v in metric.weights] for metric in model.metrics]
model.reset_metrics()
later.deserialize(kept.serialize())
later.give(model)
after = [[float(v.numpy()) for v in metric.weights] for metric in model.metrics]
train(3)
print(json.dumps([before, after]))
"""


def test_the_sums_of_an_interrupted_epoch_come_back_on_several_replicas():
    """And the process can then train a model of other shapes on the same replicas."""
    done = forked.run(["-c", SUMS_ON_TWO_CPUS])
    assert done.returncode == 0, done.stderr[-2000:]
    before, after = json.loads(done.stdout.splitlines()[-1])
    assert before[0][1] == 12  # Examples.
    np.testing.assert_allclose(after, before, rtol=1e-6)


def test_mirrored_on_one_device_is_that_device():
    strategy = devices.build("mirrored")
    assert isinstance(strategy, tf.distribute.OneDeviceStrategy)
    assert strategy.num_replicas_in_sync == 1


def test_a_device_that_is_not_there_is_refused():
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU here")
    with refuses(UserError, "--strategy=gpu"):
        devices.build("gpu")


class OneCoreTPU(tf.distribute.OneDeviceStrategy):
    """A stand-in for a TPU: its static shapes, on a CPU."""

    def __init__(self, resolver):
        super().__init__("/cpu:0")


def test_a_tpu_is_initialized_once_for_a_run_and_its_starting_point(
    settings, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        tf.distribute.cluster_resolver, "TPUClusterResolver", lambda tpu: asked.append(tpu) or tpu
    )
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", lambda resolver: None)
    initialized = []
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", initialized.append)
    monkeypatch.setattr(tf.distribute, "TPUStrategy", OneCoreTPU)
    devices._tpu.cache_clear()
    try:
        config = dataclasses.replace(
            settings,
            strategy="tpu",
            mixed_precision="none",
            pruning_method="magnitude",
            epochs=1,
            finetune_epochs=1,
            train_examples=41,  # Two batches and a part of one, which a TPU needs filled up.
        )
        folder = RunFolder.open(tmp_path / "run", config)
        record = experiment.train_and_evaluate(config, folder, tpu="mine")
        assert asked == initialized == ["mine"]
        start = tmp_path / config.starting_point.run_name
        assert record.encoder["starting_point"]["run"] == start.name
        assert (start / "results.jsonl").exists()
        for path in (start, tmp_path / "run"):
            (row,) = RunFolder(path, config).read_history()
            assert float(row["accuracy"]) * 41 == pytest.approx(round(float(row["accuracy"]) * 41))
        # Another one is initialized by itself; one that fails can be tried again.
        devices.build("tpu", tpu="other")
        assert asked == initialized == ["mine", "other"]
        monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", lambda resolver: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            devices.build("tpu", tpu="third")
        monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", initialized.append)
        assert isinstance(devices.build("tpu", tpu="third"), OneCoreTPU)
    finally:
        devices._tpu.cache_clear()


@pytest.mark.parametrize("name", ["local", "grpc://127.0.0.1:{port}"])
def test_a_tpu_that_is_not_there_is_refused(name):
    if tf.config.list_physical_devices("TPU"):
        pytest.skip("there is a TPU here")
    (address,) = workers.free_addresses(1)
    name = name.format(port=address.rsplit(":", 1)[1])
    with refuses(UserError, f"--strategy=tpu --tpu={name}"):
        devices.build("tpu", tpu=name)
