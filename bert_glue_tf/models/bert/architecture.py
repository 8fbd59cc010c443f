"""The shapes of a standard BERT encoder, and the names of its variables.

The names are those of the published TF-Hub BERT encoders
(`transformer/layer_0/self_attention/query/kernel`, ...). No TensorFlow is needed here: what a
set of variables is can be judged by their names and shapes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from bert_glue_tf.models.blocks import EncoderSizes, LayerSize
from bert_glue_tf.models.parts import Attention, States
from bert_glue_tf.models.saved_encoders import NotOfFamilyError
from bert_glue_tf.models.transformer_names import canonical_name

# Our names: the exact GELU, its tanh approximation, and ReLU.
ACTIVATIONS = ("gelu", "gelu_tanh", "relu")
LAYER_NORM_EPSILON = 1e-12  # Of every layer norm, as BERT's authors have it.
# Of the normal distribution that first weights are drawn from (google-research/bert,
# `create_initializer`), which is cut at two of these deviations.
INITIALIZER_RANGE = 0.02
# The fields of `Architecture` that no shape tells.
_TOLD_BY_NO_SHAPE = (
    "activation",
    "output_dropout",
    "attention_dropout",
    "layer_norm_epsilon",
    "pooler_activation",
)


class NotBertError(NotOfFamilyError):
    """A SavedModel that is no standard BERT; the message is the reason."""


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

    @property
    def keys(self) -> int:
        """The features of a token's key, of all heads together."""
        return self.heads * self.key_dim

    def shapes(self, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of every variable of the layer, by its name within the layer."""
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
    """The sizes and the arithmetic of a standard BERT encoder.

    `Architecture(**values)` takes the values of `dataclasses.asdict` back, as JSON holds
    them.

    Attributes:
        type_vocab_size: rows of the table of segments; 0 where there is none (DistilBERT). Where
            there is one, every token is of the segment 0.
        heads: of every layer; the largest number where `blocks` is given.
        inner_dim: of every layer; the largest where `blocks` is given.
        blocks: the widths of each layer, where layers differ from each other or from the
            standard (hidden_size / heads for keys and values); else empty.
        layer_norm_epsilon: is added to the variance in every layer norm.
        embedding_size: width of the tables where a projection follows them (ELECTRA); 0 where
            they are as wide as the layers.
        pooler_activation: behind the pooler's matrix: "tanh", as BERT's authors have it, or one of
            `ACTIVATIONS`, where that matrix is the first one of another program's head.
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
    layer_norm_epsilon: float = LAYER_NORM_EPSILON
    embedding_size: int = 0
    pooler_activation: str = "tanh"

    def __post_init__(self) -> None:
        blocks: Iterable[Any] = self.blocks
        blocks = tuple(Block(**block) if isinstance(block, Mapping) else block for block in blocks)
        if blocks and len(blocks) != self.layers:
            raise ValueError(f"{len(blocks)} blocks for {self.layers} layers")
        object.__setattr__(self, "blocks", blocks)

    def told_by(self, like: Architecture) -> Architecture:
        """Return these shapes with all that no shape tells as `like` has it."""
        told = {name: getattr(like, name) for name in _TOLD_BY_NO_SHAPE}
        return dataclasses.replace(self, **told)

    def is_part_of(self, other: Architecture) -> bool:
        """Tell whether this is `other`, or `other` without some units and word pieces."""
        same = ("layers", "hidden_size", "positions", "type_vocab_size", "embedding_size")
        if any(getattr(self, name) != getattr(other, name) for name in same):
            return False
        most = {
            size: max(getattr(block, size) for block in other.each_block())
            for size in ("heads", "key_dim", "value_dim", "inner_dim")
        }
        return self.vocab_size <= other.vocab_size and all(
            getattr(block, size) <= largest
            for block in self.each_block()
            for size, largest in most.items()
        )

    def each_block(self) -> tuple[Block, ...]:
        """Return the widths of each layer, uniform or not."""
        size = self.hidden_size // self.heads
        return self.blocks or (Block(self.heads, size, size, self.inner_dim),) * self.layers

    @property
    def states(self) -> States:
        """The sizes of what its layers compute."""
        attention = tuple(
            Attention(one.heads, (one.keys, one.keys, one.heads * one.value_dim))
            for one in self.each_block()
        )
        return States(self.layers, self.hidden_size, attention)

    def sizes(self, classes: int) -> EncoderSizes:
        """Return what the cost of a classifier's file depends on, whose head is `classes` wide."""
        layers = tuple(
            LayerSize(block.heads, block.value_dim, block.inner_dim) for block in self.each_block()
        )
        same = {
            "hidden_size": self.hidden_size,
            "key_size": max(block.key_dim for block in self.each_block()),
            "embedding_size": self.embedding_size or self.hidden_size,
            "positions": self.positions,
            "type_vocab_size": self.type_vocab_size,
            "activation": self.activation,
            "classes": classes,
        }
        return EncoderSizes(layers, self.vocab_size, self.positions, same)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every variable of the encoder, by its name."""
        hidden: tuple[int, ...] = (self.hidden_size,)
        width: tuple[int, ...] = (self.embedding_size or self.hidden_size,)
        parts: dict[str, dict[str, tuple[int, ...]]] = {
            "word_embeddings": {"embeddings": (self.vocab_size, *width)},
            "position_embedding": {"embeddings": (self.positions, *width)},
        }
        if self.type_vocab_size:
            parts["type_embeddings"] = {"embeddings": (self.type_vocab_size, *width)}
        parts["embeddings/layer_norm"] = {"gamma": width, "beta": width}
        if self.embedding_size:
            parts["embedding_projection"] = {"kernel": width + hidden, "bias": hidden}
        for i, block in enumerate(self.each_block()):
            parts[f"transformer/layer_{i}"] = block.shapes(self.hidden_size)
        parts["pooler_transform"] = {"kernel": hidden + hidden, "bias": hidden}
        return _flatten(parts)


def _flatten(parts: Mapping[str, Mapping[str, tuple[int, ...]]]) -> dict[str, tuple[int, ...]]:
    return {
        f"{part}/{leaf}": shape for part, leaves in parts.items() for leaf, shape in leaves.items()
    }


def by_canonical_name(variables: Iterable[Any]) -> dict[str, Any]:
    """Return those variables that belong to a standard BERT encoder, by canonical name."""
    named = ((canonical_name(variable.name), variable) for variable in variables)
    return {name: variable for name, variable in named if name}


def architecture_of(variables: Mapping[str, Any], like: Architecture) -> Architecture:
    """Return the architecture that the weights really have.

    Args:
        variables: canonical name -> array or variable.
        like: gives what no shape tells: activation, dropout rates, epsilon of the layer norms.

    Raises:
        NotBertError: they are not a standard BERT's weights; the message is the reason.
    """
    return read_architecture(variables).told_by(like)


def read_architecture(variables: Mapping[str, Any]) -> Architecture:
    """Read the architecture from the variables' shapes; what no shape tells has its default.

    Args:
        variables: canonical name -> array or variable.

    Raises:
        NotBertError: they are not those of a standard BERT.
    """

    def shape(name: str, rank: int) -> tuple[int, ...]:
        if name not in variables:
            raise NotBertError(f"it has no variable {name!r}, as every standard BERT has")
        if len(variables[name].shape) != rank:
            raise NotBertError(
                f"its variable {name!r} has shape "
                f"{list(variables[name].shape)}, not {rank} dimensions"
            )
        return tuple(variables[name].shape)

    types = "type_embeddings/embeddings"
    vocab_size, width = shape("word_embeddings/embeddings", 2)
    hidden = shape("transformer/layer_0/self_attention/query/kernel", 3)[0]
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
        type_vocab_size=shape(types, 2)[0] if types in variables else 0,
        activation="gelu",
        embedding_size=width if width != hidden else 0,
    )
    if found.each_block() != tuple(blocks):
        found = dataclasses.replace(found, blocks=tuple(blocks))
    for name, expected in found.shapes().items():
        if shape(name, len(expected)) != expected:
            raise NotBertError(
                f"its variable {name!r} has shape "
                f"{list(variables[name].shape)}, not {list(expected)}"
            )
    unknown = sorted(set(variables) - set(found.shapes()))
    if unknown:
        raise NotBertError(f"it has a variable {unknown[0]!r}, which a standard BERT has not")
    return found
