"""A run on arrays, its files, and their answers: the whole path on tiny pictures."""

from __future__ import annotations

import dataclasses
import io
import json
import re

import numpy as np
import pytest
import tiny_small
from ai_edge_litert import schema_py_generated as schema
from messages import refuses
from PIL import Image
from slow_fixtures import slow_to_make

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import batching
from bert_glue_tf.export import flatbuffer, integers, parity
from bert_glue_tf.export.launch import launch
from bert_glue_tf.export.litert import LiteModel
from bert_glue_tf.models import saving
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.serving import golden_check
from bert_glue_tf.serving.classifier import Classifier
from bert_glue_tf.serving.kinds import choice
from bert_glue_tf.training.launch import Launch

INT8 = schema.TensorType.INT8
RECIPE_NAMES = ("float32", "dynamic_int8", "int8", "full_int8")
PICTURES = tiny_small.examples(24, seed=5)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """An .npz file of pictures in three classes."""
    path = tmp_path_factory.mktemp("pictures") / "rows.npz"
    train = tiny_small.examples(90, seed=0)
    split = np.array(["train"] * 90 + ["val"] * 24)
    names = np.array(["top", "middle", "bottom"])
    np.savez(
        path,
        X=np.concatenate([train.values, PICTURES.values]),
        y=np.concatenate([train.labels, PICTURES.labels]),
        labels=names,
        split=split,
    )
    return path


def train(folder, data, **changes) -> Run:
    settings = {"epochs": 12, "batch_size": 16, "learning_rate": 3e-3, **changes}
    config = ExperimentConfig(task="images", data=str(data), encoder="lenet5", **settings)
    started = Launch(config, folder)
    started.train(started.check())
    return Run.read(folder)


@pytest.fixture(scope="module")
@slow_to_make
def run(data, tmp_path_factory):
    return train(tmp_path_factory.mktemp("run") / "run", data, augmentation="shift")


@pytest.fixture(scope="module")
@slow_to_make
def exported(run):
    return launch(run.path, recipes=RECIPE_NAMES, latency_repetitions=2, calibration_examples=60)


def test_it_learns_and_its_record_says_what_it_was(run):
    assert run.result.metrics["accuracy"] == 1.0
    assert run.result.own_task["classes"] == ["top", "middle", "bottom"]
    assert run.task.problem.labels == ("top", "middle", "bottom")
    assert run.task.modality.shape == tiny_small.SHAPE
    assert run.result.encoder["family"] == "small"
    assert run.result.data["train"]["shape"] == [12, 12, 1]
    assert run.config.augmentation == "shift"
    assert json.loads((run.folder.model / "preprocessing" / "arrays.json").read_text()) == {
        "shape": [12, 12, 1]
    }


def test_a_run_that_is_shown_is_not_run_again(run):
    again = Launch(run.config, run.path)
    assert again.finished() == run.result


def test_the_files_score_as_the_run_does(run, exported):
    _, records = exported
    assert [one.recipe for one in records] == list(RECIPE_NAMES)
    for one in records:
        assert one.seq_lengths in ([1], (1,))
        assert one.metrics["accuracy"] >= 0.95, one.recipe
        assert one.parity["examples"] == len(PICTURES)
    float32 = records[0]
    assert float32.parity["largest_difference"] < 1e-4
    assert float32.parity["largest_difference_at_1"] <= float32.parity["largest_difference"]
    assert float32.parity["flips"] == 0


def test_a_file_of_another_model_is_refused(run, exported):
    """The logits of a float32 file are compared with those that the run was scored by."""
    folder, _ = exported
    reader = run.task.modality.load(str(folder.preprocessing), "x")
    split = batching.tokenize(reader, "validation", PICTURES, modality=run.task.modality)
    model = LiteModel(folder.model("float32").read_bytes())
    found = parity.require_at_every_length(run, split, model)
    assert found["largest_difference_at_1"] < 1e-4
    changed = dataclasses.replace(split, tokens=reader.read(255 - PICTURES.values))
    with refuses(UserError, run.path, "the logits of pictures"):
        parity.require_at_every_length(run, changed, model)


