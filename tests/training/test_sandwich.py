"""The training step of several networks: its gradients by hand, and what it leaves behind."""

from __future__ import annotations

import contextlib
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from bert_glue_tf.compression.method import PruningMethod
from bert_glue_tf.compression.sizes import Sizes
from bert_glue_tf.data.problems import Classification, Regression
from bert_glue_tf.training import sandwich
from bert_glue_tf.training.objective import LABELS, HintedTrainee, TaskLoss, Trainee

RATE = 0.1
# The number of the smallest network that has each of the weights [3, 2]; 4 = none of four.
FIRST = np.array([[0, 1], [2, 4], [3, 0]], np.uint8)


class Fixed(Sizes):
    """Networks of the weights of one kernel."""

    switched = ()

    def __init__(self, kernel, networks=4, together=True):
        self.names = tuple(map(str, range(networks)))
        self.together = together
        self.switched = [kernel]

    def select(self, variable, values, number):
        assert variable is self.switched[0]
        return tf.where(FIRST <= tf.cast(number, tf.uint8), values, 0.0)

    def network(self, model, number):
        raise NotImplementedError

    def measure(self, model, number):
        raise NotImplementedError

    def first(self, model):
        raise NotImplementedError


class InTwoWays(Fixed):
    """The same, of which the even networks are computed with logits that are halved."""

    def __init__(self, layer):
        super().__init__(layer.kernel)
        self._layer = layer

    @property
    def computations(self):
        return (self._halved, contextlib.nullcontext)

    def computation_of(self, number):
        return number % 2

    @contextlib.contextmanager
    def _halved(self):
        self._layer.factor = 0.5
        try:
            yield
        finally:
            self._layer.factor = 1.0


class Scaled(tf_keras.layers.Dense):
    """A dense layer that is traced with a factor of its answers."""

    factor = 1.0
    rate = 0.0

    def __init__(self, width, **settings):
        super().__init__(width, **settings)
        self.dropout = tf_keras.layers.Dropout(self.rate)

    def call(self, inputs, training=None):
        return self.factor * super().call(self.dropout(inputs, training=training))


def fixed(layer):
    """Four networks of a layer's kernel."""
    return Fixed(layer.kernel)


class Holding(PruningMethod):
    """A method that has these networks."""

    def __init__(self, sizes):
        super().__init__()
        self._sizes = sizes

    def sizes(self):
        return self._sizes


def linear(width):
    """Features to logits by one dense layer, whose kernel has no weight that no network has."""
    tf_keras.utils.set_random_seed(3)
    inputs = tf_keras.Input([3], name="x")
    layer = Scaled(width, name="classifier")
    model = tf_keras.Model({"x": inputs}, layer(inputs))
    layer.kernel.assign(np.where(FIRST[:, :width] < 4, layer.kernel.numpy(), 0.0))
    return model, layer


def data(problem, width):
    random = np.random.default_rng(0)
    x = random.normal(size=(5, 3)).astype(np.float32)
    labels = problem.as_labels(np.arange(5) % max(2, width))
    return x, labels


def train(problem, sizes_of, seed=7, steps=1):
    """The layer's weights before and after so many steps, and what the last one reported."""
    width = problem.width
    model, layer = linear(width)
    sizes = sizes_of(layer)
    step = sandwich.step_of(Holding(sizes), problem, seed)
    trainee = Trainee(model, TaskLoss(problem), step)
    trainee.compile(
        optimizer=tf_keras.optimizers.SGD(RATE),
        weighted_metrics=problem.keras_metrics(False),
        is_filled_up=False,
    )
    x, labels = data(problem, width)
    before = [value.numpy() for value in layer.weights]
    batch = {"x": tf.constant(x)}, {LABELS: tf.constant(labels)}
    compiled = tf.function(lambda: trainee.train_step(batch))
    for _ in range(steps):
        logs = compiled()
    return (
        before,
        [value.numpy() for value in layer.weights],
        {k: float(v) for k, v in logs.items()},
    )


@pytest.mark.parametrize("is_hinted", [False, True])
def test_smaller_networks_are_computed_as_in_training(monkeypatch, is_hinted):
    monkeypatch.setattr(Scaled, "rate", 0.5)
    problem = Classification(("no", "yes"))
    model, layer = linear(2)
    step = sandwich.step_of(Holding(fixed(layer)), problem, 1)
    trainee = Trainee(model, TaskLoss(problem), step)
    if is_hinted:
        whole = tf_keras.Model(model.inputs, {"logits": model.output})
        objective = TaskLoss(problem)
        trainee = HintedTrainee(model, objective, whole, 1, step)
    x = np.zeros((1, 3), np.float32)
    x[0, 0] = 1.0
    features = {"x": tf.constant(x)}
    compiled = tf.function(lambda: trainee.logits_of(trainee(features, training=True)))
    drawn = np.array([compiled().numpy()[0] for _ in range(40)])
    row, bias = layer.kernel.numpy()[0], layer.bias.numpy()
    is_dropped = np.isclose(drawn[:, 0], bias[0])
    assert 0 < is_dropped.sum() < 40
    np.testing.assert_allclose(
        drawn[~is_dropped], np.tile(2 * row + bias, ((~is_dropped).sum(), 1)), rtol=1e-5
    )


