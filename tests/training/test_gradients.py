"""The gradients by which units are ranked that go all at once: how many examples, and what for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import tiny_bert
from messages import refuses
from tiny_classifier import start

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.schedule import PruningContext
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.models import classifiers
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training.gradients import TrainingGradients
from bert_glue_tf.training.objective import LABELS, TaskLoss, Trainee
from bert_glue_tf.training.optimizer import build_optimizer

TASK = tasks.get("mnli")
SIZE, LENGTH = 16, 10


def batches(count: int):
    """Examples of three classes, told apart by how many words of each third they have."""
    random = np.random.default_rng(3)
    for _ in range(count):
        ids = random.integers(5, 95, (SIZE, LENGTH)).astype(np.int32)
        mask = (np.arange(LENGTH) < random.integers(4, LENGTH + 1, (SIZE, 1))).astype(np.int32)
        features = {
            "input_word_ids": ids * mask,
            "input_mask": mask,
            "input_type_ids": np.zeros_like(ids),
        }
        thirds = [(((ids - 5) // 30 == third) * mask).sum(1) for third in range(3)]
        yield features, {LABELS: np.argmax(thirds, axis=0).astype(np.int32)}


BATCHES = list(batches(16))


class Ready:
    """A method that prunes all at once, on a classifier of two layers that has learned a little."""

    def __init__(self, method: str, options: str = "", **settings) -> None:
        tf_keras.utils.set_random_seed(1)
        config = ExperimentConfig(
            task=TASK.name,
            pruning_method=method,
            pruning_options=options,
            pruning_schedule="one_shot",
            begin_step=0,
            final_sparsity=0.5,
            **settings,
        )
        shapes = tiny_bert.architecture(layers=2, hidden=32, heads=8)
        encoder = build_encoder(shapes, tiny_bert.weights(shapes).__getitem__)
        self.method = registry.build(config)
        self.method.reshape(start(tiny_bert.backbone(encoder, shapes), TASK))
        model = classifiers.build_classifier(encoder, TASK, dropout=0.1, seed=1)
        context = PruningContext.from_config(config, 10, self.method.waits)
        self.model = self.method.prepare(model, context)
        self.trainee = Trainee(self.model, TaskLoss(TASK.problem))
        optimizer = self.method.wrap_optimizer(build_optimizer(config, 10))
        self.trainee.compile(optimizer=optimizer, is_filled_up=False)

    def learn_from(self, some) -> Ready:
        self.method.learn_from(gradients(self.trainee, some))
        return self

    def ranking(self, some) -> np.ndarray:
        """Which units stay by the gradients of some batches, of all groups one after the other."""
        self.learn_from(some).method._measure()
        masks = self.method.choose(map(self.method.score, self.method.all_groups), 0.5)
        return np.concatenate([mask.reshape(-1) for mask in masks])


def gradients(trainee, some) -> TrainingGradients:
    sizes = [len(targets[LABELS]) for _, targets in some]
    return TrainingGradients(tf.distribute.get_strategy(), trainee, sizes, lambda: iter(some))


@pytest.fixture(scope="module")
def ready():
    """ready(method): made once, since a graph is traced for each."""
    made: dict[str, Ready] = {}

    def once(method: str) -> Ready:
        if method not in made:
            made[method] = Ready(method)
        return made[method]

    return once


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """The fraction of the pruned units that both rankings prune; by chance 0.5 here."""
    return float(np.mean(~other[~one]))


@pytest.mark.parametrize("method", ["attention_head", "neuron", "gradient", "movement"])
def test_two_halves_of_the_examples_rank_alike(method, ready):
    one = ready(method)
    halves = [one.ranking(BATCHES[half::2]) for half in (0, 1)]
    whole = one.ranking(BATCHES)
    assert agreement(*halves) > LEAST[method][0]
    assert min(agreement(half, whole) for half in halves) > LEAST[method][1]


LEAST = {
    "attention_head": (0.8, 0.8),
    "neuron": (0.8, 0.8),
    "gradient": (0.8, 0.9),
    "movement": (0.65, 0.75),
}


def test_the_scores_are_those_of_all_examples_by_hand(ready):
    one = ready("neuron")
    some = [BATCHES[0], tuple({k: v[:4] for k, v in part.items()} for part in BATCHES[1])]
    one.learn_from(some).method._measure()
    for group in one.method.all_groups:
        member = group.members[-1]
        expected = np.zeros(group.units)
        for features, targets in some:
            with tf.GradientTape() as tape:
                logits = one.model({k: tf.constant(v) for k, v in features.items()})
                loss = tf.reduce_mean(
                    tf.keras.losses.sparse_categorical_crossentropy(
                        targets[LABELS], logits, from_logits=True
                    )
                )
            gradient = tape.gradient(loss, member.variable).numpy()
            value = np.abs((gradient * member.variable.numpy()).sum(1))
            expected += value * len(targets[LABELS]) / (SIZE + 4)
        np.testing.assert_allclose(one.method.score(group), expected, rtol=1e-4, atol=1e-7)


def test_nothing_changes_but_the_scores(ready):
    one = ready("attention_head")
    before = [variable.numpy() for variable in one.model.variables]
    steps = int(one.trainee.optimizer.iterations)
    one.learn_from(BATCHES[:2]).method._measure()
    assert int(one.trainee.optimizer.iterations) == steps
    for variable, value in zip(one.model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_the_number_of_examples_is_a_setting_and_in_the_record_and_in_the_log(ready, caplog):
    one = ready("attention_head")
    one.method.settings["examples"] = 40
    with caplog.at_level("INFO", "absl"):
        one.learn_from(BATCHES).method.update(0.5)
    # Whole batches of 16 are taken.
    assert one.method.record() == {"ranked_by_examples": {"attention_head": 48}}
    assert "attention_head: ranked by the gradients of 48 training examples" in caplog.messages
    one.method.settings["examples"] = 0
    one.method._measure()
    assert one.method.record() == {"ranked_by_examples": {"attention_head": 16 * SIZE}}
    with refuses(UserError, "examples=-1", "0 for all"):
        registry.check("attention_head", "examples=-1")
    with refuses(UserError, "examples=-1", "0 for all"):
        registry.check("movement", "examples=-1")


def test_what_is_ranked_by_magnitude_measures_nothing():
    config = ExperimentConfig(task=TASK.name, pruning_method="magnitude", final_sparsity=0.5)
    method = registry.build(dataclasses.replace(config, pruning_schedule="one_shot"))
    assert method.record() == {}
    assert "examples" not in method.settings


def test_each_of_several_methods_is_ranked_by_what_the_ones_before_have_left():
    one = Ready("attention_head,neuron")
    one.learn_from(BATCHES[:4])
    for method in one.method.methods:
        method.advance(0)
    heads, neurons = one.method.methods
    assert one.method.record() == {
        "ranked_by_examples": {"attention_head": 4 * SIZE, "neuron": 4 * SIZE}
    }
    assert all((~heads.mask(group)).sum() == 4 for group in heads.all_groups)
    # The neurons' scores are those of the network without these heads: weights of the heads that
    # are gone are zero, and stayed so while the neurons were ranked.
    for group in heads.all_groups:
        assert (group.members[-1].variable.numpy()[~heads.mask(group)] == 0).all()
    assert all((~neurons.mask(group)).sum() == 32 for group in neurons.all_groups)


def test_gradients_that_are_no_numbers_are_refused(ready):
    one = ready("attention_head")
    broken = [(features, targets) for features, targets in BATCHES[:1]]
    weight = one.method.all_groups[0].members[-1].variable
    kept = weight.numpy()
    weight.assign(np.full(kept.shape, np.nan, np.float32))
    try:
        with refuses(UserError, "--pruning_schedule=one_shot", "not numbers"):
            one.learn_from(broken).method._measure()
    finally:
        weight.assign(kept)


def test_a_loss_too_large_for_float16_is_made_smaller():
    tried = []

    def compute(batch, scale):
        tried.append(float(scale))
        return "gradients", tf.constant(float(scale) < 10_000)

    source = TrainingGradients(tf.distribute.get_strategy(), _Float16(), [1], lambda: iter([0]))
    assert source._finite(compute, 0) == "gradients"
    assert tried == [32768.0, 16384.0, 8192.0]


class _Float16:
    compute_dtype = "float16"
