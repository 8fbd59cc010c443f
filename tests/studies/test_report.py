"""The report's tables beside ours, and what is said of its hypotheses."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import types
from typing import ClassVar

import numpy as np
import pytest
from messages import refused, refuses
from written_runs import write_export, write_run, wrong_at

from bert_glue_tf.core import records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import metrics, significance
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.reports import terminal
from bert_glue_tf.runs import results
from bert_glue_tf.studies import claims, printed, report_claims, report_plan
from bert_glue_tf.studies.claims import Verdict
from bert_glue_tf.studies.report import Report
from bert_glue_tf.studies.report_plan import Plan
from bert_glue_tf.studies.report_rows import CurveRow

N = 400
LABELS = np.arange(N) % 2
CONSTANT = np.tile(np.float32([1.0, 0.0]), (N, 1))
SAYS_ONE_THING = "every prediction is not_equivalent"
SETTINGS = {"encoder": "minilm_l6", "data": "/glue", "epochs": "2", "learning_rate": "2e-05"}


def right(number):
    """Logits of which the first `number` of 400 are right and the others wrong."""
    return wrong_at(LABELS, range(number, N))


def history(*rows):
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    return [
        {"epoch": i, **dict(zip(names, row, strict=True))} for i, row in enumerate(rows, start=1)
    ]


def plan(root, task, method="none", seed=1, exported=False, limit=0):
    return Plan(task, method, seed, limit, root / f"{task}-{method}-seed{seed}", exported)


def trained(one, logits, rows=(), **options):
    """Writes what `report_plan.run` would have left for a plan."""
    write_run(
        one.folder,
        LABELS,
        logits,
        task=one.task,
        seed=one.seed,
        pruning_method=one.method,
        train_examples=one.limit,
        history=history(*rows),
        **options,
    )
    return one


def read(plans, **settings):
    """The study of finished trainings."""
    study = Report(plans, {**SETTINGS, **settings})
    study.read(one.folder for one in plans)
    return study


def quantized(one, float32, int8, **options):
    trained(one, float32)
    write_export(one.folder, "float32", LABELS, float32, megabytes=90)
    write_export(one.folder, "dynamic_int8", LABELS, int8, megabytes=25, **options)
    return one


def metrics_of(exported):
    """The record of the last file that was exported into a folder."""
    return records.load(exported / "results.jsonl", ExportResult)[-1]


# --- what is run ---


def test_plans_are_the_trainings_behind_the_three_tables(tmp_path):
    found = report_plan.plans(tmp_path, [1, 7], 500)
    assert [(p.task, p.method, p.seed, p.limit, p.exported) for p in found] == [
        (task, method, seed, limit, exported)
        for seed in (1, 7)
        for task, method, limit, exported in (
            ("mrpc", "none", 0, True),
            ("mrpc", "classifier_magnitude", 0, False),
            ("cola", "none", 0, False),
            ("cola", "classifier_magnitude", 0, False),
            ("sst2", "none", 500, True),
        )
    ]
    assert len({p.folder for p in found}) == 10


def test_a_dry_run_counts_what_is_finished_and_what_would_be_run(tmp_path, capsys):
    found = report_plan.plans(tmp_path, [1], 500)
    write_run(found[0].folder, LABELS, right(300))
    rows = report_plan.dry_rows(found)
    assert [row["state"] for row in rows] == ["finished", *["to be run"] * 4]
    terminal.print_plan(tmp_path, rows)
    assert capsys.readouterr().out.endswith("Of 5 runs 1 is finished; 4 would be run.\n")


@pytest.mark.parametrize(
    ("sst2", "each", "expected"),
    [
        (0, 64, {"mrpc": 64, "cola": 64, "sst2": 64}),
        (500, 64, {"mrpc": 64, "cola": 64, "sst2": 500}),
    ],
)
def test_the_examples_of_each_task_may_be_limited(sst2, each, expected, tmp_path):
    found = report_plan.plans(tmp_path, [1], sst2, each)
    assert {p.task: p.limit for p in found} == expected


@pytest.fixture
def called(monkeypatch):
    """Command lines that would have been run; `status` of each is 0 until it is changed."""
    lines = []

    class Done:
        returncode = 0
        stderr = "it says why"
        captured: ClassVar[list[bool]] = []

    def run(line, capture_output=False, text=False):
        lines.append(line)
        Done.captured.append(capture_output)
        return Done

    # The module's own name for it, not the function itself.
    monkeypatch.setattr(report_plan, "subprocess", types.SimpleNamespace(run=run))
    lines.append(Done)
    return lines


@pytest.mark.processes
def test_a_plan_is_trained_and_exported_by_the_commands(called, tmp_path):
    sst2 = plan(tmp_path, "sst2", exported=True, limit=500)
    report_plan.run(sst2, SETTINGS)
    _, train, export = called
    assert train[:3] == [sys.executable, "-m", "bert_glue_tf.train"]
    assert set(train[3:]) == {
        "--encoder=minilm_l6",
        "--data=/glue",
        "--epochs=2",
        "--learning_rate=2e-05",
        "--task=sst2",
        "--pruning_method=none",
        "--seed=1",
        "--train_examples=500",
        f"--workdir={sst2.folder}",
    }
    assert export[:3] == [sys.executable, "-m", "bert_glue_tf.export_tflite"]
    assert set(export[3:]) == {
        f"--run={sst2.folder}",
        "--recipes=dynamic_int8",
        "--seq_lengths=32,64,128",
    }
    # Each of these is a flag of its command.
    for line in (train, export):
        shown = subprocess.run([*line[:3], "--help"], capture_output=True, text=True).stdout
        for argument in line[3:]:
            assert f"  {argument.split('=')[0]}=" in shown


def test_what_is_not_quantized_is_not_exported(called, tmp_path):
    report_plan.run(plan(tmp_path, "cola", "classifier_magnitude"), SETTINGS)
    assert len(called) == 2
    assert "--pruning_method=classifier_magnitude" in called[1]


def test_a_command_that_fails_ends_all(called, tmp_path):
    called[0].returncode = 2
    with refuses(UserError, "train", "status 2"):
        report_plan.run(plan(tmp_path, "mrpc", exported=True), SETTINGS)
    assert len(called) == 2  # Nothing is exported.


def test_what_is_finished_already_is_not_shown_again_but_what_it_refuses_is(
    called, tmp_path, capsys
):
    sst2 = plan(tmp_path, "sst2", exported=True)
    sst2.folder.mkdir(parents=True)
    (sst2.folder / results.FILE_NAME).write_text("{}")
    report_plan.run(sst2, SETTINGS)
    # The training is asked, and silent; the file is made, and a file without its record again.
    assert called[0].captured == [True, False]
    (sst2.folder / "tflite").mkdir()
    (sst2.folder / "tflite" / "dynamic_int8.tflite").write_bytes(b"half of it")
    report_plan.run(sst2, SETTINGS)
    assert called[0].captured[2:] == [True, False]
    assert capsys.readouterr().err == ""
    called[0].returncode = 2
    with refuses(UserError, "train", "status 2"):
        report_plan.run(sst2, SETTINGS)
    assert "it says why" in capsys.readouterr().err


# --- tables ---


def test_curves_are_means_over_the_seeds_beside_the_reports(tmp_path):
    done = [
        trained(plan(tmp_path, "mrpc"), right(300), [(0.6, 0.7, 0.5, 0.8), (0.4, 0.8, 0.4, 0.9)]),
        trained(
            plan(tmp_path, "mrpc", "classifier_magnitude", 1),
            right(300),
            [(0.5, 0.5, 0.5, 0.5), (0.25, 0.6, 0.1, 0.7)],
        ),
        trained(
            plan(tmp_path, "mrpc", "classifier_magnitude", 2),
            right(300),
            [(0.7, 0.5, 0.5, 0.5), (0.35, 0.8, 0.2, 0.8)],
        ),
        trained(plan(tmp_path, "cola"), right(300), [(9.0, 0.9, 9.0, 0.9)]),
    ]
    shown = read(done).tables()
    rows = [list(row.values()) for row in shown["table_1"].texts()]
    assert rows == [
        [
            *("without", "1", "0.681", "0.600", "0.634", "0.700"),
            *("0.574", "0.500", "0.755", "0.800", "0.758 to 0.836", "0.500"),
        ],
        [
            *("without", "2", "0.479", "0.400", "0.792", "0.800"),
            *("0.483", "0.400", "0.797", "0.900", "0.867 to 0.926", "0.500"),
        ],
        [
            *("with", "1", "0.671", "0.600 (0.500 to 0.700)", "0.625", "0.500"),
            *("0.490", "0.500", "0.779", "0.500", "0.451 to 0.549", "0.500"),
        ],
        [
            *("with", "2", "0.434", "0.300 (0.250 to 0.350)", "0.803", "0.700 (0.600 to 0.800)"),
            *("0.447", "0.150 (0.100 to 0.200)", "0.810", "0.750 (0.700 to 0.800)"),
            *("0.705 to 0.790", "0.500"),
        ],
    ]
    assert len(shown["table_2"].rows) == 1


def test_the_differences_stand_beside_the_reports(tmp_path):
    pruned = "classifier_magnitude"
    done = []
    for seed, loss in ((1, 0.5), (2, 0.7), (3, 0.9)):
        done.append(
            trained(plan(tmp_path, "mrpc", "none", seed), right(300), [(0.4, 0, 0, 0.8)] * 2)
        )
        done.append(trained(plan(tmp_path, "mrpc", pruned, seed), right(300), [(loss, 0, 0, 0.7)]))
    done.append(trained(plan(tmp_path, "mrpc", "none", 4), right(300), [(9.0, 0, 0, 0.1)] * 2))
    study = read(done)
    (row,) = study.tables()["table_1_differences"].texts()  # One epoch has both, of three seeds.
    assert (row["epoch"], row["loss: report"]) == ("1", "-0.010")
    # 0.1, 0.3, 0.5: a standard error of 0.2 / sqrt(3), times Student's 4.303 of two degrees.
    assert row["loss: ours"] == "+0.300 (-0.197 to +0.797)"
    assert (row["val_accuracy: report"], row["val_accuracy: ours"]) == (
        "+0.023",
        "-0.100 (-0.100 to -0.100)",
    )
    assert "Difference in validation:" in study.text()
    assert not study.tables()["table_2_differences"].rows
    one = read(done[:2]).tables()["table_1_differences"].texts()
    assert one[0]["loss: ours"] == "+0.100"


def test_more_epochs_than_the_report_had(tmp_path):
    done = [trained(plan(tmp_path, "cola"), right(300), [(0.5, 0.5, 0.5, 0.5)] * 5)]
    rows = read(done).tables()["table_2"].texts()
    assert [row["loss: report"] for row in rows] == ["0.569", "0.384", "0.271", "", ""]


def test_accuracy_and_size_with_and_without_quantization(tmp_path):
    done = [
        quantized(plan(tmp_path, "mrpc", seed=1, exported=True), right(300), right(296)),
        quantized(plan(tmp_path, "mrpc", seed=2, exported=True), right(320), right(320)),
        quantized(plan(tmp_path, "sst2", exported=True, limit=500), right(350), right(349)),
    ]
    rows = read(done).tables()["table_3"].texts()
    mrpc = "mrpc, trained on all 2,000 examples, scored on 400"
    sst2 = "sst2, trained on 500 of its 2,000 examples, scored on 400"
    assert [row["task"] for row in rows] == [mrpc, mrpc, sst2, sst2]
    interval = metrics_of(tmp_path / "sst2-none-seed1" / "tflite").intervals["accuracy"]
    assert rows[3]["accuracy's interval"] == "{:.3f} to {:.3f}".format(*interval)
    assert interval[0] < 349 / 400 < interval[1]
    shown = [{k: v for k, v in row.items() if k != "accuracy's interval"} for row in rows]
    assert [list(row.values())[1:] for row in shown] == [
        ["no", "0.8021", "0.775 (0.750 to 0.800)", "0.500", "438.00", "90.00", "", "", ""],
        [
            *("yes", "0.8529", "0.770 (0.740 to 0.800)", "0.500"),
            *("181.48", "25.00", "72.22%", "58.62%", ""),
        ],
        ["no", "0.9243", "0.875", "0.500", "438.00", "90.00", "", "", ""],
        ["yes", "0.9140", "0.873", "0.500", "181.48", "25.00", "72.22%", "58.62%", ""],
    ]


# --- hypotheses ---


ONE_SEED = ", of these models; of the methods: cannot be told: one seed"


def pruning(tmp_path, without, with_):
    done = []
    for seed, (first, second) in enumerate(zip(without, with_, strict=True), start=1):
        done.append(trained(plan(tmp_path, "mrpc", "none", seed), first))
        done.append(trained(plan(tmp_path, "mrpc", "classifier_magnitude", seed), second))
    (line,) = read(done).findings()
    return line


def test_pruning_that_raises_accuracy(tmp_path):
    line = pruning(tmp_path, [right(300), right(304)], [right(340), right(336)])
    found = significance.compare(
        tasks.get("mrpc").problem,
        metrics.accuracy,
        LABELS,
        [right(300).argmax(1), right(304).argmax(1)],
        [right(340).argmax(1), right(336).argmax(1)],
    )
    low, high = found.interval
    assert line == (
        f"Pruning raises validation accuracy, mrpc: holds, of these models; of the methods: "
        f"cannot be told: two seeds (+0.0900 accuracy, 95 % interval {low:+.3f} to {high:+.3f}, "
        "2 seeds from +0.080 to +0.100, p < 0.001)."
    )


@pytest.mark.parametrize(
    ("without", "with_", "verdict"),
    [
        ([300], [340], f"holds{ONE_SEED} (+0.1000 accuracy"),
        ([300], [304], f"cannot be told: no difference is shown{ONE_SEED} (+0.0100 accuracy"),
        ([300], [296], f"cannot be told: no difference is shown{ONE_SEED} (-0.0100 accuracy"),
        ([300], [300], f"does not hold: equal within 0.01{ONE_SEED} (+0.0000 accuracy"),
        ([340], [300], f"does not hold: it lowers it{ONE_SEED} (-0.1000 accuracy"),
        # Three seeds of which one lost and two won.
        ([300] * 3, [380, 290, 310], "cannot be told: no difference is shown (+0.0667 acc"),
        ([300, 310, 305], [340, 352, 344], "holds (+0.1008 accuracy"),
    ],
)
def test_verdicts_on_pruning(tmp_path, without, with_, verdict):
    line = pruning(tmp_path, [right(n) for n in without], [right(n) for n in with_])
    assert line.startswith(f"Pruning raises validation accuracy, mrpc: {verdict}")
    if len(without) == 1:
        assert re.search(r"one seed, p (= [01]\.\d{3}|< 0\.001)\)\.$", line)


def test_four_labels_of_400_are_noise_by_mcnemar_too(tmp_path):
    # 4 against 0: 2 / 2^4.
    assert pruning(tmp_path, [right(300)], [right(304)]).endswith("p = 0.125).")


def test_the_claims_are_corrected_for_their_number(tmp_path):
    done = []
    # Six labels that all changed to the better: p is 2 / 2^6 by itself, and twice that of two.
    for task, number in (("mrpc", 306), ("cola", 303)):
        done.append(trained(plan(tmp_path, task), right(300)))
        done.append(trained(plan(tmp_path, task, "classifier_magnitude"), right(number)))
    study = read(done)
    mrpc, cola = study.findings()
    assert mrpc.startswith("Pruning raises validation accuracy, mrpc: cannot be told: no diff")
    assert mrpc.endswith("p = 0.062).")
    assert cola.endswith("p = 0.250).")
    assert "corrected by Holm's method for the number of comparisons, all claims together" in (
        study.text()
    )


@pytest.mark.parametrize(
    ("float32", "int8", "verdict"),
    [
        # One point of 400 examples is four: one flip leaves room for 4.2.
        (
            right(300),
            right(299),
            f"cannot be told: about 780 examples for 0.01{ONE_SEED} (-0.0025 accuracy",
        ),
        (right(300), right(300), f"holds: equal within 0.01{ONE_SEED} (+0.0000 accuracy"),
        (right(300), right(340), f"holds: it raises it{ONE_SEED} (+0.1000 accuracy"),
        (right(340), right(300), f"does not hold: it lowers it{ONE_SEED} (-0.1000 accuracy"),
    ],
)
def test_verdicts_on_quantization(tmp_path, float32, int8, verdict):
    done = [quantized(plan(tmp_path, "sst2", exported=True), float32, int8)]
    (line,) = read(done).findings()
    assert line.startswith(f"Quantization keeps validation accuracy, sst2: {verdict}")
    assert "COLLAPSED" not in line


def test_a_quantized_model_that_collapsed_keeps_nothing(tmp_path):
    # 58 of 100 right: a constant answer is within noise of that on few examples.
    weak = wrong_at(LABELS, [*range(1, N, 2)][30:])
    done = [
        quantized(plan(tmp_path, "mrpc", exported=True), weak, CONSTANT, collapsed=SAYS_ONE_THING)
    ]
    (line,) = read(done).findings()
    assert line.startswith("Quantization keeps validation accuracy, mrpc: does not hold (-0.0750")
    assert line.endswith(" COLLAPSED: dynamic_int8: every prediction is not_equivalent.")
    assert [row["COLLAPSED"] for row in read(done).tables()["table_3"].texts()] == ["", "yes"]


def test_of_a_model_that_was_worthless_before_nothing_can_be_told(tmp_path):
    one = trained(plan(tmp_path, "mrpc", exported=True), CONSTANT)
    for recipe in ("float32", "dynamic_int8"):
        write_export(one.folder, recipe, LABELS, CONSTANT, collapsed=SAYS_ONE_THING)
    (line,) = read([one]).findings()
    assert line.startswith(
        "Quantization keeps validation accuracy, mrpc: no verdict: both COLLAPSED ("
    )
    assert line.endswith(
        " COLLAPSED: float32: every prediction is not_equivalent; "
        "dynamic_int8: every prediction is not_equivalent."
    )


def test_pruning_that_collapses_is_named(tmp_path):
    line = pruning(tmp_path, [right(300)], [CONSTANT])
    assert line.startswith("Pruning raises validation accuracy, mrpc: no verdict: COLLAPSED (")
    assert line.endswith(" COLLAPSED: with pruning: every prediction is not_equivalent.")


# --- the answers to its claims ---


def answered(plans):
    """The answers to claims by their names without the study's."""
    return {one.claim.removeprefix("report."): one for one in read(plans).answers()}


