"""The training step of several networks in one set of weights: the sandwich rule.

Each step computes the largest network, the smallest and one between; the largest learns what the
run's objective says, the others its answers, and the gradients are summed up: "sandwich rule" and
"inplace distillation" of Yu and Huang 2019, "Universally slimmable networks and improved training
techniques" (https://arxiv.org/abs/1903.05134). On BERT, whose largest network teaches the others as
well, also the states of its layers: Hou et al. 2020, "DynaBERT" (https://arxiv.org/abs/2004.04037).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from bert_glue_tf.compression.method import PruningMethod
from bert_glue_tf.compression.sizes import Sizes
from bert_glue_tf.data import packing, preprocessing
from bert_glue_tf.data.keras_metrics import as_long
from bert_glue_tf.data.problems import Problem
from bert_glue_tf.training import statistics
from bert_glue_tf.training.objective import LABELS, Trainee
from bert_glue_tf.training.steps import TrainingStep

_STATES = "states"  # The name by which the trainee gives the outputs of the encoder's layers.


class SandwichStep(TrainingStep):
    """A training step of the largest network, the smallest, and one between."""

    # Of the largest network's answers: they are learned as they are, as Yu and Huang do.
    _TEMPERATURE = 1.0

    def __init__(self, sizes: Sizes, problem: Problem, seed: int) -> None:
        """Take the networks.

        Args:
          sizes: at least two.
          problem: gives the distance from the largest network's answers.
          seed: of the run, by which the network between is drawn.
        """
        self._sizes = sizes
        self._problem = problem
        self._seed = seed
        if sizes.states_weight:
            self.select = {_STATES: operator.itemgetter("encoder_outputs")}

    def run(self, trainee: Trainee, data: Any) -> dict[str, tf.Tensor]:
        features, targets, weights = tf_keras.utils.unpack_x_y_sample_weight(data)
        optimizer, variables = trainee.optimizer, trainee.trainable_variables
        with tf.GradientTape() as tape:
            outputs = trainee(features, training=True)
            loss = trainee.compute_loss(features, targets, outputs, weights)
        total = gradients(optimizer, loss, variables, tape)
        teacher = self._taught(targets, tf.stop_gradient(trainee.logits_of(outputs)))
        states = list(map(tf.stop_gradient, outputs[_STATES])) if self.select else []
        switched = self._sizes.switched
        whole = [variable.read_value() for variable in switched]
        # What the largest network has gathered, as means and variances; the others would mix
        # theirs into it. `training.statistics` gathers theirs.
        gathered = statistics.state_of(trainee)
        largest = [variable.read_value() for variable in gathered]
        for number in self._smaller(optimizer.iterations):
            for variable, values in zip(switched, whole, strict=True):
                variable.assign(self._sizes.select(variable, values, number))
            found = self._learned(trainee, features, teacher, states, weights, number)
            total = list(map(_sum, total, self._selected(variables, found, number)))
        for variable, values in zip([*switched, *gathered], [*whole, *largest], strict=True):
            variable.assign(values)
        optimizer.apply_gradients(zip(total, variables, strict=True))
        return trainee.compute_metrics(features, targets, outputs, weights)

    def _learned(
        self,
        trainee: Trainee,
        features: Any,
        teacher: tf.Tensor,
        states: Sequence[tf.Tensor],
        weights: Any,
        number: tf.Tensor,
    ) -> list[Any]:
        """Return the gradients of a smaller network, whose weights stand in the variables."""
        ways = self._sizes.computations
        # Where words are tagged, the last layer computes all tokens, of packed texts too.
        firsts = None if self._problem.tags_words else features.get(packing.FIRSTS)

        def of(way: int) -> list[Any]:
            with tf.GradientTape() as tape, ways[way]():
                outputs = trainee(features, training=True)
                logits = trainee.logits_of(outputs)
                losses = self._problem.distillation_loss(teacher, logits, self._TEMPERATURE)
                loss = tf.reduce_mean(losses if weights is None else losses * weights)
                if states:
                    layers = self._sizes.layers(way)
                    apart = _states_apart(outputs[_STATES], states, layers, features, firsts)
                    loss += self._sizes.states_weight * apart
            return gradients(trainee.optimizer, loss, trainee.trainable_variables, tape)

        def dense(way: int) -> list[tf.Tensor]:
            # All branches have to give the same, also for weights that one of them has not.
            return [
                tf.zeros_like(variable) if one is None else tf.convert_to_tensor(one)
                for variable, one in zip(trainee.trainable_variables, of(way), strict=True)
            ]

        if len(ways) == 1:
            return of(0)
        branches = [functools.partial(dense, way) for way in range(len(ways))]
        found: list[Any] = tf.switch_case(self._sizes.computation_of(number), branches)
        return found

    def _smaller(self, step: tf.Variable) -> Iterator[tf.Tensor]:
        """Yield the numbers of the networks besides the largest: the smallest, and one between.

        The one between is drawn from seed and step alone, so that a training that goes on draws
        the same.
        """
        largest = len(self._sizes.names) - 1
        yield tf.constant(0)
        if largest > 1:
            seed = tf.stack([tf.constant(self._seed, tf.int64), tf.cast(step, tf.int64)])
            yield tf.random.stateless_uniform([], seed, 1, largest, tf.int32)

    def _taught(self, targets: Mapping[str, tf.Tensor], logits: tf.Tensor) -> tf.Tensor:
        """Return the largest network's answers as a problem takes those of a teacher."""
        if not self._problem.tags_words:
            return logits
        labels = as_long(targets[LABELS], logits, -1)
        return tf.where(labels[..., None] >= 0, logits, float("nan"))

    def _selected(
        self, variables: Sequence[tf.Variable], found: Sequence[Any], number: tf.Tensor
    ) -> Iterator[Any]:
        """Yield the gradients of a smaller network's own weights."""
        switched = {id(variable) for variable in self._sizes.switched}
        for variable, gradient in zip(variables, found, strict=True):
            if gradient is None or id(variable) not in switched:
                yield gradient
            else:
                yield self._sizes.select(variable, tf.convert_to_tensor(gradient), number)


