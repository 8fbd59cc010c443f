"""The outputs of a block with fewer units, fitted by least squares: NumPy alone, in float64.

A block gives `Z W + b`. Of a part of its units, whose columns of Z are Z_S, the product that comes
nearest to wanted outputs T is the solution of (C_SS + r I) W' = C_ST + r W_S, C being the
covariances of Z and T over tokens: towards T where the tokens tell, and towards the old weights
where they do not. Each token counts by one over the variance that the layer norm behind the block
divides by: else a few tokens with huge numbers, which the norm makes small again, decide alone.

Which unit goes next is told by the same covariances, as by the optimal brain surgeon (Hassibi and
Stork 1993; for groups of weights of a layer Frantar and Alistarh 2022, "Optimal Brain Compression",
https://arxiv.org/abs/2208.11580, and Kurtic et al. 2023, "ZipLM", https://arxiv.org/abs/2302.04089,
section 3.1): the one without which the outputs that are fitted anew are off by the least.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import linalg

from bert_glue_tf.models.blocks import Output

RIDGE = 1e-2  # Times the mean variance of the inputs.
_STEPS = 96  # Units are removed in so many steps at most, since each one costs an update.


@dataclasses.dataclass
class Moments:
    """Sums over tokens, each with its weight, of a block's inputs z and of wanted outputs t.

    Both are taken from an origin, the mean of the first tokens: products are computed in float32,
    and of inputs that hardly differ from token to token, as those of a last layer may, products of
    the whole would round the differences away.

    Attributes:
      count: sum of the weights.
      inputs: float64 [n], the sum of z.
      targets: float64 [hidden], the sum of t.
      squares: float64 [n, n], the sum of z z'.
      products: float64 [n, hidden], the sum of z t'.
      origin: float64 [n], of the inputs.
      target_origin: float64 [hidden], of the wanted outputs.
    """

    count: float
    inputs: np.ndarray
    targets: np.ndarray
    squares: np.ndarray
    products: np.ndarray
    origin: np.ndarray
    target_origin: np.ndarray

    @classmethod
    def empty(cls, columns: int, hidden: int) -> Moments:
        """Return the sums over no tokens."""
        shapes = (columns,), (hidden,), (columns, columns), (columns, hidden), (columns,), (hidden,)
        return cls(0.0, *(np.zeros(shape) for shape in shapes))

    def add(
        self, inputs: np.ndarray, weights: np.ndarray, targets: np.ndarray | None = None
    ) -> None:
        """Add tokens.

        Args:
          inputs: float32 [tokens, n].
          weights: float32 [tokens].
          targets: float32 [tokens, hidden]; None where `own` computes them.
        """
        roots = np.sqrt(weights)[:, None]
        if not self.count and len(inputs):
            self.origin = inputs.mean(axis=0).astype(np.float64)
            if targets is not None:
                self.target_origin = targets.mean(axis=0).astype(np.float64)
        scaled = (inputs - self.origin.astype(np.float32)) * roots
        self.count += float(weights.sum(dtype=np.float64))
        self.inputs += (scaled * roots).sum(axis=0, dtype=np.float64)
        self.squares += scaled.T @ scaled
        if targets is not None:
            targets = (targets - self.target_origin.astype(np.float32)) * roots
            self.targets += (targets * roots).sum(axis=0, dtype=np.float64)
            self.products += scaled.T @ targets

    @property
    def mean(self) -> np.ndarray:
        """The mean of the inputs, float64 [n]."""
        return self.origin + self.inputs / self.count

    @property
    def target_mean(self) -> np.ndarray:
        """The mean of the wanted outputs, float64 [hidden]."""
        return self.target_origin + self.targets / self.count

    def covariance(self) -> np.ndarray:
        """Return that of the inputs, float64 [n, n]."""
        mean = self.inputs / self.count
        return self.squares / self.count - np.outer(mean, mean)

    def cross(self) -> np.ndarray:
        """Return that of inputs and targets, float64 [n, hidden]."""
        means = np.outer(self.inputs / self.count, self.targets / self.count)
        return self.products / self.count - means


@dataclasses.dataclass(frozen=True)
class Fit:
    """A block whose outputs can be fitted for any of its units.

    Attributes:
      covariance: float64 [n, n] of its inputs.
      cross: float64 [n, hidden], the covariance of inputs and wanted outputs.
      inputs: float64 [n], the mean of the inputs.
      targets: float64 [hidden], the mean of the wanted outputs.
      kernel: float64 [n, hidden] that the fit is drawn towards, where tokens tell nothing.
      ridge: how much, as a variance.
    """

    covariance: np.ndarray
    cross: np.ndarray
    inputs: np.ndarray
    targets: np.ndarray
    kernel: np.ndarray
    ridge: float

    @classmethod
    def of(cls, moments: Moments, kernel: np.ndarray, ridge: float = RIDGE) -> Fit:
        """Return the fit of tokens.

        Args:
          moments: sums over them.
          kernel: float [n, hidden] of the whole block.
          ridge: times the mean variance of the inputs.
        """
        covariance = moments.covariance()
        scale = float(np.trace(covariance)) / max(1, len(covariance))
        return cls(
            covariance,
            moments.cross(),
            moments.mean,
            moments.target_mean,
            kernel.astype(np.float64),
            ridge * (scale or 1.0),
        )

    def output(self, columns: np.ndarray) -> Output:
        """Return the product of some columns that comes nearest to the wanted outputs, float32."""
        if not len(columns):
            none = np.zeros((0, len(self.targets)), np.float32)
            return none, self.targets.astype(np.float32)
        some = self.covariance[np.ix_(columns, columns)]
        some = some + self.ridge * np.eye(len(columns))
        wanted = self.cross[columns] + self.ridge * self.kernel[columns]
        kernel = linalg.solve(some, wanted, assume_a="pos")
        bias = self.targets - self.inputs[columns] @ kernel
        return kernel.astype(np.float32), bias.astype(np.float32)


def own(inputs: Moments, output: Output) -> Moments:
    """Return sums whose wanted outputs are the block's own, without a look at the tokens again."""
    kernel, bias = (one.astype(np.float64) for one in output)
    return dataclasses.replace(
        inputs,
        targets=inputs.inputs @ kernel,
        products=inputs.squares @ kernel,
        target_origin=inputs.origin @ kernel + bias,
    )


