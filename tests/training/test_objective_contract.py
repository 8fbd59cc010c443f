"""Contract suite: every objective, on every kind of problem."""

from __future__ import annotations

import json

import forked
import numpy as np
import objectives
import pytest
import tensorflow as tf
import tf_keras
from slow_fixtures import slow_to_make

from bert_glue_tf.data import batching, layouts, tasks
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.data.problems import PROBLEMS
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training.hints import LayerStates
from bert_glue_tf.training.objective import (
    LABELS,
    BalancedLoss,
    DistilledLoss,
    Objective,
    TaskLoss,
    Trainee,
)
from bert_glue_tf.training.objective import build as objective_of
from bert_glue_tf.training.optimizer import build_optimizer
from bert_glue_tf.training.token_rows import TokenRows


@pytest.fixture(params=list(objectives.CASES))
def case(request):
    """The objective and the problem."""
    objective, problem = objectives.CASES[request.param]
    return objective(problem), problem


def batch_of(objective, problem, indices):
    """Features and targets of some examples, as tensors."""
    split = objectives.split(problem)
    features = split.tokens.batch(indices, objectives.LENGTH)
    targets = {name: values[indices] for name, values in objective.targets(split).items()}
    return tf.nest.map_structure(tf.constant, (features, targets))


def loss_and_gradient(model, features, targets, weights=None):
    """The loss of a batch and its gradient with respect to every weight."""
    with tf.GradientTape() as tape:
        loss = model.compute_loss(features, targets, model(features, training=True), weights)
    found = tape.gradient(loss, model.trainable_variables)
    return loss.numpy(), [tf.convert_to_tensor(one).numpy() for one in found]


def test_every_objective_is_tested_on_every_kind_of_problem():
    package = {kind for kind in Objective.__subclasses__() if "bert_glue_tf" in kind.__module__}
    problem = objectives.PROBLEMS["classification"]
    assert {type(build(problem)) for build in objectives.OBJECTIVES.values()} == package
    assert set(objectives.PROBLEMS) == set(PROBLEMS)


def test_the_settings_choose_the_objective():
    config = ExperimentConfig(task="cola")
    assert type(objective_of(config, tasks.get("cola"))) is TaskLoss
    balanced = ExperimentConfig(task="cola", class_weights="balanced")
    assert type(objective_of(balanced, tasks.get("cola"))) is BalancedLoss
    answers = np.zeros((objectives.COUNT, 2), np.float32)
    assert type(objective_of(config, tasks.get("cola"), answers)) is DistilledLoss


def test_targets_are_arrays_over_the_split_with_its_labels(case):
    objective, problem = case
    split = objectives.split(problem)
    targets = objective.targets(split)
    np.testing.assert_array_equal(targets[LABELS], split.learned)
    assert {len(values) for values in targets.values()} == {len(split)}


def test_a_batch_has_a_loss_for_each_example_and_their_mean_is_minimised(case):
    objective, problem = case
    features, targets = batch_of(objective, problem, np.arange(5))
    model = objectives.build(objective, problem)
    losses = objective.losses(targets, model(features))
    assert losses.shape == (5,)
    assert losses.dtype == tf.float32
    loss, _ = loss_and_gradient(model, features, targets)
    assert loss == pytest.approx(np.mean(losses), rel=1e-6)
    # Of one example it does not depend on the others.
    alone, own = batch_of(objective, problem, np.array([3]))
    np.testing.assert_allclose(objective.losses(own, model(alone)), losses[3:4], rtol=1e-5)


def test_weights_multiply_the_losses_before_the_mean(case):
    objective, problem = case
    features, targets = batch_of(objective, problem, np.arange(4))
    model = objectives.build(objective, problem)
    losses = objective.losses(targets, model(features)).numpy()
    weights = np.array([2.0, 0.0, 1.0, 0.5], np.float32)
    loss, _ = loss_and_gradient(model, features, targets, tf.constant(weights))
    assert loss == pytest.approx(np.mean(losses * weights), rel=1e-6)


def test_what_fills_up_a_batch_counts_in_nothing(case):
    objective, problem = case
    real = np.arange(5)
    indices, weights = layouts.fill_up(real, np.arange(16), replicas=4)
    assert len(indices) == 8
    expected_loss, expected = loss_and_gradient(
        objectives.build(objective, problem), *batch_of(objective, problem, real)
    )
    model = objectives.build(objective, problem, is_filled_up=True)
    for fillers in (indices[5:], np.array([9, 10, 11])):
        batch = batch_of(objective, problem, np.concatenate([real, fillers]))
        model.reset_metrics()
        loss, gradient = loss_and_gradient(model, *batch, tf.constant(weights))
        assert loss == pytest.approx(expected_loss, rel=1e-6)
        for mine, theirs in zip(gradient, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)
        logs = model.compute_metrics(None, batch[1], model(batch[0]), tf.constant(weights))
        assert float(logs["loss"]) == pytest.approx(expected_loss, rel=1e-6)


