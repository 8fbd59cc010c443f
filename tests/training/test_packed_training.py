"""Packed training is padded training with less padding, and a TPU could compile it."""

from __future__ import annotations

import csv
import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import tiny_bert
import tiny_classifier
from messages import refuses
from of_convolutions import OF_CONVOLUTIONS

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.masked import MaskedPruning
from bert_glue_tf.compression.method import PruningMethod
from bert_glue_tf.compression.schedule import PruningContext
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import batching, layouts, packing, preprocessing, tasks
from bert_glue_tf.data.layouts import Packed, Padded, bucket_lengths
from bert_glue_tf.data.problems import MultiLabel, Tagging
from bert_glue_tf.data.words import Words
from bert_glue_tf.models import classifiers, heads, saving
from bert_glue_tf.models.tokens import Tokens
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training import devices, laying_out
from bert_glue_tf.training.objective import LABELS, Trainee
from bert_glue_tf.training.objective import build as objective_of
from bert_glue_tf.training.optimizer import build_optimizer
from bert_glue_tf.training.usage import COLUMN, Usage

SHAPES = dataclasses.replace(
    tiny_bert.architecture(layers=1, heads=4), output_dropout=0.0, attention_dropout=0.0
)
STEPS, BATCH = 4, 8
LAYOUTS = {"padded": Padded(lengths=bucket_lengths(32)), "packed": Packed(width=32)}
# A task of each kind of problem, of one text and of pairs.
TASKS = {name: tasks.get(name) for name in ("cola", "mrpc", "mnli", "stsb")}
TASKS["multi_label"] = dataclasses.replace(
    TASKS["cola"], problem=MultiLabel(("red", "round", "ripe"))
)
TASKS["tagging"] = dataclasses.replace(TASKS["cola"], problem=Tagging(("O", "B-x", "I-x")))


def labels_of(problem, numbers):
    """Labels by numbers, the classes unlike in size; of several labels each is a bit of them."""
    if isinstance(problem, MultiLabel):
        return problem.as_labels(numbers[:, None] >> np.arange(problem.width) & 1)
    if problem.tags_words:
        return problem.as_labels((numbers[:, None] + np.arange(28)) % problem.width)
    return problem.as_labels(np.minimum(numbers % 5, max(problem.width, 2) - 1))


