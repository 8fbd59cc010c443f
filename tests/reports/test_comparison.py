"""Records -> groups, differences, tables, figures and the page."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree

import numpy as np
import pytest
import tiny_runs
from sklearn import metrics as sklearn_metrics
from written_runs import write_export, write_run, wrong_at

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import significance
from bert_glue_tf.reports import comparison, files, page, plots, terminal
from bert_glue_tf.runs import results

N = 400
LABELS = np.arange(N) % 2
CONSTANT = np.tile(np.float32([1.0, 0.0]), (N, 1))


def right(number):
    """Logits of which the first `number` of 400 are right and the others wrong."""
    return wrong_at(LABELS, range(number, N))


def read(*folders):
    return comparison.read(folders)


def message(*folders):
    with pytest.raises(UserError) as caught:
        read(*folders)
    return str(caught.value)


# --- the front ---


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([], []),
        ([(1, 0.5)], [0]),
        # Costs more and is no better; costs the same and is worse; the cheapest stays.
        ([(3, 0.9), (1, 0.5), (2, 0.7), (4, 0.9), (2, 0.6), (5, 0.1)], [1, 2, 0]),
        ([(1, 0.9), (2, 0.8)], [0]),
        # Two that are equal in both: neither beats the other.
        ([(2, 0.7), (1, 0.5), (2, 0.7)], [1, 0, 2]),
        ([(1, float("nan")), (2, 0.5), (3, float("nan"))], [1]),
    ],
)
def test_pareto_front_by_hand(points, front):
    assert comparison.pareto(points) == front


def test_pareto_front_against_its_definition():
    random = np.random.default_rng(0)
    points = [tuple(map(float, p)) for p in random.integers(0, 8, (60, 2))]

    def beaten(one):
        return any(other != one and other[0] <= one[0] and other[1] >= one[1] for other in points)

    found = comparison.pareto(points)
    assert sorted(found) == [i for i, one in enumerate(points) if not beaten(one)]
    assert [points[i][0] for i in found] == sorted(points[i][0] for i in found)


# --- reading ---


def test_a_record_becomes_a_model(tmp_path):
    run = write_run(
        tmp_path / "run", LABELS, right(300), seed=7, pruning_method="classifier_magnitude"
    )
    write_export(run, "dynamic_int8", LABELS, right(290))
    trained, exported = read(run)
    assert (trained.run, trained.recipe, trained.seed) == ("run", "keras", 7)
    assert (trained.method, trained.sparsity, trained.flips) == ("classifier_magnitude", 0.8, None)
    assert trained.primary == 0.75
    assert trained.examples == 400
    assert (trained.milliseconds, trained.speed) == (None, None)
    assert (exported.run, exported.recipe, exported.flips) == ("run", "dynamic_int8", 3)
    assert exported.primary == 0.725
    assert exported.sparsity == 0.8
    # At the longest length: 8 ms against 20.
    assert (exported.milliseconds, exported.speed) == (8.0, 2.5)
    assert exported.peak_memory_bytes == 123_000_000


def test_the_last_record_of_a_run_counts(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300))
    earlier = (run / "results.jsonl").read_text()
    later = json.loads(earlier)
    later["metrics"]["accuracy"] = 0.5
    (run / "results.jsonl").write_text(earlier + json.dumps(later) + "\n")
    assert read(run)[0].primary == 0.5


def test_a_file_that_is_gone_or_cut_is_no_model(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300))
    for recipe in ("float32", "int8", "int4"):
        folder = write_export(run, recipe, LABELS, right(300))
    folder.model("int8").unlink()
    folder.model("int4").write_bytes(b"cut")
    assert [model.recipe for model in read(run)] == ["keras", "float32"]


def test_folders_without_a_record_are_left_out_with_a_line(tmp_path, caplog):
    run = write_run(tmp_path / "b", LABELS, right(300))
    (tmp_path / "a").mkdir()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "results.jsonl").write_text("")
    (tmp_path / "file").write_text("")
    found = read(*(tmp_path / name for name in ("a", "b", "c", "file", "none")))
    assert [model.run for model in found] == [run.name]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / name}: no record in it (results.jsonl), left out" for name in "ac"
    ]


def test_no_record_at_all(tmp_path):
    (tmp_path / "a").mkdir()
    assert message(tmp_path / "a", tmp_path / "none").startswith(
        "--runs: 1 folder(s), none with a finished run. Give folders of the train command"
    )


def test_a_damaged_record_is_named_with_its_line(tmp_path):
    write_run(tmp_path / "a", LABELS, right(300))
    run = write_run(tmp_path / "b", LABELS, right(300))
    file = run / "results.jsonl"
    file.write_text(file.read_text() + "{}\n")
    assert message(tmp_path / "a", run).startswith(f"{file}:2: no record of a run")
    file.write_bytes(b"\xff\xfe")
    assert message(tmp_path / "a", run).startswith(f"{file}: not a readable file of results")


def changed(run, **values):
    file = run / "results.jsonl"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}) + "\n")
    return file


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"config": {}}, "its record has not the settings of a run (the setting task is missing)"),
        ({"config": {"task": "x"}}, "its record has not the settings of a run (--task=x: no such"),
        ({"config": {"task": "mrpc", "colour": 1}}, "its record has not the settings of a run (un"),
        ({"data": {}}, "its record lacks something, or holds something else (KeyError('validatio"),
        ({"encoder": {}}, "its record lacks something, or holds something else (KeyError('name'"),
    ],
)
def test_a_record_that_lacks_something(tmp_path, values, told):
    file = changed(write_run(tmp_path / "run", LABELS, right(300)), **values)
    assert message(tmp_path / "run").startswith(f"{file}: {told}")


def test_predictions_that_are_gone(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300))
    (run / "predictions" / "validation.tsv").unlink()
    assert message(run).startswith(
        f"{run}/predictions/validation.tsv: not the predictions of a run"
    )


def test_a_history_that_is_none(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300))
    (run / "history.csv").write_text("epoch,loss\nfirst,0.5\n")
    assert message(run).startswith(f"{run}/history.csv: not the history of a run (ValueError(")


def test_folders_of_the_same_name_are_told_apart(tmp_path):
    for parent, seed in (("x", 1), ("y", 2)):
        write_run(tmp_path / parent / "run", LABELS, right(300), seed=seed)
    models = read(tmp_path / "x" / "run", tmp_path / "y" / "run", tmp_path / "x" / ".." / "x/run")
    assert [model.run for model in models] == [f"{tmp_path}/x/run", f"{tmp_path}/y/run"]
    text = page.page(comparison.group(models), [], [])
    assert f"<h3>{tmp_path}/x/run</h3>" in text
    assert f"<h3>{tmp_path}/y/run</h3>" in text
    assert "2 models of 2 runs" in text


# --- grouping ---


def test_seeds_come_together(tmp_path):
    for seed, number in ((3, 320), (1, 300), (2, 340)):
        write_run(tmp_path / str(seed), LABELS, right(number), seed=seed)
    models = read(*tmp_path.iterdir())
    (one,) = comparison.group(models)
    assert one.seeds == (1, 2, 3)
    assert one.mean == pytest.approx(0.8)
    assert one.spread == (0.75, 0.85)
    lows, highs = zip(*(model.intervals["accuracy"] for model in models), strict=True)
    assert one.interval == pytest.approx((np.mean(lows), np.mean(highs)))
    (row,) = comparison.group_rows([one])
    assert row["seeds"] == "1, 2, 3"
    assert row["score"] == "0.8000"
    assert row["seeds' range"] == "0.750 to 0.850"
    assert row["examples"] == "400"


def test_a_run_that_is_repeated_counts_once_and_is_told_of(tmp_path, caplog):
    for name, number in (("a", 300), ("b", 320)):
        write_run(tmp_path / name, LABELS, right(number))
    (one,) = comparison.group(read(tmp_path / "a", tmp_path / "b"))
    assert [model.run for model in one.models] == ["b"]
    (record,) = caplog.records
    assert record.getMessage().startswith("b repeats a (keras, the same settings and seed)")


def test_groups_are_named_by_what_tells_them_apart(tmp_path):
    write_run(tmp_path / "a", LABELS, right(300), learning_rate=1e-4, seed=1)
    write_run(tmp_path / "b", LABELS, right(300), learning_rate=5e-5, seed=2)
    write_run(
        tmp_path / "c",
        LABELS,
        right(300),
        learning_rate=5e-5,
        pruning_method="classifier_magnitude",
    )
    # Another encoder: another subject, which takes part in no name.
    write_run(tmp_path / "d", LABELS, right(300), encoder="other", batch_size=8)
    names = [one.name for one in comparison.group(read(*sorted(tmp_path.iterdir())))]
    assert names == [
        "no pruning, keras",
        "no pruning, keras, learning_rate=0.0001",
        "no pruning, keras, learning_rate=5e-05",
        "pruned: classifier_magnitude to 80%, keras, learning_rate=5e-05",
    ]


def test_settings_of_pruning_decide_nothing_without_it(tmp_path):
    for seed, sparsity in ((1, 0.8), (2, 0.9)):
        run = write_run(tmp_path / str(seed), LABELS, right(300), seed=seed)
        config = json.loads((run / "results.jsonl").read_text())["config"]
        changed(run, config={**config, "final_sparsity": sparsity})
    assert len(comparison.group(read(*tmp_path.iterdir()))) == 1


@pytest.mark.parametrize(("then", "groups"), [(True, 1), (False, 2)])
def test_a_record_from_before_a_setting_was_there_has_what_was_done_then(tmp_path, then, groups):
    for seed in (1, 2):
        run = write_run(tmp_path / str(seed), LABELS, right(300), seed=seed, group_by_length=then)
    config = json.loads((run / "results.jsonl").read_text())["config"]
    later = ("group_by_length", "held_out", "mixed_precision")
    changed(run, config={k: v for k, v in config.items() if k not in later})
    assert len(comparison.group(read(*tmp_path.iterdir()))) == groups


# --- differences ---


def test_a_pruned_run_against_the_unpruned_seed_by_seed(tmp_path):
    unpruned = {1: wrong_at(LABELS, range(0, 80)), 2: wrong_at(LABELS, range(0, 60)), 9: right(10)}
    pruned = {1: wrong_at(LABELS, range(40, 60)), 2: wrong_at(LABELS, range(10, 30)), 5: right(10)}
    for seed, logits in unpruned.items():
        write_run(tmp_path / f"u{seed}", LABELS, logits, seed=seed)
    for seed, logits in pruned.items():
        run = tmp_path / f"p{seed}"
        write_run(
            run,
            LABELS,
            logits,
            seed=seed,
            pruning_method="classifier_magnitude",
            final_sparsity=0.9,
        )
    (found,) = comparison.differences(read(*sorted(tmp_path.iterdir())))
    assert (found.what, found.against) == (
        "pruned: classifier_magnitude to 90%, keras",
        "no pruning, keras",
    )
    assert found.seeds == (1, 2)  # Those that both have.
    assert found.examples == 400
    assert found.difference.by_seed == pytest.approx((60 / 400, 40 / 400))
    expected = significance.compare(
        tasks.get("mrpc").problem,
        sklearn_metrics.accuracy_score,
        LABELS,
        [unpruned[seed].argmax(1) for seed in (1, 2)],
        [pruned[seed].argmax(1) for seed in (1, 2)],
    )
    assert found.difference.interval == pytest.approx(expected.interval)
    assert found.difference.mcnemar == expected.mcnemar
    assert found.verdict == "better"
    (row,) = comparison.difference_rows([found])
    assert row["difference"] == "+0.1250"
    assert row["seeds"] == "1, 2"
    assert row["seeds' range"] == "+0.100 to +0.150"
    assert page.summary([found]) == [
        "mrpc: pruned: classifier_magnitude to 90%, keras against no pruning, keras: better "
        f"(accuracy +0.125, {found.difference.interval[0]:+.3f} to "
        f"{found.difference.interval[1]:+.3f}, 400 examples, 2 seeds)."
    ]


def test_files_against_float32_and_a_pruned_file_against_the_unpruned_one(tmp_path):
    unpruned = write_run(tmp_path / "u", LABELS, right(300))
    pruned = write_run(tmp_path / "p", LABELS, right(300), pruning_method="classifier_magnitude")
    for run in (unpruned, pruned):
        write_export(run, "float32", LABELS, right(300))
    write_export(unpruned, "dynamic_int8", LABELS, right(299))
    write_export(unpruned, "int8", LABELS, right(230))
    write_export(pruned, "int8", LABELS, right(300))
    found = {(one.what, one.against): one for one in comparison.differences(read(pruned, unpruned))}
    magnitude = "pruned: classifier_magnitude to 80%"
    assert set(found) == {
        (f"{magnitude}, keras", "no pruning, keras"),
        (f"{magnitude}, float32", "no pruning, float32"),
        (f"{magnitude}, int8", "no pruning, int8"),
        (f"{magnitude}, int8", f"{magnitude}, float32"),
        ("no pruning, dynamic_int8", "no pruning, float32"),
        ("no pruning, int8", "no pruning, float32"),
    }
    slight = found["no pruning, dynamic_int8", "no pruning, float32"]
    assert slight.difference.mean == pytest.approx(-1 / 400)
    assert slight.verdict == "within noise"
    worse = found["no pruning, int8", "no pruning, float32"]
    assert worse.difference.mean == pytest.approx(-70 / 400)
    assert worse.verdict == "worse"
    assert worse.difference.mcnemar[0] < 1e-9
    rows = {row["model"]: row for row in comparison.difference_rows(list(found.values()))}
    assert rows["no pruning, dynamic_int8"]["verdict"] == "within noise"
    assert rows["no pruning, dynamic_int8"]["McNemar p"] == "1.000"


def test_seeds_that_disagree_are_noise(tmp_path):
    for seed, other in ((1, 380), (2, 290)):
        write_run(tmp_path / f"u{seed}", LABELS, right(300), seed=seed)
        run = tmp_path / f"p{seed}"
        write_run(run, LABELS, right(other), seed=seed, pruning_method="classifier_magnitude")
    (found,) = comparison.differences(read(*sorted(tmp_path.iterdir())))
    assert found.difference.interval[0] > 0  # The examples alone would say better.
    assert found.verdict == "within noise"


def test_the_same_data_by_another_path_is_compared(tmp_path):
    write_run(tmp_path / "u", LABELS, right(300), data="/data/glue")
    write_run(
        tmp_path / "p", LABELS, right(300), data="../glue", pruning_method="classifier_magnitude"
    )
    assert len(comparison.differences(read(tmp_path / "u", tmp_path / "p"))) == 1


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ("validation", "data=/data/other"),
        ("train", "data=/data/other"),
        ("examples", "train_examples=100"),
        ("encoder", "encoder ffffffff"),
        ("source", "keras"),  # The sample stands beside the task.
    ],
)
def test_what_differs_in_more_than_pruning_is_not_compared(tmp_path, other, told):
    labels = 1 - LABELS if other == "validation" else LABELS
    write_run(tmp_path / "u", LABELS, right(300), data="/data/glue")
    pruned = write_run(
        tmp_path / "p",
        labels,
        wrong_at(labels, range(300, N)),
        pruning_method="classifier_magnitude",
        data="/data/other",
        source="sample" if other == "source" else "tsv",
        train="other" if other == "train" else "train",
        train_examples=100 if other == "examples" else 0,
    )
    if other == "encoder":
        changed(pruned, encoder={"name": "tiny", "sha256": "f" * 64})
    models = read(tmp_path / "u", pruned)
    assert comparison.differences(models) == []
    names = {one.first.run: one.name for one in comparison.group(models)}
    assert names["p"].endswith(f", {told}")
    assert names["u"] != names["p"]


def test_the_same_digest_with_other_labels_is_not_compared(tmp_path, caplog):
    write_run(tmp_path / "u", LABELS, right(300))
    run = write_run(tmp_path / "p", LABELS, right(300), pruning_method="classifier_magnitude")
    file = run / "predictions" / "validation.tsv"
    rows = file.read_text().splitlines()
    file.write_text("\n".join([*rows[:-1], rows[-1].replace("399\t1", "399\t0")]) + "\n")
    assert comparison.differences(read(tmp_path / "u", run)) == []
    assert "other labels, not compared" in caplog.text


# --- what must not be silent ---


@pytest.fixture
def collapsed(tmp_path):
    """Models of a run on the sample whose int8 file says the same of every pair."""
    run = write_run(tmp_path / "runs" / "weak", LABELS, right(260), source="sample")
    write_export(run, "float32", LABELS, right(260))
    write_export(run, "int8", LABELS, CONSTANT, collapsed="every prediction is not_equivalent")
    return read(run)


def tables(models):
    """The terminal's, the Markdown's, the CSV's and the page's lines."""
    groups, found = comparison.group(models), comparison.differences(models)
    rows = [comparison.group_rows(groups), comparison.difference_rows(found)]
    markdown = [comparison.markdown(some) for some in (*rows, comparison.model_rows(models))]
    return {
        "groups": rows[0],
        "differences": rows[1],
        "models": comparison.model_rows(models),
        "markdown": markdown,
        "csv": list(csv.DictReader(io.StringIO(comparison.csv_text(models)))),
        "page": page.page(groups, found, []),
    }


def test_collapsed_is_in_every_table(collapsed, tmp_path, capsys):
    shown = tables(collapsed)
    worthless = {"no pruning, int8 COLLAPSED (1 of 1)"}
    assert {r["model"] for r in shown["groups"] if "COLLAPSED" in r["model"]} == worthless
    (difference,) = shown["differences"]
    assert difference["verdict"] == "worse, COLLAPSED"
    assert [r["score"] for r in shown["models"]] == ["0.6500", "0.6500", "0.5000 COLLAPSED"]
    assert [table.count("COLLAPSED") for table in shown["markdown"]] == [1, 1, 1]
    assert [row["score"] for row in shown["csv"]] == ["0.6500", "0.6500", "0.5000 COLLAPSED"]
    text = shown["page"]
    assert (
        '<p class="note">COLLAPSED: weak, int8: every prediction is not_equivalent. Do not use '
        "this model.</p>"
    ) in text
    assert '<td class="bad">0.5000 COLLAPSED</td>' in text
    assert '<td class="bad">worse, COLLAPSED</td>' in text
    assert "int8 against no pruning, float32: worse, COLLAPSED (accuracy -0.150" in text
    terminal.print_rows("Models", shown["groups"])
    terminal.print_rows("Differences", shown["differences"])
    assert re.sub(r"\s+", " ", capsys.readouterr().out).count("COLLAPSED") == 2
    files.write(tmp_path / "out", comparison.group(collapsed), [])
    assert "COLLAPSED: weak, int8" in (tmp_path / "out" / "comparison.md").read_text()


def test_a_collapsed_model_within_noise_is_not_silent(tmp_path):
    weak = wrong_at(LABELS, range(0, N, 2))  # Says one thing to all but one.
    weak[0] = weak[0][::-1]
    run = write_run(tmp_path / "run", LABELS, weak)
    write_export(run, "float32", LABELS, weak)
    write_export(run, "int8", LABELS, CONSTANT, collapsed="every prediction is not_equivalent")
    models = read(run)
    # The trained model's record does not say so: its predictions do.
    assert models[0].collapsed.startswith("accuracy 0.502 is not above chance (0.500) by more")
    (found,) = comparison.differences(models)
    assert found.difference.is_noise
    assert found.verdict == "within noise, COLLAPSED"
    assert page._cell("verdict", found.verdict).startswith('<td class="bad">')


def test_a_base_that_collapsed_is_named(tmp_path):
    write_run(tmp_path / "u", LABELS, CONSTANT)
    write_run(tmp_path / "p", LABELS, right(390), pruning_method="classifier_magnitude")
    (found,) = comparison.differences(read(tmp_path / "u", tmp_path / "p"))
    assert found.verdict == "better, against a COLLAPSED model"


def test_some_of_the_seeds_collapsed(tmp_path):
    for seed, logits in ((1, right(390)), (2, CONSTANT), (3, right(380))):
        write_run(tmp_path / str(seed), LABELS, logits, seed=seed)
    models = read(*sorted(tmp_path.iterdir()))
    (row,) = comparison.group_rows(comparison.group(models))
    assert row["model"] == "no pruning, keras COLLAPSED (1 of 3)"
    assert comparison.notes(models) == [
        "COLLAPSED: 2, keras: every prediction is not_equivalent. Do not use this model."
    ]


def test_sample_stands_wherever_its_results_do(collapsed, tmp_path):
    shown = tables(collapsed)
    for name in ("groups", "differences", "models", "csv"):
        assert {row["task"] for row in shown[name]} == {"mrpc (sample)"}
    assert all(table.count("mrpc (sample)") >= 1 for table in shown["markdown"])
    assert "mrpc (sample): no pruning, int8 against" in shown["page"]
    note = "Scores marked (sample) are of generated sentences; they say nothing of GLUE."
    assert note in shown["page"]
    assert comparison.notes(collapsed)[0] == note
    figure = plots.score_against(comparison.group(collapsed), "size")
    assert "mrpc (sample data), tiny" in figure.axes[0].get_title()
    files.write(tmp_path, comparison.group(collapsed), [])
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert pictures == ["mrpc_sample_tiny_latency.png", "mrpc_sample_tiny_size.png"]
    assert note in (tmp_path / "comparison.md").read_text()


def test_what_is_not_of_the_sample_is_not_marked(tmp_path):
    shown = tables(read(write_run(tmp_path / "run", LABELS, right(300))))
    assert "sample" not in json.dumps([shown[n] for n in ("groups", "models", "csv", "page")])


def test_a_model_that_diverged_has_no_score_and_no_difference(tmp_path):
    write_run(tmp_path / "u", LABELS, right(300))
    run = tmp_path / "p"
    write_run(
        run, LABELS, np.full((N, 2), np.nan, np.float32), pruning_method="classifier_magnitude"
    )
    models = read(tmp_path / "u", run)
    shown = tables(models)
    assert [row["score"] for row in shown["models"]] == ["undefined COLLAPSED", "0.7500"]
    (difference,) = shown["differences"]
    assert difference["difference"] == difference["95 % interval"] == "undefined"
    assert difference["verdict"] == "undefined, COLLAPSED"
    assert "nan" not in shown["page"].lower()
    assert "undefined, COLLAPSED (accuracy is undefined, 400 examples, 1 seed)." in shown["page"]
    # Its point is on no figure.
    assert plots.score_against(comparison.group(models), "size") is None


def test_a_constant_answer_to_a_regression_has_no_correlation(tmp_path):
    labels = np.linspace(0, 5, 50)
    write_run(tmp_path / "u", labels, labels[:, None] + 0.1, task="stsb")
    constant = np.full((50, 1), 2.5)
    run = write_run(
        tmp_path / "p", labels, constant, task="stsb", pruning_method="classifier_magnitude"
    )
    (interval,) = {tuple(v) for v in results.load(run / "results.jsonl")[0].intervals.values()}
    assert interval == (None, None)
    shown = tables(read(tmp_path / "u", run))
    assert [row["score"] for row in shown["models"]] == ["undefined COLLAPSED", "1.0000"]
    assert [row["95 % interval"] for row in shown["groups"]] == ["", "1.000 to 1.000"]
    assert shown["differences"][0]["verdict"] == "undefined, COLLAPSED"
    assert shown["differences"][0]["McNemar p"] == ""


# --- MNLI: two validation splits ---


@pytest.fixture
def mnli(tmp_path):
    labels = {"validation_matched": LABELS, "validation_mismatched": LABELS[:200]}
    logits = {split: np.eye(3, dtype=np.float32)[values] for split, values in labels.items()}
    logits["validation_matched"][:40] = np.roll(logits["validation_matched"][:40], 1, axis=1)
    logits["validation_mismatched"][:60] = np.roll(logits["validation_mismatched"][:60], 1, axis=1)
    curve = {
        "loss": 1.0,
        "accuracy": 0.5,
        "val_loss_matched": 0.9,
        "val_accuracy_matched": 0.6,
        "val_loss_mismatched": 0.8,
        "val_accuracy_mismatched": 0.7,
    }
    history = [{"epoch": i, **curve} for i in (1, 2)]
    write_run(tmp_path / "run", labels, logits, task="mnli", history=history)
    return read(tmp_path / "run")


def test_the_score_of_mnli_is_the_mean_of_its_splits(mnli):
    (model,) = mnli
    assert model.primary == pytest.approx((0.9 + 0.7) / 2)
    assert model.examples == 600
    ends = [model.intervals[f"accuracy{suffix}"] for suffix in ("_matched", "_mismatched")]
    assert model.interval == pytest.approx(np.mean(ends, axis=0))
    (row,) = comparison.model_rows(mnli)
    assert row["95 % interval"] == f"{model.interval[0]:.3f} to {model.interval[1]:.3f}"


def test_mnli_has_a_curve_for_each_split(mnli):
    loss, accuracy = plots.training_curves(comparison.group(mnli)).axes
    assert [(line.get_label(), list(line.get_ydata())) for line in accuracy.lines] == [
        ("no pruning, training", [0.5, 0.5]),
        ("no pruning, validation matched", [0.6, 0.6]),
        ("no pruning, validation mismatched", [0.7, 0.7]),
    ]
    assert len(loss.lines) == 3


# --- figures ---


def history(*losses):
    return [
        {"epoch": i, "loss": x, "accuracy": 1 - x, "val_loss": 2 * x, "val_accuracy": x}
        for i, x in enumerate(losses, start=1)
    ]


def test_training_curves_with_and_without_pruning(tmp_path):
    write_run(tmp_path / "u", LABELS, right(300), history=history(0.5, 0.4, 0.3))
    write_run(
        tmp_path / "p",
        LABELS,
        right(300),
        history=history(0.6, 0.5, 0.4),
        pruning_method="classifier_magnitude",
    )
    figure = plots.training_curves(comparison.group(read(tmp_path / "p", tmp_path / "u")))
    loss, accuracy = figure.axes
    assert (loss.get_title(), accuracy.get_title()) == ("loss", "accuracy")
    drawn = {line.get_label(): list(line.get_ydata()) for line in loss.lines}
    assert drawn == {
        "pruned: classifier_magnitude to 80%, training": [0.6, 0.5, 0.4],
        "pruned: classifier_magnitude to 80%, validation": [1.2, 1.0, 0.8],
        "no pruning, training": [0.5, 0.4, 0.3],
        "no pruning, validation": [1.0, 0.8, 0.6],
    }
    assert all(list(line.get_xdata()) == [1, 2, 3] for line in loss.lines)
    assert len(set(line.get_color() for line in loss.lines)) == 2
    assert "seed 1" in figure.get_suptitle()


def test_one_epoch_is_no_curve(tmp_path):
    write_run(tmp_path / "u", LABELS, right(300), history=history(0.5))
    write_run(tmp_path / "v", LABELS, right(300), seed=2)
    assert plots.training_curves(comparison.group(read(tmp_path / "u", tmp_path / "v"))) is None
    # Beside a curve it is a point.
    write_run(tmp_path / "w", LABELS, right(300), history=history(0.5, 0.4), seq_length=64)
    figure = plots.training_curves(comparison.group(read(tmp_path / "u", tmp_path / "w")))
    marks = {tuple(line.get_xdata()): line.get_marker() for line in figure.axes[0].lines}
    assert marks == {(1,): "o", (1, 2): "None"}


def test_a_pruned_model_without_an_unpruned_one_is_told_of(tmp_path):
    write_run(tmp_path / "u", LABELS, right(300))
    for name, epochs in (("p", 3), ("q", 2)):
        write_run(
            tmp_path / name,
            LABELS,
            right(300),
            pruning_method="classifier_magnitude",
            epochs=epochs,
            seed=2,
        )
    note = (
        "Not compared with an unpruned model: {}. No run with the same settings and "
        "--pruning_method=none is among these."
    )
    assert comparison.notes(read(tmp_path / "u", tmp_path / "p", tmp_path / "q")) == [
        note.format("q")
    ]
    assert comparison.notes(read(tmp_path / "p", tmp_path / "q")) == [note.format("p, q")]
    assert comparison.notes(read(tmp_path / "u", tmp_path / "p")) == []


def test_score_against_size_and_latency(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300), megabytes=93)
    for recipe, number, size, time in (
        ("float32", 300, 90, 10.0),
        ("int8", 296, 25, 4.0),
        ("int4", 250, 20, 5.0),
    ):
        logits = right(number)
        write_export(run, recipe, LABELS, logits, megabytes=size, milliseconds=time)
    groups = comparison.group(read(run))
    axis = plots.score_against(groups, "size").axes[0]
    front = axis.lines[0]
    assert front.get_label() == "Pareto front"
    assert list(zip(front.get_xdata(), front.get_ydata(), strict=True)) == [
        (20.0, 0.625),
        (25.0, 0.74),
        (90.0, 0.75),
    ]
    labels = axis.get_legend_handles_labels()[1]
    names = [f"no pruning, {recipe}" for recipe in ("keras", "float32", "int8", "int4")]
    assert labels == ["Pareto front", *names]
    axis = plots.score_against(groups, "latency").axes[0]
    assert axis.get_xlabel().startswith("ms an example at length 64")
    # int4 is slower and worse than int8; the trained model was not timed.
    assert list(axis.lines[0].get_xdata()) == [8.0, 20.0]
    assert axis.get_legend_handles_labels()[1] == ["Pareto front", names[1], names[2], names[3]]


@pytest.mark.parametrize(("slowest", "scale"), [(40.0, "log"), (12.0, "linear")])
def test_the_axis_of_the_latency_has_numbers(tmp_path, slowest, scale):
    run = write_run(tmp_path / "run", LABELS, right(300))
    for recipe, time in (("float32", slowest), ("int8", 4.0)):
        write_export(run, recipe, LABELS, right(290), milliseconds=time)
    figure = plots.score_against(comparison.group(read(run)), "latency")
    figure.canvas.draw()
    (axis,) = figure.axes
    assert axis.get_xscale() == scale
    low, high = axis.get_xlim()
    texts = {
        tick: text.get_text()
        for tick, text in zip(axis.get_xticks(), axis.get_xticklabels(), strict=True)
    }
    shown = [text for tick, text in texts.items() if low <= tick <= high]
    assert len(shown) >= 3
    assert not any("$" in text for text in shown)


def test_all_examples_are_called_so(tmp_path):
    for number in (0, 100):
        write_run(tmp_path / str(number), LABELS, right(300), train_examples=number)
    groups = comparison.group(read(tmp_path / "0", tmp_path / "100"))
    assert sorted(one.name.split(", ")[-1] for one in groups) == [
        "train_examples=100",
        "train_examples=all",
    ]


def test_latencies_are_compared_at_a_length_that_all_have(tmp_path):
    short = write_run(tmp_path / "short", LABELS, right(300), seq_length=32)
    write_export(short, "float32", LABELS, right(300), lengths=("32",), milliseconds=10)
    longer = write_run(tmp_path / "long", LABELS, right(310), seq_length=64)
    write_export(longer, "float32", LABELS, right(310), milliseconds=11)
    axis = plots.score_against(comparison.group(read(short, longer)), "latency").axes[0]
    assert axis.get_xlabel().startswith("ms an example at length 32")
    assert list(axis.lines[0].get_xdata()) == [10.0, 11.0]


def test_long_names_do_not_narrow_the_figure(tmp_path):
    for rate in (1e-4, 5e-5):
        run = tmp_path / str(rate)
        write_run(run, LABELS, right(300), learning_rate=rate, history=history(0.5, 0.4))
    groups = comparison.group(read(*tmp_path.iterdir()))
    for figure in (plots.training_curves(groups), plots.score_against(groups, "size")):
        width = sum(axis.get_position().width for axis in figure.axes)
        assert width > 0.7  # Of the figure; the legend stands beside it.


def test_a_collapsed_model_is_marked_in_the_figure(collapsed):
    axis = plots.score_against(comparison.group(collapsed), "size").axes[0]
    labels = axis.get_legend_handles_labels()[1]
    assert "no pruning, int8 COLLAPSED" in labels


def test_seeds_with_the_same_score_have_a_bar_of_no_length(tmp_path):
    # Three times 0.7 is 2.0999999999999996, whose third lies below 0.7.
    for seed in (1, 2, 3):
        write_run(tmp_path / f"u{seed}", LABELS, right(280), seed=seed)
        run = tmp_path / f"p{seed}"
        write_run(run, LABELS, right(280), seed=seed, pruning_method="classifier_magnitude")
    groups = comparison.group(read(*tmp_path.iterdir()))
    assert plots.score_against(groups, "size") is not None


def test_names_are_no_formulas(tmp_path):
    write_run(tmp_path / "u", LABELS, right(280), encoder="/models/$x_{$")
    write_run(tmp_path / "v", LABELS, right(280), encoder="/models/$x_{$", learning_rate=1e-3)
    groups = comparison.group(read(tmp_path / "u", tmp_path / "v"))
    page = files.write(tmp_path / "out", groups, [])
    assert "/models/$x_{$: score against size" in page.read_text()


# --- files ---


class Page(html.parser.HTMLParser):
    """Collects what a browser would fetch, run or show."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.handlers, self.data = set(), [], [], []
        self.open = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                self.links.append(value)
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in ("meta", "br"):
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.data.append(data)


