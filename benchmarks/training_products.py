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


def of_step(architecture: Architecture, batch: int, length: int) -> Mapping[Product, int]:
    """Return how often a training step does each product, forward and backward.

    Args:
      architecture: of an encoder with layers of one width.
      batch: rows of word pieces.
      length: positions of a row, whether they hold a piece or not.
    """
    tokens, hidden, inner = batch * length, architecture.hidden_size, architecture.inner_dim
    size = hidden // architecture.heads
    rows = batch * architecture.heads
    forward = [
        *[Product(1, tokens, hidden, hidden)] * 4,  # Query, key, value, and the way out.
        Product(1, tokens, hidden, inner),
        Product(1, tokens, inner, hidden),
        Product(rows, length, size, length),  # Attention's scores,
        Product(rows, length, length, size),  # and what is read by them.
    ]
    counts: collections.Counter[Product] = collections.Counter()
    for one in forward:
        counts[one] += architecture.layers
        # Gradients: dY W^T of the input, and X^T dY of the matrix.
        counts[Product(one.count, one.rows, one.columns, one.inner)] += architecture.layers
        counts[Product(one.count, one.inner, one.rows, one.columns)] += architecture.layers
    return counts


def seconds(
    shapes: Iterable[tuple[int, int]],
    architecture: Architecture,
    multiply: Callable[[np.ndarray, np.ndarray], Callable[[], object]],
    repetitions: int = 5,
) -> tuple[float, float]:
    """Measure the products of some steps, each shape by itself.

    Args:
      shapes: batch and length of each step.
      architecture: of the encoder.
      multiply: takes float32 [count, rows, inner] and [count, inner, columns] and returns a
        function that multiplies them in the framework and waits for the result.
      repetitions: calls of each product, of which the median counts.

    Returns:
      Seconds of the products of one step (mean over the steps), and their operations.
    """
    steps = list(shapes)
    counts: collections.Counter[Product] = collections.Counter()
    for batch, length in steps:
        counts.update(of_step(architecture, batch, length))
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
