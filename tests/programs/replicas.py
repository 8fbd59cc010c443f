"""Every pruning method on replicas; writes what came out as FOLDER/KIND.npz.

A process of its own, since logical devices have to be set before TensorFlow is first used, and
workers joined:

    python tests/programs/replicas.py devices FOLDER METHOD ...        one device, and two replicas
    python tests/programs/replicas.py multi_worker FOLDER METHOD ...   a worker (TF_CONFIG)

METHOD@saved_model prunes an encoder that is a SavedModel, METHOD#one_shot all at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
import sys
import tempfile

import numpy as np

import bert_glue_tf  # noqa: F401  (chooses Keras 2 before TensorFlow is imported)

import tensorflow as tf  # isort: skip

kind, folder, *methods = sys.argv[1:]
if kind == "devices":
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )

import tf_keras  # noqa: E402
import tiny_bert  # noqa: E402
import tiny_classifier  # noqa: E402

from bert_glue_tf.compression import registry  # noqa: E402
from bert_glue_tf.compression.schedule import PruningContext  # noqa: E402
from bert_glue_tf.data import batching, layouts, packing, preprocessing, tasks  # noqa: E402
from bert_glue_tf.models import classifiers, heads  # noqa: E402
from bert_glue_tf.models.bert import importing  # noqa: E402
from bert_glue_tf.models.bert.network import build_encoder  # noqa: E402
from bert_glue_tf.models.saved_encoders import load_layer  # noqa: E402
from bert_glue_tf.runs.config import ExperimentConfig  # noqa: E402
from bert_glue_tf.training import cluster, devices  # noqa: E402
from bert_glue_tf.training.gradients import TrainingGradients  # noqa: E402
from bert_glue_tf.training.objective import TaskLoss, Trainee  # noqa: E402
from bert_glue_tf.training.optimizer import build_optimizer  # noqa: E402

# The last batch is not full, and its rest is odd: one replica has an example less.
STEPS, BATCH, REST, LENGTH = 12, 8, 5, 12
BATCHES = batching.Batching(BATCH, seed=1)
# Several texts a row, and of the parts of a batch one needs more rows than the other.
PACKED = layouts.Packed(width=16)
OBJECTIVE = TaskLoss(tasks.get("mnli").problem)


def split() -> batching.Split:
    """Return texts of 3 to 12 pieces."""
    random = np.random.default_rng(0)
    lengths = random.integers(3, LENGTH + 1, (STEPS - 1) * BATCH + REST)
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = random.integers(5, 90, splits[-1]).astype(np.int32)
    tokens = preprocessing.TokenizedTexts(ids, np.zeros(len(ids), np.int8), splits)
    return batching.Split("train", tokens, np.add.reduceat(ids, splits[:-1]) % 3)


def layout_of(name: str) -> layouts.Layout:
    """Return the layout of a method's run: packed, where the encoder can keep texts apart."""
    if name.endswith("@saved_model"):
        return layouts.Padded(lengths=(LENGTH,))
    return PACKED


def dataset(strategy: tf.distribute.Strategy, name: str) -> object:
    layout = layout_of(name)
    targets = OBJECTIVE.targets(split())
    if strategy.num_replicas_in_sync == 1:
        return batching.training_dataset(split(), BATCHES, layout, epochs=range(1), targets=targets)
    return strategy.distribute_datasets_from_function(
        lambda context: batching.replicas_dataset(
            split(), BATCHES, layout, context, epochs=range(1), targets=targets
        )
    )


def rows_of_parts() -> np.ndarray:
    """Return int [steps, 2]: the rows that each of two replicas is given in a step."""
    context = tf.distribute.InputContext(1, 0, 2)
    parts = batching.replicas_dataset(split(), BATCHES, PACKED, context, epochs=range(1))
    rows = [len(features[packing.WORD_IDS]) for features, *_ in parts.take(2 * STEPS)]
    return np.reshape(rows, (STEPS, 2))


