"""Differences between models, and the verdicts on them."""

from __future__ import annotations

import dataclasses

import pytest
from report_runs import CONSTANT, LABELS, N, changed, read, right
from sklearn import metrics as sklearn_metrics
from written_runs import write_export, write_run, wrong_at

from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import significance
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
        sklearn_metrics.accuracy_score,
        LABELS,
        [unpruned[seed].argmax(1) for seed in (1, 2)],
        [pruned[seed].argmax(1) for seed in (1, 2)],
    )
    assert found.difference.interval == pytest.approx(expected.interval)
    assert found.difference.mcnemar == expected.mcnemar
    assert found.verdict == Verdict(Outcome.BETTER)
    (row,) = rows.differences([found]).texts()
    assert row["difference"] == "+0.1250"
    assert row["seeds"] == "1, 2"
    assert row["seeds' range"] == "+0.100 to +0.150"
    assert summary.sentences([found]) == [
        "mrpc: pruned: classifier_magnitude 90 % against no pruning: better "
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
    assert slight.verdict == Verdict(Outcome.WITHIN_NOISE)
    worse = found["no pruning, int8", "no pruning, float32"]
    assert worse.difference.mean == pytest.approx(-70 / 400)
    assert worse.verdict == Verdict(Outcome.WORSE)
    assert worse.difference.mcnemar[0] < 1e-9
    shown = {row["model"]: row for row in rows.differences(found.values()).texts()}
    assert shown["no pruning, dynamic_int8"]["verdict"] == "within noise"
    assert shown["no pruning, dynamic_int8"]["McNemar p"] == "1.000"


def test_seeds_that_disagree_are_noise(tmp_path):
    for seed, other in ((1, 380), (2, 290)):
        write_run(tmp_path / f"u{seed}", LABELS, right(300), seed=seed)
        run = tmp_path / f"p{seed}"
        write_run(run, LABELS, right(other), seed=seed, pruning_method="classifier_magnitude")
    (found,) = verdicts.differences(read(*sorted(tmp_path.iterdir())))
    assert found.difference.interval[0] > 0  # The examples alone would say better.
    assert found.verdict == Verdict(Outcome.WITHIN_NOISE)


def test_the_same_data_by_another_path_is_compared(tmp_path):
    write_run(tmp_path / "u", LABELS, right(300), data="/data/glue")
    write_run(
        tmp_path / "p", LABELS, right(300), data="../glue", pruning_method="classifier_magnitude"
    )
    assert len(verdicts.differences(read(tmp_path / "u", tmp_path / "p"))) == 1


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


def test_a_collapsed_model_within_noise_is_not_silent(tmp_path):
    weak = wrong_at(LABELS, range(0, N, 2))  # Says one thing to all but one.
    weak[0] = weak[0][::-1]
    run = write_run(tmp_path / "run", LABELS, weak)
    write_export(run, "float32", LABELS, weak)
    write_export(run, "int8", LABELS, CONSTANT, collapsed="every prediction is not_equivalent")
    models = read(run)
    # The trained model's record does not say so: its predictions do.
    assert models[0].collapsed.startswith("accuracy 0.502 is not above chance (0.500) by more")
    (found,) = verdicts.differences(models)
    assert found.difference.is_noise
    assert found.verdict == Verdict(Outcome.WITHIN_NOISE, collapsed=True)
    (cell,) = rows.differences([found]).pick("verdict").cells()[0]
    assert (cell.text, cell.tone) == ("within noise, COLLAPSED", Tone.BAD)


def test_a_base_that_collapsed_is_named(tmp_path):
    write_run(tmp_path / "u", LABELS, CONSTANT)
    write_run(tmp_path / "p", LABELS, right(390), pruning_method="classifier_magnitude")
    (found,) = verdicts.differences(read(tmp_path / "u", tmp_path / "p"))
    assert found.verdict == Verdict(Outcome.BETTER, base_collapsed=True)
    assert formats.verdict(found.verdict) == "better, against a COLLAPSED model"


@pytest.mark.parametrize(
    ("verdict", "text", "tone"),
    [
        (Verdict(Outcome.BETTER), "better", Tone.GOOD),
        (Verdict(Outcome.WORSE), "worse", Tone.BAD),
        (Verdict(Outcome.WITHIN_NOISE), "within noise", Tone.NOISE),
        (Verdict(Outcome.UNDEFINED), "undefined", Tone.PLAIN),
        (Verdict(Outcome.BETTER, collapsed=True), "better, COLLAPSED", Tone.BAD),
        (
            Verdict(Outcome.UNDEFINED, collapsed=True, base_collapsed=True),
            "undefined, COLLAPSED, against a COLLAPSED model",
            Tone.BAD,
        ),
    ],
)
def test_a_verdict_has_words_and_a_tone(verdict, text, tone):
    assert formats.verdict(verdict) == text
    assert rows.verdict_tone(verdict) is tone


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
    pruned, unpruned = group(read(*sorted(tmp_path.iterdir())))
    one, other = verdicts.compare(pruned, unpruned), verdicts.compare(unpruned, pruned)
    back = other.reversed()
    assert back.difference.interval == pytest.approx(one.difference.interval)
    same = dataclasses.replace(one.difference, interval=back.difference.interval)
    assert back == dataclasses.replace(one, difference=same)
    assert (one.outcome, other.outcome) == (Outcome.BETTER, Outcome.WORSE)
