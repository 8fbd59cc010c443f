"""The work of a compression: from the costs and the worth of parts to the files that are chosen."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from bert_glue_tf.analysis.launch import launch as measure_sensitivity
from bert_glue_tf.budget import choice, mixed, training
from bert_glue_tf.budget.candidates import TIGHTENINGS, Candidates, Found, keeps
from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.record import (
    QUANTIZE_AWARE,
    SEARCHED,
    TRAINED,
    Choice,
    Trial,
)
from bert_glue_tf.budget.settings import CompressSettings
from bert_glue_tf.budget.trials import HeldOut, Trials
from bert_glue_tf.core import quantities
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.models.quantization import recipes as known
from bert_glue_tf.models.quantization.recipes import Half
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.search import making, writing
from bert_glue_tf.search.costs import Cost, CostTable
from bert_glue_tf.search.session import Search
from bert_glue_tf.sweeps.executors import base

# The cost of quantization is worth a remedy where it is above noise, in standard errors, and the
# loss rises by so much at least: less moves no score.
_ABOVE_NOISE, _LEAST_RISE = 2.0, 1e-3
_AWARE = "aware"  # Begins the names of networks that were trained for their grids.
_WRITTEN = 4  # Structures that are written of a ladder, at most; a bisection needs no more.


@dataclasses.dataclass(frozen=True)
class Job:
    """The run, the examples and the settings that a compression works with.

    Attributes:
      original: the run that is made smaller, and the teacher.
      settings: of the compression.
      folder: of it.
      lengths: in word pieces, at which files can run, ascending.
      length: at which they are timed.
      read: split -> examples of the run.
      held_out: those that files are chosen by.
      held_out_count: how many training texts no training sees.
      executor: where trainings are run.
    """

    original: Run
    settings: CompressSettings
    folder: CompressFolder
    lengths: tuple[int, ...]
    length: int
    read: Mapping[str, Examples]
    held_out: HeldOut
    held_out_count: int
    executor: base.Executor[Any] | None = None


class Work:
    """The phases after costs and levels; each goes on where an earlier process has stopped.

    Args:
      job: what is worked on.
      search: in the original's classifier.
      candidates: finds the structures.
      tables: recipe -> the cost of a network's parts.
    """

    def __init__(
        self,
        job: Job,
        search: Search,
        candidates: Candidates,
        tables: Mapping[str, CostTable],
    ) -> None:
        self._job, self._search = job, search
        self._candidates, self._tables = candidates, tables
        self._limits = job.settings.limits
        self._trials = Trials(
            job.folder, job.settings, job.lengths, job.held_out, job.original, job.read["train"]
        )
        self._tried: list[Trial] = []
        self._found: dict[str, Found] = {}  # By the names of their runs.
        self._networks: dict[str, Run] = {}
        self._keeping: set[str] = set()  # Those of which a file was measured to keep the budget.

    def search(self) -> str:
        """Write the smaller networks, try their files, and return what came of it in words."""
        if self._limits.is_of_costs:
            for found in _different(self._candidates.first()):
                self._searched_within(found)
        else:
            ladder = self._candidates.ladder()
            self._searched(ladder[0])  # The whole network, quantized: nothing may lose less.
            self._bisect(ladder, _WRITTEN, self._searched)
        return f"smaller networks, untrained: {_scores(self._tried, SEARCHED)}"

    def train(self) -> str:
        """Train the most promising networks with their teacher, and try their files."""
        most = self._job.settings.trainings
        if self._limits.is_of_costs:
            self._trained(self._most_promising(most))
        else:
            self._bisect(self._candidates.ladder(), most, self._train_one)
        return f"trained with the original as teacher: {_scores(self._tried, TRAINED)}"

    def train_for_grids(self) -> str:
        """Train on for the grids of the best file, where its quantization costs more than noise."""
        chosen = self.choose(TRAINED)
        best = self._trials.known(chosen.run, chosen.recipe)
        recipe = known.get(best.recipe)
        is_above = _is_above_noise(best)
        if best.stage != TRAINED or recipe.untrained or not is_above:
            return (
                f"not needed: what {best.recipe} costs the best file so far is within noise"
                if not is_above
                else "not possible for the best file so far"
            )
        name = f"{_AWARE}-{best.run.removeprefix(f'{TRAINED}-')}-{best.recipe}"
        done = self._train_runs({name: training.aware(self.run_of(best.run), best.recipe)})
        self._try(done[name], QUANTIZE_AWARE, {best.recipe: _predicted(best)})
        return f"trained on for its grids: {_scores(self._tried, QUANTIZE_AWARE)}"

    def choose(self, stage: str) -> Choice:
        """Return the choice among all files so far, made once and then kept."""
        kept = self._job.folder.choice(stage)
        if kept is not None:
            return kept
        base, contenders, session = self._trials.timed(self._tried, self._job.length)
        judged = contenders
        if stage != SEARCHED and self._job.held_out.was_seen:
            # What was not trained since still knows the held-out texts by heart, and would win.
            trained = [one for one in contenders if one.trial.stage != SEARCHED]
            judged = trained or contenders
        chosen = choice.choose(judged, self._limits)
        made = Choice(
            stage=stage,
            run=chosen.contender.trial.run,
            recipe=chosen.contender.trial.recipe,
            missed=chosen.missed,
            reason=chosen.reason,
            milliseconds={" ".join(c.trial.key): c.ms for c in [base, *contenders]},
            session=session,
        )
        self._job.folder.add(made)
        return made

    def run_of(self, name: str) -> Run:
        """Return the run of a network by the name of its folder, an earlier process's too."""
        if name not in self._networks:
            self._networks[name] = Run.read(self._job.folder.path / name)
        return self._networks[name]

    def beside_parts(self, chosen: Choice, file: pathlib.Path) -> Mapping[str, Any]:
        """Return the time of the chosen file in turns with the parts of its network.

        Args:
          chosen: the choice.
          file: of it.

        Returns:
          Milliseconds, all of one session: `predicted` by the costs of the parts, and `measured`;
          and `busy`, a warning that others kept the machine at work, or nothing. Empty where
          nothing was predicted of the file, or its structure is not known any more.

        Raises:
          UserError: the file's folder cannot be written.
        """
        trial = self._trials.known(chosen.run, chosen.recipe)
        found = self._candidates.known(_searched_name(chosen))
        if not trial.predicted:
            return {}
        if found is None or not _is_of(found, trial):
            logging.warning(
                "%s: the structures were found anew since it was made, so that its time is not "
                "predicted once more",
                chosen.run,
            )
            return {}
        halves = known.halves_of(chosen.recipe)
        names = [mixed.INT4, mixed.INT8] if halves else [chosen.recipe]
        job, sizes = self._job, found.candidate.structure.sizes
        timed = making.beside(
            job.original,
            names,
            file,
            length=job.length,
            threads=job.settings.threads,
            lengths=job.lengths,
        )
        if halves:
            cost = mixed.cost(sizes, halves, *(timed.tables[name] for name in names))
        else:
            cost = timed.tables[chosen.recipe].predict(sizes)
        return {"predicted": cost.ms, "measured": timed.ms, "busy": timed.busy}

    def _searched_within(self, found: Found) -> None:
        """Write a structure and try its files; while all are above the budget, a smaller one."""
        for number in range(TIGHTENINGS + 1):
            trials = self._searched(found)
            costs = self._candidates.measured(found, functools.partial(self._costs, trials))
            if any(keeps(one, self._limits) for one in costs.values()):
                self._keeping.add(found.name)
                return
            measured = costs[found.candidate.recipe]
            logging.info(
                "%s: %s and %s ms, above the budget",
                found.name,
                quantities.size(measured.bytes),
                quantities.significant(measured.ms),
            )
            other = self._candidates.tightened(found, number + 1, measured)
            if number == TIGHTENINGS or other is None:
                return
            found = other

    def _costs(self, trials: Sequence[Trial]) -> dict[str, Cost]:
        """Return the bytes of files by recipe, and their milliseconds in a session of all."""
        _, timed, _ = self._trials.timed(trials, self._job.length)
        return {one.trial.recipe: Cost(one.trial.bytes, one.ms) for one in timed}

    def _searched(self, found: Found) -> list[Trial]:
        """Write a structure as a run, and try its files."""
        found, path = self._candidates.refined(found), self._job.folder.path / found.name
        writing.write(self._search, found.candidate, path)
        self._found[found.name] = found
        return self._try(Run.read(path), SEARCHED, self._predicted(found))

    def _train_one(self, found: Found) -> list[Trial]:
        if found.name not in self._found:
            self._searched(found)
        return self._trained([found])

    def _trained(self, some: Sequence[Found]) -> list[Trial]:
        """Train networks that are written, and try their files, mixed ones too."""
        job = self._job
        configs = {
            one.name.replace(SEARCHED, TRAINED, 1): training.student(
                job.original,
                self._networks[one.name],
                job.settings,
                job.held_out_count,
                job.held_out.train,
            )
            for one in some
        }
        trials = []
        for found, run in zip(some, self._train_runs(configs).values(), strict=True):
            trials += self._try(run, TRAINED, self._predicted(found))
            trials += self._try(run, TRAINED, self._mixed(found, run))
        return trials

    def _train_runs(self, configs: Mapping[str, Any]) -> dict[str, Run]:
        return training.run_all(configs, self._job.folder.path, self._job.executor)

    def _predicted(self, found: Found) -> Mapping[str, Cost | None]:
        """Return all recipes in which a structure can keep the budget, and the predicted costs."""
        return self._candidates.predicted(found, self._limits)

    def _try(self, run: Run, stage: str, recipes: Mapping[str, Cost | None]) -> list[Trial]:
        """Try files of a network: in some recipes, and in those that an earlier process has tried.

        Costs that were measured anew since then may predict another set of recipes.
        """
        self._networks[run.path.name] = run
        earlier = {one.recipe: _predicted(one) for one in self._trials.known_of(run.path.name)}
        wanted = {**recipes, **{n: cost for n, cost in earlier.items() if n not in recipes}}
        trials = self._trials.of_run(run, stage, wanted) if wanted else []
        self._tried += [one for one in trials if one not in self._tried]
        return trials

    def _mixed(self, found: Found, run: Run) -> dict[str, Cost | None]:
        """Return mixed recipes for a network whose int4 costs more than noise, and their costs."""
        int4 = next(
            (t for t in self._tried if t.key == (run.path.name, mixed.INT4)),
            None,
        )
        if int4 is None or not _is_above_noise(int4):
            return {}
        in_int4, in_int8 = self._tables.get(mixed.INT4), self._tables.get(mixed.INT8)
        if in_int4 is None or in_int8 is None:
            return {}
        sizes = found.candidate.structure.sizes

        def cost(halves: Sequence[Half]) -> Cost:
            return mixed.cost(sizes, halves, in_int4, in_int8)

        def fits(halves: Sequence[Half]) -> bool:
            # Tables are off by as much for it as for the file in int4.
            predicted, share = cost(halves), int4.bytes / int4.predicted["bytes"]
            return keeps(Cost(predicted.bytes * share, predicted.ms), self._limits)

        lines = measure_sensitivity(run.path, recipes=[mixed.INT4], removals=False)
        some = mixed.choices(mixed.costly(lines), fits)
        return {known.mixed(halves).name: cost(halves) for halves in some}

    def _most_promising(self, most: int) -> list[Found]:
        """Return the networks to train: those whose files lose least before any training.

        A network above the budget is among them only where none keeps it.
        """
        best: dict[str, float] = {}
        for trial in self._tried:
            if trial.stage == SEARCHED and trial.run in (self._keeping or self._found):
                best[trial.run] = min(trial.loss, best.get(trial.run, float("inf")))
        return [self._found[name] for name in sorted(best, key=lambda one: best[one])[:most]]

    def _bisect(self, ladder: Sequence[Found], most: int, attempt: Any) -> None:
        """Try the structures of a ladder, the middle one first, for the smallest that is within.

        Args:
          ladder: from the largest to the smallest.
          most: how many are tried.
          attempt: tries one, and returns its trials.
        """
        largest, smallest = -1, len(ladder)
        for _ in range(most):
            if smallest - largest <= 1:
                return
            middle = (largest + smallest) // 2
            drops = [one.drop for one in attempt(ladder[middle]) if not one.collapsed]
            if drops and min(drops) <= (self._limits.max_drop or 0.0):
                largest = middle
            else:
                smallest = middle


