"""The work of a compression with files, networks and trainings that are only told of."""

from __future__ import annotations

import dataclasses
import pathlib
from types import SimpleNamespace
from typing import Any

import pytest
from budgets import choice, trial
from messages import refuses

from bert_glue_tf.budget import phases, training, work
from bert_glue_tf.budget.candidates import Found
from bert_glue_tf.budget.choice import Contender
from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.settings import CompressSettings, Limits
from bert_glue_tf.budget.steps import Planned, Steps
from bert_glue_tf.budget.trials import HeldOut, Trials
from bert_glue_tf.budget.work import Job, Work
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.search.costs import Cost
from bert_glue_tf.search.find import Budget, Candidate
from bert_glue_tf.search.structure import Structure


@dataclasses.dataclass(frozen=True)
class FakeRun:
    """A run of which only the folder is asked."""

    path: pathlib.Path


class FakeTrials:
    """Files that are there as soon as they are asked for, with values that a test gives.

    Args:
      given: "run recipe" -> what differs from `budgets.trial`.
      earlier: files that an earlier process has tried.
    """

    def __init__(self, given=None, earlier=()):
        self.given, self.all = given or {}, {one.key: one for one in earlier}

    def of_run(self, run, stage, recipes):
        for recipe, cost in recipes.items():
            name = run.path.name
            predicted = dataclasses.asdict(cost) if cost else {}
            changed = {"stage": stage, "recipe": recipe, "predicted": predicted}
            made = trial(name, **{**changed, **self.given.get(f"{name} {recipe}", {})})
            self.all.setdefault(made.key, made)
        return [self.all[run.path.name, recipe] for recipe in recipes]

    def known_of(self, name):
        return [one for one in self.all.values() if one.run == name]

    def known(self, name, recipe):
        return self.all[name, recipe]

    def timed(self, trials, length):
        return Contender(trial("original"), 25.0), [Contender(one, 2.0) for one in trials], "s"


class FakeCandidates:
    """A ladder of structures, each tried in the recipes that the costs of now predict."""

    def __init__(self, recipes=("int4",), steps=8):
        self.recipes, self.steps = recipes, steps

    def ladder(self):
        return [found(f"searched-int4-step{number}") for number in range(1, self.steps + 1)]

    def refined(self, one):
        return one

    def predicted(self, one, limits):
        return dict.fromkeys(self.recipes, Cost(5e6, 2.0))


