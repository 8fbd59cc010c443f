"""The sensitivity of a real, tiny classifier: every number against one that is computed by hand."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import tiny_bert
from messages import refuses
from scipy.special import log_softmax
from scipy.stats import spearmanr
from slow_fixtures import slow_to_make

from bert_glue_tf.analysis import record, texts
from bert_glue_tf.analysis.launch import launch
from bert_glue_tf.analysis.probe import Probe
from bert_glue_tf.analysis.record import REMOVED, Sensitivity
from bert_glue_tf.analysis.sensitivity import changes_of, first_order
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.models import saving
from bert_glue_tf.models.bert.classifier_weights import read_weights
from bert_glue_tf.runs.finished import Run

EXAMPLES = 48
HEADS = ["layer 1, head 1", "layer 1, head 2"]
PARTS = ["layer 1", "layer 1, attention", *HEADS, "layer 1, feed-forward"]
TABLES = ["words", "positions", "types"]


@pytest.fixture(scope="module")
@slow_to_make
def measured(exported, tmp_path_factory):
    """A run whose parts were measured: the run, and the lines."""
    folder = tmp_path_factory.mktemp("sensitivity") / "run"
    shutil.copytree(exported[0].path, folder)
    return Run.read(folder), launch(folder, examples=EXAMPLES, recipes=())


@pytest.fixture(scope="module")
def probe(measured):
    run, _ = measured
    return Probe(run, chosen(run).tokenize(run))


def chosen(run, count=EXAMPLES):
    read = readers.load_for_training(run.task, run.config.data, run.config.train_examples)
    return texts.choose(run, read, count)


def loss_by_hand(run, without=()):
    """Mean loss of the same texts by NumPy alone, with zeros in some weights."""
    saved = read_weights(run.folder.model)
    drawn = {name: np.array(saved.encoder[name]) for name in saved.encoder}
    for name, place in without:
        drawn[name][slice(None) if place is None else place] = 0.0
    split = chosen(run).tokenize(run)
    total = 0.0
    for i in range(len(split)):
        length = int(split.tokens.lengths[i])
        batch = split.tokens.batch([i], length)
        pooled = tiny_bert.forward(saved.architecture, drawn, {n: batch[n] for n in INPUTS})
        logits = pooled["pooled_output"] @ saved.kernel + saved.bias
        total -= log_softmax(logits[0])[int(split.labels[i])]
    return total / len(split)


LAST = "transformer/layer_0/self_attention/attention_output"
ZEROS = {
    "layer 1, head 2": [(f"{LAST}/kernel", 1)],
    "layer 1, attention": [(f"{LAST}/kernel", None), (f"{LAST}/bias", None)],
    "layer 1, feed-forward": [
        ("transformer/layer_0/output/kernel", None),
        ("transformer/layer_0/output/bias", None),
    ],
    "positions": [("position_embedding/embeddings", None)],
}


def test_every_part_has_a_line_and_the_file_holds_them(measured):
    run, lines = measured
    assert [one.part for one in lines] == [*PARTS, *TABLES]
    assert {one.change for one in lines} == {REMOVED}
    assert record.load(run.path) == lines
    assert record.to_show(lines) == lines
    # Few texts after many: drawn is still the measurement on the many.
    fewer = [dataclasses.replace(one, base={**one.base, "examples": 2}) for one in lines]
    assert record.to_show([*lines, *fewer]) == lines
    assert record.to_show([]) == []
    by_part = {one.part: one for one in lines}
    assert (by_part[HEADS[1]].layer, by_part[HEADS[1]].head) == (1, 2)
    layer, halves = by_part["layer 1"], (by_part[name] for name in PARTS if name.count("-"))
    assert layer.weights == by_part["layer 1, attention"].weights + next(halves).weights
    heads = sum(by_part[name].weights for name in HEADS)
    assert by_part["layer 1, attention"].weights == heads + 16  # The bias behind the heads.


def test_the_rises_are_those_of_the_network_by_hand(measured):
    run, lines = measured
    before = loss_by_hand(run)
    assert lines[0].of_what.loss == pytest.approx(before, abs=1e-5)
    by_part = {one.part: one for one in lines}
    for part, zeros in ZEROS.items():
        assert by_part[part].rise == pytest.approx(loss_by_hand(run, zeros) - before, abs=1e-4)
    everything = ZEROS["layer 1, attention"] + ZEROS["layer 1, feed-forward"]
    assert by_part["layer 1"].rise == pytest.approx(
        loss_by_hand(run, everything) - before, abs=1e-4
    )


def test_the_first_order_is_the_slope_of_the_loss(measured, probe):
    run, lines = measured
    by_part = {one.part: one for one in lines}
    now = {name: variable.numpy() for name, variable in probe.variables.items()}
    step = 1e-2
    for change in changes_of(run, probe, ()):
        gone = change.values(now)
        sides = []
        for share in (step, -step):
            values = {name: now[name] + share * (gone[name] - now[name]) for name in gone}
            with probe.changed(values):
                sides.append(float(probe.losses(probe.logits()).mean(dtype=np.float64)))
        slope = (sides[0] - sides[1]) / (2 * step)
        found = by_part[change.part.name]
        assert found.predicted == pytest.approx(slope, abs=2e-3 + 0.02 * abs(slope))
        assert found.first_order >= abs(found.predicted) - 1e-9
    # And everything is as it was.
    for name, variable in probe.variables.items():
        np.testing.assert_array_equal(variable.numpy(), now[name])


def test_two_halves_of_the_texts_say_the_same_of_each_part(measured):
    """Scores by gradient come from enough texts: no half says another thing than the other."""
    run, _ = measured
    split = chosen(run, 160).tokenize(run)
    found = []
    for half in (np.arange(80), np.arange(80, 160)):
        tokens, labels = split.tokens.take(half), split.labels[half]
        own = Probe(run, dataclasses.replace(split, tokens=tokens, labels=labels))
        estimates = first_order(own, changes_of(run, own, ()))
        found.append(np.array([one.first_order for one in estimates]))
    assert spearmanr(*found).statistic > 0.9
    of_layers = [one[: len(PARTS)] for one in found]
    np.testing.assert_allclose(*np.log2(of_layers), atol=0.6)  # By a factor of 1.5 at most.


def test_weights_are_rounded_as_a_file_holds_them_part_by_part(measured, probe):
    run, _ = measured
    found = {change.part.name: change for change in changes_of(run, probe, ["int8"])[8:]}
    assert list(found) == [
        *("words", "types", "layer 1", "layer 1, attention", "layer 1, feed-forward"),
        *("pooler", "classifier"),
    ]
    layer = found["layer 1"]
    halves = {*found["layer 1, attention"].names, *found["layer 1, feed-forward"].names}
    assert set(layer.names) == halves
    assert not any("norm" in name for name in halves)
    before = probe.variables["word_embeddings/embeddings"].numpy()
    (rows,) = found["words"].values({}).values()
    step = np.abs(before).max(axis=1, keepdims=True) / 127
    np.testing.assert_allclose(rows, np.round(before / step) * step, atol=1e-6)
    assert np.abs(rows - before).max() > 0
    # What a file of these integers answers, by NumPy from weights that were read for themselves.
    rounded = probe.family.rounded(run.folder.model, "int8")
    with probe.changed(rounded):
        logits = probe.logits()
    assert 0 < np.abs(logits - probe.reference).max() < 0.3
    assert probe.flips(logits) == 0


def test_what_is_there_is_not_measured_again_and_a_killed_command_goes_on(measured, tmp_path):
    run, lines = measured
    shutil.copytree(run.path, tmp_path / "run")
    file = tmp_path / "run" / record.FILE_NAME
    whole = file.read_text()
    first = "".join(whole.splitlines(keepends=True)[:3])
    file.write_text(first + whole.splitlines()[3][:100])  # A line that was cut short.
    again = launch(tmp_path / "run", examples=EXAMPLES, recipes=())
    assert file.read_text().startswith(first)
    assert [one.part for one in again] == [one.part for one in lines]
    for one, other in zip(again, lines, strict=True):
        assert dataclasses.asdict(one) | {"finished": ""} == dataclasses.asdict(other) | {
            "finished": ""
        }


def test_single_heads_may_be_left_at_their_estimates(measured, tmp_path):
    run, lines = measured
    shutil.copytree(run.path, tmp_path / "run")
    file = tmp_path / "run" / record.FILE_NAME
    file.unlink()
    few = launch(tmp_path / "run", examples=EXAMPLES, recipes=(), each_head=False)
    heads = [one for one in few if one.what == "head"]
    assert [one.is_measured for one in heads] == [False, False]
    assert [one.first_order for one in heads] == [
        one.first_order for one in lines if one.what == "head"
    ]
    assert all(one.is_measured for one in few if one.what != "head")


def test_texts_that_the_run_has_held_out_are_taken_where_there_are_some(measured, caplog):
    run, _ = measured
    with caplog.at_level("WARNING", "absl"):
        seen = chosen(run, 20)
    assert not seen.held_out
    assert "--held_out=20" in caplog.text
    apart = dataclasses.replace(run, config=dataclasses.replace(run.config, held_out=30))
    read = readers.load_for_training(run.task, run.config.data, run.config.train_examples)
    trained, kept = read["train"].hold_out(30, run.task.problem)
    found = texts.choose(apart, read, 512)
    assert found.held_out
    assert found.examples.texts == kept.texts
    assert len(texts.choose(apart, read, 8).examples) == 8
    assert len(trained) + len(kept) == len(read["train"])


def test_bad_input_is_refused_before_tensorflow_starts(measured, tmp_path):
    run, _ = measured
    with refuses(UserError, "--examples=1"):
        launch(run.path, examples=1)
    with refuses(UserError, "--recipes=int3", "int4"):
        launch(run.path, recipes=["int3"])
    with refuses(UserError, f"--run={tmp_path}"):
        launch(tmp_path)


def test_data_that_has_changed_is_refused(measured):
    run, _ = measured
    read = readers.load_for_training(run.task, run.config.data, run.config.train_examples)
    provenance = {**read["train"].provenance, "sha256": "0" * 64}
    other = {**read, "train": dataclasses.replace(read["train"], provenance=provenance)}
    with refuses(UserError, "training data has changed"):
        texts.choose(run, other, 8)


def test_of_an_encoder_held_as_a_savedmodel_only_the_tables_are_known(measured, caplog):
    from bert_glue_tf.analysis import sensitivity

    run, _ = measured
    saved = saving.families.get("saved_model")
    variables = saving.load_saved(run.folder.model).variables
    assert [part.name for part in saved.parts(variables)] == TABLES
    encoder = {"name": "odd", "family_reason": "its outputs differ"}
    odd = dataclasses.replace(run, result=dataclasses.replace(run.result, encoder=encoder))
    tables = [sensitivity.Removal(part) for part in saved.parts(variables)]
    with caplog.at_level("WARNING", "absl"):
        assert sensitivity._require_some(odd, tables) == tables
    assert "layers, heads and feed-forward blocks cannot be measured" in caplog.text
    with refuses(UserError, "held as a SavedModel (its outputs differ)", "standard BERT"):
        sensitivity._require_some(odd, [])


def test_a_line_that_says_something_else_is_refused(measured):
    _, lines = measured
    line = lines[0].to_line()
    assert Sensitivity.from_line(line) == lines[0]
    with pytest.raises(ValueError, match="part"):
        Sensitivity.from_line('{"format": 1, "part": "layer 1"}')
    with pytest.raises(ValueError, match="base"):
        Sensitivity.from_line(line.replace('"held_out"', '"held_in"'))
