"""The plan of a sweep: its runs in the order in which they are run."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers
from bert_glue_tf.models import encoders
from bert_glue_tf.runs import config, suggestions
from bert_glue_tf.runs.config import PRUNING, ExperimentConfig
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.sweeps.executors.base import Task
from bert_glue_tf.sweeps.grid import Settings
from bert_glue_tf.training import cluster, teachers


@dataclasses.dataclass(frozen=True)
class Run(Task):
    """One run of a sweep.

    Attributes:
      config: its settings.
      folder: where it is run.
      needs: names of the runs that have to be finished before, as the one whose weights it
        starts from.
      in_grid: whether the grid asks for it, not only another run that starts from it.
      chosen: its values of the grid's settings; of those that mean nothing for it, none.
    """

    config: ExperimentConfig
    folder: RunFolder
    needs: tuple[str, ...]
    in_grid: bool
    chosen: Settings = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.folder.path.name

    @property
    def log(self) -> pathlib.Path:
        return self.folder.path.with_name(f"{self.name}.log")

    @property
    def command(self) -> Sequence[str]:
        return (
            "bert_glue_tf.train",
            f"--config={os.path.abspath(self.folder.config_file)}",
            f"--workdir={os.path.abspath(self.folder.path)}",
        )

    @property
    def lock(self) -> pathlib.Path:
        return self.folder.lock.absolute()

    @property
    def beside(self) -> Sequence[str]:
        return self.needs

    @property
    def root(self) -> pathlib.Path:
        return self.folder.path.parent.absolute()

    @property
    def paths(self) -> Sequence[pathlib.Path]:
        # Settings hold folders and files as absolute paths.
        values = [str(value) for value in self.config.to_json().values()]
        return [pathlib.Path(value) for value in values if os.path.isabs(value)]

    def open(self) -> int:
        return RunFolder.open(self.folder.path, self.config).hand_over()

    def record(self) -> ExperimentResult | None:
        return self.folder.record()

    @property
    def title(self) -> str:
        """The name, and the values of the grid that the name does not tell."""
        told = ", ".join(f"{k}={v}" for k, v in self.chosen.items() if k not in config.NAMED)
        return f"{self.name} ({told})" if told else self.name


def plan(
    configs: Sequence[ExperimentConfig], root: pathlib.Path, names: Sequence[str] = ()
) -> list[Run]:
    """Return the runs in the order in which they are run, each once, after those that it needs.

    Args:
      configs: of the runs that are asked for.
      root: folder of all runs.
      names: the settings of the grid, by which its runs are told apart.
    """
    asked = {one.run_name: one for one in configs}
    needed: dict[str, ExperimentConfig] = {}
    for one in configs:
        _add_needed(one, needed)
    ordered = {**needed, **asked}
    return [
        Run(
            config=one,
            folder=RunFolder(root / name, one),
            needs=tuple(other.run_name for other in one.needs),
            in_grid=name in asked,
            chosen=chosen_values(one, names) if name in asked else {},
        )
        for name, one in ordered.items()
    ]


def _add_needed(config: ExperimentConfig, found: dict[str, ExperimentConfig]) -> None:
    """Add the runs that a run needs, each after those that it needs itself."""
    for other in config.needs:
        _add_needed(other, found)
        found.setdefault(other.run_name, other)


def chosen_values(one: ExperimentConfig, names: Sequence[str]) -> Settings:
    """Return a run's values of the grid's settings; of --prune, the method it stands for."""
    unused = one.unused_teaching + (PRUNING if one.pruning_method == NO_PRUNING else ())
    shown = dict.fromkeys("pruning_method" if name == "prune" else name for name in names)
    return {name: str(getattr(one, name)) for name in shown if name not in unused}


def check_methods(runs: Sequence[Run]) -> None:
    """Refuse settings of runs that do not fit their pruning methods.

    Raises:
      UserError: as `config.check_method`, for any of the runs.
    """
    for run in runs:
        config.check_method(run.config)


def check(runs: Sequence[Run]) -> None:
    """Check, without TensorFlow, that the encoders, teachers and data of runs can be had.

    Raises:
      UserError: one cannot; the message says what would work.
    """
    configs = [run.config for run in runs]
    asked = {(c.task, c.encoder, c.preprocessing, c.seq_length, c.data): c for c in configs}
    for strategy in {run.config.strategy for run in runs}:
        if cluster.of(strategy):
            raise UserError(
                f"--strategy={strategy}: {cluster.VARIABLE} names several workers, and each run of "
                "a sweep is a machine's own. Unset it; --cluster runs a sweep on several machines."
            )
    for one in asked.values():
        source = encoders.resolve(one.encoder, one.preprocessing)
        with suggestions.suggesting_local_command(one, source):
            encoders.check(source, one.seq_length)
            task = readers.task_of(one)
            encoders.check_examples(source, task.modality)
            readers.check(task, one.data)
    for one in {(c.task, c.data, c.teacher, c.start): c for c in configs}.values():
        if one.teacher:
            teachers.check(one, readers.task_of(one))
