"""A classifier's dense layer as a quantized file computes it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from bert_glue_tf.models.quantization import grids, recipes
from bert_glue_tf.models.quantization.imitation import OnGrid


class QuantizedDense(tf_keras.layers.Dense, OnGrid):
    """A dense layer with weights on a recipe's grid and inputs that are quantized on the fly.

    Args:
      units: width of the output.
      recipe: name of the recipe.
      arguments: of `tf_keras.layers.Dense`; the name is that of the product for the recipe.
    """

    def __init__(self, units: int, recipe: str, **arguments: Any) -> None:
        super().__init__(units, **arguments)
        self.recipe = recipe
        rule = recipes.rule_of(recipes.get(recipe).imitated, recipes.PRODUCT, self.name)
        if rule is None or rule.activation_bits or rule.block:
            raise ValueError(f"{recipe}: has no grid for {self.name} that is imitated here")
        self._grid = rule.grid(())

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return float32 [batch, units] of float [batch, width]."""
        source, scale = grids.whole_on_the_fly(tf.cast(inputs, tf.float32))
        kernel, step = grids.whole_weights(tf.convert_to_tensor(self.kernel), self._grid)
        return tf.nn.bias_add(tf.matmul(source, kernel) * (scale * step), self.bias)

    def settle(self) -> None:
        self.kernel.assign(grids.fake_quantize(tf.convert_to_tensor(self.kernel), self._grid))

    def get_prunable_weights(self) -> list[tf.Variable]:
        """Return what tfmot's wrapper prunes."""
        return [self.kernel]

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` makes the layer from."""
        return {**super().get_config(), "recipe": self.recipe}
