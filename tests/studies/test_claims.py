"""The answers to claims that are made of several differences."""

from __future__ import annotations

import types

import numpy as np
import pytest

from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import metrics, significance
from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.reports.verdicts import Comparison
from bert_glue_tf.studies import (
    claims,
    claims_table,
    local_global_claims,
    printed,
    printed_claims,
    survey_claims,
)
from bert_glue_tf.studies.claims import Verdict

N = 400
LABELS = np.arange(N) % 2


def compared(gained, lost=0, **marks):
    """A difference of two models that a number of examples separates."""
    first, second = LABELS.copy(), LABELS.copy()
    first[:gained] ^= 1
    second[gained : gained + lost] ^= 1
    found = significance.compare(
        tasks.get("mrpc").problem, metrics.accuracy, LABELS, [first], [second]
    )
    return Comparison(
        task="mrpc",
        source="",
        metric="accuracy",
        examples=N,
        what="",
        against="",
        seeds=(1,),
        difference=found,
        encoder="tiny",
        all_collapsed=len(marks) == 2,
        **marks,
    )


BETTER, WORSE, SAME = compared(40), compared(0, 40), compared(3, 3)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([BETTER, SAME], Verdict.HOLDS),
        ([BETTER, BETTER, WORSE], Verdict.HOLDS),
        ([BETTER, WORSE], Verdict.CANNOT_BE_TOLD),
        ([WORSE, SAME], Verdict.DOES_NOT_HOLD),
        ([SAME, SAME], Verdict.CANNOT_BE_TOLD),
    ],
)
def test_local_is_better_where_it_is_at_more_sparsities(found, verdict):
    by_sparsity = {0.1 * place: one for place, one in enumerate(found, start=1)}
    answer = local_global_claims.ranking({"rest16": by_sparsity})
    assert answer.verdict is verdict
    assert answer.numbers.startswith(f"local is better at {found.count(BETTER)} of {len(found)}, ")
    assert "Shown four times of five would be 0.0" in answer.numbers


def test_of_two_that_collapsed_nothing_is_said_and_of_one_that_it_is_worse():
    collapsed = Mark.COLLAPSED
    both = compared(40, mark=collapsed, base_mark=collapsed)
    one = compared(40, base_mark=collapsed)
    assert local_global_claims.ranking({"t": {0.9: both}}).verdict is Verdict.CANNOT_BE_TOLD
    assert local_global_claims.ranking({"t": {0.9: one}}).verdict is Verdict.HOLDS
    assert local_global_claims.ranking({"t": {}}) is None


def test_the_smallest_difference_that_is_found_four_times_of_five():
    low, high = BETTER.difference.interval
    assert claims.smallest(BETTER) == pytest.approx((high - low) / 3.92 * 2.8)


@pytest.mark.parametrize(
    ("found", "left", "verdict"),
    [
        (compared(0, 40), 70, Verdict.DOES_NOT_HOLD),  # Ten points.
        (compared(40), 70, Verdict.HOLDS),
        (compared(3, 3), 70, Verdict.CANNOT_BE_TOLD),  # The interval reaches half a point down.
        (compared(40), 99, None),
    ],
)
def test_layers_are_judged_by_half_a_point_at_the_surveys_share(found, left, verdict):
    def costs(total):
        return types.SimpleNamespace(record=types.SimpleNamespace(parameters={"total": total}))

    row = types.SimpleNamespace(difference=found, costs=costs(left), base=costs(100))
    answer = survey_claims.layer(row)
    assert (answer and answer.verdict) is verdict


def test_an_encoder_is_named_without_its_place(tmp_path):
    one = claims.Answer("local_global.conv", Verdict.HOLDS, "", 800, 3, "/a/b/conv4, minilm_l6")
    nothing = claims.Answer("report.size", Verdict.HOLDS, "")
    (tmp_path / "x.json").write_text(claims.text("local_global", [one, nothing], "make"))
    _, found = claims.read(tmp_path / "x.json")
    assert [answer.encoder for answer in found] == ["conv4, minilm_l6", ""]


# --- the table of all of them ---


def test_a_claim_that_nobody_ran_says_so_and_what_would_answer_it():
    rows = claims_table.table(claims_table.rows([])).texts()
    assert len(rows) == len(claims.CLAIMS)
    assert {row["answer"] for row in rows} == {"has not been run"}
    told = {row["claim"]: row["what was found"] for row in rows}
    assert told["Quantization keeps MRPC's accuracy"] == "make reproduce-report would answer it"
    assert (
        "no command of ours measures bias"
        in (told["Movement pruning: the better the model, the more bias (GLUE)"])
    )
    assert {row["command"] for row in rows} == {""}


def test_the_survey_s_whole_table_1_is_among_the_claims():
    rows = printed.document("survey")["table1"]
    asked = [one for one in claims.CLAIMS if one.name.startswith("survey.")]
    assert len(asked) == len(rows) == 8
    assert [one.name for one in asked if not one.asked_by] == ["survey.movement"]


