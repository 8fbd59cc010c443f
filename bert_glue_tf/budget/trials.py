"""The files that are tried: made of a run, scored on held-out training examples, timed in turns.

No validation example is looked at here.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging

from bert_glue_tf.budget.choice import Contender
from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.record import ORIGINAL, SEARCHED, Trial
from bert_glue_tf.budget.settings import CompressSettings
from bert_glue_tf.core import files
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.core.progress import doing
from bert_glue_tf.data import batching, problems
from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.layouts import Padded
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import bootstrap, collapse, evaluator, metrics, significance
from bert_glue_tf.export import benchmark, flatbuffer, session_apart
from bert_glue_tf.export.defaults import CALIBRATION_EXAMPLES, REPETITIONS
from bert_glue_tf.export.litert import LiteModel
from bert_glue_tf.export.making import Maker
from bert_glue_tf.export.timings import Timing
from bert_glue_tf.models.quantization import recipes as known
from bert_glue_tf.models.quantization.recipes import FLOAT32
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.search.costs import Cost
from bert_glue_tf.training import thresholds


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """The training examples that files are chosen by.

    Attributes:
      examples: with labels.
      train: the training split without them.
      was_seen: True where the original run was trained on them.
    """

    examples: Examples
    train: Examples
    was_seen: bool


class Trials:
    """Makes, scores and times the files of runs, each once however often the command is given.

    Args:
      folder: of the compression.
      settings: of it.
      lengths: in word pieces, at which the files can run, ascending.
      held_out: the examples that they are scored on.
      original: the run that all are compared with; its float32 file is made and scored first.
      train: the whole training split, whose sentences static recipes are calibrated on, as in any
        other export.
    """

    def __init__(
        self,
        folder: CompressFolder,
        settings: CompressSettings,
        lengths: Sequence[int],
        held_out: HeldOut,
        original: Run,
        train: Examples,
    ) -> None:
        self._train = train
        self._folder, self._settings, self._lengths = folder, settings, tuple(lengths)
        self._held_out = held_out
        self._known = {one.key: one for one in folder.trials() if self._is_there(one)}
        self._original = original
        self.base = self.of_run(original, ORIGINAL, {FLOAT32: None}, ORIGINAL)[0]

    def of_run(
        self, run: Run, stage: str, recipes: Mapping[str, Cost | None], name: str = ""
    ) -> list[Trial]:
        """Return the trials of a run's files, made now where they are not there yet.

        The float32 file of a run is always scored, since what quantization costs is measured
        against it; it is kept for the original run only.

        Args:
          run: a finished one.
          stage: how its network came about.
          recipes: name of a recipe -> the cost that was predicted; None where none was.
          name: of the run in the records; by default that of its folder.
        """
        name = name or run.path.name
        missing = [one for one in (FLOAT32, *recipes) if (name, one) not in self._known]
        if missing:
            self._make(run, name, stage, dict.fromkeys(missing), recipes)
        return [self._known[name, recipe] for recipe in recipes]

    def known_of(self, name: str) -> list[Trial]:
        """Return the files of a run that were tried, and are kept."""
        return [one for one in self._known.values() if one.run == name and one.file]

    def known(self, name: str, recipe: str) -> Trial:
        """Return a file that was tried, by this process or by an earlier one.

        Args:
          name: of the run.
          recipe: of the file.

        Raises:
          UserError: it is not there any more.
        """
        if (name, recipe) not in self._known:
            path = self._path(name, recipe)
            raise UserError(
                f"{path}: this file was chosen, and is not there or not whole. Restore it, or give "
                "another --workdir."
            )
        return self._known[name, recipe]

    def _make(
        self,
        run: Run,
        name: str,
        stage: str,
        missing: Mapping[str, None],
        predicted: Mapping[str, Cost | None],
    ) -> None:
        # The original reads texts as long as it was trained on: what a shorter file cuts off is a
        # loss of that file.
        lengths = {*self._lengths, run.config.seq_length} if stage == ORIGINAL else self._lengths
        maker = Maker(
            run,
            sorted(lengths),
            self._train,
            CALIBRATION_EXAMPLES,
            run.folder.model / "preprocessing",
        )
        split = batching.tokenize(maker.preprocessor, thresholds.HELD_OUT, self._held_out.examples)
        if split.tokens.cut and stage == SEARCHED:
            logging.warning(
                "%s of the %s training examples that decide are longer than the %d word pieces of "
                "the file, and are cut; --seq_lengths=%s has it read them whole",
                f"{split.tokens.cut:,}",
                f"{len(split):,}",
                self._lengths[-1],
                ",".join(map(str, (*self._lengths, run.config.seq_length))),
            )
        maker.convert()
        for recipe in missing:
            model, _ = maker.make(known.get(recipe))
            content = flatbuffer.write(model)
            path = self._path(name, recipe)
            # Of float32 only the original's is timed and shown.
            is_kept = recipe != FLOAT32 or stage == ORIGINAL
            if is_kept:
                write_atomically(path, content)
            texts = "training examples" if self._held_out.was_seen else "held-out training examples"
            with doing(f"{name}, {recipe}: scoring on {len(split):,} {texts}"):
                logits = _answers(content, self._settings.threads, split, recipe)
            self._write_logits(name, recipe, logits)
            cost = predicted.get(recipe)
            trial = self._trial(run, split, logits, name, recipe)
            trial = dataclasses.replace(
                trial,
                stage=stage,
                bytes=len(content),
                file=str(path.relative_to(self._folder.path)) if is_kept else "",
                sha256=files.sha256(path) if is_kept else "",
                predicted={} if cost is None else {"bytes": cost.bytes, "ms": cost.ms},
            )
            self._folder.add(trial)
            self._known[trial.key] = trial
        maker.close()

    def _trial(self, run: Run, split: Split, logits: np.ndarray, name: str, recipe: str) -> Trial:
        """Return the trial of a file's answers, without the facts of the file itself."""
        task, labels = run.task, split.labels
        metric = metrics.of(task.problem, task.primary_metric)
        is_sound = not problems.diverged(logits)
        outputs = task.problem.decode(logits) if is_sound else None
        interval = None
        if outputs is not None:
            interval = bootstrap.interval(task.problem, metric, labels, outputs)
        mark = collapse.marked([collapse.judge(task, labels, logits, interval)])
        drop, drop_interval = self._drop(run, split, logits, name, recipe)
        rise, rise_error = self._rise(task, labels, logits, name, recipe)
        widths = run.result.widths.get("after", ())
        return Trial(
            run=name,
            stage="",
            recipe=recipe,
            file="",
            sha256="",
            bytes=0,
            predicted={},
            widths=[dict(one) for one in widths],
            pieces=len(_vocabulary(run)),
            metric=task.primary_metric,
            score=float(metric(labels, outputs)) if outputs is not None else math.nan,
            interval=interval,
            loss=task.problem.loss(labels, logits),
            drop=drop,
            drop_interval=drop_interval,
            rise=rise,
            rise_error=rise_error,
            examples=len(split),
            was_seen=self._held_out.was_seen,
            collapsed=mark.collapsed,
            at_chance=mark.at_chance,
        )

    def _drop(
        self, run: Run, split: Split, logits: np.ndarray, name: str, recipe: str
    ) -> tuple[float, tuple[float, float] | None]:
        """Return by how much the score is lower than the original's, and the 95 % interval."""
        if (name, recipe) == (ORIGINAL, FLOAT32):
            return 0.0, (0.0, 0.0)
        base = self._read_logits(ORIGINAL, FLOAT32)
        if problems.diverged(base) or problems.diverged(logits):
            return math.nan, None
        found = significance.compare(
            run.task.problem,
            metrics.of(run.task.problem, run.task.primary_metric),
            split.labels,
            [self._original.task.problem.decode(base)],
            [run.task.problem.decode(logits)],
        ).reversed()
        return found.mean, found.interval if found.is_defined else None

    def _rise(
        self, task: TaskSpec, labels: np.ndarray, logits: np.ndarray, name: str, recipe: str
    ) -> tuple[float, float]:
        """Return by how much the loss rises against the run's float32 file, and the error of it."""
        if recipe == FLOAT32:
            return 0.0, 0.0
        base = self._read_logits(name, FLOAT32)
        pairs = [_losses(task, labels, one) for one in (base, logits)]
        rises = pairs[1] - pairs[0]
        return float(rises.mean()), float(rises.std(ddof=1) / math.sqrt(len(rises)))

    def timed(self, trials: Sequence[Trial], length: int) -> tuple[Contender, list[Contender], str]:
        """Time files in turns with the original's float32 file, in one session.

        Args:
          trials: of files that are kept.
          length: in word pieces.

        Returns:
          The original's file with its time; the others with theirs; the name of the session.
        """
        every = [self.base, *(one for one in trials if one.key != self.base.key)]
        found = session_apart.session(
            [benchmark.File(self._folder.path / t.file, t.run, t.recipe) for t in every],
            length,
            threads=self._settings.threads,
            repetitions=REPETITIONS,
        )
        ms = [milliseconds(one, length) for one in found]
        contenders = [Contender(t, m) for t, m in zip(every, ms, strict=True)]
        return contenders[0], contenders[1:], found[0].session

    def _path(self, name: str, recipe: str) -> pathlib.Path:
        return self._folder.files / name / f"{recipe}.tflite"

    def _logits_file(self, name: str, recipe: str) -> pathlib.Path:
        return self._path(name, recipe).with_suffix(".npy")

    def _write_logits(self, name: str, recipe: str, logits: np.ndarray) -> None:
        path = self._logits_file(name, recipe)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, logits)

    def _read_logits(self, name: str, recipe: str) -> np.ndarray:
        found: np.ndarray = np.load(self._logits_file(name, recipe))
        return found

    def _is_there(self, trial: Trial) -> bool:
        """Tell if what a record tells of is there and whole."""
        path = self._folder.path / trial.file
        is_whole = not trial.file or (path.is_file() and files.sha256(path) == trial.sha256)
        return is_whole and self._logits_file(*trial.key).is_file()


def milliseconds(timing: Timing, length: int) -> float:
    """Return the time of a file that is held against a limit: the median of a session.

    Where others kept the machine at work it is the shortest one, which they have disturbed least.
    """
    timed = timing.latency[str(length)]
    return timed["min"] if timing.was_busy else timed["p50"]


def _answers(content: bytes, threads: int, split: Split, recipe: str) -> np.ndarray:
    """Return the logits float32 [n, width] of a file."""
    model = LiteModel(content, threads, recipe)
    return evaluator.predict(
        model.predict,
        split.tokens,
        evaluator.EVALUATION_BATCH,
        Padded(lengths=tuple(model.lengths)),
    )


def _losses(task: TaskSpec, labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the loss of each example, float64 [n]."""
    return np.array(
        [task.problem.loss(labels[i : i + 1], logits[i : i + 1]) for i in range(len(labels))]
    )


def _vocabulary(run: Run) -> list[str]:
    """Return the word pieces of a run's tokenizer."""
    (path,) = (run.folder.model / "preprocessing" / "assets").glob("*")
    return path.read_text(encoding="utf-8").split("\n")[:-1]
