"""The headline of a comparison: what was bought, and what it cost."""

from __future__ import annotations

import re

import pytest
from report_runs import CONSTANT, LABELS, read, right
from written_runs import write_export, write_run, write_session

from bert_glue_tf.reports import headline
from bert_glue_tf.reports.groups import group

ONE_TRAINING = "This is of one training only; another one may come out differently."
KEPT = "The 400 examples show that at most a point is lost."


def reason(*runs):
    return headline.without(group(read(*runs)))


def summed_up(*runs, **more):
    return headline.headline(group(read(*runs)), **more)


def test_the_smallest_model_within_the_margin_is_chosen(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300), megabytes=93)
    for recipe, number, size, time in (
        ("float32", 300, 90, 10.0),
        ("dynamic_int8", 299, 24, 5.0),
        ("int8", 298, 22.5, 4.0),
        ("int4", 260, 14, 4.0),
    ):
        write_export(run, recipe, LABELS, right(number), megabytes=size, milliseconds=time)
    found = summed_up(run)
    assert (found.base.first.recipe, found.chosen.first.recipe) == ("float32", "int8")
    assert found.bought == (
        "The smaller model takes 22.5 MB on disk instead of 90.0 MB: it is 4.0 times smaller."
    )
    assert found.cost.startswith(
        "Its score (accuracy) is 0.5 points lower, which is within what chance gives. "
        "The 400 examples "
    )
    smallest = "The smallest model of all takes 14.0 MB and loses 10.0 points."
    assert found.cost.endswith(f" {ONE_TRAINING} {smallest}")
    assert [(bar.name, bar.base, bar.chosen) for bar in found.bars] == [
        ("size", "90.0 MB", "22.5 MB"),
        ("accuracy", "0.750", "0.745"),
    ]
    assert found.bars[0].chosen_share == 0.25
    # With more to lose the smallest of all is chosen.
    assert summed_up(run, margin=0.2).chosen.first.recipe == "int4"


def test_a_model_whose_equality_is_shown_comes_before_a_smaller_one(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300), megabytes=93)
    write_export(run, "float32", LABELS, right(300), megabytes=90)
    write_export(run, "int8", LABELS, right(297), megabytes=22)
    found = summed_up(run)
    assert found.chosen.first.recipe == "int8"
    assert re.search(
        r" The 400 examples do not show that at most a point is lost; about [\d,]+ would be "
        r"needed\. ",
        found.cost,
    )
    write_export(run, "dynamic_int8", LABELS, right(300), megabytes=24)
    found = summed_up(run)
    assert found.chosen.first.recipe == "dynamic_int8"
    assert KEPT in found.cost
    # One that is better has kept its score too.
    write_export(run, "int4", LABELS, right(330), megabytes=14)
    found = summed_up(run)
    assert found.chosen.first.recipe == "int4"
    assert found.cost == (
        "Its score (accuracy) is 7.5 points higher, which is more than chance gives. "
        f"{KEPT} {ONE_TRAINING}"
    )


def test_nothing_is_shown_of_models_that_share_no_seed(tmp_path):
    whole = write_run(tmp_path / "whole", LABELS, right(300), seed=1)
    half = write_run(
        tmp_path / "half", LABELS, right(300), seed=2, megabytes=45, pruning_method="layer"
    )
    assert summed_up(whole, half, margin=0.02).cost == (
        "Its score (accuracy) is the same to a tenth of a point. Nothing shows that at most 2 "
        "points are lost: the two models share no training seed, or have answered other examples."
    )


def test_times_count_where_one_session_has_them(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300))
    write_export(run, "float32", LABELS, right(300), megabytes=90, milliseconds=10)
    write_export(run, "int8", LABELS, right(300), milliseconds=4)
    assert summed_up(run).times is None
    write_session(run)
    found = summed_up(run)
    assert found.times == (20.0, 8.0)
    assert found.bought.endswith(
        "smaller. It answers in 8.00 ms instead of 20.0 ms: 2.5 times as fast."
    )
    assert [bar.name for bar in found.bars] == ["size", "accuracy", "time of an example"]


def test_where_all_lose_more_the_one_that_loses_least_is_named(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(380))
    for recipe, number, size in (("float32", 380, 90), ("int8", 350, 25), ("int4", 330, 14)):
        write_export(run, recipe, LABELS, right(number), megabytes=size)
    found = summed_up(run)
    assert found.chosen.first.recipe == "int8"
    assert found.cost.startswith(
        "Every smaller model loses more than a point; this one loses least. Its score (accuracy) "
        "is 7.5 points lower, which is more than chance gives. "
    )
    assert found.cost.endswith(" The smallest model of all takes 14.0 MB and loses 12.5 points.")


