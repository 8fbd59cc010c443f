"""The sizes of an elastic BERT beside the same ones trained alone: benchmarks/elastic_scores.py."""

from __future__ import annotations

import importlib
import json
import pathlib

import pytest
import tiny_bert
from messages import refuses
from study_runs import TINY, finished, right, train, write, write_sizes

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs import results

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
GIVEN = {"encoder": "tiny", "data": "tsv", "task": "mrpc", "finetune_epochs": "2"}
MAJORITY = 0.5
NAMES = ["w0.5-d0.5", "w1-d0.5", "w0.5-d1", "w1-d1"]


@pytest.fixture(scope="module")
def elastic_scores():
    """The module of benchmarks/, which is no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("elastic_scores")


@pytest.fixture
def made(elastic_scores):
    return elastic_scores.ElasticScores(GIVEN, [1, 2], "0.5,1.0", "0.5,1.0")


def written(study, root, together, alone):
    """The study, whose sizes have so many right answers of 400, together and alone."""
    elastic, *others = study.cells
    write(elastic.starting_point, root, [right(340)] * 2)
    write_sizes(elastic, root, list(study.sizes), [right(number) for number in together])
    for cell, number in zip(others, alone, strict=True):
        write(cell, root, [right(number)] * 2)
    return finished(study, root)


def test_a_size_is_cut_to_the_same_shape_before_it_is_trained_alone(made):
    assert set(made.sizes) == set(NAMES)
    configs = {name: alone.configs[0] for name, (_, alone) in made.sizes.items()}
    chosen = {
        name: (one.pruning_method, one.pruning_options, one.pruning_schedule)
        for name, one in configs.items()
    }
    both = "attention_head.final_sparsity=0.5 neuron.final_sparsity=0.5"
    assert chosen["w0.5-d0.5"] == (
        "layer,attention_head,neuron",
        f"layer.final_sparsity=0.5 {both}",
        "one_shot",
    )
    assert chosen["w0.5-d1"] == ("attention_head,neuron", both, "one_shot")
    assert chosen["w1-d0.5"] == ("layer", "final_sparsity=0.5", "one_shot")
    assert chosen["w1-d1"][0] == "none"
    elastic = made.cells[0].configs[0]
    for one in configs.values():
        assert one.teacher == "start"
        assert one.starting_point == elastic.starting_point
        assert (one.epochs, one.learning_rate) == (elastic.epochs, elastic.learning_rate)


def test_a_table_says_how_far_each_size_is_from_the_same_one_alone(made, tmp_path):
    alone = [340, 340, 340, 340]
    study = written(made, tmp_path, [340, 337, 330, 350], alone)
    rows = study.tables()["elastic_scores"].texts()
    assert [row["size"] for row in rows] == list(study.sizes)
    assert [row["together"] for row in rows] == ["0.8500", "0.8425", "0.8250", "0.8750"]
    assert {row["alone"] for row in rows} == {"0.8500"}
    assert [row["difference"] for row in rows] == ["+0.0000", "-0.0075", "-0.0250", "+0.0250"]
    assert [row["within 1.0 point"] for row in rows] == ["met", "met", "missed", "met"]
    assert {(row["n"], row["seeds"]) for row in rows} == {("400", "1, 2")}
    assert all(" to " in row["95 % interval"] for row in rows)
    found, compared = study.findings()
    missed = list(study.sizes)[2]
    assert found.startswith(f"3 of 4 sizes within 1.0 point; not: {missed} -0.025 (")
    assert compared == (
        "The fine-tuned network that all start from has 0.8500. "
        f"The best answer that is always the same has {MAJORITY:.4f}."
    )
    assert {row["majority"] for row in rows} == {f"{MAJORITY:.4f}"}
    assert found in study.text()
    assert compared in study.text()


def test_sizes_that_have_learned_nothing_are_named(made, tmp_path):
    few = round(400 * MAJORITY)
    study = written(made, tmp_path, [few, 340, few + 2, 340], [few + 3, few, few, 340])
    first, _, third, _ = study.sizes
    assert study.findings()[1].endswith(
        f"no better than that, together and alone: {first}, {third}."
    )


@pytest.mark.long("half a minute, of a benchmark whose table is tested on written runs")
@pytest.mark.slow
def test_real_runs_are_networks_of_the_same_weights(elastic_scores, tmp_path, tiny_glue):
    encoder = str(tiny_bert.write_pair(tmp_path / "encoder", layers=2))
    given = {**TINY, "encoder": encoder, "task": "sst2", "data": str(tiny_glue)}
    study = elastic_scores.ElasticScores(given, [5], "0.5,1.0", "0.5,1.0")
    runs = tmp_path / "runs"
    train([study.cells[0].starting_point, *study.cells], runs)
    rows = finished(study, runs).rows()  # Which refuses networks that differ in their weights.
    assert [row.name for row in rows] == list(study.sizes)
    assert rows[0].weights == min(row.weights for row in rows)
    assert rows[-1].weights == max(row.weights for row in rows) > rows[0].weights
    for row in rows:
        difference = row.together.mean - row.alone.mean
        assert row.difference.difference.mean == pytest.approx(difference)
        assert row.bar == ("met" if difference >= -0.01 else "missed")
    assert study.text().count("\n| w") == len(rows)


def test_networks_of_other_sizes_are_not_compared(made, tmp_path):
    study = written(made, tmp_path, [340] * 4, [340] * 4)
    file = tmp_path / study.cells[1].configs[0].run_name / results.FILE_NAME
    record = json.loads(file.read_text())
    record["parameters"]["total"] += 1
    file.write_text(json.dumps(record) + "\n")
    study = finished(study, tmp_path)
    with refuses(UserError, "1,000 and 1,001 weights"):
        study.tables()


def test_it_wants_a_fine_tuned_network(elastic_scores):
    with refuses(UserError, "--finetune_epochs=0"):
        elastic_scores.ElasticScores({**GIVEN, "finetune_epochs": "0"}, [1], "0.5,1", "1")
