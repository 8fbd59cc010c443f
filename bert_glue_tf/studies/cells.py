"""Cell: one model of a study's table, with all its seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.sweeps import grid as grids


@dataclasses.dataclass(frozen=True)
class Cell:
    """One model of a table, with all its seeds.

    Attributes:
      label: the name to call it by there.
      configs: its runs' settings, which differ in the seed only.
    """

    label: str
    configs: tuple[ExperimentConfig, ...]

    @property
    def task(self) -> str:
        """The task's name."""
        return self.configs[0].task

    @property
    def starting_point(self) -> Cell | None:
        """The fine-tuned model that its runs start from."""
        found = [start for one in self.configs if (start := one.starting_point) is not None]
        return Cell(f"{self.label}, starting point", tuple(found)) if found else None


def cell(label: str, given: Mapping[str, str], method: str, seeds: Sequence[int]) -> Cell:
    """Return a model by its settings.

    Raises:
      UserError: they are none of a run.
    """
    grid = {"pruning_method": [method], "seed": [str(seed) for seed in seeds]}
    return Cell(label, tuple(grids.configurations(given, grid)))
