"""The BERT computation, written once; training and export go through it.

`encode` says which weights meet which activations in which order (Devlin et al. 2019,
https://arxiv.org/abs/1810.04805). How a single step is computed is given by an `Arithmetic`:
`arithmetic_training` computes as Keras does, for batches and with dropout; `arithmetic_export`
lays the same steps out for TFLite. A `quantize` callback sees, and may replace, every weight
and the activations at named points. So the network that is exported is the one that was trained.

The points, in the order in which they are reached:

- Every weight, by its canonical name (`transformer/layer_0/intermediate/kernel`), as it is read
  from the mapping, before an arithmetic folds anything into it.
- `embeddings/layer_norm:input` and `:output`.
- `embedding_projection` (`:input`, `:output`), where the tables are narrower than the layers.
- In each layer, below `layer_<i>/`:
  `self_attention/query`, `self_attention/key`, `self_attention/value` (`:input`, `:output`),
  `self_attention/scores:output` (query times key), `self_attention/softmax:output`,
  `self_attention/context:output` (softmax times value),
  `self_attention/attention_output` (`:input`, `:output`),
  `self_attention_layer_norm` (`:input`, `:output`), `intermediate` (`:input`, `:output`),
  `output` (`:input`, the activation's result, and `:output`), `output_layer_norm`
  (`:input`, `:output`).
- `pooler_transform` (`:input`, `:output`) and `pooler:output`, behind the activation.

A tensor is what the arithmetic computes with. In export a layer norm's output, and with it the
input of the product behind it, has not been multiplied by gamma, which stands in the product's
weights; and the query has been divided by the root of its size.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

# A name and a tensor (variable, array), to a tensor of the same shape.
Quantize = Callable[[str, Any], Any]
_TYPES, PROJECTION = "type_embeddings/embeddings", "embedding_projection"
# How an arithmetic holds the output of a layer norm.
H = TypeVar("H")


def keep(name: str, tensor: Any) -> Any:
    """Return the tensor as it is: the callback of a computation that quantizes nothing."""
    return tensor


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The features of some texts.

    Attributes:
      word_ids: int32 [batch, length].
      type_ids: int32 [batch, length], the segment of each token.
      mask: bool, or int32 of 0 and 1: [batch, to], the tokens that are read, or
        [batch, from, to], the tokens that each token reads.
      positions: int32 [batch, length], a token's place in its text; None counts each row from 0.
      firsts: int32 [texts, 2], row and column of the token that is pooled, for each text: of the
        last layer's output only these are computed. None computes all tokens, and takes the first
        one of each row.
    """

    word_ids: Any
    type_ids: Any
    mask: Any
    positions: Any = None
    firsts: Any = None


@dataclasses.dataclass(frozen=True)
class Encoded(Generic[H]):
    """The outputs of an encoder.

    Attributes:
      layers: the output of each layer, as the arithmetic holds it; of the last one only the tokens
        that are pooled, [texts, 1, hidden], where the inputs name them.
      pooled: [texts, hidden].
      attention: the queries, keys and values of each layer, by head, as they are used; of one
        whose attention gives a constant none.
    """

    layers: tuple[H, ...]
    pooled: Any
    attention: tuple[tuple[Any, ...], ...]


class Arithmetic(Protocol[H]):
    """The steps of the computation that training and export compute in different ways.

    Tensors are [batch, length, ...] in training; in export, where one text is computed at a
    time, they have no batch.
    """

    def scope(self, name: str) -> contextlib.AbstractContextManager[Any]:
        """Return a context whose operations carry `name` in theirs."""

    def embed(self, inputs: Inputs, words: Any, positions: Any, types: Any) -> Any:
        """Return the sum of the tables' rows for each token; `types` may be None."""

    def normalize(self, total: Any, name: str, gamma: Any, beta: Any) -> H:
        """Return the layer norm of the last axis, with the weights called `name`."""

    def change(self, hidden: H | Any, function: Callable[[Any], Any]) -> H | Any:
        """Return `hidden` with `function` applied to the tensor that products are made of."""

    def dropout(self, name: str, hidden: H | Any) -> H | Any:
        """Return `hidden` with the dropout of the point `name`, if it is trained."""

    def prepare_mask(self, mask: Any, hidden: H) -> Any:
        """Return the attention mask for the tokens of `hidden`, in the form `softmax` takes."""

    def enter_layer(self, hidden: H, is_last: bool) -> tuple[H, H]:
        """Return the tokens that a layer computes, and those that they read."""

    def keep_pooled(self, tokens: H | Any, inputs: Inputs) -> H | Any:
        """Return only the tokens that are pooled, of those that the last layer computes."""

    def dense(self, source: H | Any, name: str, kernel: Any, bias: Any) -> Any:
        """Return `source @ kernel + bias`; a kernel may keep its heads apart."""

    def project(self, source: H, name: str, kernel: Any, bias: Any) -> Any:
        """Return keys or values, by head, of a kernel [hidden, heads, size]."""

    def project_query(self, source: H, name: str, kernel: Any, bias: Any) -> Any:
        """Return queries, by head; here or in `scores` they are divided by the root of size."""

    def scores(self, query: Any, key: Any) -> Any:
        """Return the products [..., heads, from, to]."""

    def softmax(self, name: str, scores: Any, mask: Any) -> Any:
        """Return weights that sum to 1 over the last axis, 0 where the mask forbids to read."""

    def context(self, weights: Any, value: Any) -> Any:
        """Return the weighted values, by head."""

    def add(self, left: H | Any, right: H | Any) -> Any:
        """Return the sum of a sublayer's output and of its input, in either order."""

    def activate(self, name: str, inner: Any) -> Any:
        """Return the activation behind the feed-forward product of the point `name`."""

    def firsts(self, hidden: H, inputs: Inputs) -> H | Any:
        """Return the token of each text that is pooled: [texts, hidden]."""

    def activate_pooled(self, pooled: Any) -> Any:
        """Return the activation behind the pooler's product."""

    def is_nothing(self, kernel: Any) -> bool:
        """Tell whether a product with this kernel, the last one of half a layer, is zero."""

    def constant(self, name: str, bias: Any) -> Any:
        """Return the output of the product called `name` whose kernel is nothing."""


