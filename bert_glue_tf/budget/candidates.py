"""The structures that keep the budget by their cost tables, written as smaller runs, and measured.

A structure is found by what its parts are worth and what they cost (`search`). Its file is then
made and timed before anything is trained: where it is above the budget, since tables are off by a
few per cent, the budget of the search is tightened by as much, and another one is found.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Self

from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.record import SEARCHED
from bert_glue_tf.budget.settings import METADATA, Limits
from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.search.costs import Cost, CostTable
from bert_glue_tf.search.find import Budget, Candidate, find, front, require_possible
from bert_glue_tf.search.levels_record import Levels
from bert_glue_tf.search.structure import Structure

TIGHTENINGS = 2  # Of the search's budget, where a file is above the one that is asked for.
# The shares of size and time that a search may fill, so that not every first file is above the
# budget: predicted sizes are off by less than a hundredth, times by a few.
_ROOM, _ROOM_OF_TIME = 0.99, 0.97
_STEP = 1e4  # Bytes: the last digit of the megabytes in a message.
STEPS = 8  # Of the ladder of structures, where only the loss of the score is limited.


@dataclasses.dataclass(frozen=True)
class Found:
    """A structure that was found, with the name of the run that it is written as.

    Attributes:
      name: of the run's folder.
      candidate: the structure, its recipe and what it costs by prediction.
      budget: of the search that has found it.
      costs: recipe -> of its file as measured; empty before.
    """

    name: str
    candidate: Candidate
    budget: Budget
    costs: Mapping[str, Cost] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it in JSON types."""
        values = dataclasses.asdict(self.candidate)
        return {
            "name": self.name,
            "costs": {name: dataclasses.asdict(one) for name, one in self.costs.items()},
            "budget": {n: _number(v) for n, v in dataclasses.asdict(self.budget).items()},
            **values,
            "measured": _number(self.candidate.measured),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_json` gave."""
        measured = values["measured"]
        candidate = Candidate(
            recipe=str(values["recipe"]),
            choice=tuple(values["choice"]),
            structure=Structure.from_json(values["structure"]),
            predicted=Cost(**values["predicted"]),
            rise=float(values["rise"]),
            keeps=bool(values["keeps"]),
            least=Cost(**values["least"]),
            measured=math.nan if measured is None else float(measured),
        )
        budget = {n: math.inf if v is None else v for n, v in values["budget"].items()}
        if "costs" in values:
            costs = {str(name): Cost(**one) for name, one in values["costs"].items()}
        else:  # Of an earlier version, which has measured the file of one recipe.
            known = values["cost"]
            costs = {} if known is None else {candidate.recipe: Cost(**known)}
        return cls(str(values["name"]), candidate, Budget(**budget), costs)


# Candidate, and the budget that it is to keep -> a better one, judged as a whole.
Refine = Callable[[Candidate, Budget], Candidate]


def _number(value: float) -> float | None:
    """Return a number as JSON has it: None for NaN and infinity."""
    return value if math.isfinite(value) else None


class Candidates:
    """The structures of a compression: found once, and read again where it goes on.

    Args:
      folder: of the compression.
      limits: the budget.
      levels: what the parts of the run are worth.
      tables: recipe -> what they cost.
      refine: makes a structure better within its budget.
    """

    def __init__(
        self,
        folder: CompressFolder,
        limits: Limits,
        levels: Levels,
        tables: Mapping[str, CostTable],
        refine: Refine,
    ) -> None:
        self._folder, self._limits = folder, limits
        self._levels, self._tables = levels, tables
        self._refine = refine
        self._found = {one.name: one for one in self._read()}

    def first(self) -> list[Found]:
        """Return the best structure of each recipe that can keep the budget by prediction.

        Raises:
          UserError: no network is so small or so fast; the message says the least possible.
        """
        asked = _budget(self._limits)
        budget = Budget(_ROOM * asked.max_bytes, _ROOM_OF_TIME * asked.max_ms)
        found = [self._sought(f"{SEARCHED}-{one}", one, budget) for one in self._tables]
        # Where none keeps the room free, the nearest one may keep the budget itself.
        keeping = [one for one in found if keeps(one.candidate.predicted, self._limits)]
        if not keeping:
            told = [_as_exported(one.candidate) for one in found]
            require_possible(told, _budget(self._limits, 0))
        return sorted(keeping, key=lambda one: one.candidate.rise)

    def known(self, name: str) -> Found | None:
        """Return a structure that was found, by the name of its run; None where there is none."""
        return self._found.get(name)

    def refined(self, found: Found) -> Found:
        """Return the structure after a search that judges structures as a whole, made once."""
        known = self._found[found.name]
        if math.isnan(known.candidate.measured):
            better = self._refine(known.candidate, known.budget)
            known = dataclasses.replace(known, candidate=better)
            self._found[found.name] = known
            self._write()
        return known

    def measured(
        self, found: Found, measure: Callable[[], Mapping[str, Cost]]
    ) -> Mapping[str, Cost]:
        """Return what the files of a structure cost, by recipe, measured once and then kept."""
        known = self._found[found.name]
        if not known.costs:
            known = dataclasses.replace(known, costs=measure())
            self._found[found.name] = known
            self._write()
        return known.costs

    def tightened(self, found: Found, number: int, measured: Cost) -> Found | None:
        """Return another structure for a recipe whose file is above the budget.

        Args:
          found: the structure of the file.
          number: of the tightening, from 1.
          measured: what the file costs.

        Returns:
          None where no network is so small.
        """
        asked, predicted = _budget(self._limits), found.candidate.predicted
        budget = Budget(
            max_bytes=_scaled(asked.max_bytes, predicted.bytes, measured.bytes),
            max_ms=_scaled(asked.max_ms, predicted.ms, measured.ms),
        )
        recipe = found.candidate.recipe
        other = self._sought(f"{SEARCHED}-{recipe}-{number + 1}", recipe, budget)
        return other if other.candidate.keeps else None

    def ladder(self) -> list[Found]:
        """Return structures from the largest to the smallest, for a budget of the score alone.

        They are those of the predicted front between time and loss, by the table of the recipe
        with the smallest files.
        """
        found = find(self._levels, self._tables, Budget())
        recipe = min(found, key=lambda one: one.least.bytes).recipe
        steps = front(self._levels, self._tables[recipe], points=STEPS, by="ms")
        ordered = sorted(steps, key=lambda one: -one.predicted.ms)
        return [
            self._kept(Found(f"{SEARCHED}-{recipe}-step{place}", one, _own_budget(one)))
            for place, one in enumerate(ordered, start=1)
        ]

    def predicted(self, found: Found, limits: Limits) -> dict[str, Cost]:
        """Return the cost of a structure's file in each recipe that keeps the size and the time.

        Its own recipe is always among them.
        """
        own = found.candidate.recipe
        costs = {
            name: t.predict(found.candidate.structure.sizes) for name, t in self._tables.items()
        }
        return {name: one for name, one in costs.items() if name == own or keeps(one, limits)}

    def _sought(self, name: str, recipe: str, budget: Budget) -> Found:
        """Return the best structure of a recipe within a budget, found once and then kept."""
        if name in self._found:
            return self._found[name]
        (best,) = find(self._levels, {recipe: self._tables[recipe]}, budget)
        return self._kept(Found(name, best, budget))

    def _kept(self, found: Found) -> Found:
        """Return the structure of the same name of an earlier process, or this one, now kept."""
        if found.name not in self._found:
            self._found[found.name] = found
            self._write()
        return self._found[found.name]

    def _write(self) -> None:
        values = [one.to_json() for one in self._found.values()]
        write_atomically(self._folder.candidates_file, json.dumps(values) + "\n")

    def _read(self) -> list[Found]:
        path = self._folder.candidates_file
        if not path.exists():
            return []
        try:
            found = [Found.from_json(one) for one in strict_json.loads(path.read_text("utf-8"))]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{path}: not the structures of a compression ({error}). Remove it, and the same "
                "command finds them again."
            ) from error
        if not all(self._is_of_levels(one.candidate) for one in found):
            raise UserError(
                f"{path}: its structures are made of other levels than those that are measured now "
                "(of another version of this program, or measured anew). Give another --workdir; "
                "this one is untouched."
            )
        return found

    def _is_of_levels(self, candidate: Candidate) -> bool:
        """Tell if the choice of a structure still means the same by these levels."""
        try:
            return self._levels.structure(candidate.choice) == candidate.structure
        except (IndexError, ValueError):
            return False


def keeps(cost: Cost, limits: Limits) -> bool:
    """Tell if a cost is within the limits of size and time."""
    return _budget(limits).holds(cost)


def _as_exported(candidate: Candidate) -> Candidate:
    """Return a structure with the bytes that an export adds to its file.

    The least size is rounded up to what a message shows of it, so that who gives it is served.
    """
    least = _STEP * math.ceil((candidate.least.bytes + METADATA) / _STEP)
    size = candidate.predicted.bytes + METADATA
    return dataclasses.replace(
        candidate,
        least=Cost(least, candidate.least.ms),
        predicted=Cost(size, candidate.predicted.ms),
    )


def _own_budget(candidate: Candidate) -> Budget:
    """Return what a structure costs, as the budget of others that are as small and as fast."""
    return Budget(max_bytes=candidate.predicted.bytes, max_ms=candidate.predicted.ms)


def _budget(limits: Limits, reserved: int = METADATA) -> Budget:
    """Return the limits of size and time, without the bytes that are kept free."""
    return Budget(
        max_bytes=math.inf if limits.max_mb is None else max(1.0, 1e6 * limits.max_mb - reserved),
        max_ms=math.inf if limits.max_ms is None else limits.max_ms,
    )


def _scaled(asked: float, predicted: float, measured: float) -> float:
    """Return the budget of a prediction whose measurement would keep what is asked."""
    return asked if measured <= asked else _ROOM * asked * predicted / measured
