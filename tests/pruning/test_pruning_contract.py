"""The contract that every registered pruning method keeps, whoever writes it.

It reaches the sparsity asked for, pruned weights stay zero, it survives save, load and
resume, leaves plain layers behind, and converts to TFLite with the same logits. All of that
holds for a training by the labels and by a teacher's answers at once, half of the loss each.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import math
import pathlib
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import tiny_bert
import tiny_cnn
import tiny_small
from ai_edge_litert.interpreter import Interpreter
from messages import refuses
from slow_fixtures import slow_to_make
from tiny_classifier import start

from bert_glue_tf import pruning
from bert_glue_tf.compression import names, registry
from bert_glue_tf.compression.method import PruningMethod
from bert_glue_tf.compression.schedule import PruningContext
from bert_glue_tf.compression.scored import SCORES, ScoredPruning
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.data.arrays import VALUES
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.models import classifiers, saving
from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.models.bert.network import build_encoder
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training import sandwich
from bert_glue_tf.training.gradients import TrainingGradients
from bert_glue_tf.training.objective import LABELS, DistilledLoss, TaskLoss, Trainee
from bert_glue_tf.training.optimizer import build_optimizer

TASK = tasks.get("mnli")  # Three classes: a classifier of 48 weights.
CLASSES = TASK.problem.width
MAP = (10, 6)  # Of the arrays that networks with kernels of 3 x 3 read.
STEPS_PER_EPOCH, EPOCHS = 10, 3
# Sparsities that two of four heads, and whole blocks of the tiny matrices, can reach.
INITIAL, FINAL = 0.25, 0.5
CONFIG = ExperimentConfig(
    task=TASK.name,
    learning_rate=1e-2,
    initial_sparsity=INITIAL,
    final_sparsity=FINAL,
    dropout=0.0,
)
# What a method needs besides on a network as small as this one.
OPTIONS = {
    "block": "block=4x4",
    "kernel_pattern": "entries=6",
    "shared": f"sparsities=0.75,{FINAL}",
}
# Methods with a time of their own: prune at the end of a round, or at the end of the schedule; the
# densest of several networks is behind the sparsest, of which the schedule tells.
OWN_SCHEDULE = {"lottery_ticket", "admm", "shared"}
# Methods that cut, or sort, before the training; their own tests are elsewhere.
CUTTING = {"layer", "vocabulary", "elastic"}
ALL = sorted(set(registry.names()) - CUTTING)
every_method = pytest.mark.parametrize("name", ALL)
# Of what has no more of its own than the others a part is enough: filters differ from neurons in
# their shapes, and `l1` from `magnitude` in a sum.
TRIED = {"filter": ("movement",), "channel": ("gradient",), "l1": ("block", "attention_head")}
# Units with another score than their method's own: "block score=movement".
COMBINATIONS = [
    f"{name} score={score}"
    for name in ALL
    if issubclass(registry.get(name), ScoredPruning) and registry.get(name).takes_score
    for score in SCORES
    if score != registry.get(name).own_score and score not in registry.get(name).refused_scores
    if score in TRIED.get(name, SCORES) and name in TRIED.get(score, ALL)
]


def batches(first: int, last: int, inputs: Sequence[str] = INPUTS):
    """Steps `first` to `last` of a training that is the same at every call, of texts or arrays."""
    for step in range(first, last):
        rng = np.random.default_rng(step)
        if tuple(inputs) == (VALUES,):
            values = rng.normal(size=(8, *MAP)).astype(np.float32)
            yield {VALUES: values}, _targets(rng, values[:, 0, 0] > 0)
            continue
        ids = rng.integers(5, 90, (8, 12)).astype(np.int32)
        features = {
            "input_word_ids": ids,
            "input_mask": np.ones_like(ids),
            "input_type_ids": np.zeros_like(ids),
        }
        yield features, _targets(rng, ids.sum(1) % CLASSES)


def _targets(rng: np.random.Generator, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return labels, and the answers of a teacher that says something else."""
    answers = rng.normal(size=(len(labels), CLASSES)).astype(np.float32)
    return {LABELS: labels.astype(np.int32), DistilledLoss.TEACHER: answers}


