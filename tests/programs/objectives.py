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
from bert_glue_tf.data.problems import Classification, MultiLabel, Regression, Tagging
from bert_glue_tf.data.words import Words
from bert_glue_tf.models import heads
from bert_glue_tf.training.hints import LayerStates, Relations
from bert_glue_tf.training.objective import BalancedLoss, DistilledLoss, TaskLoss, trainee
from bert_glue_tf.training.token_rows import TokenRows

PROBLEMS = {
    "classification": Classification(("no", "perhaps", "yes")),
    "regression": Regression(0.0, 5.0),
    "multi_label": MultiLabel(("red", "round", "ripe")),
    "tagging": Tagging(("O", "B-x", "I-x")),
}
# The last batch is not full, and its rest is odd: one replica has an example less.
COUNT, BATCH, LENGTH, WORDS, WIDTH = 13, 8, 6, 40, 4


def distilled(problem, labels=TaskLoss, weight=0.3, temperature=2.0, hints=()):
    """A loss with a teacher whose answers are drawn by chance."""
    shape = (COUNT, LENGTH - 1, problem.width) if problem.tags_words else (COUNT, problem.width)
    answers = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    return DistilledLoss(problem, labels(problem), answers, weight, temperature, hints)


def hinted(problem):
    """The same with hints by chance: states of wider layers, of 1 to 6 tokens, and relations."""
    random = np.random.default_rng(6)
    splits = np.concatenate([[0], np.cumsum(random.integers(1, LENGTH + 1, COUNT))])
    rows = random.normal(size=(splits[-1], 2, WIDTH + 2)).astype(np.float16)
    states = LayerStates(TokenRows(rows, splits), 2.0, (1, 2), (True, False), WIDTH)
    whole = np.arange(COUNT + 1) * LENGTH
    rows = random.normal(size=(whole[-1], 1, WIDTH + 2)).astype(np.float16)
    relations = Relations(TokenRows(rows, whole), 3.0, part=0, layer=1, heads=2)
    return distilled(problem, hints=[states, relations])


# Name -> how it is built for a problem.
OBJECTIVES = {"task": TaskLoss, "balanced": BalancedLoss, "distilled": distilled}
CASES = {
    f"{objective}-{problem}": (OBJECTIVES[objective], PROBLEMS[problem])
    for objective in OBJECTIVES
    for problem in PROBLEMS
}
# What is trained on replicas as well.
TRAINED = {**CASES, "hinted-classification": (hinted, PROBLEMS["classification"])}
BATCHING = batching.Batching(BATCH, seed=1)
LAYOUT = Padded(lengths=(LENGTH,))


def labels_of(problem, numbers):
    """Labels that are drawn from numbers: their rest of three, or three bits of them."""
    if problem.tags_words:  # Of the five words behind the number; one tag is not known.
        rest = (numbers[:, None] + np.arange(LENGTH - 1)) % 3
        rest[3, 2] = -1
        return problem.as_labels(rest)
    bits = numbers[:, None] >> np.arange(problem.width) & 1
    return problem.as_labels(bits if problem.label_dtype == "int8" else numbers % 3)


def split(problem):
    """13 examples of six words each; the first word is the example's number."""
    ids = np.random.default_rng(0).integers(COUNT, WORDS, (COUNT, LENGTH)).astype(np.int32)
    ids[:, 0] = np.arange(COUNT)
    words = None
    if problem.tags_words:
        numbers = np.tile(np.arange(-1, LENGTH - 1, dtype=np.int32), COUNT)
        words = Words(numbers, np.full(COUNT, LENGTH - 1, np.int32))
    tokens = TokenizedTexts(
        ids.reshape(-1), np.zeros(ids.size, np.int8), np.arange(COUNT + 1) * LENGTH, words=words
    )
    return batching.Split("train", tokens, labels_of(problem, ids.sum(1)))


class Encoder(tf_keras.layers.Layer):
    """An encoder of a table and one dense layer, which shows its layers as a BERT does."""

    def __init__(self):
        super().__init__(name="encoder")
        self.words = tf_keras.layers.Embedding(WORDS, WIDTH, name="words")
        self.dense = tf_keras.layers.Dense(WIDTH, "tanh", name="dense")

    def call(self, inputs):
        words = self.words(inputs["input_word_ids"])
        last = self.dense(words)
        queries = tf.reshape(words, [*tf.unstack(tf.shape(words)[:2]), 2, WIDTH // 2])
        return {
            "pooled_output": tf.reduce_mean(last, axis=1),
            "sequence_output": last,
            "encoder_outputs": [words, last],
            "attention_inputs": [[queries]],
        }


def classifier(problem):
    """Features to logits, with weights drawn from a fixed seed."""
    tf_keras.utils.set_random_seed(1)
    head = "linear" if problem.tags_words else ""
    return heads.attach(Encoder(), problem.width, 0.0, seed=1, word_head=head)


def build(objective, problem, is_filled_up=False):
    """A model that is ready to be trained by plain gradient descent, so that weights show it."""
    model = trainee(classifier(problem), INPUTS, objective, seed=1)
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
            for name, (objective, problem) in TRAINED.items()
        }
        for device, strategy in strategies.items()
    }
    json.dump(found, sys.stdout)
    print()


if __name__ == "__main__":
    main()