@pytest.fixture(scope="module")
@slow_to_make
def trained():
    """Device -> case -> logs and weights of a short training."""
    done = forked.run([objectives.__file__])
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", list(objectives.TRAINED))
def test_two_replicas_train_what_one_device_trains(trained, name):
    one, two = trained["one"][name], trained["two"][name]
    assert list(one["logs"]) == list(two["logs"])
    for label, values in one["logs"].items():
        np.testing.assert_allclose(two["logs"][label], values, rtol=1e-5, err_msg=label)
    for label, values in one["weights"].items():
        found = two["weights"][label]
        np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-7, err_msg=label)
    assert len(set(one["logs"]["loss"])) == 2  # It has trained.


# The task's loss.


@pytest.mark.parametrize("kind", list(objectives.PROBLEMS))
def test_the_task_loss_is_the_one_that_the_problem_scores_by(kind):
    problem = objectives.PROBLEMS[kind]
    objective = TaskLoss(problem)
    features, targets = batch_of(objective, problem, np.arange(9))
    logits = objectives.classifier(problem)(features).numpy()
    found = np.mean(objective.losses(targets, tf.constant(logits)))
    assert found == pytest.approx(problem.loss(targets[LABELS].numpy(), logits), rel=1e-5)


@pytest.mark.parametrize("kind", list(objectives.PROBLEMS))
def test_the_task_loss_trains_to_the_bit_what_keras_trains_by_the_problems_loss(kind):
    problem = objectives.PROBLEMS[kind]
    split = objectives.split(problem)
    mine = objectives.train(TaskLoss(problem), problem, tf.distribute.get_strategy())
    plain = objectives.classifier(problem)
    plain.compile(
        optimizer=tf_keras.optimizers.SGD(0.1),
        loss=problem.keras_loss(),
        weighted_metrics=problem.keras_metrics(is_filled_up=False),
    )
    dataset = batching.training_dataset(
        split, objectives.BATCHING, objectives.LAYOUT, epochs=range(2)
    )
    done = plain.fit(dataset, epochs=2, steps_per_epoch=2, verbose=0)
    assert mine["logs"] == done.history
    assert mine["weights"] == {w.name: w.numpy().tolist() for w in plain.trainable_weights}


# A teacher.


@pytest.mark.parametrize("labels", [TaskLoss, BalancedLoss])
@pytest.mark.parametrize("kind", list(objectives.PROBLEMS))
def test_a_teachers_weight_divides_the_loss_between_the_labels_and_its_answers(kind, labels):
    problem = objectives.PROBLEMS[kind]

    def losses(weight, logits=None):
        objective = objectives.distilled(problem, labels, weight)
        features, targets = batch_of(objective, problem, np.arange(9))
        logits = objectives.classifier(problem)(features) if logits is None else logits
        return objective.losses(targets, logits).numpy()

    objective = labels(problem)
    features, targets = batch_of(objective, problem, np.arange(9))
    logits = objectives.classifier(problem)(features)
    alone, taught = losses(0.0), losses(1.0)
    np.testing.assert_allclose(alone, objective.losses(targets, logits), rtol=1e-5)
    np.testing.assert_allclose(losses(0.25), 0.75 * alone + 0.25 * taught, rtol=1e-5)
    teacher = objectives.distilled(problem).targets(objectives.split(problem))["teacher"][:9]
    np.testing.assert_allclose(losses(1.0, tf.constant(teacher)), 0.0, atol=1e-6)
    assert (taught > 1e-3).any()


def distilled_states(lengths, are_whole, found, room=0):
    """The loss that states add to texts in rows; the teacher's states all point one way."""
    splits = np.concatenate([[0], np.cumsum(lengths)])
    rows = np.zeros((splits[-1], 2, 4), np.float16)
    rows[..., 0] = 1.0
    hint = LayerStates(TokenRows(rows, splits, room), 10.0, (1, 3), are_whole, 4)
    targets = {name: values[np.arange(len(lengths))] for name, values in hint.targets().items()}
    features = {"input_word_ids": np.zeros(found[0].shape[:2], np.int32)}
    selected = hint.select({"encoder_outputs": [found[0], None, found[1]]})
    losses = hint.losses(tf.nest.map_structure(tf.constant, targets), selected, features)
    assert losses.dtype == tf.float32
    return losses.numpy()


@pytest.mark.parametrize("room", [0, 7])
def test_states_add_their_distance_in_direction_and_nothing_else(room):
    """0 for the same direction, 2 at right angles and 4 for the opposite one, in the mean."""
    found = np.zeros((2, 3, 1, 4), np.float32)
    found[..., 0] = 7.0
    found[1, 1] = (0, 0, 2, 0)
    found[:, 2] = (-3, 0, 0, 0)
    losses = distilled_states([1, 1, 1], (True, False), tf.constant(found), room)
    np.testing.assert_allclose(losses, [0.0, 10.0, 40.0], atol=1e-5)


