"""Local against global pruning, and where the zeros are, on tiny runs and on written ones."""

from __future__ import annotations

import pytest
from study_runs import TINY, N, command, finished, read, right, train, width, write

from bert_glue_tf.studies import local_global


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


def test_the_tables_fit_a_terminal(tmp_path):
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
    ("name", "argument", "told"),
    [
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
