"""Names of models: every setting in which the compared ones differ, and nothing else."""

from __future__ import annotations

import itertools

import pytest
from report_runs import LABELS, changed, read, right
from written_runs import write_export, write_run

from bert_glue_tf.reports import files, rows, terminal
from bert_glue_tf.reports.groups import group


@pytest.fixture
def named(tmp_path):
    """Names of the groups of runs with these settings, in the order of the runs."""

    def names(*settings):
        for number, given in enumerate(settings):
            write_run(tmp_path / f"{number:02}", LABELS, right(300), **given)
        return [one.name for one in group(read(*sorted(tmp_path.iterdir())))]

    return names


HALF = {"pruning_method": "magnitude", "final_sparsity": 0.5}


def test_the_only_models_are_named_by_their_pruning_alone(named):
    assert named({}, {"pruning_method": "magnitude"}) == [
        "no pruning",
        "pruned: magnitude 80 %",
    ]


@pytest.mark.parametrize(
    ("setting", "first", "second"),
    [
        ("ranking", "local", "global"),
        ("pruning_schedule", "gradual", "one_shot"),
        ("pruning_scope", "encoder", "all"),
        ("pruning_weights", "", "query"),
        ("begin_step", -1, 3),
    ],
)
def test_a_setting_of_the_pruning_tells_two_models_apart(named, setting, first, second):
    found = named({}, {**HALF, setting: first}, {**HALF, setting: second})
    short = setting.removeprefix("pruning_")
    assert found == [
        "no pruning",  # For which it decides nothing.
        f"pruned: magnitude 50 %, {short}={first}",
        f"pruned: magnitude 50 %, {short}={second}",
    ]


def test_what_most_of_many_models_share_is_told_once(tmp_path, capsys):
    usual = {"epochs": 2, "learning_rate": 5e-5}
    settings = [usual | {"final_sparsity": one} for one in (0.5, 0.6, 0.7)]
    settings = [one | {"pruning_method": "magnitude"} for one in settings]
    settings += [usual, {"epochs": 7, "learning_rate": 5e-5}, {**usual, "learning_rate": 1e-4}]
    for number, given in enumerate(settings):
        write_run(tmp_path / f"{number:02}", LABELS, right(300), **given)
    found = group(read(*sorted(tmp_path.iterdir())))
    assert [one.name for one in found] == [
        "no pruning",
        "no pruning, epochs=7",
        "no pruning, learning_rate=0.0001",
        "pruned: magnitude 50 %",
        "pruned: magnitude 60 %",
        "pruned: magnitude 70 %",
    ]
    note = "Where a name says nothing else: epochs=2, learning_rate=5e-05."
    terminal.print_rows("Models", rows.groups(found))
    assert note in capsys.readouterr().out
    page = files.write(tmp_path / "comparison", found, [], 0.01)
    assert note in page.read_text()
    assert note in (page.parent / "comparison.md").read_text()
    assert rows.groups(found[:2]).notes == (note,)  # Some of them are called as all are.
    few = group([model for one in found[1:] for model in one.models])  # Five say it all.
    assert rows.groups(few).notes == ()
    assert few[0].name == "no pruning, epochs=7, learning_rate=5e-05"
    assert few[-1].name == "pruned: magnitude 70 %, epochs=2, learning_rate=5e-05"


def test_each_subject_has_its_own_usual_settings(tmp_path):
    for task, data in (("sst2", "tsv"), ("mrpc", "tsv"), ("mrpc", "sample")):
        for number, epochs in enumerate((2, 2, 2, 2, 3, 3)):
            given = {"task": task, "epochs": epochs, "warmup_fraction": number / 10}
            write_run(tmp_path / f"{task}{data}{number}", LABELS, right(200), source=data, **given)
    found = rows.groups(group(read(*sorted(tmp_path.iterdir()))))
    assert [note.split(":")[0] for note in found.notes] == [
        f"Where a name of {task} with tiny says nothing else"
        for task in ("sst2", "mrpc (sample)", "mrpc")
    ]


def test_a_teacher_tells_two_models_apart_and_what_means_nothing_does_not(named):
    taught = {"teacher": "/runs/large", "distill_weight": 0.9}
    assert named({}, taught) == ["no pruning, no teacher", "no pruning, teacher=large"]


def test_what_a_training_rounded_tells_two_models_apart(named):
    assert named({}, {"quantize_aware": "int8"}, {"quantize_aware": "int4"}) == [
        "no pruning, not quantize-aware",
        "no pruning, quantize-aware int8",
        "no pruning, quantize-aware int4",
    ]


def test_how_two_models_learned_from_their_teachers_tells_them_apart(named):
    taught = {"teacher": "/runs/large"}
    layers = {**taught, "distill_layers": "uniform", "distill_layers_weight": 3.0}
    assert named(
        taught,
        {**taught, "distill_weight": 0.9},
        {**layers, "distill_tokens": "all"},
        {**layers, "teacher": "/other/large"},
    ) == [
        "no pruning, teacher=/runs/large, distill_weight=0.5, no distill_layers",
        "no pruning, teacher=/runs/large, distill_weight=0.9, no distill_layers",
        "no pruning, teacher=/runs/large, distill_weight=0.5, distill_layers=uniform, "
        "distill_tokens=all",
        "no pruning, teacher=/other/large, distill_weight=0.5, distill_layers=uniform, "
        "distill_tokens=first",
    ]


def test_sizes_of_blocks_tell_two_models_apart_the_default_too(named):
    block = {"pruning_method": "block"}
    assert named({**block, "pruning_options": "block=4x4"}, block, HALF) == [
        "pruned: block 80 % (block=4x4)",
        "pruned: block 80 % (block=16x16)",
        "pruned: magnitude 50 %",
    ]