def test_the_answers_say_how_many_and_what_could_have_been_shown(tmp_path):
    done = [
        trained(plan(tmp_path, "mrpc", method, seed), right(number))
        for seed in (1, 2, 3)
        for method, number in (("none", 300 + seed), ("classifier_magnitude", 302))
    ]
    found = answered(done)
    assert set(found) == {"pruning_mrpc", "pruning_points", "size"}
    one = found["pruning_mrpc"]
    assert (one.examples, one.seeds) == (400, 3)
    assert one.verdict in (Verdict.CANNOT_BE_TOLD, Verdict.DOES_NOT_HOLD)
    assert "3 seeds; shown four times of five would be 0.0" in one.numbers
    # No gain of ours, and its interval does not hold the report's.
    assert found["pruning_points"].verdict is Verdict.DOES_NOT_HOLD
    assert "does not hold the report's +0.023" in found["pruning_points"].numbers
    assert found["size"].verdict is Verdict.DOES_NOT_HOLD
    assert found["size"].numbers.endswith("give 58.57%")


def test_of_a_collapsed_model_a_claim_is_not_said_to_hold(tmp_path):
    done = [
        trained(plan(tmp_path, "mrpc"), CONSTANT),
        trained(plan(tmp_path, "mrpc", "classifier_magnitude"), right(340)),
    ]
    found = answered(done)
    assert found["pruning_mrpc"].verdict is Verdict.CANNOT_BE_TOLD
    assert found["pruning_points"].verdict is Verdict.CANNOT_BE_TOLD


