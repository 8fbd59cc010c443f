"""Every pruning method on one device and on two replicas; prints what came out as JSON.

A process of its own, since logical devices have to be set before TensorFlow is first used:

    python tests/replicas.py METHOD ...
"""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np

import bert_glue_tf  # noqa: F401  (chooses Keras 2 before TensorFlow is imported)

import tensorflow as tf  # isort: skip

cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)

import tf_keras  # noqa: E402
import tiny_bert  # noqa: E402

from bert_glue_tf import modeling, native, optimization, pruning, tasks  # noqa: E402
from bert_glue_tf.config import ExperimentConfig  # noqa: E402
from bert_glue_tf.pruning.base import PruningContext  # noqa: E402

STEPS, BATCH = 12, 8


def dataset() -> tf.data.Dataset:
    random = np.random.default_rng(0)
    ids = random.integers(5, 90, (STEPS * BATCH, 12)).astype(np.int32)
    features = {
        "input_word_ids": ids,
        "input_mask": np.ones_like(ids),
        "input_type_ids": np.zeros_like(ids),
    }
    return tf.data.Dataset.from_tensor_slices((features, ids.sum(1) % 3)).batch(BATCH)


def train(name: str, strategy: tf.distribute.Strategy) -> dict[str, np.ndarray]:
    """Weights and masks after a short training; fails where two replicas differ."""
    tf_keras.utils.set_random_seed(1)
    config = ExperimentConfig(
        task="mnli",
        pruning_method=name,
        pruning_options="block=4x4" if name == "block" else "",
        final_sparsity=0.5,
        begin_step=2,
        end_step=8,
        learning_rate=1e-3,
        dropout=0.0,
        # Embeddings too, whose gradients are rows of a table.
        pruning_scope="all" if name in ("irregular", "movement", "gradient") else "encoder",
    )
    method = pruning.build(config)
    context = PruningContext.from_config(config, STEPS, method.waits)
    shapes = dataclasses.replace(
        tiny_bert.architecture(layers=1, heads=4), output_dropout=0.0, attention_dropout=0.0
    )
    with strategy.scope():
        encoder = native.build_native(shapes, tiny_bert.weights(shapes).__getitem__)
        model = method.prepare(
            modeling.build_classifier(encoder, tasks.get("mnli"), dropout=0.0, seed=1), context
        )
        model.compile(
            optimizer=method.wrap_optimizer(
                optimization.build_optimizer(config, STEPS // method.cycles)
            ),
            loss=modeling.build_loss(tasks.get("mnli")),
        )
    model.fit(dataset(), epochs=1, verbose=0, callbacks=method.callbacks())
    found = {variable.name: variable for variable in model.variables}
    found |= {f"mask/{group.name}": method._masks[group.name] for group in method.all_groups}
    values = {}
    for label, variable in found.items():
        copies = [copy.numpy() for copy in strategy.experimental_local_results(variable)]
        assert len(copies) == strategy.num_replicas_in_sync, label
        for copy in copies:
            np.testing.assert_array_equal(copy, copies[0], err_msg=f"{name}: {label}")
        values[label] = copies[0]
    return values


for method_name in sys.argv[1:]:
    one = train(method_name, tf.distribute.OneDeviceStrategy("/cpu:0"))
    two = train(method_name, tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]))
    masks = [label for label in one if label.startswith("mask/")]
    print(
        json.dumps(
            {
                "method": method_name,
                "masks": len(masks),
                "kept": float(np.mean([one[label].mean() for label in masks])),
                "masks_differ": int(sum((one[label] != two[label]).sum() for label in masks)),
                "units": int(sum(one[label].size for label in masks)),
                "weights_differ": max(
                    float(np.abs(one[label] - two[label]).max())
                    for label in one
                    if label not in masks
                ),
            }
        ),
        flush=True,
    )