def split(task):
    """Random texts of 3 to 30 pieces; those of pairs have a second segment."""
    random = np.random.default_rng(3)
    count = STEPS * BATCH - 3  # The last batch is not full.
    lengths = random.integers(3, 31, count)
    ids = random.integers(5, SHAPES.vocab_size, lengths.sum()).astype(np.int32)
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    types = np.zeros(len(ids), np.int8)
    if len(task.text_fields) == 2:
        for start, length in zip(splits, lengths, strict=False):
            types[start + length // 2 : start + length] = 1
    words = None
    if task.problem.tags_words:  # Each piece but the first and the last of a text is a word.
        numbers = np.concatenate([[-1, *range(length - 2), -1] for length in lengths])
        words = Words(numbers.astype(np.int32), (lengths - 2).astype(np.int32))
    tokens = preprocessing.TokenizedTexts(ids, types, splits, words=words)
    labels = labels_of(task.problem, ids[splits[:-1]])
    return batching.Split("train", tokens, labels, ([f"sentence {i}" for i in range(count)],))


def built(task, layout, config, method, policy="float32", *, shapes=SHAPES, is_filled_up=False):
    """The classifier, ready for a method, and what trains it."""
    strategy = tf.distribute.get_strategy()
    with devices.building(strategy, policy), classifiers.restorable_dropout():
        model, _ = tiny_classifier.classifier(shapes, task)
        method.reshape(tiny_classifier.start(tiny_bert.backbone(model.layers[3], shapes), task))
        model = method.prepare(model, PruningContext.from_config(config, STEPS, method.waits))
        model.get_layer(heads.DROPOUT).rate = shapes.output_dropout
        trainee = Trainee(heads.over(model, layout.inputs), objective_of(config, task))
        trainee.compile(
            optimizer=method.wrap_optimizer(build_optimizer(config, STEPS)),
            weighted_metrics=task.problem.keras_metrics(is_filled_up),
            is_filled_up=is_filled_up,
        )
    return model, trainee


@dataclasses.dataclass
class Trained:
    """A short training: the first batch's gradients, and what came of it."""

    gradients: list[np.ndarray]
    model: tf_keras.Model
    method: PruningMethod
    history: dict[str, list[float]]

    @property
    def flat(self):
        """All gradients in one array."""
        return np.concatenate([one.ravel() for one in self.gradients])

    @property
    def weights(self):
        """All trained weights in one array."""
        return np.concatenate([one.numpy().ravel() for one in self.model.trainable_variables])


@functools.cache
def trained(name, layout_name, policy="float32", **settings):
    """A training of a few steps, one for each of its settings."""
    task, layout = TASKS[name], LAYOUTS[layout_name]
    config = ExperimentConfig(task=task.name, learning_rate=1e-3, **settings)
    method = registry.build(config)
    model, trainee = built(task, layout, config, method, policy)
    data = split(task)
    plan = batching.Batching(BATCH, seed=1)
    first = plan.epoch(data, 0)[0]
    features = tf.nest.map_structure(tf.constant, layout.features(data.tokens, first))
    targets = trainee.objective.targets(data)
    with tf.GradientTape() as tape:
        learned = {label: tf.constant(values[first]) for label, values in targets.items()}
        loss = trainee.compute_loss(features, learned, trainee(features, training=True))
    gradients = tape.gradient(loss, trainee.trainable_variables)
    dataset = batching.training_dataset(data, plan, layout, epochs=range(1), targets=targets)
    done = trainee.fit(dataset, steps_per_epoch=STEPS, verbose=0, callbacks=method.callbacks())
    return Trained(
        [tf.convert_to_tensor(one).numpy() for one in gradients], model, method, done.history
    )


def require_same_weights(packed, padded):
    for mine, theirs in zip(packed.model.variables, padded.model.variables, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=3e-4, err_msg=mine.name)


@pytest.mark.parametrize("name", TASKS)
def test_gradients_and_trained_weights_are_those_of_padded_training(name):
    """For one text and pairs, two and three classes, numbers, and several labels.

    The two classes of pairs count alike (--class_weights=balanced), so that each text has a
    weight of its own in the loss.
    """
    settings = {"class_weights": "balanced"} if name == "mrpc" else {}
    padded, packed = (trained(name, layout, **settings) for layout in ("padded", "packed"))
    for mine, theirs in zip(packed.gradients, padded.gradients, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-5, rtol=1e-4)
    assert max(np.abs(one).max() for one in padded.gradients) > 0.1  # Something to compare.
    require_same_weights(packed, padded)
    for label, values in padded.history.items():
        np.testing.assert_allclose(packed.history[label], values, rtol=1e-4, err_msg=label)
    scored = [
        classifiers.predict_fn(packed.model, layout)(
            layout.features(split(TASKS[name]).tokens, np.arange(20))
        )
        for layout in LAYOUTS.values()
    ]
    np.testing.assert_allclose(*scored, atol=1e-5)
    assert np.ptp(scored[0]) > 0.1


def test_states_of_packed_texts_are_those_of_padded_ones():
    """Of the last layer of packed texts only the pooled tokens are computed."""
    model, _ = tiny_classifier.classifier(dataclasses.replace(SHAPES, layers=2), "mrpc")
    pieces = split(tasks.get("mrpc")).tokens
    lengths = pieces.lengths[:20].astype(np.int32)
    found = []
    for layout in LAYOUTS.values():
        features = tf.nest.map_structure(tf.constant, layout.features(pieces, np.arange(20)))
        select = {"states": lambda outputs: outputs["encoder_outputs"]}
        answers = heads.with_inside(model, layout.inputs, select)(features)
        tokens = Tokens.of(features, lengths, int(lengths.sum()))
        first, last = answers["states"]
        found.append((answers["logits"], tokens.of_rows(first), last[:, 0]))
    for padded, packed in zip(*found, strict=True):
        np.testing.assert_allclose(packed, padded, atol=1e-5)
    assert np.ptp(found[0][1]) > 0.1


def test_the_classes_of_the_balanced_training_are_unlike_in_size():
    """Else the test above would show nothing of the weights of classes."""
    task = TASKS["mrpc"]
    weights = task.problem.balance(split(task).labels)
    assert weights.max() > 2 * weights.min()


@pytest.mark.parametrize("method", ["magnitude", "gradient", "movement"])
def test_masks_are_those_of_padded_training(method):
    """Masks chosen by weights, by gradients and by their sums, and the weights that they leave."""
    settings = {
        "pruning_method": method,
        "final_sparsity": 0.5,
        "begin_step": 1,
        "end_step": 3,
        "pruning_frequency": 1,
    }
    padded, packed = (trained("mnli", layout, **settings) for layout in ("padded", "packed"))
    for mine, theirs in zip(packed.method.all_groups, padded.method.all_groups, strict=True):
        mask = padded.method.mask(theirs)
        assert mask.mean() == pytest.approx(0.5, abs=0.01)
        np.testing.assert_array_equal(packed.method.mask(mine), mask, err_msg=mine.name)
    require_same_weights(packed, padded)


def test_in_bfloat16_packed_training_is_as_near_to_float32_as_padded_training():
    """It has 8 significant bits, and rows of another width are rounded at other places.

    So the two do not agree to float32's precision, and each is held against float32 instead: by
    the length of its difference over all gradients, and over what the training has changed.
    """
    exact = trained("mnli", "padded")
    padded, packed = (trained("mnli", layout, "mixed_bfloat16") for layout in LAYOUTS)
    begin = np.concatenate(
        [
            one.numpy().ravel()
            for one in tiny_classifier.classifier(SHAPES, "mnli")[0].trainable_variables
        ]
    )

    def away(values, right):
        return np.linalg.norm(values - right) / np.linalg.norm(right)

    off = [away(one.flat, exact.flat) for one in (padded, packed)]
    assert 0 < off[1] < 1.5 * off[0] < 0.05
    moved = [away(one.weights - begin, exact.weights - begin) for one in (padded, packed)]
    assert 0 < moved[1] < 1.5 * moved[0] < 0.5


# What a TPU would get.

STATIC = Packed(width=32, rows=6, size=BATCH)
DROPPING = dataclasses.replace(SHAPES, output_dropout=0.1, attention_dropout=0.1)
# Together, since to compile a step takes seconds: every method that takes part in one.
CUT_BEFORE = ("layer", "vocabulary")
# They refuse a TPU.
ONE_DEVICE = tuple(name for name in registry.names() if registry.get(name).has_sizes)
COMPILED = [
    name for name in registry.names() if name not in (*CUT_BEFORE, *OF_CONVOLUTIONS, *ONE_DEVICE)
]
TOGETHER = [name for name in COMPILED if name != "none" and not registry.get(name).alone]
METHODS = ["none", ",".join(TOGETHER), *(n for n in COMPILED if registry.get(n).alone)]


def test_every_pruning_method_is_in_a_compiled_step():
    found = {one for name in METHODS for one in registry.split(name)}
    left_out = {*CUT_BEFORE, *OF_CONVOLUTIONS, *ONE_DEVICE}
    assert sorted(found | left_out) == sorted(registry.names())


def masks_of(methods):
    """Method, mask of a weight's shape, and the weight, of all that is masked."""
    for one in methods:
        for group in one.all_groups:
            for member in group.members:
                yield one, one.expanded(group, member).numpy(), member.variable


@pytest.mark.parametrize(
    ("name", "policy"),
    [*((name, "float32") for name in METHODS), (METHODS[1], "mixed_bfloat16")],
    ids=["no method", "together", *METHODS[2:], "together in bfloat16"],
)
def test_a_packed_step_is_compiled_as_a_whole(name, policy):
    """XLA, which compiles for a TPU, refuses shapes and operations that it does not know.

    A training step and an evaluation, with the masks of every method in it; in bfloat16, which a
    TPU computes in, all of them together.
    """
    task = tasks.get("mrpc")
    options = "block.block=4x4" if "block" in name else ""
    config = ExperimentConfig(
        task="mrpc", pruning_method=name, pruning_options=options, final_sparsity=0.5
    )
    method = registry.build(config).on_replicas()
    model, trainee = built(task, STATIC, config, method, policy, shapes=DROPPING, is_filled_up=True)
    methods = [one for one in getattr(method, "methods", [method]) if name != "none"]
    assert all(isinstance(one, MaskedPruning) for one in methods)
    for one in methods:
        masks = [np.arange(np.prod(group.units)) % 8 > 0 for group in one.all_groups]
        one.set_masks(
            [mask.reshape(g.units) for mask, g in zip(masks, one.all_groups, strict=True)]
        )
    data = split(task)
    before = [variable.numpy() for variable in model.trainable_variables]

    @tf.function(jit_compile=True, input_signature=[STATIC.signature()])
    def step(features):
        targets = {LABELS: tf.constant(data.labels[:BATCH])}
        return trainee.train_step((features, targets, tf.ones(BATCH)))["loss"]

    @tf.function(jit_compile=True, input_signature=[STATIC.signature()])
    def score(features):
        return trainee(features, training=False)

    features = STATIC.features(data.tokens, np.arange(BATCH))
    assert STATIC.is_static
    logits = classifiers.predict_fn(model, LAYOUTS["padded"])(
        LAYOUTS["padded"].features(data.tokens, np.arange(BATCH))
    )
    # Numbers of bfloat16 from 2 to 4 are 1/64 apart, and each operation rounds to them.
    atol = 1e-4 if policy == "float32" else 0.1
    np.testing.assert_allclose(score(features), logits, atol=atol)
    assert np.isfinite(step(features))
    assert any(
        not np.array_equal(mine, theirs)
        for mine, theirs in zip(model.trainable_variables, before, strict=True)
    )
    for one, mask, weight in masks_of(methods):
        assert not weight.numpy()[~mask].any(), (one.name, weight.name)
        assert weight.numpy()[mask].any(), (one.name, weight.name)
    graph = step.get_concrete_function().graph
    computed = {one.dtype for operation in graph.get_operations() for one in operation.outputs}
    assert (tf.bfloat16 in computed) == (policy == "mixed_bfloat16")
    for one in methods:  # What learns its scores has learned from the step.
        learned = [v for label, v in one._variables.items() if label.startswith("score/")]
        assert all(variable.numpy().any() for variable in learned), one.name
        assert bool(learned) == bool(one.waits), one.name
    takes_movement = any(
        operation.type == "ResourceApplyRMSProp" for operation in graph.get_operations()
    )
    assert takes_movement == ("movement" in name)


# Settings, and what a person sees.


def rows_of(run):
    with run.folder.history_file.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_is_packed_and_says_how_much_of_it_is_padding(exported):
    run, _ = exported
    shares = [float(row["positions_used"]) for row in rows_of(run)]
    assert all(0.75 < share <= 1 for share in shares)
    found = run.result.speed["positions_used"]
    assert found == pytest.approx(len(shares) / sum(1 / share for share in shares))
    curves = [
        value.tag
        for file in (run.folder.tensorboard / "train").glob("events*")
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
        for value in tf.compat.v1.Event.FromString(record).summary.value
    ]
    assert "epoch_positions_used" in curves


def test_a_saved_run_answers_packed_texts_as_padded_ones(exported):
    saved = saving.SavedClassifier.load(exported[0].folder.model)
    assert saved.layout((32,)) == Packed()
    data = split(tasks.get("sst2"))
    found = [
        saved.predict_fn(layout)(layout.features(data.tokens, np.arange(9)))
        for layout in LAYOUTS.values()
    ]
    np.testing.assert_allclose(*found, atol=1e-5)


@dataclasses.dataclass
class Devices:
    """The replicas of a strategy."""

    num_replicas_in_sync: int


@dataclasses.dataclass
class Planned:
    """A job and its plan, as far as the choice of layouts asks for them."""

    config: ExperimentConfig
    is_static: bool = False
    replicas: int = 1
    epochs: int = 2
    batching = batching.Batching(BATCH, seed=1)

    @property
    def strategy(self):
        return Devices(self.replicas)


class Counted:
    """Layouts whose epochs have the shares 1/2, 1/3, 1/4, ...; it notes which were counted."""

    def __init__(self):
        self.epochs = []

    def share_used(self, plan, data, replicas, epoch):
        self.epochs.append(epoch)
        return 1 / (epoch + 2)


def test_the_positions_of_each_epoch_are_counted_once():
    layouts_, job = Counted(), Planned(ExperimentConfig(), epochs=3)
    usage = Usage(job, job, layouts_, None, [])
    assert usage.share(0) == 0.5  # For the log.
    for epoch in range(3):
        logs = {"loss": 1.0}
        usage.on_epoch_end(epoch, logs)
        assert logs == {"loss": 1.0, COLUMN: 1 / (epoch + 2)}
    assert usage.mean() == pytest.approx(1 / 3)  # Each epoch has the same texts.
    assert layouts_.epochs == [0, 1, 2]


@pytest.mark.parametrize(
    ("rows", "counted"),
    [
        ([{COLUMN: "0.5"}, {COLUMN: "0.3333333333333333"}], [2]),
        ([{COLUMN: "0.5"}, {COLUMN: ""}], [1, 2]),  # Edited by hand.
        ([{"loss": "1.0"}, {COLUMN: "0"}], [0, 1, 2]),
        ([{COLUMN: str(1 / (epoch + 2))} for epoch in range(3)], []),  # The last state is saved.
    ],
)
def test_a_training_that_goes_on_takes_the_earlier_epochs_from_its_history(rows, counted):
    layouts_, job = Counted(), Planned(ExperimentConfig(), epochs=3)
    usage = Usage(job, job, layouts_, None, rows)
    usage.share(0)
    for epoch in range(len(rows), 3):
        usage.on_epoch_end(epoch, {})
    assert usage.mean() == pytest.approx(1 / 3)
    assert sorted(layouts_.epochs) == counted


def encoder(family):
    model, _ = tiny_classifier.classifier(SHAPES, "cola")
    if family == "bert":
        return tiny_bert.backbone(model.layers[3], SHAPES)
    return tiny_bert.saved_model_backbone(model.layers[3])


def chosen(backbone, caplog, is_static=False, replicas=1, **settings):
    config = ExperimentConfig(task="cola", seq_length=32, batch_size=BATCH, **settings)
    job, data = Planned(config, is_static, replicas), split(tasks.get("cola"))
    caplog.set_level("INFO", logger="absl")
    laying_out.require(config, backbone)
    found = laying_out.choose(job, job, backbone, data, {"": data})
    share = Usage(job, job, found, data, []).share(0)
    laying_out.tell(job, job, backbone, data, found.training, share)
    return found, data


def test_what_can_keep_texts_apart_packs_them(caplog):
    found, data = chosen(encoder("bert"), caplog)
    assert found.training == Packed(width=packing.row_width(int(data.tokens.lengths.max())))
    assert found.scoring == Packed()
    (told,) = caplog.messages
    share = found.share_used(Planned(ExperimentConfig()), data, 1, 0)
    assert f"rows of {found.training.width} positions: {100 * share:.0f} %" in told
    assert "padded to the longest" in told
    wide, _ = chosen(encoder("bert"), caplog, packing_width=64)
    assert wide.training == Packed(width=64)
    padded, _ = chosen(encoder("bert"), caplog, packing="false")
    assert padded.training == padded.scoring == Padded(lengths=bucket_lengths(32))
    assert "texts are padded" in caplog.messages[-1]


@pytest.mark.parametrize("replicas", [1, 2])
def test_on_a_tpu_all_batches_of_the_run_have_one_shape(replicas, caplog):
    found, data = chosen(encoder("bert"), caplog, is_static=True, replicas=replicas)
    assert found.training.is_static
    assert found.scoring.is_static
    rows = set()
    for epoch in range(2):
        for batch in batching.Batching(BATCH, seed=1).epoch(data, epoch):
            filled, _ = layouts.fill_up(batch, data.tokens.lengths, replicas, BATCH)
            for part in np.split(filled, replicas):
                found.training.features(data.tokens, part)  # Refuses what does not fit.
                lengths = data.tokens.lengths[part]
                width = found.training.width
                rows.add(packing.first_fit_decreasing(lengths, width).count)
    assert max(rows) == found.training.rows  # And no more than that.
    for batch in found.scoring.batches(data.tokens.lengths, 64):
        features = found.scoring.features(data.tokens, batch)
        assert features[packing.FIRSTS].shape == (64, 2)
    padded, _ = chosen(encoder("bert"), caplog, is_static=True, replicas=replicas, packing="false")
    assert padded.training == Padded(size=BATCH // replicas, lengths=(32,))
    assert padded.scoring == Padded(parts=replicas, size=64, lengths=(32,))


def test_an_encoder_held_as_a_saved_model_pads_and_says_so(caplog):
    backbone = encoder("saved_model")
    found, _ = chosen(backbone, caplog)
    assert found.training == Padded(lengths=bucket_lengths(32))
    (told,) = caplog.messages
    assert "texts are padded" in told
    assert "not packed" in told
    assert "held as a SavedModel" in told
    with refuses(UserError, "--packing", "held as a SavedModel"):
        chosen(backbone, caplog, packing="true")
    with refuses(UserError, "--packing_width=64", "held as a SavedModel"):
        chosen(backbone, caplog, packing_width=64)


def test_a_row_that_cannot_be_is_refused_before_the_training(caplog):
    with refuses(UserError, "--packing_width=16", "'sentence 6' of the train", "--seq_length=16"):
        chosen(encoder("bert"), caplog, packing_width=16)
    few = dataclasses.replace(
        encoder("bert"), architecture=dataclasses.replace(SHAPES, positions=64)
    )
    with refuses(UserError, "--packing_width=72", "64 positions"):
        chosen(few, caplog, packing_width=72)