def removal_order(fit: Fit, unit_size: int) -> list[int]:
    """Return the units in the order in which they go, the one that is needed least first.

    Args:
      fit: of the block's own outputs.
      unit_size: columns of a unit.
    """
    count = len(fit.kernel) // unit_size
    step = max(1, count // _STEPS) if unit_size == 1 else 1
    inverse = linalg.inv(fit.covariance + fit.ridge * np.eye(len(fit.covariance)))
    kernel, left = fit.kernel.copy(), np.arange(count)
    order: list[int] = []
    while len(left):
        scores = _scores(inverse, kernel, unit_size)
        goes = np.argsort(scores, kind="stable")[:step]
        order += left[goes].tolist()
        columns = (goes[:, None] * unit_size + np.arange(unit_size)).ravel()
        stay = np.setdiff1d(np.arange(len(kernel)), columns)
        moved = linalg.solve(
            inverse[np.ix_(columns, columns)],
            np.column_stack([kernel[columns], inverse[np.ix_(columns, stay)]]),
            assume_a="pos",
        )
        width = kernel.shape[1]
        across = inverse[np.ix_(stay, columns)]
        kernel = kernel[stay] - across @ moved[:, :width]
        inverse = inverse[np.ix_(stay, stay)] - across @ moved[:, width:]
        left = np.delete(left, goes)
    return order


def _scores(inverse: np.ndarray, kernel: np.ndarray, unit_size: int) -> np.ndarray:
    """Return by how much the squared error of the outputs rises without each unit, float64 [n]."""
    if unit_size == 1:
        return np.square(kernel).sum(axis=1) / np.diag(inverse)
    found = []
    for start in range(0, len(kernel), unit_size):
        unit = slice(start, start + unit_size)
        own_kernel = kernel[unit]
        solved = linalg.solve(inverse[unit, unit], own_kernel, assume_a="pos")
        found.append(float((own_kernel * solved).sum()))
    return np.array(found)