def found(name):
    """A structure of one head and one neuron."""
    structure = Structure(((0,),), ((0,),), (0,))
    cost = Cost(5e6, 2.0)
    return Found(name, Candidate("int4", (0,), structure, cost, 0.1, True, cost), Budget())


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Return a function that gives a `Work`, its folder, and the names of trainings begun."""
    begun: list[Any] = []

    def run_all(configs, folder, executor):
        begun.extend(configs)
        return {name: FakeRun(folder / name) for name in configs}

    monkeypatch.setattr(training, "run_all", run_all)
    monkeypatch.setattr(training, "student", lambda *_: None)
    monkeypatch.setattr(training, "aware", lambda run, recipe: (run.path.name, recipe))
    monkeypatch.setattr(work.writing, "write", lambda *_: None)
    monkeypatch.setattr(work.Run, "read", lambda path: FakeRun(path))

    def make(trials, candidates, **settings):
        chosen = CompressSettings(**{"limits": Limits(max_mb=6), **settings})
        folder = CompressFolder.open(tmp_path / "c", tmp_path / "run", chosen)
        monkeypatch.setattr(work, "Trials", lambda *_: trials)
        job = Job(
            original=FakeRun(tmp_path / "run"),
            settings=chosen,
            folder=folder,
            lengths=(64,),
            length=64,
            read={"train": None},
            held_out=HeldOut(None, None, was_seen=False),
            held_out_count=40,
        )
        return Work(job, None, candidates, {}), folder, begun

    return make


def test_a_run_that_was_fine_tuned_first_is_so_again_without_the_held_out_texts():
    config = ExperimentConfig(
        task="mrpc", finetune_epochs=3, pruning_method="magnitude", teacher="start"
    )
    again = training.again(SimpleNamespace(config=config), 40)
    assert (again.held_out, again.finetune_epochs, again.teacher) == (40, 3, "start")
    assert again.starting_point.held_out == 40
    assert again.starting_point.epochs == 3
    assert again.starting_point.pruning_method == "none"


class Parts:
    """A table by which a network costs so much a head, and a head in its first layer as much."""

    def __init__(self, ms):
        self.ms = ms

    def predict(self, sizes):
        return Cost(1e6, self.ms * sum(sizes.heads))

    def block(self, kind, units, is_last):
        assert (kind, is_last) == ("attention", True)
        return Cost(1e5, self.ms * units)


def of_heads(name, heads):
    """A structure of one layer with so many heads and one neuron."""
    one = found(name)
    structure = Structure((tuple(range(heads)),), ((0,),), (0,))
    return dataclasses.replace(
        one, candidate=dataclasses.replace(one.candidate, structure=structure)
    )


@pytest.fixture
def beside_parts(made, monkeypatch, tmp_path):
    """beside_parts(run, recipe, asked, trial's heads) -> what is told of the chosen file."""

    def tell(run, recipe, asked, heads):
        def beside(original, names, file, **options):
            assert (names, file.name) == (asked, "a.tflite")
            assert options == {"length": 64, "threads": 2, "lengths": (64,)}
            tables = {"int4": Parts(1.0), "dynamic_int8": Parts(2.0), "int8": Parts(4.0)}
            return work.making.Beside({name: tables[name] for name in names}, 1.25, "")

        monkeypatch.setattr(work.making, "beside", beside)
        given = {"widths": [{"heads": max(1, heads), "neurons": 1}], "pieces": 1}
        trials = FakeTrials({f"{run} {recipe}": given})
        trials.of_run(FakeRun(tmp_path / run), "trained", {recipe: Cost(5e6, 2.0)})
        known = {
            "searched-int4": of_heads("searched-int4", 3),
            "searched-int4-2": of_heads("searched-int4-2", 2),
            "searched-int8": of_heads("searched-int8", 0),
        }
        candidates = FakeCandidates()
        candidates.known = known.get
        made_work, *_ = made(trials, candidates)
        return made_work.beside_parts(choice(run, recipe), tmp_path / "a.tflite")

    return tell


@pytest.mark.parametrize(
    ("run", "recipe", "asked", "heads", "predicted"),
    [
        ("searched-int4", "dynamic_int8", ["dynamic_int8"], 3, 6.0),
        ("trained-int4-2", "int4", ["int4"], 2, 2.0),
        ("aware-int4-2-int4", "int4", ["int4"], 2, 2.0),
        # Without heads: one is written.
        ("trained-int8", "int8", ["int8"], 0, 0.0),
        # All heads in int8.
        ("trained-int4-2", "int4_but_1a", ["int4", "dynamic_int8"], 2, 4.0),
        ("aware-int4-int4_but_1a", "int4_but_1a", ["int4", "dynamic_int8"], 3, 6.0),
    ],
)
def test_the_chosen_file_is_timed_with_the_parts_of_its_own_structure(
    beside_parts, run, recipe, asked, heads, predicted
):
    told = beside_parts(run, recipe, asked, heads)
    assert told == {"predicted": predicted, "measured": 1.25, "busy": ""}


@pytest.mark.parametrize(("run", "heads"), [("trained-int4", 2), ("trained-int4-5", 3)])
def test_a_structure_that_was_found_anew_predicts_nothing(beside_parts, run, heads, caplog):
    with caplog.at_level("WARNING", "absl"):
        assert beside_parts(run, "int4", None, heads) == {}
    assert f"{run}: the structures were found anew" in caplog.text


def test_a_file_of_which_nothing_was_predicted_is_not_timed_with_parts(made, tmp_path):
    trials = FakeTrials()
    trials.of_run(FakeRun(tmp_path / "searched-int4"), "searched", {"int4": None})
    candidates = FakeCandidates()
    candidates.known = lambda name: None
    made_work, *_ = made(trials, candidates)
    assert made_work.beside_parts(choice("searched-int4"), tmp_path / "a.tflite") == {}


@pytest.mark.parametrize("is_trained_again", [True, False])
def test_the_run_is_trained_again_in_a_step_of_its_own_where_it_has_held_out_no_text(
    tmp_path, monkeypatch, is_trained_again
):
    asked = []

    def run_all(configs, path, executor):
        asked.append((configs, path, executor))
        return {"again": "trained again"}

    monkeypatch.setattr(training, "run_all", run_all)
    run = SimpleNamespace(config=ExperimentConfig(task="mrpc"))
    launch = SimpleNamespace(run=run, is_trained_again=is_trained_again, held_out=40)
    folder = CompressFolder(tmp_path)
    taken = Steps([Planned("held-out", "the run once more", 60.0)], folder)
    original = phases._original(launch, folder, None, taken)
    if not is_trained_again:
        assert (original, asked, folder.steps()) == (run, [], [])
        return
    assert original == "trained again"
    ((configs, path, _),) = asked
    assert (configs["again"].held_out, path) == (40, tmp_path)
    assert [one.name for one in folder.steps()] == ["held-out"]


NOISY = {"rise": 0.1, "rise_error": 0.01, "stage": "trained"}


def test_a_file_of_an_earlier_process_is_trained_on_though_new_costs_do_not_predict_it(made):
    earlier = trial("trained-int4", recipe="int4", **NOISY)
    asked, folder, begun = made(FakeTrials(earlier=[earlier]), FakeCandidates(["dynamic_int8"]))
    folder.add(choice("trained-int4", "int4"))
    assert asked.train_for_grids() == (
        "trained on for its grids: aware-int4-int4 as int4 (accuracy 0.790, 6.00 MB)"
    )
    assert begun == ["aware-int4-int4"]
    assert asked.run_of("trained-int4").path == folder.path / "trained-int4"


def test_files_that_an_earlier_process_has_tried_are_among_those_of_now(made):
    earlier = trial("searched-int4-step1", stage="searched", recipe="int4")
    trials = FakeTrials(earlier=[earlier])
    asked, *_ = made(trials, FakeCandidates(["dynamic_int8"]))
    assert [one.recipe for one in asked._searched(found("searched-int4-step1"))] == [
        "dynamic_int8",
        "int4",
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rise": 0.0}, "not needed: what int4 costs"),
        ({"rise": 0.019, "rise_error": 0.01}, "not needed"),  # Within two standard errors.
        ({"stage": "searched"}, "not possible"),
        ({"recipe": "int16x8"}, "not possible"),
    ],
)
def test_nothing_is_trained_on_where_that_pays_or_works_not(made, changed, said):
    one = trial("trained-int4", **{**NOISY, "recipe": "int4", **changed})
    asked, folder, begun = made(FakeTrials(earlier=[one]), FakeCandidates())
    folder.add(choice("trained-int4", one.recipe))
    assert asked.train_for_grids().startswith(said)
    assert begun == []