def _searched_name(chosen: Choice) -> str:
    """Return the name of the run of the chosen network before it was trained."""
    stage, _, name = chosen.run.partition("-")
    if stage == _AWARE:
        name = name.removesuffix(f"-{chosen.recipe}")
    return f"{SEARCHED}-{name}"


def _is_of(found: Found, trial: Trial) -> bool:
    """Tell if a file's network has a structure; a block without units is written with one."""
    widths = [(one.get("heads"), one.get("neurons")) for one in trial.widths]
    sizes = found.candidate.structure.sizes
    written = [tuple(max(1, units) for units in both) for both in sizes.widths]
    return widths == written and trial.pieces == sizes.pieces


def _different(some: Sequence[Found]) -> list[Found]:
    """Return the structures that differ, the first of each."""
    return list({one.candidate.structure: one for one in reversed(some)}.values())[::-1]


def _scores(trials: Sequence[Trial], stage: str) -> str:
    """Return the best file of each network of a stage, with its score on held-out examples."""
    best: dict[str, Trial] = {}
    for one in trials:
        if one.stage == stage and one.score >= best.get(one.run, one).score:
            best[one.run] = one
    return ", ".join(
        f"{one.run} as {one.recipe} ({one.metric} {one.score:.3f}, {quantities.size(one.bytes)})"
        for one in best.values()
    )


def _is_above_noise(trial: Trial) -> bool:
    """Tell if what quantization costs a file is worth a remedy."""
    return trial.rise > max(_LEAST_RISE, _ABOVE_NOISE * trial.rise_error)


def _predicted(trial: Trial) -> Cost | None:
    return Cost(trial.predicted["bytes"], trial.predicted["ms"]) if trial.predicted else None
