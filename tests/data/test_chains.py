"""Chains of tags against all chains that there are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from bert_glue_tf.data.problems import Tagging, chains

TAGS, WORDS = 3, 4
RANDOM = np.random.default_rng(0)
TABLE = RANDOM.normal(size=(TAGS + 2, TAGS))
SCORES = RANDOM.normal(size=(WORDS, TAGS))


def score(chain):
    inside = sum(TABLE[a, b] for a, b in itertools.pairwise(chain))
    own = sum(SCORES[word, tag] for word, tag in enumerate(chain))
    return own + inside + TABLE[chains.FIRST, chain[0]] + TABLE[chains.LAST, chain[-1]]


def test_the_best_chain_and_its_likelihood_are_those_of_all_chains():
    every = list(itertools.product(range(TAGS), repeat=WORDS))
    assert tuple(chains.best(SCORES, TABLE)) == max(every, key=score)
    assert tuple(chains.best(SCORES[:1], TABLE)) == (
        int(np.argmax(SCORES[0] + TABLE[chains.FIRST] + TABLE[chains.LAST])),
    )
    total = math.log(sum(math.exp(score(chain)) for chain in every))
    assert chains.loss(SCORES, np.array([0, 2, 1, 1]), TABLE) == pytest.approx(
        total - score((0, 2, 1, 1))
    )


def test_a_problem_decodes_and_loses_by_its_chain():
    plain = Tagging(("O", "B-x", "I-x"))
    rows = tuple(tuple(map(float, row)) for row in TABLE)
    problem = Tagging(plain.labels, rows)
    logits = np.zeros((3, WORDS + 1, TAGS), np.float32)
    logits[0, :WORDS], logits[1, :2] = SCORES, SCORES[:2]
    labels = np.full((3, WORDS + 1), -1, np.int16)
    labels[0, :WORDS], labels[1, :2] = [0, 2, 1, 1], [1, 2]
    found = problem.decode(logits)
    assert tuple(found[0, :WORDS]) == tuple(chains.best(logits[0, :WORDS], TABLE))
    assert not found[2].any()  # Nothing of the sentence was read.
    keras = problem.keras_loss().call(tf.constant(labels), tf.constant(logits))
    assert keras.shape == (3,)
    expected = [chains.loss(logits[0, :WORDS], labels[0, :WORDS], TABLE)]
    expected += [chains.loss(logits[1, :2], labels[1, :2], TABLE), 0.0]
    np.testing.assert_allclose(keras, np.array(expected) / 20, rtol=1e-5)
    assert problem.loss(labels, logits) == pytest.approx(float(np.mean(keras)), rel=1e-5)
    # Where all transitions are alike a chain is its words by themselves.
    even = Tagging(plain.labels, ((0.0,) * TAGS,) * (TAGS + 2))
    np.testing.assert_array_equal(even.decode(logits)[:, :2], plain.decode(logits)[:, :2])
    assert even.loss(labels, logits) == pytest.approx(plain.loss(labels, logits))
