"""Every objective on every kind of problem, and a small model to train by it.

Run as a program, it trains each of them on one device and on two replicas, in a process of its
own, since logical devices have to be set before TensorFlow is first used, and prints what came of
it as one line of JSON: device -> case -> logs and weights.
"""

from __future__ import annotations

import json
import sys

import numpy as np

import bert_glue_tf  # noqa: F401  (chooses Keras 2 before TensorFlow is imported)

import tensorflow as tf  # isort: skip

if __name__ == "__main__":
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )

import tf_keras

from bert_glue_tf.data import batching
from bert_glue_tf.data.layouts import Padded
from bert_glue_tf.data.preprocessing import INPUTS, TokenizedTexts
from bert_glue_tf.data.problems import Classification, MultiLabel, Regression
from bert_glue_tf.training.objective import BalancedLoss, DistilledLoss, TaskLoss, Trainee

PROBLEMS = {
    "classification": Classification(("no", "perhaps", "yes")),
    "regression": Regression(0.0, 5.0),
    "multi_label": MultiLabel(("red", "round", "ripe")),
}
# The last batch is not full, and its rest is odd: one replica has an example less.
COUNT, BATCH, LENGTH, WORDS = 13, 8, 6, 40


def distilled(problem, labels=TaskLoss, weight=0.3, temperature=2.0):
    """A loss with a teacher whose answers are drawn by chance."""
    answers = np.random.default_rng(5).normal(size=(COUNT, problem.width)).astype(np.float32)
    return DistilledLoss(problem, labels(problem), answers, weight, temperature)


# Name -> how it is built for a problem.
OBJECTIVES = {"task": TaskLoss, "balanced": BalancedLoss, "distilled": distilled}
CASES = {
    f"{objective}-{problem}": (OBJECTIVES[objective], PROBLEMS[problem])
    for objective in OBJECTIVES
    for problem in PROBLEMS
}
BATCHING = batching.Batching(BATCH, seed=1)
LAYOUT = Padded(lengths=(LENGTH,))


def labels_of(problem, numbers):
    """Labels that are drawn from numbers: their rest of three, or three bits of them."""
    bits = numbers[:, None] >> np.arange(problem.width) & 1
    return problem.as_labels(bits if problem.label_dtype == "int8" else numbers % 3)


def split(problem):
    """13 examples of six words each; the first word is the example's number."""
    ids = np.random.default_rng(0).integers(COUNT, WORDS, (COUNT, LENGTH)).astype(np.int32)
    ids[:, 0] = np.arange(COUNT)
    tokens = TokenizedTexts(
        ids.reshape(-1), np.zeros(ids.size, np.int8), np.arange(COUNT + 1) * LENGTH
    )
    return batching.Split("train", tokens, labels_of(problem, ids.sum(1)))


def classifier(width):
    """Features to logits, with weights drawn from a fixed seed."""
    tf_keras.utils.set_random_seed(1)
    inputs = {name: tf_keras.Input((None,), dtype=tf.int32, name=name) for name in INPUTS}
    words = tf_keras.layers.Embedding(WORDS, 4, name="words")(inputs["input_word_ids"])
    pooled = tf_keras.layers.GlobalAveragePooling1D()(words)
    return tf_keras.Model(inputs, tf_keras.layers.Dense(width, name="classifier")(pooled))


def build(objective, problem, is_filled_up=False):
    """A model that is ready to be trained by plain gradient descent, so that weights show it."""
    model = Trainee(classifier(problem.width), objective)
    model.compile(
        optimizer=tf_keras.optimizers.SGD(0.1),
        weighted_metrics=problem.keras_metrics(is_filled_up),
        is_filled_up=is_filled_up,
    )
    return model


def train(objective, problem, strategy):
    """The logs of two epochs, and the weights after them."""
    data, replicas = split(problem), strategy.num_replicas_in_sync
    targets = objective.targets(data)
    with strategy.scope():
        model = build(objective, problem, is_filled_up=replicas > 1)
    if replicas == 1:
        dataset = batching.training_dataset(
            data, BATCHING, LAYOUT, epochs=range(2), targets=targets
        )
    else:
        dataset = strategy.distribute_datasets_from_function(
            lambda context: batching.replicas_dataset(
                data, BATCHING, LAYOUT, context, epochs=range(2), targets=targets
            )
        )
    done = model.fit(dataset, epochs=2, steps_per_epoch=2, verbose=0)
    weights = {weight.name: weight.numpy().tolist() for weight in model.trainable_weights}
    return {"logs": done.history, "weights": weights}


def main() -> None:
    strategies = {
        "one": tf.distribute.OneDeviceStrategy("/cpu:0"),
        "two": tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]),
    }
    found = {
        device: {
            name: train(objective(problem), problem, strategy)
            for name, (objective, problem) in CASES.items()
        }
        for device, strategy in strategies.items()
    }
    json.dump(found, sys.stdout)
    print()


if __name__ == "__main__":
    main()
