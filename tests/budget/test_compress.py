"""A real, tiny compression from the run to the file, interrupted in every phase."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import subprocess
import sys
import types

import pytest
from messages import refuses
from slow_fixtures import slow_to_make
from written_runs import write_run, wrong_at

from bert_glue_tf.budget import final, launch, phases, shown, training
from bert_glue_tf.budget.checked import Launch
from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.settings import CompressSettings, Limits
from bert_glue_tf.budget.work import Work
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import exporter
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.export.making import Maker
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.search import making
from bert_glue_tf.search.costs import CURVES, CostTable
from bert_glue_tf.sweeps.executors import base
from bert_glue_tf.training import experiment

SETTINGS = {
    "limits": Limits(max_mb=0.5),
    "at_length": 16,
    "threads": 1,
    "recipes": ("dynamic_int8",),
    "epochs": 2,
    "trainings": 1,
    "held_out": 40,
}


class Here(base.Executor):
    """Trains in this process, which spares a test the start of others."""

    workers = 1

    def check(self, tasks):
        pass

    def begin(self, run):
        config = run.config
        record = experiment.train_and_evaluate(config, RunFolder.open(run.folder.path, config))
        return base.Finished(record, 1.0)

    def collect(self, job):
        raise AssertionError("there are no jobs")

    def stop(self, jobs):
        pass

    def close(self):
        pass


def table(run, recipe, *, length, threads, lengths):
    """Costs by which half a megabyte is about half of the network: ten times the real ones."""
    key = making.key_of(run, recipe, length, threads, lengths)
    sizes = {"attention": (2, 1e5), "feed_forward": (32, 1e4), "pieces": (200, 1e2)}
    curves = {}
    for name in CURVES:
        units, size = sizes[name.removeprefix("last_")]
        curves[name] = [[0, 0.0, 0.0], [units, units * size, 0.01 * units]]
    return CostTable(key=dataclasses.asdict(key), rest=[1e5, 0.1], layer=[0.0, 0.0], curves=curves)


def beside(run, names, file, **options):
    """Costs of a machine at half the pace of the one on which the structure was found."""
    assert file.is_file()
    slow = {}
    for name in names:
        fast = table(run, name, **options)
        curves = {
            curve: [[units, size, 2 * ms] for units, size, ms in knots]
            for curve, knots in fast.curves.items()
        }
        slow[name] = dataclasses.replace(fast, rest=[1e5, 0.2], curves=curves)
    return making.Beside(slow, 1.5, "Busy.")


class Interrupted(KeyboardInterrupt):
    """Ends a phase of a test."""


@contextlib.contextmanager
def killed_after(patch, owner, name):
    """End the compression when a function has done its work for the first time."""
    original = getattr(owner, name)

    def wrapped(*arguments, **options):
        original(*arguments, **options)
        raise Interrupted(name)

    patch.setattr(owner, name, wrapped)
    with pytest.raises(Interrupted, match=name):
        yield
    patch.setattr(owner, name, original)


@pytest.fixture(scope="module")
@slow_to_make
def compressed(exported, tmp_path_factory):
    """A compression that was killed in its phases: its launch, result, and files that it made."""
    root = tmp_path_factory.mktemp("compress")
    shutil.copytree(exported[0].path, root / "run")  # With its float32 file.
    settings = CompressSettings(**SETTINGS)
    search = Launch.check(root / "run", settings, is_search_only=True)
    whole = Launch.check(root / "run", settings)
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch.executors, "executor", lambda workers, cluster: Here())
        patch.setattr(
            making,
            "tables",
            lambda run, names, **options: {name: table(run, name, **options) for name in names},
        )
        patch.setattr(making, "beside", beside)
        convert = Maker.convert
        patch.setattr(Maker, "convert", lambda self: (made.append(self), convert(self))[1])
        with killed_after(patch, phases.Work, "search"):
            launch.work(search)
        with killed_after(patch, Work, "choose"):
            launch.work(search)
        launch.work(search)
        with killed_after(patch, training, "run_all"):
            launch.work(whole)
        with killed_after(patch, final, "export"):
            launch.work(whole)
        outcome = launch.work(whole)
    return whole, outcome, len(made)


def test_the_file_keeps_the_budget_and_is_what_the_record_says(compressed):
    whole, outcome, _ = compressed
    file = whole.folder / outcome.file["path"]
    assert file.stat().st_size == outcome.file["bytes"] < 0.5e6
    assert outcome.missed == {}
    assert outcome.file["recipe"] == "dynamic_int8"
    assert outcome.times_smaller > 1
    assert outcome.length == 16
    # A part of the network is gone.
    after = outcome.widths["after"][0]
    assert after["heads"] < 2 or after["neurons"] < 32
    assert outcome.held_out["examples"] == 40
    assert outcome.held_out["was_seen"]


def test_its_time_is_predicted_once_more_by_the_parts_timed_with_it(compressed):
    _, outcome, _ = compressed
    assert outcome.in_turns["predicted"] == pytest.approx(2 * outcome.predicted["ms"])
    assert (outcome.in_turns["measured"], outcome.in_turns["busy"]) == (1.5, "Busy.")


def test_what_is_killed_goes_on_and_makes_nothing_twice(compressed):
    whole, _, made = compressed
    # The float32 files of the original, of the searched network and of the trained one; and those
    # of the two that were chosen, without any training and in the end, again with their records.
    assert made == 5
    folder = CompressFolder(whole.folder)
    assert [one.name for one in folder.steps()] == [
        *("costs", "worth", "structures", "result", "trainings", "quantize-aware", "result")
    ]
    assert folder.choice("searched").run == "searched-dynamic_int8"
    lines = (whole.folder / "trials.jsonl").read_text().splitlines()
    assert len(lines) == len(folder.trials())  # No file was tried twice.


def test_the_student_learns_from_the_original_without_the_held_out_texts(compressed):
    whole, *_ = compressed
    config = Run.read(whole.folder / "trained-dynamic_int8").config
    assert config.teacher == str(whole.run.path.resolve())
    assert config.start == str((whole.folder / "searched-dynamic_int8").resolve())
    assert (config.held_out, config.epochs) == (40, 2)
    assert config.distill_layers == "uniform"
    assert config.pruning_method == "none"


def test_the_score_is_that_of_the_exported_file_on_validation(compressed):
    whole, second, _ = compressed
    folder = ExportFolder((whole.folder / second.file["path"]).parent)
    record = folder.records()["dynamic_int8"]
    assert second.file["score"] == record.metrics["accuracy"]
    assert second.examples == record.examples == 60
    assert second.difference["mean"] == pytest.approx(
        second.file["score"] - second.original["score"]
    )
    card = folder.card("dynamic_int8").read_text()
    assert "How it was made smaller" in card
    assert "times smaller" in card


def test_a_finished_compression_is_shown_and_nothing_is_made(compressed, capsys, monkeypatch):
    whole, second, _ = compressed
    monkeypatch.setattr(exporter, "export", None)
    assert launch.work(whole) == second
    shown.show(whole, second)
    printed = capsys.readouterr().out
    assert "What was bought" in printed
    assert f"{second.times_smaller:.1f} times smaller" in printed
    assert (whole.folder / "report.html").is_file()


def command(whole, *flags):
    """Run the command for the compression, and return what it prints."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bert_glue_tf.compress", f"--run={whole.run.path}"),
            *("--max_mb=0.5", "--at_length=16", "--threads=1", "--recipes=dynamic_int8"),
            *("--epochs=2", "--trainings=1", "--held_out=40", *flags),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return done.stdout


