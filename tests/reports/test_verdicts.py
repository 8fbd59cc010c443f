"""Differences between models, and the verdicts on them."""

from __future__ import annotations

import dataclasses

import pytest
from report_runs import CONSTANT, LABELS, N, changed, read, right
from written_runs import write_export, write_run, wrong_at

from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import metrics, significance
from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.evaluation.significance import Equal, Equivalence
from bert_glue_tf.export import card
from bert_glue_tf.reports import formats, rows, summary, verdicts
from bert_glue_tf.reports.groups import group
from bert_glue_tf.reports.tables import Tone
from bert_glue_tf.reports.verdicts import Outcome, Verdict


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
    (found,) = verdicts.differences(read(*sorted(tmp_path.iterdir())))
    assert (found.what, found.against) == (
        "pruned: classifier_magnitude 90 %",
        "no pruning",
    )
    assert found.seeds == (1, 2)  # Those that both have.
    assert found.examples == 400
    assert found.difference.by_seed == pytest.approx((60 / 400, 40 / 400))
    expected = significance.compare(
        tasks.get("mrpc").problem,
        metrics.accuracy,
        LABELS,
        [unpruned[seed].argmax(1) for seed in (1, 2)],
        [pruned[seed].argmax(1) for seed in (1, 2)],
    )
    assert found.difference == expected
    assert found.verdict == Verdict(Outcome.BETTER, 2, expected.equivalence)
    (row,) = rows.differences([found]).texts()
    assert row["difference"] == "+0.1250"
    assert row["seeds"] == "1, 2"
    assert row["seeds' range"] == "+0.100 to +0.150"
    assert row["p"] == "< 0.001"
    assert summary.sentences([found]) == [
        "mrpc: pruned: classifier_magnitude 90 % against no pruning: these models of two seeds: "
        f"better (accuracy +0.125, {found.difference.interval[0]:+.3f} to "
        f"{found.difference.interval[1]:+.3f}; 400 examples, 2 seeds; of the methods: cannot be "
        "told: two seeds)."
    ]


def test_files_against_float32_and_a_pruned_file_against_the_unpruned_one(tmp_path):
    unpruned = write_run(tmp_path / "u", LABELS, right(300))
    pruned = write_run(tmp_path / "p", LABELS, right(300), pruning_method="classifier_magnitude")
    for run in (unpruned, pruned):
        write_export(run, "float32", LABELS, right(300))
    write_export(unpruned, "dynamic_int8", LABELS, right(299))
    write_export(unpruned, "int8", LABELS, right(230))
    write_export(pruned, "int8", LABELS, right(300))
    found = {(one.what, one.against): one for one in verdicts.differences(read(pruned, unpruned))}
    magnitude = "pruned: classifier_magnitude 80 %"
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
    assert slight.outcome is Outcome.NO_DIFFERENCE
    assert slight.difference.equivalence.outcome is Equal.UNKNOWN  # Of 400, one point is 4.
    worse = found["no pruning, int8", "no pruning, float32"]
    assert worse.difference.mean == pytest.approx(-70 / 400)
    assert worse.outcome is Outcome.WORSE
    assert worse.difference.p < 1e-9
    assert worse.difference.equivalence.outcome is Equal.NO
    shown = {row["model"]: row for row in rows.differences(found.values()).texts()}
    assert shown["no pruning, dynamic_int8"]["verdict"] == "these two models: no difference shown"
    assert shown["no pruning, dynamic_int8"]["p"] == "1.000"
    assert shown["no pruning, dynamic_int8"]["equal"].startswith("cannot be told: about ")
    int8 = next(row for name, row in shown.items() if name == "no pruning, int8")
    assert (int8["verdict"], int8["p"]) == ("these two models: worse", "< 0.001")
    assert int8["equal"] == "no, beyond 0.01"