def test_an_answer_has_the_number_of_its_command_and_goes_before_the_documents():
    ours = claims.Answer("structured.mrpc", Verdict.HOLDS, "ours", 408, 3, "tiny")
    other = claims.Answer("survey.block", Verdict.HOLDS, "ours", 408, 3, "tiny")
    found = [("make survey", other), ("make structured", ours)]
    rows = {row.claim.name: row for row in claims_table.rows(found, printed_claims.answers())}
    assert (rows["structured.mrpc"].answer, rows["structured.mrpc"].number) == (ours, 1)
    assert rows["survey.block"].number == 2
    assert (rows["structured.rte"].number, rows["structured.rte"].made_by) == (0, "")
    assert rows["structured.rte"].answer.verdict is Verdict.CANNOT_BE_TOLD


def test_the_second_reports_structures_are_below_the_answer_that_is_always_yes():
    size, mrpc, rte = printed_claims.answers()
    assert size.verdict is Verdict.DOES_NOT_HOLD
    assert mrpc.verdict is Verdict.DOES_NOT_HOLD
    assert mrpc.numbers.startswith(
        "Always answering yes has an F1 of 0.812 on MRPC's 408 pairs; row 0.777, column 0.778, "
        "block 0.792 are below it"
    )
    # Of RTE the best is 1.1 points above 146 of 277, whose noise is 5.9 points.
    assert rte.verdict is Verdict.CANNOT_BE_TOLD
    assert "0.527 on RTE's 277 pairs" in rte.numbers
    assert "noise of so many examples, 0.059; shown four times of five would be 0.084" in (
        rte.numbers
    )


# --- of the survey ---


def row(method, found, gone=0.0, size=1.0, milliseconds=1.0):
    """A row of a survey whose unpruned file has 100 bytes and takes 2 ms."""

    def costs(share, counts):
        return types.SimpleNamespace(
            record=types.SimpleNamespace(parameters=counts),
            files={"float32": types.SimpleNamespace(bytes={"plain": 100 * share})},
        )

    base = costs(1, {})
    base.latency = {"64": {"p50": 2.0}}
    return types.SimpleNamespace(
        method=method,
        difference=found,
        costs=costs(size, {"pruned": 1000 * gone, "prunable": 1000}),
        base=base,
        milliseconds=milliseconds,
    )


@pytest.mark.parametrize(
    ("found", "gone", "verdict"),
    [
        (compared(0, 40), 0.8, Verdict.DOES_NOT_HOLD),
        (compared(0), 0.8, Verdict.HOLDS),
        (compared(3, 3), 0.8, Verdict.CANNOT_BE_TOLD),
        # At a third of the weights it is worse already; as good says nothing of 80 %.
        (compared(0, 40), 0.3333, Verdict.DOES_NOT_HOLD),
        (compared(0), 0.3333, None),
    ],
)
def test_blocks_are_judged_at_five_times_fewer_weights(found, gone, verdict):
    answer = survey_claims.block_norm(row("block", found, gone))
    assert (answer and answer.verdict) is verdict
    if gone < 0.5 and answer:
        assert answer.numbers.startswith("1.50 times fewer weights of those in scope: -0.100")


@pytest.mark.parametrize(
    ("gone", "milliseconds", "verdict"),
    [
        (0.9, 2.0, Verdict.DOES_NOT_HOLD),
        (0.9, 0.5, Verdict.HOLDS),
        (0.5, 0.5, None),
    ],
)
def test_single_zeros_are_judged_by_their_speed_at_90_percent(gone, milliseconds, verdict):
    answer = survey_claims.unstructured(row("magnitude", SAME, gone, milliseconds=milliseconds))
    assert (answer and answer.verdict) is verdict


@pytest.mark.parametrize(("gone", "verdict"), [(0.9684, Verdict.DOES_NOT_HOLD), (0.9, None)])
def test_magnitude_is_judged_at_its_share_of_the_connections(gone, verdict):
    answer = survey_claims.magnitude(row("magnitude", WORSE, gone))
    assert (answer and answer.verdict) is verdict


def test_structured_pruning_is_judged_by_its_smallest_file():
    equal = compared(0)
    rows = [
        row("unpruned", None),
        row("neuron", equal, size=0.8),
        row("attention_head+neuron", equal, size=0.41, milliseconds=1.0),
        row("layer", equal, size=0.2, milliseconds=0.1),  # None of TextPruner's.
    ]
    assert survey_claims.structured(rows[:2]) is None
    answer = survey_claims.structured(rows)
    assert answer.verdict is Verdict.HOLDS
    assert answer.numbers.startswith("attention_head+neuron: 41.0% of the size (float32), 2.00")
    for score in (equal, SAME):  # Also where the score cannot be told.
        slow = survey_claims.structured([row("neuron", score, size=0.4, milliseconds=1.5)])
        assert slow.verdict is Verdict.DOES_NOT_HOLD
    names = [one.claim for one in survey_claims.answers([row("magnitude", SAME, 0.97, 1, 2.0)])]
    assert names == ["survey.unstructured", "survey.magnitude"]
