"""Which units go, by scores computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from messages import refuses

from bert_glue_tf.compression import ranking
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.units import Group, Member


def group(name: str, shape: tuple[int, ...], what: str = "weight", size: int = 1):
    view = (*shape, size) if what != "weight" else shape
    member = Member(name, tf.Variable(tf.ones(view)), view, tuple(range(len(shape))))
    return Group(name, shape, (member,), what=what)


def test_lowest_takes_exactly_as_many_as_asked_the_first_of_equal_ones():
    scores = np.array([[3.0, 1.0, 1.0], [1.0, -np.inf, 2.0]])
    assert ranking.lowest(scores, 0).all()
    np.testing.assert_array_equal(
        ranking.lowest(scores, 3), [[True, False, False], [True, False, True]]
    )
    assert not ranking.lowest(scores, 6).any()


@pytest.mark.parametrize("zeros", [0.05, 0.5, 0.95])
def test_lowest_with_many_equal_scores(zeros):
    random = np.random.default_rng(1)
    scores = random.normal(size=400).astype(np.float32)
    scores[random.random(400) < zeros] = 0.0
    scores[:2] = np.inf, -np.inf
    order = np.argsort(scores, kind="stable")
    for count in (1, 7, 100, 200, 201, 399, 400):
        gone = np.zeros(400, bool)
        gone[order[:count]] = True
        np.testing.assert_array_equal(ranking.lowest(scores, count), ~gone)


def test_local_ranks_within_each_matrix_and_global_over_all():
    groups = [group("a", (4,)), group("b", (4,))]
    scores = [np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, 6.0, 7.0, 8.0])]
    local = ranking.choose(groups, scores, 0.5, "local")
    np.testing.assert_array_equal(local, [[False, False, True, True]] * 2)
    overall = ranking.choose(groups, scores, 0.5, "global")
    np.testing.assert_array_equal(overall, [[False] * 4, [True] * 4])


def test_lamp_by_hand():
    # Squares 1, 4, 4, 16 ascending; sums from each on: 25, 24, 20, 16.
    found = ranking.lamp(np.array([4.0, 1.0, 2.0, 2.0]))
    np.testing.assert_allclose(found, [16 / 16, 1 / 25, 4 / 24, 4 / 20])
    # The largest weight of every matrix has the score 1, however small it is.
    groups = [group("large", (3,)), group("small", (3,))]
    scores = [np.array([100.0, 101.0, 102.0]), np.array([0.1, 0.2, 0.9])]
    masks = ranking.choose(groups, scores, 1 / 3, "lamp")
    # 100^2/(100^2+101^2+102^2) = 0.327, 0.1^2/0.86 = 0.012, 0.2^2/0.85 = 0.047.
    np.testing.assert_array_equal(masks, [[True, True, True], [False, False, True]])


def test_units_that_are_gone_already_take_no_part():
    groups = [group("a", (6,))]
    alive = [np.array([False, False, True, True, True, True])]
    masks = ranking.choose(groups, [np.arange(6.0)], 0.5, "local", alive)
    np.testing.assert_array_equal(masks[0], [True, True, False, False, True, True])
    masks = ranking.choose(groups, [np.arange(6.0)], 0.5, "global", alive)
    np.testing.assert_array_equal(masks[0], [True, True, False, False, True, True])


def test_a_global_ranking_leaves_the_best_head_of_a_layer():
    groups = [group("a", (3,), "head", 5), group("b", (3,), "head", 5)]
    scores = [np.array([1.0, 2.0, 3.0]), np.array([7.0, 8.0, 9.0])]
    masks = ranking.choose(groups, scores, 0.5, "global")
    np.testing.assert_array_equal(masks, [[False, False, True], [False, True, True]])


def test_units_of_different_size_are_counted_by_their_weights():
    groups = [group("a", (4,), "row", 1), group("b", (4,), "row", 3)]
    scores = [np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, 6.0, 7.0, 8.0])]
    # 16 weights. The best row of each stays, so 1 + 1 + 1 go, then rows of three: 3, 6, 9, 12.
    masks = ranking.choose(groups, scores, 0.5, "global")
    np.testing.assert_array_equal(masks, [[False, False, False, True], [False, False, True, True]])
    masks = ranking.choose(groups, scores, 0.3, "global")
    np.testing.assert_array_equal(masks, [[False, False, False, True], [False, True, True, True]])


@pytest.mark.parametrize(
    ("what", "count", "sparsity", "how", "named"),
    [
        ("head", 12, 0.3, "local", ("0.25 or 0.3333",)),
        ("head", 12, 0.97, "local", ("heads in a", "0.9167")),
        ("head", 12, 0.25, "local", None),
        ("row", 384, 0.3, "local", None),  # 115 of 384 are 29.9 %.
        ("weight", 48, 0.999, "local", None),
    ],
)
def test_a_sparsity_that_units_cannot_reach(what, count, sparsity, how, named):
    groups = [group("a", (count,), what, 7)]
    if named is None:
        ranking.require_reachable(groups, sparsity, how)
        return
    with refuses(UserError, *named):
        ranking.require_reachable(groups, sparsity, how)


def test_what_an_earlier_method_has_left_of_a_layer_is_not_emptied():
    groups = [group("a", (4,), "head", 5), group("b", (4,), "head", 5), group("c", (4,), "head", 5)]
    scores = [np.arange(4.0) + 1, np.arange(4.0) + 10, np.arange(4.0) + 20]
    alive = [np.array(one, bool) for one in ([0, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0])]
    # Of 3 heads that are left 0.9 are 2.7: all three would go.
    masks = ranking.choose(groups, scores, 0.9, "global", alive)
    kept = [list(np.flatnonzero(mask & live)) for mask, live in zip(masks, alive, strict=True)]
    assert kept == [[3], [1], []]
    (told,) = ranking.limits(groups, masks, 0.9, alive)
    assert told.startswith("0.3333 of what earlier methods have left is gone, and not 0.9")
    assert "one head of each" in told


def test_a_matrix_that_a_global_ranking_empties_is_named():
    groups = [group("layer_0/query", (4,)), group("layer_1/query", (4,))]
    scores = [np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, 6.0, 7.0, 8.0])]
    masks = ranking.choose(groups, scores, 0.5, "global")
    assert ranking.limits(groups, masks, 0.5, None) == [
        "all weights of layer_0/query are gone: only its bias is left of it"
    ]
    # Weights that an earlier method has left decide, not those that are gone anyway.
    alive = [np.array([1, 1, 0, 0], bool), np.ones(4, bool)]
    masks = ranking.choose(groups, scores, 1 / 3, "global", alive)
    assert len(ranking.limits(groups, masks, 1 / 3, alive)) == 1
    assert not ranking.limits(groups, ranking.choose(groups, scores, 0.25, "global"), 0.25, None)