@pytest.mark.parametrize(
    ("int8", "flips", "verdict"),
    [(302, 6, Verdict.DOES_NOT_HOLD), (322, 30, Verdict.CANNOT_BE_TOLD)],
)
def test_a_gain_by_rounding_takes_that_many_answers(tmp_path, int8, flips, verdict):
    one = quantized(plan(tmp_path, "mrpc", exported=True), right(300), right(int8), flips=flips)
    found = answered([one])["quantization_points"]
    assert found.verdict is verdict
    # 0.8529 - 0.8021 of 400.
    assert found.numbers.startswith("it takes 20 more right answers of 400; our quantized files")
    assert f"change {flips} answers at all" in found.numbers


def second_epoch(root, *rows):
    """The answer about the second epoch, of which each seed has loss, accuracy and both of dev."""
    done = []
    for seed, row in enumerate(rows, start=1):
        both = [(0.6, 0.7, 0.5, 0.8), row]
        done.append(trained(plan(root, "mrpc", seed=seed), right(300), both))
        done.append(trained(plan(root, "mrpc", "classifier_magnitude", seed), right(300), both))
    return answered(done)["second_epoch"]


def test_the_second_epoch_of_one_seed_tells_nothing_of_losses(tmp_path):
    found = second_epoch(tmp_path, (0.5, 0.80, 0.4, 0.81))
    assert found.verdict is Verdict.CANNOT_BE_TOLD
    # Newcombe's interval of 324 of 400 and 1,600 of 2,000, by his method 10.
    assert "+0.010 (-0.035 to +0.050 over the examples), nearly the same (within 0.02): cannot" in (
        found.numbers
    )
    assert "-0.100, lower: cannot be told: one seed" in found.numbers
    assert found.numbers.endswith("accuracy 0.803 and 0.810, loss 0.434 and 0.447")


