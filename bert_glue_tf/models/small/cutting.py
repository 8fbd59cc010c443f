"""A pruned small network as a smaller one: filters that give nothing are cut out. NumPy only.

A filter goes where its feature is zero for every example (its kernel is zero, and its bias not
above zero), or where nothing reads its feature (Li et al. 2017, "Pruning filters for efficient
convnets", section 3.1, https://arxiv.org/abs/1608.08710). Features that are summed with others
stay, since their place in the sum would go on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from bert_glue_tf.models.small.architecture import NORM, Architecture, weight_of


@dataclasses.dataclass(frozen=True)
class Report:
    """The filters of each layer before and after.

    Attributes:
      before, after: layer -> filters.
      weights: numbers of weights before and after.
    """

    before: Mapping[str, int]
    after: Mapping[str, int]
    weights: tuple[int, int]

    def lines(self) -> list[str]:
        """Return the report as text."""
        changed = {n: count for n, count in self.after.items() if count != self.before[n]}
        listed = ", ".join(f"{n} {count} of {self.before[n]}" for n, count in changed.items())
        then, now = self.weights
        return [
            f"filters left: {listed or 'all'}",
            f"weights of convolutions and head: {then:,} -> {now:,} ({now / then:.1%})",
        ]


def cut(
    weights: Mapping[str, np.ndarray], architecture: Architecture, head: np.ndarray
) -> tuple[dict[str, np.ndarray], Architecture, np.ndarray]:
    """Return the weights that are left, their architecture, and the rows of the head that are left.

    Each convolution keeps at least one filter.

    Args:
      weights: name -> float32 weight; unchanged.
      architecture: of the weights.
      head: float32 [hidden, outputs] by which the last layer is read.
    """
    left = dict(weights)
    last = architecture.layers[-1].name
    while True:  # What reads a filter that is gone may have been all that another one was read by.
        before = architecture
        for layer in architecture.layers:
            if architecture.is_summed(layer.name):
                continue
            keep = _kept(left, architecture, layer.name, head)
            if layer.name == last:
                head = np.ascontiguousarray(head[keep])
            architecture = _without(left, architecture, layer.name, keep)
        if architecture == before:
            return left, architecture, head


def _kept(
    weights: Mapping[str, np.ndarray], architecture: Architecture, name: str, head: np.ndarray
) -> np.ndarray:
    """Return which of a layer's features stay, bool [features]."""
    readers = [weights[weight_of(one, "kernel")] for one in architecture.readers(name)]
    is_read = np.any([kernel.any(axis=(0, 1, 3)) for kernel in readers], axis=0)
    if not readers:
        is_read = head.any(axis=1)
    kernel, bias = (weights[weight_of(name, leaf)] for leaf in ("kernel", "bias"))
    stays: np.ndarray = (kernel.any(axis=(0, 1, 2)) | (bias > 0)) & is_read
    stays[0] |= not stays.any()
    return stays


def _without(
    weights: dict[str, np.ndarray], architecture: Architecture, name: str, keep: np.ndarray
) -> Architecture:
    """Take the other features of a layer out of the weights, and return their new architecture."""
    for leaf in ("kernel", "bias", *NORM):
        own = weight_of(name, leaf)
        if own in weights:
            weights[own] = np.ascontiguousarray(weights[own][..., keep])
    for reader in architecture.readers(name):
        own = weight_of(reader, "kernel")
        weights[own] = np.ascontiguousarray(weights[own][:, :, keep])
    return architecture.of_shapes({one: value.shape for one, value in weights.items()})
