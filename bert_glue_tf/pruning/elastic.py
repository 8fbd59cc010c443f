"""One BERT in several sizes: networks of the first heads, neurons and layers of the whole one."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from bert_glue_tf.compression import ranking, units
from bert_glue_tf.compression.masked import values_of
from bert_glue_tf.compression.nested import SizedPruning
from bert_glue_tf.compression.removed import Removed
from bert_glue_tf.compression.sizes import Sizes
from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

    from bert_glue_tf.compression.hooks import HookedOptimizer
    from bert_glue_tf.compression.schedule import PruningContext
    from bert_glue_tf.models.quantization import imitation
    from bert_glue_tf.models.units import Group
else:
    tf = lazy.module("tensorflow")
    imitation = lazy.module("bert_glue_tf.models.quantization.imitation")

_KINDS = ("head", "neuron")
_LAYERS = ("spread", "important")
_MOST = 16  # Networks, beyond which nobody has tried it.
_GOOD = {"widths": "widths=0.25,0.5,1.0", "depths": "depths=0.5,1.0"}


class Elastic(SizedPruning):
    """Trains a BERT whose first heads and neurons, and some of whose layers, are networks too.

    Before the first step the heads and neurons of each layer are sorted by their importance, by the
    gradients of many training examples. Shallower networks have every other layer or so, the last
    one always (`layers=spread`), or those of the largest sums over their units
    (`layers=important`). Then each step computes the whole network, the smallest and one between;
    the smaller ones learn from the whole one's answers and, with `states`, from the states of its
    layers. It wants a fine-tuned network (--finetune_epochs, --start).

    Source: Hou et al. 2020, "DynaBERT: dynamic BERT with adaptive width and depth", sections 2.1
    and 2.2 (https://arxiv.org/abs/2004.04037). Here all widths and depths are trained in one
    stage, by the sandwich rule of Yu and Huang 2019 (https://arxiv.org/abs/1903.05134), and states
    are compared by their direction, where the paper takes their squared error.
    """

    name = "elastic"
    own_score = "gradient"
    options = types.MappingProxyType(
        {
            "widths": ("0.25,0.5,1.0", "of heads and neurons in each layer, the smallest first"),
            "depths": ("0.5,1.0", "of layers, the smallest first"),
            "layers": ("spread", "that the shallower networks have: spread or important"),
            "states": ("0", "weight in the loss by which they learn the states of layers; 0 = no"),
        }
    )
    needs = ("head", "neuron", "layer", "shrink", "states")
    part = "all layers of the encoder"
    prunes = "heads, neurons and layers"
    schedule = "one_shot"
    unused = (
        *SizedPruning.unused,
        "pruning_schedule",
        "pruning_scope",
        "pruning_weights",
        "pruning_frequency",
        "begin_step",
        "end_step",
        "ranking",
    )

    def fractions(self, name: str) -> tuple[float, ...]:
        """Return the widths or the depths.

        Raises:
          UserError: one is no number.
        """
        text, found = self.settings[name], []
        for part in text.split(","):
            try:
                found.append(float(part))
            except ValueError:
                raise UserError(
                    f"--pruning_options: {name}={text}: {part!r} is no number. Good: {_GOOD[name]}."
                ) from None
        return tuple(found)

    def states_weight(self) -> float:
        """Return the weight of the distance between states of layers.

        Raises:
          UserError: it is no number of at least 0.
        """
        text = self.settings["states"]
        try:
            found = float(text)
        except ValueError:
            found = math.nan
        if not 0.0 <= found < math.inf:
            raise UserError(
                f"--pruning_options: states={text}: give a weight, a number of at least 0. "
                "Good: states=0.5."
            )
        return found

    def check_settings(self) -> None:
        super().check_settings()
        if (layers := self.settings["layers"]) not in _LAYERS:
            raise UserError(
                f"--pruning_options: layers={layers}: no such choice of layers. "
                f"Good values: {', '.join(_LAYERS)}."
            )
        self.states_weight()
        for name, good in _GOOD.items():
            text, found = self.settings[name], self.fractions(name)
            for value in found:
                if not 0.0 < value <= 1.0:
                    raise UserError(
                        f"--pruning_options: {name}={text}: {value:g} is not in (0, 1]. "
                        f"Good: {good}."
                    )
            if list(found) != sorted(set(found)) or found[-1] != 1.0:
                raise UserError(
                    f"--pruning_options: {name}={text}: they rise, and the last is 1, the whole "
                    f"network. Good: {good}."
                )
        if not 1 < len(self.shapes) <= _MOST:
            raise UserError(
                f"--pruning_options: widths={self.settings['widths']} "
                f"depths={self.settings['depths']}: {len(self.shapes)} network(s). Give widths and "
                f"depths of which 2 to {_MOST} networks can be made."
            )

    @property
    def shapes(self) -> Mapping[str, tuple[int, int]]:
        """The networks' names, and which of the widths and of the depths each has.

        The one of the fewest weights comes first, and the whole one last.
        """
        widths, depths = self.fractions("widths"), self.fractions("depths")
        pairs = itertools.product(range(len(widths)), range(len(depths)))
        ordered = sorted(pairs, key=lambda pair: (widths[pair[0]] * depths[pair[1]], pair))
        return {f"w{widths[w]:g}-d{depths[d]:g}": (w, d) for w, d in ordered}

    def context(self, context: PruningContext) -> PruningContext:
        context = super().context(context)
        if context.begin_step:
            raise UserError(
                "--pruning_method=elastic sorts the units of a fine-tuned network by their "
                "importance before the first step, and this run starts from pre-training. Add "
                "--finetune_epochs=3, or --start=RUN."
            )
        return context.with_sparsity(1.0 - min(self.fractions("widths")))

    def groups(
        self, weights: Mapping[str, tf.Variable], variables: Sequence[tf.Variable]
    ) -> list[Group]:
        found = [
            units.of_layers(self.backbone, kind, weights, variables, self.name) for kind in _KINDS
        ]
        # Layer by layer: its heads, then its neurons.
        return [group for of_layer in zip(*found, strict=True) for group in of_layer]

    def require_reachable(self) -> None:
        for name in _GOOD:
            for fraction in self.fractions(name):
                if name == "depths":
                    count_of(fraction, self.depth, name, "layers")
                    continue
                for group in self.all_groups:
                    count_of(fraction, group.count, name, f"{group.what}s of {group.name}")

    @property
    def depth(self) -> int:
        """The number of layers of the whole network."""
        return len(self.all_groups) // len(_KINDS)

    def prepare(self, model: tf_keras.Model, context: PruningContext) -> tf_keras.Model:
        recipe = imitation.recipe_of(model)
        if recipe != NOT_QUANTIZED:
            raise UserError(
                f"--quantize_aware={recipe}: --pruning_method=elastic leaves layers out, whose "
                "ranges the others would be rounded by. Quantize its files: --recipes of the "
                "export_tflite command."
            )
        self.model = super().prepare(model, context)
        return self.model

    def create(self) -> None:
        super().create()
        # Of each layer, from 0 for the most important one.
        self._place = self.variable("layer_place", (self.depth,), tf.int32, 0)

    def wrap_optimizer(self, optimizer: HookedOptimizer) -> HookedOptimizer:
        return optimizer  # The whole network is without nothing.

    def update(self, sparsity: float) -> None:
        """Sort the units of each layer, and the layers; nothing goes."""
        del sparsity
        if self.waits:
            self._measure()
        importance = np.zeros(self.depth)
        for number, group in enumerate(self.all_groups):
            score = np.asarray(self.score(group), np.float64)
            importance[number // len(_KINDS)] += score.sum()
            _sort(group, np.argsort(-score, kind="stable"))
        order = np.argsort(-importance, kind="stable")
        self._place.assign(np.argsort(order))
        for number, depth in enumerate(self.fractions("depths")[:-1]):
            kept = ", ".join(str(index + 1) for index in self.kept(number))
            logging.info("layers of the networks of depth %g: %s", depth, kept)

    def kept(self, depth: int) -> list[int]:
        """Return the indices of the layers that the networks of a depth have, ascending.

        Args:
          depth: which of the depths.
        """
        count = count_of(self.fractions("depths")[depth], self.depth, "depths", "layers")
        if self.settings["layers"] == "spread":
            return [math.ceil((place + 1) * self.depth / count) - 1 for place in range(count)]
        # A step is traced after the layers have been sorted; the graph has their places in it.
        with tf.init_scope():
            places = values_of(self._place)
        return [int(index) for index in np.flatnonzero(places < count)]

    def counts(self, group: Group) -> list[int]:
        """Return how many units of a group the networks of each width have."""
        what = f"{group.what}s"
        return [count_of(one, group.count, "widths", what) for one in self.fractions("widths")]

    def sparsities(self, model: tf_keras.Model) -> dict[str, float]:
        del model
        return {}

    def measure(self, model: tf_keras.Model) -> Removed:
        return self.removed(model, model)

    def removed(self, smaller: tf_keras.Model, model: tf_keras.Model) -> Removed:
        """Return what a network is without.

        Args:
          smaller: the network.
          model: the whole one.
        """
        whole, part = (self.backbone.widths(one) for one in (model, smaller))
        gone = {"layers": 1 - len(part) / len(whole)}
        for name in whole[0]:
            gone[name] = 1 - part[0][name] / whole[0][name]
        return Removed(
            sparsities=gone,
            pruned=model.count_params() - smaller.count_params(),
            prunable=self.backbone.layers.parameters,
        )

    def sizes(self) -> Sizes:
        return ElasticSizes(self)


class ElasticSizes(Sizes):
    """The networks of an elastic BERT.

    Args:
      method: prepared.
    """

    def __init__(self, method: Elastic) -> None:
        self._method = method
        self.names = tuple(method.shapes)
        self._shapes = list(method.shapes.values())

    @property
    def switched(self) -> Sequence[tf.Variable]:
        members = (member for group in self._method.all_groups for member in group.members)
        return [member.variable for member in members]

    def select(self, variable: tf.Variable, values: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        width = tf.gather(tf.constant([width for width, _ in self._shapes]), number)
        for group, member in self._method.parts(variable):
            count = tf.gather(tf.constant(self._method.counts(group)), width)
            kept = member.expand(tf.range(group.count) < count)
            values = tf.where(kept, values, tf.zeros((), values.dtype))
        return values

    @property
    def computations(self) -> Sequence[Callable[[], contextlib.AbstractContextManager[Any]]]:
        backbone, model = self._method.backbone, self._method.model
        depths = range(1 + max(depth for _, depth in self._shapes))
        return [
            functools.partial(backbone.computing, model, self._method.kept(depth))
            for depth in depths
        ]

    @property
    def states_weight(self) -> float:
        return self._method.states_weight()

    def layers(self, computation: int) -> Sequence[int]:
        return self._method.kept(computation)

    def computation_of(self, number: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.constant([depth for _, depth in self._shapes]), number)

    @contextlib.contextmanager
    def network(self, model: tf_keras.Model, number: int) -> Iterator[tf_keras.Model]:
        yield self._network(model, number)

    def _network(self, model: tf_keras.Model, number: int) -> tf_keras.Model:
        width, depth = self._shapes[number]
        keep, groups = self._method.kept(depth), self._method.all_groups
        widths = []
        for layer in keep:
            of_layer = groups[len(_KINDS) * layer : len(_KINDS) * (layer + 1)]
            heads, neurons = (self._method.counts(group)[width] for group in of_layer)
            widths.append((heads, neurons))
        return self._method.backbone.first_units(model, widths, keep)

    def measure(self, model: tf_keras.Model, number: int) -> Removed:
        return self._method.removed(self._network(model, number), model)

    def first(self, model: tf_keras.Model) -> Mapping[str, np.ndarray]:
        del model
        return {}  # What a network has stands first.

    def sources(self, number: int) -> Mapping[str, str]:
        name = self._method.backbone.layer_name
        keep = self._method.kept(self._shapes[number][1])
        return {name(new): name(old) for new, old in enumerate(keep) if new != old}


def count_of(fraction: float, total: int, option: str, what: str) -> int:
    """Return the number of units that a fraction of them is.

    Args:
      fraction: in (0, 1].
      total: number of the units.
      option: the setting that says the fraction.
      what: the units' name, for the message.

    Raises:
      UserError: they cannot be divided so.
    """
    count = max(1, round(fraction * total))
    if abs(count / total - fraction) > ranking.TOLERANCE:
        near = sorted({max(1, math.floor(fraction * total)), math.ceil(fraction * total)})
        raise UserError(
            f"--pruning_options: {option}: {fraction:g} of the {total} {what} is no whole number "
            f"of them. The nearest: {' or '.join(f'{one / total:.4g}' for one in near)}."
        )
    return count


def _sort(group: Group, order: np.ndarray) -> None:
    """Put the units of a group into another order, in each of its weights.

    Args:
      group: of units that one axis numbers.
      order: int [units], the present place of each.
    """
    for member in group.members:
        (axis,) = member.unit_axes
        values = values_of(member.variable).reshape(member.view)
        sorted_values = np.take(values, order, axis).reshape(member.variable.shape)
        member.variable.assign(sorted_values)
