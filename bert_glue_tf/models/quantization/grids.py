"""The grids of integers that a quantized file computes with, as functions of tensors.

A weight is `q * step`: `q` a whole number of so many bits, `step` one for each output of a matrix,
for each block of its inputs, or for each row of a table. The functions give what
`ai-edge-quantizer` puts into a file, operation for operation (`tests/models/test_grids.py` compares
the bits), and pass gradients straight through: Bengio et al. 2013, "Estimating or Propagating
Gradients Through Stochastic Neurons" (https://arxiv.org/abs/1308.3432); Jacob et al. 2018,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
(https://arxiv.org/abs/1712.05877).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core import lazy

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy.module("tensorflow")  # Any command that knows the recipes imports this module.

MIN_MAX = "min_max_uniform_quantize"
OCTAV = "OCTAV"
BLOCKS = (32, 64, 128, 256)  # Weights that share a step, for which LiteRT has kernels.
_SMALLEST = 1e-9  # A range is not narrower.
_ITERATIONS = 10  # Of OCTAV, at most.
_LOW, _HIGH = -128.0, 127.0  # An activation of 8 bits.


# Whole numbers, as floats, and the step that they are multiplied by. A product of whole numbers is
# exact in float32 up to 2 ** 24, as it is in a file; a product of what they stand for is not, and
# one last bit can round what comes out to another number.
Whole = tuple["tf.Tensor", "tf.Tensor"]


@dataclasses.dataclass(frozen=True)
class WeightGrid:
    """The grid of a matrix's weights; it is symmetric, so that 0 stays 0.

    Attributes:
      bits: of a weight: 8 or 4.
      block: inputs of one output that share a step; 0: all of them.
      algorithm: `MIN_MAX` reaches to the largest weight, `OCTAV` to the bound with the least
        squared error (Sakr et al. 2022, https://arxiv.org/abs/2206.06501).
    """

    bits: int = 8
    block: int = 0
    algorithm: str = MIN_MAX

    @property
    def largest(self) -> float:
        """Return the largest whole number."""
        return float(2 ** (self.bits - 1) - 1)

    @property
    def smallest(self) -> float:
        """Return the smallest whole number; of 8 bits the kernels leave out -128."""
        return -self.largest - (self.bits < 8)

    def groups(self, inputs: int) -> int:
        """Return how many steps an output has whose matrix has so many inputs."""
        return inputs // (self.block or inputs)


def fitting_block(widths: Iterable[int], largest: int) -> int:
    """Return the largest size of blocks, at most `largest`, that divides all widths; 0: none.

    Args:
      widths: of the inputs of all matrix products of a file.
      largest: size that is asked for; 0 for none.
    """
    width = math.gcd(*widths)
    return max((b for b in BLOCKS if b <= largest and width % b == 0), default=0)


def fake_quantize(matrix: Any, grid: WeightGrid, clip: Any = None) -> tf.Tensor:
    """Return a matrix as a file holds it, with a gradient that passes straight through.

    What a clip cuts off gets the gradient times clip / |weight| (Sakr et al. 2022, section 4,
    "magnitude-aware differentiation"): with none it could never come back.

    Args:
      matrix: float32 [in, out].
      grid: of the matrix.
      clip: float32 [groups, out] of an `OCTAV` grid, as `clips` gives them, which are computed
        where they are not given.
    """
    matrix = tf.convert_to_tensor(matrix)
    if grid.algorithm == OCTAV and clip is None:
        clip = clips(matrix, grid)
    whole, step = _whole_weights(matrix, grid, clip)
    rounded = tf.reshape(whole * step, matrix.shape)
    return _straight_through(rounded, matrix, _share(matrix, grid, clip))


def whole_weights(matrix: tf.Tensor, grid: WeightGrid, clip: Any = None) -> Whole:
    """Return what `fake_quantize` returns as whole numbers [in, out] and a step [out].

    Of a grid with blocks, where an output has several steps, the weights themselves and 1.
    """
    if grid.block:
        return fake_quantize(matrix, grid, clip), tf.ones([])
    whole, step = _whole_weights(matrix, grid, clip)
    step, share = tf.stop_gradient(step[0, 0]), _share(matrix, grid, clip)
    return _straight_through(tf.reshape(whole, matrix.shape), matrix / step, share), step


def fake_quantize_rows(rows: Any) -> tf.Tensor:
    """Return rows of a table float32 [n, width] as a file holds them: int8, a step for each row."""
    rows = tf.convert_to_tensor(rows)
    step = tf.maximum(tf.reduce_max(tf.abs(rows), axis=-1, keepdims=True), _SMALLEST) / 127.0
    return _straight_through(tf.clip_by_value(tf.round(rows / step), -127.0, 127.0) * step, rows)


def bounds(matrix: Any, grid: WeightGrid, clip: Any = None) -> tf.Tensor:
    """Return how far the grid of a matrix reaches: float32 [groups, out].

    Args:
      matrix, grid, clip: as for `fake_quantize`; without a clip the reach is the largest weight.
    """
    return _bounds(_grouped(tf.convert_to_tensor(matrix), grid), clip)[:, 0, :]


def steps(matrix: Any, grid: WeightGrid, clip: Any = None) -> tf.Tensor:
    """Return the step of each group of a matrix's weights: float32 [groups, out].

    Args:
      matrix, grid, clip: as for `bounds`.
    """
    return _steps(_grouped(tf.convert_to_tensor(matrix), grid), grid, clip)[:, 0, :]


def clips(matrix: Any, grid: WeightGrid) -> tf.Tensor:
    """Return the bounds float32 [groups, out] with the least squared error, by OCTAV.

    Computed outside of a graph, since it ends when nothing changes any more.
    """
    matrix = tf.convert_to_tensor(matrix)
    guess = tf.ones([grid.groups(matrix.shape[0]), matrix.shape[1]])
    for _ in range(_ITERATIONS):
        before, guess = guess, next_clips(matrix, guess, grid)
        if bool(tf.reduce_all(tf.abs(before - guess) <= 1e-8 + 1e-5 * tf.abs(guess))):
            break
    return guess


def next_clips(matrix: Any, guess: Any, grid: WeightGrid) -> tf.Tensor:
    """Return better bounds than `guess` by one step of Newton's (Sakr et al. 2022, equation 6).

    Args:
      matrix: float32 [in, out].
      guess: float32 [groups, out].
      grid: of the matrix.
    """
    grouped, reach = _grouped(tf.stop_gradient(matrix), grid), guess[:, None, :]
    above, below = grouped >= reach, grouped <= -reach
    zero = tf.zeros_like(grouped)
    total = tf.reduce_sum(tf.where(above, grouped, zero), 1)
    total -= tf.reduce_sum(tf.where(below, grouped, zero), 1)
    outside = sum(tf.reduce_sum(tf.cast(some, tf.float32), 1) for some in (above, below))
    share = 4.0**-grid.bits / 3.0
    count = float(matrix.shape[0] // grid.groups(matrix.shape[0]))
    return total / (outside * (1.0 - share) + share * count)


def fake_quantize_on_the_fly(values: tf.Tensor) -> tf.Tensor:
    """Return activations as XNNPACK quantizes them before a product with integer weights.

    Each row has a range of its own, from its smallest to its largest value and with 0 in it
    (`xnn_f32_qd8_asymmetric_quantization_params` of https://github.com/google/XNNPACK).

    Args:
      values: float32 [..., inputs].
    """
    whole, step = _whole_on_the_fly(values)
    return _straight_through(whole * step, values)


def whole_on_the_fly(values: tf.Tensor) -> Whole:
    """Return what `fake_quantize_on_the_fly` returns as whole numbers, and a step [..., 1]."""
    whole, step = map(tf.stop_gradient, _whole_on_the_fly(values))
    return _straight_through(whole, values / step), step


def _whole_on_the_fly(values: tf.Tensor) -> Whole:
    low = tf.minimum(tf.reduce_min(values, axis=-1, keepdims=True), 0.0)
    high = tf.maximum(tf.reduce_max(values, axis=-1, keepdims=True), 0.0)
    width = high - low
    scale = tf.where(width > 0, 255.0 / tf.where(width > 0, width, 1.0), 1.0)
    low, high = low * scale, high * scale
    # From the end whose rounding errs less.
    zero = tf.where(_LOW + low + _HIGH + high > 0.0, _LOW - low, _HIGH - high)
    zero = tf.round(tf.clip_by_value(zero, _LOW, _HIGH))
    whole = tf.clip_by_value(tf.round(values * scale) + zero, _LOW, _HIGH)
    return whole - zero, 1.0 / scale


def fake_quantize_range(values: tf.Tensor, low: Any, high: Any) -> tf.Tensor:
    """Return activations in int8 with a fixed range, asymmetric, one for the whole tensor.

    The gradient passes within the range.

    Args:
      values: float32 of any shape.
      low: float32 scalar; the range reaches to 0 at least, as LiteRT's has to.
      high: float32 scalar.
    """
    whole, step, is_within = _whole_of_range(values, low, high)
    return _straight_through(whole * step, values, is_within)


def whole_of_range(values: tf.Tensor, low: Any, high: Any) -> Whole:
    """Return what `fake_quantize_range` returns as whole numbers, and a step, a scalar."""
    whole, step, is_within = _whole_of_range(values, low, high)
    return _straight_through(whole, values / tf.stop_gradient(step), is_within), step


def _whole_of_range(
    values: tf.Tensor, low: Any, high: Any
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return whole numbers, the step, and 1 for what lies within the range and 0 elsewhere."""
    low, high = tf.minimum(low, 0.0), tf.maximum(high, 0.0)
    step = range_step(low, high)
    zero = tf.round(_LOW - low / step)
    whole = tf.clip_by_value(tf.round(values / step) + zero, _LOW, _HIGH)
    is_within = (values >= low) & (values <= high)
    return whole - zero, step, tf.cast(is_within, tf.float32)


def range_step(low: Any, high: Any) -> tf.Tensor:
    """Return the step of int8 with a fixed range, as for `fake_quantize_range`."""
    return tf.maximum(tf.maximum(high, 0.0) - tf.minimum(low, 0.0), _SMALLEST) / 255.0


def whole_bias(bias: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Return a bias as the whole numbers of int32 that a product with fixed ranges has.

    Args:
      bias: float32 [out].
      step: float32 [out], that of the input times those of the weights.
    """
    step = tf.stop_gradient(step)
    return _straight_through(tf.round(bias / step), bias / step)


def _straight_through(rounded: tf.Tensor, values: tf.Tensor, share: Any = None) -> tf.Tensor:
    """Return `rounded`, to the bit, with the gradient of `values`, or a share of it.

    With no gradient of its own, since the number of one in its graph would be saved with a model.
    """
    moving = values - tf.stop_gradient(values)  # 0.
    if share is not None:
        moving *= tf.stop_gradient(share)
    return tf.stop_gradient(rounded) + moving


def _whole_weights(matrix: tf.Tensor, grid: WeightGrid, clip: Any) -> Whole:
    """Return whole numbers [groups, inputs of a group, out] and steps [groups, 1, out]."""
    grouped = _grouped(matrix, grid)
    step = _steps(grouped, grid, clip)
    return tf.clip_by_value(tf.round(grouped / step), grid.smallest, grid.largest), step


def _share(matrix: tf.Tensor, grid: WeightGrid, clip: Any) -> tf.Tensor | None:
    """Return the share of the gradient of each weight; None for all of it."""
    if clip is None:
        return None
    reach = tf.maximum(clip, _SMALLEST)[:, None, :]
    return tf.reshape(reach / tf.maximum(tf.abs(_grouped(matrix, grid)), reach), matrix.shape)


def _grouped(matrix: tf.Tensor, grid: WeightGrid) -> tf.Tensor:
    """Return a matrix [in, out] as [groups, inputs of a group, out]."""
    inputs, outputs = matrix.shape
    groups = grid.groups(inputs)
    return tf.reshape(matrix, [groups, inputs // groups, outputs])


def _bounds(grouped: tf.Tensor, clip: Any) -> tf.Tensor:
    bound = tf.maximum(tf.reduce_max(tf.abs(grouped), axis=1, keepdims=True), _SMALLEST)
    return bound if clip is None else tf.minimum(bound, clip[:, None, :])


def _steps(grouped: tf.Tensor, grid: WeightGrid, clip: Any) -> tf.Tensor:
    step = _bounds(grouped, clip) / grid.largest
    if grid.block:  # A file holds a block's as float16, with 7 bits behind the point.
        for dtype in (tf.bfloat16, tf.float16, tf.float32):
            step = tf.cast(step, dtype)
    # Of a block of zeros it may be 0, which LiteRT refuses: `flatbuffer.replace_zero_scales`.
    return tf.where(step == 0, tf.ones_like(step), step)
