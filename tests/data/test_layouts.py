"""Contract suite: every layout lays every text once, in the shapes that it names."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import pytest
from messages import refuses
from tokens import tokens_of

from bert_glue_tf.data import batching, layouts, packing
from bert_glue_tf.data.layouts import Layout, Packed, Padded, bucket_lengths

LENGTHS = np.random.default_rng(4).integers(3, 33, 90)
TOKENS = tokens_of(LENGTHS)
CASES: dict[str, Layout] = {
    "padded": Padded(lengths=bucket_lengths(32)),
    "padded, each text to its own": Padded(lengths=bucket_lengths(32), moves_up=False),
    "padded in parts": Padded(lengths=bucket_lengths(32), parts=4),
    "padded, static": Padded(lengths=(32,), size=16, parts=2),
    "packed": Packed(width=40),
    "packed, each batch in its width": Packed(),
    "packed in parts": Packed(width=32, parts=4),
    "packed, static": Packed(width=48, rows=8, size=16, parts=2),
}

# Task -> number of word pieces -> how many of its training texts have so many.
GLUE_LENGTHS = pathlib.Path(__file__).parents[1] / "fixtures" / "glue_lengths.json"


@pytest.fixture(params=CASES)
def layout(request):
    return CASES[request.param]


def test_every_layout_is_among_the_cases():
    assert {type(one) for one in CASES.values()} == set(Layout.__subclasses__())


def test_scoring_takes_every_text_once(layout):
    batches = layout.batches(LENGTHS, 16)
    assert sorted(np.concatenate(batches)) == list(range(90))
    assert max(map(len, batches)) == 16


def test_features_have_the_shapes_of_the_signature(layout):
    signature = layout.signature()
    assert tuple(signature) == layout.inputs
    for batch in layout.batches(LENGTHS, 16):
        features = layout.features(TOKENS, batch)
        for name, spec in signature.items():
            assert spec.shape.is_compatible_with(features[name].shape), name
            assert features[name].dtype == spec.dtype.as_numpy_dtype
        assert layout.is_static == all(one.shape.is_fully_defined() for one in signature.values())


def test_each_part_is_a_batch_of_its_own(layout):
    batch = np.array([3, 1, 4, 15, 9, 26, 5])
    filled, _ = layouts.fill_up(batch, LENGTHS, layout.parts, layout.size)
    assert filled[:7].tolist() == batch.tolist()
    whole = layout.features(TOKENS, batch)
    found = []
    for part in range(layout.parts):
        own = {name: np.split(values, layout.parts)[part] for name, values in whole.items()}
        rows = len(filled) // layout.parts
        firsts = own.get(packing.FIRSTS, np.stack([np.arange(rows), np.zeros(rows, int)], 1))
        found += [int(own["input_word_ids"][tuple(at)]) - 1 for at in firsts]
    assert found == filled.tolist()


def test_positions_are_those_of_the_arrays(layout):
    for batch in layout.batches(LENGTHS, 16):
        filled, _ = layouts.fill_up(batch, LENGTHS, layout.parts, layout.size)
        if layout.parts == 1 or isinstance(layout, Padded) or layout.is_static:
            expected = layout.features(TOKENS, batch)["input_word_ids"].size
            assert layout.positions(LENGTHS[filled]) == expected


def test_the_share_used_counts_fillers_as_padding():
    batches = [np.array([0, 1])]
    lengths = np.array([6, 2])
    assert layouts.share_used(Padded(lengths=(8,)), lengths, batches) == 0.5
    assert layouts.share_used(Padded(lengths=(8,), size=4), lengths, batches) == 0.25
    assert layouts.share_used(Packed(width=8), lengths, batches) == 1.0
    assert layouts.share_used(Packed(width=8, rows=2, size=2), lengths, batches) == 0.5
    # Two replicas, each with a text padded to a length of its own: 6 + 2 of 8 + 4.
    assert layouts.share_used(Padded(lengths=(4, 8)), lengths, batches, replicas=2) == 8 / 12
    assert layouts.share_used(Padded(lengths=(4, 8)), lengths, batches) == 8 / 16


@pytest.mark.parametrize("task", ["cola", "sst2"])
def test_packed_at_least_85_percent_of_the_positions_hold_a_word_piece(task):
    """With the lengths of GLUE's texts, in the rows and the batches that a training draws."""
    counts = json.loads(GLUE_LENGTHS.read_text())[task]
    lengths = np.repeat([int(length) for length in counts], list(counts.values()))
    split = batching.Split("train", tokens_of(lengths), np.zeros(len(lengths), np.int32))
    batches = batching.Batching(size=32, seed=1).epoch(split, 0)
    width = layouts.best_width(lengths, batches, parts=1, positions=512)
    assert layouts.share_used(Packed(width=width), lengths, batches) >= 0.85
    longest = Padded(lengths=tuple(range(1, lengths.max() + 1)))
    assert layouts.share_used(longest, lengths, batches) < 0.5  # Padded to a batch's longest.


