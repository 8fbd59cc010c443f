"""The studies: structured pruning, and local against global, on tiny runs and on written ones."""

from __future__ import annotations

import csv
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from written_runs import write_run, wrong_at

from bert_glue_tf import experiment, local_global, structured, studying
from bert_glue_tf.run_folder import RunFolder

N = 400
LABELS = np.arange(N) % 2
TINY = {
    "epochs": "2",
    "finetune_epochs": "6",
    "batch_size": "8",
    "learning_rate": "0.01",
    "weight_decay": "0.0",
    "dropout": "0.0",
    "seq_length": "16",
}


def right(number):
    """Logits of which the first `number` of 400 are right and the others wrong."""
    return wrong_at(LABELS, range(number, N))


def train(cells, root):
    """Every run of the cells, and those they start from, in this process: no sweep is as quick."""
    for one in dict.fromkeys(config for cell in cells for config in cell.configs):
        experiment.train_and_evaluate(one, RunFolder.open(root / one.run_name, one))


def write(cell, root, logits):
    """Writes what the sweep would have left for a cell: logits for each of its seeds."""
    for one, answers in zip(cell.configs, logits, strict=True):
        settings = {k: v for k, v in one.to_json().items() if k != "data"}
        write_run(root / one.run_name, LABELS, answers, source=one.data, **settings)


def finished(cells, root):
    """A study whose runs are there; nothing is left to be run."""
    study = studying.Study(cells, root)
    study.run()
    return study


