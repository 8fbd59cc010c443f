"""An encoder, or a classifier, with some of its layers or word pieces only.

This does change the function, unlike `shrinking`. Layers: Sajjad et al. 2020, "On the Effect of
Dropping Layers of Pre-trained Transformer Models" (https://arxiv.org/abs/2004.03844).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from bert_glue_tf.models.bert import structure
from bert_glue_tf.models.bert.architecture import architecture_of
from bert_glue_tf.models.bert.on_demand import joined

if TYPE_CHECKING:
    from bert_glue_tf.models.bert.classifier_weights import EncoderWeights

_Weights = TypeVar("_Weights", bound="EncoderWeights")


def drop_layers(weights: _Weights, keep: Sequence[int]) -> _Weights:
    """Return the encoder or classifier with some of its layers only, which changes its function.

    Args:
      weights: of the encoder or classifier.
      keep: indices of the layers that stay, ascending; they are numbered anew.

    Raises:
      ValueError: `keep` is empty, not ascending, or names a layer that is not there.
    """
    architecture = weights.architecture
    if (
        not keep
        or list(keep) != sorted(set(keep))
        or not 0 <= keep[0] <= keep[-1] < architecture.layers
    ):
        raise ValueError(
            f"keep={list(keep)}: not some of the layers 0 to {architecture.layers - 1}"
        )
    encoder = structure.numbered_anew(weights.encoder, keep)
    return dataclasses.replace(
        weights, architecture=architecture_of(encoder, architecture), encoder=encoder
    )


def first_units(weights: _Weights, widths: Sequence[tuple[int, int]]) -> _Weights:
    """Return the encoder or classifier with the first heads and neurons of each layer only.

    Args:
      weights: of the encoder or classifier.
      widths: heads and neurons that stay, of each layer.
    """
    encoder = dict(weights.encoder)
    for index, counts in enumerate(widths):
        at = structure.layer_name(index)
        for kind, count in zip(structure.LAYER_UNITS.values(), counts, strict=True):
            for name, axis in {kind.output: 0, **kind.others}.items():
                first = (*(slice(None),) * axis, slice(count))
                encoder[at + name] = np.ascontiguousarray(encoder[at + name][first])
    return dataclasses.replace(
        weights, architecture=architecture_of(encoder, weights.architecture), encoder=encoder
    )


def keep_pieces(weights: _Weights, ids: Sequence[int] | np.ndarray) -> _Weights:
    """Return the encoder or classifier with some rows of its word embeddings only.

    Args:
      weights: of the encoder or classifier.
      ids: int [n], which rows, in their new order (`vocabulary.prune`).

    Raises:
      ValueError: an id stands twice or is no row.
    """
    name = structure.TABLE
    ids, table = np.asarray(ids), weights.encoder[name]
    if not len(ids) or len(np.unique(ids)) != len(ids) or ids.min() < 0 or ids.max() >= len(table):
        raise ValueError(f"ids: must be different rows of the {len(table)} word embeddings")
    # What stays as it is may be read on demand.
    encoder = joined(weights.encoder, {name: table[ids]})
    del table
    return dataclasses.replace(
        weights, architecture=architecture_of(encoder, weights.architecture), encoder=encoder
    )
