"""Local against global pruning, and where the zeros are, on tiny runs and on written ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from messages import refused
from slow_fixtures import slow_to_make
from study_runs import TINY, N, command, finished, read, right, train, width, write

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.evaluation.significance import holm
from bert_glue_tf.models import families
from bert_glue_tf.reports.verdicts import Outcome
from bert_glue_tf.studies import local_global_models, zeros
from bert_glue_tf.studies.claims import Verdict
from bert_glue_tf.studies.local_global import LocalGlobal
from bert_glue_tf.studies.local_global_answers import outcome
from bert_glue_tf.studies.local_global_grids import Way, of_tasks
from bert_glue_tf.studies.study import Study
from bert_glue_tf.sweeps import plan
from bert_glue_tf.sweeps.executors import base


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
    fractions = [0.5, 0.25, 0.0, 0.2, 0.7, 0.1, 0.3, 0.4, 0.05]
    record = dict(zip(reversed(sizes), reversed(fractions), strict=True))
    found = zeros.spread(record, sizes, families.get("bert"))
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
@slow_to_make
def studied(tiny_encoder, tiny_glue, tmp_path_factory):
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
    study = LocalGlobal(of_tasks(["sst2"], given, [0.75], [5]))
    train(study.cells, root)
    return root, given, finished(study, root)


def test_where_the_zeros_are_is_what_the_records_say(studied):
    root, _, study = studied
    (grid,) = study.grids
    found = study.zeros["sst2"]
    assert set(found) == {(r, s) for r in ("local", "global") for s in (0.75,)}
    parts = ["words", "positions", "types", "layer 1", "pooler", "classifier"]
    (run,) = grid.pruned["global", 0.75].configs
    sizes = zeros.sizes(root / run.run_name / "model")
    for (ranking, sparsity), values in found.items():
        assert list(values) == parts
        (record,) = study.records_of(grid.pruned[ranking, sparsity])
        # The sizes are those by which the run itself has counted.
        pruned = sum(round(v * sizes[name]) for name, v in record.sparsity.items())
        assert pruned == record.parameters["pruned"]
        assert sum(sizes[name] for name in record.sparsity) == record.parameters["prunable"]
        assert pruned / record.parameters["prunable"] == pytest.approx(sparsity, abs=2e-3)
        if ranking == "local":
            assert list(values.values()) == pytest.approx([sparsity] * 6, abs=0.01)
    theirs, ours = study.embeddings().texts()
    assert (theirs["model"], ours["model"]) == ("BERT-base, Figure 10", "sst2")
    of_words = sum(count for name, count in sizes.items() if "word_embeddings" in name)
    assert ours["words"] == f"{of_words:,} ({of_words / sum(sizes.values()):.4%})"
    # The embeddings of the tiny encoder are drawn narrower than its matrices.
    assert found["global", 0.75]["words"] > found["global", 0.75]["layer 1"] + 0.02


def test_the_command_writes_scores_zeros_and_figures(studied, tmp_path):
    root, given, study = studied
    (grid,) = study.grids
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
        "local_global_claims.json",
        "local_global_embeddings.csv",
        "local_global_overview.csv",
        "sst2_scores.csv",
        "sst2_zeros.csv",
        *(f"sst2_{what}.{kind}" for what in ("scores", "zeros") for kind in ("svg", "png")),
    }
    scores = read(tmp_path / "out" / "sst2_scores.csv")
    assert [row["sparsity"] for row in scores] == ["unpruned", "75 %"]
    for row, sparsity in zip(scores[1:], grid.sparsities, strict=True):
        for ranking in ("local", "global"):
            (record,) = study.records_of(grid.pruned[ranking, sparsity])
            assert row[ranking].startswith(f"{record.metrics['accuracy']:.4f}")
    rows = read(tmp_path / "out" / "sst2_zeros.csv")
    assert (rows[3]["part"], rows[3]["local 75 %"]) == ("layer 1", "75.0")
    svg = (tmp_path / "out" / "sst2_zeros.svg").read_text()
    assert svg.startswith("<svg")


def claims(tmp_path, local, global_):
    """Return the study's claims for numbers of right answers at 50 % and 90 %."""
    study = LocalGlobal(of_tasks(["mrpc"], {"encoder": "tiny", "data": "tsv"}, [0.5, 0.9], [1]))
    (grid,) = study.grids
    write(grid.unpruned, tmp_path, [right(350)])
    for sparsity, first, second in zip((0.5, 0.9), local, global_, strict=True):
        write(grid.pruned["local", sparsity], tmp_path, [right(first)])
        write(grid.pruned["global", sparsity], tmp_path, [right(second)])
    return finished(study, tmp_path).finding(grid)


