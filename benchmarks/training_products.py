"""The matrix products of a BERT's training step, and the seconds that they take by themselves.

They are the arithmetic limit of a machine: a step does them and more. Imported by the workers of
benchmarks/training_steps.py, of which one has TensorFlow and the other PyTorch.
"""

from __future__ import annotations

import collections
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from bert_glue_tf.models.bert.architecture import Architecture


@dataclasses.dataclass(frozen=True)
class Product:
    """Products [count, rows, inner] x [count, inner, columns], all in one call."""

    count: int
    rows: int
    inner: int
    columns: int

    @property
    def operations(self) -> int:
        """Return the floating-point operations: a multiplication and an addition each."""
        return 2 * self.count * self.rows * self.inner * self.columns


@dataclasses.dataclass(frozen=True)
class Shape:
    """The features of a step.

    Attributes:
      rows: of word pieces.
      length: positions of a row, whether they hold a piece or not.
      pooled: tokens that the last layer computes behind its attention, where it computes only
        those that are pooled; 0 for all.
    """

    rows: int
    length: int
    pooled: int = 0


def of_step(architecture: Architecture, shape: Shape) -> Mapping[Product, int]:
    """Return how often a training step does each product, forward and backward.

    Args:
      architecture: of an encoder with layers of one width.
      shape: of the features.
    """
    hidden, inner, length = architecture.hidden_size, architecture.inner_dim, shape.length
    size, rows = hidden // architecture.heads, shape.rows * architecture.heads
    forward: collections.Counter[Product] = collections.Counter()
    for layer in range(architecture.layers):
        tokens = shape.rows * length
        left = shape.pooled if shape.pooled and layer == architecture.layers - 1 else tokens
        forward[Product(1, tokens, hidden, hidden)] += 3  # Query, key, value.
        forward[Product(rows, length, size, length)] += 1  # Attention's scores,
        forward[Product(rows, length, length, size)] += 1  # and what is read by them.
        forward[Product(1, left, hidden, hidden)] += 1  # The way out of the attention.
        forward[Product(1, left, hidden, inner)] += 1
        forward[Product(1, left, inner, hidden)] += 1
    counts = collections.Counter(forward)
    for one, number in forward.items():
        # Gradients: dY W^T of the input, and X^T dY of the matrix.
        counts[Product(one.count, one.rows, one.columns, one.inner)] += number
        counts[Product(one.count, one.inner, one.rows, one.columns)] += number
    return counts


def seconds(
    shapes: Iterable[Shape],
    architecture: Architecture,
    multiply: Callable[[np.ndarray, np.ndarray], Callable[[], object]],
    repetitions: int = 5,
) -> tuple[float, float]:
    """Measure the products of some steps, each shape by itself.

    Args:
      shapes: of the features of each step.
      architecture: of the encoder.
      multiply: takes float32 [count, rows, inner] and [count, inner, columns] and returns a
        function that multiplies them in the framework and waits for the result.
      repetitions: calls of each product, of which the median counts.

    Returns:
      Seconds of the products of one step (mean over the steps), and their operations.
    """
    steps = list(shapes)
    counts: collections.Counter[Product] = collections.Counter()
    for shape in steps:
        counts.update(of_step(architecture, shape))
    random = np.random.default_rng(0)
    taken = 0.0
    for product, number in counts.items():
        left, right = (
            random.normal(size=shape).astype(np.float32)
            for shape in (
                (product.count, product.rows, product.inner),
                (product.count, product.inner, product.columns),
            )
        )
        call = multiply(left, right)
        call()  # Allocates, and lays out.
        times = []
        for _ in range(repetitions):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        taken += number * statistics.median(times)
    operations = sum(product.operations * number for product, number in counts.items())
    return taken / len(steps), operations / len(steps)