@pytest.mark.parametrize(
    ("validation", "verdict"),
    [
        # Lower each time, and 400 examples cannot show that accuracies are equal within 0.02.
        ([(0.40, 0.81), (0.42, 0.81), (0.38, 0.81)], Verdict.CANNOT_BE_TOLD),
        ([(0.60, 0.81), (0.62, 0.81), (0.58, 0.81)], Verdict.DOES_NOT_HOLD),
        # An accuracy that is another.
        ([(0.40, 0.91), (0.42, 0.91), (0.38, 0.91)], Verdict.DOES_NOT_HOLD),
        # Losses of which one is above and two are below.
        ([(0.40, 0.81), (0.60, 0.81), (0.48, 0.81)], Verdict.CANNOT_BE_TOLD),
    ],
)
def test_the_second_epoch_is_read_off_the_curves_with_its_noise(tmp_path, validation, verdict):
    found = second_epoch(tmp_path, *((0.5, 0.80, *row) for row in validation))
    assert found.verdict is verdict
    assert " over the seeds), lower: " in found.numbers


def test_with_many_examples_the_second_epoch_can_hold():
    row = CurveRow(
        is_pruned=True,
        epoch=2,
        theirs={},
        each={"loss": [0.5] * 3, "accuracy": [0.8] * 3, "val_loss": [0.4] * 3}
        | {"val_accuracy": [0.801] * 3},
        trained_on=40_000,
        examples=40_000,
        majority=0.5,
    )
    assert [report_claims._same_accuracy(row)[0], report_claims._lower_loss(row)[0]] == [
        Verdict.HOLDS
    ] * 2


