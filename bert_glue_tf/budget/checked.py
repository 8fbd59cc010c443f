"""A compression that has been checked, and its plan; nothing here needs TensorFlow."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping

from bert_glue_tf.budget import starts, steps
from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.record import FINAL, SEARCHED
from bert_glue_tf.budget.settings import AWARE_EPOCHS, CompressSettings, held_out_of
from bert_glue_tf.budget.steps import Planned
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.export.settings import check_data
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.search import estimates
from bert_glue_tf.search import launch as searching
from bert_glue_tf.sweeps.executors import choice as executors
from bert_glue_tf.training import task_settings

# About how long things take for the embedded encoder (90 MB) on two cores, in seconds; what depends
# on the size of the network is scaled by it.
_FILE, _RESULT = 25.0, 60.0
_BYTES = 90e6
# Of the time that an epoch of the original took: what one of a network within a budget takes, with
# a teacher.
_SHARE = 0.6


@dataclasses.dataclass(frozen=True)
class Launch:
    """A compression that has been checked, before anything is begun.

    Attributes:
      run: that is to be made smaller.
      settings: of the compression.
      folder: path of its folder, which is not claimed before `launch.work`.
      read: split -> examples of the run.
      lengths: in word pieces, at which files can run, ascending.
      is_search_only: True stops before any training.
      workers: trainings at a time.
      cluster: value of --cluster; empty for this machine.
    """

    run: Run
    settings: CompressSettings
    folder: pathlib.Path
    read: Mapping[str, Examples]
    lengths: tuple[int, ...]
    is_search_only: bool = False
    workers: int = 1
    cluster: str = ""

    @classmethod
    def check(
        cls,
        path: pathlib.Path,
        settings: CompressSettings,
        workdir: pathlib.Path | None = None,
        *,
        is_search_only: bool = False,
        workers: int = 1,
        cluster: str = "",
    ) -> Launch:
        """Look at all that can be wrong without TensorFlow.

        Args:
          path: folder of a finished run.
          settings: of the compression.
          workdir: its folder; by default beside the run, with the run's name and the budget.
          is_search_only: see `Launch`.
          workers: see `Launch`.
          cluster: see `Launch`.

        Raises:
          UserError: the cluster's address is none, the folder holds no finished run, its encoder
            has no heads and neurons that can be taken out, it does not read texts of such a length,
            or its data has changed.
        """
        executors.executor(workers, cluster).reach()  # Refuses before anything is read.
        run = Run.read(path)
        searching.check(run)
        lengths = _lengths(run, settings)
        read = readers.load_for_training(run.task, run.config.data, run.config.train_examples)
        check_data(run, read)
        folder = workdir or path.resolve().with_name(settings.name_for(path.resolve().name))
        launch = cls(run, settings, folder, read, lengths, is_search_only, workers, cluster)
        launch._require_held_out()
        return launch

    @property
    def length(self) -> int:
        """The length in word pieces at which files are timed."""
        return self.settings.at_length or self.lengths[-1]

    @property
    def stage(self) -> str:
        """The stage of the choice that the result is of."""
        return SEARCHED if self.is_search_only else FINAL

    @property
    def own_held_out(self) -> int:
        """The number of training texts that the run itself has kept apart."""
        return task_settings.held_out_of(self.run.config, self.run.task, len(self.read["train"]))

    @property
    def held_out(self) -> int:
        """The number of training texts that files are chosen by."""
        return self.own_held_out or held_out_of(len(self.read["train"]), self.settings.held_out)

    @property
    def is_trained_again(self) -> bool:
        """Tell if the run is trained once more without the held-out texts.

        What a run has learned by heart it loses when it is made smaller, and no held-out text has
        ever known: a loss of the score is judged on texts that the original has not seen either.
        """
        return not self.own_held_out and self.settings.limits.max_drop is not None

    @functools.cached_property
    def learned_by(self) -> pathlib.Path | None:
        """The run, or one that it started from, that may have learned from the held-out texts."""
        return starts.who_learned(self.run, self.held_out)

    @property
    def was_seen(self) -> bool:
        """Tell if the original may have learned from the texts that files are chosen by."""
        is_kept_apart = self.own_held_out or self.is_trained_again
        return not is_kept_apart or self.learned_by is not None

    def _require_held_out(self) -> None:
        """Refuse to judge a loss where no text is held out, and none can be.

        Raises:
          UserError: --max_drop of a run that cannot be trained again, or whose start knows all
            texts, or that would have to be trained again where nothing is to be trained.
        """
        if self.settings.limits.max_drop is None:
            return
        head = (
            f"--max_drop={self.settings.limits.max_drop}: a loss is judged on training texts that "
            "the run has not learned from, and "
        )
        path, learned, start = self.run.path, self.learned_by, self.run.config.start
        if learned == path:
            raise UserError(
                f"{head}{path} was trained by another program, on all of them for all that is "
                "known. Give --max_mb and --max_ms alone."
            )
        if self.is_trained_again and not self.run.config.epochs:
            raise UserError(
                f"{head}{path} was made of {start} without any training, so that it cannot be "
                f"trained again without some of them. Give --run={start}, or --max_mb and --max_ms "
                "alone."
            )
        if learned:
            raise UserError(
                f"{head}{path} started from {learned}, which may have learned from them. Give "
                f"--max_mb and --max_ms alone, or train both with --held_out={self.held_out}."
            )
        if self.is_trained_again and self.is_search_only:
            raise UserError(
                f"{head}{path} has learned from all of them: it is trained once more without some, "
                "which --search_only leaves no room for. Leave that out, or give --max_mb and "
                "--max_ms alone."
            )

    def planned(self) -> list[Planned]:
        """Return the steps with about what they take, as far as an earlier process has not."""
        done = {one.name for one in CompressFolder(self.folder).steps()}
        size = self.run.result.bytes["plain"] / _BYTES
        recipes, epoch = len(self.settings.recipes), self._epoch
        search = estimates.of(self.run, recipes)
        found: list[tuple[str, str, float | None]] = [
            (steps.COSTS, self._told_costs, search.tables),
            (steps.WORTH, "measuring what heads, neurons and word pieces are worth", search.levels),
            (
                steps.STRUCTURES,
                f"the smaller networks of {self._listed}, their files tried untrained",
                (search.refine + search.write + 2 * _FILE * size) * recipes,
            ),
        ]
        if self.is_trained_again:
            text = f"the run once more, with {self.held_out:,} of its training texts held out"
            config = self.run.config  # Whose starting point is trained once more too.
            epochs = config.epochs + config.finetune_epochs
            found.insert(0, (steps.AGAIN, text, _times(epochs, epoch)))
        if not self.is_search_only:
            each = None if epoch is None else epoch * _SHARE
            trainings, files = self.settings.trainings, _FILE * size
            epochs = self.settings.epochs * trainings
            found += [
                (
                    steps.TRAININGS,
                    self._told_trainings,
                    _times(epochs / self.workers, each, trainings * (recipes + 1) * files),
                ),
                (
                    steps.AWARE,
                    "training on for the grids of the best file, where that pays",
                    _times(AWARE_EPOCHS, each, files),
                ),
            ]
        found.append(
            (
                steps.RESULT,
                "the file, scored on validation once and timed, with its parts too",
                _RESULT * size + estimates.of(self.run, 1).tables,
            )
        )
        is_finished = CompressFolder(self.folder).outcome(self.stage) is not None
        done.discard(steps.RESULT)  # It may be that of an earlier stage.
        return [Planned(n, text, s, n in done or is_finished) for n, text, s in found]

    @property
    def _epoch(self) -> float | None:
        """The seconds of an epoch of the run; None where this program has not trained it."""
        epochs, seconds = self.run.config.epochs, self.run.result.speed.get("seconds")
        return seconds / epochs if epochs and seconds else None

    @property
    def _told_trainings(self) -> str:
        settings = self.settings
        text = (
            f"up to {settings.trainings} of them trained for {settings.epochs} epochs, with a "
            "teacher"
        )
        if settings.learning_rate or self.run.config.epochs:
            return text
        # An untrained run has no learning rate of its own, and its settings the default.
        return f"{text}, at --learning_rate={self.run.config.learning_rate:g}, the default"

    @property
    def _listed(self) -> str:
        return " and ".join(self.settings.recipes)

    @property
    def _told_costs(self) -> str:
        return f"what parts of a network cost on this machine, as {self._listed}"


def _times(epochs: float, seconds: float | None, more: float = 0.0) -> float | None:
    """Return the seconds of some epochs and of something more; None where nothing is known."""
    return None if seconds is None else epochs * seconds + more


def _lengths(run: Run, settings: CompressSettings) -> tuple[int, ...]:
    """Return the lengths at which files can run, ascending.

    Raises:
      UserError: the run reads no texts of such a length, or is not timed at one of them.
    """
    longest, at = run.config.seq_length, settings.at_length
    for name, values in {"at_length": (at,), "seq_lengths": settings.seq_lengths}.items():
        for value in values:
            if value > longest:
                raise UserError(
                    f"--{name}={value}: {run.path} reads texts of at most {longest} word pieces "
                    f"(its --seq_length). Good: {longest} or less."
                )
    found = tuple(sorted(set(settings.seq_lengths))) or (at or longest,)
    if at and at not in found:
        raise UserError(
            f"--at_length={at}: the file would run at {', '.join(map(str, found))} only. Give a "
            "length of --seq_lengths, or add this one."
        )
    return found
