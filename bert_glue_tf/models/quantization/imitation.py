"""A quantized file's computation imitated in training: which tensor is on which grid.

`Imitation` is what a recipe says of a network's products, `Quantizing` one computation by it: the
`quantize` callback of `models.bert.forward`, which also quantizes the weights as they are
multiplied. `Trained` is what a trained classifier knows of its grids besides its weights.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core import lazy
from bert_glue_tf.models.quantization import grids, recipes
from bert_glue_tf.models.quantization.grids import OCTAV, WeightGrid, Whole
from bert_glue_tf.models.quantization.recipes import Rule

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
else:
    np = lazy.module("numpy")
    tf = lazy.module("tensorflow")

# Names of a network's variables that are no weights: the ranges float32 [points, 2] of the
# activations, and the clips float32 [n] of the weights.
OWN = "quantization/"
RANGES, CLIPS = f"{OWN}ranges", f"{OWN}clips"
# Names the recipe in the description of a saved classifier that was trained for one.
QUANTIZE_AWARE = "quantize_aware"
# Of a moving average of ranges, for each step (Jacob et al. 2018, section 3.1).
_KEPT = 0.99


@dataclasses.dataclass(frozen=True)
class Trained:
    """The grids of a trained classifier, besides what its weights tell.

    Attributes:
      recipe: name of the recipe that it was trained for.
      ranges: point, as `Imitation.points` names it -> smallest and largest value of its int8.
      clips: name of a product -> float32 [groups, out], for the weights of `OCTAV` grids.
    """

    recipe: str
    ranges: Mapping[str, tuple[float, float]]
    clips: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Imitation:
    """The grids that a recipe has for the products of a network.

    Attributes:
      recipe: name of the recipe.
      products: name -> inputs and outputs of each matrix product, in the order in which they are
        computed; the classifier's, whose grid is its own affair, is not among them.
      floors: point -> the value below which all activations count as that value, since what is
        computed of them is the same.
    """

    recipe: str
    products: Mapping[str, tuple[int, int]]
    floors: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def grids(self) -> dict[str, WeightGrid]:
        """The grid of each product's weights.

        One number is what a network keeps of a block without units, which its file leaves out: it
        decides about no blocks of others.
        """
        widths = [inputs for inputs, _ in self.products.values() if inputs > 1]
        return {
            name: self._rule(name).grid(widths if inputs > 1 else [inputs])
            for name, (inputs, _) in self.products.items()
        }

    @functools.cached_property
    def points(self) -> tuple[str, ...]:
        """The activations with a fixed range, as `range_of` names them."""
        static = [name for name in self.products if self._rule(name).activation_bits]
        sides = [f"{name}:{side}" for name in static for side in ("input", "output")]
        return tuple(dict.fromkeys(map(range_of, sides)))

    @functools.cached_property
    def clips(self) -> dict[str, tuple[int, int]]:
        """The shape [groups, out] of the clips of each product that has some."""
        return {
            name: (grid.groups(self.products[name][0]), self.products[name][1])
            for name, grid in self.grids.items()
            if grid.algorithm == OCTAV
        }

    def _rule(self, name: str) -> Rule:
        rule = recipes.rule_of(recipes.get(self.recipe).imitated, recipes.PRODUCT, name)
        if rule is None:
            raise ValueError(f"{self.recipe}: leaves the weights of {name} float")
        return rule

    def split(self, flat: Any) -> dict[str, Any]:
        """Return the clips of each product, of all of them in one row."""
        found, at = {}, 0
        for name, shape in self.clips.items():
            size = math.prod(shape)
            found[name] = flat[at : at + size]
            at += size
        return {name: tf.reshape(part, self.clips[name]) for name, part in found.items()}

    def trained(self, ranges: np.ndarray, clips: np.ndarray) -> Trained:
        """Return what the variables `RANGES` and `CLIPS` hold, by name."""
        return Trained(
            self.recipe,
            {
                point: (float(low), float(high))
                for point, (low, high) in zip(self.points, ranges, strict=True)
            },
            {name: part.numpy() for name, part in self.split(clips).items()},
        )


def range_of(point: str) -> str:
    """Return the name of a point's range; queries, keys and values read the same tensor."""
    return re.sub(r"self_attention/(?:query|key|value):input$", "self_attention:input", point)


# For the name of a point: which tokens' activations count for its range, bool [batch, length]; None
# counts all.
Counts = Callable[[str], Any]


