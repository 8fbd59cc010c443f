"""Grids of the study of local against global pruning: a model by ranking and sparsity."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.studies import words
from bert_glue_tf.studies.cells import Cell, cell
from bert_glue_tf.studies.zeros import RANKINGS

METHOD = "magnitude"
TASKS = tuple(
    name for name, task in tasks.TASKS.items() if task.file_format == "aspects"
)  # The study's domain.

# (ranking, sparsity) -> settings of a run.
Pruned = Callable[[str, float], Mapping[str, str]]


class Way(enum.Enum):
    """A way to compare the two rankings; the value is its name in flags and files."""

    EQUAL = "equal"
    REGROWN = "regrown"

    @property
    def told(self) -> str:
        """The way in words."""
        return _TOLD[self]

    @property
    def explained(self) -> str:
        """The way in a sentence or two."""
        return _EXPLAINED[self]


_TOLD = {
    Way.EQUAL: "equal sparsity",
    Way.REGROWN: "as the authors' code",
}


_EXPLAINED = {
    Way.EQUAL: (
        "Equal sparsity: weights are pruned once and for good along a schedule, and the best epoch "
        "after its end is scored; local is one sparsity for every matrix, global one for all "
        "weights together, so that both have as many zeros."
    ),
    Way.REGROWN: (
        "As the authors' code: pruned after each epoch, and no mask is kept, so that weights grow "
        "back in the next; local by the shares in that code, layer by layer, and global by its "
        "amounts, which are not the same: the columns of zeros say what is gone in truth. Biases "
        "are not pruned here."
    ),
}


def sparsities(values: Sequence[str]) -> list[float]:
    """Return `["0.1", "0.5"]` as numbers, ascending.

    Raises:
      UserError: one is no number above 0 and below 1.
    """
    try:
        found = sorted({float(value) for value in values})
    except ValueError:
        found = []
    if not found or not all(0.0 < value < 1.0 for value in found):
        raise UserError(
            f"--sparsities={','.join(values)}: give numbers above 0 and below 1, as in 0.1,0.5,0.9."
        )
    return found


@dataclasses.dataclass(frozen=True)
class Grid:
    """One model, unpruned and by each ranking at each sparsity.

    Attributes:
      name: of its files.
      title: the name to call it by.
      unpruned: the model that is not pruned.
      pruned: (ranking, sparsity) -> model.
      model: name of the study's model (`local_global_models.MODELS`); empty for a task alone.
      way: how the rankings are compared.
    """

    name: str
    title: str
    unpruned: Cell
    pruned: Mapping[tuple[str, float], Cell]
    model: str = ""
    way: Way = Way.EQUAL

    @property
    def task(self) -> str:
        """The task's name."""
        return self.unpruned.task

    @property
    def sparsities(self) -> tuple[float, ...]:
        """The sparsities, ascending."""
        return tuple(dict.fromkeys(sparsity for _, sparsity in self.pruned))

    @property
    def cells(self) -> list[Cell]:
        """All its models, the unpruned one first."""
        return [self.unpruned, *self.pruned.values()]


def pruned_cells(
    given: Mapping[str, str], at: Sequence[float], seeds: Sequence[int], settings: Pruned
) -> dict[tuple[str, float], Cell]:
    """Return (ranking, sparsity) -> model.

    Args:
      given: settings of the trainings.
      at: the sparsities.
      seeds: of each.
      settings: those that a ranking and a sparsity add.

    Raises:
      UserError: a setting is none of a run.
    """
    return {
        (ranking, sparsity): cell(
            f"{ranking} {words.percent(sparsity)}",
            {**given, "ranking": ranking, **settings(ranking, sparsity)},
            METHOD,
            seeds,
        )
        for sparsity in at
        for ranking in RANKINGS
    }


def of_tasks(
    names: Sequence[str], given: Mapping[str, str], at: Sequence[float], seeds: Sequence[int]
) -> list[Grid]:
    """Return a grid for each task, of one encoder and with equal sparsity.

    Args:
      names: of the tasks.
      given: settings of the trainings.
      at: the sparsities.
      seeds: of each.

    Raises:
      UserError: no task or no such task is given, or a setting is none of a run.
    """
    if not names:
        raise UserError(f"--tasks=: give some of {', '.join(TASKS)}.")
    found = []
    for name in names:
        tasks.get(name)
        own = {**given, "task": name}
        found.append(
            Grid(
                name,
                name,
                cell("unpruned", own, NO_PRUNING, seeds),
                pruned_cells(own, at, seeds, lambda _, s: {"final_sparsity": str(s)}),
            )
        )
    return found