@pytest.mark.parametrize(
    ("local", "global_", "verdict"),
    [
        ((340, 300), (339, 260), "holds at 1 of 2, and is contradicted at none"),
        ((300, 260), (340, 259), "does not hold: global is better at 1 of 2"),
        ((340, 260), (300, 300), "depends on the sparsity: local is better at 1 of 2, global at 1"),
        ((340, 300), (339, 301), "cannot be told: at none of 2 a difference is shown"),
    ],
)
def test_the_claim_in_words(tmp_path, local, global_, verdict):
    *lines, last = claims(tmp_path, local, global_)
    assert last == (
        f"mrpc: the claim that local is the better one {verdict}, of these models; of the "
        "methods: cannot be told: one seed."
    )
    mean = (sum(local) - sum(global_)) / 2 / N
    assert f"mean of 2 sparsities: {mean:+.3f} (" in lines[-1]
    assert sum(f"{s} %" in line for line in lines for s in (50, 90)) == 2


def test_a_ranking_that_collapses_where_the_other_does_not_is_the_worse_one(tmp_path):
    study = LocalGlobal(of_tasks(["mrpc"], {"encoder": "tiny", "data": "tsv"}, [0.5, 0.9], [1]))
    (grid,) = study.grids
    study.zeros, study.sizes = {"mrpc": {}}, {"mrpc": {}}  # Their models are not real ones.
    always = np.tile(np.float32([1, 0]), (N, 1))
    write(grid.unpruned, tmp_path, [right(350)])
    for sparsity, local in ((0.5, right(340)), (0.9, always)):
        write(grid.pruned["local", sparsity], tmp_path, [local])
        write(grid.pruned["global", sparsity], tmp_path, [always])
    first, second, *_, last = finished(study, tmp_path).finding(grid)
    assert first.startswith("mrpc: local better: 50 % +0.350")
    assert "against a COLLAPSED model" in first
    assert second.startswith("mrpc: no verdict: 90 % +0.000")
    assert "holds at 1 of 2" in last
    row = study.overview().values()[0]
    assert (row["local better at"], row["global better at"], row["of"]) == (1, 0, 2)
    assert (row["majority"], row["published"]) == (0.5, None)
    low, high = study.group(grid.unpruned).interval
    assert row["score's interval"] == (low, high)
    assert low < 350 / 400 < high
    _, at_50, at_90 = study.scores(grid).texts()
    assert (at_50["majority"], at_50["global's interval"]) == ("0.5000", "0.450 to 0.550")
    assert (at_50["better"], at_90["better"]) == ("local, p < 0.001", "cannot be told")
    assert at_50["verdict"] == "no verdict: against a COLLAPSED model"
    told = {"warnings": ("test: every prediction is 0",)}
    for name in study.run_names(grid.unpruned) + study.run_names(grid.pruned["local", 0.9]):
        study.records[name] = dataclasses.replace(study.records[name], **told)
    (marked,) = [line for line in study.notes() if "COLLAPSED" in line]
    assert marked.startswith("2 of 5 runs")
    (answer,) = study.answers()
    assert answer.verdict is Verdict.HOLDS
    assert "would be 0.000" not in answer.numbers


class Failing(base.Executor):
    """Runs none of its tasks."""

    workers = 1

    def check(self, tasks):
        pass

    def begin(self, task):
        raise UserError(f"{task.name}: no room on the disk")

    def collect(self, job):
        raise AssertionError(job)

    def stop(self, jobs):
        pass

    def close(self):
        pass


def test_a_model_of_which_every_run_failed_stands_in_the_page_of_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "check", lambda runs: None)  # There is no encoder called tiny.
    given = {"encoder": "tiny", "data": "tsv"}
    study = LocalGlobal(of_tasks(["mrpc", "rte"], given, [0.5], [1]))
    done, lost = study.grids
    study.zeros = study.sizes = {"mrpc": {}, "rte": {}}
    for one in done.cells:
        write(one, tmp_path, [right(340)])
    study.run(tmp_path, Failing())
    text = study.text()
    _, after = text.split("## rte: score against sparsity")
    assert after.splitlines()[2] == "No run of it was finished."
    assert "rte: no sparsity has both rankings, so nothing can be told." in text
    assert text.count("no room on the disk") >= len(lost.cells)
    titles = [one.title for one in study.sections()]
    assert {"mrpc", "rte"} <= set(titles)


