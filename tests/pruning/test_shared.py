"""Shared weights: one training, one set of weights, and a network of each sparsity in it."""

from __future__ import annotations

import itertools
import pathlib
import shutil

import numpy as np
import pytest
import tiny_bert
import tiny_cnn
import tiny_runs
from messages import refuses
from slow_fixtures import slow_to_make

from bert_glue_tf.compression import described, registry
from bert_glue_tf.compression.schedule import PruningContext
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers, tasks
from bert_glue_tf.evaluation import predictions
from bert_glue_tf.export import launch
from bert_glue_tf.export.folder import FOLDER
from bert_glue_tf.models import sizes
from bert_glue_tf.models.saved_encoders import SavedVariables
from bert_glue_tf.reports import files, groups, reading
from bert_glue_tf.reports import finished as finished_runs
from bert_glue_tf.reports import sizes as sizes_table
from bert_glue_tf.runs import finished
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.serving.classifier import Classifier

NAMES = ("0.75", "0.5", "0.25")
SPARSITIES = "sparsities=0.75,0.5,0.25"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> str:
    return str(tiny_bert.write_pair(tmp_path_factory.mktemp("encoder"), layers=1, heads=4))


def train(folder: pathlib.Path, encoder: str, glue: pathlib.Path, options: str, **settings: object):
    return tiny_runs.train(
        folder,
        encoder,
        glue,
        pruning_method="shared",
        pruning_options=options,
        **{"epochs": 5, **settings},
    )


@pytest.fixture(scope="module")
@slow_to_make
def together(tmp_path_factory, encoder, tiny_glue) -> finished.Run:
    """A run whose three networks were trained together."""
    return train(tmp_path_factory.mktemp("together") / "run", encoder, tiny_glue, SPARSITIES)


def matrices(run: finished.Run) -> dict[str, np.ndarray]:
    """The weights of a saved network that can be pruned, and all others, by name."""
    found = SavedVariables(str(run.folder.model))
    return {name: found.read(name) for name in found.names}


def test_each_network_has_all_weights_of_the_sparser_one_and_some_more(together):
    assert together.sizes == NAMES
    assert together.result.size == NAMES[-1]
    values = [matrices(together.of_size(name)) for name in NAMES]
    pruned = set(together.result.sparsity)
    assert len(pruned) == 6
    for smaller, larger in itertools.pairwise(values):
        for name, whole in larger.items():
            there = smaller[name] != 0 if name in pruned else np.ones(whole.shape, bool)
            np.testing.assert_array_equal(smaller[name][there], whole[there], err_msg=name)
            if name in pruned:
                assert np.count_nonzero(smaller[name]) < np.count_nonzero(whole)
    for name, own in zip(NAMES, values, strict=True):
        told = together.of_size(name).result
        for weight, sparsity in told.sparsity.items():
            assert sparsity == float(name)
            assert np.count_nonzero(own[weight] == 0) == sparsity * own[weight].size