@pytest.mark.parametrize("number", [300, 304])
def test_a_gain_and_no_change_are_said(tmp_path, number):
    run = write_run(tmp_path / "run", LABELS, right(300))
    write_export(run, "float32", LABELS, right(300), megabytes=90)
    write_export(run, "int8", LABELS, right(number))
    told = {
        300: "Its score (accuracy) is the same to a tenth of a point. The ",
        304: "Its score (accuracy) is 1.0 points higher, which is within what chance gives. The ",
    }
    assert summed_up(run).cost.startswith(told[number])


def test_a_slower_model_is_not_called_fast(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300))
    write_export(run, "float32", LABELS, right(300), megabytes=90, milliseconds=10)
    write_export(run, "int8", LABELS, right(300), milliseconds=15)
    write_session(run)
    assert summed_up(run).bought.endswith(
        " It answers in 30.0 ms instead of 20.0 ms: 1.5 times as long."
    )


def test_scores_and_verdict_are_of_the_same_seeds(tmp_path):
    # Seed 1 alone has a small file, which is as good; the mean of all seeds would say otherwise.
    for seed, number in ((1, 300), (2, 360), (3, 360)):
        run = write_run(tmp_path / str(seed), LABELS, right(number), seed=seed)
        write_export(run, "float32", LABELS, right(number), megabytes=90)
        if seed == 1:
            write_export(run, "int8", LABELS, right(number))
    found = summed_up(*tmp_path.iterdir())
    assert (found.base.seeds, found.chosen.seeds) == ((1,), (1,))
    assert [bar.base for bar in found.bars] == ["90.0 MB", "0.750"]
    assert found.cost.startswith("Its score (accuracy) is the same to a tenth of a point. ")


@pytest.mark.parametrize("number", range(280, 321, 4))
def test_the_sentences_never_contradict_the_verdict(tmp_path, number):
    run = write_run(tmp_path / "run", LABELS, right(300))
    write_export(run, "float32", LABELS, right(300), megabytes=90)
    write_export(run, "int8", LABELS, right(number))
    found = summed_up(run)
    assert ("more than chance" in found.cost) is found.comparison.difference.is_shown
    assert ("lower" in found.cost) is (found.comparison.difference.mean < 0)
    assert not re.search("float32|int8|pruning", found.bought + found.cost)


def test_few_seeds_speak_of_these_trainings_and_three_do_not(tmp_path):
    for seed in (1, 2, 3):
        run = write_run(tmp_path / str(seed), LABELS, right(300), seed=seed)
        write_export(run, "float32", LABELS, right(300), megabytes=90)
        write_export(run, "int8", LABELS, right(300))
        cost = summed_up(*tmp_path.iterdir()).cost
        assert ("of one training only" in cost) is (seed == 1)
        assert ("of two trainings only" in cost) is (seed == 2)


def test_zeros_alone_make_no_smaller_model(tmp_path):
    # The same network with zeros in it: two files of one format differ by some bytes.
    whole = write_run(tmp_path / "whole", LABELS, right(300), megabytes=92.84)
    zeros = write_run(
        tmp_path / "zeros", LABELS, right(300), megabytes=92.83, pruning_method="magnitude"
    )
    assert summed_up(whole, zeros) is None
    assert reason(whole, zeros) == "No model here is smaller than “no pruning”."


def test_without_an_unpruned_or_a_sound_smaller_model_the_reason_is_said(tmp_path):
    pruned = write_run(tmp_path / "pruned", LABELS, right(300), pruning_method="row")
    assert summed_up(pruned) is None
    assert reason(pruned) == "There is no unpruned model here to hold the others against."
    run = write_run(tmp_path / "run", LABELS, right(300))
    write_export(run, "float32", LABELS, right(300), megabytes=90)
    write_export(run, "int8", LABELS, CONSTANT, collapsed="every prediction is not_equivalent")
    assert summed_up(run) is None
    assert reason(run) == (
        "One model is smaller than “no pruning, float32”, and nothing can be said for it: "
        "“no pruning, int8” is COLLAPSED."
    )
    write_export(run, "int4", LABELS, CONSTANT, collapsed="every prediction is not_equivalent")
    assert reason(run) == (
        "2 models are smaller than “no pruning, float32”, and nothing can be said for them: "
        "“no pruning, int8” and “no pruning, int4” are COLLAPSED."
    )


def test_an_unpruned_model_that_collapsed_is_the_reason(tmp_path):
    run = write_run(tmp_path / "run", LABELS, CONSTANT)
    half = write_run(tmp_path / "half", LABELS, right(300), megabytes=45, pruning_method="layer")
    assert reason(run) == "No model here is smaller than “no pruning”."  # Whatever its mark is.
    assert summed_up(run, half) is None
    assert reason(run, half) == (
        "No model can be held against an unpruned one, since “no pruning” is COLLAPSED."
    )
