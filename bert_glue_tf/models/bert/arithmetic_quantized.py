"""The steps of BERT's computation in a training that imitates a quantized file.

As `arithmetic_training` computes them, for batches and with dropout, but laid out as in
`arithmetic_export`: gamma and beta of a layer norm, and the root of a key's size, stand in the
weights of the products behind them, since that is what the file quantizes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from bert_glue_tf.models.bert.arithmetic_export import Normalized
from bert_glue_tf.models.bert.arithmetic_training import TrainingArithmetic
from bert_glue_tf.models.bert.forward import PROJECTION, Inputs
from bert_glue_tf.models.quantization.imitation import Quantizing

Hidden: TypeAlias = Normalized | tf.Tensor


@dataclasses.dataclass(frozen=True)
class QuantizedArithmetic(TrainingArithmetic):
    """The `forward.Arithmetic` of a training on a recipe's grids; weights are variables.

    Attributes:
      grids: quantizes the weights, as they are multiplied.
    """

    grids: Quantizing

    def row(self, rows: Any) -> tf.Tensor:
        return self.grids.rows(rows)

    def normalize(self, total: tf.Tensor, name: str, gamma: Any, beta: Any) -> Normalized:
        total = tf.cast(total, tf.float32)
        mean, variance = tf.nn.moments(total, [len(total.shape) - 1], keepdims=True)
        return Normalized(
            (total - mean) * tf.math.rsqrt(variance + self.epsilon), name, gamma, beta
        )

    def change(self, hidden: Hidden, function: Callable[[Any], Any]) -> Any:
        if isinstance(hidden, Normalized):
            return dataclasses.replace(hidden, core=function(hidden.core))
        return function(hidden)

    def dropout(self, name: str, hidden: Hidden) -> Any:
        # Of a layer norm's output the part that depends on the text; beta stays.
        return self.change(hidden, self.dropouts[name])

    def prepare_mask(self, mask: tf.Tensor, hidden: Hidden) -> tf.Tensor:
        return super().prepare_mask(mask, self.plain(hidden))

    def enter_layer(self, hidden: Hidden, is_last: bool) -> tuple[Any, Any]:
        hidden = self.change(hidden, self._cast)
        return hidden, hidden

    def keep_pooled(self, tokens: Hidden, inputs: Inputs) -> Any:
        keep = super().keep_pooled
        return self.change(tokens, lambda values: keep(values, inputs))

    def dense(self, source: Hidden, name: str, kernel: Any, bias: Any) -> Hidden:
        if name != PROJECTION:
            return self._dense(source, name, kernel, bias)
        # TFLite's converter moves its bias into the products behind it, as the export does beta.
        product, shift = self._multiplied(source, name, kernel, bias)
        return Normalized(product, name, tf.ones_like(shift), shift)

    def project(
        self, source: Hidden, name: str, kernel: Any, bias: Any, scale: float = 1.0
    ) -> tf.Tensor:
        flat = self._dense(source, name, kernel, bias, scale)
        shape = tf.concat([tf.shape(flat)[:-1], kernel.shape[1:]], axis=0)
        heads = tf.reshape(flat, shape)
        heads.set_shape([*flat.shape[:-1], *kernel.shape[1:]])
        return heads

    def project_query(self, source: Hidden, name: str, kernel: Any, bias: Any) -> tf.Tensor:
        return self.project(source, name, kernel, bias, scale=1.0 / np.sqrt(kernel.shape[2]))

    def scores(self, query: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        return tf.einsum("aecd,abcd->acbe", key, query)

    def context(self, weights: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        context = super().context(weights, value)
        heads, size = value.shape[-2:]
        flat = tf.reshape(context, tf.concat([tf.shape(context)[:-2], [heads * size]], axis=0))
        flat.set_shape([*context.shape[:-2], heads * size])
        return flat

    def add(self, left: Hidden, right: Hidden) -> tf.Tensor:
        return super().add(self.plain(left), self.plain(right))

    def firsts(self, hidden: Hidden, inputs: Inputs) -> Any:
        first = super().firsts
        return self.change(hidden, lambda values: first(values, inputs))

    def plain(self, hidden: Hidden) -> tf.Tensor:
        """Return a layer's output as a tensor, with gamma and beta in it."""
        if isinstance(hidden, Normalized):
            gamma, beta = (tf.cast(one, hidden.core.dtype) for one in (hidden.gamma, hidden.beta))
            return hidden.core * gamma + beta
        return hidden

    def plain_query(self, query: tf.Tensor) -> tf.Tensor:
        """Return queries by head as they are without the division by the root of their size."""
        return query * np.float32(np.sqrt(query.shape[-1]))

    def _dense(
        self, source: Hidden, name: str, kernel: Any, bias: Any, scale: float = 1.0
    ) -> tf.Tensor:
        """Return `(source @ kernel + bias) * scale`; gamma and beta of a norm move into both."""
        product, shift = self._multiplied(source, name, kernel, bias, scale)
        return product + self._cast(shift)

    def _multiplied(
        self, source: Hidden, name: str, kernel: Any, bias: Any, scale: float = 1.0
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the product of `_dense` and the bias that it lacks, float32 [out]."""
        matrix, shift = self._folded(source, kernel, bias, scale)
        weights, step = self.grids.weight(_product(name), matrix)
        whole, scale_of = self.grids.whole(self._core(source))
        inside, shift = self.grids.bias(_product(name), shift, scale_of * step)
        equation = "abc,cd->abd" if len(whole.shape) == 3 else "ac,cd->ad"
        if self.dtype == tf.float32:
            product = tf.einsum(equation, whole, weights) + inside
            return product * (scale_of * step), shift
        # Of whole numbers it would be beyond the largest float16.
        source_of, matrix_of = self._cast(whole * scale_of), self._cast(weights * step)
        product = tf.einsum(equation, source_of, matrix_of)
        return product + self._cast(inside * (scale_of * step)), shift

    @staticmethod
    def _core(source: Hidden) -> tf.Tensor:
        return source.core if isinstance(source, Normalized) else source

    def _folded(
        self, source: Hidden, kernel: Any, bias: Any, scale: float
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return kernel [in, out] and bias [out] of a product as the file has them."""
        shift = tf.reshape(bias, [-1])
        matrix = tf.reshape(kernel, [-1, shift.shape[0]])
        if isinstance(source, Normalized):
            shift += tf.linalg.matvec(matrix, source.beta, transpose_a=True)
            matrix = tf.expand_dims(source.gamma, 1) * matrix
        return matrix * np.float32(scale), shift * np.float32(scale)


class Settling(QuantizedArithmetic):
    """A computation, outside of a graph, that puts the weights themselves onto their grid.

    What a weight changes by times beta, which the file adds to the bias, is taken out of the bias:
    the products stay the same.
    """

    def _multiplied(
        self, source: Hidden, name: str, kernel: Any, bias: Any, scale: float = 1.0
    ) -> tuple[tf.Tensor, tf.Tensor]:
        result = super()._multiplied(source, name, kernel, bias, scale)
        matrix, shift = self._folded(source, kernel, bias, scale)
        on_grid = self.grids.on_grid(_product(name), matrix).numpy().astype(np.float64)
        factor = np.full((len(on_grid), 1), scale)
        if isinstance(source, Normalized):
            factor = factor * tf.convert_to_tensor(source.gamma).numpy()[:, None]
        new = np.divide(on_grid, factor, out=np.zeros_like(on_grid), where=factor != 0)
        kernel.assign(new.reshape(kernel.shape).astype(np.float32))
        _, moved = self._folded(source, kernel, bias, scale)
        change = (shift - moved).numpy().astype(np.float64) / scale
        bias.assign(bias.numpy() + change.reshape(bias.shape).astype(np.float32))
        return result


def _product(name: str) -> str:
    """Return the name of a product, as the points of `forward` have it."""
    return name.removeprefix("transformer/")