def _loss(task: tasks.TaskSpec) -> DistilledLoss:
    """Return a loss of the labels and of a teacher's answers, which come with the batches."""
    no_answers = np.zeros((0, CLASSES), np.float32)
    labels = TaskLoss(task.problem)
    return DistilledLoss(task.problem, labels, no_answers, weight=0.5, temperature=2.0)


def _bert() -> Backbone:
    """Return a tiny BERT without dropout, so that resumed trainings compare number by number."""
    shapes = dataclasses.replace(
        tiny_bert.architecture(layers=1, heads=4), output_dropout=0.0, attention_dropout=0.0
    )
    encoder = build_encoder(shapes, tiny_bert.weights(shapes).__getitem__)
    return tiny_bert.backbone(encoder, shapes)


def _cnn() -> Backbone:
    """Return a tiny CNN, for the methods that need convolutions."""
    shapes = tiny_cnn.architecture()
    return tiny_cnn.backbone(tiny_cnn.built(shapes), shapes)


def _small() -> Backbone:
    """Return a small network, for the methods that need kernels of 3 x 3."""
    return tiny_small.backbone("okg_net", shape=MAP)


# The first that a method needs decides what it is tried on.
BACKBONES = {"filter": _cnn, "kernel": _small}


class Training:
    """A tiny classifier under a method, trained epoch by epoch as the orchestrator does."""

    def __init__(self, name: str, config: ExperimentConfig = CONFIG):
        tf_keras.utils.set_random_seed(config.seed)
        name, _, score = name.partition(" ")
        defaults = ExperimentConfig()
        config = dataclasses.replace(
            config,
            **{n: getattr(defaults, n) for m in name.split(",") for n in registry.get(m).unused},
            pruning_method=name,
            pruning_options=config.pruning_options or f"{OPTIONS.get(name, '')} {score}".strip(),
        )
        total_steps = STEPS_PER_EPOCH * EPOCHS
        self.method = registry.build(config)
        self.context = PruningContext.from_config(config, total_steps, self.method.waits)
        self.backbone = BACKBONES.get(next(iter(self.method.needs), ""), _bert)()
        self.task = tiny_small.task(MAP) if self.backbone.begins else TASK
        self.method.reshape(start(self.backbone, self.task, FINAL))
        self.model = self.method.prepare(self.plain(config.seed), self.context)
        step = sandwich.step_of(self.method, self.task.problem, config.seed)
        self.trainee = Trainee(self.model, _loss(self.task), step)
        self.trainee.compile(
            optimizer=self.method.wrap_optimizer(
                build_optimizer(config, total_steps // self.method.cycles)
            ),
            is_filled_up=False,
        )
        self.method.learn_from(
            TrainingGradients(
                tf.distribute.get_strategy(),
                self.trainee,
                [8, 8],
                lambda: batches(0, 2, self.backbone.inputs),
            )
        )
        self.callbacks = self.method.callbacks()
        self.checkpoint = tf.train.Checkpoint(
            model=self.model, optimizer=self.trainee.optimizer, pruning=self.method.state()
        )
        self.states: list[str] = []
        self.sparsities: list[dict[str, float]] = []

    def plain(self, seed: int = 1) -> tf_keras.Model:
        """Return a classifier on the encoder that no method has prepared."""
        return classifiers.build_classifier(self.backbone.layer, self.task, dropout=0.0, seed=seed)

    def save_into(self, folder: pathlib.Path) -> Training:
        """Write a state after each epoch, while it trains, as a run does."""

        def save(epoch: int, logs: object) -> None:
            self.states.append(self.checkpoint.write(str(folder / f"after-{epoch + 1}")))
            self.sparsities.append(self.method.sparsities(self.model))

        self.callbacks.append(tf_keras.callbacks.LambdaCallback(on_epoch_end=save))
        return self

    def resumed(self, name: str, epochs: int) -> Training:
        """Return another training that has gone on from the state after so many epochs."""
        other = Training(name)
        other.checkpoint.read(self.states[epochs - 1]).assert_consumed()
        return other.fit(epochs, EPOCHS)

    def fit(self, first_epoch: int = 0, last_epoch: int = EPOCHS) -> Training:
        first, last = (epoch * STEPS_PER_EPOCH for epoch in (first_epoch, last_epoch))
        dataset = tf.data.Dataset.from_generator(
            lambda: batches(first, last, self.backbone.inputs),
            output_signature=(
                self.task.modality.signature(8, 12),
                {
                    LABELS: tf.TensorSpec((8,), tf.int32),
                    DistilledLoss.TEACHER: tf.TensorSpec((8, CLASSES), tf.float32),
                },
            ),
        )
        self.trainee.fit(
            dataset,
            initial_epoch=first_epoch,
            epochs=last_epoch,
            steps_per_epoch=STEPS_PER_EPOCH,
            callbacks=self.callbacks,
            verbose=0,
        )
        return self

    def finalize(self) -> tf_keras.Model:
        return self.method.finalize(self.model)

    def values(self, model: tf_keras.Model) -> dict[str, np.ndarray]:
        return {name: weight.numpy() for name, weight in self.method.pruned_weights(model).items()}


@pytest.fixture(scope="module")
@slow_to_make
def trained(tmp_path_factory):
    """trained(name): a whole training with its states, for the tests that only look at it."""

    @functools.cache
    def once(name: str) -> Training:
        return Training(name).save_into(tmp_path_factory.mktemp("states")).fit()

    return once


def require_same(one: tf_keras.Model, other: tf_keras.Model) -> None:
    """Require that two models have the same weights, bit for bit."""
    assert len(one.weights) == len(other.weights)
    for left, right in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(left.numpy(), right.numpy(), err_msg=left.name)


def shrinks(method: PruningMethod) -> bool:
    return getattr(method, "shrinks", False)


def logits(model: tf_keras.Model) -> np.ndarray:
    features, _ = next(batches(100, 101, model.input_names))
    return model(features, training=False).numpy()


@every_method
def test_it_reaches_the_sparsity_asked_for(name, trained):
    training = trained(name)
    sparsities = training.method.sparsities(training.model)
    assert bool(sparsities) == (name != names.NO_PRUNING)
    assert sparsities == {weight: FINAL for weight in sparsities}
    if shrinks(training.method):
        values = training.values(training.model)
    else:
        values = training.values(training.finalize())
    assert set(sparsities) <= set(values)
    for weight, value in values.items():
        assert np.count_nonzero(value == 0) == FINAL * value.size, weight


@every_method
def test_it_prunes_from_begin_step_to_end_step_and_what_is_zero_then_stays_zero(name):
    config = dataclasses.replace(
        CONFIG, begin_step=STEPS_PER_EPOCH, end_step=2 * STEPS_PER_EPOCH, pruning_frequency=5
    )
    options = "rounds=2" if name == "lottery_ticket" else ""
    training = Training(name, dataclasses.replace(config, pruning_options=options))
    training.fit(0, 1)
    if name not in OWN_SCHEDULE:
        for weight, sparsity in training.method.sparsities(training.model).items():
            assert sparsity == INITIAL, weight
    training.fit(1, 2)
    for weight, sparsity in training.method.sparsities(training.model).items():
        assert sparsity == FINAL, weight
    earlier = training.values(training.model)
    training.fit(2, EPOCHS)
    for weight, before in earlier.items():
        # The schedule is over: the mask stands, and what it leaves is trained on.
        now = training.values(training.model)[weight]
        np.testing.assert_array_equal(now == 0, before == 0)
        assert not np.array_equal(now, before)


@every_method
def test_a_resumed_training_ends_with_the_same_masks_and_weights(name, trained):
    whole = trained(name)
    require_same(whole.finalize(), whole.resumed(name, 1).finalize())


@pytest.mark.parametrize("name", ["attention_head,magnitude", "movement,pattern", "admm,neuron"])
def test_a_resumed_training_with_several_methods_ends_with_the_same(name, trained):
    whole = trained(name)
    # In the middle of what the second one does.
    require_same(whole.finalize(), whole.resumed(name, 2).finalize())


@pytest.mark.parametrize("name", [n for n in ALL if n not in ("lottery_ticket", "admm", "none")])
def test_at_once_it_prunes_at_once(name):
    config = dataclasses.replace(
        CONFIG,
        pruning_schedule="one_shot",
        finetune_epochs=1,
        begin_step=-1,
        end_step=-1,
        pruning_frequency=0,
        initial_sparsity=-1.0,
    )
    training = Training(name, config)
    assert (training.context.begin_step, training.context.end_step) == (0, 0)
    training.fit(0, 1)
    record = training.method.record()
    assert record == ({"ranked_by_examples": {name: 16}} if training.method.waits else {})
    sparsities = training.method.sparsities(training.model)
    assert sparsities == {weight: FINAL for weight in sparsities}
    assert sparsities


# --- parts of the network with a sparsity of their own ---


@pytest.mark.parametrize("name", [name for name in registry.names() if name != "none"])
def test_parts_have_their_own_sparsity_or_are_refused(name):
    share = 0.4 if name == "kernel_pattern" else 0.25  # Six of nine leave no less than a third out.
    regions = f"others={share}"
    config = config_of(name, pruning_options=OPTIONS.get(name, ""))
    method = registry.get(name)
    if "region_sparsities" in method.unused or not method.takes_regions:
        with refuses(UserError, f"--region_sparsities={regions}", f"--pruning_method={name}"):
            registry.build(dataclasses.replace(config, region_sparsities=regions))
        return
    training = Training(name, dataclasses.replace(CONFIG, region_sparsities=regions))
    training.method.update(FINAL)
    found = training.method.sparsities(training.model)
    assert found
    assert found == {weight: pytest.approx(share, abs=0.01) for weight in found}


def test_parts_of_a_structure_that_has_none_are_refused():
    config = dataclasses.replace(
        config_of("admm", pruning_options="structure=pattern"), region_sparsities="others=0.25"
    )
    with refuses(UserError, "--region_sparsities=others=0.25", "--pruning_method=admm"):
        registry.build(config)


# --- softly: after each epoch, and between the weights grow back ---


def is_soft(name: str) -> bool:
    options = OPTIONS.get(name, "")
    return registry.build(config_of(name, pruning_options=options)).can_be_soft


def config_of(name: str, **changes: object) -> ExperimentConfig:
    """The settings of a method that has none of those that do not come into it."""
    unused = {one: getattr(ExperimentConfig(), one) for one in registry.get(name).unused}
    return dataclasses.replace(CONFIG, pruning_method=name, **{**changes, **unused})


# Methods with sizes are refused as well, with a reason of their own (test_shared).
OF_ONE_NETWORK = [name for name in ALL if name != "none" and not registry.get(name).has_sizes]
NO_STEPS = {
    "begin_step": -1,
    "end_step": -1,
    "pruning_frequency": 0,
    "initial_sparsity": -1.0,
    "epochs": EPOCHS,
}


@pytest.mark.parametrize("name", [name for name in OF_ONE_NETWORK if is_soft(name)])
def test_softly_each_epoch_ends_with_the_final_sparsity_and_weights_grow_back(name, tmp_path):
    training = Training(name, dataclasses.replace(CONFIG, pruning_schedule="soft", **NO_STEPS))
    context = training.context
    assert (context.begin_step, context.end_step) == (STEPS_PER_EPOCH, EPOCHS * STEPS_PER_EPOCH)
    assert training.method.last_step(context) == STEPS_PER_EPOCH
    between: list[float] = []

    def look(batch: int, logs: object) -> None:
        if batch == 1:  # After the first step of an epoch, and before anything is due.
            between.append(max(training.method.sparsities(training.model).values()))

    training.callbacks.append(tf_keras.callbacks.LambdaCallback(on_train_batch_begin=look))
    training.save_into(tmp_path).fit()
    assert len(training.sparsities) == EPOCHS
    for found in training.sparsities:
        assert found == {weight: FINAL for weight in found}
    assert between
    assert max(between) < FINAL / 2  # Nearly all weights have moved.
    require_same(training.finalize(), finalized(training, name))


def finalized(training: Training, name: str) -> tf_keras.Model:
    """The model of a training that has gone on after the first epoch's state."""
    other = Training(name, dataclasses.replace(CONFIG, pruning_schedule="soft", **NO_STEPS))
    other.checkpoint.read(training.states[0]).assert_consumed()
    return other.fit(1, EPOCHS).finalize()


@pytest.mark.parametrize("name", [name for name in OF_ONE_NETWORK if not is_soft(name)])
def test_softly_is_refused_where_the_weights_are_not_the_score(name):
    config = config_of(name, pruning_options=OPTIONS.get(name, ""), **NO_STEPS)
    good = "magnitude, pattern, row"
    with refuses(UserError, "--pruning_schedule=soft", f"--pruning_method={name}", good):
        registry.build(dataclasses.replace(config, pruning_schedule="soft"))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("begin_step", 3), ("end_step", 3), ("pruning_frequency", 3), ("initial_sparsity", 0.25)],
)
def test_softly_no_steps_are_given_and_no_sparsity_to_begin_with(setting, value):
    with refuses(UserError, f"--{setting}={value}", "--pruning_schedule=soft"):
        ExperimentConfig(pruning_schedule="soft", **{setting: value})


