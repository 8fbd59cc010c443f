"""The sparse weights of .tflite files, as read from files of TensorFlow's converter.

The zeros are placed in a regular way, so that every number of bytes can be computed by hand.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import types

import numpy as np
import pytest
import tensorflow as tf
import tiny_bert
from absl import flags

from bert_glue_tf.export import convert, flatbuffer, litert
from bert_glue_tf.models import transformer_names
from bert_glue_tf.models.bert import export_graph
from bert_glue_tf.models.bert.classifier_weights import SavedWeights
from bert_glue_tf.models.probing import probe

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
RESULTS = BENCHMARKS.parent / "docs" / "results"
HIDDEN, INNER, CLASSES = 64, 128, 3
SHAPES = {(HIDDEN, HIDDEN): 4, (INNER, HIDDEN): 1, (HIDDEN, INNER): 1}  # [out, in], per layer.
# Pooler and classifier stay as they are.
REST = HIDDEN * HIDDEN + HIDDEN * CLASSES
DENSE = sum(number * np.prod(shape) for shape, number in SHAPES.items()) + REST


def weights(inputs=0):
    """A classifier of one layer; every second block of so many inputs of one output is zero."""
    architecture = tiny_bert.architecture(layers=1, hidden=HIDDEN, heads=4)
    encoder = tiny_bert.weights(architecture, 0)
    if inputs:
        for name, value in encoder.items():
            if name.startswith("transformer/") and name.endswith("kernel"):
                height, width = transformer_names.matrix_shape(name, value.shape)
                block, output = np.ogrid[: height // inputs, :width]
                kept = np.repeat((block + output) % 2 == 0, inputs, axis=0)
                encoder[name] = value * kept.reshape(value.shape)
    random = np.random.default_rng(0)
    return SavedWeights(
        architecture,
        encoder,
        random.normal(size=(HIDDEN, CLASSES)).astype(np.float32),
        random.normal(size=CLASSES).astype(np.float32),
    )


def file(inputs, sparse, lengths=(8,)):
    graph = export_graph.ExportGraph(weights(inputs))
    return convert.convert_module(graph, lengths, "the test's", sparse)


def logits(content, delegate=True):
    batch = probe(len(tiny_bert.VOCABULARY), batch=3, length=8)
    return litert.LiteModel(content, delegate=delegate).predict(batch)


@pytest.mark.parametrize(("inputs", "sparse"), [(0, False), (0, True), (1, False), (4, False)])
def test_a_file_is_dense_unless_it_has_zeros_and_is_asked_to_be_sparse(inputs, sparse):
    model = flatbuffer.read(file(inputs, sparse))
    assert flatbuffer.sparse_tensors(model) == []
    assert flatbuffer.dense_weight_bytes(model) == 4 * DENSE


def test_weights_that_signatures_share_count_once():
    model = flatbuffer.read(file(0, False, lengths=(8, 12)))
    assert flatbuffer.dense_weight_bytes(model) == 4 * DENSE
    one, two = (flatbuffer.read(file(4, True, lengths)) for lengths in ((8,), (8, 12)))
    # The values, that is; where they belong stands in the file twice.
    places = sum(t.bytes - 4 * t.values for t in flatbuffer.sparse_tensors(one))
    assert flatbuffer.dense_weight_bytes(two) == flatbuffer.dense_weight_bytes(one) + places
    assert places == 4 * (512 + 130) + (1024 + 258) + (1024 + 130)


def sizes(found):
    """(shape, block, values, bytes) of sparse tensors -> how often."""
    tuples = [(t.shape, t.block, t.values, t.bytes) for t in found]
    return {each: tuples.count(each) for each in tuples}


def expected_sizes(block, value_bytes):
    """Half of the values, a column for each block, a boundary around each row.

    Columns are below 256 and take a byte, boundaries count blocks and take one or two.
    """
    result = {}
    for (out, width), number in SHAPES.items():
        values = out * width // 2
        blocks = values // block
        size = values * value_bytes + blocks + (out + 1) * (1 if blocks < 256 else 2)
        result[(out, width), (1, block), values, size] = number
    return result


def test_blocks_of_1x4_are_read_by_the_matrix_products_themselves():
    dense, sparse = file(4, False), file(4, True)
    model = flatbuffer.read(sparse)
    found = flatbuffer.sparse_tensors(model)
    # 64x64: 2,048 values of 4 bytes, 512 columns, 65 boundaries of 2 bytes.
    assert ((64, 64), (1, 4), 2048, 8834) in sizes(found)
    assert sizes(found) == expected_sizes(4, 4)
    assert {t.consumers for t in found} == {("FULLY_CONNECTED",)}
    assert "DENSIFY" not in flatbuffer.operator_counts(model)
    assert flatbuffer.dense_weight_bytes(model) == sum(t.bytes for t in found) + 4 * REST
    assert len(sparse) < len(dense) - 4 * (DENSE - REST) // 3
    np.testing.assert_allclose(logits(sparse), logits(dense), atol=1e-4)


def test_single_zeros_are_made_dense_again_by_densify():
    dense, sparse = file(1, False), file(1, True)
    model = flatbuffer.read(sparse)
    found = flatbuffer.sparse_tensors(model)
    # 64x64: 2,048 values of 4 bytes, as many columns, 65 boundaries of 2 bytes.
    assert ((64, 64), (1, 1), 2048, 10370) in sizes(found)
    assert sizes(found) == expected_sizes(1, 4)
    assert {t.consumers for t in found} == {("DENSIFY",)}
    assert flatbuffer.operator_counts(model)["DENSIFY"] == 6
    assert flatbuffer.dense_weight_bytes(model) == sum(t.bytes for t in found) + 4 * REST
    np.testing.assert_allclose(logits(sparse), logits(dense), atol=1e-4)


def test_int8_blocks_of_1x16_are_found_and_litert_s_own_kernels_read_them():
    graph = export_graph.ExportGraph(weights(16))
    options = tf.lite.Optimize.DEFAULT, tf.lite.Optimize.EXPERIMENTAL_SPARSITY
    dense = convert.from_converter(graph, (8,), "the test's", options[:1])
    sparse = convert.from_converter(graph, (8,), "the test's", options)
    found = flatbuffer.sparse_tensors(flatbuffer.read(sparse))
    # 64x64: 2,048 values of a byte, 128 columns, 65 boundaries of a byte.
    assert ((64, 64), (1, 16), 2048, 2241) in sizes(found)
    assert sizes(found) == expected_sizes(16, 1)
    assert {t.consumers for t in found} == {("FULLY_CONNECTED",)}
    expected = logits(dense, delegate=False)
    np.testing.assert_allclose(logits(sparse, delegate=False), expected, atol=0.1 * expected.std())


def test_the_delegate_can_be_left_out():
    content = file(4, False)
    assert not np.array_equal(logits(content), logits(content, delegate=False))
    np.testing.assert_allclose(logits(content), logits(content, delegate=False), atol=1e-4)


def test_the_block_is_read_along_the_traversal_order():
    # A made-up 4x6 matrix in blocks of 2x3, its columns of blocks first: 2x2 blocks, one stored.
    schema = flatbuffer.schema
    content = file(0, False)
    model = flatbuffer.read(content)
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = b"made up", [4, 6], schema.TensorType.FLOAT32
    buffer = schema.BufferT()
    buffer.data = np.zeros(6 * 4, np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1
    tensor.sparsity = schema.SparsityParametersT()
    tensor.sparsity.traversalOrder, tensor.sparsity.blockMap = [1, 0, 3, 2], [0, 1]
    tensor.sparsity.dimMetadata = []
    for size in (2, 0, 3, 2):
        metadata = schema.DimensionMetadataT()
        metadata.denseSize = size
        tensor.sparsity.dimMetadata.append(metadata)
    segments, indices = schema.Int32VectorT(), schema.Uint8VectorT()
    segments.values, indices.values = [0, 1, 1], [0]
    row = tensor.sparsity.dimMetadata[1]
    row.arraySegments, row.arraySegmentsType = segments, schema.SparseIndexVector.Int32Vector
    row.arrayIndices, row.arrayIndicesType = indices, schema.SparseIndexVector.Uint8Vector
    model.subgraphs[0].tensors.append(tensor)
    (found,) = flatbuffer.sparse_tensors(model)
    assert found == flatbuffer.SparseTensor("made up", (4, 6), (2, 3), 6, 24 + 3 * 4 + 1, ())


@pytest.fixture
def benchmark(monkeypatch):
    for kind in ("string", "list", "integer"):  # Other benchmarks have flags of these names.
        monkeypatch.setattr(flags, f"DEFINE_{kind}", lambda *arguments: None)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import sparse_tflite

    return sparse_tflite


def test_the_benchmark_writes_records_that_give_its_tables_again(
    benchmark, tmp_path, monkeypatch, capsys
):
    committed = [json.loads(line) for line in (RESULTS / "sparse_tflite.jsonl").open()]
    names = [field.name for field in dataclasses.fields(benchmark._File)]

    class Measured:
        """Gives the files of the records that are committed."""

        what = "a model"
        time = path = lambda self, file: tmp_path / "none"

        def make(self, recipe):
            found = [one for one in committed if one["recipe"] == recipe]
            return [benchmark._File(**{name: one[name] for name in names}) for one in found]

    monkeypatch.setattr(benchmark, "_Experiment", lambda folder: Measured())
    given = {"seq_length": 128, "threads": 2, "repetitions": 20, "records": ""}
    asked = types.SimpleNamespace(output=str(tmp_path), recipes=list(benchmark._RECIPES), **given)
    monkeypatch.setattr(benchmark, "FLAGS", asked)
    benchmark.main()
    capsys.readouterr()
    asked.records = str(tmp_path / "sparse_tflite.jsonl")
    written = [json.loads(line) for line in (tmp_path / "sparse_tflite.jsonl").open()]
    benchmark.main()
    again = capsys.readouterr().out
    assert [(one["format"], one["bytes"]) for one in written] == [
        (1, one["bytes"]) for one in committed
    ]
    assert again == (tmp_path / "sparse_tflite.md").read_text() + "\n"
    asked.records = str(RESULTS / "sparse_tflite.jsonl")
    benchmark.main()
    assert capsys.readouterr().out.strip() in (RESULTS / "sparse_tflite.md").read_text()


def test_the_benchmark_zeroes_the_weakest_blocks_of_inputs(benchmark):
    full = weights()
    cut = benchmark.zeroed(full, 0.75, 4)
    for name, value in full.encoder.items():
        found = cut.encoder[name]
        if not (name.startswith("transformer/") and name.endswith("kernel")):
            np.testing.assert_array_equal(found, value)
            continue
        shape = transformer_names.matrix_shape(name, value.shape)
        left = found.reshape(shape).reshape(shape[0] // 4, 4, shape[1]) != 0
        assert np.array_equal(left.any(axis=1), left.all(axis=1))  # Blocks go as a whole.
        np.testing.assert_array_equal(found[found != 0], value[found != 0])
        assert left.mean() == 0.25
        norms = np.linalg.norm(value.reshape(left.shape), axis=1)
        kept = left.all(axis=1)
        assert norms[kept].min() >= norms[~kept].max()
