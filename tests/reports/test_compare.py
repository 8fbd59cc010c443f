"""The command `compare`, on written runs and on real ones."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import pytest
import tiny_runs
from report_runs import CONSTANT, LABELS, read, right
from study_runs import write_tagged
from written_runs import write_export, write_run, write_session

from bert_glue_tf.data import tasks
from bert_glue_tf.reports import files, formats, page, rows, summary, terminal, verdicts
from bert_glue_tf.reports.groups import group
from bert_glue_tf.studies.cells import cell


def csv_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def compare(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "bert_glue_tf.compare", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "160", **environment},
        timeout=120,
    )


def test_the_command_shows_and_writes(tmp_path):
    run = write_run(tmp_path / "runs" / "[a] :smile:", LABELS, right(300), source="sample")
    write_export(run, "float32", LABELS, right(300))
    write_export(run, "int8", LABELS, CONSTANT, collapsed="every prediction is not_equivalent")
    write_session(run)
    (tmp_path / "runs" / "empty").mkdir()
    done = compare("--runs=runs/*", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "empty: no record in it" in done.stderr
    lines = done.stdout.splitlines()
    assert "COLLAPSED: [a] :smile:, int8: every prediction is not_equivalent." in done.stdout
    assert any("no pruning, int8 COLLAPSED" in line for line in lines)
    differences = lines[lines.index("Differences") :]
    assert any("COLLAPSED" in line.split()[-1] for line in differences if line.split())
    assert any(line.startswith("Scores marked (sample) are of generated") for line in lines)
    assert lines[-1] == (
        "Tables, plots and the page are in comparison; open comparison/report.html."
    )
    assert sorted(os.listdir(tmp_path / "comparison")) == [
        "comparison.csv",
        "comparison.md",
        "differences.csv",
        "mrpc_sample_tiny_latency.png",
        "mrpc_sample_tiny_size.png",
        "report.html",
    ]
    # A name with brackets is a folder before it is a pattern.
    done = compare("--runs=runs/[a] :smile:", "--output=other", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_runs_that_tag_words_are_compared_by_their_spans(tmp_path):
    given = {"task": "rest14_e2e", "encoder": "tiny", "data": "absa"}
    found = {"none": 38, "magnitude": 20}  # Of 40 aspects.
    for method, number in found.items():
        write_tagged(cell(method, given, method, (1,)), tmp_path / "runs", [number])
    done = compare("--runs=runs/*", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "comparison"
    # Every span that is found is right, so that F1 is 2 r / (1 + r) of a recall r.
    scores = {method: 2 * number / (40 + number) for method, number in found.items()}
    shown = {row["method"]: row for row in csv_rows(out / "comparison.csv")}
    for method, score in scores.items():
        assert shown[method]["metric"] == "span_f1"
        assert float(shown[method]["score"]) == pytest.approx(score)
    (row,) = csv_rows(out / "differences.csv")
    mean = scores["magnitude"] - scores["none"]
    assert float(row["mean"]) == pytest.approx(mean)
    assert float(row["low"]) < mean < float(row["high"]) < 0
    assert (row["metric"], row["examples"], row["verdict"]) == ("span_f1", "40", "worse")
    (line,) = (line for line in done.stdout.splitlines() if f"{mean:+.4f}" in line)
    assert "worse" in line
    assert "rest14_e2e" in (out / "report.html").read_text()


def test_collapsed_is_whole_in_a_narrow_terminal(collapsed, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    terminal.print_rows("Models", rows.groups(group(collapsed)))
    assert "COLLAPSED" in capsys.readouterr().out


def test_a_comparison_says_once_what_a_task_warns_of(tmp_path):
    runs = [
        write_run(tmp_path / f"{task}{seed}", LABELS, right(300), task=task, seed=seed)
        for task in ("rte", "wnli")
        for seed in (1, 2)
    ]
    caution = tasks.get("wnli").caution
    assert "opposite label" in caution
    models = read(*runs)
    assert [line for line in summary.notes(models) if "WNLI" in line] == [caution]
    assert caution in page.page(group(models), [])
    assert caution not in page.page(group(models[:2]), [])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--runs=none/*",), "--runs=none/*: no such folder. Give folders of the train command"),
        (("--runs=empty",), "--runs: 1 folder(s), none with a finished run. Give folders of the"),
        (("--runs=damaged",), "DIR/damaged/results.jsonl:1: no record of a run"),
        (("--runs=good", "--output=good/results.jsonl"), "--output=good/results.jsonl: cannot be"),
        (
            ("--runs=good", "--margin=0"),
            "--margin=0.0: give a difference of scores between 0 and 1",
        ),
        (("good",), "'good': no flag."),
    ],
)
def test_mistakes_are_told_in_one_message(tmp_path, arguments, told):
    write_run(tmp_path / "good", LABELS, right(300))
    for name in ("empty", "damaged"):
        (tmp_path / name).mkdir()
    (tmp_path / "damaged" / "results.jsonl").write_text("[]\n")
    before = sorted(tmp_path.rglob("*"))
    done = compare(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    message = done.stderr[done.stderr.index("error: ") + 7 :]
    assert message.startswith(told.replace("DIR", str(tmp_path)))
    assert sorted(tmp_path.rglob("*")) == before


def test_no_tensorflow_to_compare():
    code = (
        "import sys\n"
        "from bert_glue_tf import compare\n"
        "from bert_glue_tf.reports import files, reading, summary, terminal\n"
        "late = {'tensorflow', 'tf_keras', 'official', 'pandas', 'matplotlib', 'jinja2'}\n"
        "assert not late & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_real_runs_and_files(exported, tiny_encoder, tiny_glue, tmp_path):
    run, folder = exported
    pruned = tiny_runs.train(
        tmp_path / "pruned",
        tiny_encoder,
        tiny_glue,
        pruning_method="classifier_magnitude",
        initial_sparsity=0.1,
        final_sparsity=0.25,
    )
    models = read(run.path, pruned.path)
    shown = {(model.run, model.recipe): model for model in models}
    assert set(shown) == {
        ("pruned", "keras"),
        *(("unpruned", recipe) for recipe in ("keras", "float32", "dynamic_int8")),
    }
    assert shown["unpruned", "keras"].primary == run.result.metrics["accuracy"] == 1.0
    assert shown["pruned", "keras"].sparsity == 8 / 32
    assert not any(model.collapsed for model in models)
    record = folder.records()["dynamic_int8"]
    assert shown["unpruned", "dynamic_int8"].bytes == record.bytes
    found = {(one.what, one.against): one for one in verdicts.differences(models)}
    assert set(found) == {
        ("pruned: classifier_magnitude 25 %, keras", "no pruning, keras"),
        ("no pruning, dynamic_int8", "no pruning, float32"),
    }
    difference = found["pruned: classifier_magnitude 25 %, keras", "no pruning, keras"].difference
    assert difference.mean == pytest.approx(pruned.result.metrics["accuracy"] - 1.0)
    written = files.write(tmp_path / "out", group(models), list(found.values()))
    text = written.read_text()
    # Score against size, and against the time of two files; loss and score of two runs.
    assert text.count("<figure>") == 2
    assert text.count('<svg class="panel"') == 4
    assert f'data-head="size">{formats.size(record.bytes["plain"])}</td>' in text