@pytest.fixture
def written(tmp_path):
    """A comparison with everything, of a run whose folder has a hostile name."""
    run = write_run(
        tmp_path / "runs" / '<script>alert("1")&amp;|<b>',
        LABELS,
        right(300),
        encoder='/m/<script>x" onload="y',
        history=history(0.5, 0.4),
    )
    write_export(run, "float32", LABELS, right(300))
    write_export(run, "int8", LABELS, CONSTANT, collapsed="every prediction is not_equivalent")
    pruned = tmp_path / "runs" / "pruned"
    write_run(
        pruned,
        LABELS,
        right(290),
        encoder='/m/<script>x" onload="y',
        pruning_method="classifier_magnitude",
        history=history(0.6, 0.5),
    )
    models = read(run, pruned)
    groups = comparison.group(models)
    page = files.write(tmp_path / "out", groups, comparison.differences(models))
    return models, page


def test_the_page_is_self_contained_and_escaped(written):
    _, path = written
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert not page.tags & {"script", "img", "link", "iframe", "object", "embed", "base", "b"}
    assert all(link.startswith("#") for link in page.links)
    assert page.handlers == []
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    shown = "".join(page.data)
    assert '<script>alert("1")&amp;|<b>' in shown
    assert '/m/<script>x" onload="y' in shown
    assert text.count("<figure>") == 3


