"""A pruned classifier as a smaller network: what is exactly zero is cut out of the matrices.

Pure NumPy, and it knows no pruning method: `shrink` looks at the weights alone, and cuts what
can be cut without changing the function. What a cut part adds to every token alike (the value
of a neuron without inputs, of a head without values) is folded, in float64, into the bias
behind it. The result is a standard BERT whose layers may differ in width
(`Architecture.blocks`), and gives the same logits.

Heads and neurons as what is cut: Michel et al. 2019, "Are Sixteen Heads Really Better than
One?" (https://arxiv.org/abs/1905.10650); McCarley et al. 2019, "Structured Pruning of a
BERT-based Question Answering Model" (https://arxiv.org/abs/1910.06360).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import erf

from bert_glue_tf.models.bert.architecture import Architecture, Block, architecture_of

if TYPE_CHECKING:
    import tf_keras

    from bert_glue_tf.models.bert.classifier_weights import SavedWeights

# Where zeros may be left, and why they cannot be cut out.
ZEROS_LEFT: Mapping[str, str] = MappingProxyType(
    {
        "padding": "fill up narrower heads, since the heads of a layer share their sizes",
        "constant_queries": "are a constant query's, of which only the bias counts",
        "hidden_features": "are whole lines along the hidden features, which every layer shares",
        "scattered": "stand alone inside lines with other values",
        "embeddings": "stand in the embeddings, where a row belongs to a piece",
        "vectors": "stand in biases and layer norms",
    }
)


# Along which axes of a kernel the hidden features lie.
_HIDDEN_AXES = (
    ("self_attention/attention_output/kernel", (-1,)),
    ("/output/kernel", (-1,)),
    ("pooler_transform/kernel", (0, -1)),
    ("embedding_projection/kernel", (-1,)),
    ("kernel", (0,)),
)

_Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """The widths of one layer before and after a cut.

    Attributes:
      before: its widths.
      after: its widths now.
      folded: number of neurons and dimensions of values that were constant but not zero, and
        live on in a bias.
    """

    before: Block
    after: Block
    folded: int


@dataclasses.dataclass(frozen=True)
class Report:
    """The report of `shrink`.

    Attributes:
      layers: one entry each.
      parameters_before: weights of encoder and classifier.
      parameters_after: the same, of the smaller network.
      zeros_before: of the parameters before, how many were exactly zero.
      zeros_after: exact zeros in the smaller network, by the keys of `ZEROS_LEFT`.
    """

    layers: tuple[LayerReport, ...]
    parameters_before: int
    parameters_after: int
    zeros_before: int
    zeros_after: Mapping[str, int]

    def lines(self) -> list[str]:
        """Return the report as text: a line for each layer that lost something, then the sums."""
        told = []
        for number, layer in enumerate(self.layers, start=1):
            widths = [
                f"{name} {getattr(layer.before, field)} -> {getattr(layer.after, field)}"
                for field, name in _WIDTHS.items()
                if getattr(layer.before, field) != getattr(layer.after, field)
            ]
            if widths:
                told.append(f"layer {number}: {', '.join(widths)}")
        told.append(
            f"parameters: {self.parameters_before:,} -> {self.parameters_after:,} "
            f"({1 - self.parameters_after / self.parameters_before:.1%} removed)"
        )
        told.append(
            f"exact zeros: {self.zeros_before:,} -> {sum(self.zeros_after.values()):,}, "
            "which cannot be cut"
        )
        told += [
            f"  {count:,} {ZEROS_LEFT[kind]}" for kind, count in self.zeros_after.items() if count
        ]
        return told


_WIDTHS = {
    "heads": "heads",
    "key_dim": "key size",
    "value_dim": "value size",
    "inner_dim": "neurons",
}


def shrink(weights: SavedWeights) -> tuple[SavedWeights, Report]:
    """Cut out what is exactly zero, without changing the function.

    Cut are, in every layer:

    - a neuron whose outgoing weights are zero, or whose incoming weights are (then it is
      the constant activation(bias), which moves into the output's bias);
    - a dimension of a head's values, by the same two rules: attention weights sum to 1, so
      that a constant value comes through unchanged. A head that keeps none is removed;
    - a dimension of a head's queries and keys where the query is zero, or where the key is
      constant: that adds the same to the scores of all keys, which a softmax does not see.
      Dimensions in which the query is constant but not zero become one, by head.

    All heads of a layer keep one size, that of the widest, with zeros in the others. A layer
    keeps one head of one dimension, and one neuron, where all could go. The function is the
    same in inference, up to float32's rounding; in a later training dropout acts on fewer
    units.

    Returns:
      The weights (float32; what has not changed is not copied) with the architecture that
      describes them, and the report.
    """
    encoder = dict(weights.encoder)
    padding: _Arrays = {}
    folded = []
    blocks = weights.architecture.each_block()
    for index in range(len(blocks)):
        at = f"transformer/layer_{index}/"
        layer = {name[len(at) :]: value for name, value in encoder.items() if name.startswith(at)}
        attention = _shrink_attention(layer)
        inner = _shrink_inner(layer, weights.architecture.activation)
        folded.append(attention.folded + inner.folded)
        for part in (attention, inner):
            encoder |= {at + name: value for name, value in part.weights.items()}
            padding |= {at + name: value for name, value in part.padding.items()}
    architecture = architecture_of(encoder, weights.architecture)
    smaller = dataclasses.replace(weights, architecture=architecture, encoder=encoder)
    layers = tuple(
        LayerReport(*each) for each in zip(blocks, architecture.each_block(), folded, strict=True)
    )
    before, after = _named(weights), _named(smaller)
    return smaller, Report(
        layers,
        sum(value.size for value in before.values()),
        sum(value.size for value in after.values()),
        sum(value.size - int(np.count_nonzero(value)) for value in before.values()),
        _zeros_left(after, padding),
    )


def shrink_model(model: tf_keras.Model, like: Architecture) -> tuple[tf_keras.Model, Report]:
    """Shrink a live classifier, as `shrink` does its weights.

    Args:
      model: from `classifiers.build_classifier`, with plain layers; unchanged.
      like: gives what no weight tells: activation and dropout rates of the encoder.

    Returns:
      A smaller model of plain layers, trainable, and the report.
    """

    from bert_glue_tf.models import heads
    from bert_glue_tf.models.bert.classifier_weights import from_weights, weights_of

    weights, report = shrink(weights_of(model, like))
    return from_weights(weights, model.get_layer(heads.DROPOUT).rate), report


@dataclasses.dataclass(frozen=True)
class _Part:
    """Half a layer, shrunk: weights by name, which of their elements are filling, and how
    many constants went into a bias."""

    weights: _Arrays
    padding: _Arrays
    folded: int


def _shrink_inner(layer: Mapping[str, np.ndarray], activation: str) -> _Part:
    kernel, bias = layer["intermediate/kernel"], layer["intermediate/bias"]
    out = layer["output/kernel"]
    used = out.any(axis=1)
    constant = used & ~kernel.any(axis=0)
    value = _activate(activation, bias[constant].astype(np.float64))
    live = np.flatnonzero(used & ~constant)
    size = max(1, len(live))
    weights = {
        "intermediate/kernel": np.zeros((len(kernel), size), np.float32),
        "intermediate/bias": np.zeros(size, np.float32),
        "output/kernel": np.zeros((size, out.shape[1]), np.float32),
    }
    padding = {name: np.ones(array.shape, bool) for name, array in weights.items()}
    for name, source in (("kernel", kernel), ("bias", bias)):
        weights[f"intermediate/{name}"][..., : len(live)] = source[..., live]
        padding[f"intermediate/{name}"][..., : len(live)] = False
    weights["output/kernel"][: len(live)] = out[live]
    padding["output/kernel"][: len(live)] = False
    weights["output/bias"] = (layer["output/bias"] + value @ out[constant]).astype(np.float32)
    return _Part(weights, padding, int(np.count_nonzero(value)))


def _activate(name: str, values: np.ndarray) -> np.ndarray:
    """Compute an activation of `architecture.ACTIVATIONS`, float64."""
    if name == "relu":
        return np.maximum(values, 0)
    if name == "gelu_tanh":
        return values * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (values + 0.044715 * values**3)))
    return values * 0.5 * (1 + erf(values / np.sqrt(2)))


def _shrink_attention(layer: Mapping[str, np.ndarray]) -> _Part:
    def of(part: str) -> tuple[np.ndarray, np.ndarray]:
        at = f"self_attention/{part}"
        return layer[f"{at}/kernel"], layer[f"{at}/bias"]

    (query, query_bias), (key, key_bias) = of("query"), of("key")
    (value, value_bias), (out, out_bias) = of("value"), of("attention_output")
    used = np.asarray(out.any(axis=2))  # [heads, value_dim]
    constant = np.logical_and(used, ~value.any(axis=0))
    carried = value_bias[constant].astype(np.float64)
    live: np.ndarray = used & ~constant
    heads = [head for head in range(len(live)) if live[head].any()]
    # For each head: kernel and bias of the value dimensions that stay.
    values = [(value[:, head, live[head]], value_bias[head, live[head]]) for head in heads]
    pairs = [
        _distinguishing(query[:, head], query_bias[head], key[:, head], key_bias[head])
        for head in heads
    ]
    key_dim = max((bias.size for (_, bias), _ in pairs), default=0) or 1
    # Keras divides the scores by the root of the key's size.
    scale = np.sqrt(key_dim / query.shape[2])
    queries = [(kernel * scale, bias * scale) for (kernel, bias), _ in pairs]
    weights: _Arrays = {}
    padding: _Arrays = {}
    for part, columns in (
        ("query", queries),
        ("key", [pair for _, pair in pairs]),
        ("value", values),
    ):
        size = max((bias.size for _, bias in columns), default=0) or 1
        kernel = np.zeros((len(query), max(1, len(heads)), size), np.float32)
        bias = np.zeros(kernel.shape[1:], np.float32)
        filling = np.ones(bias.shape, bool)
        for i, (some, its_bias) in enumerate(columns):
            kernel[:, i, : its_bias.size], bias[i, : its_bias.size] = some, its_bias
            filling[i, : its_bias.size] = False
        at = f"self_attention/{part}"
        weights |= {f"{at}/kernel": kernel, f"{at}/bias": bias}
        padding |= {f"{at}/kernel": np.broadcast_to(filling, kernel.shape), f"{at}/bias": filling}
    filling = padding["self_attention/value/bias"]
    kernel = np.zeros((*filling.shape, len(query)), np.float32)
    kernel[~filling] = out[live]
    at = "self_attention/attention_output"
    weights[f"{at}/kernel"] = kernel
    padding[f"{at}/kernel"] = np.broadcast_to(filling[..., None], kernel.shape)
    weights[f"{at}/bias"] = (out_bias + carried @ out[constant]).astype(np.float32)
    return _Part(weights, padding, int(np.count_nonzero(carried)))


_Dense = tuple[np.ndarray, np.ndarray]


def _distinguishing(
    query: np.ndarray, query_bias: np.ndarray, key: np.ndarray, key_bias: np.ndarray
) -> tuple[_Dense, _Dense]:
    """Return the dimensions of one head that tell its keys apart: kernel and bias of query and key.

    A key's bias adds the same to the scores of all keys; it is kept as it is all the same,
    where its dimension is.
    """
    moving = query.any(axis=0) & key.any(axis=0)
    steady = ~query.any(axis=0) & (query_bias != 0) & key.any(axis=0)
    if np.count_nonzero(steady) < 2:
        some = moving | steady
        return (query[:, some], query_bias[some]), (key[:, some], key_bias[some])
    # A sum of constant multiples of keys is one key times a constant.
    constants = query_bias[steady].astype(np.float64)
    length = np.linalg.norm(constants)
    return (
        (
            np.pad(query[:, moving], ((0, 0), (0, 1))),
            np.append(query_bias[moving].astype(np.float64), length),
        ),
        (
            np.column_stack([key[:, moving], key[:, steady] @ constants / length]),
            np.append(key_bias[moving].astype(np.float64), 0.0),
        ),
    )


def _named(weights: SavedWeights) -> _Arrays:
    """Return all weights of encoder and classifier, by name."""
    head = {"classifier/kernel": weights.kernel, "classifier/bias": weights.bias}
    return {**weights.encoder, **head}


def _zeros_left(weights: _Arrays, padding: _Arrays) -> dict[str, int]:
    """Count exact zeros by the keys of `ZEROS_LEFT`."""
    counts = dict.fromkeys(ZEROS_LEFT, 0)
    for name, value in weights.items():
        zero = value == 0
        filling = padding.get(name, np.zeros(value.shape, bool))
        others = zero & ~filling
        counts["padding"] += int(np.count_nonzero(filling))
        if name.endswith("embeddings"):
            counts["embeddings"] += int(np.count_nonzero(others))
        elif not name.endswith("kernel"):
            counts["vectors"] += int(np.count_nonzero(others))
        else:
            axes = next(axes for end, axes in _HIDDEN_AXES if name.endswith(end))
            lines = np.zeros(value.shape, bool)
            for axis in axes:
                rest = tuple(i for i in range(value.ndim) if i != axis % value.ndim)
                lines |= zero.all(axis=rest, keepdims=True)
            counts["hidden_features"] += int(np.count_nonzero(others & lines))
            others &= ~lines
            if name.endswith("query/kernel"):
                constant = others & zero.all(axis=0)
                counts["constant_queries"] += int(np.count_nonzero(constant))
                others &= ~constant
            counts["scattered"] += int(np.count_nonzero(others))
    return counts
