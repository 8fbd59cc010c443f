"""The committed facts of other people's documents, and how our tables read them."""

from __future__ import annotations

import pytest

from bert_glue_tf.data import tasks
from bert_glue_tf.studies import printed, report_plan


@pytest.mark.parametrize("name", ["report", "structured", "local_global", "survey", "tagging"])
def test_each_says_where_it_comes_from(name):
    assert len(printed.document(name)["source"]) > 40


def test_the_second_report_is_named_as_it_names_itself():
    assert printed.document("structured")["source"].startswith("Cloud Computing Final Report")


def test_the_curves_are_fractions_of_what_the_report_prints():
    unpruned, pruned = printed.curves("1")["none"], printed.curves("1")["classifier_magnitude"]
    assert [row["val_accuracy"] for row in unpruned] == pytest.approx([0.755, 0.797, 0.802])
    assert [row["val_accuracy"] for row in pruned] == pytest.approx([0.779, 0.810, 0.826])
    assert [row["loss"] for row in printed.curves("2")["none"]] == pytest.approx(
        [0.569, 0.384, 0.271]
    )
    assert [printed.task_of_curves(number) for number in "12"] == ["mrpc", "cola"]


def test_the_files_have_accuracies_sizes_and_the_printed_reduction():
    found = printed.quantization()
    assert set(found) == set(report_plan.QUANTIZED)
    assert found["mrpc"]["quantized_accuracy"] == pytest.approx(0.8529)
    assert found["sst2"]["accuracy"] == pytest.approx(0.9243)
    for row in found.values():
        assert (row["mb"], row["quantized_mb"]) == (438.000505, 181.479765)
        assert row["reduction"] == pytest.approx(0.5862)


def test_the_structures_have_a_score_on_each_of_seven_tasks():
    found = printed.structures()
    assert set(found) == {"none", "magnitude", "row", "column", "block"}
    assert all(set(scores) < set(tasks.TASKS) and len(scores) == 7 for scores in found.values())
    assert found["none"]["mrpc"] == pytest.approx(0.898)
    assert found["block"]["stsb"] == pytest.approx(0.853)
    # Its metrics are among ours.
    for task in found["none"]:
        metric = printed.metric_of(task, tasks.get(task).primary_metric)
        assert metric in tasks.get(task).metrics
    assert printed.metric_of("mrpc", "accuracy") == "f1"
    assert printed.metric_of("cola", "matthews") == "matthews"


def test_its_own_table_contradicts_its_claims_on_these_tasks():
    assert printed.irregular_is_best()[1] == ["qqp", "stsb"]
    contradicted = printed.column_best_block_worst()[1]
    assert printed.names(contradicted) == "MNLI, QQP, SST-2, STS-B, MRPC"


def test_scores_that_an_answer_without_the_text_reaches():
    always_yes = 2 * 279 / (408 + 279)  # F1 of MRPC, of whose 408 pairs 279 are paraphrases.
    found = printed.structures()
    marked = {name for name in found if not printed.is_above(found[name]["mrpc"], always_yes, 408)}
    assert marked == {"row", "column", "block"}
    assert printed.MAJORITY["mrpc"] == (pytest.approx(always_yes), 408)
    rte = printed.MAJORITY["rte"]
    assert {name for name in found if not printed.is_above(found[name]["rte"], *rte)} == marked


def test_the_shares_of_local_pruning_sum_up_to_its_sparsity():
    shares = printed.document("local_global")["authors_code"]["settings"]["local_shares"]
    assert [row["sparsity"] for row in shares] == [*(i / 10 for i in range(1, 10)), 0.95]
    for row in shares:
        assert row["largest"] + row["next"] + row["rest"] == pytest.approx(row["sparsity"])


def test_the_tasks_of_local_and_global_pruning_are_ours():
    settings = printed.document("local_global")["authors_code"]["settings"]
    ours = [name for name, task in tasks.TASKS.items() if task.file_format == "aspects"]
    assert set(ours) < set(settings["datasets"]) == set(settings["batch_size"])
    assert set(settings["matrices"]) == set(settings["taggers"])