def test_softly_the_first_sparsity_is_the_final_one():
    config = ExperimentConfig(
        pruning_method="magnitude", pruning_schedule="soft", final_sparsity=0.75
    )
    assert config.first_sparsity == 0.75
    given = dataclasses.replace(config, initial_sparsity=0.75)
    assert given.run_name == config.run_name


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_every_unit_goes_with_every_score(combination, trained):
    whole = trained(combination)
    sparsities = whole.method.sparsities(whole.model)
    assert sparsities == {weight: FINAL for weight in sparsities}
    assert sparsities
    np.testing.assert_allclose(logits(whole.finalize()), logits(whole.model), atol=1e-5)


@pytest.mark.parametrize("score", sorted({name.partition("=")[2] for name in COMBINATIONS}))
def test_a_resumed_training_with_another_score_ends_with_the_same(score, trained):
    """One unit of each score: the state is the score's, and a unit has none of its own."""
    name = next(name for name in COMBINATIONS if name.endswith(f"={score}"))
    whole = trained(name)
    require_same(whole.finalize(), whole.resumed(name, 1).finalize())


def test_scores_choose_different_units(trained):
    """So that no combination is another one under its name."""
    masks = {}
    for score in SCORES:
        method = trained(f"block score={score}").method
        masks[score] = np.concatenate([method.mask(group).ravel() for group in method.all_groups])
    for one, other in itertools.combinations(SCORES, 2):
        assert 0.05 < (masks[one] != masks[other]).mean() < 0.95, (one, other)


