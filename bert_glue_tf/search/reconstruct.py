"""A cut network whose outputs are fitted layer after layer, on what its own layers before give.

Each block of the smaller network is fitted so that the sum which its layer norm reads comes as near
as it can to that of the whole network. So a block makes up for what the ones before it have lost as
well, as in Kwon et al. 2022, "A Fast Post-Training Pruning Framework for Transformers"
(https://arxiv.org/abs/2204.09656), section 4.3, and Frantar and Alistarh 2022, "Optimal Brain
Compression" (https://arxiv.org/abs/2208.11580), section 4.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from bert_glue_tf.core.progress import Bar
from bert_glue_tf.models.blocks import KINDS, BlockCut, Blocks, Cuts, Seen, State
from bert_glue_tf.search import texts
from bert_glue_tf.search.fitting import Fit, Moments
from bert_glue_tf.search.session import Search, columns_of, kept_units
from bert_glue_tf.search.structure import Structure

# As `fitting.RIDGE`. Larger, since what is wanted of a block holds what others have lost.
RIDGE = 0.3


@dataclasses.dataclass
class _Batch:
    """A batch on its way through both networks.

    Attributes:
      whole: its state in the whole network.
      own: its state in the cut one.
      wanted: kind of block -> its values in the whole network's layer.
      weights: layer and kind of a block -> float32 [tokens], how much each token counts.
    """

    whole: State
    own: State
    wanted: dict[str, Seen]
    weights: Mapping[tuple[int, str], np.ndarray]


def reconstruct(search: Search, structure: Structure, ridge: float = RIDGE) -> Cuts:
    """Return the cuts of a structure, each block fitted on the outputs of the cut ones before it.

    Args:
      search: in the run's classifier.
      structure: what stays.
      ridge: see `fitting.Fit`.
    """
    blocks = search.blocks
    weights = search.looked.weights
    batches = []
    for (_, features), own in zip(texts.batches(search.texts.fitted), weights, strict=True):
        state = blocks.begin(features)
        batches.append(_Batch(state, state, {}, own))
    cuts: dict[tuple[int, str], BlockCut] = {}
    is_cut = False
    units = {(layer, kind): kept for layer, kind, kept in kept_units(structure)}
    with Bar(len(blocks.sizes.layers), "layers fitted") as bar:
        for layer, size in enumerate(blocks.sizes.layers):
            for batch in batches:
                batch.whole, batch.wanted = blocks.look(layer, batch.whole, {})
            for kind in KINDS:
                kept = units[layer, kind]
                is_cut = is_cut or len(kept) < size.units(kind)
                if not kept:
                    cuts[layer, kind] = search.fitted(layer, kind, ())
                elif is_cut:  # Before the first cut there is nothing to make up for.
                    cuts[layer, kind] = _fitted(blocks, batches, layer, kind, kept, cuts, ridge)
            for batch in batches:
                batch.own = blocks.layer(layer, batch.own, cuts)
            bar.show(layer + 1, "")
    return cuts


def _fitted(
    blocks: Blocks,
    batches: Sequence[_Batch],
    layer: int,
    kind: str,
    kept: tuple[int, ...],
    cuts: Cuts,
    ridge: float,
) -> BlockCut:
    """Return a block fitted to the sums of the whole network, after `cuts` before it."""
    kernel, bias = blocks.output(layer, kind)
    columns = columns_of(kept, blocks.sizes.layers[layer].unit_size(kind))
    trial = {**cuts, (layer, kind): BlockCut(kept, (kernel[columns], bias))}
    sums = Moments.empty(len(columns), len(bias))
    for batch in batches:
        _, seen = blocks.look(layer, batch.own, trial)
        values = seen[kind]
        wanted = batch.wanted[kind].total - values.skipped
        sums.add(values.inputs, batch.weights[layer, kind], wanted)
    # Towards what the block's own outputs ask for, which is known of more than these tokens.
    fit = Fit.of(sums, kernel[columns], ridge)
    return BlockCut(kept, fit.output(np.arange(len(columns))))
