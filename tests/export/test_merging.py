"""One file of several networks: its answers, its bytes, and what is said of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tiny_bert
import tiny_runs
from ai_edge_litert import schema_py_generated as schema
from messages import refuses
from slow_fixtures import slow_to_make
from study_runs import command
from tiny_classifier import classifier, saved_weights
from written_runs import write_run

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.records import load
from bert_glue_tf.data import tasks
from bert_glue_tf.export import convert, launch, merging, one_file
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.models import saving
from bert_glue_tf.models.bert import cutting
from bert_glue_tf.models.bert.classifier_weights import from_weights
from bert_glue_tf.reports import sizes
from bert_glue_tf.serving.classifier import Classifier

NAMES = ("w0.5-d1", "w1-d1")


@pytest.fixture(scope="module")
@slow_to_make
def made(tmp_path_factory, tiny_glue):
    """An elastic run of two sizes with its files, and the records of the one file of both."""
    folder = tmp_path_factory.mktemp("one_file")
    encoder = str(tiny_bert.write_pair(folder / "encoder", layers=1, heads=4))
    run = tiny_runs.train(
        folder / "run",
        encoder,
        tiny_glue,
        pruning_method="elastic",
        pruning_options="widths=0.5,1.0 depths=1.0",
        finetune_epochs=2,
        epochs=1,
    )
    exported = launch.launch_sizes(
        run.path,
        recipes=["float32", "dynamic_int8"],
        seq_lengths=["8", "16"],
        threads=1,
        calibration_examples=8,
        latency_repetitions=2,
    )
    return run, exported, one_file.write(exported, threads=1, repetitions=3)


@pytest.mark.parametrize("recipe", ["float32", "dynamic_int8"])
def test_each_network_answers_as_its_own_file(made, recipe):
    _run, exported, records = made
    texts = [(text,) for text, _ in tiny_runs.sentences(12, 4)]
    folder = exported[0][0]
    path = folder.model(f"{recipe}_sizes")
    (record,) = (one for one in records if one.recipe == recipe)
    assert record.bytes == path.stat().st_size < record.separate
    for (place, _), name in zip(exported, reversed(NAMES), strict=True):
        own = Classifier.load(place.model(recipe)).logits(texts)
        np.testing.assert_array_equal(Classifier.load(path, size=name).logits(texts), own)
    # Who knows of no sizes has the whole one.
    whole = Classifier.load(folder.model(recipe)).logits(texts)
    np.testing.assert_array_equal(Classifier.load(path).logits(texts), whole)


def constants(content: bytes) -> list[tuple[int, int]]:
    """Where each constant of a merged file begins and ends, of those that lie behind the graph."""
    root = schema.Model.GetRootAs(content, 0)
    found = [root.Buffers(place) for place in range(root.BuffersLength())]
    return [(one.Offset(), one.Offset() + one.Size()) for one in found if one.Size()]


def covered(places: list[tuple[int, int]]) -> int:
    """The bytes that lie in at least one of these places."""
    total = end = 0
    for start, stop in sorted(places):
        total += max(0, stop - max(start, end))
        end = max(end, stop)
    return total


def test_constants_that_begin_alike_stand_once(tmp_path):
    shapes = tiny_bert.architecture(layers=1, heads=4)
    model, drawn = classifier(shapes)
    weights = saved_weights(model, shapes, drawn)
    files = {
        name: convert_to_file(tmp_path / name, cutting.first_units(weights, [widths]))
        for name, widths in (("large", (4, 32)), ("small", (2, 16)))
    }
    both = constants(merging.merge(files, "large"))
    large, small = (constants(merging.merge({n: c}, n)) for n, c in files.items())
    assert len(both) == len(large) + len(small)
    # Of the smaller network only the products that read heads and neurons are no beginnings of the
    # larger one's: [hidden, heads x size] and [hidden, neurons], four bytes each.
    hidden = shapes.hidden_size
    own = 4 * hidden * (2 * hidden // 4 + 16)
    assert covered(both) - covered(large) == own
    assert covered(small) > 4 * own
    # By hand: equal ones, beginnings of others, and one that is neither.
    placed = merging._Placed()
    long = np.arange(200, dtype=np.uint8)
    starts = [placed.place(one) for one in (long, long[:128], long[:64], long[64:])]
    assert starts == [0, 0, 0, 256]
    assert placed.size == 256 + 192


@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("builtinOptions", schema.WhileOptionsT()),
        ("builtinOptions", schema.IfOptionsT()),
        ("builtinOptions", schema.CallOnceOptionsT()),
        ("builtinOptions2", schema.StablehloWhileOptionsT()),
    ],
)
def test_operators_that_call_graphs_by_number_are_refused(place, options):
    operator = schema.OperatorT()
    operator.opcodeIndex, graph = 0, schema.SubGraphT()
    setattr(operator, place, options)
    graph.operators, graph.tensors = [operator], []
    models = [schema.ModelT(), schema.ModelT()]
    for model in models:
        model.operatorCodes, model.buffers, model.signatureDefs = [], [], []
        model.subgraphs = []
    models[1].subgraphs = [graph]
    kind = type(options).__name__.removesuffix("OptionsT")
    with refuses(UserError, "--one_file", "the size small", kind):
        merging._add(*models, "small")


def test_a_folder_that_another_process_exports_into_is_refused(tmp_path):
    folder = ExportFolder(tmp_path)
    with folder.locked(), refuses(UserError, str(tmp_path), "another process is exporting"):
        one_file.write([(folder, [])])


def convert_to_file(folder, weights) -> bytes:
    """The float32 file of a classifier, at one length."""
    preprocessing = tiny_bert.write_preprocessing(folder.with_suffix(".text"))
    backbone = dataclasses.replace(
        tiny_bert.backbone(None, weights.architecture),
        preprocessing_path=str(preprocessing),
    )
    saving.save(from_weights(weights), backbone, tasks.get("mnli"), folder)
    return convert.convert(folder, [8])


def test_the_record_has_times_of_both_files(made):
    _run, exported, records = made
    assert load(exported[0][0].path / one_file.RECORDS, one_file.OneFile) == records
    rows = sizes.table(records).texts()
    assert [row["size"] for row in rows] == [*reversed(NAMES)] * 2
    assert all(float(row["ms, own"]) > 0 and float(row["times as long"]) > 0 for row in rows)
    sums = (exported[0][0].path / "SHA256SUMS").read_text()
    assert "float32_sizes.tflite" in sums


def test_a_size_that_a_file_has_not_is_refused(made):
    _, exported, _ = made
    folder = exported[0][0]
    with refuses(UserError, "--size=w0.25-d1", "w1-d1, w0.5-d1"):
        Classifier.load(folder.model("float32_sizes"), size="w0.25-d1")
    with refuses(UserError, "--size=w0.25-d1", "it has one network"):
        Classifier.load(folder.model("float32"), size="w0.25-d1")


def test_one_file_of_a_run_of_one_network_is_refused_before_any_is_made(tmp_path):
    run = write_run(tmp_path / "run", [0, 1], [[1.0, 0.0], [0.0, 1.0]])
    done = command("export_tflite", "--one_file", run=run)
    assert done.returncode == 2
    assert f"--one_file: the weights of {run} hold one network" in done.stderr
    assert not (run / "tflite").exists()
