"""The structures of a compression: found, refined, tightened, and read again where it goes on."""

from __future__ import annotations

import dataclasses
import json

import pytest
from messages import refuses

from bert_glue_tf.budget.candidates import Candidates
from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.settings import Limits
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.search.costs import CURVES, Cost, CostTable
from bert_glue_tf.search.levels_record import Block, Level, Levels

LAYERS, HEADS, NEURONS, PIECES = 2, 4, 8, 100


def levels():
    """Levels of 2 layers: a unit that goes costs more in the first one; pieces cost least."""
    blocks = []
    for layer in range(LAYERS):
        for kind, units in (("attention", HEADS), ("feed_forward", NEURONS)):
            worth = (2 - layer) * (0.1 if kind == "attention" else 0.05)
            some = [Level(tuple(range(n)), worth * (units - n)) for n in range(0, units + 1, 2)]
            blocks.append(Block(kind, layer, tuple(some)))
    few, all_of = tuple(range(PIECES // 2)), tuple(range(PIECES))
    blocks.append(Block("pieces", -1, (Level(few, 0.01), Level(all_of, 0.0))))
    return Levels(tuple(blocks))


def table(recipe="int4", factor=1.0):
    """A head takes 100 kB and 0.1 ms, a neuron 10 kB and 0.02 ms, a piece 5 kB; the rest 200 kB."""
    costs = {"attention": (HEADS, 1e5, 0.1), "feed_forward": (NEURONS, 1e4, 0.02)}
    curves = {}
    for name in CURVES:
        units, size, ms = costs.get(name.removeprefix("last_"), (PIECES, 5e3, 0.0))
        curves[name] = [[0, 0.0, 0.0], [units, factor * units * size, units * ms]]
    key = {"way": "", **{name: {} for name in ("machine", "versions", "shape")}}
    key |= {"recipe": recipe, "length": 64, "lengths": [64], "threads": 2}
    return CostTable(key=key, rest=[2e5, 0.3], layer=[0.0, 0.0], curves=curves)


WHOLE = Cost(2e5 + 2 * (4e5 + 8e4) + 5e5, 0.3 + 2 * (0.4 + 0.16))


def candidates(
    path,
    limits,
    refine=lambda one, budget: dataclasses.replace(one, measured=0.5),
    measured=None,
):
    tables = {"int4": table(), "dynamic_int8": table("dynamic_int8", 2.0)}
    return Candidates(CompressFolder(path), limits, measured or levels(), tables, refine)


def test_the_best_structure_of_each_recipe_keeps_the_budget(tmp_path):
    found = candidates(tmp_path, Limits(max_mb=1.2)).first()
    assert [one.name for one in found] == ["searched-int4", "searched-dynamic_int8"]
    sizes = [one.candidate.structure.sizes for one in found]
    assert all(one.candidate.predicted.bytes <= 1.2e6 for one in found)
    # Half of the pieces are the cheapest loss; the first layer's heads are worth most.
    assert sizes[0].pieces == PIECES // 2
    assert sizes[0].heads[0] >= sizes[0].heads[1]
    assert sum(sizes[1].heads) < sum(sizes[0].heads)  # As int8 it has to be smaller.


def test_a_recipe_that_cannot_keep_the_budget_is_left_out(tmp_path):
    found = candidates(tmp_path, Limits(max_mb=0.6)).first()
    assert [one.candidate.recipe for one in found] == ["int4"]


def test_a_budget_below_an_empty_network_is_refused_with_the_least_possible(tmp_path):
    # 200 kB of the rest, 250 kB of the fewest pieces and 16 kB of metadata; nothing is as fast as
    # 0.3 ms.
    with refuses(UserError, "--max_mb=0.4", "the int4 file has 0.47 MB"):
        candidates(tmp_path / "a", Limits(max_mb=0.4)).first()
    (found,) = candidates(tmp_path / "c", Limits(max_mb=0.47)).first()
    assert found.candidate.structure.sizes.heads == (0, 0)
    with refuses(UserError, "--max_ms=0.2", "0.3 ms"):
        candidates(tmp_path / "b", Limits(max_ms=0.2)).first()


def test_a_file_above_the_budget_asks_for_a_smaller_structure(tmp_path):
    asked = candidates(tmp_path, Limits(max_mb=1.2))
    first = asked.first()[0]
    # Its file takes 1.3 times as much as was predicted.
    costs = {"int4": Cost(1.3 * first.candidate.predicted.bytes, 0.9)}
    measured = asked.measured(first, lambda: costs)["int4"]
    other = asked.tightened(first, 1, measured)
    assert other.name == "searched-int4-2"
    ratio = measured.bytes / first.candidate.predicted.bytes
    assert other.candidate.predicted.bytes * ratio <= 1.2e6
    assert other.candidate.rise > first.candidate.rise
    none = Cost(100 * first.candidate.predicted.bytes, 1.0)
    assert asked.tightened(other, 2, none) is None


def test_structures_are_refined_and_measured_once_and_read_again(tmp_path):
    asked = candidates(tmp_path, Limits(max_mb=1.2))
    first = asked.first()[0]
    better = asked.refined(first)
    assert better.candidate.measured == 0.5
    costs = {"int4": Cost(1.0, 2.0), "dynamic_int8": Cost(1.5, 1.0)}
    asked.measured(first, lambda: costs)

    def fail(*_):
        raise AssertionError("done before")

    again = candidates(tmp_path, Limits(max_mb=1.2), refine=fail)
    assert again.first()[0].candidate.structure == first.candidate.structure
    assert again.refined(first) == dataclasses.replace(better, costs=costs)
    assert again.measured(first, fail) == costs
    # An earlier version has measured one file of each.
    file = CompressFolder(tmp_path).candidates_file
    some = json.loads(file.read_text())
    for one in some:
        known = one.pop("costs")
        one["cost"] = known.get("int4")
    file.write_text(json.dumps(some))
    earlier = candidates(tmp_path, Limits(max_mb=1.2), refine=fail)
    assert earlier.measured(first, fail) == {"int4": Cost(1.0, 2.0)}


def test_a_damaged_file_of_structures_is_refused(tmp_path):
    file = CompressFolder(tmp_path).candidates_file
    file.write_text(json.dumps([{"name": "searched-int4"}]))
    with refuses(UserError, str(file)):
        candidates(tmp_path, Limits(max_mb=1.2))


@pytest.mark.parametrize("change", ["other units", "fewer levels", "fewer blocks"])
def test_structures_of_other_levels_than_those_of_now_are_refused(tmp_path, change):
    candidates(tmp_path, Limits(max_mb=1.2)).first()
    *others, pieces = levels().blocks
    if change == "other units":
        few, all_of = pieces.levels
        few = dataclasses.replace(few, units=tuple(range(PIECES // 2, PIECES)))
        blocks = (*others, dataclasses.replace(pieces, levels=(few, all_of)))
    elif change == "fewer levels":
        blocks = (dataclasses.replace(others[0], levels=others[0].levels[:1]), *others[1:], pieces)
    else:
        blocks = (*others[2:], pieces)
    with refuses(UserError, "other levels", "--workdir"):
        candidates(tmp_path, Limits(max_mb=1.2), measured=Levels(blocks))


def test_a_limit_of_the_score_alone_asks_for_a_ladder_from_the_whole_network_down(tmp_path):
    asked = candidates(tmp_path, Limits(max_drop=0.01))
    steps = asked.ladder()
    times = [one.candidate.predicted.ms for one in steps]
    assert times == sorted(times, reverse=True)
    assert times[0] == pytest.approx(WHOLE.ms)
    assert times[-1] == pytest.approx(0.3)
    assert steps[0].candidate.recipe == "int4"
    assert [one.name for one in candidates(tmp_path, Limits(max_drop=0.01)).ladder()] == [
        one.name for one in steps
    ]


def test_a_structure_is_tried_in_every_recipe_that_keeps_the_budget(tmp_path):
    asked = candidates(tmp_path, Limits(max_mb=1.2))
    int4, int8 = asked.first()
    assert list(asked.predicted(int8, asked._limits)) == ["int4", "dynamic_int8"]
    assert list(asked.predicted(int4, asked._limits)) == ["int4"]
