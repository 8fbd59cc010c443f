"""Magnitude, row, column and block pruning at one ratio, on tiny runs and on written ones."""

from __future__ import annotations

import shutil

import pytest
from messages import refused, refuses
from slow_fixtures import slow_to_make
from study_runs import TINY, command, finished, read, right, train, width, write

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.studies.claims import Verdict
from bert_glue_tf.studies.structured import Structured

# --- structured pruning: the real path ---


@pytest.fixture(scope="module")
@slow_to_make
def trained(tiny_encoder, tiny_glue, tmp_path_factory):
    """Table 1 of a tiny encoder, all of its runs finished."""
    root = tmp_path_factory.mktemp("structured")
    given = {**TINY, "encoder": tiny_encoder, "data": str(tiny_glue), "final_sparsity": "0.25"}
    study = Structured(["sst2"], given, [5], block="4x4", sst2_examples=120)
    train(study.cells, root)
    return root, given, study


def test_a_table_of_real_runs_says_what_the_records_say(trained):
    root, _, study = trained
    rows = finished(study, root).tables()["structured"].texts()
    assert [row["model"] for row in rows] == [
        "unpruned",
        "fine-tuned only",
        "magnitude",
        "row",
        "column",
        "block",
        "always one answer",
    ]
    for row, cell in zip([rows[0], *rows[2:-1]], study.cells, strict=True):
        (record,) = study.records_of(cell)
        assert row["ours"] == f"{record.metrics['accuracy']:.4f}"
        assert record.data["train"]["examples"] == 120
        if cell.label == "unpruned":
            assert (row["difference"], row["sparsity"]) == ("", "")
        else:
            assert row["sparsity"] == "25.00%"
            assert set(record.sparsity.values()) == {0.25}
            assert len(record.sparsity) == 6  # The matrices of its one layer.
            base = study.records_of(study.cells[0])[0].metrics["accuracy"]
            assert float(row["difference"]) == pytest.approx(
                record.metrics["accuracy"] - base, abs=5e-5
            )
    (config,) = study.cells[1].configs
    assert (
        rows[1]["ours"]
        == f"{study.records[config.starting_point.run_name].metrics['accuracy']:.4f}"
    )
    assert config.pruning_schedule == "one_shot"
    assert study.cells[4].configs[0].pruning_options == "block=4x4"
    # All start from the same fine-tuned model, the unpruned one too.
    assert len({one.starting_point.run_name for c in study.cells for one in c.configs}) == 1


def test_the_command_runs_what_is_missing_and_writes_the_tables(trained, tmp_path):
    root, given, study = trained
    missing = study.cells[2].configs[0].run_name
    shutil.rmtree(root / missing)
    arguments = {**given, "tasks": "sst2", "seeds": "5", "block": "4x4", "early_stopping": "0"}
    done = command(
        "reproduce_structured",
        sst2_train_examples=120,
        runs_dir=root,
        output=tmp_path / "out",
        **arguments,
    )
    assert done.returncode == 0, done.stderr
    assert (root / missing / "results.jsonl").is_file()
    assert "sst2: the report's ranking (magnitude, block, column, row)" in done.stdout
    rows = read(tmp_path / "out" / "structured.csv")
    assert rows == finished(study, root).tables()["structured"].texts()
    text = (tmp_path / "out" / "structured.md").read_text()
    assert "sst2: trained on 120 of its 160 examples, scored on 60 (accuracy)." in text
    assert "| unpruned | accuracy | 0.927 |" in text
    assert "Each model trains on for 2 epochs" in text  # As --early_stopping=0 says.
    assert "| always one answer | accuracy |" in text
    # Of the whole table, RTE's scores that are not above the majority class of its 277 pairs.
    (rte,) = (line for line in text.splitlines() if line.startswith("| block | 0.788 |"))
    assert rte.endswith("| 0.792 (*) | 0.531 (*) |")
    # As the report has it, above a BERT-base of its own.
    (devlin,) = (line for line in text.splitlines() if line.startswith("| BERT-base, Devlin"))
    assert devlin.startswith("| BERT-base, Devlin et al. 2019 | 0.846 | 0.912 |")
    assert (tmp_path / "out" / "structured_claims.json").exists()


# --- structured pruning: words ---

WRITTEN = {"encoder": "tiny", "data": "tsv", "finetune_epochs": "3"}


