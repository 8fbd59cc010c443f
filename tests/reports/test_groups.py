"""Models -> groups over their seeds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from report_runs import LABELS, changed, read, right
from written_runs import write_export, write_run

from bert_glue_tf.reports import page, rows, summary, verdicts
from bert_glue_tf.reports.groups import group


def test_seeds_come_together(tmp_path):
    for seed, number in ((3, 320), (1, 300), (2, 340)):
        write_run(tmp_path / str(seed), LABELS, right(number), seed=seed)
    models = read(*tmp_path.iterdir())
    (one,) = group(models)
    assert one.seeds == (1, 2, 3)
    assert one.mean == pytest.approx(0.8)
    assert one.spread == (0.75, 0.85)
    lows, highs = zip(*(model.intervals["accuracy"] for model in models), strict=True)
    assert one.interval == pytest.approx((np.mean(lows), np.mean(highs)))
    (row,) = rows.groups([one]).texts()
    assert row["seeds"] == "1, 2, 3"
    assert row["score"] == "0.8000"
    assert row["seeds' range"] == "0.750 to 0.850"
    assert row["examples"] == "400"


def test_a_run_that_is_repeated_counts_once_and_is_told_of(tmp_path, caplog):
    for name, number in (("a", 300), ("b", 320)):
        write_run(tmp_path / name, LABELS, right(number))
    (one,) = group(read(tmp_path / "a", tmp_path / "b"))
    assert [model.run for model in one.models] == ["b"]
    (record,) = caplog.records
    assert record.getMessage() == (
        "a (keras) is left out: b repeats it, with the same settings and seed"
    )


def test_what_is_left_out_is_told_once_and_in_no_note(tmp_path, caplog):
    for name, given in (
        ("a", {}),
        ("b", {}),
        ("p", {"pruning_method": "row", "epochs": 2}),
    ):
        run = write_run(tmp_path / name, LABELS, right(300), **given)
        write_export(run, "float32", LABELS, right(300))
    models = read(*sorted(tmp_path.iterdir()))
    verdicts.differences(models)
    assert {model.run for one in group(models) for model in one.models} == {"b", "p"}
    assert "The nearest unpruned run, b, has epochs=3 instead of 2." in summary.notes(models)[0]
    (record,) = caplog.records
    assert record.getMessage().startswith("a (keras, float32) is left out: b repeats it")


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
    names = [one.name for one in group(read(*sorted(tmp_path.iterdir())))]
    assert names == [
        "no pruning",
        "no pruning, learning_rate=0.0001",
        "no pruning, learning_rate=5e-05",
        "pruned: classifier_magnitude 80 %, learning_rate=5e-05",
    ]


def test_settings_of_pruning_decide_nothing_without_it(tmp_path):
    for seed, sparsity in ((1, 0.8), (2, 0.9)):
        run = write_run(tmp_path / str(seed), LABELS, right(300), seed=seed)
        config = json.loads((run / "results.jsonl").read_text())["config"]
        changed(run, config={**config, "final_sparsity": sparsity})
    assert len(group(read(*tmp_path.iterdir()))) == 1


@pytest.mark.parametrize(("packing", "groups"), [("false", 2), ("auto", 1)])
def test_a_setting_that_a_record_lacks_has_its_default(tmp_path, packing, groups):
    for seed in (1, 2):
        run = write_run(tmp_path / str(seed), LABELS, right(300), seed=seed, packing=packing)
    config = json.loads((run / "results.jsonl").read_text())["config"]
    lacking = ("packing", "held_out", "mixed_precision")
    changed(run, config={k: v for k, v in config.items() if k not in lacking})
    assert len(group(read(*tmp_path.iterdir()))) == groups


def test_all_examples_are_called_so(tmp_path):
    for number in (0, 100):
        write_run(tmp_path / str(number), LABELS, right(300), train_examples=number)
    groups = group(read(tmp_path / "0", tmp_path / "100"))
    assert sorted(one.name.split(", ")[-1] for one in groups) == [
        "train_examples=100",
        "train_examples=all",
    ]


def test_the_unpruned_model_comes_first_and_float32_before_smaller_recipes(tmp_path):
    for name, method in (("a", "row"), ("b", "none")):
        run = write_run(tmp_path / name, LABELS, right(300), pruning_method=method)
        for recipe in ("int8", "dynamic_int8", "float32"):
            write_export(run, recipe, LABELS, right(300))
    shown = [(g.first.method, g.first.recipe) for g in group(read(*tmp_path.iterdir()))]
    recipes = ("keras", "float32", "dynamic_int8", "int8")
    assert shown == [(method, recipe) for method in ("none", "row") for recipe in recipes]


def write_started(path, right_number, start, **settings):
    """A smaller run that began with the weights of another one, whose folder is given."""
    given = {"pruning_method": "row", "finetune_epochs": 3, "megabytes": 45, **settings}
    run = write_run(path, LABELS, right(right_number), **given)
    metrics = json.loads((start / "results.jsonl").read_text())["metrics"]
    point = {"run": start.name, "metrics": metrics}
    encoder = {"name": "tiny", "sha256": "e" * 64, "family": "bert", "starting_point": point}
    changed(run, encoder=encoder)
    return run


def against_start(*folders):
    models = read(*folders)
    return verdicts.differences(models, against="start"), summary.notes(models, "start")


def test_against_its_start_each_run_is_compared_with_the_one_it_was_made_of(tmp_path):
    for seed, right_before, right_after in ((1, 300, 290), (2, 310, 305)):
        start = write_run(tmp_path / f"start{seed}", LABELS, right(right_before), seed=seed)
        write_started(tmp_path / f"pruned{seed}", right_after, start, seed=seed, epochs=5)
    (found,), notes = against_start(*sorted(tmp_path.iterdir()))
    assert found.seeds == (1, 2)
    assert found.difference.mean == pytest.approx(-15 / 2 / 400)
    assert notes == []
    # The page says that its summary compares with something else, where there is such a table.
    models = group(read(*sorted(tmp_path.iterdir())))
    told = "This summary compares with the original"
    assert told in page.page(models, [found], against="start")
    assert told not in page.page(models, [], against="start")
    assert told not in page.page(models, [found])
    # No unpruned run has trained as long.
    assert verdicts.differences(read(*sorted(tmp_path.iterdir()))) == []
    found, (note,) = against_start(tmp_path / "pruned1", tmp_path / "start2")
    assert found == []
    assert "pruned1 (start1)" in note
    found, (note,) = against_start(tmp_path / "start1")
    assert found == []
    assert "--against=start" in note


def test_a_start_may_have_another_seed_and_be_the_start_of_several(tmp_path):
    starts = [
        write_run(tmp_path / f"start{seed}", LABELS, right(number), seed=seed)
        for seed, number in ((1, 300), (2, 310))
    ]
    for seed in (1, 2):  # Both of the second one.
        write_started(tmp_path / f"pruned{seed}", 305, starts[1], seed=seed)
    (found,), notes = against_start(*sorted(tmp_path.iterdir()))
    assert found.seeds == (1, 2)
    assert found.difference.by_seed == pytest.approx([-5 / 400, -5 / 400])
    assert notes == []


def test_another_run_of_the_name_is_no_start(tmp_path):
    start = write_run(tmp_path / "before" / "start", LABELS, right(300))
    pruned = write_started(tmp_path / "pruned", 290, start)
    other = write_run(tmp_path / "later" / "start", LABELS, right(310))
    found, (note,) = against_start(pruned, other)
    assert found == []
    assert "pruned (start)" in note


def test_a_file_whose_start_has_none_of_its_recipe_is_told_of(tmp_path):
    start = write_run(tmp_path / "start", LABELS, right(300))
    pruned = write_started(tmp_path / "pruned", 290, start)
    for run in (start, pruned):
        write_export(run, "float32", LABELS, right(300 if run is start else 290))
    write_export(pruned, "int8", LABELS, right(280))
    found, notes = against_start(start, pruned)
    assert [one.difference.mean for one in found] == pytest.approx([-10 / 400] * 2)
    assert sum("int8 of pruned (start)" in note for note in notes) == 1