def test_seeds_that_disagree_show_no_difference_of_methods(tmp_path):
    for seed, other in ((1, 380), (2, 290), (3, 310)):
        write_run(tmp_path / f"u{seed}", LABELS, right(300), seed=seed)
        run = tmp_path / f"p{seed}"
        write_run(run, LABELS, right(other), seed=seed, pruning_method="classifier_magnitude")
    (found,) = verdicts.differences(read(*sorted(tmp_path.iterdir())))
    # 80 more are right, 10 fewer, 10 more: the examples alone would say better.
    assert found.difference.mean == pytest.approx(80 / 1200)
    assert found.difference.interval[0] < 0 < found.difference.interval[1]
    assert found.outcome is Outcome.NO_DIFFERENCE
    assert found.verdict.is_of_methods
    assert formats.verdict(found.verdict) == "no difference shown"


def test_the_same_data_by_another_path_is_compared(tmp_path):
    write_run(tmp_path / "u", LABELS, right(300), data="/data/glue")
    write_run(
        tmp_path / "p", LABELS, right(300), data="../glue", pruning_method="classifier_magnitude"
    )
    assert len(verdicts.differences(read(tmp_path / "u", tmp_path / "p"))) == 1


TEACHER = {"teacher": "/runs/large", "distill_weight": 0.9}
ROW = {"pruning_method": "row"}


def pairs(*runs):
    """The numbers of the runs of each difference: the judged one's seeds, and the other's."""
    found = verdicts.differences(read(*runs))
    return {(one.what, one.against): one.seeds for one in found}


def test_a_taught_pruned_run_is_held_against_the_unpruned_and_the_untaught_one(tmp_path):
    """So it is seen what the pruning costs with a teacher, and what the teacher brings."""
    for seed in (1, 2):
        write_run(tmp_path / f"u{seed}", LABELS, right(300), seed=seed)
        write_run(tmp_path / f"p{seed}", LABELS, right(200), seed=seed, **ROW)
        write_run(tmp_path / f"t{seed}", LABELS, right(280), seed=seed, **ROW, **TEACHER)
    unpruned, row = "no pruning, no teacher", "pruned: row 80 %, no teacher"
    taught = "pruned: row 80 %, teacher=large"
    found = {
        (taught, unpruned): (1, 2),
        (taught, row): (1, 2),
        (row, unpruned): (1, 2),
    }
    assert pairs(*sorted(tmp_path.iterdir())) == found
    by_name = {
        (one.what, one.against): one for one in verdicts.differences(read(*tmp_path.iterdir()))
    }
    assert by_name[taught, row].difference.mean == pytest.approx(80 / 400)
    assert by_name[taught, unpruned].difference.mean == pytest.approx(-20 / 400)
    # An unpruned run with the same teacher comes first, where they have a seed in common.
    write_run(tmp_path / "v2", LABELS, right(310), seed=2, **TEACHER)
    both = "no pruning, teacher=large"
    expected = {(taught, both): (2,), (taught, row): (1, 2), (row, unpruned): (1, 2)}
    assert pairs(*sorted(tmp_path.iterdir())) == expected | {(both, unpruned): (2,)}
    other = write_run(tmp_path / "w", LABELS, right(310), seed=3, **TEACHER)
    runs = [tmp_path / name for name in ("u1", "u2", "t1", "t2")]
    assert pairs(*runs, other) == {(taught, unpruned): (1, 2)}
    # One that learns in another way from the same teacher has no untaught part of its own.
    weighed = write_run(
        tmp_path / "x", LABELS, right(290), **ROW, **TEACHER, distill_temperature=4.0
    )
    assert {seeds for (_, base), seeds in pairs(*runs, weighed).items() if base == unpruned} == {
        (1,),
        (1, 2),
    }