def test_the_weights_of_a_smaller_network_stand_once(together):
    folder = together.folder.sizes / NAMES[0]
    copy = folder.parent / "copy"
    # Beside it, so that it finds what it is a part of.
    shutil.copytree(folder, copy)
    try:
        shutil.rmtree(copy / "model" / "variables", ignore_errors=True)
        files = [file for file in (copy / "model").iterdir() if file.is_file()]
        assert {file.name for file in files} == {
            "architecture.json",
            "own.safetensors",
            "saved_model.pb",
            "size.json",
        }
        assert sizes.own_variables(copy / "model") == []
        sizes.restore(copy / "model")
        restored = SavedVariables(str(copy / "model"))
        expected = matrices(together.of_size(NAMES[0]))
        assert set(restored.names) == set(expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(restored.read(name), value)
    finally:
        shutil.rmtree(copy)


@pytest.mark.parametrize("name", NAMES)
def test_a_size_answers_as_its_record_says(together, tiny_glue, name):
    run = together.of_size(name)
    task = tasks.get("sst2")
    examples = readers.load_for_training(task, str(tiny_glue), 0)["validation"]
    classifier = Classifier.load(together.path, size=name)
    logits = classifier.logits([(text,) for text in examples.texts[0]])
    told = predictions.read(run.folder.predictions_file("validation"), task, len(examples))
    np.testing.assert_allclose(logits, told.logits, atol=1e-5)
    right = (logits.argmax(1) == np.asarray(examples.labels)).mean()
    assert run.result.metrics["accuracy"] == pytest.approx(right)
    assert run.result.metrics["accuracy"] > 0.8  # All of them have learned.
    if name != NAMES[-1]:
        whole = Classifier.load(together.path).logits([(text,) for text in examples.texts[0]])
        assert np.abs(whole - logits).max() > 1e-3


def test_what_is_shown_of_a_finished_run_has_all_sizes(together, capsys):
    finished_runs.show(together.result, together.folder)
    shown = capsys.readouterr().out
    assert f"size {NAMES[-1]}" in shown
    rows = sizes_table.trained(together.result, together.folder).texts()
    assert [row["size"] for row in rows] == list(NAMES)
    for row in rows:
        assert row["size"] in shown
        record = together.of_size(row["size"]).result
        assert float(row["accuracy"]) == pytest.approx(record.metrics["accuracy"], abs=1e-4)


def test_each_size_has_its_files_and_its_row(together, tiny_glue):
    exported = launch.launch_sizes(
        together.path,
        recipes=["float32"],
        seq_lengths=["8", "32"],
        threads=1,
        calibration_examples=8,
        latency_repetitions=2,
    )
    names = [NAMES[-1], *reversed(NAMES[:-1])]
    assert [records[0].size for _, records in exported] == names
    places = [together.path / FOLDER, *(together.folder.sizes / n / FOLDER for n in names[1:])]
    assert [folder.path for folder, _ in exported] == places
    for name, (folder, (record,)) in zip(names, exported, strict=True):
        assert record.metrics["accuracy"] == together.of_size(name).result.metrics["accuracy"]
        assert record.parity["largest_difference"] < 1e-4
        assert Classifier.load(folder.model("float32")).task.name == "sst2"
    models = reading.read([together.path])
    assert [(one.size, one.recipe) for one in models if one.recipe == "keras"] == [
        (NAMES[-1], "keras"),
        ("0.5", "keras"),
        ("0.75", "keras"),
    ]
    assert {one.size: one.sparsity for one in models} == {n: float(n) for n in NAMES}
    shown = [group.name for group in groups.group(models)]
    assert len(shown) == len(set(shown)) == 6
    assert all(f"size {name}" in " ".join(shown) for name in NAMES)
    grouped = groups.group(models)
    page = files.write(exported[0][0].path.parent / "comparison", grouped, []).read_text()
    # The front of score against size has a point for each file, by its name.
    assert all(page.count(f"size {name}") >= 2 for name in NAMES)


def test_without_training_the_networks_are_parts_of_the_trained_one(
    tmp_path, encoder, tiny_glue, together
):
    settings = {"epochs": 2}
    run = train(tmp_path / "none", encoder, tiny_glue, f"{SPARSITIES} training=none", **settings)
    plain = matrices(tiny_runs.train(tmp_path / "plain", encoder, tiny_glue, **settings))
    for name in NAMES:
        own = matrices(run.of_size(name))
        for weight, whole in plain.items():
            if weight not in run.result.sparsity:
                np.testing.assert_array_equal(own[weight], whole)
                continue
            # By hand: the weights of smallest magnitude of each matrix go.
            gone = round(float(name) * whole.size)
            threshold = np.sort(np.abs(whole).ravel())[gone]
            expected = np.where(np.abs(whole) >= threshold, whole, 0)
            np.testing.assert_array_equal(own[weight], expected)


def test_a_cnn_has_sizes_as_a_bert_has(tmp_path, tiny_glue):
    encoder = str(tiny_cnn.write_pair(tmp_path / "encoder"))
    run = train(tmp_path / "run", encoder, tiny_glue, "sparsities=0.5,0.25", epochs=2)
    assert run.result.encoder["family"] == "text_cnn"
    smaller, larger = (matrices(run.of_size(name)) for name in ("0.5", "0.25"))
    assert sizes.own_variables(run.of_size("0.5").folder.model) == []
    assert len(run.result.sparsity) == 3
    for name in larger:
        there = smaller[name] != 0 if name in run.result.sparsity else np.ones_like(smaller[name])
        there = there.astype(bool)
        np.testing.assert_array_equal(smaller[name][there], larger[name][there], err_msg=name)
        if name in run.result.sparsity:
            assert np.count_nonzero(smaller[name]) == round(0.5 * larger[name].size)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("sparsities=0.2,0.6", "0.6 stands behind 0.2"),
        ("sparsities=0.6,0.6", "0.6 stands behind 0.6"),
        ("sparsities=1,0.5", "1 is not in [0, 1)"),
        ("sparsities=0.5,-0.1", "-0.1 is not in [0, 1)"),
        ("sparsities=nan,0.1", "nan is not in [0, 1)"),
        ("sparsities=0.5,half", "'half' is no number"),
        ("sparsities=0.5", "two or more"),
        ("training=later", "training=later"),
        ("final_sparsity=0.5", "final_sparsity=0.5"),
        ("sparsity=0.5", "Options of shared: sparsities, training."),
    ],
)
def test_bad_options_are_refused(options, named):
    with refuses(UserError, "--pruning_options", named):
        registry.build(ExperimentConfig(pruning_method="shared", pruning_options=options))