def test_every_figure_of_the_page_is_well_formed(written):
    text = written[1].read_text(encoding="utf-8")
    figures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(figures) == 3
    for figure in figures:
        assert xml.etree.ElementTree.fromstring(figure).tag.endswith("svg")


def test_every_number_of_the_page_has_its_run_seed_and_examples(written):
    models, path = written
    text = path.read_text(encoding="utf-8")
    table = text[text.index("<h2>Every number</h2>") :]
    heads = re.findall(r"<th>(.*?)</th>", table[: table.index("</tr>")])
    rows = [
        dict(zip(heads, re.findall(r"<td.*?>(.*?)</td>", row), strict=True))
        for row in re.findall(r"<tr><td.*?</tr>", table[: table.index("</table>")])
    ]
    assert len(rows) == len(models) == 4
    for row, model in zip(rows, models, strict=True):
        assert html.unescape(row["run"]) == model.run
        assert (row["seed"], row["examples"]) == ("1", "400")
        assert row["score"].split()[0] == f"{model.primary:.4f}"
    int8 = rows[2]
    assert (int8["recipe"], int8["ms"], int8["speed"]) == ("int8", "8.00 at 64", "2.50x")
    assert (int8["MB"], int8["MB gzipped"], int8["peak MB"]) == ("25.00", "22.50", "123")
    assert int8["flips"] == "3"
    assert int8["other scores"] == "f1 0.0000"