def test_a_quantize_aware_run_is_held_against_the_float_one_and_its_file_against_that_file(
    tmp_path,
):
    aware = {"quantize_aware": "int8"}
    write_run(tmp_path / "float", LABELS, right(300))
    write_export(tmp_path / "float", "int8", LABELS, right(280))
    write_run(tmp_path / "aware", LABELS, right(310), **aware)
    write_export(tmp_path / "aware", "int8", LABELS, right(305))
    write_run(tmp_path / "other", LABELS, right(310), **aware, learning_rate=1e-3)
    start = "no pruning, {}, learning_rate=2e-05, {}quantize-aware{}"
    mine, theirs = start.format("{}", "", " int8"), start.format("{}", "not ", "")
    assert pairs(*sorted(tmp_path.iterdir())) == {
        (mine.format("keras"), theirs.format("keras")): (1,),
        (mine.format("int8"), theirs.format("int8")): (1,),
    }


def test_a_teacher_by_another_path_is_the_same_and_another_one_by_the_same_path_is_not(tmp_path):
    for name, teacher, digest, method in (
        ("u", "/runs/large", "a" * 64, "none"),
        ("p", "../runs/large", "a" * 64, "row"),
        ("q", "/runs/large", "b" * 64, "row"),
    ):
        run = write_run(tmp_path / name, LABELS, right(300), teacher=teacher, pruning_method=method)
        changed(run, teacher={"sha256": digest})
    assert pairs(*sorted(tmp_path.iterdir())) == {
        (
            "pruned: row 80 %, teacher=../runs/large",
            "no pruning, teacher sha256=aaaaaaaa",
        ): (1,)
    }
    assert pairs(tmp_path / "u", tmp_path / "p") == {("pruned: row 80 %", "no pruning"): (1,)}


def test_the_run_that_a_run_fine_tunes_first_is_one_teacher_for_all_seeds(tmp_path):
    settings = {**ROW, "finetune_epochs": 3, "teacher": "start"}
    for seed in (1, 2):
        run = write_run(tmp_path / f"{seed}", LABELS, right(300), seed=seed, **settings)
        changed(run, teacher={"sha256": f"{seed}" * 64})
    (found,) = group(read(*tmp_path.iterdir()))
    assert found.seeds == (1, 2)
    assert [model.teacher for model in found.models] == ["start"] * 2


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ("validation", "data=/data/other"),
        ("train", "data=/data/other"),
        ("examples", "train_examples=100"),
        ("encoder", "encoder sha256=ffffffff"),
        ("source", ""),  # The sample stands beside the task.
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
    assert verdicts.differences(models) == []
    names = {one.first.run: one.name for one in group(models)}
    settings = [told] if told else []
    assert names["p"].split(", ") == ["pruned: classifier_magnitude 80 %", *settings]
    assert names["u"] != names["p"]


def test_the_same_digest_with_other_labels_is_not_compared(tmp_path, caplog):
    write_run(tmp_path / "u", LABELS, right(300))
    run = write_run(tmp_path / "p", LABELS, right(300), pruning_method="classifier_magnitude")
    file = run / "predictions" / "validation.tsv"
    rows = file.read_text().splitlines()
    file.write_text("\n".join([*rows[:-1], rows[-1].replace("399\t1", "399\t0")]) + "\n")
    assert verdicts.differences(read(tmp_path / "u", run)) == []
    assert "other labels, not compared" in caplog.text


def test_against_a_collapsed_model_there_is_no_verdict(tmp_path):
    weak = wrong_at(LABELS, range(0, N, 2))  # Says one thing to all but one.
    weak[0] = weak[0][::-1]
    run = write_run(tmp_path / "run", LABELS, weak)
    write_export(run, "float32", LABELS, weak)
    write_export(run, "int8", LABELS, CONSTANT, collapsed="every prediction is not_equivalent")
    models = read(run)
    # The trained model says one thing to all examples but one, which is no collapse.
    assert models[0].marked.at_chance.startswith("accuracy 0.502 is not above chance (0.500) by")
    assert models[0].collapsed == ""
    (found,) = verdicts.differences(models)
    assert not found.difference.is_shown
    assert found.verdict.mark is Mark.COLLAPSED
    cells = rows.differences([found]).pick("verdict", "p", "equal").cells()[0]
    assert [cell.text for cell in cells] == ["no verdict: COLLAPSED", "", ""]
    assert cells[0].tone is Tone.BAD
    ((marked,),) = rows.groups(group(models[:1])).pick("model").cells()
    assert marked.text == "no pruning, not above chance"
    assert marked.tone is Tone.NOISE