@pytest.mark.parametrize(
    ("method", "options", "named"),
    [
        ("block", "score=size", "score=size: --pruning_method=block"),
        ("pattern", "score=movement", "score=movement: --pruning_method=pattern"),
        ("magnitude", "score=gradient", "'score'"),
        ("block", "initial=magnitude", "'initial'"),
        ("block", "score=movement initial=best", "initial=best"),
        ("block", "score=movement score_rate=fast", "score_rate=fast"),
    ],
)
def test_a_score_that_cannot_be_is_refused(method, options, named):
    config = ExperimentConfig(pruning_method=method, pruning_options=options)

    def begin() -> None:
        built = registry.build(config)
        built.context(PruningContext.from_config(config, 100, built.waits))

    with refuses(UserError, named):
        begin()


@pytest.mark.parametrize(("score", "ranking"), [("random", "lamp"), ("movement", "lamp")])
def test_a_scores_refusals_hold_for_every_unit(score, ranking):
    config = dataclasses.replace(CONFIG, ranking=ranking)
    with refuses(UserError, "--ranking=lamp", "--pruning_method=row"):
        Training(f"row score={score}", config)
    with refuses(UserError, "--begin_step=0", "--pruning_method=row"):
        Training("row score=movement", dataclasses.replace(CONFIG, begin_step=0))


