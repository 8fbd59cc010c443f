"""Models that share their weights beside the report's Table 2, on tiny runs and on written ones."""

from __future__ import annotations

import dataclasses

import numpy as np
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
    plain, *rows = trained.tables()["shared"].texts()
    assert (plain["training"], plain["model"], plain["sparsity"]) == ("not pruned", "0", "")
    (record,) = trained.records_of(trained.cells[0])
    assert plain["ours"] == f"{record.metrics['accuracy']:.4f}"
    assert float(plain["ms"]) > 0
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


GIVEN = {"encoder": "tiny", "data": "tsv", "finetune_epochs": "2"}


def written(root, scores, logits=right, network="tiny/mrpc"):
    """The study of one network with the right answers of its models, the densest last."""
    study = Shared([network], GIVEN, [1], NAMES)
    write(study.cells[0], root, [right(340)])
    for cell in study.cells[1:]:
        write_sizes(cell, root, NAMES, [logits(number) for number in scores])
    return finished(study, root)


def one_class(number):
    """Logits of 400 that are all of the first class, where `number` is 0, else as `right`."""
    return right(number) if number else np.tile(np.float32([1, 0]), (400, 1))


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ((0, 0, 0), Verdict.CANNOT_BE_TOLD),
        ((340, 0, 0), Verdict.CANNOT_BE_TOLD),
        ((0, 340, 340), Verdict.DOES_NOT_HOLD),
    ],
)
def test_collapsed_models_show_nothing_alike(tmp_path, scores, verdict):
    masks, together = written(tmp_path, scores, one_class).answers()
    assert masks.verdict is together.verdict is verdict


def test_what_sharing_pays_is_counted_of_lenet_and_the_report_is_not_judged(tmp_path):
    study = written(tmp_path, (340, 340, 340), network="lenet5/mrpc")
    pays = study.answers()[-1]
    assert pays.verdict is Verdict.CANNOT_BE_TOLD
    assert "Our inference" in pays.numbers
    assert "would give 4 %, and one for each of its rows 20 %" in pays.numbers
    # Eight weights of four bytes: two bits for each, and seven run lengths of five bits.
    assert "8 weights of our LeNet-5 that can be pruned, of 32 bits" in pays.numbers
    assert "6.25 % with a bitmap of 2 bytes" in pays.numbers
    assert "15.62 % with run lengths of 5 bytes" in pays.numbers


def test_the_page_has_a_line_for_each_training_and_no_sparsity_that_was_not_used(tmp_path):
    study = written(tmp_path, (340, 340, 340))
    lines = study.text().splitlines()
    (masks,) = (line for line in lines if line.startswith("- masks only: Ours: encoder"))
    (together,) = (line for line in lines if line.startswith("- together: Ours: encoder"))
    assert "one_shot" in together
    assert "one_shot" not in masks
    assert "final_sparsity" not in masks + together
    (plain,) = (line for line in lines if "| not pruned" in line)
    assert "0.8500" in plain


@pytest.mark.parametrize("sparsity", [0.0, 0.5])
def test_a_sparsity_of_zero_counts(tmp_path, sparsity):
    study = written(tmp_path, (340, 340, 340))
    row = study.rows()[-1]
    models = [dataclasses.replace(one, sparsity=sparsity) for one in row.group.models]
    group = dataclasses.replace(row.group, models=models)
    assert dataclasses.replace(row, group=group).sparsity == sparsity


def test_masks_that_cannot_be_read_are_told(tmp_path):
    study = written(tmp_path, (340, 340, 340))
    (path,) = (tmp_path / study.cells[1].configs[0].run_name).glob("sizes/masks*")
    path.write_bytes(b"cut")
    with refuses(UserError, str(path), "train"):
        study.tables()
    path.unlink()
    with refuses(UserError, str(path), "train"):
        study.costs()


@pytest.mark.parametrize(
    ("sparsities", "named"),
    [
        (["0.5", "half"], "--sparsities=0.5,half: 'half' is no number"),
        ([], "--sparsities is empty"),
        (["0.5"], "--sparsities=0.5: one network"),
        (["0.2", "0.6"], "0.6 stands behind 0.2"),
    ],
)
def test_sparsities_that_are_none_are_refused(sparsities, named):
    with refuses(UserError, named):
        Shared(["tiny/mrpc"], GIVEN, [1], sparsities)


def test_models_are_called_as_the_method_calls_them():
    study = Shared(["tiny/mrpc"], GIVEN, [1], ["0.50", ".25"])
    assert [level.size for level in study.levels["tiny/mrpc"]] == ["0.5", "0.25"] * 2


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
    masks, together = study.answers()  # Nothing of LeNet-5, which was not run.
    assert masks.verdict is together.verdict is verdict
    assert masks.numbers.startswith("masks only, against the densest model: tiny/mrpc, 0.75: ")
    assert together.numbers.startswith("together, against")
    assert masks.encoder == "tiny"
    # 77.36 - 73.80 of its own table.
    assert "3.56 (SqNxt-23) points" in masks.numbers
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
    assert {row["rewritten, shared"] for row in rows} == {"0 B"}
    figures = study.figures()
    assert set(figures) == {"shared_energy"}
    # Both trainings keep the same bytes, so that one line stands for the two.
    _, names = figures["shared_energy"].axes[0].get_legend_handles_labels()
    assert names == [f"{cost.network}, kept apart", f"{cost.network}, shared"]


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
        (["tiny/mrpc=A", "tiny/mrpc=B"], {}, "--networks=tiny/mrpc=B: tiny/mrpc stands there"),
        (["tiny/mrpc"], {"finetune_epochs": "0"}, "--finetune_epochs=0"),
    ],
)
def test_what_cannot_be_studied_is_refused(networks, given, named):
    settings = {"encoder": "tiny", "data": "tsv", "finetune_epochs": "2", **given}
    with refuses(UserError, named):
        Shared(networks, settings, [1], NAMES)
