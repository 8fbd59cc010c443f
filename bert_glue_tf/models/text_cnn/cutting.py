"""A pruned network as a smaller one: filters that give nothing are cut out.

NumPy only. A filter goes where its feature is zero for every text (its kernel is zero, and its bias
not above zero), or where nothing reads its feature. What the layer above has for it goes with it
(Li et al. 2017, "Pruning filters for efficient convnets", section 3.1,
https://arxiv.org/abs/1608.08710), so that the function stays the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from bert_glue_tf.models.text_cnn.architecture import Architecture, bias_of, kernel_of


@dataclasses.dataclass(frozen=True)
class Report:
    """The filters of each layer before and after.

    Attributes:
      before, after: filters of each layer.
      weights: numbers of weights, the word vectors left out, before and after.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    weights: tuple[int, int]

    def lines(self) -> list[str]:
        """Return the report as text."""
        listed = ", ".join(
            f"layer {layer} {now} of {then}"
            for layer, (then, now) in enumerate(zip(self.before, self.after, strict=True), 1)
        )
        then, now = self.weights
        return [
            f"filters left: {listed}",
            f"weights of convolutions and head: {then:,} -> {now:,} ({now / then:.1%})",
        ]


def cut(
    weights: Mapping[str, np.ndarray], architecture: Architecture, head: np.ndarray | None
) -> tuple[dict[str, np.ndarray], Architecture, np.ndarray | None]:
    """Return the weights that are left, their architecture, and the rows of the head that are left.

    Each convolution keeps at least one filter.

    Args:
      weights: name -> float32 weight; unchanged.
      architecture: of the weights.
      head: float32 [hidden, outputs] by which the last layer is read; None leaves that as it is.
    """
    left = dict(weights)
    while True:  # What reads a filter that is gone may have been all that another one was read by.
        before = architecture
        for layer in range(1, len(architecture.layers) + 1):
            if layer == len(architecture.layers) and head is None:
                continue
            keep = _kept(left, architecture, layer, head)
            if head is not None and layer == len(architecture.layers):
                head = np.ascontiguousarray(head[keep])
            architecture = _without(left, architecture, layer, keep)
        if architecture == before:
            return left, architecture, head


def _kept(
    weights: Mapping[str, np.ndarray],
    architecture: Architecture,
    layer: int,
    head: np.ndarray | None,
) -> np.ndarray:
    """Return which of a layer's features stay, bool [features]."""
    if layer < len(architecture.layers):
        above = (weights[kernel_of(layer + 1, width)] for _, width in architecture.layers[layer])
        is_read = np.any([kernel.any(axis=(0, 2)) for kernel in above], axis=0)
    else:
        assert head is not None
        is_read = head.any(axis=1)
    keep, start = [], 0
    for filters, width in architecture.layers[layer - 1]:
        kernel = kernel_of(layer, width)
        gives = weights[kernel].any(axis=(0, 1)) | (weights[bias_of(kernel)] > 0)
        stays = gives & is_read[start : start + filters]
        stays[0] |= not stays.any()
        keep.append(stays)
        start += filters
    return np.concatenate(keep)


def _without(
    weights: dict[str, np.ndarray], architecture: Architecture, layer: int, keep: np.ndarray
) -> Architecture:
    """Take the other features of a layer out of the weights, and return their new architecture."""
    start = 0
    for filters, width in architecture.layers[layer - 1]:
        own = keep[start : start + filters]
        kernel = kernel_of(layer, width)
        for name in (kernel, bias_of(kernel)):
            weights[name] = np.ascontiguousarray(weights[name][..., own])
        start += filters
    if layer < len(architecture.layers):
        for _, width in architecture.layers[layer]:
            name = kernel_of(layer + 1, width)
            weights[name] = np.ascontiguousarray(weights[name][:, keep])
    return architecture.of_shapes({name: value.shape for name, value in weights.items()})
