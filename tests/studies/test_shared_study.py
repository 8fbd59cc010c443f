"""Models that share their weights beside the report's Table 2, on tiny runs and on written ones."""

from __future__ import annotations

import pytest
from messages import refuses
from slow_fixtures import slow_to_make
from study_runs import TINY, finished, right, train, write, write_sizes

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.studies import printed
from bert_glue_tf.studies.claims import Verdict
from bert_glue_tf.studies.shared import PRINTED, Shared

NAMES = ["0.75", "0.5", "0.25"]


@pytest.fixture(scope="module")
@slow_to_make
def trained(tiny_encoder, tiny_glue, tmp_path_factory):
    """The study of one tiny network, all of its runs finished, with files."""
    root = tmp_path_factory.mktemp("shared")
    given = {**TINY, "data": "tsv"}
    network = f"{tiny_encoder}/sst2={tiny_glue}"
    study = Shared([network], given, [5], NAMES)
    train(study.cells, root)
    finished(study, root)
    study.export(threads=1, repetitions=2)
    return study


def test_a_table_of_real_runs_has_a_row_for_each_model(trained):
    rows = trained.tables()["shared"].texts()
    assert [(row["training"], row["model"]) for row in rows] == [
        (training, name) for training in ("masks only", "together") for name in NAMES
    ]
    for row in rows:
        assert row["sparsity"] == f"{100 * float(row['model']):.2f}%"
        assert float(row["ms"]) > 0
        assert (row["report, accuracy"], row["seeds"]) == ("", "5")
        assert (row["difference"] == "") == (row["model"] == NAMES[-1])
    masks, together = trained.cells[1:]
    for cell, some in ((masks, rows[:3]), (together, rows[3:])):
        (record,) = trained.records_of(cell)
        assert some[-1]["ours"] == f"{record.metrics['accuracy']:.4f}"
        # The six matrices of one layer; each model alone has a bit for each place.
        account = trained.account(cell)
        assert account.prunable == record.parameters["prunable"]
        assert account.kept == tuple(round((1 - float(name)) * account.prunable) for name in NAMES)
        assert account.prunable + account.others == record.parameters["total"]
    # All start from the same trained network, and the report's has no step after it.
    assert masks.configs[0].epochs == int(TINY["finetune_epochs"])
    assert together.configs[0].starting_point.run_name == trained.cells[0].configs[0].run_name


def written(root, scores):
    """The study of one network with the right answers of its models, the densest last."""
    study = Shared(
        ["tiny/mrpc"], {"encoder": "tiny", "data": "tsv", "finetune_epochs": "2"}, [1], NAMES
    )
    write(study.cells[0], root, [right(340)])
    for cell in study.cells[1:]:
        write_sizes(cell, root, NAMES, [right(number) for number in scores])
    return finished(study, root)


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ((340, 340, 340), Verdict.HOLDS),
        ((250, 330, 340), Verdict.DOES_NOT_HOLD),
        ((334, 337, 340), Verdict.CANNOT_BE_TOLD),
    ],
)
def test_the_claim_is_answered_for_both_trainings(tmp_path, scores, verdict):
    study = written(tmp_path, scores)
    masks, together, pays = study.answers()
    assert masks.verdict is together.verdict is verdict
    assert masks.numbers.startswith("masks only, against the densest model: tiny/mrpc, 0.75: ")
    assert together.numbers.startswith("together, against")
    assert masks.encoder == "tiny"
    # 77.36 - 73.80 of its own table.
    assert "3.56 (SqNxt-23) points" in masks.numbers
    assert pays.verdict is Verdict.HOLDS
    assert "gives 4 %, and one for each of its rows 20 %" in pays.numbers
    if scores[0] < scores[-1]:
        difference = (scores[0] - scores[-1]) / 400
        assert f"0.75: {difference:+.3f}" in masks.numbers


def test_switches_rewrite_the_models_that_are_kept_apart_and_cost_energy(tmp_path):
    study = written(tmp_path, (340, 340, 340))
    (cost, other) = study.costs()
    assert cost.account == other.account
    # Three of eight weights, then two more each time, and 992 others, four bytes each.
    assert cost.account.kept == (3, 5, 7)
    assert [cost.account.alone(number) for number in range(3)] == [3981, 3989, 3997]
    rows = study.tables()["shared_switches"].texts()
    assert [row["switches"] for row in rows[:4]] == ["0", "1", "2", "5"]
    assert len({row["rewritten, shared"] for row in rows}) == 1
    assert set(study.figures()) == {"shared_energy"}


def test_the_networks_of_the_report_have_its_sparsities():
    assert set(PRINTED.values()) == set(printed.shared_networks())
    models = printed.shared("LeNet-5 / MNIST")
    assert [one.sparsity for one in models] == [0.6024, 0.405, 0.207]
    assert (models[0].accuracy, models[0].seconds) == (0.9894, 1.1)
    assert printed.shared("another") == []


@pytest.mark.parametrize(
    ("networks", "given", "named"),
    [
        (["mrpc"], {}, "--networks=mrpc"),
        ([], {}, "--networks is empty"),
        (["tiny/mrpc"], {"finetune_epochs": "0"}, "--finetune_epochs=0"),
    ],
)
def test_what_cannot_be_studied_is_refused(networks, given, named):
    settings = {"encoder": "tiny", "data": "tsv", "finetune_epochs": "2", **given}
    with refuses(UserError, named):
        Shared(networks, settings, [1], NAMES)
