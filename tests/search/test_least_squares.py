"""Least squares of a block's outputs: what is redundant goes without a loss."""

from __future__ import annotations

import numpy as np
import pytest

from bert_glue_tf.search import fitting
from bert_glue_tf.search.fitting import Fit, Moments

RANDOM = np.random.default_rng(0)
TOKENS = 400


def block(columns=6, hidden=5, copies=3):
    """Inputs of which the last `copies` columns follow from the others; kernel and bias."""
    free = RANDOM.normal(1.0, 1.0, (TOKENS, columns - copies))
    inputs = np.column_stack([free, free @ RANDOM.normal(size=(columns - copies, copies))])
    kernel = RANDOM.normal(size=(columns, hidden))
    return tuple(x.astype(np.float32) for x in (inputs, kernel, RANDOM.normal(size=hidden)))


def fit_of(inputs, kernel, bias, ridge=1e-9):
    sums = Moments.empty(inputs.shape[1], len(bias))
    for part in np.array_split(inputs, 3):
        sums.add(part, np.ones(len(part), np.float32))
    return Fit.of(fitting.own(sums, (kernel, bias)), kernel, ridge)


def test_a_redundant_block_loses_nothing():
    inputs, kernel, bias = block()
    fit = fit_of(inputs, kernel, bias)
    left = np.sort(fitting.removal_order(fit_of(inputs, kernel, bias, 1e-6), 1)[3:])
    smaller, shift = fit.output(left)
    assert smaller.dtype == shift.dtype == np.float32
    outputs = inputs @ kernel + bias
    np.testing.assert_allclose(inputs[:, left] @ smaller + shift, outputs, atol=2e-3)
    # Zeros in the place of the same columns are far off.
    assert np.abs(inputs[:, left] @ kernel[left] + bias - outputs).max() > 1


def test_the_solution_is_that_of_numpy():
    inputs, kernel, bias = block(copies=0)
    left = np.array([0, 2, 5])
    smaller, shift = fit_of(inputs, kernel, bias).output(left)
    design = np.column_stack([inputs[:, left], np.ones(TOKENS)])
    found, *_ = np.linalg.lstsq(design, inputs @ kernel + bias, rcond=None)
    np.testing.assert_allclose(np.vstack([smaller, shift]), found, atol=1e-3)


def test_inputs_that_hardly_differ_from_token_to_token_have_their_own_covariance():
    """In float32 products of the whole have errors beyond the ridge, and no inverse."""
    random = np.random.default_rng(1)
    inputs = (1.0 + 1e-4 * random.normal(size=(TOKENS, 8))).astype(np.float32)
    targets = (3.0 + 1e-4 * random.normal(size=(TOKENS, 5))).astype(np.float32)
    weights = random.uniform(0.5, 1.5, TOKENS).astype(np.float32)
    sums = Moments.empty(8, 5)
    for some in np.array_split(np.arange(TOKENS), 3):
        sums.add(inputs[some], weights[some], targets[some])
    expected = np.cov(inputs.T, targets.T, ddof=0, aweights=weights)
    np.testing.assert_allclose(sums.covariance(), expected[:8, :8], rtol=1e-3, atol=1e-12)
    np.testing.assert_allclose(sums.cross(), expected[:8, 8:], rtol=1e-3, atol=1e-12)
    fit = Fit.of(sums, random.normal(size=(8, 5)))
    assert sorted(fitting.removal_order(fit, 1)) == list(range(8))


def test_tokens_count_by_their_weights():
    """Half of the tokens are noise of no weight."""
    inputs, kernel, bias = block(copies=0)
    outputs = inputs @ kernel + bias
    outputs[::2] = 100 * RANDOM.normal(size=outputs[::2].shape)
    weights = np.tile([0.0, 3.0], TOKENS // 2).astype(np.float32)
    sums = Moments.empty(6, 5)
    sums.add(inputs, weights, outputs)
    found = Fit.of(sums, np.zeros((6, 5)), 1e-9).output(np.arange(6))
    np.testing.assert_allclose(found[0], kernel, atol=1e-3)
    np.testing.assert_allclose(found[1], bias, atol=1e-2)


def test_without_units_the_mean_is_left_and_a_strong_ridge_keeps_the_kernel():
    inputs, kernel, bias = block()
    none, shift = fit_of(inputs, kernel, bias).output(np.array([], np.int64))
    assert none.shape == (0, 5)
    np.testing.assert_allclose(shift, (inputs @ kernel + bias).mean(axis=0), rtol=1e-4)
    kept, _ = fit_of(inputs, kernel, bias, ridge=1e9).output(np.array([1, 4]))
    np.testing.assert_allclose(kept, kernel[[1, 4]], rtol=1e-5)


def test_wanted_outputs_of_tokens_are_those_of_the_block_itself():
    inputs, kernel, bias = block()
    seen, known = (Moments.empty(6, 5) for _ in range(2))
    weights = RANDOM.uniform(0.1, 2.0, TOKENS).astype(np.float32)
    seen.add(inputs, weights, inputs @ kernel + bias)
    known.add(inputs, weights)
    known = fitting.own(known, (kernel, bias))
    np.testing.assert_allclose(known.products, seen.products, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(known.cross(), seen.cross(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", [1, 2])
def test_each_step_removes_the_unit_that_is_missed_least(size):
    """Against an error that is computed for every unit, fitted anew."""
    inputs, kernel, bias = block(copies=0)
    fit = fit_of(inputs, kernel, bias, 1e-6)
    order = fitting.removal_order(fit, size)
    assert sorted(order) == list(range(6 // size))
    outputs, left = inputs @ kernel + bias, list(range(6 // size))
    for gone in order[:-1]:

        def error(unit, left=tuple(left)):
            columns = [c for u in left if u != unit for c in range(u * size, (u + 1) * size)]
            smaller, shift = fit.output(np.array(columns))
            return float(np.square(inputs[:, columns] @ smaller + shift - outputs).sum())

        assert min(left, key=error) == gone
        left.remove(gone)


def test_many_units_go_in_steps():
    inputs = RANDOM.normal(size=(TOKENS, 200)).astype(np.float32)
    kernel = np.diag(np.linspace(0.01, 2, 200)).astype(np.float32)
    order = fitting.removal_order(fit_of(inputs, kernel, np.zeros(200, np.float32), 1e-3), 1)
    assert sorted(order) == list(range(200))
    # The smaller the weight, the earlier it goes.
    assert np.corrcoef(order, np.arange(200))[0, 1] > 0.99
