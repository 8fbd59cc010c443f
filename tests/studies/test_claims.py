"""The answers to claims that are made of several differences."""

from __future__ import annotations

import types

import numpy as np
import pytest

from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import metrics, significance
from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.reports.verdicts import Comparison
from bert_glue_tf.studies import claims, local_global_claims, survey_claims
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
