"""Heads of aspects and their polarity beside the published scores, from written runs."""

from __future__ import annotations

import pytest
from messages import refused, refuses
from study_runs import command, finished, write_tagged

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.word_heads import names
from bert_glue_tf.studies import printed, tagging
from bert_glue_tf.studies.claims import Verdict
from bert_glue_tf.studies.tagging import Tagging

GIVEN = {"encoder": "tiny", "data": "absa"}


def study(root, numbers, data_sets=("rest14",), rates=("2e-5", "2e-4"), seeds=(1,)):
    """Linear and CRF; `numbers` of 40 aspects are found, by (rate, head) and seed."""
    made = Tagging(data_sets, ["linear", "crf"], rates, GIVEN, seeds)
    for (_, rate, head), cell in made.by_place.items():
        write_tagged(cell, root, numbers[rate, head])
    return finished(made, root)


def test_the_published_scores_are_those_of_our_heads():
    assert set(printed.HEADS.values()) == set(names.names()) == set(tagging.HEADS)
    assert printed.taggers("rest14") == pytest.approx(
        {
            "linear": 0.7261,
            "gru": 0.7317,
            "self_attention": 0.7368,
            "transformer": 0.7398,
            "crf": 0.7317,
        }
    )
    assert list(printed.taggers("rest16").values()) == pytest.approx(
        [0.6967, 0.7021, 0.7051, 0.7025, 0.7037]
    )
    assert printed.taggers("laptop14") == {}


@pytest.mark.parametrize(
    ("data_set", "train", "batch"),
    [("laptop14", 2741, 32), ("rest14", 2736, 16), ("rest16", 1799, 16)],
)
def test_the_recipe_is_1500_steps_and_the_best_after_1000(data_set, train, batch):
    made = Tagging([data_set], tagging.HEADS, tagging.RATES, GIVEN, [1, 2, 3])
    assert len(made.cells) == 10
    (config, *_) = made.by_place[data_set, 2e-5, "gru"].configs
    assert (config.task, config.tagging_head, config.learning_rate) == (
        f"{data_set}_e2e",
        "gru",
        2e-5,
    )
    assert (config.batch_size, config.keep, config.keep_after) == (batch, "best", 1000)
    assert (config.warmup_fraction, config.weight_decay) == (0.0, 0.0)
    steps = -(-train // batch)
    assert 1500 <= config.epochs * steps < 1500 + steps


def test_what_is_given_goes_before_and_a_short_training_waits_for_no_step():
    made = Tagging(["rest14"], ["crf"], ["2e-4"], {**GIVEN, "epochs": "2", "dropout": "0.2"}, [1])
    ((config,),) = (one.configs for one in made.cells)
    assert (config.epochs, config.keep_after, config.dropout) == (2, 0, 0.2)


def test_the_table_has_published_and_ours_by_head_and_rate(tmp_path):
    numbers = {
        (2e-5, "linear"): [20, 22],
        (2e-5, "crf"): [30, 30],
        (2e-4, "linear"): [32, 32],
        (2e-4, "crf"): [33, 35],
    }
    rows = study(tmp_path, numbers, seeds=(1, 2)).tables()["tagging"].texts()
    scores = [row["ours"].split(",")[0] for row in rows]  # Without a mark.
    shown = [
        (row["rate"], row["head"], row["published"], score)
        for row, score in zip(rows, scores, strict=True)
    ]
    # All that are found are right: F1 is 2 k / (40 + k).
    f1 = [f"{(2 * a / (40 + a) + 2 * b / (40 + b)) / 2:.4f}" for a, b in numbers.values()]
    assert shown == [
        ("2e-5", "linear", "0.7261", f1[0]),
        ("2e-5", "crf", "0.7317", f1[1]),
        ("2e-4", "linear", "0.7261", f1[2]),
        ("2e-4", "crf", "0.7317", f1[3]),
    ]
    assert rows[0]["range"] == f"{40 / 60:.3f} to {44 / 62:.3f}"
    # An aspect at each of the three words: 40 of 120 are right.
    assert {row["majority"] for row in rows} == {f"{2 * 40 / (40 + 120):.4f}"}
    assert (rows[0]["difference"], rows[2]["difference"]) == ("", "")
    assert rows[1]["ours - published"] == f"{60 / 70 - 0.7317:+.4f}"
    low, high = map(float, rows[1]["score's interval"].split(" to "))
    assert low < 60 / 70 < high


def test_the_claim_on_heads_is_answered_over_data_sets_and_rates(tmp_path):
    numbers = {
        (2e-5, "linear"): [10],
        (2e-5, "crf"): [35],
        (2e-4, "linear"): [30],
        (2e-4, "crf"): [31],
    }
    made = study(tmp_path, numbers)
    (answer,) = made.answers()
    assert answer.verdict is Verdict.CANNOT_BE_TOLD
    assert answer.numbers.startswith("better: rest14, crf at 2e-5 +0.5")
    assert "not shown: rest14, crf at 2e-4 +0.0" in answer.numbers
    assert (answer.examples, answer.seeds, answer.encoder) == (40, 1, "tiny")
    first, second = made.findings()
    assert first.startswith("rest14: ours, best first: crf at 2e-5 0.9333, crf at 2e-4")
    assert second.startswith("rest14: ours at the better rate minus published: crf +0.202, linear")
    text = made.text()
    assert "published: BERT-E2E-ABSA, the code of Li et al. 2019" in text
    assert "epochs 9, batch_size 16" in text.replace(
        "batch_size 16, epochs 9", "epochs 9, batch_size 16"
    )
    assert "final_sparsity" not in text
    assert "of the epochs after step 1,000 the best on the dev file (best epoch)" in text


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"data_sets": ["rest15"]}, "--data_sets=rest15"),
        ({"heads": []}, "--heads="),
        ({"heads": ["lstm"]}, "--heads=lstm"),
        ({"rates": ["fast"]}, "--rates=fast"),
        ({"rates": ["nan"]}, "--rates=nan"),
        ({"rates": ["-1"]}, "--rates=-1"),
        ({"rates": []}, "--rates="),
    ],
)
def test_what_there_is_not_is_refused(change, named):
    values = {"data_sets": ["rest14"], "heads": ["crf"], "rates": ["2e-5"]} | change
    with refuses(UserError, named):
        Tagging(**values, given=GIVEN, seeds=[1])


@pytest.mark.processes
def test_one_learning_rate_is_asked_for_by_the_studys_own_flag(tmp_path):
    done = command("reproduce_tagging", learning_rate="1e-4", runs_dir=tmp_path / "runs")
    refused(done, "--learning_rate=0.0001", "--rates=0.0001")
    assert not list(tmp_path.rglob("*"))
