"""A search in a real, tiny classifier: cut, judged, killed, fitted, and written as a run."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf
import tiny_bert
import tiny_runs
from messages import refuses
from slow_fixtures import slow_to_make
from written_runs import write_run, wrong_at

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import layouts, tasks
from bert_glue_tf.evaluation import evaluator
from bert_glue_tf.models import classifiers, encoders, loading, saving
from bert_glue_tf.models.bert.classifier_weights import read_weights
from bert_glue_tf.models.blocks import ATTENTION, FEED_FORWARD, KINDS, BlockCut
from bert_glue_tf.models.saved_model.backbone import SavedModelBackbone
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.search import launch, levels_record, writing
from bert_glue_tf.search import pieces as vocabularies
from bert_glue_tf.search.costs import Cost
from bert_glue_tf.search.defaults import Effort
from bert_glue_tf.search.find import Candidate
from bert_glue_tf.search.levels_record import FILE_NAME
from bert_glue_tf.search.reconstruct import reconstruct
from bert_glue_tf.search.session import Search, level_counts
from bert_glue_tf.search.structure import Structure

HELD_OUT = 40
EFFORT = Effort(examples=HELD_OUT, tokens=10_000, fitted_tokens=10_000)


@pytest.fixture(scope="module", autouse=True)
def two_vocabularies():
    """Write one smaller vocabulary, since each one takes seconds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(vocabularies, "_USED", (1.0,))
        patched.setattr(vocabularies, "_REST", (0.0, 1.0))
        yield


@pytest.fixture(scope="module")
@slow_to_make
def run(tiny_glue, tmp_path_factory):
    """A run of two layers, hardly trained: its weights are wide."""
    encoder = tiny_bert.write_pair(tmp_path_factory.mktemp("encoder"), layers=2)
    folder = tmp_path_factory.mktemp("search") / "run"
    return tiny_runs.train(folder, str(encoder), tiny_glue, epochs=1, held_out=HELD_OUT)


@pytest.fixture(scope="module")
def search(run, tmp_path_factory):
    read = writing.examples_of(run)
    return Search(run, read, tmp_path_factory.mktemp("levels"), EFFORT)


@pytest.fixture(scope="module")
def levels(search):
    return search.levels()


def whole_of(search):
    """The structure of the whole network."""
    sizes = search.blocks.sizes
    return Structure(
        tuple(tuple(range(one.heads)) for one in sizes.layers),
        tuple(tuple(range(one.neurons)) for one in sizes.layers),
        tuple(range(sizes.pieces)),
    )


def smaller(search):
    """A structure without the second layer's heads and most of the neurons."""
    whole = whole_of(search)
    return dataclasses.replace(whole, heads=((1,), ()), neurons=((0, 3, 7, 8), (2, 30)))


def logits_of(model, split):
    predict = classifiers.predict_fn(model, layouts.Packed())
    return evaluator.predict(predict, split.tokens, 16, layouts.Packed())


def test_the_blocks_compute_the_classifier(run, search):
    saved = saving.SavedClassifier.load(run.folder.model)
    split, layout = search.texts.judged, layouts.Packed()
    expected = evaluator.predict(saved.predict_fn(layout), split.tokens, 16, layout)
    np.testing.assert_allclose(search.answers.reference, expected, atol=1e-5)
    assert search.texts.held_out
    assert len(split) == HELD_OUT
    assert search.answers.cut({}).rise == pytest.approx(0.0, abs=1e-9)


def test_a_block_without_units_is_the_network_with_zeros(run, search):
    """Against BERT in NumPy: heads and neurons that go leave zeros in the last products."""
    saved, blocks = read_weights(run.folder.model), search.blocks
    drawn = {name: np.array(saved.encoder[name]) for name in saved.encoder}
    cuts = {}
    for (layer, kind), units in {
        (0, ATTENTION): (1,),
        (1, ATTENTION): (),
        (1, KINDS[1]): (2, 5),
    }.items():
        kernel, bias = blocks.output(layer, kind)
        size = blocks.sizes.layers[layer].unit_size(kind)
        columns = [u * size + i for u in units for i in range(size)]
        cuts[layer, kind] = BlockCut(units, (kernel[columns], bias))
        last = "self_attention/attention_output" if kind == ATTENTION else "output"
        name = f"transformer/layer_{layer}/{last}/kernel"
        keep = np.zeros(len(drawn[name]), bool)
        keep[list(units)] = True
        drawn[name][~keep] = 0.0
    split = search.texts.judged
    for place in (0, 7):
        length = int(split.tokens.lengths[place])
        pooled = tiny_bert.forward(saved.architecture, drawn, split.tokens.batch([place], length))[
            "pooled_output"
        ]
        expected = pooled @ saved.kernel + saved.bias
        found = logits_of(blocks.cut(cuts, range(blocks.sizes.pieces)), split)[place]
        np.testing.assert_allclose(found, expected[0], atol=1e-4)
        state = blocks.begin(layouts.Packed().features(split.tokens, np.array([place])))
        for layer in range(2):
            state = blocks.layer(layer, state, cuts)
        np.testing.assert_allclose(blocks.logits(state)[0], expected[0], atol=1e-4)