@pytest.mark.parametrize("name", [name for name, one in CASES.items() if one != Packed()])
def test_too_long_a_text_is_refused(name):
    layout = CASES[name]
    width = layout.width if isinstance(layout, Packed) else layout.lengths[-1]
    with refuses(ValueError, "49", str(width)):
        layout.features(tokens_of([3, 49]), np.arange(2))


def test_a_batch_without_a_width_has_that_of_its_longest_text():
    assert Packed().features(tokens_of([3, 49]), np.arange(2))["input_texts"].shape == (1, 56)


def test_more_rows_than_a_static_layout_has_are_refused():
    one = dataclasses.replace(CASES["packed, static"], rows=1)
    with refuses(ValueError, "do not fit into 1"):
        one.features(TOKENS, np.arange(16))


# Padding.


def test_bucket_lengths():
    assert bucket_lengths(40) == (8, 12, 16, 24, 32, 40)
    assert bucket_lengths(32) == (8, 12, 16, 24, 32)
    assert bucket_lengths(4) == (4,)
    assert bucket_lengths(128, length_buckets=False) == (128,)


def test_texts_move_up_to_the_next_length_by_hand():
    # Two short and one middle example fill up with what the smaller lengths left over.
    lengths = np.array([3, 20, 4, 10, 5])
    layout = Padded(lengths=(8, 16, 32))
    assert [batch.tolist() for batch in layout.batches(lengths, 2)] == [[0, 2], [4, 3], [1]]
    alone = dataclasses.replace(layout, moves_up=False)
    assert [batch.tolist() for batch in alone.batches(lengths, 2)] == [[0, 2], [4], [3], [1]]


@pytest.mark.parametrize("number", [1, 31, 32, 33, 500])
def test_moving_up_makes_the_fewest_batches(number):
    lengths = np.random.default_rng(number).integers(3, 65, number)
    batches = Padded(lengths=bucket_lengths(64)).batches(lengths, 32)
    assert len(batches) == -(-number // 32)
    assert sum(len(batch) < 32 for batch in batches) == (number % 32 > 0)


def test_a_batch_has_the_smallest_length_that_holds_it():
    layout = Padded(lengths=(8, 16, 32))
    for longest, length in ((3, 8), (8, 8), (9, 16), (32, 32)):
        features = layout.features(tokens_of([2, longest]), np.arange(2))
        assert features["input_mask"].shape == (2, length)
        assert features["input_mask"].sum(1).tolist() == [2, longest]


@pytest.mark.parametrize(
    ("positions", "width"),
    [
        (512, 40),  # Two texts in 40 positions; one in 24 or 32, two in 48.
        (40, 40),
        (39, 24),  # The encoder has no more positions.
        (20, 24),
    ],
)
def test_a_row_may_be_wider_than_the_longest_text_where_that_fills_it_better(positions, width):
    assert layouts.best_width(np.full(32, 17), [np.arange(32)], 1, positions) == width


def test_the_most_rows_are_those_of_the_batch_and_part_that_needs_most():
    lengths = np.array([8, 8, 1, 1, 1, 8, 8, 1])
    batches = [np.arange(4), np.arange(4, 8)]
    assert Packed(width=8).most_rows(lengths, batches) == 3  # 8, 8, 1 + 1
    assert Packed(width=8, parts=2).most_rows(lengths, batches) == 2  # 8 | 8, 1 | 1 and 1, 8 | 8, 1
    assert Packed(width=8, size=7).most_rows(lengths, batches[:1]) == 3  # The shortest fills it up.


def test_a_static_layout_grows_with_the_splits_that_it_has_to_hold(layout):
    long = np.full(64, 45)
    if isinstance(layout, Padded):
        assert layout.holding([LENGTHS, long], 16) == layout
        return
    held = layout.holding([LENGTHS, long], 16)
    assert held.is_static == layout.is_static
    if layout.is_static:
        assert (held.width, held.size, held.parts) == (48, 16, 2)
        tokens = tokens_of(long)
        for batch in held.batches(long, 16):
            assert held.features(tokens, batch)["input_word_ids"].shape == (held.rows * 2, 48)
        assert held.rows == 8  # 16 texts of 45 tokens, in two parts.
    else:
        assert held == layout