def train(name: str, strategy: tf.distribute.Strategy) -> dict[str, np.ndarray]:
    """Weights and masks after a short training; fails where two replicas differ."""
    tf_keras.utils.set_random_seed(1)
    whole_name = name
    name, _, schedule = name.partition("#")
    name, _, is_saved_model = name.partition("@")
    steps = {"begin_step": 2} if schedule else {"begin_step": 2, "end_step": 8}
    config = ExperimentConfig(
        task="mnli",
        pruning_method=name,
        final_sparsity=0.5,
        # Its prunings are at the ends of its rounds, and it takes no steps of others.
        **({} if name == "lottery_ticket" else steps),
        pruning_schedule=schedule or "gradual",
        learning_rate=1e-3,
        dropout=0.0,
        # Embeddings too, whose gradients are rows of a table.
        pruning_scope="all" if name in ("magnitude", "movement", "gradient") else "encoder",
    )
    method = registry.build(config).on_replicas()
    context = PruningContext.from_config(config, STEPS, method.waits)
    shapes = dataclasses.replace(
        tiny_bert.architecture(layers=1, heads=4), output_dropout=0.0, attention_dropout=0.0
    )
    build = functools.partial(build_encoder, shapes, tiny_bert.weights(shapes).__getitem__)
    with contextlib.ExitStack() as stack:
        if is_saved_model:
            saved = f"{stack.enter_context(tempfile.TemporaryDirectory())}/encoder"
            importing.write_encoder(build(), pathlib.Path(saved))
            build = functools.partial(load_layer, saved)
        stack.enter_context(strategy.scope())
        encoder = build()
        backbone = tiny_bert.backbone(encoder, shapes)
        if is_saved_model:
            backbone = tiny_bert.saved_model_backbone(encoder)
        method.reshape(tiny_classifier.start(backbone, tasks.get("mnli")))
        model = method.prepare(
            classifiers.build_classifier(encoder, tasks.get("mnli"), dropout=0.0, seed=1), context
        )
        trainee = Trainee(heads.over(model, layout_of(whole_name).inputs), OBJECTIVE)
        trainee.compile(
            optimizer=method.wrap_optimizer(build_optimizer(config, STEPS // method.cycles)),
            is_filled_up=strategy.num_replicas_in_sync > 1,
        )
    sizes = list(map(len, BATCHES.epoch(split(), 0)))
    source = functools.partial(dataset, strategy, whole_name)
    method.learn_from(TrainingGradients(strategy, trainee, sizes, source))
    trainee.fit(
        dataset(strategy, whole_name),
        steps_per_epoch=STEPS,
        epochs=1,
        verbose=0,
        callbacks=method.callbacks(),
    )
    found = {variable.name: variable for variable in model.variables}
    found |= {f"mask/{group.name}": method._masks[group.name] for group in method.all_groups}
    values = {}
    for label, variable in found.items():
        copies = [copy.numpy() for copy in strategy.experimental_local_results(variable)]
        for copy in copies:
            np.testing.assert_array_equal(copy, copies[0], err_msg=f"{name}: {label}")
        values[label] = copies[0]
    # And what the masks are chosen by, of which only the first copy is looked at.
    for label, variable in method._variables.items():
        copies = [copy.numpy() for copy in strategy.experimental_local_results(variable)]
        for copy in copies:
            np.testing.assert_array_equal(copy, copies[0], err_msg=f"{name}: {label}")
    return values


def dropped(strategy: tf.distribute.Strategy, seed: int) -> dict[str, np.ndarray]:
    """By replica: what two steps of training drop, as float32 [2, kinds, batch, width].

    Fails where a process that goes on after the first step would draw something else.
    """
    shapes = tiny_bert.architecture(layers=1)
    ids = np.tile(np.arange(5, 5 + LENGTH, dtype=np.int32), (4, 1))
    features = {
        "input_word_ids": tf.constant(ids),
        "input_mask": tf.ones_like(ids),
        "input_type_ids": tf.zeros_like(ids),
    }

    def build() -> tuple[object, tf.train.Checkpoint]:
        tf_keras.utils.set_random_seed(seed)
        with strategy.scope(), classifiers.restorable_dropout():
            encoder = build_encoder(shapes, tiny_bert.weights(shapes).__getitem__)
            model = classifiers.build_classifier(encoder, tasks.get("mnli"), dropout=0.5, seed=seed)

        @tf.function
        def step() -> object:
            def one() -> tf.Tensor:
                pooled = encoder(features, training=True)["pooled_output"]
                head = model.get_layer(heads.DROPOUT)(tf.ones_like(pooled), training=True)
                return tf.stack([pooled, head])

            return strategy.run(one)

        def draw() -> list[np.ndarray]:
            return [part.numpy() for part in strategy.experimental_local_results(step())]

        return draw, tf.train.Checkpoint(dropout=classifiers.dropout_states(model))

    draw, state = build()
    with tempfile.TemporaryDirectory() as place:
        steps = [draw()]
        path = state.write(f"{place}/state")
        steps.append(draw())
        again, its_state = build()
        its_state.read(path).assert_consumed()
        np.testing.assert_array_equal(again(), steps[1])
    replicas = zip(*steps, strict=True)
    first = found.index if kind == "multi_worker" else 0
    return {str(first + number): np.stack(parts) for number, parts in enumerate(replicas)}


def ranges(strategy: tf.distribute.Strategy) -> np.ndarray:
    """Return the ranges of an encoder on int8's grids after a step: float32 [runs, points, 2].

    Of one device there is a run for each half of a batch, of two replicas one for both halves.
    """
    shapes = tiny_bert.architecture(layers=1, heads=4, output_dropout=0.0, attention_dropout=0.0)
    ids = np.random.default_rng(3).integers(5, 90, (8, LENGTH)).astype(np.int32)
    ones = np.ones_like(ids)
    features = {"input_word_ids": ids, "input_mask": ones, "input_type_ids": 0 * ones}
    replicas = strategy.num_replicas_in_sync

    def step(first: int) -> np.ndarray:
        with strategy.scope():
            drawn = tiny_bert.weights(shapes).__getitem__
            encoder = build_encoder(shapes, drawn, recipe="int8")

        @tf.function
        def train() -> object:
            def one() -> tf.Tensor:
                number = tf.distribute.get_replica_context().replica_id_in_sync_group
                at = 4 * (first + number)
                own = {name: tf.slice(value, [at, 0], [4, -1]) for name, value in features.items()}
                return encoder(own, training=True)["pooled_output"]

            return strategy.run(one)

        train()
        return np.array(list(encoder.trained.ranges.values()), np.float32)

    return np.stack([step(first) for first in range(0, 2, replicas)])


if kind == "devices":
    strategies = {
        "one": tf.distribute.OneDeviceStrategy("/cpu:0"),
        "mirrored": tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]),
    }
    np.savez(pathlib.Path(folder) / "rows.npz", rows=rows_of_parts())
else:
    found = cluster.of(kind)
    assert found is not None
    strategies = {f"worker{found.index}": devices.build(kind)}
for title, strategy in strategies.items():
    outcome = {
        f"{name}:{label}": value
        for name in methods
        for label, value in train(name, strategy).items()
    }
    np.savez(pathlib.Path(folder) / f"{title}.npz", **outcome)
    np.savez(pathlib.Path(folder) / f"dropout-{title}.npz", **dropped(strategy, seed=1))
    np.savez(pathlib.Path(folder) / f"ranges-{title}.npz", ranges=ranges(strategy))