class Gathering(Scaled):
    """The same, which gathers the mean of its answers."""

    def build(self, shape):
        super().build(shape)
        self.mean = self.add_weight("mean", [self.units], trainable=False, initializer="zeros")

    def call(self, inputs, training=None):
        answers = super().call(inputs, training=training)
        if training:
            self.mean.assign(0.5 * self.mean + 0.5 * tf.reduce_mean(answers, 0))
        return answers


def test_what_is_gathered_is_the_largest_networks(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "Scaled", Gathering)
    problem = Classification(("no", "yes"))
    (kernel, bias, _), (_, _, mean), _ = train(problem, fixed)
    x, _ = data(problem, 2)
    np.testing.assert_allclose(mean, 0.5 * (x @ kernel + bias).mean(0), rtol=1e-5)


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_gradients_are_those_of_the_largest_the_smallest_and_one_between(seed):
    problem = Classification(("no", "yes"))
    (kernel, bias), (moved, moved_bias), logs = train(problem, fixed, seed)
    x, labels = data(problem, 2)
    logits = x @ kernel + bias
    taught = softmax(logits)
    slope = (taught - np.eye(2)[labels]) / len(x)  # Of the mean cross-entropy.
    expected, expected_bias = x.T @ slope, slope.sum(0)
    draw = tf.random.stateless_uniform([], tf.constant([seed, 0], tf.int64), 1, 3, tf.int32)
    assert int(draw) in (1, 2)
    for number in (0, int(draw)):
        mask = FIRST <= number
        slope = (softmax(x @ (kernel * mask) + bias) - taught) / len(x)
        expected = expected + mask * (x.T @ slope)
        expected_bias = expected_bias + slope.sum(0)
    np.testing.assert_allclose(moved, kernel - RATE * expected, atol=1e-6)
    np.testing.assert_allclose(moved_bias, bias - RATE * expected_bias, atol=1e-6)
    # What is told of a step is the largest network's.
    right = np.log(taught[np.arange(len(x)), labels])
    assert logs["loss"] == pytest.approx(-right.mean(), abs=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_networks_that_are_computed_in_several_ways_have_the_gradients_of_their_own(seed):
    problem = Classification(("no", "yes"))
    (kernel, bias), (moved, moved_bias), _ = train(problem, InTwoWays, seed)
    x, labels = data(problem, 2)
    taught = softmax(x @ kernel + bias)
    slope = (taught - np.eye(2)[labels]) / len(x)
    expected, expected_bias = x.T @ slope, slope.sum(0)
    draw = tf.random.stateless_uniform([], tf.constant([seed, 0], tf.int64), 1, 3, tf.int32)
    for number in (0, int(draw)):
        mask, factor = FIRST <= number, 0.5 if number % 2 == 0 else 1.0
        slope = factor * (softmax(factor * (x @ (kernel * mask) + bias)) - taught) / len(x)
        expected = expected + mask * (x.T @ slope)
        expected_bias = expected_bias + slope.sum(0)
    np.testing.assert_allclose(moved, kernel - RATE * expected, atol=1e-6)
    np.testing.assert_allclose(moved_bias, bias - RATE * expected_bias, atol=1e-6)


class LearningStates(Fixed):
    """Networks that learn the states of the second of two layers as well."""

    states_weight = 3.0

    def layers(self, computation):
        assert computation == 0
        return [1]


def states_apart(ours, theirs):
    """The mean squared distance of states at length 1."""
    ours, theirs = (one / tf.norm(one, axis=-1, keepdims=True) for one in (ours, theirs))
    return tf.reduce_mean(tf.reduce_sum(tf.square(ours - theirs), -1))


def test_the_states_of_layers_are_learned_from_the_largest_network():
    problem = Classification(("no", "yes"))
    model, layer = linear(2)
    step = sandwich.step_of(Holding(LearningStates(layer.kernel, networks=2)), problem, 1)
    (select,) = step.select.values()
    states = model.output[:, None]
    output = {"encoder_outputs": [2 * states, states]}
    (name,) = step.select
    whole = tf_keras.Model(model.inputs, {"logits": model.output, name: select(output)})
    trainee = HintedTrainee(model, TaskLoss(problem), whole, 1, step)
    trainee.compile(
        optimizer=tf_keras.optimizers.SGD(RATE), weighted_metrics=[], is_filled_up=False
    )
    x, labels = data(problem, 2)
    kernel, bias = (tf.constant(value.numpy()) for value in layer.weights)
    mask = tf.constant((FIRST == 0).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        logits, smaller = x @ kernel + bias, x @ (kernel * mask) + bias
        taught = tf.stop_gradient(logits)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        loss += tf.reduce_mean(problem.distillation_loss(taught, smaller, 1.0))
        loss += 3.0 * states_apart(smaller, taught)
    expected = kernel - RATE * tape.gradient(loss, kernel)
    features = {"x": tf.constant(x), "input_mask": tf.ones([5, 1], tf.int32)}
    tf.function(lambda: trainee.train_step((features, {LABELS: tf.constant(labels)})))()
    np.testing.assert_allclose(layer.kernel, expected, atol=1e-6)


@pytest.mark.parametrize("last", [1, 2])
def test_states_are_those_of_tokens_and_of_a_last_layer_of_packed_texts_the_first_ones(last):
    random = np.random.default_rng(0)
    whole = [random.normal(size=(2, 4, 3)).astype(np.float32) for _ in range(3)]
    ours = [random.normal(size=(2, 4, 3)).astype(np.float32) for _ in range(3)]
    texts = np.array([[1, 1, 2, 0], [1, 1, 1, 1]], np.int32)
    firsts = np.array([[0, 0], [0, 2], [1, 0]], np.int32)

    def of_firsts(states):
        return states[tuple(firsts.T)][:, None]

    packed = as_tensors({"input_texts": texts, "input_firsts": firsts})
    is_token = texts > 0
    there = [
        states_apart(one[is_token], two[is_token]) for one, two in zip(ours, whole, strict=True)
    ]
    # Padded; and packed where words are tagged, so that the last layer computes all tokens.
    for features in (as_tensors({"input_mask": texts}), packed):
        found = sandwich._states_apart(ours, whole, [0, last], features)
        assert float(found) == pytest.approx(float(there[0] + there[last]) / 2, rel=1e-5)
    first = states_apart(of_firsts(ours[last]), of_firsts(whole[last]))
    # As the encoder gives them: of its last layer the first tokens alone.
    theirs = [*whole[:2], of_firsts(whole[2])]
    mine = [*ours[:last], *(of_firsts(ours[last]) for _ in range(last, 3))]
    found = sandwich._states_apart(mine, theirs, [0, last], packed, tf.constant(firsts))
    assert float(found) == pytest.approx(float(there[0] + first) / 2, rel=1e-5)
    same = sandwich._states_apart(theirs, theirs, [0, 2], packed, tf.constant(firsts))
    assert float(same) == pytest.approx(0.0, abs=1e-6)


def as_tensors(features):
    return {name: tf.constant(value) for name, value in features.items()}


def test_two_networks_have_none_between_and_a_number_is_learned_by_its_difference():
    problem = Regression(0.0, 5.0)
    (kernel, bias), (moved, moved_bias), _ = train(
        problem, lambda layer: OneColumn(layer.kernel, networks=2)
    )
    x, labels = data(problem, 1)
    wrong = x @ kernel + bias - np.reshape(labels, (-1, 1))
    mask = FIRST[:, :1] <= 0
    away = x @ (kernel * mask) + bias - (x @ kernel + bias)
    expected = 2 * (x.T @ wrong + mask * (x.T @ away)) / len(x)
    np.testing.assert_allclose(moved, kernel - RATE * expected, atol=1e-5)
    assert moved_bias == pytest.approx(bias - RATE * 2 * (wrong + away).mean(), abs=1e-5)


class OneColumn(Fixed):
    """The same of a kernel of one output."""

    def select(self, variable, values, number):
        return tf.where(FIRST[:, :1] <= tf.cast(number, tf.uint8), values, 0.0)


def test_the_one_between_follows_from_seed_and_step_alone():
    drawn = []
    for _ in range(2):
        step = sandwich.SandwichStep(Fixed(None), Classification(("a", "b")), seed=4)
        numbers = [[int(n) for n in step._smaller(tf.Variable(k))] for k in range(20)]
        assert all(first == 0 for first, _ in numbers)
        drawn.append([between for _, between in numbers])
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {1, 2}


def test_other_methods_and_networks_that_are_not_trained_have_keras_own_step():
    problem = Classification(("no", "yes"))
    plain = train(problem, lambda layer: None)
    apart = train(problem, lambda layer: Fixed(layer.kernel, together=False))
    for one, other in zip(plain[1], apart[1], strict=True):
        np.testing.assert_array_equal(one, other)
    together = train(problem, fixed)
    assert not np.array_equal(plain[1][0], together[1][0])
