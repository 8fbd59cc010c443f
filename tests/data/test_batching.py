"""Batches: every example once, static shapes, the same number of steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from messages import refuses
from tokens import tokens_of

from bert_glue_tf.data import batching


def test_bucket_lengths():
    assert batching.bucket_lengths(40, True) == (8, 12, 16, 24, 32, 40)
    assert batching.bucket_lengths(32, True) == (8, 12, 16, 24, 32)
    assert batching.bucket_lengths(4, True) == (4,)
    assert batching.bucket_lengths(128, False) == (128,)


def test_plan_by_hand():
    # Two short and one middle example fill up with what the smaller buckets left over.
    lengths = np.array([3, 20, 4, 10, 5])
    plan = batching.grouped_batches(lengths, 2, (8, 16, 32))
    assert [(list(batch.indices), batch.length) for batch in plan] == [
        ([0, 2], 8),
        ([4, 3], 16),
        ([1], 32),
    ]


def test_the_batch_that_is_not_full_takes_the_length_it_needs():
    plan = batching.grouped_batches(np.array([3, 3, 3]), 2, (8, 16, 32))
    assert [(list(batch.indices), batch.length) for batch in plan] == [([0, 1], 8), ([2], 8)]


@pytest.mark.parametrize("number", [1, 31, 32, 33, 500])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_example_is_in_exactly_one_batch_that_holds_it(number, shuffle):
    rng = np.random.default_rng(number)
    lengths = rng.integers(3, 65, number)
    buckets = batching.bucket_lengths(64, True)
    plan = batching.grouped_batches(lengths, 32, buckets, rng if shuffle else None)
    assert sorted(np.concatenate([batch.indices for batch in plan])) == list(range(number))
    assert len(plan) == math.ceil(number / 32)
    for batch in plan:
        assert batch.length in buckets
        assert lengths[batch.indices].max() <= batch.length
    assert sum(len(batch.indices) < 32 for batch in plan) == (number % 32 > 0)


@pytest.mark.parametrize("number", [1, 31, 32, 33, 500])
def test_random_batches_hold_every_example_once_at_the_length_they_need(number):
    rng = np.random.default_rng(number)
    lengths = rng.integers(3, 65, number)
    buckets = batching.bucket_lengths(64, True)
    plan = batching.random_batches(lengths, 32, buckets, rng)
    assert sorted(np.concatenate([batch.indices for batch in plan])) == list(range(number))
    assert [len(batch.indices) for batch in plan[:-1]] == [32] * (math.ceil(number / 32) - 1)
    for batch in plan:
        longest = lengths[batch.indices].max()
        assert batch.length == min(bucket for bucket in buckets if bucket >= longest)


def test_batches_are_drawn_without_a_look_at_the_length_unless_they_are_grouped():
    lengths = np.repeat([4, 20], 320)
    split = batching.Split("train", tokens_of(lengths), np.zeros(640, np.int32))

    def long_ones(group_by_length):
        plan = batching.Batching(32, (8, 32), 1, group_by_length).epoch(split, 0)
        return {int((lengths[batch.indices] == 20).sum()) for batch in plan}

    assert long_ones(True) == {0, 32}
    # Of 32 drawn from as many long as short ones, 16 are long; five deviations on each side.
    assert all(2 < number < 30 for number in long_ones(False))


def test_too_long_an_example_is_refused():
    with refuses(ValueError, "length 9", "8"):
        batching.grouped_batches(np.array([9]), 2, (8,))
    with refuses(ValueError, "length 9", "8"):
        batching.random_batches(np.array([9]), 2, (8,), np.random.default_rng(0))


def test_padded_to_one_length_the_order_is_what_it_was():
    """The batches themselves were shuffled as well: an earlier version's runs may go on."""
    split = batching.Split("train", tokens_of(np.full(100, 5)), np.zeros(100, np.int32))
    drawn = batching.Batching(32, (8,), 6).epoch(split, 0)
    grouped = batching.Batching(32, (8,), 6, group_by_length=True).epoch(split, 0)
    assert [list(batch.indices) for batch in drawn] == [list(b.indices) for b in grouped]
    assert [len(batch.indices) for batch in drawn] == [4, 32, 32, 32]


@pytest.mark.parametrize("group_by_length", [True, False])
def test_order_depends_on_seed_and_epoch_alone(group_by_length):
    lengths = np.random.default_rng(0).integers(3, 33, 200)
    split = batching.Split("train", tokens_of(lengths), np.zeros(200, np.int32))

    def order(seed, epoch):
        plan = batching.Batching(16, (16, 32), seed, group_by_length).epoch(split, epoch)
        return [tuple(batch.indices) for batch in plan]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


@pytest.mark.parametrize("length_buckets", [True, False])
def test_dataset_gives_every_example_of_every_epoch_with_its_label(length_buckets):
    lengths = np.random.default_rng(0).integers(3, 33, 50)
    labels = np.arange(50, dtype=np.int32) * 10
    split = batching.Split("train", tokens_of(lengths), labels)
    buckets = batching.bucket_lengths(32, length_buckets)
    dataset = batching.training_dataset(
        split, batching.Batching(16, buckets, seed=3), epochs=range(1, 3)
    )
    seen, batches = [], 0
    for features, batch_labels in dataset.as_numpy_iterator():
        assert features["input_word_ids"].shape[1] in buckets
        assert features["input_mask"].dtype == np.int32
        numbers = features["input_word_ids"][:, 0] - 1
        np.testing.assert_array_equal(batch_labels, numbers * 10)
        np.testing.assert_array_equal(features["input_mask"].sum(1), lengths[numbers])
        seen += list(numbers)
        batches += 1
    assert batches == 2 * math.ceil(50 / 16)
    assert sorted(seen) == sorted([*range(50), *range(50)])


def test_a_single_bucket_has_a_static_length():
    split = batching.Split("train", tokens_of([5]), np.zeros(1, np.int32))
    dataset = batching.training_dataset(split, batching.Batching(1, (32,), seed=0), epochs=range(1))
    assert dataset.element_spec[0]["input_mask"].shape.as_list() == [None, 32]