def _states_apart(
    ours: Sequence[tf.Tensor],
    whole: Sequence[tf.Tensor],
    layers: Sequence[int],
    features: Mapping[str, tf.Tensor],
    firsts: tf.Tensor | None = None,
) -> tf.Tensor:
    """Return how far a network's states are from the largest network's: a scalar from 0 to 4.

    The distance of a token is that of `training.hints.LayerStates`; returned is its mean over the
    tokens and the layers. Where a network's last layer computes the first tokens of packed texts
    alone, it is these tokens there.

    Args:
      ours: the output of each layer of the encoder, [rows, width, hidden] or [texts, 1, hidden].
      whole: likewise.
      layers: indices of those that the network computes, ascending.
      features: of the batch.
      firsts: int32 [texts, 2], the places of the first tokens, where a network's last layer
        computes these alone; else None.
    """
    is_packed = packing.TEXTS in features
    is_token = features[packing.TEXTS if is_packed else preprocessing.MASK] > 0
    count, last = len(whole), layers[-1]
    distances = []
    for layer in layers:
        theirs, counts = whole[layer], tf.cast(is_token, tf.float32)
        if layer == last and firsts is not None:
            if layer < count - 1:
                theirs = tf.gather_nd(theirs, firsts)[:, None]
            counts = tf.ones(tf.shape(theirs)[:2])
        directions = [
            tf.math.l2_normalize(tf.cast(one, tf.float32), axis=-1) for one in (ours[layer], theirs)
        ]
        apart = tf.reduce_sum(tf.math.squared_difference(*directions), axis=-1)
        distances.append(tf.reduce_sum(apart * counts) / tf.reduce_sum(counts))
    return tf.add_n(distances) / len(distances)


def step_of(method: PruningMethod, problem: Problem, seed: int) -> TrainingStep:
    """Return the training step that a method's networks need.

    Args:
      method: prepared.
      problem: of the run.
      seed: of the run.
    """
    sizes = method.sizes()
    if sizes is None or not sizes.together:
        return TrainingStep()
    return SandwichStep(sizes, problem, seed)


def gradients(
    optimizer: Any, loss: tf.Tensor, variables: Sequence[tf.Variable], tape: tf.GradientTape
) -> list[Any]:
    """Return the gradients of a loss as an optimizer computes them in its `minimize`.

    One of float16 scales the loss before and the gradients after it.

    Args:
      optimizer: of a model.
      loss: scalar, computed on the tape.
      variables: those that train.
      tape: of the loss.

    Returns:
      A tensor or `IndexedSlices` for each variable; None where the loss does not depend on it.
    """
    # The public name is that of Keras's newer optimizers; tf-models-official's is an older one.
    compute = getattr(optimizer, "compute_gradients", None) or optimizer._compute_gradients
    return [gradient for gradient, _ in compute(loss, variables, tape=tape)]


def _sum(one: Any, other: Any) -> Any:
    """Return the sum of two gradients; of rows of a table both lists of rows."""
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, tf.IndexedSlices) and isinstance(other, tf.IndexedSlices):
        return tf.IndexedSlices(
            tf.concat([one.values, other.values], 0),
            tf.concat([one.indices, other.indices], 0),
            one.dense_shape,
        )
    return tf.convert_to_tensor(one) + tf.convert_to_tensor(other)
