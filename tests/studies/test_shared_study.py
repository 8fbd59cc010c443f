"""Models that share their weights beside the report's Table 2, on tiny runs and on written ones."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest
from absl import flags
from messages import refuses
from slow_fixtures import slow_to_make
from study_runs import TINY, command, finished, right, train, write, write_sizes

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import benchmark, launch
from bert_glue_tf.runs import command_line
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.studies import printed, shared_models
from bert_glue_tf.studies.claims import Verdict
from bert_glue_tf.studies.shared import PRINTED, Shared

CONFIGS = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("*.flags"))
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


def written(root, scores, logits=right, network="tiny/mrpc", own=0):
    """The study of one network with the right answers of its models, the densest last."""
    study = Shared([network], GIVEN, [1], NAMES)
    write(study.cells[0], root, [right(340)])
    for cell in study.cells[1:]:
        write_sizes(cell, root, NAMES, [logits(number) for number in scores], own)
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
    assert "## tiny/mrpc" in lines
    start = "- {}: Ours: encoder"
    (masks,) = (line for line in lines if line.startswith(start.format("masks only")))
    (together,) = (line for line in lines if line.startswith(start.format("together")))
    assert masks.endswith(" Scored on 400 of `validation` (accuracy).")
    assert "one_shot" in together
    assert "one_shot" not in masks
    assert "pruning_schedule" not in masks
    assert "final_sparsity" not in masks + together
    (plain,) = (line for line in lines if "| not pruned" in line)
    assert "0.8500" in plain


def test_the_report_s_contradiction_stands_where_its_table_stands(tmp_path, monkeypatch):
    monkeypatch.setitem(shared_models.PRINTED, "lenet5/mrpc", "LeNet-5 / MNIST")
    study = written(tmp_path, (340, 340, 340), network="lenet5/mrpc")
    (line,) = (line for line in study.text().splitlines() if "contradicts itself" in line)
    assert "the text gives LeNet-5 as 60.24 / 20.093 / 8.47 %, the table as" in line
    (told,) = (one.lines for one in study.sections() if one.title.startswith("lenet5/mrpc"))
    assert line == f"- {told[0]}"
    assert shared_models.contradiction("har_net/har") == ()


@pytest.mark.parametrize("sparsity", [0.0, 0.5])
def test_a_sparsity_of_zero_counts(tmp_path, sparsity):
    study = written(tmp_path, (340, 340, 340))
    row = study.rows()[-1]
    models = [dataclasses.replace(one, sparsity=sparsity) for one in row.group.models]
    group = dataclasses.replace(row.group, models=models)
    assert dataclasses.replace(row, group=group).sparsity == sparsity


def test_a_file_that_cannot_be_made_leaves_the_others_and_is_told(tmp_path, monkeypatch):
    study = written(tmp_path, (340, 340, 340))
    made, timed = [], []

    def launch_sizes(folder, size, **options):
        if size == "0.5" or folder.name == study.cells[0].configs[0].run_name:
            raise UserError(f"{folder}: {size or 'all'}: not this one")
        made.append((folder.name, size))

    monkeypatch.setattr(launch, "launch_sizes", launch_sizes)
    monkeypatch.setattr(benchmark, "measure", lambda folders, **options: timed.extend(folders))
    study.export()
    trained = [cell.configs[0].run_name for cell in study.cells[1:]]
    assert made == [(name, size) for name in trained for size in ("0.75", "0.25")]
    assert [folder.name for folder in timed] == trained
    runs = [cell.configs[0].run_name for cell in study.cells]
    told = "tiny/mrpc, {}: no file, and so no time: {}: {}: not this one"
    names = (("not pruned", "all"), ("masks only, 0.5", "0.5"), ("together, 0.5", "0.5"))
    for run, (name, size) in zip(runs, names, strict=True):
        assert told.format(name, run, size) in study.notes()
        assert told.format(name, run, size) in study.text()


def test_masks_that_cannot_be_read_are_told(tmp_path):
    study = written(tmp_path, (340, 340, 340))
    (path,) = (tmp_path / study.cells[1].configs[0].run_name).glob("sizes/masks*")
    path.write_bytes(b"cut")
    with refuses(UserError, str(path), "train"):
        study.tables()
    path.unlink()
    with refuses(UserError, str(path), "train"):
        study.costs()


def test_what_a_network_has_of_its_own_is_read_of_its_folder(tmp_path):
    study = written(tmp_path, (340, 340, 340), own=10)
    cost, _ = study.costs()
    assert (cost.account.own, cost.account.others) == (10, 992)
    shown = study.tables()["shared_bytes"].texts()[0]
    assert shown["each one's own"] == "40 B"
    rewritten = [row["rewritten, shared"] for row in study.tables()["shared_switches"].texts()]
    assert rewritten[:4] == ["0 B", "40 B", "80 B", "200 B"]
    (path,) = (tmp_path / study.cells[1].configs[0].run_name).glob("sizes/0.75/model/own*")
    path.write_bytes(b"cut")
    with refuses(UserError, str(path.parent), "train"):
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
    assert set(figures) == {"shared_energy_1"}
    assert "![tiny/mrpc](shared_energy_1.svg)" in study.text()
    # Both trainings keep the same bytes, so that one line stands for the two.
    _, names = figures["shared_energy_1"].axes[0].get_legend_handles_labels()
    assert names == ["kept apart", "shared"]


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


@pytest.mark.parametrize("network", list(PRINTED))
def test_a_small_network_is_trained_as_its_flags_of_configs_have_it(network):
    (path,) = (one for one in CONFIGS if f"--encoder={network.split('/')[0]}\n" in one.read_text())
    values = flags.FlagValues()
    command_line.define_flags(values)
    values(["train", f"--flagfile={path}"])
    documented = command_line.from_flags(values)
    study = Shared([network], {"data": documented.data}, [1], [])
    assert study.cells[0].configs == (documented,)
    _, masks, together = (cell.configs[0] for cell in study.cells)
    assert masks.unpruned == documented
    assert together.starting_point == documented
    # What a device uses was trained together for as many epochs as the recipe says.
    assert str(together.epochs) == shared_models.RECIPES[network]["epochs"]


def test_a_setting_that_is_given_goes_before_the_recipe():
    given = {"data": "tsv", "learning_rate": "0.5", "finetune_epochs": "1"}
    study = Shared(["lenet5/mnist"], given, [1], [])
    _, masks, together = (cell.configs[0] for cell in study.cells)
    assert {masks.learning_rate, together.learning_rate} == {0.5}
    assert (masks.epochs, together.finetune_epochs, together.epochs) == (1, 1, 6)
    assert together.augmentation == "shift"


def test_a_network_without_a_recipe_has_the_defaults_of_a_training():
    study = Shared(["tiny/sst2"], {"data": "tsv"}, [1], NAMES)
    together = study.cells[2].configs[0]
    assert (together.finetune_epochs, together.epochs) == (3, ExperimentConfig().epochs)
    assert together.learning_rate == ExperimentConfig().learning_rate


def test_keywords_are_scored_on_their_test_split(tmp_path):
    study = Shared(["okg_net/keywords"], {"data": "tsv"}, [1], [])
    names = [level.size for level in study.levels["okg_net/keywords"][:3]]
    labels = dict.fromkeys(("validation", "test"), np.arange(400) % 3)
    answers = {split: np.eye(3, dtype=np.float32)[one] for split, one in labels.items()}
    answers["test"] = np.roll(answers["test"], 1, axis=0)
    answers["test"][:300] = answers["validation"][:300]  # The others are wrong.
    write(study.cells[0], tmp_path, [answers], labels)
    for cell in study.cells[1:]:
        write_sizes(cell, tmp_path, names, [answers] * 3, labels=labels)
    finished(study, tmp_path)
    assert {row["ours"] for row in study.tables()["shared"].texts()} == {"0.7500"}
    lines = [line for line in study.text().splitlines() if ": Ours: encoder" in line]
    assert len(lines) == 2
    assert all(line.endswith(" Scored on 400 of `test` (accuracy).") for line in lines)


@pytest.mark.parametrize(
    ("networks", "name", "text", "named"),
    [
        (list(PRINTED), "encoder", "tiny", "--encoder=tiny: the networks have their own: lenet5"),
        (["tiny/mrpc"], "encoder", "a", "--encoder=a: the networks have their own: tiny/mrpc"),
        (["tiny/mrpc=A"], "data", "B", "--data=B: each network has data of its own: tiny/mrpc"),
        (["har_net/har"], "sparsities", "0.5,0.2", "--sparsities=0.5,0.2: the models of har_net"),
    ],
)
def test_a_flag_that_no_network_would_heed_is_refused(networks, name, text, named):
    with refuses(UserError, named):
        shared_models.refuse_ignored(networks, {name: f"--{name}={text}"})
    both = [*networks, "tiny/sst2"]
    if name != "encoder":  # Another network heeds it.
        shared_models.refuse_ignored(both, {name: f"--{name}={text}"})


def test_the_command_refuses_such_a_flag():
    done = command("reproduce_shared", "--dry_run", "--encoder=tiny")
    assert done.returncode == 2
    assert "--encoder=tiny: the networks have their own: lenet5/mnist" in done.stderr


def test_the_recipes_stand_in_the_docs():
    text = (CONFIGS[0].parents[1] / "docs" / "shared_weights.md").read_text()
    for network, own in shared_models.RECIPES.items():
        names = ("finetune_epochs", "epochs", "batch_size", "learning_rate")
        augmented = f"`{own['augmentation']}` " if "augmentation" in own else ""
        row = " | ".join([f"| `{network}`", *(own[name] for name in names), f"{augmented}|"])
        assert f"\n{row}\n" in text