@every_method
def test_what_is_left_gives_the_logits_of_the_masked_model(name, trained):
    training = trained(name)
    np.testing.assert_allclose(logits(training.finalize()), logits(training.model), atol=1e-5)


@every_method
def test_what_is_left_are_the_layers_of_an_unpruned_model(name, trained):
    training = trained(name)
    plain = training.plain()
    model = trained(name).finalize()
    assert [type(layer) for layer in model.layers] == [type(layer) for layer in plain.layers]
    if not shrinks(registry.get(name)()):
        assert [w.shape for w in model.weights] == [w.shape for w in plain.weights]


@every_method
def test_it_is_the_same_model_after_save_and_load(name, trained, tmp_path):
    training = trained(name)
    model = training.finalize()
    preprocessing = tmp_path / "preprocessing"
    preprocessing.mkdir()
    encoder = dataclasses.replace(training.backbone, preprocessing_path=str(preprocessing))
    saving.save(model, encoder, training.task, tmp_path / "model")
    expected = logits(model)
    loaded = saving.load_classifier(tmp_path / "model")
    np.testing.assert_allclose(logits(loaded), expected, atol=1e-6)
    if not shrinks(training.method):
        assert training.method.sparsities(loaded) == training.method.sparsities(model)
    features, _ = next(batches(100, 101, model.input_names))
    predict = saving.load_predict_fn(tmp_path / "model")
    np.testing.assert_allclose(predict(features), expected, atol=1e-6)


