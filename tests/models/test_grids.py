"""The grids of integers: the same numbers, to the bit, as `ai-edge-quantizer` puts into a file."""

from __future__ import annotations

import functools
import types

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_quantizer import qtyping
from ai_edge_quantizer.algorithms.uniform_quantize import (
    naive_min_max_quantize,
    octav,
    uniform_quantize_tensor,
)

from bert_glue_tf.models.quantization import grids, recipes
from bert_glue_tf.models.quantization.grids import MIN_MAX, OCTAV, WeightGrid
from bert_glue_tf.models.quantization.imitation import Imitation

ALGORITHMS = {MIN_MAX: naive_min_max_quantize, OCTAV: octav}
GRIDS = [
    WeightGrid(),
    WeightGrid(4),
    WeightGrid(4, algorithm=OCTAV),
    WeightGrid(4, 32),
    WeightGrid(4, 64, OCTAV),
    WeightGrid(8, 0, OCTAV),
]


def drawn(inputs=128, outputs=24, seed=0):
    """Weights of several sizes, among them zeros, an output of zeros and a few large ones."""
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(inputs, outputs)) * random.uniform(0.01, 0.5, outputs)
    matrix[random.random(matrix.shape) < 0.1] = 0
    matrix[random.integers(inputs, size=9), random.integers(outputs, size=9)] *= 6
    matrix[:, 5] = 0
    return matrix.astype(np.float32)