def test_options_that_are_written_in_another_way_are_the_same_model(named):
    block = {"pruning_method": "block", "final_sparsity": 0.5}
    same = (
        "block=16x16",
        "block.block=16x16",
        "score=magnitude",
        "final_sparsity=0.5",
    )
    given = [{**block, "pruning_options": text, "seed": i} for i, text in enumerate(("", *same))]
    other = {**block, "final_sparsity": 0.8, "pruning_options": "final_sparsity=0.5", "seed": 9}
    assert named(*given, other) == ["pruned: block 50 %"]


def test_combined_methods_have_each_its_own_sparsity(named):
    both = {"pruning_method": "attention_head,magnitude"}
    own = "attention_head.final_sparsity=0.5 magnitude.final_sparsity=0.3"
    assert named(
        {**both, "pruning_options": own},
        {**both, "pruning_options": "magnitude.final_sparsity=0.3"},
        {"pruning_method": "vocabulary,magnitude", "final_sparsity": 1 / 8},
    ) == [
        "pruned: attention_head 50 %, magnitude 30 %",
        "pruned: attention_head 80 %, magnitude 30 %",
        "pruned: vocabulary, magnitude 12.5 %",
    ]


def test_an_option_that_follows_from_another_is_not_said(named):
    neuron = {"pruning_method": "neuron"}
    asked = ("score=movement", "score=movement variant=soft")
    assert named(neuron, *({**neuron, "pruning_options": text} for text in asked)) == [
        "pruned: neuron 80 % (score=gradient)",
        "pruned: neuron 80 % (score=movement variant=hard)",
        "pruned: neuron 80 % (score=movement variant=soft)",
    ]


def test_a_setting_is_not_said_of_a_method_that_it_does_not_come_into(named):
    found = named(
        HALF,
        {**HALF, "ranking": "global"},
        {"pruning_method": "vocabulary"},
        {"pruning_method": "classifier_magnitude"},
    )
    assert found == [
        "pruned: magnitude 50 %, ranking=local",
        "pruned: magnitude 50 %, ranking=global",
        "pruned: vocabulary",
        "pruned: classifier_magnitude 80 %",
    ]


def test_an_initial_sparsity_that_follows_from_the_method_is_not_said(named):
    assert named({"pruning_method": "classifier_magnitude"}, {"pruning_method": "magnitude"}) == [
        "pruned: classifier_magnitude 80 %",
        "pruned: magnitude 80 %",
    ]


def test_no_two_models_have_one_name(named):
    grid = {
        "pruning_method": ("magnitude", "block", "attention_head,magnitude", "random"),
        "final_sparsity": (0.5, 0.502),
        "ranking": ("local", "global"),
        "pruning_scope": ("encoder", "all"),
        "learning_rate": (2e-5, 3e-5),
    }
    cells = itertools.product(*grid.values())
    found = named({}, *(dict(zip(grid, cell, strict=True)) for cell in cells))
    assert len(found) == len(set(found)) == 1 + 2**6


def test_data_and_encoders_are_told_apart_by_their_content(tmp_path):
    for name, train in (("a", "train"), ("b", "other")):
        write_run(tmp_path / name, LABELS, right(300), train=train)
    changed(
        write_run(tmp_path / "c", LABELS, right(300)), encoder={"name": "tiny", "sha256": "f" * 64}
    )
    found = [one.name for one in group(read(*sorted(tmp_path.iterdir())))]
    assert [name.split(", ")[0] for name in found] == ["no pruning"] * 3
    assert all("data sha256=" in name for name in found)
    assert found[0].split(", ")[1] == found[2].split(", ")[1] != found[1].split(", ")[1]
    assert found[2].endswith(", encoder sha256=ffffffff")


def test_a_path_with_a_comma_is_not_broken(tmp_path):
    for name, place in (("a", "/data/one, two"), ("b", "/data/three")):
        write_run(tmp_path / name, LABELS, right(300), train=place, data=place, source="tsv")
    found = [one.name for one in group(read(*sorted(tmp_path.iterdir())))]
    assert [name.split(", ") for name in found] == [
        ["no pruning", "data=/data/one,\N{NO-BREAK SPACE}two"],
        ["no pruning", "data=/data/three"],
    ]


def test_the_settings_of_the_pruning_stand_first(tmp_path):
    write_run(tmp_path / "0", LABELS, right(300))
    for name, ranking in (("1", "local"), ("2", "global")):
        run = write_run(
            tmp_path / name, LABELS, right(300), **HALF, ranking=ranking, learning_rate=1e-4
        )
    write_export(run, "float32", LABELS, right(300))
    assert [one.name for one in group(read(*sorted(tmp_path.iterdir())))] == [
        "no pruning, keras, learning_rate=2e-05",
        "pruned: magnitude 50 %, ranking=local, keras, learning_rate=0.0001",
        "pruned: magnitude 50 %, ranking=global, keras, learning_rate=0.0001",
        "pruned: magnitude 50 %, ranking=global, float32, learning_rate=0.0001",
    ]


def test_files_are_told_apart_by_their_recipe(tmp_path):
    run = write_run(tmp_path / "run", LABELS, right(300), **HALF)
    write_export(run, "float32", LABELS, right(300))
    found = group(read(run))
    assert [one.name for one in found] == [
        "pruned: magnitude 50 %, keras",
        "pruned: magnitude 50 %, float32",
    ]
    table = rows.groups(found).texts()
    of = "80.0 % of the weights of the encoder's dense layers (8.0 % of the model)"
    assert [row["pruned"] for row in table] == [of, of]
