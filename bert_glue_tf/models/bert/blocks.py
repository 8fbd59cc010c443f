"""The blocks of a saved classifier with a BERT encoder, computed layer by layer; see `..blocks`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import packing
from bert_glue_tf.models.bert import cutting, forward, shrinking, structure
from bert_glue_tf.models.bert.architecture import Architecture, Block, by_canonical_name
from bert_glue_tf.models.bert.classifier_weights import SavedWeights, from_weights, read_weights
from bert_glue_tf.models.bert.export_graph import ExportGraph
from bert_glue_tf.models.bert.layer import features as features_of
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.models.blocks import (
    ATTENTION,
    FEED_FORWARD,
    KINDS,
    BlockCut,
    Blocks,
    Cuts,
    Output,
    Seen,
    State,
)

_UNITS = {ATTENTION: structure.LAYER_UNITS["head"], FEED_FORWARD: structure.LAYER_UNITS["neuron"]}
# The last product of a block, and the layer norm behind it.
_LAST = {kind: units.output.removesuffix("/kernel") for kind, units in _UNITS.items()}
_NORM = {ATTENTION: "self_attention_layer_norm", FEED_FORWARD: "output_layer_norm"}


class BertBlocks(Blocks):
    """A saved classifier.

    Args:
      folder: of the saved model.

    Raises:
      UserError: the folder holds no model of the family.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        # The grids of a training for a quantized file are those of its own widths.
        self._saved = dataclasses.replace(read_weights(folder), trained=None)
        if self._saved.word_head:
            raise UserError(
                f"{folder}: tags words, and blocks are searched and cut where a text has one "
                "answer. Good: prune it in its training (--pruning_method), and quantize its file."
            )
        architecture = self._saved.architecture
        self._encoder = build_encoder(architecture, self._saved.encoder.__getitem__, str(folder))
        self._weights: Mapping[str, Any] = by_canonical_name(self._encoder.variables)
        self.sizes = architecture.sizes(len(self._saved.bias))

    def begin(self, features: Mapping[str, np.ndarray]) -> State:
        inputs = features_of({name: tf.constant(value) for name, value in features.items()})
        hidden, mask = self._forward({}).begin(inputs)
        return State(hidden, mask, inputs, features[packing.TEXTS] > 0)

    def layer(self, index: int, state: State, cuts: Cuts) -> State:
        hidden, _ = self._forward(cuts, index).layer(
            index, state.hidden, state.mask, state.features
        )
        return dataclasses.replace(state, hidden=hidden)

    def look(self, index: int, state: State, cuts: Cuts) -> tuple[State, dict[str, Seen]]:
        found: dict[str, tf.Tensor] = {}

        def keep(point: str, tensor: Any) -> Any:
            found[point] = tensor
            return tensor

        steps = self._forward(cuts, index, keep)
        hidden, _ = steps.layer(index, state.hidden, state.mask, state.features)
        seen = {kind: _seen(found, index, kind, state.tokens) for kind in KINDS}
        return dataclasses.replace(state, hidden=hidden), seen

    def gradients(
        self, features: Mapping[str, np.ndarray], direction: Callable[[np.ndarray], np.ndarray]
    ) -> dict[tuple[int, str], tuple[Seen, np.ndarray]]:
        found: dict[str, tf.Tensor] = {}
        state, layers = self.begin(features), range(len(self.sizes.layers))
        kept = tuple(f"/{name}:{side}" for name in _LAST.values() for side in ("input", "output"))
        kept += tuple(f"/{name}:input" for name in _NORM.values())
        norms = {f"layer_{i}/{_NORM[kind]}:input": (i, kind) for i in layers for kind in KINDS}
        with tf.GradientTape(watch_accessed_variables=False) as tape:

            def keep(point: str, tensor: Any) -> Any:
                if point.endswith(kept):  # All others would fill the memory.
                    found[point] = tensor
                if point in norms:
                    tape.watch(tensor)
                return tensor

            steps = self._forward({}, quantize=keep)
            hidden = state.hidden
            for index in layers:
                hidden, _ = steps.layer(index, hidden, state.mask, state.features)
            logits = self._logits(steps, hidden, state)
            moved = tf.reduce_sum(logits * direction(logits.numpy()))
        slopes = tape.gradient(moved, [found[point] for point in norms])
        return {
            (index, kind): (
                _seen(found, index, kind, state.tokens),
                _read(slope, slope, state.tokens),
            )
            for (index, kind), slope in zip(norms.values(), slopes, strict=True)
        }

    def logits(self, state: State) -> np.ndarray:
        return self._logits(self._forward({}), state.hidden, state).numpy()

    def _logits(
        self, steps: forward.Forward[tf.Tensor], hidden: tf.Tensor, state: State
    ) -> tf.Tensor:
        pooled = steps.pool(hidden, state.features)
        return tf.matmul(pooled, self._saved.kernel) + self._saved.bias

    def output(self, index: int, kind: str) -> Output:
        kernel, bias = (
            self._weights[f"transformer/layer_{index}/{_LAST[kind]}/{leaf}"].numpy()
            for leaf in ("kernel", "bias")
        )
        return kernel.reshape(-1, len(bias)), bias

    def cut(self, cuts: Cuts, pieces: Sequence[int] | np.ndarray) -> tf_keras.Model:
        encoder = dict(self._saved.encoder)
        for (index, kind), one in cuts.items():
            encoder |= self._with_zeros(index, kind, one)
        weights = dataclasses.replace(self._saved, encoder=encoder)
        smaller, _ = shrinking.shrink(weights)
        return from_weights(cutting.keep_pieces(smaller, pieces))

    def _with_zeros(self, index: int, kind: str, cut: BlockCut) -> dict[str, np.ndarray]:
        """Return the last product of a block with zeros for the units that go."""
        name = f"transformer/layer_{index}/{_LAST[kind]}"
        whole = np.zeros_like(self._saved.encoder[f"{name}/kernel"])
        kernel, bias = cut.output
        whole[list(cut.units)] = kernel.reshape(len(cut.units), *whole.shape[1:])
        return {f"{name}/kernel": whole, f"{name}/bias": bias.astype(np.float32)}

    def _forward(
        self, cuts: Cuts, index: int = 0, quantize: forward.Quantize = forward.keep
    ) -> forward.Forward[tf.Tensor]:
        """Return the steps of the computation, of which layer `index` is cut."""
        changed: dict[str, Any] = {}
        for kind in KINDS:
            if (index, kind) in cuts:
                changed |= self._changed(index, kind, cuts[index, kind])
        # A ChainMap of another mapping's type is none that mypy knows.
        weights: Any = ChainMap(changed, dict(self._weights)) if changed else self._weights
        arithmetic = self._encoder._arithmetic()
        return forward.Forward(weights, arithmetic, len(self.sizes.layers), quantize)

    def _changed(self, index: int, kind: str, cut: BlockCut) -> dict[str, Any]:
        """Return the weights of a block that has some of its units only."""
        at, units = f"transformer/layer_{index}/", list(cut.units)
        kernel, bias = cut.output
        shape = self._weights[f"{at}{_LAST[kind]}/kernel"].shape
        found = {
            f"{at}{_LAST[kind]}/kernel": tf.constant(
                kernel.reshape(len(units), *shape[1:]), tf.float32
            ),
            f"{at}{_LAST[kind]}/bias": tf.constant(bias, tf.float32),
        }
        if units:
            found |= {
                at + name: tf.gather(self._weights[at + name], units, axis=axis)
                for name, axis in _UNITS[kind].others.items()
            }
        return found