def theirs(matrix, grid, operation="FULLY_CONNECTED"):
    """Return a matrix [out, in], or a table [rows, width], as a file holds it."""
    granularity = f"BLOCKWISE_{grid.block}" if grid.block else "CHANNELWISE"
    config = qtyping.TensorQuantizationConfig(
        grid.bits, True, qtyping.QuantGranularity(granularity)
    )
    info = types.SimpleNamespace(
        op_name=qtyping.TFLOperationName(operation),
        op_quant_config=types.SimpleNamespace(weight_tensor_config=config),
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        found = ALGORITHMS[grid.algorithm].get_tensor_quant_params(info, config, matrix, None)
    scale, whole = found.scale, found.quantized_data
    if grid.block:
        scale = np.repeat(scale.reshape(len(matrix), -1), grid.block, axis=1)
    return whole * np.float32(np.where(scale == 0, 1, scale))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_matrix_has_the_weights_of_the_file(grid):
    matrix = drawn()
    found = theirs(np.ascontiguousarray(matrix.T), grid).T
    ours = grids.fake_quantize(matrix, grid).numpy()
    assert ours.dtype == np.float32
    # A sum in another order may change the last bit of a bound that is no weight's own.
    compare = functools.partial(np.testing.assert_allclose, rtol=2e-7)
    if grid.algorithm == MIN_MAX or grid.block:
        compare = np.testing.assert_array_equal
    compare(ours, found)
    assert not ours[matrix == 0].any()


def test_a_table_has_the_rows_of_the_file():
    table = drawn(40, 16)
    ours = grids.fake_quantize_rows(table).numpy()
    np.testing.assert_array_equal(ours, theirs(table, WeightGrid(), "EMBEDDING_LOOKUP"))
    some = [3, 3, 39]  # So the rows of a batch can be quantized instead of the table.
    np.testing.assert_array_equal(grids.fake_quantize_rows(table[some]).numpy(), ours[some])


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_what_is_on_the_grid_stays_there(grid):
    """So weights that are saved on their grid are on the same one in the file."""
    matrix = drawn()
    clip = grids.clips(matrix, grid) if grid.algorithm == OCTAV else None
    once = grids.fake_quantize(matrix, grid, clip).numpy()
    twice = grids.fake_quantize(once, grid, clip).numpy()
    np.testing.assert_allclose(twice, once, rtol=1e-6)


def test_the_clips_follow_weights_that_move_step_by_step():
    grid, matrix = WeightGrid(4, 32, OCTAV), drawn()
    there = grids.clips(matrix, grid)
    near = grids.clips(matrix * 1.1, grid)
    for _ in range(8):
        near = grids.next_clips(matrix, near, grid)
    np.testing.assert_allclose(near, there, rtol=1e-3, atol=1e-6)


def test_the_gradient_passes_straight_through_and_fades_behind_a_clip():
    matrix = tf.constant([[0.3], [-0.1], [4.0], [0.0]])

    def gradient(grid, clip=None):
        with tf.GradientTape() as tape:
            tape.watch(matrix)
            total = tf.reduce_sum(grids.fake_quantize(matrix, grid, clip) * 2.0)
        return tape.gradient(total, matrix).numpy().ravel().tolist()

    assert gradient(WeightGrid()) == [2, 2, 2, 2]
    assert gradient(WeightGrid(4, 0, OCTAV), tf.constant([[1.0]])) == [2, 2, 0.5, 2]


def test_a_fixed_range_is_quantized_as_the_file_does_and_passes_gradients_within():
    values = np.random.default_rng(0).uniform(-3, 3, 101).astype(np.float32)
    zero, scale = uniform_quantize_tensor.tensor_zp_scale_from_min_max(
        np.float32([-1.3]), np.float32([2.1]), 8, False, qtyping.QuantGranularity.TENSORWISE
    )
    parameters = qtyping.UniformQuantParams(8, None, scale, zero, symmetric=False)
    whole = uniform_quantize_tensor.uniform_quantize(values, parameters).astype(np.int32)
    expected = uniform_quantize_tensor.uniform_dequantize(whole, parameters)
    with tf.GradientTape() as tape:
        watched = tf.constant(values)
        tape.watch(watched)
        found = grids.fake_quantize_range(watched, -1.3, 2.1)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    inside = tape.gradient(found, watched).numpy()
    np.testing.assert_array_equal(inside, (values >= -1.3) & (values <= np.float32(2.1)))
    # 0 is always in it, to the bit.
    assert grids.fake_quantize_range(tf.constant([0.0]), 0.5, 2.0).numpy() == [0.0]


def test_activations_on_the_fly_have_a_range_for_each_row():
    values = np.float32([[[0.0, 0.5, 1.0]], [[-2.0, 0.02, 0.4]], [[0.0, 0.0, 0.0]]])
    found = grids.fake_quantize_on_the_fly(tf.constant(values)).numpy()
    steps = np.float32([1 / 255, 2.4 / 255, 1])[:, None, None]
    assert (np.abs(found - values) <= steps / 2 + 1e-7).all()
    np.testing.assert_allclose(found / steps, np.round(found / steps), atol=1e-3)


def test_blocks_divide_all_widths():
    assert grids.fitting_block([384, 1536], 128) == 128
    assert grids.fitting_block([384, 96], 128) == 32
    assert grids.fitting_block([20, 40], 128) == 0
    assert grids.fitting_block([128], 0) == 0
    # One number is what is kept of a block without units, which is not in the file.
    products = {"layer_0/query": (96, 1), "layer_0/output": (1, 96), "layer_1/output": (64, 96)}
    found = Imitation("int4", products).grids
    assert {name: grid.block for name, grid in found.items()} == {
        "layer_0/query": 32,
        "layer_0/output": 0,
        "layer_1/output": 32,
    }


def test_the_last_rule_that_matches_counts():
    rules = recipes.get("int4").imitated
    assert recipes.rule_of(rules, "FULLY_CONNECTED", "layer_0/output").grid([64]).bits == 4
    assert recipes.rule_of(rules, "FULLY_CONNECTED", "classifier").grid([64]).bits == 8
    assert recipes.rule_of(rules, "EMBEDDING_LOOKUP", "word_embeddings").weight_bits == 8
    assert recipes.rule_of(rules, "ADD", "layer_0/add") is None
    # A training for a mixed file reads the same rules, by the names of its products.
    mixed = recipes.get("int4_but_1f").imitated
    halves = ("layer_0/output", "layer_0/intermediate", "layer_0/self_attention/key")
    bits = [recipes.rule_of(mixed, "FULLY_CONNECTED", name).weight_bits for name in halves]
    assert bits == [8, 8, 4]
    assert recipes.rule_of(mixed, "FULLY_CONNECTED", "layer_10/output").weight_bits == 4
    static = recipes.get("int8").imitated
    bits = {
        name: recipes.rule_of(static, "FULLY_CONNECTED", name).activation_bits
        for name in ("layer_1/self_attention/key", "layer_1/intermediate", "layer_1/output")
    }
    assert list(bits.values()) == [8, 8, 0]