def written(root, scores, seeds=(1,), theirs=None):
    """A study of MRPC with a number of right answers for each model and seed.

    As many wrong answers are yes as no, so that F1 is the accuracy.
    """
    study = Structured(["mrpc"], WRITTEN, seeds, block="16x16", sst2_examples=0)
    if theirs is not None:
        study._theirs = {name: {} for name in study._theirs}
        study._theirs |= {name: {"mrpc": value} for name, value in theirs.items()}
    for cell in study.cells:
        write(cell, root, [right(number) for number in scores[cell.label]])
    write(study.cells[0].starting_point, root, [right(300) for _ in seeds])
    return finished(study, root)


SCORES = {"unpruned": [340], "magnitude": [338], "row": [300], "column": [298], "block": [336]}


def test_the_ranking_without_the_reports(tmp_path):
    study = written(tmp_path, SCORES, theirs={})
    first, apart, noise, verdict = study.findings()
    assert first == (
        "mrpc: ours, best first: magnitude 0.8450, block 0.8400, row 0.7500, column 0.7450."
    )
    pairs = [part.split(" +")[0] for part in apart.split(": shown to differ: ")[1].split("; ")]
    assert pairs == [
        "magnitude over row",
        "magnitude over column",
        "block over row",
        "block over column",
        "of the methods: cannot be told: one seed.",
    ]
    assert "magnitude and block +0.005 (" in noise
    assert "row and column +0.005 (" in noise
    assert verdict == ("mrpc: the report has no such task, so its ranking is not asked for here.")


def test_the_tables_fit_a_terminal(tmp_path):
    study = written(tmp_path, SCORES)
    shown = [one.table for one in study.sections() if one.table]
    assert [table.heads[1] for table in shown] == ["report", "sparsity"]
    assert all(width(table) <= 80 for table in shown)


# --- until the training loss stands still ---

STANDS_STILL = {
    **WRITTEN,
    "epochs": "8",
    "early_stopping": "2",
    "early_stopping_loss": "training",
    "early_stopping_threshold": "0.01",
}


def test_it_says_after_how_many_epochs_each_run_has_stopped(tmp_path):
    study = Structured(["mrpc"], STANDS_STILL, [1, 2], block="16x16", sst2_examples=0)
    for cell in study.cells:
        write(cell, tmp_path, [right(300), right(310)])
        for one, epochs in zip(cell.configs, (3, 5), strict=True):
            rows = "".join(f"{epoch},0.5\n" for epoch in range(1, epochs + 1))
            (tmp_path / one.run_name / "history.csv").write_text(f"epoch,loss\n{rows}")
    write(study.cells[0].starting_point, tmp_path, [right(300)] * 2)
    study = finished(study, tmp_path)
    rows = {row["model"]: row for row in study.tables()["structured"].texts()}
    assert [rows[name]["epochs"] for name in ("unpruned", "row")] == ["3, 5", "3, 5"]
    assert rows["row"]["loss, last epoch"] == "+0.0%"
    rule = (
        "Each model trains on until its training loss stands still, as the report's: until 2 "
        "epochs have not brought it more than 1 % below the one that it had last fallen to, and "
        "for 8 epochs at most"
    )
    assert rule in study.text()
    # Three epochs of fine-tuning are never cut short by two that stand still.
    (start, _) = study.cells[0].starting_point.configs
    assert (start.epochs, start.early_stopping) == (3, 2)


def test_without_early_stopping_it_says_for_how_many_epochs_all_have_trained(tmp_path):
    assert "Each model trains on for 3 epochs, the report's until the loss stands still." in (
        written(tmp_path, SCORES).text()
    )


@pytest.mark.parametrize(
    ("theirs", "verdict"),
    [
        (
            {"magnitude": 0.9, "row": 0.8},
            "(magnitude, row) holds. confirmed: magnitude over row",
        ),
        ({"magnitude": 0.8, "row": 0.9}, "(row, magnitude) does not hold. contradicted: row over"),
        (
            {"magnitude": 0.9, "block": 0.88, "row": 0.8},
            "(magnitude, block, row) is not contradicted. confirmed: magnitude over row",
        ),
        (
            {"magnitude": 0.9, "block": 0.9},
            "(magnitude, block) holds. It tells none of them apart.",
        ),
    ],
)
def test_the_reports_ranking(tmp_path, theirs, verdict):
    study = written(tmp_path, SCORES, theirs=theirs)
    told = study.findings()[-1]
    assert told.startswith(f"mrpc: the report's ranking {verdict}")
    (row,) = [row for row in study.tables()["structured"].texts() if row["model"] == "magnitude"]
    assert row["report"] == f"{theirs['magnitude']:.3f}"