def test_the_answers_are_written_and_read_again(tmp_path):
    study = read(everything(tmp_path / "runs"))
    study.made_by = "python -m bert_glue_tf.reproduce_report --data=/glue"
    study.write(tmp_path / "out")
    command, answers = claims.read(tmp_path / "out" / f"report{claims.ENDING}")
    assert command == study.made_by
    assert answers == study.answers()
    assert {one.claim for one in answers} <= {one.name for one in claims.CLAIMS}
    file = tmp_path / "broken.json"
    file.write_text("[]")
    with refuses(UserError, file):
        claims.read(file)


# --- the whole ---


def everything(root, **options):
    rows = [(0.6, 0.7, 0.5, 0.8), (0.4, 0.8, 0.4, 0.9)]
    done = []
    for one in report_plan.plans(root, [1], 500):
        trained(one, right(300), rows, **options)
        if one.exported:
            for recipe in ("float32", "dynamic_int8"):
                write_export(one.folder, recipe, LABELS, right(300))
        if one.limit:
            file = one.folder / "results.jsonl"
            record = json.loads(file.read_text())
            record["data"]["train"] |= {"examples": 500, "split_examples": 67349}
            file.write_text(json.dumps(record) + "\n")
    return done or report_plan.plans(root, [1], 500)


def test_the_text_has_tables_settings_limit_and_conclusion(tmp_path):
    text = read(everything(tmp_path)).text()
    heads = [line for line in text.splitlines() if line.startswith("#")]
    assert heads == [
        "# The report's tables, reproduced",
        "## Table 1. MRPC: loss and accuracy per epoch, without and with pruning",
        "## Table 2. CoLA: loss and accuracy per epoch, without and with pruning",
        "## Table 3. Accuracy and size without and with quantization",
        "## The two hypotheses",
    ]
    assert (
        "Ours: encoder `minilm_l6`, data GLUE, epochs 2, learning_rate 2e-05, mean of seed 1. "
        "The report used bert_en_uncased_L-12_H-768_A-12: the values are of another, larger "
        "encoder."
    ) in text
    majority = "accuracy of the most frequent class 0.500"
    assert f"- mrpc: trained on all 2,000 examples, scored on 400; {majority}\n" in text
    assert f"- sst2: trained on 500 of its 67,349 examples, scored on 400; {majority}\n" in text
    table = text[text.index("## Table 3") : text.index("## The two")]
    assert table.count("| sst2, trained on 500 of its 67,349 examples, scored on 400 |") == 2
    conclusion = text[text.index("## The two") :].strip().splitlines()[4:]
    assert [line.split(", of these")[0] for line in conclusion] == [
        "- Pruning raises validation accuracy, mrpc: does not hold: equal within 0.01",
        "- Pruning raises validation accuracy, cola: does not hold: equal within 0.01",
        "- Quantization keeps validation accuracy, mrpc: holds: equal within 0.01",
        "- Quantization keeps validation accuracy, sst2: holds: equal within 0.01",
    ]
    assert "sample" not in text


