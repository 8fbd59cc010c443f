"""Files of CNNs: what they hold, and that they answer as their runs do, pruned or not."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_cnn
import tiny_runs
from ai_edge_litert import schema_py_generated as schema
from slow_fixtures import slow_to_make

from bert_glue_tf.export import flatbuffer
from bert_glue_tf.export.litert import LiteModel
from bert_glue_tf.models import saving
from bert_glue_tf.models.probing import probe

INT8, FLOAT = schema.TensorType.INT8, schema.TensorType.FLOAT32
SETTINGS = {"epochs": 6, "early_stopping": 4, "decay": "plateau", "plateau_epochs": 2}


@pytest.fixture(scope="module")
@slow_to_make
def run(tiny_glue, tmp_path_factory):
    """A run that has learned its task."""
    folder = tmp_path_factory.mktemp("cnn")
    encoder = tiny_cnn.write_folder(folder / "encoder")
    return tiny_runs.train(folder / "run", str(encoder), tiny_glue, **SETTINGS)


@pytest.fixture(scope="module")
def files(run):
    return tiny_runs.export(run, ["float32", "dynamic_int8", "int8"])


@pytest.fixture(scope="module")
def pruned(run, tiny_glue):
    """A run that has lost half of its filters."""
    settings = {
        "pruning_method": "filter",
        "pruning_scope": "encoder",
        "final_sparsity": 0.5,
        "initial_sparsity": 0.0,
        "start": str(run.path),
        "epochs": 3,
    }
    encoder = run.config.encoder
    return tiny_runs.train(run.path.with_name("pruned"), encoder, tiny_glue, **settings)


def convolutions(path):
    """Return the types of input and weights of a file's convolutions, and the weights' shapes."""
    content = flatbuffer.read(path.read_bytes())
    found = []
    for graph, names in zip(content.subgraphs, flatbuffer.operators(content), strict=True):
        for place, name in enumerate(names):
            if name == "CONV_2D":
                ids = graph.operators[place].inputs[:2]
                one, kernel = (graph.tensors[int(tensor)] for tensor in ids)
                found.append((one.type, kernel.type, tuple(map(int, kernel.shape))))
    return found


def test_it_has_learned_and_says_what_it_is(run):
    assert run.result.metrics["accuracy"] == 1.0
    assert run.result.encoder["family"] == "text_cnn"
    assert 0 < run.result.epoch <= 6
    assert run.result.parameters["total"] > run.result.encoder["parameters"]


def test_the_float_file_gives_the_models_logits(run, files):
    model = LiteModel((files.path / "float32.tflite").read_bytes())
    batch = {name: value[:1, :8] for name, value in probe(len(tiny_cnn.VOCABULARY)).items()}
    expected = saving.load_predict_fn(run.folder.model)(batch)
    np.testing.assert_allclose(model.predict(batch), expected, atol=1e-5)
    found = convolutions(files.path / "float32.tflite")
    assert {(source, kernel) for source, kernel, _ in found} == {(FLOAT, FLOAT)}


def test_its_convolutions_are_int8_on_the_fly_and_with_fixed_ranges(files):
    dynamic = convolutions(files.path / "dynamic_int8.tflite")
    assert {kernel for _, kernel, _ in dynamic} == {INT8}
    assert {source for source, _, _ in dynamic} == {FLOAT}
    static = convolutions(files.path / "int8.tflite")
    assert {kernel for _, kernel, _ in static} == {INT8}
    assert INT8 in {source for source, _, _ in static}
    for record in files.records().values():
        assert record.metrics["accuracy"] >= 0.98, record.recipe
        assert record.flips <= 1, record.recipe


def test_pruned_it_is_a_smaller_file_of_the_same_answers(run, files, pruned):
    assert pruned.result.metrics["accuracy"] >= 0.95
    counts, before = pruned.result.parameters, run.result.parameters["total"]
    assert counts["whole"] == before == run.result.parameters["whole"]
    assert before - counts["total"] > counts["pruned"]  # The readers of filters went too.
    folder = tiny_runs.export(pruned, ["float32"])
    (record,) = folder.records().values()
    assert record.flips == 0
    whole, cut = (convolutions(one.path / "float32.tflite")[:3] for one in (files, folder))
    # [filters, 1, words, features]
    assert sorted(shape for *_, shape in whole) == [(4, 1, 5, 10), (8, 1, 3, 10), (16, 1, 3, 12)]
    assert sorted(shape for *_, shape in cut) == [(2, 1, 5, 10), (4, 1, 3, 10), (8, 1, 3, 6)]
    sizes = [(one.path / "float32.tflite").stat().st_size for one in (files, folder)]
    assert sizes[1] < sizes[0]
    parameters = [one.result.parameters["total"] for one in (run, pruned)]
    assert parameters[1] < parameters[0]
