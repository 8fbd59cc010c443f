"""Times of a comparison: of one session, relative to one file."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import replace

import pytest
import tiny_tflite
from messages import refused, refuses
from report_runs import LABELS, read, right
from written_runs import write_export, write_run, write_session

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import benchmark
from bert_glue_tf.reports import plots, rows, summary, times
from bert_glue_tf.reports.groups import group

LATER = {"name": "20260202-000000-bbbb", "started": "2026-02-02T00:00:00+00:00"}


def exported(path, milliseconds=4.0, content=b"", recipes=("float32",), **settings):
    write_run(path, LABELS, right(300), **settings)
    for recipe in recipes:
        write_export(
            *(path, recipe, LABELS, right(290)),
            milliseconds=milliseconds,
            content=content,
        )
    return path


def timed(*folders):
    """Run and recipe -> milliseconds and speed, of the files."""
    return {
        (model.run, model.recipe): (model.milliseconds, model.speed)
        for model in read(*folders)
        if model.recipe != "keras"
    }


@pytest.fixture
def runs(tmp_path):
    """A whole model and one with a tenth of its work, whose own times were taken when the machine
    was busy: by them it is the slower one."""
    whole = exported(
        tmp_path / "runs" / "whole", 4.0, tiny_tflite.write(32, 64, width=768, layers=6)
    )
    half = exported(
        tmp_path / "runs" / "half",
        2.0,
        tiny_tflite.write(32, 64, width=16),
        pruning_method="attention_head",
    )
    for run in (whole, half):
        content = (run / "tflite" / "float32.tflite").read_bytes()
        write_export(run, "int4", LABELS, right(290), content=content, milliseconds=1.0)
    write_session(whole)
    write_session(half, slower=3.0, others=3.4, **LATER)
    return whole, half


def test_times_under_different_load_do_not_order_models(runs, monkeypatch):
    whole, half = runs
    monkeypatch.chdir(whole.parents[1])
    models = read(whole, half)
    assert all((one.milliseconds, one.speed, one.session) == (None, None, None) for one in models)
    for table in (rows.models(models), rows.groups(group(models))):
        assert not {"ms", "speed"} & set(table.filled().heads)
    assert plots.score_against(group(models), "latency") is None
    *_, told, asked = summary.notes(models)
    assert "no session has timed all 4 files in turns" in told
    # It can be pasted.
    assert asked.endswith("python -m bert_glue_tf.benchmark --runs='runs/*'")
    # Each run by itself has its session.
    assert timed(half)["half", "int4"] == (6.0, 2.0)
    assert "the machine was busy" in summary.notes(read(half))[-1]


def test_a_common_session_orders_them_rightly(runs):
    found = benchmark.measure(runs, threads=1, repetitions=15)
    models = {(one.run, one.recipe): one for one in read(*runs) if one.recipe != "keras"}
    assert {one.session for one in models.values()} == {found[0].timing.session}
    assert models["whole", "float32"].speed == 1.0
    for recipe in ("float32", "int4"):
        small, large = models["half", recipe], models["whole", recipe]
        assert small.milliseconds < large.milliseconds
        assert small.speed > 2 * large.speed
        assert small.time.reference == "whole, float32"
    for model in models.values():
        base = models["whole", "float32"].milliseconds
        assert model.speed == pytest.approx(base / model.milliseconds)
    # The table of the session says the same.
    shown = {(row["run"], row["recipe"]): row for row in times.table(found).texts()}
    assert {key: row["speed"] for key, row in shown.items()} == {
        key: f"{model.speed:.2f}x" for key, model in models.items()
    }
    assert "as fast as whole, float32." in times.table(found).notes[0]
    load = {"before": 1.0, "after": 1.0, "others": 64.0}
    busy = [replace(one, timing=replace(one.timing, load=load)) for one in found]
    assert busy[0].timing.warning in times.table(busy).notes


def test_the_newest_session_that_holds_all_files_counts(tmp_path):
    one = exported(tmp_path / "one", recipes=("float32", "int8"))
    two = exported(tmp_path / "two", 2.0, recipes=("float32", "int8"), pruning_method="row")
    both = (one, two)
    write_session(*both, **LATER, slower=2.0)
    write_session(*both)
    assert timed(*both)["two", "int8"] == (8.0, 2.0)
    assert timed(*both)["one", "float32"] == (16.0, 1.0)
    # A later one without a file of the comparison does not count, nor one on other threads.
    write_session(one, name="c", started="2026-03-03T00:00:00+00:00")
    write_session(one, name="d", started="2026-04-04T00:00:00+00:00", threads=1)
    write_session(two, name="d", started="2026-04-04T00:00:00+00:00", threads=4)
    assert timed(*both)["one", "float32"] == (16.0, 1.0)
    # Of the first run alone it does.
    assert {model.session for model in read(one)} == {None, "d"}


def test_a_session_of_some_recipes(tmp_path):
    both = [
        exported(tmp_path / name, recipes=("float32", "int8", "int4"), pruning_method=method)
        for name, method in (("one", "none"), ("two", "row"))
    ]
    # All int8 files and the reference, as `benchmark --recipes=int8` times them.
    write_session(both[0], recipes=("float32", "int8"))
    write_session(both[1], recipes=("int8",))
    shown = timed(*both)
    assert {key for key, (ms, _) in shown.items() if ms} == {
        *(("one", "float32"), ("one", "int8")),
        ("two", "int8"),
    }
    notes = summary.notes(read(*both))
    assert any("the files of int4, float32." in line or "float32, int4." in line for line in notes)
    # Without one of the int8 files it is no session of the comparison.
    write_session(both[0], recipes=("float32", "int8"), name="e", started="2027")
    assert {model.session for model in read(*both)} == {None, "20260102-030405-abcd"}
    # One with all files comes before it, even if it is older.
    write_session(*both, name="f", started="2020")
    assert {model.session for model in read(*both)} == {None, "f"}


def test_a_run_that_is_repeated_is_no_reference_and_need_not_be_timed(tmp_path):
    first, again = exported(tmp_path / "a"), exported(tmp_path / "b")
    pruned = exported(tmp_path / "p", 2.0, pruning_method="row")
    write_session(again, pruned)
    models = [one for one in read(first, again, pruned) if one.time]
    assert [one.run for one in models] == ["b", "p"]
    assert {one.time.reference for one in models} == {"b, float32"}
    assert not any("no session" in line for line in summary.notes(read(first, again, pruned)))
    write_session(first, again, pruned, **LATER)
    references = {one.time.reference for one in read(first, again, pruned) if one.time}
    assert references == {"b, float32"}


def test_subjects_have_their_own_sessions(tmp_path):
    one, two = exported(tmp_path / "one"), exported(tmp_path / "two", task="sst2")
    write_session(one)
    assert timed(one, two) == {("one", "float32"): (8.0, 1.0), ("two", "float32"): (None, None)}
    write_session(two, **LATER)
    models = read(one, two)
    assert len({model.session for model in models}) == 3  # None: the trained models.
    # No figure has both.
    assert plots.score_against(group(models), "latency") is None


def test_a_group_has_the_mean_of_its_seeds(tmp_path):
    both = [exported(tmp_path / str(seed), 2.0 * seed, seed=seed) for seed in (1, 2)]
    write_session(*both)
    (files,) = [one for one in group(read(*both)) if one.first.recipe == "float32"]
    # 4 and 8 ms at the longest length; the first seed's is the reference.
    assert (files.milliseconds, files.speed, files.session) == (6.0, 0.75, "20260102-030405-abcd")
    trained = group(read(*both))[0]
    assert (trained.milliseconds, trained.speed, trained.session) == (None, None, None)


def test_a_file_that_was_made_again_has_no_time(tmp_path):
    run = exported(tmp_path / "run")
    write_session(run)
    assert timed(run) == {("run", "float32"): (8.0, 1.0)}
    write_export(run, "float32", LABELS, right(290), content=b"another")
    assert timed(run) == {("run", "float32"): (None, None)}


def test_a_damaged_line_is_named(tmp_path):
    run = exported(tmp_path / "run")
    write_session(run)
    file = run / "tflite" / "timings.jsonl"
    file.write_text(file.read_text() + '{"format": 1, "session": "x"}\n')
    with refuses(UserError, f"{file}:2", "benchmark command"):
        read(run)


def test_the_command_that_is_advised_names_the_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("a", "b b", "c")
    for name in names:
        (tmp_path / "runs" / name / "tflite").mkdir(parents=True)
    folders = [tmp_path / "runs" / name for name in names]
    assert times.command(folders) == "python -m bert_glue_tf.benchmark --runs='runs/*'"
    some = shlex.split(times.command(folders[:2]))
    assert some[3:] == ["--runs=runs/a", "--runs=runs/b b"]
    monkeypatch.chdir("/")
    (pattern,) = shlex.split(times.command(folders))[3:]
    assert pattern == f"--runs={str(tmp_path).lstrip('/')}/runs/*"


# --- the commands ---


def command(name, *arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", f"bert_glue_tf.{name}", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ,
        timeout=120,
    )


@pytest.mark.processes
def test_compare_can_time_first(runs):
    folder = runs[0].parents[1]
    done = command("compare", "--time", "--threads=1", "--repetitions=15", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Speed: times as fast as whole, float32" in done.stdout
    assert "on 1 thread," in done.stdout
    models = {(one.run, one.recipe): one for one in read(*runs)}
    assert models["half", "float32"].speed > 2
    assert f"{models['half', 'float32'].speed:.2f}x" in done.stdout


@pytest.mark.processes
def test_the_benchmark_command_shows_its_table(runs):
    folder = runs[0].parents[1]
    done = command("benchmark", "--recipes=int4", "--at_length=32", "--repetitions=3", cwd=folder)
    assert done.returncode == 0, done.stderr
    title, *lines = done.stdout.splitlines()
    assert title == (
        "ms of one example of 32 word pieces on 2 threads, 3 files in turns, 3 times each"
    )
    assert sum("int4" in line for line in lines) == 2
    assert "times as fast as whole, float32." in done.stdout


@pytest.mark.processes
@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        ("benchmark", ("--runs=none/*",), "--runs=none/*"),
        ("benchmark", ("--at_length=9",), "--at_length=9"),
        ("compare", ("--threads=1",), "--threads=1"),
    ],
)
def test_mistakes(runs, name, arguments, named):
    before = sorted(runs[0].parents[1].rglob("*"))
    refused(command(name, *arguments, cwd=runs[0].parents[1]), named)
    assert sorted(runs[0].parents[1].rglob("*")) == before
