"""Hints: a student learns of the inside of its teacher's encoder."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from bert_glue_tf.data.layouts import Packed, Padded
from bert_glue_tf.data.preprocessing import TokenizedTexts
from bert_glue_tf.models.parts import Attention, States
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training import questions
from bert_glue_tf.training.hints import LayerStates, Relations
from bert_glue_tf.training.token_rows import TokenRows

LENGTHS = np.array([3, 6, 4, 5])
SPLITS = np.concatenate([[0], np.cumsum(LENGTHS)])
TOKENS = int(SPLITS[-1])
PIECES = TokenizedTexts(np.arange(TOKENS, dtype=np.int32) + 5, np.zeros(TOKENS, np.int8), SPLITS)
HEADS = 3  # Relation heads; the student has 2 attention heads of 6 features, the teacher 6 in all.


def relations(vectors):
    """Of one text's vectors [n, features]: those of each relation head, [heads, n, n]."""
    found = []
    for head in range(HEADS):
        own = vectors[:, head::HEADS]
        found.append(special.log_softmax(own @ own.T / np.sqrt(own.shape[1]), axis=-1))
    return np.array(found)


def expected(mine, theirs):
    """The divergence of each text, by its definition."""
    found = []
    for begin, end in itertools.pairwise(SPLITS):
        ours, wanted = relations(mine[begin:end]), relations(theirs[begin:end])
        found.append((np.exp(wanted) * (wanted - ours)).sum(-1).mean())
    return np.array(found)


@pytest.mark.parametrize("room", [0, 30])
@pytest.mark.parametrize("layout", [Packed(width=8), Padded(lengths=(6,))])
def test_relations_are_compared_within_each_text(layout, room):
    """Whatever other texts a row holds, and with heads that are pruned away: all 0."""
    random = np.random.default_rng(2)
    mine = random.normal(size=(TOKENS, 2, 6)).astype(np.float32)
    mine[:, 1] = 0.0
    theirs = random.normal(size=(TOKENS, 1, 6)).astype(np.float16)
    hint = Relations(TokenRows(theirs, SPLITS, room), 2.0, part=1, layer=2, heads=HEADS)
    order = np.array([2, 0, 3, 1])
    features = layout.features(PIECES, order)
    ids = features["input_word_ids"]
    rows = random.normal(size=(*ids.shape, 2, 6)).astype(np.float32)  # Also where nothing lies.
    rows[ids >= 5] = mine[ids[ids >= 5] - 5]
    outputs = {"attention_inputs": [None, [None, tf.constant(rows), None]]}
    targets = {name: values[order] for name, values in hint.targets().items()}
    with tf.GradientTape() as tape:
        found = hint.select(outputs)
        tape.watch(found)
        losses = hint.losses(
            tf.nest.map_structure(tf.constant, targets),
            found,
            tf.nest.map_structure(tf.constant, features),
        )
    wanted = expected(mine.reshape(TOKENS, -1), theirs[:, 0].astype(np.float32))
    np.testing.assert_allclose(losses, 2.0 * wanted[order], rtol=1e-5)
    gradient = tape.gradient(losses, found).numpy()
    assert np.abs(gradient[ids >= 5][:, 0]).min() > 0
    assert not gradient[ids < 5].any()


def asked(student, teacher, **settings):
    settings = ExperimentConfig(teacher="x", **settings)
    return questions.of(settings, States(2, 16, student), States(3, 32, teacher))


def test_a_teacher_is_asked_for_queries_keys_and_values_of_one_layer():
    small, large = Attention(2, (12, 12, 6)), Attention(4, (32, 32, 16))
    other = dataclasses.replace(large, heads=9)
    found = asked((small, small), (other, large, other), distill_attention="2:2")
    assert [one.shape for one in found] == [(1, 32), (1, 32), (1, 16)]
    assert [one.heads for one in found] == [4, 4, 2]  # They divide 12 and 32, 6 and 16.
    assert [one.weight for one in found] == [1 / 3] * 3
    assert [one.asked()[0] for one in found] == ["queries", "keys", "values"]
    assert {one.needs_pieces for one in found} == {"--distill_attention=2:2"}
    outputs = {"attention_inputs": [None, "qkv", None]}
    assert [one.select(outputs) for one in found] == [["q"], ["k"], ["v"]]
    hint = found[2].hint(None)
    assert (hint.part, hint.layer, hint.heads, hint.weight) == (2, 2, 2, 1 / 3)
    (last, *_) = asked((small, small), (large, large, large), distill_attention="last")
    assert last.record() == {"attention": [2, 3]}
    assert not asked((small, small), (large, large, large))


def test_a_tpu_can_compile_what_hints_add_to_the_loss():
    """Of arrays of one shape, with the gradient; a matrix between the widths is learned as well."""
    random = np.random.default_rng(4)
    features = Packed(width=8).features(PIECES, np.arange(4))
    shape = features["input_word_ids"].shape
    rows = random.normal(size=(TOKENS, 2, 6)).astype(np.float16)
    states = LayerStates(TokenRows(rows, SPLITS, 24), 1.0, (1, 2), (True, False), 4)
    relations = Relations(TokenRows(rows[:, :1], SPLITS, 24), 1.0, part=0, layer=1, heads=HEADS)
    projection = states.projection(seed=1)
    assert projection.shape == (4, 6)
    outputs = {
        "encoder_outputs": [random.normal(size=(*shape, 4)), random.normal(size=(4, 1, 4))],
        "attention_inputs": [[random.normal(size=(*shape, 1, 6))]],
    }
    outputs = tf.nest.map_structure(lambda one: tf.constant(one, tf.float32), outputs)

    def losses(features, targets, outputs):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            found = states.losses(targets, states.select(outputs), features, projection)
            found += relations.losses(targets, relations.select(outputs), features)
        return found, tape.gradient(found, [outputs, projection])

    hints = {**states.targets(), **relations.targets()}
    targets = {name: tf.constant(values[np.arange(4)]) for name, values in hints.items()}
    arguments = tf.nest.map_structure(tf.constant, features), targets, outputs
    expected = losses(*arguments)
    compiled = tf.function(losses, jit_compile=True)(*arguments)
    for mine, theirs in zip(tf.nest.flatten(compiled), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    assert (expected[0].numpy() > 0.1).all()