def test_every_operator_of_the_whole_file_is_int8(exported):
    """Inputs, outputs and what lies between are int8, and no operator changes to float and back."""
    folder, _ = exported
    model = flatbuffer.read(folder.model("full_int8").read_bytes())
    (names,) = flatbuffer.operators(model)
    assert set(names) <= {"MUL", "SUB", "CONV_2D", "MAX_POOL_2D", "FULLY_CONNECTED", "RESHAPE"}
    assert names.count("CONV_2D") == 4
    (graph,) = model.subgraphs
    activations = {*graph.inputs, *(one for op in graph.operators for one in op.outputs)}
    assert {graph.tensors[one].type for one in activations} == {INT8}
    assert {graph.tensors[one].type for one in (*graph.inputs, *graph.outputs)} == {INT8}
    for place, name in enumerate(names):
        if name in ("CONV_2D", "FULLY_CONNECTED"):
            _, kernel, bias = (graph.tensors[one] for one in graph.operators[place].inputs)
            assert (kernel.type, bias.type) == (INT8, schema.TensorType.INT32)
    assert integers.others(model) == {}
    # Of a file whose inputs are float the first tensor that is none is told.
    other = flatbuffer.read(folder.model("int8").read_bytes())
    assert "FLOAT32" in integers.others(other).values()
    with refuses(UserError, "int8", "float32"):
        integers.require(other, "int8")


def test_the_whole_file_takes_raw_numbers_on_its_grid(exported):
    folder, _ = exported
    content = folder.model("full_int8").read_bytes()
    (graph,) = flatbuffer.read(content).subgraphs
    grid = graph.tensors[graph.inputs[0]].quantization
    scale, zero = float(grid.scale[0]), int(grid.zeroPoint[0])
    batch = tiny_small.batch(4, seed=5)
    model = LiteModel(content)
    ours = model.predict(batch)
    on_grid = np.clip(np.round(batch["values"] / scale) + zero, -128, 127).astype(np.int8)
    np.testing.assert_array_equal(model.predict({"values": on_grid}), ours)
    assert ours.dtype == np.float32
    assert (ours.argmax(1) == PICTURES.labels[:4]).all()


def test_the_c_array_holds_the_whole_file_aligned_with_its_length(exported):
    folder, _ = exported
    source, header = folder.sources("full_int8")
    text = source.read_text()
    numbers = bytes(int(one, 16) for one in re.findall(r"0x([0-9a-f]{2})", text))
    assert "alignas(16) const unsigned char g_full_int8[] = {" in text
    assert f"const unsigned int g_full_int8_len = {len(numbers)};" in text
    assert '#include "full_int8.h"' in text
    assert "extern const unsigned char g_full_int8[];" in header.read_text()
    assert "extern const unsigned int g_full_int8_len;" in header.read_text()
    batch = tiny_small.batch(4, seed=5)
    whole = LiteModel(folder.model("full_int8").read_bytes())
    np.testing.assert_array_equal(LiteModel(numbers).predict(batch), whole.predict(batch))
    assert flatbuffer.read_metadata(numbers) is None
    listed = folder.checksums.read_text()
    assert "full_int8.cc" in listed
    assert "full_int8.h" in listed


def test_the_card_and_the_metadata_say_what_a_client_needs(exported):
    folder, _ = exported
    described = json.loads(folder.metadata("full_int8").read_text())
    assert described["shape"] == [12, 12, 1]
    assert described["labels"] == ["top", "middle", "bottom"]
    card = folder.card("full_int8").read_text()
    assert "int8 `[1, 12, 12, 1]` input `values`, int8 output" in card
    assert "TFLite Micro" in card
    assert "float32 `[1, 12, 12, 1]` input `values`" in folder.card("float32").read_text()


def test_golden_arrays_are_answered_and_damage_is_found(exported):
    folder, _ = exported
    found = list(golden_check.check(folder.model("full_int8"), 1))
    assert len(found) == 3
    assert all("logits differ by" in line for line in found)
    (folder.preprocessing / "arrays.json").write_text('{"shape": [9, 9, 1]}')
    try:
        with refuses(UserError, folder.model("float32"), "[12, 12, 1]", "[9, 9, 1]"):
            Classifier.load(folder.model("float32"))
    finally:
        (folder.preprocessing / "arrays.json").write_text('{"shape": [12, 12, 1]}')


# --- answers ---


def answered(path, file, name, style="text", **more):
    classifier = Classifier.load(path)
    given = {"kind": "auto", "columns": [], "style": style, **more}
    lines = choice.of(classifier.task.modality).answered(classifier, file, name, **given)
    return [line for group in lines for line in group]


def npz(**arrays) -> io.BufferedReader:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return io.BufferedReader(io.BytesIO(buffer.getvalue()))


def test_a_run_and_its_files_answer_arrays(run, exported):
    folder, _ = exported
    names = [run.task.problem.labels[one] for one in PICTURES.labels]
    for path in (run.path, folder.model("float32"), folder.model("full_int8")):
        lines = answered(path, npz(X=PICTURES.values), "rows.npz", "tsv")
        assert lines[0] == "label\tprobability\texample"
        cells = [line.split("\t") for line in lines[1:]]
        assert [label for label, _, _ in cells] == names
        assert cells[1][2] == "rows.npz:2"
    (line,) = answered(run.path, npz(X=PICTURES.values[:1]), "x.npz", "jsonl")
    told = json.loads(line)
    assert (told["example"], told["label"]) == ("x.npz", names[0])
    assert sum(told["probabilities"].values()) == pytest.approx(1.0)