def test_a_file_that_is_not_above_chance_is_marked_mildly(tmp_path):
    reason = "accuracy 0.520 is not above chance (0.500) by more than its noise"
    run = write_run(tmp_path / "run", LABELS, right(300))
    write_export(run, "float32", LABELS, right(300))
    folder = write_export(run, "int8", LABELS, right(208), at_chance=reason)
    models = read(run)
    (int8,) = [one for one in models if one.recipe == "int8"]
    assert (int8.mark, int8.collapsed) == (Mark.AT_CHANCE, "")
    (score,) = rows.models([int8]).pick("score").cells()[0]
    assert (score.text, score.tone) == ("0.5200, not above chance", Tone.NOISE)
    (found,) = verdicts.differences(models)
    assert formats.verdict(found.verdict) == "these two models: worse, not above chance"
    # A record of an earlier version called that a collapse.
    older = write_export(run, "int8", LABELS, right(208), collapsed=reason, at_chance=None)
    (again,) = [one for one in read(run) if one.recipe == "int8"]
    assert older.records()["int8"].at_chance is None
    assert (again.mark, again.collapsed) == (Mark.AT_CHANCE, "")
    write_export(run, "int8", LABELS, right(208), at_chance=reason)
    text = card.card(folder.records()["int8"])
    assert f"Nothing shows that this file has learned: {reason}." in text
    assert "COLLAPSED" not in text


def test_a_base_that_collapsed_is_named(tmp_path):
    write_run(tmp_path / "u", LABELS, CONSTANT)
    write_run(tmp_path / "p", LABELS, right(390), pruning_method="classifier_magnitude")
    (found,) = verdicts.differences(read(tmp_path / "u", tmp_path / "p"))
    assert (found.verdict.mark, found.verdict.base_mark) == (None, Mark.COLLAPSED)
    assert formats.verdict(found.verdict) == "no verdict: against a COLLAPSED model"


def equal(outcome, examples=None):
    return Equivalence(0.01, outcome, (-0.1, 0.1), examples)


