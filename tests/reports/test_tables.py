"""Tables of a comparison: nothing that matters is silent in any of them."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import shlex

import numpy as np
import pytest
from absl import flags
from report_runs import CONSTANT, LABELS, N, read, right
from written_runs import write_export, write_run

from bert_glue_tf.reports import (
    files,
    formats,
    machine,
    page,
    plots,
    rows,
    summary,
    tables,
    terminal,
    verdicts,
)
from bert_glue_tf.reports.groups import group
from bert_glue_tf.runs import command_line, results


def everywhere(models):
    """The rows of all tables, and the Markdown, the CSV and the page made of them."""
    groups, found = group(models), verdicts.differences(models)
    shown = {
        "groups": rows.groups(groups),
        "differences": rows.differences(found),
        "models": rows.models(models),
    }
    return {
        **{name: table.texts() for name, table in shown.items()},
        "markdown": [tables.markdown(table) for table in shown.values()],
        "csv": list(csv.DictReader(io.StringIO(tables.data_csv(machine.models(groups))))),
        "page": page.page(groups, found),
    }


def test_collapsed_is_in_every_table(collapsed, tmp_path, capsys):
    shown = everywhere(collapsed)
    worthless = {"no pruning, int8 COLLAPSED"}
    assert {r["model"] for r in shown["groups"] if "COLLAPSED" in r["model"]} == worthless
    (difference,) = shown["differences"]
    assert difference["verdict"] == "no verdict: COLLAPSED"
    assert difference["p"] == difference["equal"] == ""
    assert [r["score"] for r in shown["models"]] == ["0.6500", "0.6500", "0.5000 COLLAPSED"]
    assert [table.count("COLLAPSED") for table in shown["markdown"]] == [1, 1, 1]
    assert [(row["score"], row["collapsed"]) for row in shown["csv"]] == [
        ("0.65", "False"),
        ("0.65", "False"),
        ("0.5", "True"),
    ]
    text = shown["page"]
    assert (
        "<li>COLLAPSED: weak, int8: every prediction is not_equivalent. Do not use this model.</li>"
    ) in text
    assert 'class="bad" data-head="score">0.5000 COLLAPSED</td>' in text
    assert 'class="name bad" data-head="verdict">no verdict: COLLAPSED</td>' in text
    assert (
        "int8 against no pruning, float32: no verdict: COLLAPSED (400 examples, 1 seed)."
    ) in text
    terminal.print_rows("Models", shown["groups"])
    terminal.print_rows("Differences", shown["differences"])
    assert re.sub(r"\s+", " ", capsys.readouterr().out).count("COLLAPSED") == 2
    files.write(tmp_path / "out", group(collapsed), [])
    assert "COLLAPSED: weak, int8" in (tmp_path / "out" / "comparison.md").read_text()


def test_some_of_the_seeds_collapsed(tmp_path):
    for seed, logits in ((1, right(390)), (2, CONSTANT), (3, right(380))):
        write_run(tmp_path / str(seed), LABELS, logits, seed=seed)
    models = read(*sorted(tmp_path.iterdir()))
    (row,) = rows.groups(group(models)).texts()
    assert row["model"] == "no pruning COLLAPSED (1 of 3 seeds)"
    assert summary.notes(models) == [
        "COLLAPSED: 2, keras: every prediction is not_equivalent. Do not use this model."
    ]


def test_sample_stands_wherever_its_results_do(collapsed, tmp_path):
    shown = everywhere(collapsed)
    for name in ("groups", "differences", "models"):
        assert {row["task"] for row in shown[name]} == {"mrpc (sample)"}
    assert {(row["task"], row["source"]) for row in shown["csv"]} == {("mrpc", "sample")}
    assert all(table.count("mrpc (sample)") >= 1 for table in shown["markdown"])
    assert "mrpc (sample): no pruning, int8 against" in shown["page"]
    note = "Scores marked (sample) are of generated sentences; they say nothing of GLUE."
    assert note in shown["page"]
    assert summary.notes(collapsed)[0] == note
    figure = plots.score_against(group(collapsed), "size")
    assert "mrpc (sample data), tiny" in figure.axes[0].get_title()
    files.write(tmp_path, group(collapsed), [])
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert pictures == ["mrpc_sample_tiny_latency.png", "mrpc_sample_tiny_size.png"]
    assert note in (tmp_path / "comparison.md").read_text()


def test_a_figure_that_a_comparison_has_no_more_does_not_stay_behind(collapsed, tmp_path):
    files.write(tmp_path, group(collapsed), [])
    untimed = [dataclasses.replace(model, time=None) for model in collapsed]
    files.write(tmp_path, group(untimed), [])
    assert [path.name for path in tmp_path.glob("*.png")] == ["mrpc_sample_tiny_size.png"]


def test_what_is_not_of_the_sample_is_not_marked(tmp_path):
    shown = everywhere(read(write_run(tmp_path / "run", LABELS, right(300))))
    assert "sample" not in json.dumps([shown[n] for n in ("groups", "models", "csv", "page")])


def test_a_model_that_diverged_has_no_score_and_no_difference(tmp_path):
    write_run(tmp_path / "u", LABELS, right(300))
    run = tmp_path / "p"
    write_run(
        run, LABELS, np.full((N, 2), np.nan, np.float32), pruning_method="classifier_magnitude"
    )
    models = read(tmp_path / "u", run)
    shown = everywhere(models)
    assert [row["score"] for row in shown["models"]] == ["undefined COLLAPSED", "0.7500"]
    (difference,) = shown["differences"]
    assert difference["difference"] == difference["95 % interval"] == "undefined"
    assert difference["verdict"] == "no verdict: COLLAPSED"
    assert "nan" not in shown["page"].lower()
    assert "no verdict: COLLAPSED (400 examples, 1 seed)." in shown["page"]
    # Its point is on no figure.
    assert plots.score_against(group(models), "size") is None


def test_a_constant_answer_to_a_regression_has_no_correlation(tmp_path):
    labels = np.linspace(0, 5, 50)
    write_run(tmp_path / "u", labels, labels[:, None] + 0.1, task="stsb")
    constant = np.full((50, 1), 2.5)
    run = write_run(
        tmp_path / "p", labels, constant, task="stsb", pruning_method="classifier_magnitude"
    )
    (interval,) = {tuple(v) for v in results.load(run / "results.jsonl")[0].intervals.values()}
    assert interval == (None, None)
    shown = everywhere(read(tmp_path / "u", run))
    assert [row["score"] for row in shown["models"]] == ["undefined COLLAPSED", "1.0000"]
    assert [row["95 % interval"] for row in shown["groups"]] == ["1.000 to 1.000", ""]
    assert shown["differences"][0]["verdict"] == "no verdict: COLLAPSED"
    assert shown["differences"][0]["p"] == ""


def test_seeds_without_an_unpruned_partner_are_told_of_with_the_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "u", LABELS, right(300), epochs=2)
    for method in ("row", "layer"):
        for seed in (1, 2, 3):
            folder = tmp_path / "runs" / f"{method}{seed}"
            write_run(folder, LABELS, right(300), epochs=2, seed=seed, pruning_method=method)
    folders = sorted((tmp_path / "runs").iterdir())
    first, *commands = summary.notes(read(*folders))[0].splitlines()
    assert first == (
        "Not compared with an unpruned model: layer2, layer3, row2, row3. The unpruned model has "
        "only seed 1 (u). This runs what is missing:"
    )
    for command, seed in zip(commands, (2, 3), strict=True):
        # It can be pasted: the run is made beside the others, under the name of its settings.
        words = shlex.split(command)
        assert words[:3] == ["python", "-m", "bert_glue_tf.train"]
        asked = flags.FlagValues()
        command_line.define_flags(asked)
        asked(words[2:])
        settings = command_line.from_flags(asked)
        assert (settings.epochs, settings.seed, settings.pruning_method) == (2, seed, "none")
        assert asked.workdir == f"runs/{settings.run_name}"


def test_seeds_of_one_collapsed_model_share_a_line(tmp_path):
    for seed in (1, 2, 3):
        write_run(tmp_path / f"weak{seed}", LABELS, CONSTANT, seed=seed)
    write_run(tmp_path / "good", LABELS, right(300), epochs=2)
    assert summary.notes(read(*sorted(tmp_path.iterdir()))) == [
        "COLLAPSED: weak1, weak2, weak3, keras: every prediction is not_equivalent. "
        "Do not use these models."
    ]


def test_the_collapsed_models_of_one_run_share_a_line(tmp_path):
    only = "every prediction is not_equivalent"
    for seed in (1, 2):
        run = write_run(tmp_path / f"weak{seed}", LABELS, CONSTANT, seed=seed)
        write_export(run, "float32", LABELS, CONSTANT, collapsed=only)
        write_export(run, "int8", LABELS, CONSTANT, collapsed=only)
    run = write_run(tmp_path / "part", LABELS, right(300), epochs=2)
    write_export(run, "float32", LABELS, right(300))
    write_export(run, "int8", LABELS, CONSTANT, collapsed=only)
    lines = summary.notes(read(*sorted(tmp_path.iterdir())))
    assert [line for line in lines if line.startswith("COLLAPSED")] == [
        f"COLLAPSED: part, int8: {only}. Do not use this model.",
        f"COLLAPSED: weak1, weak2, the trained model and all 2 files: {only}. "
        "Do not use these models.",
    ]


def test_a_pruned_model_without_an_unpruned_one_is_told_of_with_the_nearest(tmp_path):
    write_run(tmp_path / "u", LABELS, right(300), seed=2)
    write_run(tmp_path / "far", LABELS, right(300), epochs=5, batch_size=8)
    for name, given in {
        "p": {},
        "q": {"epochs": 2},
        "q3": {"epochs": 2, "seed": 3},
        "r": {"train": "other"},
        "s": {"seed": 1},
        "t": {"task": "sst2"},
        "v": {"epochs": 2, "final_sparsity": 0.5},
    }.items():
        given = {"seed": 2, "pruning_method": "classifier_magnitude", **given}
        write_run(tmp_path / name, LABELS, right(300), **given)

    def notes(*names):
        told = summary.notes(read(*(tmp_path / name for name in names)))
        commands = [line for note in told for line in note.splitlines()[1:]]
        assert all(line.startswith("  python -m bert_glue_tf.train --") for line in commands)
        missing = " This runs what is missing:"
        assert (missing in "".join(told)) == bool(commands)
        return [note.splitlines()[0].removesuffix(missing) for note in told]

    nobody = "Not compared with an unpruned model: {}. "
    assert notes("u", "far", "p") == []
    assert notes("u", "far", "p", "q", "q3") == [
        nobody.format("q, q3") + "The nearest unpruned run, u, has epochs=3 instead of 2."
    ]
    # Another pruning that lacks it for the same reason.
    assert notes("u", "q", "v") == [
        nobody.format("q, v") + "The nearest unpruned run, u, has epochs=3 instead of 2."
    ]
    assert notes("far", "q") == [
        nobody.format("q")
        + "The nearest unpruned run, far, has batch_size=8 instead of 32, epochs=5 instead of 2."
    ]
    assert notes("u", "r") == [
        nobody.format("r") + "The nearest unpruned run, u, has other contents of data=tsv."
    ]
    assert notes("u", "s") == [
        nobody.format("s") + "The nearest unpruned run, u, has seed=2 instead of 1."
    ]
    assert notes("u", "t") == [nobody.format("t") + "No unpruned run of sst2 is among these."]


def test_what_a_taught_run_lacks_is_an_unpruned_one_without_its_teacher(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "u", LABELS, right(300), epochs=5)
    taught = {"teacher": "/runs/large", "distill_weight": 0.9}
    write_run(tmp_path / "p", LABELS, right(300), pruning_method="row", **taught)
    note, command = summary.notes(read(tmp_path / "u", tmp_path / "p"))[0].splitlines()
    assert note.startswith(
        "Not compared with an unpruned model: p. The nearest unpruned run, u, has epochs=5 instead "
        "of 3. "
    )
    assert "teacher" not in command
    assert "distill" not in command
    # With other seeds of an unpruned one with the teacher, more of these.
    write_run(tmp_path / "v", LABELS, right(300), seed=2, **taught)
    note, command = summary.notes(read(tmp_path / "v", tmp_path / "p"))[0].splitlines()
    assert "The nearest unpruned run, v, has seed=2 instead of 1." in note
    assert "--teacher=/runs/large" in command
    # What learns without a teacher has no counterpart in one that has a teacher.
    write_run(tmp_path / "q", LABELS, right(300), pruning_method="row")
    note = summary.notes(read(tmp_path / "v", tmp_path / "q"))[0].splitlines()[0]
    assert "The nearest unpruned run, v, has --teacher=/runs/large instead of none." in note


def test_the_unpruned_run_that_is_missing_can_be_pasted_and_is_the_counterpart(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    write_run(runs / "u", LABELS, right(300))
    asked = {"pruning_method": "row", "final_sparsity": 0.5, "finetune_epochs": 3, "seed": 2}
    write_run(runs / "p", LABELS, right(300), packing="false", **asked)
    write_run(runs / "v", LABELS, right(300), train="other", pruning_method="row")
    changed, told = summary.notes(read(*sorted(runs.iterdir())))[::-1]
    assert changed.endswith("has other contents of data=tsv.")  # And no command.
    first, command = told.splitlines()
    assert first.endswith("finetune_epochs=0 instead of 3. This runs what is missing:")
    values = flags.FlagValues()
    command_line.define_flags(values)
    values(shlex.split(command)[2:])
    settings = command_line.from_flags(values)
    same = {**settings.given(), "encoder": "tiny", "data": "tsv"}  # Not their absolute paths.
    write_run(tmp_path / values.workdir, LABELS, right(300), **same)
    models = read(*sorted(runs.iterdir()))
    assert [len(one.seeds) for one in verdicts.differences(models)] == [1]
    assert not any("finetune_epochs" in note for note in summary.notes(models))


@pytest.mark.parametrize(
    ("value", "text"),
    [(15.63, "15.6"), (3.978, "3.98"), (0.0871, "0.0871"), (0.0042, "0.00420"), (None, "")],
)
def test_a_time_has_three_significant_digits(value, text):
    assert formats.milliseconds(value) == text


def test_no_zero_is_negative():
    assert formats.signed(-0.00001) == "+0.0000"
    assert formats.signed_span((-0.0, 0.0)) == "+0.000 to +0.000"
    assert formats.signed(-0.0213) == "-0.0213"
    assert formats.signed_percent(1.267) == "+126.7 %"
    assert formats.signed_percent(-0.062) == "-6.2 %"
    assert formats.signed_percent(-0.0003) == "+0.0 %"