def test_a_picture_and_an_idx_file_are_answered(exported):
    folder, _ = exported
    buffer = io.BytesIO()
    Image.fromarray(PICTURES.values[1, ..., 0]).save(buffer, "PNG")
    file = io.BufferedReader(io.BytesIO(buffer.getvalue()))
    (line,) = answered(folder.model("float32"), file, "one.png")
    assert line.split()[0] == "middle"
    raw = bytes([0, 0, 8, 3, *b"\0\0\0\x02", *b"\0\0\0\x0c" * 2]) + PICTURES.values[:2].tobytes()
    lines = answered(folder.model("float32"), io.BufferedReader(io.BytesIO(raw)), "t-idx3-ubyte")
    assert [line.split()[0] for line in lines] == ["top", "middle"]


@pytest.mark.parametrize(
    ("file", "name", "more", "named"),
    [
        (npz(X=np.zeros((2, 9, 9, 1))), "x.npz", {}, ["x.npz", "[9, 9, 1]", "[12, 12, 1]"]),
        (npz(A=np.zeros(1), B=np.zeros(1)), "x.npz", {}, ["x.npz", "A, B"]),
        (npz(X=np.array(["a"])), "x.npz", {}, ["x.npz", "<U1"]),
        (io.BufferedReader(io.BytesIO(b"no")), "x.npz", {}, ["x.npz", "npz"]),
        (io.BufferedReader(io.BytesIO(b"no")), "x.png", {}, ["x.png", "picture"]),
        (io.BufferedReader(io.BytesIO(b"no")), "x.csv", {}, ["--input=x.csv"]),
        (io.BufferedReader(io.BytesIO(b"no")), "standard input", {}, ["--input"]),
        (npz(X=PICTURES.values), "x.npz", {"columns": ["a"]}, ["--text_columns"]),
        (npz(X=PICTURES.values), "x.npz", {"kind": "csv"}, ["--input_format=csv"]),
    ],
)
def test_what_is_no_array_is_refused(exported, file, name, more, named):
    folder, _ = exported
    with refuses(UserError, *named):
        answered(folder.model("float32"), file, name, **more)


def test_what_files_of_arrays_have_no_use_for_is_refused(run):
    for given, named in (
        ({"seq_lengths": ["16"]}, "--seq_lengths=16"),
        ({"recipes": ["int4"]}, "--recipes=int4"),
        ({"recipes": ["full_int8"], "outputs": "probabilities"}, "--outputs=probabilities"),
    ):
        with refuses(UserError, named):
            launch(run.path, **given)


# --- pruned ---


@pytest.mark.parametrize("method", ["filter", "channel"])
@pytest.mark.slow
def test_filters_and_channels_are_cut_out_and_the_files_answer_alike(run, data, method, tmp_path):
    pruned = train(
        tmp_path / method,
        data,
        start=str(run.path),
        epochs=3,
        pruning_method=method,
        pruning_scope="encoder",
        final_sparsity=0.5,
        initial_sparsity=0.0,
    )
    left = saving.read_description(pruned.folder.model)["encoder"]["filters"]
    expected = {"c1": 3, "c3": 8, "c5": 60} | ({"f6": 42} if method == "filter" else {})
    assert left == expected
    assert pruned.result.parameters["total"] < run.result.parameters["total"] / 2
    folder, (float32, _) = launch(pruned.path, recipes=["full_int8"], latency_repetitions=2)
    assert float32.parity["largest_difference"] < 1e-4
    assert integers.others(flatbuffer.read(folder.model("full_int8").read_bytes())) == {}


@pytest.mark.slow
def test_a_run_with_masks_and_a_teacher_goes_through(run, data, tmp_path):
    pruned = train(
        tmp_path / "masked",
        data,
        teacher=str(run.path),
        epochs=3,
        pruning_method="magnitude",
        pruning_scope="encoder",
        final_sparsity=0.8,
    )
    assert pruned.result.sparsity["conv/c5/kernel"] == pytest.approx(0.8, abs=0.01)
    assert pruned.result.teacher["run"] == "run"
    saved = saving.load_classifier(pruned.folder.model)
    kernel = next(v for v in saved.variables if v.name.startswith("conv/c5/kernel"))
    assert float((kernel.numpy() == 0).mean()) == pytest.approx(0.8, abs=0.01)