def encode(
    weights: Mapping[str, Any],
    inputs: Inputs,
    arithmetic: Arithmetic[H],
    layers: int,
    quantize: Quantize = keep,
) -> Encoded[H]:
    """Compute a BERT encoder.

    Args:
      weights: canonical name -> tensor, variable or array, as the arithmetic takes them.
      inputs: features.
      arithmetic: computes the single steps.
      layers: number of them.
      quantize: is given each of the module's points by name, and returns what is used instead.
    """
    return Forward(weights, arithmetic, layers, quantize).encode(inputs)


@dataclasses.dataclass(frozen=True)
class Forward(Generic[H]):
    """The steps of `encode`, whose arguments they share: `begin`, each `layer`, and `pool`."""

    weights: Mapping[str, Any]
    arithmetic: Arithmetic[H]
    layers: int
    quantize: Quantize

    def encode(self, inputs: Inputs) -> Encoded[H]:
        """Return the outputs of the encoder."""
        hidden, mask = self.begin(inputs)
        outputs, attention = [], []
        for index in range(self.layers):
            hidden, parts = self.layer(index, hidden, mask, inputs)
            outputs.append(hidden)
            attention.append(parts)
        return Encoded(tuple(outputs), self.pool(hidden, inputs), tuple(attention))

    def begin(self, inputs: Inputs) -> tuple[H, Any]:
        """Return the embeddings, and the mask that every layer takes."""
        with self.arithmetic.scope("embeddings"):
            hidden = self._embed(inputs)
        return hidden, self.arithmetic.prepare_mask(inputs.mask, hidden)

    def layer(self, index: int, hidden: H, mask: Any, inputs: Inputs) -> tuple[H, tuple[Any, ...]]:
        """Return a layer's output, and the queries, keys and values of its attention.

        Args:
          index: of the layer, from 0.
          hidden: the output of the one before, or the embeddings.
          mask: of `begin`.
          inputs: features.
        """
        pooled_of = inputs if index == self.layers - 1 else None
        with self.arithmetic.scope(f"layer_{index}"):
            return self._layer(f"transformer/layer_{index}", hidden, mask, pooled_of)

    def pool(self, hidden: H, inputs: Inputs) -> Any:
        """Return the pooled output of the last layer's output `hidden`."""
        with self.arithmetic.scope("pooler"):
            first = self.arithmetic.firsts(hidden, inputs)
            pooled = self.arithmetic.activate_pooled(self._dense("pooler_transform", first))
            return self.quantize("pooler:output", pooled)

    def _embed(self, inputs: Inputs) -> H:
        words = self._read("word_embeddings/embeddings")
        positions = self._read("position_embedding/embeddings")
        types = None
        if _TYPES in self.weights:
            types = self._read(_TYPES)
            if types.shape[0] == 1:  # One segment: the second text of a pair is of it as well.
                inputs = dataclasses.replace(inputs, type_ids=inputs.type_ids * 0)
        total = self.arithmetic.embed(inputs, words, positions, types)
        total = self._normalize("embeddings/layer_norm", total)
        hidden = self.arithmetic.dropout("embeddings", total)
        if f"{PROJECTION}/kernel" in self.weights:
            hidden = self._dense(PROJECTION, hidden)
        return hidden

    def _layer(
        self, prefix: str, hidden: H, mask: Any, pooled_of: Inputs | None
    ) -> tuple[H, tuple[Any, ...]]:
        """Compute a layer; `pooled_of` are the inputs in the last one, whose tokens are pooled.

        Returns:
          Its output, and the queries, keys and values of its attention.
        """
        arithmetic, scope = self.arithmetic, self.arithmetic.scope
        asking, read = arithmetic.enter_layer(hidden, pooled_of is not None)
        with scope("self_attention"):
            attention, parts, asking = self._attended(prefix, asking, read, mask, pooled_of)
        point = f"{_point(prefix)}/self_attention/attention_output"
        attention = arithmetic.dropout(point, attention)
        with scope("self_attention_layer_norm"):
            # The two are in Keras's order, here and below, so that its graph is the same.
            total = arithmetic.add(asking, attention)
            attended = self._normalize(f"{prefix}/self_attention_layer_norm", total)
        output = self._feed_forward(prefix, attended)
        with scope("output_layer_norm"):
            total = arithmetic.add(output, attended)
            return self._normalize(f"{prefix}/output_layer_norm", total), parts

    def _attended(
        self, prefix: str, asking: H, read: H, mask: Any, pooled_of: Inputs | None
    ) -> tuple[Any, tuple[Any, ...], H]:
        """Return the attention's output, what it was made of, and the tokens it is of."""
        arithmetic, name = self.arithmetic, f"{prefix}/self_attention"
        last = f"{name}/attention_output"
        if arithmetic.is_nothing(self.weights[f"{last}/kernel"]):
            if pooled_of is not None:
                asking = arithmetic.keep_pooled(asking, pooled_of)
            return arithmetic.constant(last, self._read(f"{last}/bias")), (), asking
        context, parts = self._attention(name, asking, read, mask)
        if pooled_of is not None:
            context = arithmetic.keep_pooled(context, pooled_of)
            asking = arithmetic.keep_pooled(asking, pooled_of)
        with arithmetic.scope("attention_output"):
            return self._dense(last, context), parts, asking

    def _feed_forward(self, prefix: str, attended: H) -> Any:
        """Return the output of a layer's feed-forward block."""
        arithmetic, scope, point = self.arithmetic, self.arithmetic.scope, _point(prefix)
        last = f"{prefix}/output"
        if arithmetic.is_nothing(self.weights[f"{last}/kernel"]):
            with scope("output"):
                return arithmetic.constant(last, self._read(f"{last}/bias"))
        with scope("intermediate"):
            inner = self._dense(f"{prefix}/intermediate", attended)
            inner = arithmetic.activate(f"{point}/intermediate", inner)
            inner = arithmetic.dropout(f"{point}/intermediate", inner)
        with scope("output"):
            output = self._dense(last, inner)
            return arithmetic.dropout(f"{point}/output", output)

    def _attention(
        self, prefix: str, asking: H, read: H, mask: Any
    ) -> tuple[Any, tuple[Any, Any, Any]]:
        """Return the weighted values, by head, and the queries, keys and values."""
        arithmetic, scope, point = self.arithmetic, self.arithmetic.scope, _point(prefix)
        with scope("query"):
            query = self._product(f"{prefix}/query", asking, arithmetic.project_query)
        with scope("key"):
            key = self._product(f"{prefix}/key", read, arithmetic.project)
        with scope("value"):
            value = self._product(f"{prefix}/value", read, arithmetic.project)
        with scope("scores"):
            scores = self.quantize(f"{point}/scores:output", arithmetic.scores(query, key))
            weights = arithmetic.softmax(f"{point}/softmax", scores, mask)
            weights = self.quantize(f"{point}/softmax:output", weights)
            weights = arithmetic.dropout(f"{point}/softmax", weights)
        with scope("context"):
            context = arithmetic.context(weights, value)
            return self.quantize(f"{point}/context:output", context), (query, key, value)

    def _read(self, name: str) -> Any:
        return self.quantize(name, self.weights[name])

    def _normalize(self, name: str, total: Any) -> H:
        gamma, beta = self._read(f"{name}/gamma"), self._read(f"{name}/beta")
        total = self.quantize(f"{_point(name)}:input", total)
        hidden = self.arithmetic.normalize(total, name, gamma, beta)
        return self._at(f"{_point(name)}:output", hidden)

    def _dense(self, name: str, source: H | Any) -> Any:
        return self._product(name, source, self.arithmetic.dense)

    def _product(self, name: str, source: H | Any, compute: Callable[..., Any]) -> Any:
        kernel, bias = self._read(f"{name}/kernel"), self._read(f"{name}/bias")
        source = self._at(f"{_point(name)}:input", source)
        return self.quantize(f"{_point(name)}:output", compute(source, name, kernel, bias))

    def _at(self, point: str, hidden: H | Any) -> Any:
        return self.arithmetic.change(hidden, functools.partial(self.quantize, point))


def _point(name: str) -> str:
    """Return the name of a weight's product or norm, as activations are named after it."""
    return name.removeprefix("transformer/")