def test_the_metric_is_the_reports_and_a_score_of_yes_to_all_is_marked(tmp_path):
    study = written(tmp_path, SCORES)
    rows = {row["model"]: row for row in study.tables()["structured"].texts()}
    assert {row["metric"] for row in rows.values()} == {"f1"}
    # Of 400 written answers half are yes: always yes has an F1 of 2/3, and 0.716 is above it by
    # more than the noise of 400 examples.
    assert rows["always one answer"]["ours"] == "0.6667"
    assert [rows[name]["report"] for name in ("unpruned", "block")] == ["0.898", "0.792"]
    low = written(tmp_path / "low", SCORES, theirs={"row": 0.71, "column": 0.72})
    rows = {row["model"]: row for row in low.tables()["structured"].texts()}
    assert (rows["row"]["report"], rows["column"]["report"]) == ("0.710 (*)", "0.720")


def test_folders_of_ones_own_are_tasks_beside_the_reports_scores():
    study = Structured(
        ["mrpc"],
        {**WRITTEN, "data": "/glue"},
        [1],
        block="16x16",
        sst2_examples=0,
        own_data=["/own/mnli_9k"],
    )
    assert list(study.by_task) == ["mrpc", "mnli_9k"]
    datas = {one.configs[0].data for one in study.by_task["mnli_9k"]}
    assert datas == {"/own/mnli_9k"}
    assert {one.configs[0].data for one in study.by_task["mrpc"]} == {"/glue"}
    assert study.metric("mnli_9k") == "accuracy"
    assert study._published("block", "mnli_9k") == pytest.approx(0.788)


@pytest.mark.parametrize("folders", [["/own/letters"], ["/own/mnli"], ["/a/qqp_9k", "/b/qqp_9k"]])
def test_folders_that_name_no_task_are_refused(folders):
    with refuses(UserError, f"--own_data={folders[-1]}"):
        Structured([], WRITTEN, [1], block="16x16", sst2_examples=0, own_data=folders)


def test_the_answers_to_its_claims(tmp_path):
    irregular, columns, works = written(tmp_path, SCORES).answers()
    # Shown against rows and columns, not against blocks.
    assert irregular.verdict is Verdict.CANNOT_BE_TOLD
    assert irregular.numbers.startswith("shown: mrpc: magnitude over row")
    assert irregular.numbers.endswith("Its own table contradicts it on QQP, STS-B")
    assert (irregular.examples, irregular.seeds) == (400, 1)
    assert works.claim == "structured.mrpc"
    assert "Ours: row 0.750 (0.7" in works.numbers
    assert works.numbers.endswith("always one answer 0.667")
    # The blocks are better than the rows.
    assert columns.verdict is Verdict.DOES_NOT_HOLD
    assert "the other way round: mrpc: row over block -0.090" in columns.numbers


def test_seeds_have_a_mean_and_a_range(tmp_path):
    scores = {name: [number, number - 8] for name, (number,) in SCORES.items()}
    study = written(tmp_path, scores, seeds=(1, 2))
    row = study.tables()["structured"].texts()[3]
    assert (row["model"], row["ours"], row["range"]) == ("row", "0.7400", "0.730 to 0.750")
    assert (row["difference"], row["p"]) == ("-0.1000", "0.003")  # 5 times 1 of 2,000, rounded.
    assert row["verdict"] == "these models of two seeds: worse"


@pytest.mark.parametrize(
    ("name", "argument", "named"),
    [
        ("reproduce_structured", "--tasks=mrpc,rest16", "--tasks=mrpc,rest16"),
        ("reproduce_structured", "--finetune_epochs=0", "--finetune_epochs=0"),
        ("reproduce_structured", "--seeds=a", "--seeds=a"),
        ("reproduce_structured", "--sst2_train_examples=-1", "--sst2_train_examples=-1"),
    ],
)
def test_mistakes_are_told_before_anything_is_run(tmp_path, name, argument, named):
    done = command(name, argument, encoder="minilm_l6", runs_dir=tmp_path / "runs")
    refused(done, named)
    assert not list(tmp_path.rglob("*"))