def test_differences_at_several_sparsities_are_corrected_for_their_number(tmp_path):
    study = LocalGlobal(of_tasks(["mrpc"], {"encoder": "tiny", "data": "tsv"}, [0.5, 0.9], [1]))
    (grid,) = study.grids
    write(grid.unpruned, tmp_path, [right(350)])
    # 7 against none: McNemar p = 2 / 2^7. 30 against none: 2 / 2^30.
    for sparsity, local, global_ in ((0.5, 307, 300), (0.9, 300, 270)):
        write(grid.pruned["local", sparsity], tmp_path, [right(local)])
        write(grid.pruned["global", sparsity], tmp_path, [right(global_)])
    _, first, second = finished(study, tmp_path).scores(grid).values()
    assert first["p"] == pytest.approx(2 / 2**7)
    assert second["p"] == pytest.approx(2 * 2 / 2**30)
    # At two of the first kind, each alone below 0.05, the correction matters.
    four = Study.compare_together
    pair = (grid.pruned["local", 0.5], grid.pruned["global", 0.5])
    corrected = [one.difference for one in four(study, [pair] * 4)]
    assert [one.p for one in corrected] == pytest.approx([4 * 2 / 2**7] * 4)
    assert study.compare(*pair).difference.is_shown
    assert not any(one.is_shown for one in corrected)


def test_what_is_counted_is_corrected_too_where_some_seeds_have_collapsed(tmp_path):
    given = {"encoder": "tiny", "data": "tsv"}
    study = LocalGlobal(of_tasks(["mrpc"], given, [0.5, 0.9], [1, 2, 3]))
    (grid,) = study.grids
    always = np.tile(np.float32([1, 0]), (N, 1))
    write(grid.unpruned, tmp_path, [right(350)] * 3)
    write(grid.pruned["local", 0.5], tmp_path, [right(340), right(338), always])
    write(grid.pruned["global", 0.5], tmp_path, [always] * 3)
    write(grid.pruned["local", 0.9], tmp_path, [right(340)] * 3)
    write(grid.pruned["global", 0.9], tmp_path, [right(300)] * 3)
    found = finished(study, tmp_path).local_against_global(grid)
    # One of local's three seeds has collapsed and all of global's: that is a difference.
    assert not found[0.5].all_collapsed
    assert outcome(found[0.5]) is not Outcome.UNDEFINED
    plain = [study.compare(grid.pruned["local", s], grid.pruned["global", s]) for s in (0.5, 0.9)]
    wanted = holm([one.difference.p for one in plain])
    assert [found[s].difference.p for s in (0.5, 0.9)] == pytest.approx(list(wanted))
    assert wanted[1] > plain[1].difference.p


def test_the_tables_fit_a_terminal(tmp_path):
    study = LocalGlobal(of_tasks(["mrpc"], {"encoder": "tiny", "data": "tsv"}, [0.5], [1]))
    (grid,) = study.grids
    write(grid.unpruned, tmp_path, [right(350)])
    for one in grid.pruned.values():
        write(one, tmp_path, [right(340)])
    parts = [*(f"layer {i}" for i in range(12)), "classifier"]
    study.zeros = {
        "mrpc": {
            (ranking, tenth / 10): dict.fromkeys(parts, 0.999)
            for ranking in ("local", "global")
            for tenth in range(1, 10)
        }
    }
    study.sizes = {"mrpc": {}}
    shown = [one.table for one in finished(study, tmp_path).sections() if one.table]
    assert [len(table.rows) for table in shown] == [2, 2, 13, 13]
    assert max(map(width, shown)) <= 80


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--tasks="], ["--tasks="]),
        (["--tasks=rest16", "--ways=equal"], ["--ways=equal", "--tasks=rest16"]),
        (["--tasks=rest16", "--vectors=a.npz"], ["--vectors=a.npz", "--tasks=rest16"]),
        (["--tasks=rest16", "--encoders=made"], ["--encoders=made", "--tasks=rest16"]),
        (["--tasks=rest16", "--models=conv4"], ["--models=conv4", "--tasks=rest16"]),
    ],
)
def test_flags_of_the_studys_models_are_refused_beside_tasks(tmp_path, arguments, named):
    done = command("reproduce_local_global", *arguments, runs_dir=tmp_path / "runs")
    refused(done, *named)


def test_the_help_names_every_model_and_way():
    done = command("reproduce_local_global", "--help")
    said = " ".join(done.stdout.split())
    assert all(name in said for name in local_global_models.MODELS)
    assert all(f"{way.value} = " in said for way in Way)


@pytest.mark.parametrize(
    ("name", "argument", "named"),
    [
        ("reproduce_local_global", "--sparsities=50", "--sparsities=50"),
        ("reproduce_local_global", "--tasks=none", "--task=none"),
        ("reproduce_local_global", "--data=/none", "/none"),
        ("reproduce_local_global", "--models=conv5", "--models=conv5"),
        ("reproduce_local_global", "--ways=both", "--ways=both"),
        ("reproduce_local_global", "--pruning_scope=encoder", "--pruning_scope=encoder"),
    ],
)
def test_mistakes_are_told_before_anything_is_run(tmp_path, name, argument, named):
    done = command(name, argument, encoder="minilm_l6", runs_dir=tmp_path / "runs")
    refused(done, named)
    assert not list(tmp_path.rglob("*"))
