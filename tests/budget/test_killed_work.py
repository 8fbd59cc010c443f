"""Kills in the phases behind the trainings: mixed files, and trainings for the grids of a recipe.

Files, measurements and trainings are only told of; what a process leaves behind, its records, its
files and its finished runs, is there for the next one.
"""

from __future__ import annotations

import pathlib
from types import SimpleNamespace

import pytest
from budgets import trial

from bert_glue_tf.budget import training, work
from bert_glue_tf.budget.candidates import Found
from bert_glue_tf.budget.choice import Contender
from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.settings import CompressSettings, Limits
from bert_glue_tf.budget.trials import HeldOut
from bert_glue_tf.budget.work import Job, Work
from bert_glue_tf.search.costs import Cost
from bert_glue_tf.search.find import Budget, Candidate
from bert_glue_tf.search.structure import Structure

MIXED = ["int4_but_1a_1f", "int4_but_1f"]
SEARCHED = Found(
    "searched-int4",
    Candidate(
        "int4", (0,), Structure(((0,),), ((0,),), (0,)), Cost(4e6, 2.0), 0.1, True, Cost(4e6, 2.0)
    ),
    Budget(),
)


class Interrupted(KeyboardInterrupt):
    """Stands for a kill."""


class Machine:
    """A disk and a clock: what is done stays done, and the process that does it may be killed.

    Args:
      kills: what is done, in words -> how often the process is killed before it.

    Attributes:
      did: what was done, in words, in its order.
    """

    def __init__(self, **kills):
        self.kills = {name.replace("_", " ", 1): count for name, count in kills.items()}
        self.did = []
        self.trials = {}

    def do(self, what):
        """Do something, unless the process is killed before."""
        if self.kills.get(what):
            self.kills[what] -= 1
            raise Interrupted(what)
        self.did.append(what)

    def of_run(self, run, stage, recipes):
        """Return trials; files that are not there are made one after the other, each kept."""
        for recipe, cost in recipes.items():
            key = (run.path.name, recipe)
            if key not in self.trials:
                self.do(f"file {recipe}" if stage != "quantize-aware" else "file aware")
                noise = 0.1 if recipe == "int4" and stage != "quantize-aware" else 0.0
                predicted = {"bytes": cost.bytes, "ms": cost.ms} if cost else {}
                self.trials[key] = trial(
                    key[0],
                    stage=stage,
                    recipe=recipe,
                    rise=noise,
                    predicted=predicted,
                    bytes=4_400_000,
                )
        return [self.trials[run.path.name, recipe] for recipe in recipes]

    def known_of(self, name):
        return [one for one in self.trials.values() if one.run == name]

    def known(self, name, recipe):
        return self.trials[name, recipe]

    def timed(self, trials, length):
        self.do("session")
        # int4 alone is fast enough.
        found = [Contender(one, 2.0 if one.recipe == "int4" else 4.0) for one in trials]
        return Contender(trial("original"), 25.0), found, "s"


@pytest.fixture
def process(tmp_path, monkeypatch):
    """Return a function that starts a process on a machine: its `Work`."""

    def start(machine):
        def run_all(configs, folder, executor):
            for name in configs:
                if not (folder / name).is_dir():
                    machine.do(f"training {name}")
                    (folder / name).mkdir(parents=True)
            return {name: SimpleNamespace(path=folder / name) for name in configs}

        def measure(path, **_):
            machine.do("sensitivity")

        monkeypatch.setattr(training, "run_all", run_all)
        monkeypatch.setattr(training, "student", lambda *_: None)
        monkeypatch.setattr(training, "aware", lambda run, recipe: (run.path.name, recipe))
        monkeypatch.setattr(work.Run, "read", lambda path: SimpleNamespace(path=path))
        monkeypatch.setattr(work, "Trials", lambda *_: machine)
        monkeypatch.setattr(work, "measure_sensitivity", measure)
        monkeypatch.setattr(work.mixed, "costly", lambda lines: [(1, "f"), (1, "a")])
        monkeypatch.setattr(work.mixed, "cost", lambda sizes, halves, *_: Cost(4e6, 2.0))
        settings = CompressSettings(limits=Limits(max_mb=6, max_ms=3))
        folder = CompressFolder.open(tmp_path / "c", tmp_path / "run", settings)
        job = Job(
            original=SimpleNamespace(path=tmp_path / "run"),
            settings=settings,
            folder=folder,
            lengths=(64,),
            length=64,
            read={"train": None},
            held_out=HeldOut(None, None, was_seen=False),
            held_out_count=40,
        )
        candidates = SimpleNamespace(predicted=lambda *_: {"int4": Cost(4e6, 2.0)})
        found = Work(job, None, candidates, {"int4": None, "dynamic_int8": None})
        found._tables = {"int4": Cost(4e6, 2.0), "dynamic_int8": Cost(8e6, 4.0)}  # Of no matter.
        found._networks[SEARCHED.name] = SimpleNamespace(path=pathlib.Path(SEARCHED.name))
        return found

    return start


WHOLE = [
    "training trained-int4",
    "file int4",
    "sensitivity",
    *(f"file {name}" for name in MIXED),
    "session",
    "training aware-int4-int4",
    "file aware",
]


def go_on(process, machine):
    """Start processes until one comes to its end; return what it says, and how many were killed."""
    for killed in range(9):
        asked = process(machine)
        try:
            asked._trained([SEARCHED])
            return asked.train_for_grids(), killed
        except Interrupted:
            continue
    raise AssertionError("it never ends")


@pytest.mark.parametrize(
    "kills",
    [
        {},
        {"sensitivity": 1},
        {f"file_{MIXED[0]}": 1},
        {f"file_{MIXED[1]}": 2},
        {"session": 1},
        {"training_aware-int4-int4": 2},
        {"file_aware": 1},
        {f"file_{MIXED[0]}": 1, f"file_{MIXED[1]}": 1, "session": 1, "file_aware": 1},
    ],
)
def test_a_kill_loses_nothing_that_was_made(process, kills):
    machine = Machine(**kills)
    said, killed = go_on(process, machine)
    assert killed == sum(kills.values())
    assert said.startswith("trained on for its grids: aware-int4-int4 as int4")
    # What parts are worth is asked again: its own records have what was measured.
    again = [what for what in machine.did if what == "sensitivity"]
    assert len(again) == 1 + killed - sum(kills.get(one, 0) for one in ("sensitivity",))
    assert [one for one in machine.did if one != "sensitivity"] == [
        one for one in WHOLE if one != "sensitivity"
    ]
    assert sorted(key[1] for key in machine.trials if key[0] == "trained-int4") == sorted(
        ["int4", *MIXED]
    )


def test_mixed_files_that_costs_of_now_would_not_choose_stay_among_those_that_were_tried(
    process, monkeypatch
):
    machine = Machine(session=1)
    asked = process(machine)
    asked._trained([SEARCHED])
    with pytest.raises(Interrupted, match="session"):
        asked.train_for_grids()
    asked = process(machine)
    monkeypatch.setattr(work.mixed, "costly", lambda lines: [])  # Measured on other texts, say.
    tried = asked._trained([SEARCHED])
    assert {one.recipe for one in tried} == {"int4", *MIXED}
    assert [what for what in machine.did if what.startswith("file")] == [
        "file int4",
        *(f"file {name}" for name in MIXED),
    ]