def test_markdown_tables_keep_their_columns(written):
    text = (written[1].parent / "comparison.md").read_text(encoding="utf-8")
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1
    assert r'<script>alert("1")&amp;\|<b>' in text


def test_the_csv_has_every_number_as_it_was_recorded(written):
    models, page = written
    with (page.parent / "comparison.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == [model.run for model in models]
    for row, model in zip(rows, models, strict=True):
        assert float(row["accuracy"]) == model.metrics["accuracy"]
        assert float(row["f1"]) == model.metrics["f1"]
        assert int(row["bytes"]) == model.bytes["plain"]
    assert float(rows[1]["ms_64_float32_p50"]) == 20.0
    assert rows[0]["ms_64_p50"] == ""


def test_pictures_for_a_paper(written):
    pictures = sorted(written[1].parent.glob("*.png"))
    names = [path.name.rsplit("_", 1)[1] for path in pictures]
    assert names == ["curves.png", "latency.png", "size.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG\r\n") for path in pictures)


def test_the_same_records_make_the_same_files(written, tmp_path):
    models, page = written
    groups = comparison.group(models)
    again = files.write(tmp_path / "again", groups, comparison.differences(models))
    for path in page.parent.iterdir():
        assert (again.parent / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_folder_that_cannot_be_written(written, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as caught:
        files.write(tmp_path / "file", comparison.group(written[0]), [])
    assert str(caught.value).startswith(f"--output={tmp_path / 'file'}: cannot be written (File ex")


def test_nothing_to_compare_is_said(tmp_path):
    models = read(write_run(tmp_path / "run", LABELS, right(300)))
    text = page.page(comparison.group(models), comparison.differences(models), [])
    assert "There is nothing to compare: give runs with and without pruning, or exports." in text


# --- the command, and real runs ---


def compare(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "bert_glue_tf.compare", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )


def test_the_command_shows_and_writes(tmp_path):
    run = write_run(tmp_path / "runs" / "[a] :smile:", LABELS, right(300), source="sample")
    write_export(run, "float32", LABELS, right(300))
    write_export(run, "int8", LABELS, CONSTANT, collapsed="every prediction is not_equivalent")
    (tmp_path / "runs" / "empty").mkdir()
    done = compare("--runs=runs/*", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "empty: no record in it" in done.stderr
    lines = done.stdout.splitlines()
    assert "COLLAPSED: [a] :smile:, int8: every prediction is not_equivalent." in done.stdout
    assert any("no pruning, int8 COLLAPSED (1 of 1)" in line for line in lines)
    differences = lines[lines.index("Differences") :]
    assert any("COLLAPSED" in line.split()[-1] for line in differences if line.split())
    assert any(line.startswith("Scores marked (sample) are of generated") for line in lines)
    assert lines[-1] == (
        "Tables, plots and the page are in comparison; open comparison/report.html."
    )
    assert sorted(os.listdir(tmp_path / "comparison")) == [
        "comparison.csv",
        "comparison.md",
        "mrpc_sample_tiny_latency.png",
        "mrpc_sample_tiny_size.png",
        "report.html",
    ]
    # A name with brackets is a folder before it is a pattern.
    done = compare("--runs=runs/[a] :smile:", "--output=other", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_collapsed_is_whole_in_a_narrow_terminal(collapsed, monkeypatch, capsys):
    monkeypatch.setattr(terminal._Console, "is_terminal", True)
    monkeypatch.setenv("COLUMNS", "80")
    terminal.print_rows("Models", comparison.group_rows(comparison.group(collapsed)))
    assert "COLLAPSED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--runs=none/*",), "--runs=none/*: no such folder. Give folders of the train command"),
        (("--runs=empty",), "--runs: 1 folder(s), none with a finished run. Give folders of the"),
        (("--runs=damaged",), "DIR/damaged/results.jsonl:1: no record of a run"),
        (("--runs=good", "--output=good/results.jsonl"), "--output=good/results.jsonl: cannot be"),
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
        "from bert_glue_tf.reports import comparison, files, terminal\n"
        "assert not {'tensorflow', 'tf_keras', 'official'} & set(sys.modules)\n"
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
    found = {(one.what, one.against): one for one in comparison.differences(models)}
    assert set(found) == {
        ("pruned: classifier_magnitude to 25%, keras", "no pruning, keras"),
        ("no pruning, dynamic_int8", "no pruning, float32"),
    }
    difference = found["pruned: classifier_magnitude to 25%, keras", "no pruning, keras"].difference
    assert difference.mean == pytest.approx(pruned.result.metrics["accuracy"] - 1.0)
    page = files.write(tmp_path / "out", comparison.group(models), list(found.values()))
    text = page.read_text()
    # Curves of ten epochs, size, and the latency of two files.
    assert text.count("<figure>") == 3
    assert f"<td>{record.bytes['plain'] / 1e6:.2f}</td>" in text
