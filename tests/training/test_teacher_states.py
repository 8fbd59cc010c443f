"""The states of a teacher as an array by text."""

from __future__ import annotations

import numpy as np

from bert_glue_tf.training.teacher_states import TokenStates

ROWS = np.arange(12, dtype=np.float16).reshape(6, 1, 2)


def test_texts_of_several_tokens_are_filled_up_with_zeros():
    states = TokenStates(ROWS, np.array([0, 1, 4, 6]))
    assert (len(states), states.shape, states.dtype) == (3, (3, 3, 1, 2), np.float16)
    np.testing.assert_array_equal(states.lengths, [1, 3, 2])
    found = states[np.array([2, 0])]
    assert (found.shape, found.dtype) == ((2, 3, 1, 2), np.float16)
    np.testing.assert_array_equal(found[..., 0, 0], [[8, 10, 0], [0, 0, 0]])
    np.testing.assert_array_equal(found[..., 0, 1], [[9, 11, 0], [1, 0, 0]])


def test_of_one_token_a_text_it_is_the_rows():
    states = TokenStates(ROWS, np.arange(7))
    chosen = np.array([5, 1, 1])
    np.testing.assert_array_equal(states[chosen][:, 0], ROWS[chosen])