@pytest.mark.parametrize("room", [0, 7])
def test_states_of_tokens_count_alike_within_a_text_and_not_behind_its_end(room):
    found = np.zeros((2, 2, 4, 4), np.float32)
    found[..., 0] = 1.0
    found[:, :, 1] = (0, 1, 0, 0)  # The second token is at right angles.
    found[:, :, 3] = (-1, 0, 0, 0)  # Behind both texts' ends.
    losses = distilled_states([2, 3], (True, False), tf.constant(found), room)
    # 2 / 2 and 2 / 3 in the first layer; of the other one the first token alone counts.
    np.testing.assert_allclose(losses, [10 * 0.5 * 1, 10 * 0.5 * 2 / 3], rtol=1e-5)


def test_a_teacher_that_has_answered_other_texts_is_a_defect_of_ours():
    problem = objectives.PROBLEMS["regression"]
    objective = DistilledLoss(problem, TaskLoss(problem), np.zeros((4, 1), np.float32), 0.5, 1.0)
    with pytest.raises(ValueError, match="4 answers for 13 examples"):
        objective.targets(objectives.split(problem))


# The way of the targets to the loss, and the model that trains.


class Numbered(TaskLoss):
    """Has each example's number as a target, and keeps those of each batch beside its logits."""

    def __init__(self, problem):
        super().__init__(problem)
        self.seen = []

    def targets(self, split):
        return {**super().targets(split), "number": np.arange(len(split), dtype=np.int32)}

    def losses(self, targets, logits):
        tf.py_function(
            lambda *pair: self.seen.append([v.numpy() for v in pair]),
            [targets["number"], logits],
            [],
        )
        return super().losses(targets, logits)


def echo():
    """A classifier of one logit: the first word of an example, which is its number."""
    inputs = {name: tf_keras.Input((None,), dtype=tf.int32, name=name) for name in INPUTS}
    first = tf_keras.layers.Lambda(lambda ids: tf.cast(ids[:, :1], tf.float32))
    first = tf_keras.layers.Reshape((1,))(first(inputs["input_word_ids"]))
    scale = tf_keras.layers.Dense(1, kernel_initializer="identity", name="scale")
    return tf_keras.Model(inputs, scale(first))


@pytest.mark.parametrize("replicas", [1, 2])
def test_an_array_over_the_examples_reaches_the_loss_with_its_examples(replicas):
    problem = objectives.PROBLEMS["regression"]
    objective, split = Numbered(problem), objectives.split(problem)
    model = Trainee(echo(), objective)
    model.compile(
        optimizer=tf_keras.optimizers.SGD(0.0), weighted_metrics=[], is_filled_up=replicas > 1
    )
    targets = objective.targets(split)
    if replicas == 1:
        dataset = batching.training_dataset(
            split, objectives.BATCHING, objectives.LAYOUT, epochs=range(1), targets=targets
        )
        steps = 2
    else:
        context = tf.distribute.InputContext(1, 0, replicas)
        dataset = batching.replicas_dataset(
            split, objectives.BATCHING, objectives.LAYOUT, context, epochs=range(1), targets=targets
        )
        steps = 4  # Parts of two batches, here one after the other.
    model.fit(dataset, epochs=1, steps_per_epoch=steps, verbose=0)
    numbers = np.concatenate([numbers for numbers, _ in objective.seen])
    logits = np.concatenate([logits[:, 0] for _, logits in objective.seen])
    np.testing.assert_array_equal(numbers, logits)
    assert set(numbers) == set(range(len(split)))


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_the_training_step_is_traced_once(policy):
    """A step that creates variables is traced twice, and a user waits twice for the first one."""
    problem = objectives.PROBLEMS["classification"]
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        trainee = Trainee(objectives.classifier(problem), TaskLoss(problem))
        trainee.compile(
            optimizer=build_optimizer(ExperimentConfig(), 4),
            weighted_metrics=problem.keras_metrics(is_filled_up=False),
            is_filled_up=False,
        )
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
    targets = trainee.objective.targets(objectives.split(problem))
    dataset = batching.training_dataset(
        objectives.split(problem),
        objectives.BATCHING,
        objectives.LAYOUT,
        epochs=range(1),
        targets=targets,
    )
    trainee.fit(dataset, epochs=1, steps_per_epoch=2, verbose=0)
    assert trainee.train_function.experimental_get_tracing_count() == 1


def test_what_trains_has_the_layers_and_variables_of_the_classifier_and_leaves_it_as_it_is():
    problem = objectives.PROBLEMS["classification"]
    model = objectives.classifier(problem)
    before = [layer.name for layer in model.layers]
    trainee = Trainee(model, TaskLoss(problem))
    trainee.compile(optimizer="sgd", weighted_metrics=[], is_filled_up=True)
    assert trainee.name == model.name
    assert trainee.layers == model.layers
    for mine, theirs in zip(trainee.trainable_variables, model.trainable_variables, strict=True):
        assert mine is theirs
    assert [layer.name for layer in model.layers] == before
    assert [variable.name for variable in model.variables] == [
        "encoder/words/embeddings:0",
        "encoder/dense/kernel:0",
        "encoder/dense/bias:0",
        "classifier/kernel:0",
        "classifier/bias:0",
    ]
    assert not hasattr(model, "objective")