def test_it_stands_alone_and_takes_no_sparsity_or_late_schedule():
    with refuses(UserError, "shared cannot run beside others"):
        registry.check("shared,attention_head")
    with refuses(UserError, "--final_sparsity=0.5"):
        registry.check("shared", "", {"final_sparsity": 0.5})
    for name, value in {
        "pruning_schedule": "one_shot",
        "begin_step": 3,
        "end_step": 9,
        "pruning_frequency": 5,
    }.items():
        with refuses(UserError, f"--{name}={value}", "training=none"):
            registry.check("shared", "training=none", {name: value})
        registry.check("shared", "training=together", {name: value})
    method = registry.build(ExperimentConfig(pruning_method="shared", pruning_schedule="soft"))
    config = ExperimentConfig(pruning_method="shared", pruning_schedule="soft", epochs=4)
    with refuses(UserError, "--pruning_schedule=soft", "--pruning_method=shared"):
        method.context(PruningContext.from_config(config, 40))
    with refuses(UserError, "--pruning_method=shared", "--strategy"):
        registry.build(ExperimentConfig(pruning_method="shared")).on_replicas()


def test_a_schedule_does_not_tell_runs_apart_whose_masks_come_after_it():
    settings = {"pruning_method": "shared", "pruning_options": "training=none"}
    (none,) = described.prunings(ExperimentConfig(**settings).to_json())
    (together,) = described.prunings(ExperimentConfig(pruning_method="shared").to_json())
    assert "pruning_frequency" in none.unused
    assert "pruning_frequency" not in together.unused


def test_a_size_that_a_run_has_not_is_refused(together, exported, tmp_path):
    with refuses(UserError, "--size=0.9", "0.75, 0.5, 0.25"):
        Classifier.load(together.path, size="0.9")
    run, folder = exported
    with refuses(UserError, "--size=0.5", "has one network"):
        Classifier.load(run.path, size="0.5")
    with refuses(UserError, "--size=0.5", "it has one network"):
        Classifier.load(folder.model("float32"), size="0.5")


def test_a_size_without_the_run_that_it_is_a_part_of_is_refused(together, tmp_path):
    alone = tmp_path / "run" / "sizes"
    shutil.copytree(together.folder.sizes, alone)
    shutil.rmtree(alone / NAMES[0] / "model" / "variables", ignore_errors=True)
    with refuses(UserError, str(alone / NAMES[0] / "model"), "Copy the whole folder"):
        finished.Run.read(alone / NAMES[0])


@pytest.mark.parametrize(("networks", "bits"), [(2, 2), (3, 2), (4, 3), (7, 3)])
def test_masks_are_read_as_they_were_written(tmp_path, networks, bits):
    random = np.random.default_rng(networks)
    first = {
        "one/kernel": random.integers(0, networks + 1, (7, 5)).astype(np.uint8),
        "two": random.integers(0, networks + 1, 3).astype(np.uint8),
    }
    sizes.Masks(networks, first).write(tmp_path / "masks")
    found = sizes.Masks.read(tmp_path / "masks")
    assert sizes.bits_of(networks) == bits
    assert (found.networks, set(found.first)) == (networks, set(first))
    for name, values in first.items():
        np.testing.assert_array_equal(found.first[name], values)
    (tmp_path / "cut").write_bytes((tmp_path / "masks").read_bytes()[:60])
    with pytest.raises((OSError, ValueError)):
        sizes.Masks.read(tmp_path / "cut")