def test_a_mixed_file_is_chosen_by_what_int4_has_shown_and_predicted_by_the_costs_alone(
    made, monkeypatch
):
    int4 = trial("trained-int4", predicted={"bytes": 4e6, "ms": 2.0}, bytes=5_000_000, **NOISY)
    asked, *_ = made(FakeTrials(earlier=[int4]), FakeCandidates(), limits=Limits(max_mb=6))
    asked._tables = {"int4": Cost(4e6, 2.0), "dynamic_int8": Cost(8e6, 4.0)}  # Of no matter.
    asked._tried = [int4]
    # Half a megabyte more for each half in int8; files are a quarter larger than predicted.
    monkeypatch.setattr(
        work.mixed, "cost", lambda sizes, halves, *_: Cost(4e6 + 5e5 * len(halves), 2.0)
    )
    monkeypatch.setattr(work, "measure_sensitivity", lambda *_, **__: None)
    monkeypatch.setattr(work.mixed, "costly", lambda lines: [(1, "f"), (2, "f"), (1, "a")])
    run = FakeRun(pathlib.Path("trained-int4"))
    # With one half 5.6 MB are expected, with two 6.25.
    assert asked._mixed(found("searched-int4"), run) == {"int4_but_1f": Cost(4.5e6, 2.0)}
    asked._tried = [dataclasses.replace(int4, rise=0.0)]
    assert asked._mixed(found("searched-int4"), run) == {}