def test_with_the_reports_own_encoder_nothing_is_said_of_another(tmp_path):
    text = read(everything(tmp_path), encoder=printed.REPORT_ENCODER).text()
    assert "another, larger encoder" not in text


def test_the_sample_stands_in_every_title(tmp_path):
    text = read(everything(tmp_path, source="sample"), data="sample").text()
    assert "data the generated sample (its scores say nothing about GLUE)" in text
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert len(heads) == 4
    assert all(head.endswith(" (sample)") for head in heads)


def test_the_records_of_the_helper_are_such_as_the_commands_write(tmp_path):
    one = trained(plan(tmp_path, "mrpc"), right(300))
    assert results.load(one.folder / "results.jsonl")[0].metrics["accuracy"] == 0.75


# --- the command ---


@pytest.mark.processes
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--seeds=1,a",), "--seeds=1,a"),
        (("--seeds=",), "--seeds="),
        (("--train_examples=-1",), "--train_examples=-1"),
        (("--sst2_train_examples=-1",), "--sst2_train_examples=-1"),
        (
            ("--encoder=minilm_l6", "--data=none"),
            "train",
        ),
    ],
)
def test_mistakes_are_told_in_one_message(tmp_path, arguments, named):
    done = subprocess.run(
        [sys.executable, "-m", "bert_glue_tf.reproduce_report", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    refused(done, named)
    assert os.listdir(tmp_path) == []


def test_the_committed_differences_are_those_of_the_committed_records():
    folder = pathlib.Path(__file__).parents[2] / "docs" / "results"
    text = (folder / "report_minilm_l6.md").read_text(encoding="utf-8")
    trained = results.load(folder / "report_minilm_l6.jsonl")
    files = records.load(folder / "report_exports_minilm_l6.jsonl", ExportResult)

    def accuracies(found, task, name, value):
        return [
            one.metrics["accuracy"]
            for one in found
            if (one.config["task"], name(one)) == (task, value)
        ]

    def method(one):
        return one.config["pruning_method"]

    def recipe(one):
        return one.recipe

    asked = {
        "Pruning raises validation accuracy, mrpc": (trained, method, "classifier_magnitude"),
        "Pruning raises validation accuracy, cola": (trained, method, "classifier_magnitude"),
        "Quantization keeps validation accuracy, mrpc": (files, recipe, "dynamic_int8"),
        "Quantization keeps validation accuracy, sst2": (files, recipe, "dynamic_int8"),
    }
    for claim, (found, name, changed) in asked.items():
        task = claim.split()[-1]
        before = accuracies(found, task, name, "none" if name is method else "float32")
        after = accuracies(found, task, name, changed)
        assert len(before) == len(after) == 3
        (line,) = (line for line in text.splitlines() if claim in line)
        assert f"({np.mean(after) - np.mean(before):+.4f} accuracy, " in line
    answers = json.loads((folder / "report_minilm_l6_claims.json").read_text())["answers"]
    told = {one["claim"]: one for one in answers}
    for claim, key in zip(
        asked,
        ("pruning_mrpc", "pruning_cola", "quantization_mrpc", "quantization_sst2"),
        strict=True,
    ):
        one = told[f"report.{key}"]
        (line,) = (line for line in text.splitlines() if claim in line)
        assert f"{claim}: {one['verdict']}: " in line
        interval, p = re.search(r"(\(.* to .*?\)).* p ([0-9.]+)", one["numbers"]).groups()
        assert f"interval {interval.strip('()')}, 3 seeds" in line
        assert line.endswith(f"p = {p}).")
    (points,) = (one for one in answers if one["claim"] == "report.quantization_points")
    flips = [
        str(one.flips)
        for one in files
        if one.recipe == "dynamic_int8" and one.config["task"] == "mrpc"
    ]
    assert f"change {', '.join(flips)} answers" in points["numbers"]