def test_the_command_shows_the_result_of_the_search_alone(compressed, tmp_path):
    whole, trained, _ = compressed
    shutil.copytree(whole.folder, tmp_path / "copy")  # This process holds the folder's lock.
    printed = command(whole, "--search_only", f"--workdir={tmp_path / 'copy'}")
    assert "searched-dynamic_int8/tflite/dynamic_int8.tflite" in printed
    assert "without --search_only trains the networks" in printed
    searched = CompressFolder(whole.folder).outcome("searched")
    assert searched.file["run"] == "searched-dynamic_int8"
    assert searched.missed == {}
    assert searched.original["sha256"] == trained.original["sha256"]
    assert f"{searched.times_smaller:.1f} times smaller" in printed


def test_the_command_shows_its_plan_and_does_nothing(compressed, tmp_path):
    whole, *_ = compressed
    new = tmp_path / "new"
    printed = command(whole, "--plan", "--search_only", f"--workdir={new}")
    rows = [line.split() for line in printed.splitlines() if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]  # And no trainings.
    assert all("about" in row for row in rows)
    assert f"In {new}: about" in printed
    assert not new.exists()


def test_a_loss_of_the_score_asks_for_texts_that_nobody_has_seen(exported, tmp_path):
    settings = CompressSettings(**{**SETTINGS, "limits": Limits(max_drop=0.01)})
    asked = Launch.check(exported[0].path, settings, tmp_path / "c")
    assert asked.is_trained_again
    first = asked.planned()[0]
    assert first.name == "held-out"
    assert "40 of its training texts held out" in first.text


def test_a_loss_of_a_classifier_that_cannot_be_trained_again_is_refused(exported, tmp_path):
    settings = CompressSettings(**{**SETTINGS, "limits": Limits(max_drop=0.01)})
    asked = Launch.check(exported[0].path, settings, tmp_path / "c")
    foreign = dataclasses.replace(asked.run, config=dataclasses.replace(asked.run.config, epochs=0))
    with refuses(UserError, "--max_drop=0.01", "another program"):
        dataclasses.replace(asked, run=foreign)._require_held_out()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"at_length": 64}, "--at_length=64"),
        ({"seq_lengths": (8, 64)}, "--seq_lengths=64"),
        ({"seq_lengths": (8, 32)}, "--at_length=16"),
        ({"held_out": 160}, "--held_out=160"),
    ],
)
def test_lengths_and_numbers_that_the_run_has_not_are_refused(exported, changed, named):
    settings = CompressSettings(**{**SETTINGS, **changed})
    with refuses(UserError, named):
        Launch.check(exported[0].path, settings).held_out  # noqa: B018


def test_a_run_that_cannot_hold_its_search_is_refused_before_costs_are_measured(tmp_path):
    run = Run.read(write_run(tmp_path / "run", [0, 1], wrong_at([0, 1], [])))
    (run.path / "search").touch()
    asked = types.SimpleNamespace(
        planned=list,  # No step is taken.
        is_trained_again=False,
        run=run,
        read={},
        settings=types.SimpleNamespace(limits=None),
    )
    with refuses(UserError, run.path / "search", "may write"):
        phases.compress(asked, CompressFolder(tmp_path / "c"), Here())
