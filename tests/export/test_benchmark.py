"""Files of many runs, timed in turns: small ones with real operators, without TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

import numpy as np
import pytest
import tiny_tflite
from messages import refuses
from written_runs import write_export, write_run, wrong_at

from bert_glue_tf.core import files
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import benchmark, timings
from bert_glue_tf.export.card import card
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.export.timings import Timing
from bert_glue_tf.reports import reading, terminal, times

LABELS = np.arange(40) % 2
SMALL = tiny_tflite.write(16, 32)
SHORT = tiny_tflite.write(16)


def run(path, content=SMALL, lengths=("16", "32"), recipes=("float32",), **settings):
    write_run(path, LABELS, wrong_at(LABELS, [0]), **settings)
    for recipe in recipes:
        write_export(path, recipe, LABELS, wrong_at(LABELS, [0]), lengths=lengths, content=content)
    return path


def measure(*folders, **options):
    return benchmark.measure(folders, **{"threads": 1, "repetitions": 3, **options})


def test_a_session_leaves_a_line_for_each_file_and_nothing_earlier_is_lost(tmp_path):
    whole = run(tmp_path / "whole", recipes=("float32", "int8"))
    half = run(tmp_path / "half", content=SHORT, lengths=("16",), pruning_method="row")
    first = measure(whole, half)
    lines = (whole / "tflite" / "timings.jsonl").read_text()
    assert [json.loads(line)["recipe"] for line in lines.splitlines()] == ["float32", "int8"]
    assert [one.file.run for one in first] == ["half", "whole", "whole"]
    second = measure(whole)
    kept = (whole / "tflite" / "timings.jsonl").read_text()
    assert kept.startswith(lines)
    assert timings.load(whole / "tflite") == [one.timing for one in (*first[1:], *second)]
    (one,) = timings.load(half / "tflite")
    assert one == first[0].timing
    assert one.sha256 == files.sha256(half / "tflite" / "float32.tflite")
    assert (one.run, one.recipe, one.files, one.threads, one.repetitions) == (
        *("half", "float32"),
        *(3, 1, 3),
    )
    assert one.machine["cores"] == os.cpu_count()
    assert one.machine["cpu"]
    assert set(one.load) == {"before", "after", "others"}
    assert 0 <= one.load["others"]
    # The longest length that all files have, and the longest of those of one run.
    assert {length for made in first for length in made.timing.latency} == {"16"}
    assert {length for made in second for length in made.timing.latency} == {"32"}
    assert len({made.timing.session for made in first}) == 1
    assert first[0].timing.session != second[0].timing.session
    for made in (*first, *second):
        (timed,) = made.timing.latency.values()
        assert 0 < timed["min"] <= timed["p50"] <= timed["p90"]
        # Compared with the unpruned float32 file.
        assert (made.reference.run, made.reference.recipe) == ("whole", "float32")


def test_the_reference_is_the_unpruned_float32_file_of_the_lowest_seed(tmp_path):
    for name, settings in {
        "a": {"seed": 1, "pruning_method": "row"},
        "b": {"seed": 3},
        "c": {"seed": 2},
        "d": {"task": "sst2", "seed": 1},
    }.items():
        run(tmp_path / name, recipes=("float32", "int8"), **settings)
    found = measure(*tmp_path.iterdir(), recipes=["int8"])
    shown = {(one.file.run, one.file.recipe): one.reference.run for one in found}
    assert shown == {
        **{(name, "int8"): "c" for name in "abc"},
        ("c", "float32"): "c",
        # Another task is compared with its own.
        **{("d", recipe): "d" for recipe in ("float32", "int8")},
    }
    assert {one.timing.files for one in found} == {6}


def test_of_a_run_that_was_run_again_the_last_one_is_the_reference_as_in_a_comparison(tmp_path):
    for name, settings in {"a": {}, "b": {"epochs": 3}, "c": {"pruning_method": "row"}}.items():
        run(tmp_path / name, recipes=("float32", "int8"), **settings)  # 3 is the default.
    run(tmp_path / "d", seed=2)
    folders = sorted(tmp_path.iterdir())
    for recipes in ([], ["int8"]):
        found = measure(*folders, recipes=recipes)
        assert {(one.reference.run, one.reference.recipe) for one in found} == {("b", "float32")}
        shown = times.table(found)
        assert sum("times as fast as b, float32." in note for note in shown.notes) == 1
    speeds = {model.time.reference for model in reading.read(folders) if model.time}
    assert speeds == {"b, float32"}


def test_a_run_whose_record_is_gone_is_like_no_other(tmp_path):
    for name in "ab":
        run(tmp_path / name)
    (tmp_path / "b" / "results.jsonl").unlink()
    assert {one.reference.run for one in measure(*tmp_path.iterdir())} == {"a"}
    (tmp_path / "a" / "results.jsonl").write_text("{}")
    with refuses(UserError, tmp_path / "a" / "results.jsonl"):
        measure(*tmp_path.iterdir())


def test_paths_are_those_that_were_given_and_a_folder_is_told_of_once(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.chdir(tmp_path)
    run(tmp_path / "runs" / "whole")
    write_run(tmp_path / "runs" / "bare", LABELS, wrong_at(LABELS, [0]), seed=2)
    (tmp_path / "runs" / "trains").mkdir()
    folders = sorted(pathlib.Path("runs").iterdir())
    with caplog.at_level("INFO", logger="absl"):
        measure(*folders)
        reading.read(folders)
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "runs/bare: no exported file in it (tflite/), so nothing of it is timed",
        "runs/trains: no record in it (results.jsonl), left out",
        "timing 1 file(s) in turns at length 32: 5 turns to warm up, then 3 that count",
    ]
    with refuses(UserError, "--at_length=64", ": runs/whole/tflite/float32.tflite"):
        measure(*folders, at_length=64)


def test_all_files_have_the_length(tmp_path):
    long = run(tmp_path / "long", content=tiny_tflite.write(32, 64), lengths=("32", "64"))
    both = run(tmp_path / "both")
    short = run(tmp_path / "short", content=SHORT, lengths=("16",))
    (one,) = measure(both, at_length=16)
    assert list(one.timing.latency) == ["16"]
    with refuses(UserError, "--at_length=64", both, "16, 32 only", "All files run at: 32"):
        measure(long, both, at_length=64)
    with refuses(UserError, "--runs", f"{long}/tflite/float32.tflite at 32, 64"):
        measure(long, both, short)
    with refuses(UserError, "--at_length=16", long, "leave some out (--runs)"):
        measure(long, both, short, at_length=16)
    assert not (long / "tflite" / "timings.jsonl").exists()


def test_tasks_without_a_common_length_are_timed_each_at_its_own(tmp_path):
    long = run(tmp_path / "long", content=tiny_tflite.write(32, 64), lengths=("32", "64"))
    half = run(tmp_path / "half", lengths=("16", "32"), pruning_method="row")
    other = run(tmp_path / "other", content=SHORT, lengths=("16",), task="sst2")
    found = measure(long, half, other)
    assert {one.file.run: list(one.timing.latency) for one in found} == {
        **{"half": ["32"], "long": ["32"]},
        "other": ["16"],
    }
    assert len({one.timing.session for one in found}) == 1
    shown = times.table(found)
    assert [column.head for column in shown.columns][:3] == ["run", "recipe", "word pieces"]
    assert "16 or 32 word pieces" in times.title(found)
    by_run = {one.run: one.time.length for one in reading.read([long, half, other]) if one.time}
    assert set(by_run.values()) == {"16", "32"}


def test_runs_without_files(tmp_path, caplog):
    bare = write_run(tmp_path / "bare", LABELS, wrong_at(LABELS, [0]))
    whole = run(tmp_path / "whole")
    assert [one.file.run for one in measure(bare, whole)] == ["whole"]
    assert f"{bare}: no exported file in it" in caplog.text
    training = tmp_path / "a_run_that_trains"
    training.mkdir()
    with refuses(UserError, "--runs", f"export_tflite --run={bare}"):
        measure(training, bare)
    with refuses(UserError, "--runs", "None of them is a finished run"):
        measure(training)
    with refuses(UserError, f"--runs={tmp_path / 'nowhere'}: no such folder"):
        measure(whole, tmp_path / "nowhere")


def test_a_recipe_that_no_run_has_is_refused_and_one_that_some_lack_is_told_of(tmp_path, caplog):
    whole = run(tmp_path / "whole")
    half = run(tmp_path / "half", recipes=("float32", "int8"))
    with refuses(UserError, "--recipes=int8", "They have float32"):
        measure(whole, recipes=["int8"])
    found = measure(whole, half, recipes=["int8"])
    assert {(one.file.run, one.file.recipe) for one in found} >= {("half", "int8")}
    assert f"{whole}: no int8 file; it has float32" in caplog.text
    assert f"{half}: no" not in caplog.text


def test_a_file_that_is_not_the_measured_one_is_told_of(tmp_path, caplog):
    whole = run(tmp_path / "whole", recipes=("float32", "int8", "int4"))
    (whole / "tflite" / "int8.tflite").write_bytes(b"cut short")
    (whole / "tflite" / "int4.tflite").unlink()
    assert [one.file.recipe for one in measure(whole)] == ["float32"]
    measure(whole)
    for recipe in ("int8", "int4"):
        assert caplog.text.count(f"{whole}/tflite/{recipe}.tflite: it is gone, or not the") == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"threads": 0}, "--threads=0"),
        ({"repetitions": 0}, "--repetitions=0"),
        ({"recipes": ["int3"]}, "--recipes=int3"),
        ({"at_length": -1}, "--at_length=-1"),
    ],
)
def test_values_that_are_none(tmp_path, options, named):
    with refuses(UserError, named):
        measure(run(tmp_path / "whole"), **options)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    folder = run(tmp_path / "whole") / "tflite"
    monkeypatch.setattr(os, "access", lambda path, mode: path != folder)
    with refuses(UserError, folder / "timings.jsonl"):
        measure(tmp_path / "whole")
    monkeypatch.undo()
    (folder / "timings.jsonl").mkdir()
    with refuses(UserError, folder / "timings.jsonl", "directory"):
        measure(tmp_path / "whole")


def test_files_that_do_not_fit_into_memory_are_told_of(tmp_path, monkeypatch, caplog):
    class Memory:
        available = 1000

    monkeypatch.setattr(benchmark.psutil, "virtual_memory", Memory)
    measure(run(tmp_path / "whole"))
    assert "0.0 GB are free" in caplog.text


@pytest.fixture(scope="module")
def timing(tmp_path_factory):
    return measure(run(tmp_path_factory.mktemp("timing") / "whole"))[0].timing


@pytest.mark.parametrize(
    ("cores", "threads", "others", "busy"),
    [
        (2, 2, 0.1, False),
        (2, 2, 0.9, True),
        (8, 2, 6.0, False),
        (8, 2, 7.0, True),
        (1, 4, 0.2, False),
    ],
)
def test_a_machine_is_busy_when_others_take_the_sessions_cores(
    timing, cores, threads, others, busy
):
    # Before it, the session's own process has exported: that is no business of its times.
    load = {"before": 9.0, "after": 9.0, "others": others}
    one = dataclasses.replace(timing, machine={"cores": cores}, threads=threads, load=load)
    assert one.was_busy is busy
    assert (f"{others:.1f} of its {cores} cores" in one.warning) is busy
    assert bool(one.warning) is busy


def test_what_others_keep_at_work_is_told_from_the_sessions_own_work(monkeypatch):
    machine, own = iter([(50.0, 10.0), (62.0, 13.0)]), iter([(5.0, 1.0), (14.0, 2.0)])
    seconds = iter([100.0, 110.0])

    class Times:
        def __init__(self, pair):
            self.user, self.system = pair
            self.nice = 0.0

    class Process:
        def cpu_times(self):
            return Times(next(own))

    monkeypatch.setattr(benchmark.psutil, "cpu_times", lambda: Times(next(machine)))
    monkeypatch.setattr(benchmark.psutil, "Process", Process)
    monkeypatch.setattr(benchmark.time, "monotonic", lambda: next(seconds))
    # Of 15 seconds of work in 10 seconds, 10 were the session's.
    assert benchmark.Work().of_others() == 0.5


@pytest.mark.parametrize(
    "changed",
    [
        {"latency": {"32": {"p50": 0.0, "p90": 1.0, "min": 1.0}}},
        {"latency": {"32": {"p50": None, "p90": 1.0, "min": 1.0}}},
        {"latency": {"32": {"p50": 1.0, "p90": 1.0}}},
        {"latency": {"long": {"p50": 1.0, "p90": 1.0, "min": 1.0}}},
        {"latency": {}},
        {"threads": "two"},
        {"load": {"before": 1.0}},
    ],
)
def test_a_line_that_is_no_timing(timing, changed):
    values = {**json.loads(timing.to_line()), **changed}
    assert Timing.from_line(timing.to_line()) == timing
    with pytest.raises((ValueError, KeyError)):
        Timing.from_line(json.dumps(values))


def test_an_exports_records_have_the_times_of_one_session(tmp_path):
    whole = run(tmp_path / "whole", recipes=("float32", "int8"))
    folder = ExportFolder(whole / "tflite")
    records = list(folder.records().values())
    assert timings.in_one_session(folder.path, records) == records  # Never timed together.
    session = benchmark.session(
        [benchmark.File(folder.model(one.recipe), "whole", one.recipe) for one in records],
        (16, 32),
        threads=1,
        repetitions=3,
    )
    # A later one at other lengths is none of an export.
    measure(whole)
    shown = timings.in_one_session(folder.path, records)
    for one, timing in zip(shown, session, strict=True):
        assert one.threads == 1
        for length, timed in one.latency.items():
            base = session[0].latency[length]["p50"]
            assert timed == {**timing.latency[length], "float32_p50": base}
    write_export(whole, "int8", LABELS, wrong_at(LABELS, [0]), lengths=("16",), content=SHORT)
    again = list(folder.records().values())
    assert timings.in_one_session(folder.path, again) == again


def test_an_export_says_that_the_machine_was_busy_when_its_files_were_timed(tmp_path, capsys):
    whole = run(tmp_path / "whole", recipes=("float32", "int8"))
    folder = ExportFolder(whole / "tflite")
    records = list(folder.records().values())
    load = {"before": 9.0, "after": 9.0, "others": 1.63}
    session = [
        dataclasses.replace(
            one.timing, load=load, machine={"cores": 2}, threads=2, latency=record.latency
        )
        for one, record in zip(measure(whole), records, strict=True)
    ]
    folder.path.joinpath("timings.jsonl").write_text("\n".join(map(Timing.to_line, session)) + "\n")
    shown = [
        dataclasses.replace(one, parity={"largest_difference": 0.0, "flips": 0, "examples": 40})
        for one in timings.in_one_session(folder.path, records)
    ]
    (warning,) = {one.busy for one in shown}
    assert "1.6 of its 2 cores" in warning
    assert all(warning in card(one) for one in shown)
    terminal.print_exports(shown)
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count(warning) == 1
    assert "compares the files of this run only; `compare --time --runs=...`" in printed


@pytest.mark.parametrize(("lengths", "cut"), [((16, 24), True), ((16, 32), False)])
def test_examples_that_an_export_cuts_are_told_of(tmp_path, capsys, lengths, cut):
    whole = run(tmp_path / "whole", seq_length=32)
    (record,) = ExportFolder(whole / "tflite").records().values()
    parity = {"largest_difference": 0.0, "flips": 0, "examples": 31 if cut else 40}
    one = dataclasses.replace(record, seq_lengths=lengths, parity=parity)
    told = "9 of the 40 validation examples fill all 24 word pieces that the files read, or are"
    terminal.print_exports([one])
    assert (told in " ".join(capsys.readouterr().out.split())) is cut
    assert (told in card(one)) is cut
