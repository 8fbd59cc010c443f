"""Tables at every width: no line is longer, no head or value is cut, nothing goes unsaid."""

from __future__ import annotations

import dataclasses
import re

import pytest
from report_runs import LABELS, read, right
from written_runs import write_export, write_run

from bert_glue_tf.reports import fitting, rows, tables, terminal, verdicts
from bert_glue_tf.reports.groups import group
from bert_glue_tf.reports.tables import Column, Table
from bert_glue_tf.runs import results

WIDTHS = (80, 120)
LONG = "dynamic_int8_attention_blockwise"


def words(texts):
    return [word for text in texts for word in text.split()]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for seed in (1, 2, 3):
        write_run(folder / f"a-{seed}", LABELS, right(300 + seed), seed=seed)
        run = write_run(
            folder / f"b-{seed}",
            LABELS,
            right(280 - seed),
            seed=seed,
            pruning_method="attention_head,magnitude",
            final_sparsity=0.6,
        )
        for recipe in ("float32", LONG):
            write_export(run, recipe, LABELS, right(270 + seed), lengths=("32", "64", "128"))
    return read(*sorted(folder.iterdir()))


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("name", ["groups", "differences", "models"])
def test_no_line_is_longer_and_nothing_is_cut(models, name, columns):
    made = {
        "groups": lambda: rows.groups(group(models)),
        "differences": lambda: rows.differences(verdicts.differences(models)),
        "models": lambda: rows.models(models),
    }
    table = made[name]().filled()
    lines = fitting.lines(table, columns)
    assert max(map(len, lines)) <= columns
    text = " ".join(" ".join(lines).split())
    assert "…" not in text
    found = set(words(lines)) | {word.strip(";.,") for word in words(lines)}
    left_out = re.findall(r"For want of room without: (.*)\. A wider", " ".join(lines))
    missing = left_out[0].split(", ") if left_out else []
    spare = {column.head for column in table.columns if column.spare}
    assert set(missing) <= spare
    for column, texts in zip(table.columns, zip(*table.cells(), strict=True), strict=True):
        if column.head in missing:
            continue
        assert column.head in text
        assert set(words(cell.text for cell in texts)) <= found, column.head


@pytest.mark.parametrize("columns", WIDTHS)
def test_the_table_of_an_export_keeps_its_heads(models, tmp_path, monkeypatch, capsys, columns):
    run = write_run(tmp_path / "run", LABELS, right(300))
    lengths = ("32", "64", "128")
    write_export(run, "float32", LABELS, right(300), lengths=lengths, milliseconds=9.5)
    folder = write_export(run, LONG, LABELS, right(299), lengths=lengths, megabytes=7.5)
    monkeypatch.setenv("COLUMNS", str(columns))
    parity = {"largest_difference": 1e-6, "flips": 0, "examples": 400}
    records = folder.records().values()
    terminal.print_exports([dataclasses.replace(record, parity=parity) for record in records])
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    (heads,) = (set(line.split()) for line in lines if line.startswith("recipe "))
    notes = next(place for place, line in enumerate(lines) if line.startswith("float32 against"))
    assert max(map(len, lines[:notes])) <= columns
    assert {"recipe", "accuracy", "size", "ms/128", "speed"} <= heads
    if columns == 120:
        assert {"ms/32", "ms/64", "gzipped", "peak"} <= heads


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_record_with_long_values(models, tmp_path, columns):
    folder = "a/long/folder/of-one-encoder/" * 2
    run = write_run(tmp_path / "run", LABELS, right(300), encoder=folder)
    (record,) = results.load(run / results.FILE_NAME)
    record.speed.update(
        dict.fromkeys(("train_examples_per_second", "evaluation_examples_per_second"), 1.0),
        seconds=1.0,
    )
    lines = fitting.pairs(terminal.rows(record), columns)
    assert max(map(len, lines)) <= columns
    assert set(words(value for _, value in terminal.rows(record))) <= set(words(lines))


def table(*columns, number=2):
    return Table(tuple(columns), tuple(range(number)))


def column(head, *values, **more):
    return Column(head, lambda row: values[row % len(values)], **more)


def test_the_order_in_which_a_table_gets_narrow():
    made = table(
        column("task", "cola"),
        column("model", "no pruning, float32", "pruned: magnitude to 80 %, int8", may_wrap=True),
        column("score", "0.5", "0.25"),
        column("gzip", "12.5", "3.5", spare=2),
        column("flips", "1", "2", spare=1),
    )
    assert fitting.lines(made, 80) == [
        "task  model                            score  gzip  flips",
        "────  ───────────────────────────────  ─────  ────  ─────",
        "cola  no pruning, float32                0.5  12.5      1",
        "cola  pruned: magnitude to 80 %, int8   0.25   3.5      2",
    ]
    assert fitting.lines(made, 44)[:3] == [
        "task  model               score  gzip  flips",
        "────  ──────────────────  ─────  ────  ─────",
        "cola  no pruning,           0.5  12.5      1",
    ]
    assert fitting.lines(made, 38)[:5] == [
        "All rows: task cola.",
        "",
        "model               score  gzip  flips",
        "──────────────────  ─────  ────  ─────",
        "no pruning,           0.5  12.5      1",
    ]
    narrow = fitting.lines(made, 33)
    assert narrow[2] == "model                score  flips"
    assert " ".join(narrow[-2:]) == "For want of room without: gzip. A wider terminal has them."
    assert fitting.lines(made, 15) == [
        "All rows: task",
        "cola.",
        "",
        *("  model   no", "          pruning,", "          float32"),
        *("  score   0.5", "  gzip    12.5", "  flips   1", ""),
        *("  model   pruned:", "          magnitude", "          to", "          80 %,"),
        "          int8",
        *("  score   0.25", "  gzip    3.5", "  flips   2"),
    ]


def test_the_rows_of_a_sweep_are_broken_at_words():
    rows_of_text = [
        {"run": "cola-minilm_l6-sample-magnitude-seed1-3f2a1c", "state": "finished: matthews 0.5"},
        {"run": "cola-minilm_l6-sample-magnitude-seed2-5f2a1c", "state": "to be run"},
    ]
    lines = fitting.lines(tables.of(rows_of_text), 60)
    assert max(map(len, lines)) <= 60
    assert "finished:" in lines[2]
    assert lines[3].strip() == "matthews 0.5"


@pytest.mark.parametrize("columns", range(14, 60))
def test_a_name_is_broken_between_its_settings_and_never_in_a_value(columns):
    name = "pruned: attention_head 50 %, block 12.5 % (block=4x4), data=/my\N{NO-BREAK SPACE}data"
    shown = Table((Column("model", lambda row: row, may_wrap=True),), (name, name))
    found = fitting.lines(shown, columns)
    for value in ("50 %", "12.5 %", "(block=4x4),", "data=/my data"):
        assert any(value in line for line in found)
    assert "\N{NO-BREAK SPACE}" not in "".join(found)
    pairs = fitting.pairs(
        [("pruned", "79.95 % of the classifier (0.0027 % of the model)")], columns
    )
    assert any("79.95 %" in line for line in pairs)
    assert any("(0.0027 %" in line for line in pairs)
