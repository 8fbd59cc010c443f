"""Batches of a training: every example once an epoch, in an order that the seed decides."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from tokens import tokens_of

from bert_glue_tf.data import batching, packing
from bert_glue_tf.data.layouts import Packed, Padded, bucket_lengths

LAYOUTS = {
    "padded to a few lengths": Padded(lengths=bucket_lengths(32)),
    "padded to one length": Padded(lengths=(32,)),
    "packed": Packed(width=32),
}


@pytest.mark.parametrize("number", [1, 31, 32, 33, 500])
def test_every_example_is_in_exactly_one_batch(number):
    split = batching.Split("train", tokens_of(np.full(number, 3)), np.zeros(number, np.int32))
    plan = batching.Batching(32, 1).epoch(split, 0)
    assert sorted(np.concatenate(plan)) == list(range(number))
    assert [len(batch) for batch in plan[:-1]] == [32] * (math.ceil(number / 32) - 1)


def test_batches_are_drawn_without_a_look_at_the_length():
    lengths = np.repeat([4, 20], 320)
    split = batching.Split("train", tokens_of(lengths), np.zeros(640, np.int32))
    plan = batching.Batching(32, 1).epoch(split, 0)
    # Of 32 drawn from as many long as short ones, 16 are long; five deviations on each side.
    assert all(2 < (lengths[batch] == 20).sum() < 30 for batch in plan)


def test_order_depends_on_seed_and_epoch_alone():
    split = batching.Split("train", tokens_of(np.full(200, 3)), np.zeros(200, np.int32))

    def order(seed, epoch):
        return [tuple(batch) for batch in batching.Batching(16, seed).epoch(split, epoch)]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_the_end_of_a_training_waits_for_no_thread_of_its_dataset():
    """The thread that would tune it sleeps for up to a minute, and the end waits for it."""
    split = batching.Split("train", tokens_of(np.full(64, 3)), np.zeros(64, np.int32))
    layout, batches = LAYOUTS["packed"], batching.Batching(16, 1)
    one = batching.training_dataset(split, batches, layout, epochs=range(1))
    context = tf.distribute.InputContext(num_replicas_in_sync=2)
    parts = batching.replicas_dataset(split, batches, layout, context, epochs=range(1))
    for dataset in (one, parts):
        assert dataset.options().autotune.enabled is False


@pytest.mark.parametrize("name", LAYOUTS)
def test_dataset_gives_every_example_of_every_epoch_with_its_label(name):
    lengths = np.random.default_rng(0).integers(3, 33, 50)
    labels = np.arange(50, dtype=np.int32) * 10
    split = batching.Split("train", tokens_of(lengths), labels)
    dataset = batching.training_dataset(
        split, batching.Batching(16, seed=3), LAYOUTS[name], epochs=range(1, 3)
    )
    seen, batches = [], 0
    for features, batch_labels in dataset.as_numpy_iterator():
        assert set(features) == set(LAYOUTS[name].inputs)
        assert {values.dtype for values in features.values()} == {np.dtype(np.int32)}
        # An example's ids are its number: see `tokens_of`.
        firsts = features.get(packing.FIRSTS, [(row, 0) for row in range(len(batch_labels))])
        numbers = np.array([features["input_word_ids"][tuple(at)] - 1 for at in firsts])
        np.testing.assert_array_equal(batch_labels, numbers * 10)
        ids, counts = np.unique(features["input_word_ids"], return_counts=True)
        found = dict(zip(ids.tolist(), counts.tolist(), strict=True))
        assert [found[number + 1] for number in numbers] == lengths[numbers].tolist()
        seen += list(numbers)
        batches += 1
    assert batches == 2 * math.ceil(50 / 16)
    assert sorted(seen) == sorted([*range(50), *range(50)])


class Context:
    """The second of two pipelines, of two replicas each."""

    num_replicas_in_sync = 4
    num_input_pipelines = 2
    input_pipeline_id = 1


@pytest.mark.parametrize("size", [0, 3], ids=["as many as there are", "static"])
@pytest.mark.parametrize("packed", [False, True])
def test_replicas_get_their_parts_of_the_batches_of_one_device(size, packed):
    lengths = np.random.default_rng(1).integers(3, 17, 23)
    split = batching.Split("train", tokens_of(lengths), np.arange(23, dtype=np.int32))
    plan = batching.Batching(10, seed=3)
    layout = Packed(width=32, size=size) if packed else Padded(lengths=(16,), size=size)
    dataset = batching.replicas_dataset(split, plan, layout, Context(), epochs=range(1))
    parts = list(dataset.take(6).as_numpy_iterator())
    for number, batch in enumerate(plan.epoch(split, 0)):
        part = size or math.ceil(len(batch) / 4)
        for replica in (2, 3):
            features, labels, weights = parts[2 * number + replica - 2]
            real = batch[replica * part : (replica + 1) * part]
            shortest = batch[np.argmin(lengths[batch])]
            assert labels.tolist() == [*real, *[shortest] * (part - len(real))]
            expected = [part * 4 / len(batch)] * len(real) + [0.0] * (part - len(real))
            np.testing.assert_allclose(weights, expected, rtol=1e-6)
            kept = layout.features(split.tokens, labels)
            tf.nest.map_structure(np.testing.assert_array_equal, features, kept)
