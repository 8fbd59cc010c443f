"""Packing: every token once, texts apart, few rows."""

from __future__ import annotations

import numpy as np
import pytest
from messages import refuses

from bert_glue_tf.data import packing
from bert_glue_tf.data.preprocessing import TokenizedTexts


def tokens(lengths, seed=0):
    """Texts of random pieces and types; 99 is their padding."""
    random = np.random.default_rng(seed)
    total = int(np.sum(lengths))
    return TokenizedTexts(
        random.integers(1, 90, total).astype(np.int32),
        random.integers(0, 2, total).astype(np.int8),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        padding_id=99,
    )


def test_first_fit_decreasing_by_hand():
    # 6, 5, 4, 3, 2: 6 opens a row of 10, 5 a second one, 4 fits behind 6, 3 and 2 behind 5.
    places = packing.first_fit_decreasing([3, 6, 5, 2, 4], 10)
    assert places.count == 2
    assert places.rows.tolist() == [1, 0, 1, 1, 0]
    assert places.columns.tolist() == [5, 0, 0, 8, 6]
    assert places.numbers.tolist() == [2, 1, 1, 3, 2]


def test_texts_of_one_length_stay_in_their_order():
    places = packing.first_fit_decreasing([4] * 6, 12)
    assert places.rows.tolist() == [0, 0, 0, 1, 1, 1]
    assert places.numbers.tolist() == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize("seed", range(5))
def test_every_token_is_laid_once_beside_its_place_and_its_text(seed):
    random = np.random.default_rng(seed)
    lengths = random.integers(3, 30, 40)
    texts = tokens(lengths, seed)
    chosen = random.permutation(40)[:17]
    found = packing.pack(texts, chosen, 32)
    assert set(found) == set(packing.INPUTS)
    rows = found[packing.WORD_IDS].shape[0]
    assert {values.shape for name, values in found.items() if name != packing.FIRSTS} == {
        (rows, 32)
    }
    assert {values.dtype for values in found.values()} == {np.dtype(np.int32)}
    # The best that any packing can do, and no row with room for another row's texts.
    used = (found[packing.TEXTS] > 0).sum(axis=1)
    assert used.sum() == lengths[chosen].sum()
    assert np.sort(used)[:2].sum() > 32 or rows == 1
    for text, (row, column) in zip(chosen, found[packing.FIRSTS], strict=True):
        at = slice(texts.row_splits[text], texts.row_splits[text + 1])
        here = (row, slice(column, column + lengths[text]))
        np.testing.assert_array_equal(found[packing.WORD_IDS][here], texts.ids[at])
        np.testing.assert_array_equal(found[packing.TYPE_IDS][here], texts.type_ids[at])
        np.testing.assert_array_equal(found[packing.POSITIONS][here], np.arange(lengths[text]))
        (number,) = set(found[packing.TEXTS][here].tolist())
        assert (found[packing.TEXTS][row] == number).sum() == lengths[text]  # Its own alone.
    padding = found[packing.TEXTS] == 0
    assert set(found[packing.WORD_IDS][padding].tolist()) <= {99}


def test_further_rows_hold_padding():
    texts = tokens([5, 4])
    found = packing.pack(texts, [1, 0], 16, rows=3)
    assert found[packing.TEXTS].shape == (3, 16)
    assert not found[packing.TEXTS][1:].any()
    assert found[packing.FIRSTS].tolist() == [[0, 5], [0, 0]]  # The longer one lies first.


def test_too_long_a_text_is_refused():
    with refuses(ValueError, "17", "16"):
        packing.pack(tokens([17]), [0], 16)


@pytest.mark.parametrize(("longest", "width"), [(1, 8), (8, 8), (9, 16), (47, 48), (128, 128)])
def test_a_row_is_as_wide_as_the_longest_text_rounded_up(longest, width):
    assert packing.row_width(longest) == width


def test_some_texts_are_taken_in_the_order_that_is_asked_for():
    all_texts = tokens([3, 1, 4])
    some = all_texts.take([2, 0])
    np.testing.assert_array_equal(some.lengths, [4, 3])
    np.testing.assert_array_equal(
        some.batch([1], 4)["input_word_ids"], all_texts.batch([0], 4)["input_word_ids"]
    )
    np.testing.assert_array_equal(
        some.batch([0], 4)["input_type_ids"], all_texts.batch([2], 4)["input_type_ids"]
    )
    assert len(all_texts.take([])) == 0
