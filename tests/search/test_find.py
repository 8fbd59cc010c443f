"""The choice of levels: against every choice there is, and where no choice keeps the budget."""

from __future__ import annotations

import itertools
import math
import os

import numpy as np
import pytest
from messages import refuses
from scipy import optimize
from search_tables import table_of

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.search.costs import PIECES, Cost
from bert_glue_tf.search.find import Budget, Problem, find, front, require_possible
from bert_glue_tf.search.levels_record import Block, Level, Levels


def problem(random):
    """A problem of two to four blocks with two to four levels each, fewer of which cost less."""
    counts = random.integers(2, 5, random.integers(2, 5))
    rises = [np.sort(random.random(count))[::-1] for count in counts]
    costs = [np.sort(random.random((count, 2)) * [1e6, 3], axis=0) for count in counts]
    return Problem(rises, costs, np.array([5e5, 0.2]))


def within(one, share):
    """The budget at a share of the way from the least to the most that a problem can cost."""
    least, most = one.least, one.cost([len(rises) - 1 for rises in one.rises])
    return Budget(
        least.bytes + share[0] * (most.bytes - least.bytes),
        max(0.01, least.ms + share[1] * (most.ms - least.ms)),
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_choice_is_the_best_of_all(seed):
    random = np.random.default_rng(seed)
    one = problem(random)
    budget = within(one, random.uniform(-0.1, 1.0, 2))
    every = list(itertools.product(*(range(len(rises)) for rises in one.rises)))
    kept = [choice for choice in every if budget.holds(one.cost(choice))]
    found = one.solve(budget)
    if kept:
        assert budget.holds(one.cost(found))
        assert one.rise(found) == pytest.approx(min(map(one.rise, kept)))
        return

    def excess(choice):
        cost = one.cost(choice)
        return max(cost.bytes / budget.max_bytes, cost.ms / budget.max_ms)

    assert found is None
    assert excess(one.nearest(budget)) == pytest.approx(min(map(excess, every)), rel=1e-5)


def test_what_the_solver_prints_stays_off_the_terminal(monkeypatch, capfd):
    solve = optimize.milp

    def printing(*arguments, **options):
        os.write(1, b"HighsMipSolverData\n")
        return solve(*arguments, **options)

    monkeypatch.setattr(optimize, "milp", printing)
    one = problem(np.random.default_rng(0))
    assert one.solve(within(one, (1.0, 1.0))) is not None
    assert capfd.readouterr().out == ""


def levels():
    """Two layers of two heads and four neurons, and a vocabulary of ten pieces."""

    def block(kind, layer, units, rises):
        kept = [Level(tuple(range(n)), r) for n, r in zip(units, rises, strict=True)]
        return Block(kind, layer, tuple(kept))

    return Levels(
        (
            block("attention", 0, (0, 1, 2), (0.5, 0.1, 0.0)),
            block("feed_forward", 0, (0, 2, 4), (0.4, 0.2, 0.0)),
            block("attention", 1, (0, 1, 2), (0.9, 0.6, 0.0)),
            block("feed_forward", 1, (0, 2, 4), (0.02, 0.01, 0.0)),
            block(PIECES, -1, (5, 10), (0.3, 0.0)),
        )
    )


TABLE = table_of(
    rest=(1000.0, 1.0),
    layer=(100.0, 0.1),
    attention=[(2, 200.0, 2.0)],
    feed_forward=[(4, 400.0, 4.0)],
    last_attention=[(2, 200.0, 1.0)],
    last_feed_forward=[(4, 400.0, 0.4)],
    pieces=[(10, 1000.0, 0.0)],
)
WHOLE = Cost(1000 + 100 + 600 + 600 + 1000, 1 + 0.1 + 6 + 1.4)


def test_each_recipe_has_its_best_structure_and_those_that_keep_the_budget_come_first():
    smaller = table_of(**{**TABLE.curves_given, "rest": (500.0, 1.0)}, recipe="int4")
    # By 400 bytes too large: the neurons of the last layer go, which costs 0.02.
    budget = Budget(WHOLE.bytes - 400)
    first, second = find(levels(), {"int8": TABLE.table, "int4": smaller.table}, budget)
    assert (first.recipe, second.recipe) == ("int4", "int8")
    assert first.rise == 0
    assert first.choice == levels().whole
    assert second.rise == pytest.approx(0.02)
    assert second.structure.sizes.neurons == (4, 0)
    assert second.structure.neurons[0] == (0, 1, 2, 3)
    assert second.predicted == Cost(WHOLE.bytes - 400, pytest.approx(WHOLE.ms - 0.4))
    assert second.keeps
    assert math.isnan(second.measured)


def test_without_a_structure_that_keeps_the_budget_the_nearest_and_the_least_are_told():
    (only,) = find(levels(), {"int8": TABLE.table}, Budget(1500.0, 1.0))
    assert not only.keeps
    assert only.least == Cost(1000 + 100 + 500, pytest.approx(1.1))
    assert only.predicted == only.least
    with refuses(UserError, "--max_mb=0.0015", "--max_ms=1", "0.00 MB", "1.1 ms"):
        require_possible([only], Budget(1500.0, 1.0))
    possible = find(levels(), {"int8": TABLE.table}, Budget(1600.0))
    assert require_possible(possible, Budget(1600.0)) == possible


def test_a_front_goes_from_the_whole_network_to_the_smallest():
    found = front(levels(), TABLE.table, points=6, by="ms")
    assert found[0].choice == levels().whole
    assert found[-1].predicted.ms == pytest.approx(1.1)
    times = [one.predicted.ms for one in found]
    rises = [one.rise for one in found]
    assert times == sorted(times, reverse=True)
    assert rises == sorted(rises)
    small = front(levels(), TABLE.table, points=6, by="bytes", budget=Budget(max_ms=3.0))
    assert small
    assert all(one.predicted.ms <= 3.0 for one in small)


def test_a_budget_is_above_zero():
    with pytest.raises(ValueError, match="max_ms"):
        Budget(max_ms=0.0)
