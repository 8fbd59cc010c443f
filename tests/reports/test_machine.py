"""Tables for machines: pandas reads back what was recorded, to the last bit."""

from __future__ import annotations

import csv
import io
import pathlib
import re

import numpy as np
import pandas
import pytest
from report_runs import CONSTANT, LABELS, N, read, right
from written_runs import write_export, write_run, write_session

from bert_glue_tf.reports import files, machine, tables, verdicts
from bert_glue_tf.reports.groups import group

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "compare.md"


@pytest.fixture
def written(tmp_path):
    """Groups of an unpruned and a pruned run with a timed file each, and the read CSV."""
    for name, given in (
        ("u", {}),
        ("=p", {"pruning_method": "magnitude", "final_sparsity": 1 / 3}),
    ):
        run = write_run(tmp_path / "runs" / name, LABELS, right(300), **given)
        write_export(run, "float32", LABELS, right(299), megabytes=25.123456)
    write_export(run, "int8", LABELS, CONSTANT, collapsed="every prediction is not_equivalent")
    runs = sorted((tmp_path / "runs").iterdir())
    write_session(*runs, name="s", slower=1 / 3, recipes=["float32"])
    models = read(*runs)
    groups = group(models)
    files.write(tmp_path / "out", groups, verdicts.differences(models))
    return groups, tmp_path / "out"


def read_csv(path):
    return pandas.read_csv(path)


def test_pandas_reads_the_numbers_of_models_exactly(written):
    groups, folder = written
    frame = read_csv(folder / "comparison.csv")
    assert len(frame) == 5
    models = [(one.name, model) for one in groups for model in one.models]
    for (_, row), (name, model) in zip(frame.iterrows(), models, strict=True):
        assert row["run"].removeprefix("'") == model.run
        assert row["model"] == name
        assert (row["task"], row["source"], row["recipe"]) == ("mrpc", "tsv", model.recipe)
        assert row["score"] == row["metric_accuracy"] == model.metrics["accuracy"]
        assert (row["low"], row["high"]) == model.interval
        assert row["metric_f1"] == model.metrics["f1"]
        assert (row["metric_f1_low"], row["metric_f1_high"]) == tuple(model.intervals["f1"])
        assert (row["bytes"], row["bytes_gzip"]) == (model.bytes["plain"], model.bytes["gzip"])
        assert (row["examples"], row["seed"]) == (N, 1)
        assert row["setting_learning_rate"] == 2e-5
        asked = model.config["final_sparsity"] if model.method == "magnitude" else None
        assert row["setting_final_sparsity"] == asked or pandas.isna(row["setting_final_sparsity"])
        assert row["data_sha256_train"] == model.digests["train"]
        assert row["collapsed"] == bool(model.collapsed)
    assert frame["parameters"].dtype == frame["bytes"].dtype == np.int64
    assert frame["collapsed"].dtype == bool
    unpruned = frame[frame["method"] == "none"]
    assert unpruned["pruned"].isna().all()
    assert set(frame[frame["method"] == "magnitude"]["sparsity"]) == {0.8}
    (reason,) = frame[frame["recipe"] == "int8"]["collapsed_reason"]
    assert reason == "every prediction is not_equivalent"


def test_pandas_reads_the_numbers_of_differences_exactly(written):
    groups, folder = written
    frame = read_csv(folder / "differences.csv")
    found = verdicts.differences([model for one in groups for model in one.models])
    assert len(frame) == len(found) == 3
    for (_, row), one in zip(frame.iterrows(), found, strict=True):
        assert (row["model"], row["against"]) == (one.what, one.against)
        assert row["mean"] == one.difference.mean
        assert (row["low"], row["high"]) == one.difference.interval
        assert (row["seeds"], row["examples"]) == (1, N)
        assert row["seeds_low"] == row["seeds_high"] == one.difference.mean
    assert list(frame["verdict"]) == ["no_difference", "no_difference", "worse"]
    assert list(frame["collapsed"]) == [False, False, True]


def test_a_model_at_chance_has_a_mark_of_its_own(tmp_path):
    write_run(tmp_path / "run", LABELS, right(205))
    (model,) = models = read(tmp_path / "run")
    text = tables.data_csv(machine.models(group(models)))
    (row,) = pandas.read_csv(io.StringIO(text)).to_dict("records")
    assert (row["collapsed"], row["at_chance"]) == (False, True)
    assert row["at_chance_reason"] == model.marked.at_chance != ""


def test_times_are_those_of_the_session_that_all_files_share(written):
    frame = read_csv(written[1] / "comparison.csv").set_index(["method", "recipe"])
    row = frame.loc["magnitude", "float32"]
    assert row["session"] == "s"
    assert row["length"] == 64
    assert row["threads"] == 2
    assert row["milliseconds"] == row["ms_64_p50"] == 8 * (1 / 3)
    assert row["ms_32_p50"] == 4 * (1 / 3)
    assert np.isnan(frame.loc["none", "keras"]["milliseconds"])


def test_a_number_is_a_number_in_the_file_too(written):
    text = (written[1] / "comparison.csv").read_text()
    assert all(re.fullmatch(r"[a-z0-9_]+", head) for head in text.splitlines()[0].split(","))
    row = next(row for row in csv.DictReader(io.StringIO(text)) if row["sparsity"])
    assert (row["sparsity"], row["sparsity_of_model"]) == ("0.8", "0.08")
    assert (row["bytes"], row["nonzero"], row["milliseconds"]) == ("90000000", "900", "")


def test_a_name_that_a_spreadsheet_would_run_is_a_text(written):
    frame = read_csv(written[1] / "comparison.csv")
    assert set(frame["run"]) == {"u", "'=p"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("a\r\n=1", "a =1"),
        ("\r=1", "' =1"),
        ("a=1", "a=1"),
    ],
)
def test_what_would_be_a_formula_has_an_apostrophe(name, text):
    table = tables.of([{"name": name, "number": -1.5}])
    (row,) = pandas.read_csv(io.StringIO(tables.data_csv(table))).to_dict("records")
    assert row["number"] == -1.5
    assert row["name"] == text


def test_a_score_that_is_undefined_is_an_empty_cell(tmp_path):
    write_run(tmp_path / "run", LABELS, np.full((N, 2), np.nan, np.float32))
    (row,) = pandas.read_csv(
        io.StringIO(tables.data_csv(machine.models(group(read(tmp_path / "run")))))
    ).to_dict("records")
    assert np.isnan(row["score"])
    assert np.isnan(row["low"])
    assert row["collapsed"]


def test_the_documentation_lists_the_columns():
    text = DOCS.read_text(encoding="utf-8")
    _, models, differences = re.split(r"## (?:comparison|differences)\.csv", text)

    def listed(part):
        firsts = re.findall(r"(?m)^\| (`.*?) \|", part)
        return re.findall(r"`([a-z0-9_]+)`", " ".join(firsts))

    assert listed(models) == [column.head for column in machine.MODEL]  # metric_NAME is a pattern.
    assert listed(differences) == [column.head for column in machine.DIFFERENCE]