def read(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def command(name, *arguments, **settings):
    flags = [f"--{key}={value}" for key, value in settings.items()]
    return subprocess.run(
        [sys.executable, "-m", f"bert_glue_tf.{name}", *flags, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )


# --- structured pruning: the real path ---


@pytest.fixture(scope="module")
def trained(tiny_encoder, tiny_glue, tmp_path_factory):
    """Table 1 of a tiny encoder, all of its runs finished."""
    root = tmp_path_factory.mktemp("structured")
    given = {**TINY, "encoder": tiny_encoder, "data": str(tiny_glue), "final_sparsity": "0.25"}
    table = structured.cells(["sst2"], given, [5], block="4x4", sst2_examples=120)
    train(table["sst2"], root)
    return root, given, table


def test_a_table_of_real_runs_says_what_the_records_say(trained):
    root, _, table = trained
    study = finished(table["sst2"], root)
    rows = structured.rows(study, table)
    assert [row["model"] for row in rows] == [
        "unpruned",
        "fine-tuned only",
        "irregular",
        "row",
        "column",
        "block",
    ]
    for row, cell in zip([rows[0], *rows[2:]], table["sst2"], strict=True):
        (record,) = study.record_of(cell)
        assert row["ours"] == f"{record.metrics['accuracy']:.4f}"
        assert record.data["train"]["examples"] == 120
        if cell.label == "unpruned":
            assert (row["difference"], row["sparsity"]) == ("", "")
        else:
            assert row["sparsity"] == "25.00%"
            assert set(record.sparsity.values()) == {0.25}
            assert len(record.sparsity) == 6  # The matrices of its one layer.
            base = study.record_of(table["sst2"][0])[0].metrics["accuracy"]
            assert float(row["difference"]) == pytest.approx(
                record.metrics["accuracy"] - base, abs=5e-5
            )
    (config,) = table["sst2"][1].configs
    assert (
        rows[1]["ours"]
        == f"{study.records[config.starting_point.run_name].metrics['accuracy']:.4f}"
    )
    assert config.pruning_schedule == "one_shot"
    assert table["sst2"][4].configs[0].pruning_options == "block=4x4"
    # All start from the same fine-tuned model, the unpruned one too.
    assert len({one.starting_point.run_name for c in table["sst2"] for one in c.configs}) == 1


def test_the_command_runs_what_is_missing_and_writes_the_tables(trained, tmp_path):
    root, given, table = trained
    missing = table["sst2"][2].configs[0].run_name
    shutil.rmtree(root / missing)
    arguments = {**given, "tasks": "sst2", "seeds": "5", "block": "4x4"}
    done = command(
        "reproduce_structured",
        sst2_train_examples=120,
        runs_dir=root,
        output=tmp_path / "out",
        **arguments,
    )
    assert done.returncode == 0, done.stderr
    assert (root / missing / "results.jsonl").is_file()
    assert "the paper's ranking is not at hand" in done.stdout
    rows = read(tmp_path / "out" / "structured.csv")
    assert rows == structured.rows(finished(table["sst2"], root), table)
    text = (tmp_path / "out" / "structured.md").read_text()
    assert "sst2: trained on 120 of its 160 examples, scored on 60 (accuracy)." in text
    assert text.count("| not at hand |") == 5


# --- structured pruning: words ---

WRITTEN = {"encoder": "tiny", "data": "tsv", "finetune_epochs": "3"}


def written(root, scores, seeds=(1,)):
    """A study of MRPC with a number of right answers for each model and seed."""
    table = structured.cells(["mrpc"], WRITTEN, seeds, block="16x16", sst2_examples=0)
    for cell in table["mrpc"]:
        write(cell, root, [right(number) for number in scores[cell.label]])
    start = table["mrpc"][0].starting_point
    write(start, root, [right(300) for _ in seeds])
    return finished([*table["mrpc"]], root), table


SCORES = {"unpruned": [340], "irregular": [338], "row": [300], "column": [298], "block": [336]}


def test_the_ranking_without_the_papers(tmp_path):
    study, table = written(tmp_path, SCORES)
    first, apart, noise, verdict = structured.ranking(study, table["mrpc"])
    assert first == (
        "mrpc: ours, best first: irregular 0.8450, block 0.8400, row 0.7500, column 0.7450."
    )
    pairs = [part.split(" +")[0] for part in apart.split(": beyond noise: ")[1].split("; ")]
    assert pairs == [
        "irregular over row",
        "irregular over column",
        "block over row",
        "block over column",
    ]
    assert "irregular and block +0.005 (" in noise
    assert "row and column +0.005 (" in noise
    assert verdict == (
        "mrpc: the paper's ranking is not at hand, so it is neither confirmed nor contradicted."
    )


def width(rows):
    """Of a table that `reporting.print_rows` prints, where no cell is folded."""
    heads = [head for head in rows[0] if any(row[head] for row in rows)]
    return sum(max(len(head), *(len(row[head]) for row in rows)) + 2 for head in heads)


def test_tables_for_the_terminal_fit_it(tmp_path):
    study, table = written(tmp_path / "a", SCORES)
    assert width(structured.compact(structured.rows(study, table))) <= 100
    grid = local_global.Grid("mrpc", {"encoder": "tiny", "data": "tsv"}, [0.5], [1])
    write(grid.unpruned, tmp_path, [right(350)])
    for one in grid.pruned.values():
        write(one, tmp_path, [right(340)])
    rows = local_global.score_rows(finished(grid.cells, tmp_path), grid)
    assert width(local_global.compact(rows)) <= 80
    parts = [*(f"layer {i}" for i in range(12)), "classifier"]
    spread = {
        (ranking, tenth / 10): dict.fromkeys(parts, 0.999)
        for ranking in ("local", "global")
        for tenth in range(1, 10)
    }
    local, global_ = local_global.compact_spread(spread).values()
    assert [len(local), len(global_)] == [13, 13]
    assert max(width(local), width(global_)) <= 80


@pytest.mark.parametrize(
    ("theirs", "verdict"),
    [
        ({"irregular": 90, "row": 80}, "(irregular, row) holds. confirmed: irregular over row +0"),
        ({"irregular": 80, "row": 90}, "(row, irregular) does not hold. contradicted: row over"),
        (
            {"irregular": 90, "block": 88, "row": 80},
            "(irregular, block, row) is not contradicted. confirmed: irregular over row",
        ),
        ({"irregular": 90, "block": 90}, "(irregular, block) holds. It tells none of them apart."),
    ],
)
def test_the_papers_ranking_where_it_is_known(tmp_path, monkeypatch, theirs, verdict):
    paper = structured.published()
    for method, value in theirs.items():
        paper["tables"]["1"][method] = {"mrpc": value}
    monkeypatch.setattr(structured, "published", lambda: paper)
    study, table = written(tmp_path, SCORES)
    told = structured.ranking(study, table["mrpc"])[-1]
    assert told.startswith(f"mrpc: the paper's ranking {verdict}")
    (row,) = [row for row in structured.rows(study, table) if row["model"] == "irregular"]
    assert row["paper"] == f"{theirs['irregular']}"


def test_seeds_have_a_mean_and_a_range(tmp_path):
    scores = {name: [number, number - 8] for name, (number,) in SCORES.items()}
    study, table = written(tmp_path, scores, seeds=(1, 2))
    row = structured.rows(study, table)[3]
    assert (row["model"], row["ours"], row["range"]) == ("row", "0.7400", "0.730 to 0.750")
    assert (row["difference"], row["verdict"]) == ("-0.1000", "worse")
    assert row["McNemar p"] == "0.000, 0.000"


@pytest.mark.parametrize(
    ("name", "argument", "told"),
    [
        ("reproduce_structured", "--tasks=mrpc,rest16", "--tasks=mrpc,rest16: give some of cola"),
        ("reproduce_structured", "--finetune_epochs=0", "--finetune_epochs=0: the study prunes"),
        ("reproduce_structured", "--seeds=a", "--seeds=a: give whole numbers"),
        ("reproduce_structured", "--sst2_train_examples=-1", "--sst2_train_examples=-1: must be"),
        ("reproduce_local_global", "--sparsities=50", "--sparsities=50: give numbers above 0"),
        ("reproduce_local_global", "--tasks=none", "--task=none: no such task. Good values"),
        ("reproduce_local_global", "--data=/none", "/none: no such folder"),
    ],
)
def test_mistakes_are_told_before_anything_is_run(tmp_path, name, argument, told):
    done = command(name, argument, encoder="minilm_l6", runs_dir=tmp_path / "runs")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert told in done.stderr
    assert not list(tmp_path.rglob("*"))


# --- local against global ---


def test_the_spread_over_the_layers_is_weighted_by_size():
    sizes = {
        "word_embeddings/embeddings": 1000,
        "position_embedding/embeddings": 100,
        "type_embeddings/embeddings": 20,
        "transformer/layer_0/self_attention/query/kernel": 100,
        "transformer/layer_0/output/kernel": 400,
        "transformer/layer_10/intermediate/kernel": 400,
        "transformer/layer_2/intermediate/kernel": 400,
        "pooler_transform/kernel": 100,
        "classifier/kernel": 20,
    }
    zeros = [0.5, 0.25, 0.0, 0.2, 0.7, 0.1, 0.3, 0.4, 0.05]
    found = local_global.spread(dict(zip(reversed(sizes), reversed(zeros), strict=True)), sizes)
    assert list(found) == [
        "words",
        "positions",
        "types",
        "layer 1",
        "layer 3",
        "layer 11",
        "pooler",
        "classifier",
    ]
    # Layer 1: (0.2 * 100 + 0.7 * 400) / 500.
    values = [0.5, 0.25, 0.0, 0.6, 0.3, 0.1, 0.4, 0.05]
    assert list(found.values()) == pytest.approx(values)


@pytest.fixture(scope="module")
def study(tiny_encoder, tiny_glue, tmp_path_factory):
    """Local and global at one sparsity, everything in scope, all runs finished."""
    root = tmp_path_factory.mktemp("local_global")
    given = {
        **TINY,
        "epochs": "3",
        "finetune_epochs": "0",
        "encoder": tiny_encoder,
        "data": str(tiny_glue),
        "pruning_scope": "all",
        "pruning_schedule": "gradual",
    }
    grid = local_global.Grid("sst2", given, [0.75], [5])
    train(grid.cells, root)
    return root, given, grid


def test_where_the_zeros_are_is_what_the_records_say(study):
    root, _, grid = study
    done = finished(grid.cells, root)
    found = local_global.spreads(done, grid)
    assert set(found) == {(r, s) for r in ("local", "global") for s in (0.75,)}
    parts = ["words", "positions", "types", "layer 1", "pooler", "classifier"]
    (run,) = grid.pruned["global", 0.75].configs
    sizes = local_global.sizes(root / run.run_name / "model")
    for (ranking, sparsity), values in found.items():
        assert list(values) == parts
        (record,) = done.record_of(grid.pruned[ranking, sparsity])
        # The sizes are those by which the run itself has counted.
        pruned = sum(round(v * sizes[name]) for name, v in record.sparsity.items())
        assert pruned == record.parameters["pruned"]
        assert sum(sizes[name] for name in record.sparsity) == record.parameters["prunable"]
        assert pruned / record.parameters["prunable"] == pytest.approx(sparsity, abs=2e-3)
        if ranking == "local":
            assert list(values.values()) == pytest.approx([sparsity] * 6, abs=0.01)
    # The embeddings of the tiny encoder are drawn narrower than its matrices.
    assert found["global", 0.75]["words"] > found["global", 0.75]["layer 1"] + 0.02


def test_the_command_writes_scores_zeros_and_figures(study, tmp_path):
    root, given, grid = study
    done = command(
        "reproduce_local_global",
        tasks="sst2",
        sparsities="0.75",
        seeds="5",
        runs_dir=root,
        output=tmp_path / "out",
        **given,
    )
    assert done.returncode == 0, done.stderr
    assert "The study's claim: local pruning is more effective than global" in done.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "local_global.md",
        "sst2_scores.csv",
        "sst2_zeros.csv",
        *(f"sst2_{what}.{kind}" for what in ("scores", "zeros") for kind in ("svg", "png")),
    }
    scores = read(tmp_path / "out" / "sst2_scores.csv")
    assert [row["sparsity"] for row in scores] == ["unpruned", "75 %"]
    finished_study = finished(grid.cells, root)
    for row, sparsity in zip(scores[1:], grid.sparsities, strict=True):
        for ranking in ("local", "global"):
            (record,) = finished_study.record_of(grid.pruned[ranking, sparsity])
            assert row[ranking].startswith(f"{record.metrics['accuracy']:.4f}")
    zeros = read(tmp_path / "out" / "sst2_zeros.csv")
    assert (zeros[3]["part"], zeros[3]["local 75 %"]) == ("layer 1", "75.0")
    svg = (tmp_path / "out" / "sst2_zeros.svg").read_text()
    assert svg.startswith("<svg")


def claims(tmp_path, local, global_):
    """What is said of numbers of right answers at 50 % and 90 %."""
    grid = local_global.Grid("mrpc", {"encoder": "tiny", "data": "tsv"}, [0.5, 0.9], [1])
    write(grid.unpruned, tmp_path, [right(350)])
    for sparsity, first, second in zip((0.5, 0.9), local, global_, strict=True):
        write(grid.pruned["local", sparsity], tmp_path, [right(first)])
        write(grid.pruned["global", sparsity], tmp_path, [right(second)])
    return local_global.finding(finished(grid.cells, tmp_path), grid)


@pytest.mark.parametrize(
    ("local", "global_", "verdict"),
    [
        ((340, 300), (339, 260), "holds at 1 of 2, and is contradicted at none"),
        ((300, 260), (340, 259), "does not hold: global is better at 1 of 2"),
        ((340, 260), (300, 300), "depends on the sparsity: local is better at 1 of 2, global at 1"),
        ((340, 300), (339, 301), "cannot be told: at all 2 the two are within noise"),
    ],
)
def test_the_claim_in_words(tmp_path, local, global_, verdict):
    *lines, last = claims(tmp_path, local, global_)
    assert last == f"mrpc: the claim that local is the better one {verdict}."
    mean = (sum(local) - sum(global_)) / 2 / N
    assert f"mean of 2 sparsities: {mean:+.3f} (" in lines[-1]
    assert sum(f"{s} %" in line for line in lines for s in (50, 90)) == 2