@pytest.mark.parametrize(
    ("verdict", "text", "tone"),
    [
        (Verdict(Outcome.BETTER), "better", Tone.GOOD),
        (Verdict(Outcome.WORSE), "worse", Tone.BAD),
        (Verdict(Outcome.NO_DIFFERENCE), "no difference shown", Tone.NOISE),
        (Verdict(Outcome.UNDEFINED), "cannot be told", Tone.PLAIN),
        (Verdict(Outcome.UNDEFINED, seeds=1), "cannot be told", Tone.PLAIN),
        (Verdict(Outcome.WORSE, seeds=1), "these two models: worse", Tone.BAD),
        (Verdict(Outcome.WORSE, seeds=2), "these models of two seeds: worse", Tone.BAD),
        (
            Verdict(Outcome.NO_DIFFERENCE, equivalence=equal(Equal.YES)),
            "no difference shown, equal within 0.01",
            Tone.NOISE,
        ),
        (
            Verdict(Outcome.WORSE, seeds=1, equivalence=equal(Equal.YES)),
            "these two models: worse, equal within 0.01",
            Tone.BAD,
        ),
        (
            Verdict(Outcome.NO_DIFFERENCE, equivalence=equal(Equal.UNKNOWN, 700)),
            "no difference shown",
            Tone.NOISE,
        ),
        (
            Verdict(Outcome.WORSE, mark=Mark.AT_CHANCE),
            "worse, not above chance",
            Tone.BAD,
        ),
        (
            Verdict(Outcome.BETTER, base_mark=Mark.AT_CHANCE),
            "better, against a model not above chance",
            Tone.GOOD,
        ),
        (
            Verdict(Outcome.BETTER, mark=Mark.COLLAPSED, base_mark=Mark.AT_CHANCE),
            "no verdict: COLLAPSED",
            Tone.BAD,
        ),
        (
            Verdict(Outcome.UNDEFINED, mark=Mark.COLLAPSED, base_mark=Mark.COLLAPSED),
            "no verdict: both COLLAPSED",
            Tone.BAD,
        ),
    ],
)
def test_a_verdict_has_words_and_a_tone(verdict, text, tone):
    assert formats.verdict(verdict) == text
    assert rows.verdict_tone(verdict) is tone


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (equal(Equal.YES), "yes, within 0.01"),
        (equal(Equal.NO), "no, beyond 0.01"),
        (equal(Equal.UNKNOWN), "cannot be told"),
        (equal(Equal.UNKNOWN, 6194), "cannot be told: about 6,200 examples for 0.01"),
        (equal(Equal.UNKNOWN, 97), "cannot be told: about 97 examples for 0.01"),
        (None, ""),
    ],
)
def test_an_equivalence_in_words(value, text):
    assert formats.equivalence(value) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.2499, "0.250"),
        (0.001, "0.001"),
        (0.00099, "< 0.001"),
        (0.0, "< 0.001"),
        (float("nan"), "cannot be told"),
        (None, ""),
    ],
)
def test_a_p_value_is_never_zero(p, text):
    assert formats.p_value(p) == text


def test_the_lines_on_the_tests_name_margin_and_seeds(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300))
    write_export(run, "float32", LABELS, right(300))
    write_export(run, "int8", LABELS, right(299))
    first, few = summary.legend(verdicts.differences(read(run), margin=0.02))
    assert "p by McNemar's exact test" in first
    assert "within 0.02" in first
    assert "with one seed that cannot be told" in few
    (one,) = verdicts.differences(read(run), margin=0.02)
    assert one.difference.equivalence.outcome is Equal.YES
    assert formats.verdict(one.verdict) == (
        "these two models: no difference shown, equal within 0.02"
    )
    assert summary.legend([]) == []


def test_the_legend_explains_the_columns_that_are_shown(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300))
    write_export(run, "float32", LABELS, right(300))
    write_export(run, "int8", LABELS, right(280))
    found = verdicts.differences(read(run))
    (shown, *_), (narrow, *_) = summary.legend(found), summary.legend(found, ["p", "equal"])
    assert "p by McNemar's exact test" in shown
    assert 'the column "equal"' in shown
    assert "p by" not in narrow
    assert "column" not in narrow


def test_a_comparison_seen_from_the_other_side_is_the_same(tmp_path):
    for seed, numbers in ((1, (300, 380)), (2, (310, 370))):
        for name, number in zip("up", numbers, strict=True):
            write_run(
                tmp_path / f"{name}{seed}",
                LABELS,
                right(number),
                seed=seed,
                pruning_method="none" if name == "u" else "row",
            )
    unpruned, pruned = group(read(*sorted(tmp_path.iterdir())))
    one, other = verdicts.compare(pruned, unpruned), verdicts.compare(unpruned, pruned)
    back = other.reversed()
    assert back.difference.interval == pytest.approx(one.difference.interval)
    assert back.difference.mean == pytest.approx(one.difference.mean)
    assert back.difference.by_seed == pytest.approx(one.difference.by_seed)
    assert back.difference.p == one.difference.p
    assert back.difference.equivalence.interval == pytest.approx(
        one.difference.equivalence.interval, abs=0.002
    )
    assert back == dataclasses.replace(one, difference=back.difference)
    assert (one.outcome, other.outcome) == (Outcome.BETTER, Outcome.WORSE)