class Quantizing:
    """One computation on the grids of an `Imitation`.

    The range of an activation is a moving average of what each batch of the training has; the clips
    of weights follow these by one step of Newton's each time. Both are read when the computation
    begins and written by `commit`.
    """

    def __init__(
        self,
        imitation: Imitation,
        ranges: tf.Variable,
        clips: tf.Variable,
        counts: Counts,
        is_training: bool,
    ) -> None:
        """Take the grids and the state.

        Args:
          imitation: of the network.
          ranges: `RANGES`.
          clips: `CLIPS`.
          counts: says whose activations count.
          is_training: whether ranges and clips move.
        """
        self._imitation = imitation
        self._variables = ranges, clips
        self._ranges = tf.convert_to_tensor(ranges)
        self._clips = imitation.split(tf.convert_to_tensor(clips))
        self._counts = counts
        self._is_training = is_training
        self._new: dict[str, tf.Tensor] = {}
        self._done: dict[Any, tf.Tensor] = {}
        self._wholes: dict[Any, Whole] = {}

    def __call__(self, point: str, tensor: Any) -> Any:
        """Return what stands for the tensor of a point of `forward`.

        Weights stay as they are: `weight` quantizes them as they are multiplied.
        """
        name, _, side = point.partition(":")
        if not side or name not in self._imitation.products:
            return tensor
        key = range_of(point)
        quantize: Callable[[tf.Tensor], Whole]
        if key in self._imitation.points:
            quantize = functools.partial(self._fixed, key)
        elif side == "input":
            quantize = grids.whole_on_the_fly
        else:
            return tensor
        # Three products read one tensor, which is quantized once.
        memo = key, tensor.ref()
        if memo not in self._done:
            whole, step = quantize(tf.cast(tensor, tf.float32))
            self._done[memo] = tf.cast(whole * step, tensor.dtype)
            self._wholes[self._done[memo].ref()] = whole, step
        return self._done[memo]

    def whole(self, values: tf.Tensor) -> Whole:
        """Return the input of a product, as `__call__` gave it, as whole numbers and a step."""
        return self._wholes[values.ref()]

    def weight(self, name: str, matrix: tf.Tensor) -> Whole:
        """Return the weights of a product float32 [in, out] as whole numbers and a step."""
        grid = self._imitation.grids[name]
        return grids.whole_weights(matrix, grid, self._clip(name, matrix, grid))

    def on_grid(self, name: str, matrix: tf.Tensor) -> tf.Tensor:
        """Return the weights of a product float32 [in, out] as the file holds them."""
        grid = self._imitation.grids[name]
        return grids.fake_quantize(matrix, grid, self._clip(name, matrix, grid))

    def bias(self, name: str, bias: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the parts of a bias that a product adds before and after it is multiplied by step.

        Args:
          name: of the product.
          bias: float32 [out].
          step: that of the product's whole numbers.
        """
        zero = tf.zeros_like(bias)
        is_fixed = range_of(f"{name}:input") in self._imitation.points
        return (grids.whole_bias(bias, step), zero) if is_fixed else (zero, bias)

    def rows(self, rows: Any) -> tf.Tensor:
        """Return rows of a table float32 [n, width] as the file holds them."""
        return grids.fake_quantize_rows(rows)

    def commit(self) -> None:
        """Write the ranges and the clips of a training's step."""
        ranges, clips = self._variables
        points, clipped = self._imitation.points, self._imitation.clips
        if points and self._is_training:
            ranges.assign(tf.stack([self._new[point] for point in points]))
        if clipped and self._is_training:
            clips.assign(tf.concat([tf.reshape(self._new[name], [-1]) for name in clipped], 0))

    def _fixed(self, key: str, values: tf.Tensor) -> Whole:
        limits, seen = self._ranges[self._imitation.points.index(key)], self._seen(key, values)
        is_first = limits[0] == limits[1]
        if self._is_training:
            moved = tf.where(is_first, seen, limits + (1.0 - _KEPT) * (seen - limits))
            # One batch with a number that is none must not spoil the average for good.
            limits = tf.where(tf.reduce_all(tf.math.is_finite(seen)), moved, limits)
            self._new[key] = limits
        else:  # A ranking may look at gradients before the first step.
            limits = tf.where(is_first, seen, limits)
        return grids.whole_of_range(values, limits[0], limits[1])

    def _seen(self, key: str, values: tf.Tensor) -> tf.Tensor:
        """Return the smallest and the largest activation of a batch: float32 [2]."""
        mask = self._counts(key)
        if mask is not None:  # 0 is in each range anyway.
            ones = [1] * (len(values.shape) - len(mask.shape))
            mask = tf.reshape(mask, tf.concat([tf.shape(mask), ones], axis=0))
            values = tf.where(mask, values, tf.zeros_like(values))
        low = tf.maximum(tf.reduce_min(values), self._imitation.floors.get(key, -math.inf))
        seen = tf.stack([tf.minimum(low, 0.0), tf.maximum(tf.reduce_max(values), 0.0)])
        return tf.stop_gradient(seen)

    def _clip(self, name: str, matrix: tf.Tensor, grid: WeightGrid) -> Any:
        if name not in self._clips:
            return None
        if self._is_training:
            self._new[name] = grids.next_clips(matrix, self._clips[name], grid)
            return self._new[name]
        return self._clips[name]


class Beginning(Quantizing):
    """A computation, outside of a graph, that finds the first clips of a network's weights."""

    def _fixed(self, key: str, values: tf.Tensor) -> Whole:
        self._new[key] = self._ranges[self._imitation.points.index(key)]
        return values, tf.ones([])

    def _clip(self, name: str, matrix: tf.Tensor, grid: WeightGrid) -> Any:
        if name in self._clips:
            self._new[name] = grids.clips(matrix, grid)
        return self._new.get(name)


class OnGrid:
    """A layer whose weights are rounded to a grid whenever they are used.

    Attributes:
      recipe: name of the recipe that has the grid.
    """

    recipe: str

    def settle(self) -> None:
        """Put the weights themselves onto their grid, which leaves the layer's results the same."""
        raise NotImplementedError


def recipe_of(model: Any) -> str:
    """Return the name of the recipe that a classifier is trained for; `NOT_QUANTIZED` for none.

    Args:
      model: a `tf_keras` model, an encoder's layer, or None.
    """
    layers = () if model is None else model.submodules
    recipes_of = (module.recipe for module in (model, *layers) if isinstance(module, OnGrid))
    return next(recipes_of, recipes.NOT_QUANTIZED)


def settle(model: Any) -> None:
    """Put the weights of a trained classifier onto the grids that it was trained for, if any.

    So the weights that are saved are those that the file has, and any file of the run has them.

    Args:
      model: a `tf_keras` model; its weights are assigned.
    """
    for module in model.submodules:
        if isinstance(module, OnGrid):
            module.settle()


def is_weight(variable: Any) -> bool:
    """Tell if a variable of a model is a weight, and not the state of its grids."""
    return OWN not in variable.name