def test_levels_go_from_nothing_to_all_and_rise_where_units_go(search, levels):
    assert [(one.kind, one.layer) for one in levels.blocks] == [
        *((kind, layer) for layer in range(2) for kind in KINDS),
        ("pieces", -1),
    ]
    for block in levels.blocks[:-1]:
        counts = [len(level.units) for level in block.levels]
        units = search.blocks.sizes.layers[block.layer].units(block.kind)
        assert counts == level_counts(block.kind, units)
        assert block.levels[-1].rise == 0
        assert block.levels[0].rise > 0
        # Each level has the units of the smaller ones.
        for less, more in zip(block.levels, block.levels[1:], strict=False):
            assert set(less.units) <= set(more.units)
    assert len(levels.blocks[-1].levels[-1].units) == search.blocks.sizes.pieces
    assert levels.structure(levels.whole) == whole_of(search)
    # A level's rise is that of its cut network.
    block = levels.blocks[1]
    cut = {(0, FEED_FORWARD): search.fitted(0, FEED_FORWARD, block.levels[1].units)}
    assert search.answers.cut(cut).rise == pytest.approx(block.levels[1].rise, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "units", "expected"),
    [
        (ATTENTION, 12, [0, 1, 2, 3, 4, 6, 8, 10, 12]),
        (ATTENTION, 1, [0, 1]),
        (FEED_FORWARD, 1536, [0, 32, 64, 128, 192, 384, 576, 768, 960, 1152, 1536]),
        (FEED_FORWARD, 5, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_levels_are_shares_of_the_units(kind, units, expected):
    assert level_counts(kind, units) == expected


def test_a_search_that_was_killed_measures_what_is_lacking(search, levels, monkeypatch):
    path = search.folder / FILE_NAME
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == 5
    path.write_text("".join(lines[:2]) + lines[2][:50])  # Killed while it wrote the third.
    again = Search(search.run, search.read, search.folder, EFFORT)
    asked = []
    measure = Search._levels_of
    monkeypatch.setattr(
        Search, "_levels_of", lambda self, *one: asked.append(one) or measure(self, *one)
    )
    found = again.levels()
    assert asked == [(1, ATTENTION), (1, FEED_FORWARD)]
    assert [len(one.levels) for one in found.blocks] == [len(one.levels) for one in levels.blocks]
    assert found.blocks[0] == levels.blocks[0]
    assert len(levels_record.load(search.folder)) == 5
    other = dataclasses.replace(again.basis, examples=3)  # Of other texts nothing is known.
    assert levels_record.known(levels_record.load(search.folder), other) == {}


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_read(tmp_path):
    run = Run.read(write_run(tmp_path / "run", [0, 1], wrong_at([0, 1], [])))
    folder = run.path / "search"
    folder.touch()
    with refuses(UserError, folder, "File exists", "may write"):
        Search(run, {}, folder)


def test_outputs_fitted_in_order_are_nearer_than_zeros(search):
    structure = smaller(search)
    cuts = reconstruct(search, structure)
    assert set(cuts) == {(layer, kind) for layer in range(2) for kind in KINDS}
    assert cuts[1, ATTENTION].units == ()
    plain = {
        (layer, kind): BlockCut(
            one.units,
            (
                search.blocks.output(layer, kind)[0][_columns(search, layer, kind, one)],
                search.blocks.output(layer, kind)[1],
            ),
        )
        for (layer, kind), one in cuts.items()
    }
    fitted, zeros = search.judge(structure, cuts), search.judge(structure, plain)
    assert fitted < zeros
    # What is whole stays as it is.
    assert reconstruct(search, whole_of(search)) == {}


def _columns(search, layer, kind, cut):
    size = search.blocks.sizes.layers[layer].unit_size(kind)
    return [unit * size + i for unit in cut.units for i in range(size)]


def candidate_of(structure):
    cost = Cost(1e6, 1.5)
    return Candidate("dynamic_int8", (), structure, cost, 0.25, True, cost, 0.3)


def test_a_structure_is_written_as_a_finished_run(run, search, tmp_path):
    pieces = search.vocabularies.levels()[0]
    structure = dataclasses.replace(smaller(search), pieces=pieces)
    result = writing.write(search, candidate_of(structure), tmp_path / "small")
    found = Run.read(tmp_path / "small")
    assert found.result.finished == result.finished
    assert found.config.start == str(run.path.resolve())
    told = writing.read_told(found.result)
    assert told["heads"] == [1, 0]
    assert told["neurons"] == [4, 2]
    assert told["predicted"] == {"bytes": 1e6, "ms": 1.5}
    assert told["held_out"]
    assert result.widths["before"] == [{"heads": 2, "neurons": 32}] * 2
    whole = run.result.parameters["total"]
    assert result.parameters["whole"] == whole > result.parameters["total"]
    assert result.encoder["starting_point"]["run"] == run.path.name
    assert 0.3 < found.config.final_sparsity < 1
    saved = read_weights(found.folder.model)
    assert saved.encoder["word_embeddings/embeddings"].shape[0] == len(pieces)
    # The saved model answers as the cut blocks do.
    split = search.vocabularies.tokenized(pieces, search.texts.examples)
    saved_model = saving.SavedClassifier.load(found.folder.model)
    layout = layouts.Packed()
    logits = evaluator.predict(saved_model.predict_fn(layout), split.tokens, 16, layout)
    distance = search.answers.distance(logits).rise
    assert distance == pytest.approx(told["fitted_rise"], rel=1e-3)
    # So does its graph for a file, in which the block without heads is its bias.
    graph = saving.graph(found.folder.model).function(32)
    batch = split.tokens.batch([3], 32)
    answer = graph(**{name: tf.constant(value) for name, value in batch.items()})
    np.testing.assert_allclose(answer["logits"], logits[3:4], atol=1e-4)
    softmaxes = [one.name for one in graph.graph.get_operations() if one.type == "Softmax"]
    assert len(softmaxes) == 1
    # The same call gives the record at once, and the run of another structure is another one.
    assert writing.write(search, candidate_of(structure), tmp_path / "small") == found.result
    with refuses(UserError, "--workdir", "pruning_options"):
        writing.write(search, candidate_of(smaller(search)), tmp_path / "small")
    # A training starts from the smaller network, with its vocabulary.
    backbone = loading.load(encoders.resolve(run.config.encoder), seq_length=32)
    started, (kernel, _) = backbone.start_from(found.folder.model, 2)
    assert started.widths() == [{"heads": 1, "neurons": 4}, {"heads": 1, "neurons": 2}]
    assert started.table.rows == len(pieces)
    assert started.preprocessing_path == str(found.folder.model / "preprocessing")
    np.testing.assert_array_equal(kernel, saved.kernel)
    with refuses(UserError, "variables"):  # But the whole does not start as a part.
        started.start_from(run.folder.model, 2)


def test_an_encoder_whose_blocks_cannot_be_told_apart_is_refused(tmp_path):
    encoder = {"family": "saved_model", "name": "their_encoder", "family_reason": "it is no BERT"}
    cola, tagged = tasks.get("cola"), tasks.get("rest16_e2e")
    result = types.SimpleNamespace(encoder=encoder)
    run = types.SimpleNamespace(path="runs/a", result=result, task=cola)
    with refuses(UserError, tmp_path, "SavedModel"):
        SavedModelBackbone.blocks(tmp_path)
    with refuses(UserError, "--run=runs/a", "their_encoder", "it is no BERT", "export_tflite"):
        launch.check(run)
    result.encoder = {"family": "bert"}
    launch.check(run)
    run.task = tagged
    with refuses(UserError, "--run=runs/a", "tags words", "--pruning_method"):
        launch.check(run)  # Before anything is measured or trained.


def test_without_held_out_texts_levels_are_judged_by_others_than_outputs_are_fitted_on(
    run, tmp_path, caplog
):
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, held_out=0))
    found = Search(run, writing.examples_of(run), tmp_path, EFFORT).texts
    assert not found.held_out
    assert "--held_out" in caplog.text
    judged = set(found.judged.texts[0])
    assert len(found.judged) == 40
    assert len(found.fitted) == 120
    assert len(judged & set(found.fitted.texts[0])) < 10  # Short sentences repeat.
