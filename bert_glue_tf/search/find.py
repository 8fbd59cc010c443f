"""The choice of a level for every block: the least rise of the loss within bytes and milliseconds.

A knapsack with one choice for each block, solved exactly as an integer program (HiGHS, by SciPy):
Kwon et al. 2022, "A Fast Post-Training Pruning Framework for Transformers"
(https://arxiv.org/abs/2204.09656), section 4.1, has heads and neurons under a bound of time;
Kurtic et al. 2023, "ZipLM" (https://arxiv.org/abs/2302.04089), has measured times and levels. That
rises add up is an assumption, which `refine` goes beyond.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import optimize, sparse

from bert_glue_tf.core import quiet
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.search.costs import PIECES, Cost, CostTable
from bert_glue_tf.search.levels_record import Levels
from bert_glue_tf.search.structure import Structure

_SLACK = 1e-9  # Of a budget: what is lost in the last digits of a sum.


@dataclasses.dataclass(frozen=True)
class Budget:
    """The most that a file may take.

    Attributes:
      max_bytes: of the file; infinity for any size.
      max_ms: of one text; infinity for any time.
    """

    max_bytes: float = math.inf
    max_ms: float = math.inf

    def __post_init__(self) -> None:
        for name, value in (("max_bytes", self.max_bytes), ("max_ms", self.max_ms)):
            if not value > 0:
                raise ValueError(f"{name}={value}: has to be above 0")

    def holds(self, cost: Cost) -> bool:
        """Tell whether a cost is within the budget."""
        return cost.bytes <= self.max_bytes * (1 + _SLACK) and cost.ms <= self.max_ms * (1 + _SLACK)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A structure that was chosen.

    Attributes:
      recipe: of the file.
      choice: the number of a level for each block of the levels.
      structure: what stays.
      predicted: its cost by the table.
      rise: the sum of its levels' rises.
      keeps: True where the predicted cost is within the budget.
      least: bytes and milliseconds of the smallest and of the fastest network that the levels have.
      measured: the rise of the assembled network on the same texts; NaN where it was not measured.
    """

    recipe: str
    choice: tuple[int, ...]
    structure: Structure
    predicted: Cost
    rise: float
    keeps: bool
    least: Cost
    measured: float = math.nan


@dataclasses.dataclass(frozen=True)
class Problem:
    """The levels of all blocks in numbers, for one recipe.

    Attributes:
      rises: of each block, float64 [levels].
      costs: of each block, float64 [levels, 2]: bytes and milliseconds.
      rest: float64 [2], of what belongs to no block.
    """

    rises: Sequence[np.ndarray]
    costs: Sequence[np.ndarray]
    rest: np.ndarray

    @classmethod
    def of(cls, levels: Levels, table: CostTable) -> Problem:
        """Return the problem of measured levels and costs."""
        last, costs = levels.layers - 1, []
        for block in levels.blocks:
            found = [
                table.pieces(len(one.units))
                if block.kind == PIECES
                else table.block(block.kind, len(one.units), block.layer == last)
                for one in block.levels
            ]
            costs.append(np.array([(one.bytes, one.ms) for one in found]))
        rest = table.empty(levels.layers)
        rises = [np.array([one.rise for one in block.levels]) for block in levels.blocks]
        return cls(rises, costs, np.array([rest.bytes, rest.ms]))

    def cost(self, choice: Sequence[int]) -> Cost:
        """Return the cost of a choice."""
        picked = (one[level] for one, level in zip(self.costs, choice, strict=True))
        return Cost(*map(float, sum(picked, start=self.rest.copy())))

    def rise(self, choice: Sequence[int]) -> float:
        """Return the sum of the rises of a choice."""
        return float(sum(one[level] for one, level in zip(self.rises, choice, strict=True)))

    @property
    def least(self) -> Cost:
        """Return the bytes of the smallest and the milliseconds of the fastest network."""
        return Cost(*map(float, self.rest + sum(one.min(axis=0) for one in self.costs)))

    def weighted(self, weights: Sequence[float] | np.ndarray) -> Problem:
        """Return the same problem with the rises of each block times its weight."""
        rises = [one * weight for one, weight in zip(self.rises, weights, strict=True)]
        return dataclasses.replace(self, rises=rises)

    def solve(self, budget: Budget) -> tuple[int, ...] | None:
        """Return the choice with the least sum of rises within a budget; None where none keeps it.

        Raises:
          RuntimeError: the solver has failed.
        """
        bounds = np.array([budget.max_bytes, budget.max_ms])
        found = self._milp(np.zeros(2), bounds, self._flat_rises(), extra=None)
        return None if found is None else found[0]

    def nearest(self, budget: Budget) -> tuple[int, ...]:
        """Return the choice that exceeds a budget by the least factor, and of these the best one.

        The larger of the two factors counts, of bytes and of milliseconds.

        Raises:
          RuntimeError: the solver has failed.
        """
        bounds = np.array([budget.max_bytes, budget.max_ms])
        none = np.zeros(sum(map(len, self.rises)))
        found = self._milp(bounds, np.zeros(2), none, extra=1.0)
        assert found is not None  # A factor that is large enough allows everything.
        factor = found[1] * (1 + 1e-6)
        best = self._milp(np.zeros(2), bounds * factor, self._flat_rises(), extra=None)
        return found[0] if best is None else best[0]

    def _flat_rises(self) -> np.ndarray:
        return np.concatenate(self.rises)

    def _milp(
        self,
        factors: np.ndarray,
        bounds: np.ndarray,
        objective: np.ndarray,
        extra: float | None,
    ) -> tuple[tuple[int, ...], float] | None:
        """Minimize `objective` of the levels, plus `extra` times a factor t of 0 or more.

        Each cost has to be at most `bounds + factors * t`; t is there where `extra` is a number.
        """
        counts = [len(one) for one in self.rises]
        total, has_factor = sum(counts), extra is not None
        one_each = sparse.block_diag([np.ones((1, count)) for count in counts])
        costs = np.concatenate(self.costs).T - 0.0
        finite = np.isfinite(bounds) & np.isfinite(factors)
        # In shares of what the whole takes, since bytes are millions and milliseconds few.
        scale = np.maximum(costs.max(axis=1), 1e-12)
        rows, upper = (
            costs[finite] / scale[finite, None],
            (bounds - self.rest)[finite] / scale[finite],
        )
        if has_factor:
            one_each = sparse.hstack([one_each, sparse.csr_array((len(counts), 1))])
            rows = np.column_stack([rows, -(factors / np.where(finite, scale, 1))[finite]])
        constraints = [optimize.LinearConstraint(one_each, 1, 1)]
        if len(rows):
            constraints.append(optimize.LinearConstraint(rows, -np.inf, upper + _SLACK))
        largest = np.abs(objective).max(initial=0.0) or 1.0
        highest = np.append(np.ones(total), [np.inf] if has_factor else [])
        with quiet.native_output():  # The solver prints the names of its functions now and then.
            found = optimize.milp(
                np.append(objective / largest, [extra] if has_factor else []),
                integrality=np.append(np.ones(total), [0] if has_factor else []),
                bounds=optimize.Bounds(0, highest),
                constraints=constraints,
                options={"mip_rel_gap": 1e-9},
            )
        if found.status == 2:  # No choice keeps the bounds.
            return None
        if found.x is None:
            raise RuntimeError(f"the integer program has no solution: {found.message}")
        parts = np.split(found.x[:total], np.cumsum(counts)[:-1])
        choice = tuple(int(part.argmax()) for part in parts)
        return choice, float(found.x[-1]) if has_factor else 0.0


