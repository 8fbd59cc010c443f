"""The files of a survey: each row's two, and the one that a row is about, as it was trained for."""

from __future__ import annotations

import pathlib
import subprocess
import types

import pytest
from study_runs import LABELS, right, write
from written_runs import write_export

from bert_glue_tf.export import benchmark
from bert_glue_tf.studies import survey_layout, survey_measure
from bert_glue_tf.studies.survey import Survey
from bert_glue_tf.studies.survey_measure import MeasureSettings

# Milliseconds of files at length 32.
TIMES = {"float32": 4.0, "dynamic_int8": 2.0, "int4": 3.0}
GIVEN = {"data": "tsv", "task": "mrpc", "seq_length": "32"}


@pytest.fixture
def commands(monkeypatch):
    """Writes and times files at once, int4 with fewer right answers; gives what was exported."""
    found = []

    def export(line, **_):
        run, recipes = (one.partition("=")[2] for one in line[3:5])
        found.append((pathlib.Path(run).name, recipes))
        for recipe in ("float32", *recipes.split(",")):
            answers = right(300 if recipe == "int4" else 340)
            size = 20.0 if recipe == "int4" else 25.0
            folder = pathlib.Path(run)
            write_export(folder, recipe, LABELS, answers, megabytes=size, lengths=["32"])
        return subprocess.CompletedProcess(line, 0, "", "")

    def session(files, lengths, **_):
        assert len({file.path for file in files}) == len(files)
        times = [{"p50": TIMES[one.recipe], "p90": 5.0, "min": 1.0} for one in files]
        return [types.SimpleNamespace(session="one", latency={"32": one}) for one in times]

    monkeypatch.setattr(survey_measure.subprocess, "run", export)
    monkeypatch.setattr(benchmark, "session", session)
    monkeypatch.setattr(survey_measure, "_robustness", lambda *_: {})
    return found


def surveyed(methods, root):
    study = Survey(methods, GIVEN, "", [1], MeasureSettings(seq_lengths=(32,)))
    for one in dict.fromkeys(study.cells):
        write(one, root / "runs", [right(340)])
    study.run(root / "runs")
    study.measure(root / "output")
    return study


def test_a_row_shows_the_file_that_it_was_trained_for(tmp_path, commands):
    study = surveyed(["block", "block+int4"], tmp_path)
    assert [recipes for _, recipes in commands] == ["dynamic_int8"] * 2 + ["dynamic_int8,int4"]
    _, plain, rounded = study.table.texts()
    assert {plain[head] for head in ("own file", "own MB", "own ms", "own score")} == {""}
    assert (rounded["own file"], rounded["own MB"], rounded["own ms"]) == ("int4", "20.00", "3.00")
    assert rounded["own score"].startswith(f"{300 / 400:.4f}")
    # What every row has stands beside it.
    assert (rounded["int8 MB"], rounded["ms"]) == ("25.00", "2.00")
    assert rounded["int8 score"].startswith(f"{340 / 400:.4f}")
    (only,) = survey_layout.part(
        study.table, survey_layout.PARTS["Files that rows are made for"]
    ).texts()
    assert (only["method"], only["own file"]) == ("block + int4", "int4")
    # What was measured is kept.
    assert survey_measure._Kept(tmp_path / "output" / "measured.json")._values["latency"]["value"][
        "block+int4 int4"
    ] == {"32": {"p50": 3.0, "p90": 5.0, "min": 1.0, "float32_p50": 4.0}}


def test_a_row_for_dynamic_int8_is_about_the_file_that_every_row_has(tmp_path, commands):
    study = surveyed(["neuron+dynamic_int8"], tmp_path)
    assert {recipes for _, recipes in commands} == {"dynamic_int8"}
    row = study.table.texts()[1]
    assert (row["own file"], row["own MB"]) == ("dynamic_int8", row["int8 MB"])
    assert (row["own ms"], row["own score"]) == (row["ms"], row["int8 score"])


def test_a_file_that_cannot_be_made_leaves_the_others(tmp_path, commands, monkeypatch):
    export = survey_measure.subprocess.run

    def fails(line, **options):
        if "int4" not in line[4]:
            return export(line, **options)
        export([*line[:4], "--recipes=dynamic_int8", *line[5:]], **options)
        return subprocess.CompletedProcess(line, 2, "", "error: --recipes=int4: no.")

    monkeypatch.setattr(survey_measure.subprocess, "run", fails)
    study = surveyed(["block+int4"], tmp_path)
    row = study.table.texts()[1]
    assert (row["int8 MB"], row["own file"], row["own MB"]) == ("25.00", "", "")
    assert study.findings() == ["Not measured: block+int4: not exported: --recipes=int4: no."]