def ladder_of(drops):
    """Files of a ladder's steps, from the largest on, that lose so much once they are trained."""
    return {
        f"{stage}-int4-step{number} int4": {"drop": drop, "stage": stage}
        for number, drop in enumerate(drops, start=1)
        for stage in ("searched", "trained")
    }


@pytest.mark.parametrize(
    ("trainings", "begun"),
    [
        (1, ["trained-int4-step4"]),
        (2, ["trained-int4-step4", "trained-int4-step6"]),
        (3, ["trained-int4-step4", "trained-int4-step6", "trained-int4-step5"]),
        (9, ["trained-int4-step4", "trained-int4-step6", "trained-int4-step5"]),
    ],
)
def test_the_smallest_step_within_a_loss_is_looked_for_in_so_many_trainings(made, trainings, begun):
    # The first five of eight steps lose less than a point.
    given = ladder_of([0.0, 0.001, 0.002, 0.005, 0.009, 0.02, 0.03, 0.5])
    trials = FakeTrials(given)
    limits = Limits(max_drop=0.01)
    asked, _, names = made(trials, FakeCandidates(), limits=limits, trainings=trainings)
    said = asked.train()
    assert names == begun
    assert said.count("trained-int4-step") == len(begun)


def test_an_untrained_step_beyond_the_loss_sends_the_search_to_larger_ones(made):
    asked, *_ = made(
        FakeTrials(ladder_of([0.0, 0.02, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5])),
        FakeCandidates(),
        limits=Limits(max_drop=0.01),
    )
    asked.search()
    # The whole network first, whatever it loses; then 4, 2 and 1 of eight.
    assert [one.run for one in asked._tried] == [
        f"searched-int4-step{number}" for number in (1, 4, 2)
    ]


def test_a_file_that_collapsed_is_within_no_loss(made):
    given = ladder_of([0.0] * 8)
    given["trained-int4-step4 int4"] |= {"collapsed": "every answer is 1"}
    asked, _, names = made(
        FakeTrials(given), FakeCandidates(), limits=Limits(max_drop=0.01), trainings=2
    )
    asked.train()
    assert names == ["trained-int4-step4", "trained-int4-step2"]


def test_a_chosen_file_that_is_gone_is_named():
    trials = object.__new__(Trials)
    trials._folder, trials._known = CompressFolder(pathlib.Path("c")), {}
    with refuses(UserError, "trained-int4/int4.tflite", "was chosen"):
        trials.known("trained-int4", "int4")


@pytest.mark.parametrize(
    ("ms", "written"),
    [
        # int4, for which the structure was found, is too slow; int8 of the same network is not.
        ({"int4": 3.0, "dynamic_int8": 2.0}, ["searched-int4"]),
        ({"int4": 3.0, "dynamic_int8": 2.6}, ["searched-int4", "searched-int4-2"]),
    ],
)
def test_a_network_keeps_the_budget_where_one_of_its_files_does(made, ms, written):
    class Timed(FakeTrials):
        def timed(self, trials, length):
            contenders = [Contender(one, ms[one.recipe]) for one in trials]
            if trials[0].run == "searched-int4-2":
                contenders = [Contender(one, 1.0) for one in trials]
            return Contender(trial("original"), 25.0), contenders, "s"

    class One(FakeCandidates):
        def first(self):
            return [found("searched-int4")]

        def measured(self, one, measure):
            return measure()

        def tightened(self, one, number, measured):
            assert (number, measured.ms) == (1, ms["int4"])
            return found("searched-int4-2")

    given = {f"searched-int4 {recipe}": {"bytes": 5_000_000, "loss": 0.3} for recipe in ms}
    given |= {f"searched-int4-2 {recipe}": {"bytes": 4_000_000, "loss": 0.4} for recipe in ms}
    limits = Limits(max_mb=6, max_ms=2.5)
    asked, _, begun = made(Timed(given), One(["int4", "dynamic_int8"]), limits=limits)
    asked.search()
    assert list(asked._found) == written
    # Trained is the one with a file within the budget, though the other loses less untrained.
    asked.train()
    assert begun[0] == written[-1].replace("searched", "trained")