def _seen(found: Mapping[str, tf.Tensor], index: int, kind: str, tokens: np.ndarray) -> Seen:
    """Return the values of a block at the tokens that are read."""
    product, norm = f"layer_{index}/{_LAST[kind]}", f"layer_{index}/{_NORM[kind]}"
    total = found[f"{norm}:input"]
    if f"{product}:input" in found:
        inputs = _read(found[f"{product}:input"], total, tokens)
        output = found[f"{product}:output"]
    else:  # An empty block gives its bias.
        inputs, output = None, found[f"transformer/{product}/bias"]
    skipped, total = _read(total - output, total, tokens), _read(total, total, tokens)
    if inputs is None:
        inputs = np.zeros((len(total), 0), np.float32)
    return Seen(inputs, skipped, total)


def _read(tensor: tf.Tensor, total: tf.Tensor, tokens: np.ndarray) -> np.ndarray:
    """Return the rows of the tokens that are read, as float32 [tokens, n].

    Args:
      tensor: float32 [rows, width, ...], or of the pooled tokens alone, as `total`.
      total: a block's sum; of the last layer's there are only the tokens that are pooled.
      tokens: bool [rows, width], False for padding.
    """
    mask = tokens if tuple(total.shape[:2]) == tokens.shape else np.ones(total.shape[:2], bool)
    return tf.reshape(tensor, [*total.shape[:2], -1]).numpy()[mask]


def sized(
    like: Architecture, widths: Sequence[tuple[int, int]], pieces: int, classes: int
) -> ExportGraph:
    """Return a classifier with random weights as a graph for the converter.

    Args:
      like: gives what is not said here, as the size of a token.
      widths: heads and neurons of each layer; where there are none the block is its bias.
      pieces: rows of the word embeddings.
      classes: width of the head.
    """
    own = like.each_block()
    keys, values = (max(getattr(one, size) for one in own) for size in ("key_dim", "value_dim"))
    architecture = dataclasses.replace(
        like,
        vocab_size=pieces,
        layers=len(widths),
        blocks=tuple(Block(max(1, h), keys, values, max(1, n)) for h, n in widths),
    )
    random = np.random.default_rng(0)
    encoder = {
        name: np.ones(shape, np.float32)
        if name.endswith("gamma")
        else random.normal(0.0, 0.02, shape).astype(np.float32)
        for name, shape in architecture.shapes().items()
    }
    for index, width in enumerate(widths):
        for kind, units in zip(KINDS, width, strict=True):
            if not units:
                encoder[f"transformer/layer_{index}/{_LAST[kind]}/kernel"][:] = 0
    kernel = random.normal(0.0, 0.02, (like.hidden_size, classes)).astype(np.float32)
    return ExportGraph(SavedWeights(architecture, encoder, kernel, np.zeros(classes, np.float32)))
