"""The values that a teacher has for the tokens of a batch."""

from __future__ import annotations

import numpy as np

from bert_glue_tf.training.token_rows import TokenRows

ROWS = np.arange(12, dtype=np.float16).reshape(6, 1, 2)
SPLITS = np.array([0, 1, 4, 6])


def test_a_batch_has_the_rows_of_its_texts_one_after_the_other():
    rows = TokenRows(ROWS, SPLITS)
    assert len(rows) == 3
    np.testing.assert_array_equal(rows.lengths, [1, 3, 2])
    assert rows.lengths.dtype == np.int32
    found = rows[np.array([2, 0])]
    assert (found.shape, found.dtype) == ((3, 1, 2), np.float16)
    np.testing.assert_array_equal(found[:, 0], [[8, 9], [10, 11], [0, 1]])
    np.testing.assert_array_equal(rows.places(np.array([1, 1])), [1, 2, 3, 1, 2, 3])
    assert rows.signature().shape.as_list() == [None, 1, 2]


def test_of_one_token_a_text_it_is_the_rows():
    rows = TokenRows(ROWS, np.arange(7))
    chosen = np.array([5, 1, 1])
    np.testing.assert_array_equal(rows[chosen], ROWS[chosen])


def test_where_all_batches_have_one_shape_zeros_fill_them_up():
    rows = TokenRows(ROWS, SPLITS, room=5)
    found = rows[np.array([2, 0])]
    assert rows.signature().shape.as_list() == list(found.shape) == [5, 1, 2]
    np.testing.assert_array_equal(found[:3], rows.rows[[4, 5, 0]])
    assert not found[3:].any()