@every_method
def test_it_converts_to_tflite_with_the_same_logits(name, trained):
    training = trained(name)
    model = training.finalize()
    features, _ = next(batches(100, 101, model.input_names))
    forward = tf.function(
        lambda inputs: {"logits": model(inputs, training=False)},
        input_signature=[training.task.modality.signature(8, 12)],
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [forward.get_concrete_function()], model
    )
    interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        found = next(n for n in features if n in detail["name"])
        interpreter.set_tensor(detail["index"], features[found])
    interpreter.invoke()
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(output, logits(model), atol=1e-5)


@every_method
def test_it_is_named_and_documented(name):
    method = registry.get(name)
    assert method.name == name
    assert issubclass(method, PruningMethod)
    if name != names.NO_PRUNING:
        assert inspect.getfile(method).endswith(f"/{name}.py")
        assert "https://" in (method.__doc__ or ""), "the docstring names the paper"


@pytest.mark.parametrize("name", registry.names())
def test_it_says_what_tables_and_other_methods_have_to_know(name):
    method = registry.get(name)
    assert not method.sparsity_note.endswith(".")
    assert "\n" not in method.sparsity_note + method.prunes
    assert method.takes_sparsity or "--final_sparsity" in method.sparsity_note
    if method.is_structure():
        registry.check("admm", f"structure={name}")


def test_methods_are_listed_by_what_they_say_of_themselves():
    found = "attention_head block channel column filter kernel_pattern magnitude neuron pattern row"
    assert registry.structures() == found.split()
    without = [n for n in registry.names() if not registry.get(n).takes_sparsity]
    assert without == ["elastic", "shared", "vocabulary"]
    held = registry.names_for(tiny_bert.saved_model_backbone())
    every = set(registry.names()) - {names.NO_PRUNING}
    of_cnn, of_maps = {"filter", "channel"}, {"kernel_pattern"}
    of_bert = {"attention_head", "neuron", "layer", "vocabulary", "elastic"}
    assert every - set(held) == of_bert | of_cnn | of_maps
    bert = tiny_bert.backbone(None, tiny_bert.architecture())
    assert set(registry.names_for(bert)) == every - of_cnn - of_maps
    cnn = tiny_cnn.backbone(None, tiny_cnn.architecture())
    assert set(registry.names_for(cnn)) == every - of_bert - of_maps
    assert set(registry.names_for(_small())) == every - of_bert


def test_no_pruning_trains_exactly_the_model_that_it_is_given():
    training = Training(names.NO_PRUNING)
    optimizer = training.trainee.optimizer
    assert training.method.wrap_optimizer(optimizer) is optimizer
    assert training.finalize() is training.model
    assert training.method.sparsities(training.model) == {}


