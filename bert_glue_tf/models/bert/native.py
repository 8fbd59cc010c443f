"""The native encoder: a standard BERT whose weights can be seen, pruned and quantized.

Weights are taken over variable by variable under one set of names, those of the
published TF-Hub BERT encoders (`transformer/layer_0/self_attention/query/kernel`, ...),
and the result is proved equal to its origin on a probe batch. TensorFlow is imported
inside the functions that need it: the shapes can be judged without it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from absl import logging as absl_logging

from bert_glue_tf.core.errors import UserError

INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
# Our names: the exact GELU, its tanh approximation, and ReLU.
ACTIVATIONS = ("gelu", "gelu_tanh", "relu")
# Two float32 evaluations of one encoder differ by about 1e-6 to 1e-5 (order of
# summation); a wrong activation shows as 1e-3 and more in a trained BERT.
PROBE_TOLERANCE = 1e-4

_CANONICAL = re.compile(
    r"(?:^|/)((?:word_embeddings|position_embedding|type_embeddings)/embeddings"
    r"|embeddings/layer_norm/(?:gamma|beta)"
    r"|transformer/layer_\d+/[^:]+|pooler_transform/(?:kernel|bias))(?::0)?$"
)

Reader = Callable[[str], np.ndarray]


class NotNativeError(Exception):
    """A SavedModel that cannot be held as a native encoder; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class Block:
    """The widths of one layer.

    Attributes:
        heads: of the attention.
        key_dim: of a query or key, by head.
        value_dim: of a value, by head.
        inner_dim: neurons between the two feed-forward matrices.
    """

    heads: int
    key_dim: int
    value_dim: int
    inner_dim: int

    def shapes(self, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Name below `transformer/layer_<i>` -> shape of every variable of the layer."""
        hidden: tuple[int, ...] = (hidden_size,)
        inner: tuple[int, ...] = (self.inner_dim,)
        size = {"query": self.key_dim, "key": self.key_dim, "value": self.value_dim}
        norm = {"gamma": hidden, "beta": hidden}
        parts: dict[str, dict[str, tuple[int, ...]]] = {
            f"self_attention/{part}": {
                "kernel": (hidden_size, self.heads, dim),
                "bias": (self.heads, dim),
            }
            for part, dim in size.items()
        }
        parts |= {
            "self_attention/attention_output": {
                "kernel": (self.heads, self.value_dim, hidden_size),
                "bias": hidden,
            },
            "self_attention_layer_norm": norm,
            "intermediate": {"kernel": hidden + inner, "bias": inner},
            "output": {"kernel": inner + hidden, "bias": hidden},
            "output_layer_norm": norm,
        }
        return _flatten(parts)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What decides the shapes and the arithmetic of a standard BERT encoder.

    `Architecture(**values)` takes the values of `dataclasses.asdict` back, as JSON holds
    them, and those of older files, which know no `blocks`.

    Attributes:
        heads: of every layer; the largest number where `blocks` is given.
        inner_dim: of every layer; the largest where `blocks` is given.
        blocks: the widths of each layer, where layers differ from each other or from the
            standard (hidden_size / heads for keys and values); else empty.
    """

    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    inner_dim: int
    positions: int
    type_vocab_size: int
    activation: str
    output_dropout: float = 0.1
    attention_dropout: float = 0.1
    blocks: tuple[Block, ...] = ()

    def __post_init__(self) -> None:
        blocks: Iterable[Any] = self.blocks
        blocks = tuple(Block(**block) if isinstance(block, Mapping) else block for block in blocks)
        if blocks and len(blocks) != self.layers:
            raise ValueError(f"{len(blocks)} blocks for {self.layers} layers")
        object.__setattr__(self, "blocks", blocks)

    def each_block(self) -> tuple[Block, ...]:
        """The widths of each layer, uniform or not."""
        size = self.hidden_size // self.heads
        return self.blocks or (Block(self.heads, size, size, self.inner_dim),) * self.layers

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every variable of the encoder."""
        hidden: tuple[int, ...] = (self.hidden_size,)
        norm = {"gamma": hidden, "beta": hidden}
        parts: dict[str, dict[str, tuple[int, ...]]] = {
            "word_embeddings": {"embeddings": (self.vocab_size, *hidden)},
            "position_embedding": {"embeddings": (self.positions, *hidden)},
            "type_embeddings": {"embeddings": (self.type_vocab_size, *hidden)},
            "embeddings/layer_norm": norm,
        }
        for i, block in enumerate(self.each_block()):
            parts[f"transformer/layer_{i}"] = block.shapes(self.hidden_size)
        parts["pooler_transform"] = {"kernel": hidden + hidden, "bias": hidden}
        return _flatten(parts)


def _flatten(parts: Mapping[str, Mapping[str, tuple[int, ...]]]) -> dict[str, tuple[int, ...]]:
    return {
        f"{part}/{leaf}": shape for part, leaves in parts.items() for leaf, shape in leaves.items()
    }


def canonical_name(name: str) -> str | None:
    """`prefix/word_embeddings/embeddings:0` -> `word_embeddings/embeddings`; else None."""
    found = _CANONICAL.search(name)
    return found.group(1) if found else None


def by_canonical_name(variables: Iterable[Any]) -> dict[str, Any]:
    """The variables that belong to a standard BERT encoder; others are left out."""
    named = ((canonical_name(variable.name), variable) for variable in variables)
    return {name: variable for name, variable in named if name}


def build_network(network: type, architecture: Architecture) -> Any:
    """An encoder of tf-models-official, built, with its first weights."""
    import tensorflow as tf
    from official.modeling import activations

    activation = (
        activations.gelu if architecture.activation == "gelu_tanh" else architecture.activation
    )
    encoder = network(
        vocab_size=architecture.vocab_size,
        hidden_size=architecture.hidden_size,
        num_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        max_sequence_length=architecture.positions,
        inner_dim=architecture.inner_dim,
        type_vocab_size=architecture.type_vocab_size,
        inner_activation=activation,
        output_dropout=architecture.output_dropout,
        attention_dropout=architecture.attention_dropout,
        name="bert_encoder",
    )
    if architecture.blocks:
        # The encoder itself knows layers of one width only. Nothing is built yet: a layer makes
        # its weights when it is first called. The list is replaced as a whole, since Keras
        # refuses to save one whose elements were.
        encoder._transformer_layers = [
            _block_layer(architecture, block, activation, i)
            for i, block in enumerate(architecture.blocks)
        ]
    with _without_the_divisors_warning():
        encoder({name: tf.ones((1, 2), tf.int32) for name in INPUTS})
    return encoder


def _block_layer(architecture: Architecture, block: Block, activation: Any, index: int) -> Any:
    """A layer with the arguments that `official`'s BertEncoderV2 gives to each of its own."""
    import tf_keras
    from official.nlp.modeling import layers

    return layers.TransformerEncoderBlock(
        num_attention_heads=block.heads,
        inner_dim=block.inner_dim,
        inner_activation=tf_keras.activations.get(activation),
        output_dropout=architecture.output_dropout,
        attention_dropout=architecture.attention_dropout,
        kernel_initializer=tf_keras.initializers.TruncatedNormal(stddev=0.02),
        key_dim=block.key_dim,
        value_dim=block.value_dim,
        # Else the attention's output would be as wide as its heads together.
        output_last_dim=architecture.hidden_size,
        name=f"transformer/layer_{index}",
    )


@contextlib.contextmanager
def _without_the_divisors_warning() -> Iterator[None]:
    """Hides that the hidden size is no multiple of a number of heads: the widths are given."""

    def keep(record: logging.LogRecord) -> bool:
        return "is not a multiple of the number of attention" not in record.getMessage()

    logger = absl_logging.get_absl_logger()
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


def build_native(architecture: Architecture, read: Reader, origin: str = "the weights") -> Any:
    """Builds `official`'s BertEncoderV2 and assigns every variable.

    Args:
        architecture: shapes and arithmetic.
        read: canonical name -> float32 array; a dense kernel may come with its heads
            in one dimension ([in, out]).
        origin: where the weights come from, for messages.

    Raises:
        UserError: a tensor whose size does not fit, naming it and both shapes.
    """
    from official.nlp.modeling import networks

    encoder = build_network(networks.BertEncoderV2, architecture)
    for name, variable in by_canonical_name(encoder.variables).items():
        value, expected = read(name), tuple(variable.shape)
        if tuple(value.shape) != expected and not (
            "self_attention/" in name and value.size == np.prod(expected)
        ):
            raise UserError(
                f"{origin}: {name!r} has shape {list(value.shape)}, expected {list(expected)}"
            )
        variable.assign(value.reshape(expected))
    return encoder


def probe(vocab_size: int, batch: int = 3, length: int = 12) -> dict[str, np.ndarray]:
    """A batch of random tokens with padding and two segments: int32 [batch, length]."""
    random = np.random.default_rng(0)
    ids = random.integers(0, vocab_size, (batch, length))
    lengths = np.array([length, length - 3, length // 2])[:batch, None]
    mask = np.arange(length) < lengths
    types = mask & (np.arange(length) >= lengths // 2)
    return {
        "input_word_ids": np.where(mask, ids, 0).astype(np.int32),
        "input_mask": mask.astype(np.int32),
        "input_type_ids": types.astype(np.int32),
    }


def take_over(
    layer: Any,
    outputs: Mapping[str, np.ndarray],
    batch: Mapping[str, np.ndarray],
    known: Architecture | None = None,
) -> tuple[Any, Architecture, float]:
    """Makes a native encoder from a loaded SavedModel and proves it equal.

    Args:
        layer: the SavedModel as a `hub.KerasLayer`.
        outputs: its own pooled_output and sequence_output on `batch`.
        batch: a probe batch.
        known: dropout rates and activation where an import recorded them.

    Returns:
        The native encoder, its architecture, the largest difference on the probe batch.

    Raises:
        NotNativeError: with the reason in one sentence.
    """
    variables = by_canonical_name(layer.variables)
    found = _architecture(variables)
    tried: dict[str, float] = {}
    for activation in [known.activation] if known else ACTIVATIONS:
        candidate = dataclasses.replace(
            found,
            activation=activation,
            output_dropout=known.output_dropout if known else found.output_dropout,
            attention_dropout=known.attention_dropout if known else found.attention_dropout,
        )
        encoder = build_native(candidate, lambda name: variables[name].numpy())
        tried[activation] = difference(encoder(dict(batch)), outputs)
        # As near as this, no other activation can be nearer by more than rounding.
        if tried[activation] < PROBE_TOLERANCE / 100:
            return encoder, candidate, tried[activation]
        del encoder
        collect(variables.values())
    best = min(tried, key=tried.__getitem__)
    if not tried[best] < PROBE_TOLERANCE:
        raise NotNativeError(
            "its outputs differ from a standard BERT's with the same weights by "
            + ", ".join(f"{value:.1e} ({name})" for name, value in tried.items())
        )
    candidate = dataclasses.replace(candidate, activation=best)
    encoder = build_native(candidate, lambda name: variables[name].numpy())
    return encoder, candidate, tried[best]


# Bytes. Of smaller copies Python gets rid by itself before long, and looking for them takes a third
# of a second in a process with TensorFlow.
_SMALL = 1 << 26


def collect(variables: Iterable[Any]) -> None:
    """Lets go of a large model's copy of some variables, which sits in reference cycles."""
    size = sum((one.shape.num_elements() or 0) * one.dtype.size for one in variables)
    if size > _SMALL:
        gc.collect()


def difference(left: Mapping[str, Any], right: Mapping[str, Any]) -> float:
    """The largest absolute difference of pooled and sequence output."""
    return max(
        float(np.max(np.abs(np.asarray(left[key]) - np.asarray(right[key]))))
        for key in ("pooled_output", "sequence_output")
    )


def describe(variables: Mapping[str, Any], like: Architecture) -> Architecture:
    """The architecture that the weights really have.

    Args:
        variables: canonical name -> array or variable.
        like: gives what no shape tells: activation and dropout rates.

    Raises:
        NotNativeError: they are not a standard BERT's weights; the message is the reason.
    """
    return dataclasses.replace(
        _architecture(variables),
        activation=like.activation,
        output_dropout=like.output_dropout,
        attention_dropout=like.attention_dropout,
    )


def _architecture(variables: Mapping[str, Any]) -> Architecture:
    """Reads the architecture from the variables' shapes; raises NotNativeError."""

    def shape(name: str, rank: int) -> tuple[int, ...]:
        if name not in variables:
            raise NotNativeError(f"it has no variable {name!r}, as every standard BERT has")
        if len(variables[name].shape) != rank:
            raise NotNativeError(
                f"its variable {name!r} has shape "
                f"{list(variables[name].shape)}, not {rank} dimensions"
            )
        return tuple(variables[name].shape)

    vocab_size, width = shape("word_embeddings/embeddings", 2)
    hidden = shape("transformer/layer_0/self_attention/query/kernel", 3)[0]
    if width != hidden:
        raise NotNativeError(
            f"its word embeddings are factorised (width {width}, hidden "
            f"size {hidden}), which a standard BERT's are not"
        )
    layers = 1 + max(
        int(name.split("/")[1].removeprefix("layer_"))
        for name in variables
        if name.startswith("transformer/")
    )
    blocks = []
    for i in range(layers):
        at = f"transformer/layer_{i}"
        _, heads, key_dim = shape(f"{at}/self_attention/query/kernel", 3)
        value_dim = shape(f"{at}/self_attention/value/kernel", 3)[2]
        blocks.append(Block(heads, key_dim, value_dim, shape(f"{at}/intermediate/kernel", 2)[1]))
    found = Architecture(
        vocab_size=vocab_size,
        hidden_size=hidden,
        layers=layers,
        heads=max(block.heads for block in blocks),
        inner_dim=max(block.inner_dim for block in blocks),
        positions=shape("position_embedding/embeddings", 2)[0],
        type_vocab_size=shape("type_embeddings/embeddings", 2)[0],
        activation="gelu",
    )
    if found.each_block() != tuple(blocks):
        found = dataclasses.replace(found, blocks=tuple(blocks))
    for name, expected in found.shapes().items():
        if shape(name, len(expected)) != expected:
            raise NotNativeError(
                f"its variable {name!r} has shape "
                f"{list(variables[name].shape)}, not {list(expected)}"
            )
    unknown = sorted(set(variables) - set(found.shapes()))
    if unknown:
        raise NotNativeError(f"it has a variable {unknown[0]!r}, which a standard BERT has not")
    return found