def find(levels: Levels, tables: Mapping[str, CostTable], budget: Budget) -> list[Candidate]:
    """Choose a level for every block, once for each recipe.

    Args:
      levels: measured.
      tables: recipe -> its costs.
      budget: the most that the file may take.

    Returns:
      The best structure of each recipe: those that keep the budget first, with the least rise
      first. Where none of a recipe keeps it, the nearest one: `keeps` is False, and `least` says
      what is possible.
    """
    found = []
    for recipe, table in tables.items():
        problem = Problem.of(levels, table)
        choice = problem.solve(budget)
        choice = problem.nearest(budget) if choice is None else choice
        found.append(candidate(levels, problem, recipe, choice, budget))
    return sorted(found, key=lambda one: (not one.keeps, one.rise))


def candidate(
    levels: Levels, problem: Problem, recipe: str, choice: Sequence[int], budget: Budget
) -> Candidate:
    """Return a choice as a candidate."""
    cost = problem.cost(choice)
    return Candidate(
        recipe=recipe,
        choice=tuple(choice),
        structure=levels.structure(choice),
        predicted=cost,
        rise=problem.rise(choice),
        keeps=budget.holds(cost),
        least=problem.least,
    )


def front(
    levels: Levels, table: CostTable, points: int = 8, by: str = "ms", budget: Budget | None = None
) -> list[Candidate]:
    """Return structures from the whole network to the smallest, each the best one of its cost.

    Args:
      levels: measured.
      table: of one recipe.
      points: how many, the whole network and the smallest one among them; equal ones stand once.
      by: `ms` or `bytes`: what is bounded in geometric steps.
      budget: holds for all of them besides; those that cannot keep it are left out.

    Raises:
      ValueError: `by` is neither.
    """
    if by not in ("ms", "bytes"):
        raise ValueError(f"by={by!r}: neither ms nor bytes")
    problem, budget = Problem.of(levels, table), budget or Budget()
    whole, least = (getattr(one, by) for one in (problem.cost(levels.whole), problem.least))
    found: dict[tuple[int, ...], Candidate] = {}
    for most in np.geomspace(whole, max(least, whole * 1e-6), points):
        name = f"max_{by}"
        bound = min(float(most), getattr(budget, name))
        choice = problem.solve(dataclasses.replace(budget, **{name: bound * (1 + _SLACK)}))
        if choice is not None:
            found[choice] = candidate(levels, problem, table.of_what.recipe, choice, budget)
    return list(found.values())


def require_possible(candidates: Sequence[Candidate], budget: Budget) -> list[Candidate]:
    """Return the candidates that keep the budget.

    Raises:
      UserError: there is none; the message says the least possible.
    """
    kept = [one for one in candidates if one.keeps]
    if kept:
        return kept
    parts = []
    smallest = min(candidates, key=lambda one: one.least.bytes)
    fastest = min(candidates, key=lambda one: one.least.ms)
    if math.isfinite(budget.max_bytes):
        parts.append(
            f"--max_mb={budget.max_bytes / 1e6:g}: without any head, neuron and needless word "
            f"piece the {smallest.recipe} file has {smallest.least.bytes / 1e6:.2f} MB"
        )
    if math.isfinite(budget.max_ms):
        parts.append(
            f"--max_ms={budget.max_ms:g}: without any head and neuron the {fastest.recipe} file "
            f"takes {fastest.least.ms:.3g} ms"
        )
    near = candidates[0]
    raise UserError(
        f"no file keeps the budget. {'; '.join(parts)}. The nearest is "
        f"{near.recipe} with {near.predicted.bytes / 1e6:.2f} MB and {near.predicted.ms:.3g} ms."
    )