def test_a_method_from_outside_is_found_by_its_name(monkeypatch):
    monkeypatch.setattr(registry, "_added", {})

    @registry.register
    class Mine(PruningMethod):
        """A method of a notebook's cell."""

        name = "mine"

    assert {"none", "classifier_magnitude", "mine"} <= set(registry.names())
    assert registry.get("mine") is Mine
    assert ExperimentConfig(pruning_method="mine").pruning_method == "mine"
    with refuses(ValueError, "'classifier_magnitude'"):
        registry.register(type("Other", (PruningMethod,), {"name": "classifier_magnitude"}))
    with refuses(UserError, "--pruning_method=yours"):
        registry.get("yours")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('class A(PruningMethod):\n    name = "others"\n', "'others'"),
        ("class A(PruningMethod):\n    pass\n", "no name"),
        ('class A(PruningMethod):\n    name: str = "a"\n\nname = "odd"\n', "'a'"),
        ("class A(PruningMethod:\n", "odd.py:2"),
        ("import nowhere_at_all\n", "ModuleNotFoundError"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_a_files_method_has_the_files_name(monkeypatch, tmp_path, text, named):
    monkeypatch.setattr(pruning, "__path__", [*pruning.__path__, str(tmp_path)])
    start = "from bert_glue_tf.compression.method import PruningMethod\n"
    (tmp_path / "odd.py").write_text(start + text)
    assert "odd" in registry.names()
    try:
        with refuses(UserError, f"{tmp_path}/odd.py", named):
            registry.check("odd")
        # It does no harm to the others, nor to what is told of a name that nobody has.
        registry.check("magnitude")
        with refuses(UserError, "--pruning_method=even"):
            registry.check("even")
    finally:
        sys.modules.pop("bert_glue_tf.pruning.odd", None)


def test_a_file_whose_method_has_its_name_is_right(monkeypatch, tmp_path):
    for name in registry.names():
        registry.check(name)
    monkeypatch.setattr(pruning, "__path__", [*pruning.__path__, str(tmp_path)])
    (tmp_path / "even.py").write_text(
        "from bert_glue_tf.compression.method import PruningMethod\n"
        "class A(PruningMethod):\n    name = str('even')\n    aliases = ('smooth',)\n"
    )
    try:
        registry.check("even")
        assert registry.split("smooth,magnitude") == ("even", "magnitude")
    finally:
        sys.modules.pop("bert_glue_tf.pruning.even", None)


def test_what_a_method_says_of_itself_is_known_without_tensorflow():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\nfrom bert_glue_tf.compression import registry\n"
            "[registry.check(name) for name in registry.names()]\n"
            "print([m for m in ('tensorflow', 'tf_keras', 'scipy', 'pandas') if m in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_no_two_methods_share_a_name():
    called = [n for name in registry.names() for n in (name, *registry.get(name).aliases)]
    assert len(set(called)) == len(called)


@pytest.mark.parametrize(
    ("changes", "total", "expected"),
    [
        # 10 % of the steps are warm-up, 80 % is the end, an update every hundredth.
        ({}, 1000, (100, 800, 10)),
        ({}, 30, (3, 24, 1)),
        ({}, 1, (0, 1, 1)),
        ({"begin_step": 0, "end_step": 50}, 100, (0, 50, 1)),
        # tfmot updates at begin + k * frequency only: the end moves to the last of these.
        ({"begin_step": 0, "end_step": 50, "pruning_frequency": 15}, 100, (0, 45, 15)),
        ({"end_step": 5}, 100, (4, 5, 1)),
    ],
)
def test_schedule(changes, total, expected):
    config = ExperimentConfig(pruning_method="classifier_magnitude", **changes)
    context = PruningContext.from_config(config, total)
    assert (context.begin_step, context.end_step, context.frequency) == expected
    should_prune, sparsity = context.schedule()(tf.constant(context.end_step))
    assert bool(should_prune)
    assert float(sparsity) == pytest.approx(0.8)


@pytest.mark.parametrize("kind", ["gradual", "iterative"])
def test_the_quickest_step_is_that_of_the_schedule(kind):
    config = ExperimentConfig(
        pruning_method="magnitude",
        pruning_schedule=kind,
        initial_sparsity=0.0,
        final_sparsity=0.7,
        begin_step=0,
        end_step=100_000,
        pruning_frequency=1,
    )
    context = PruningContext.from_config(config, 100_001)
    leaping = dataclasses.replace(config, initial_sparsity=0.1)
    assert PruningContext.from_config(leaping, 100_001).quickest == 0.1
    schedule = context.schedule()
    _, first = schedule(tf.constant(0, tf.int64))
    _, second = schedule(tf.constant(100, tf.int64))
    assert context.quickest == pytest.approx(float(second - first) / 100, rel=0.01)


@pytest.mark.parametrize("kind", ["gradual", "iterative", "one_shot", "soft"])
def test_masks_are_due_when_tfmot_says_so(kind):
    begin = -1 if kind == "soft" else 3
    config = ExperimentConfig(
        pruning_method="magnitude", pruning_schedule=kind, begin_step=begin, epochs=5
    )
    context = PruningContext.from_config(config, 250)
    schedule = context.schedule()
    due = [step for step in range(251) if bool(schedule(tf.constant(step, tf.int64))[0])]
    assert due == [step for step in range(251) if context.is_due(step)]
    assert len(due) == {"gradual": 99, "iterative": 6, "one_shot": 1, "soft": 5}[kind]


def test_a_final_sparsity_reached_earlier_than_asked_for_is_told(caplog):
    config = ExperimentConfig(
        pruning_method="classifier_magnitude", begin_step=0, end_step=100, pruning_frequency=60
    )
    caplog.set_level("INFO", logger="absl")
    assert PruningContext.from_config(config, 200).end_step == 60
    assert "the final sparsity is reached at step 60, not 100: masks are updated every" in (
        caplog.text
    )
    caplog.clear()
    PruningContext.from_config(dataclasses.replace(config, pruning_frequency=50), 200)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"end_step": 101}, "--end_step=101"),
        ({"end_step": 200}, "--end_step=200"),
        ({"begin_step": 100}, "--begin_step=100"),
        (
            {"warmup_fraction": 1.0},
            "--warmup_fraction=1.0",
        ),
        ({"begin_step": 99}, None),
        ({"begin_step": 0, "end_step": 100}, None),
        ({"warmup_fraction": 1.0, "begin_step": 0}, None),
        ({"begin_step": 90}, None),
        (
            {"begin_step": 0, "end_step": 10, "pruning_frequency": 11},
            "--pruning_frequency=11",
        ),
    ],
)
def test_a_schedule_that_does_not_fit_the_training(changes, named):
    config = ExperimentConfig(pruning_method="classifier_magnitude", **changes)
    if named is None:
        assert PruningContext.from_config(config, 100).end_step <= 100
        return
    with refuses(UserError, named):
        PruningContext.from_config(config, 100)


@every_method
def test_after_its_last_step_the_sparsity_is_the_final_one(name, trained):
    training = trained(name)
    last = training.method.last_step(training.context)
    assert 0 < last <= STEPS_PER_EPOCH * EPOCHS
    first = math.ceil(last / STEPS_PER_EPOCH)
    assert first <= EPOCHS
    for found in training.sparsities[first - 1 :]:
        assert found == training.sparsities[-1]
    # Whole rows and blocks of so small matrices may reach it earlier, single weights do not.
    if name in {"magnitude", "lottery_ticket"}:
        earlier = training.sparsities[: first - 1]
        assert earlier
        assert all(found != training.sparsities[-1] for found in earlier)


def test_what_is_cut_before_the_training_has_its_final_sparsity_from_the_first_step_on():
    context = PruningContext.from_config(CONFIG, 30, "")
    for name, last in (("layer", 0), ("vocabulary", 0), ("layer,neuron", context.end_step)):
        config = ExperimentConfig(task=TASK.name, pruning_method=name)
        method = registry.build(config)
        assert method.last_step(context) == last
