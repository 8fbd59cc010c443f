"""Settings: ranges, names, flags."""

from __future__ import annotations

import dataclasses
import json
import os

import numpy as np
import pytest
import written_runs
from absl import flags
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs import command_line, config
from bert_glue_tf.runs.config import ExperimentConfig


def parse(*arguments: str) -> ExperimentConfig:
    values = flags.FlagValues()
    command_line.define_flags(values)
    values(["train", *arguments])
    return command_line.from_flags(values)


def test_defaults_are_the_reports_settings():
    settings = parse()
    assert settings.encoder == "bert_en_uncased_L-12_H-768_A-12"
    assert (settings.seq_length, settings.batch_size, settings.epochs) == (128, 32, 3)
    assert (settings.learning_rate, settings.warmup_fraction) == (2e-5, 0.1)
    assert settings.data == "tfds"
    assert settings.pruning_method == "none"


def test_a_setting_that_a_recipe_decides_on_has_no_default_and_says_so():
    values = flags.FlagValues()
    command_line.define_settings({"epochs": None, "batch_size": 16, "keep": None}, values)
    values(["study", "--epochs=4"])
    assert (values["epochs"].value, values["batch_size"].value, values["keep"].value) == (
        4,
        16,
        None,
    )
    assert values["epochs"].help.endswith("that of the train command.")
    assert "recipe" not in values["batch_size"].help
    with pytest.raises(flags.IllegalFlagValueError):
        values(["study", "--epochs=four"])


@pytest.mark.parametrize(
    ("arguments", "method"),
    [
        ((), "none"),
        (("--prune",), "classifier_magnitude"),
        (("--pruning_method=classifier_magnitude",), "classifier_magnitude"),
        (("--prune", "--pruning_method=classifier_magnitude"), "classifier_magnitude"),
        (("--noprune",), "none"),
        (("--noprune", "--pruning_method=none"), "none"),
    ],
)
def test_prune_and_pruning_method(arguments, method):
    assert parse(*arguments).pruning_method == method


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("--prune", "--pruning_method=none"), "--prune --pruning_method=none"),
        (
            ("--noprune", "--pruning_method=classifier_magnitude"),
            "--noprune --pruning_method=classifier_magnitude",
        ),
        # Also where it is the default of other methods: nobody means the classifier by it.
        (("--prune", "--pruning_scope=encoder"), "--pruning_method=magnitude"),
    ],
)
def test_contradiction_is_refused(arguments, shown):
    with refuses(UserError, shown):
        parse(*arguments)


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("task", "colla", "--task=colla"),
        ("strategy", "gpus", "--strategy=gpus"),
        ("final_sparsity", 1.0, "--final_sparsity=1.0"),
        ("final_sparsity", -0.1, "--final_sparsity=-0.1"),
        ("final_sparsity", 80.0, "--final_sparsity=80.0"),
        ("final_sparsity", float("nan"), "--final_sparsity=nan"),
        ("initial_sparsity", 1.5, "--initial_sparsity=1.5"),
        ("initial_sparsity", 0.9, "--initial_sparsity=0.9"),
        ("seq_length", 3, "--seq_length=3"),
        ("seq_length", 513, "--seq_length=513"),
        ("epochs", -1, "--epochs=-1"),
        ("batch_size", 0, "--batch_size=0"),
        ("learning_rate", 0.0, "--learning_rate=0.0"),
        ("learning_rate", float("inf"), "--learning_rate=inf"),
        ("warmup_fraction", 1.1, "--warmup_fraction=1.1"),
        ("dropout", 1.0, "--dropout=1.0"),
        ("train_examples", -1, "--train_examples=-1"),
        ("seed", -1, "--seed=-1"),
        ("begin_step", -2, "--begin_step=-2"),
        ("end_step", 0, "--end_step=0"),
        ("initial_sparsity", -0.5, "--initial_sparsity=-0.5"),
        ("pruning_weights", "(", "--pruning_weights=("),
        ("pruning_weights", "a{9999999999}", "--pruning_weights=a{9999999999}"),
        ("pruning_weights", "(" * 2000 + ")" * 2000, "--pruning_weights=(((((("),
    ],
)
def test_bad_value_is_named_with_its_flag_and_the_good_ones(field, value, named):
    with refuses(UserError, named):
        ExperimentConfig(**{field: value})


def test_an_unknown_method_is_refused_for_a_new_run_and_read_from_a_finished_one(tmp_path):
    with refuses(UserError, "--pruning_method=mag"):
        parse("--pruning_method=mag")
    with refuses(UserError, "--pruning_method=mag"):
        config.check_method(ExperimentConfig(pruning_method="magnitude,mag"))
    known = ExperimentConfig(pruning_method="magnitude", pruning_options="mine=3 block=2x2")
    kept = ExperimentConfig.from_json({**known.to_json(), "pruning_method": "lottery"})
    assert kept.pruning_method == "lottery"
    assert kept.pruning_options == "mine=3 block=2x2"
    assert kept.first_sparsity == 0.0
    (tmp_path / "config.json").write_text(kept.to_text())
    assert config.read_file(tmp_path / "config.json", is_exact=True) == kept
    with refuses(UserError, "--pruning_method=lottery"):
        parse(f"--config={tmp_path / 'config.json'}")


def test_a_run_asked_for_by_a_methods_other_name_is_the_same_run():
    asked = ExperimentConfig(
        pruning_method="neuron,irregular", pruning_options="irregular.final_sparsity=0.5"
    )
    assert asked.pruning_method == "neuron,magnitude"
    assert asked.pruning_options == "magnitude.final_sparsity=0.5"
    admm = [
        ExperimentConfig(pruning_method="admm", pruning_options=f"structure={name}")
        for name in ("irregular", "magnitude")
    ]
    assert admm[0].run_name == admm[1].run_name
    with refuses(UserError, "magnitude"):
        ExperimentConfig(pruning_method="irregular,magnitude")


def test_begin_step_not_before_end_step():
    with refuses(UserError, "--begin_step=20", "--end_step=20"):
        ExperimentConfig(begin_step=20, end_step=20)


@pytest.mark.parametrize(("final", "first"), [(0.3, 0.3), (0.5, 0.5), (0.8, 0.5), (0.0, 0.0)])
def test_initial_sparsity_never_exceeds_the_final_one_by_default(final, first):
    assert parse("--prune", f"--final_sparsity={final}").first_sparsity == first
    assert parse("--prune", "--initial_sparsity=0.1", "--final_sparsity=0.3").first_sparsity == 0.1


def test_a_computed_initial_sparsity_is_the_value_that_it_stands_for():
    computed = ExperimentConfig()
    assert computed.difference(ExperimentConfig(initial_sparsity=0.5)) == {}
    assert computed.difference(ExperimentConfig(initial_sparsity=0.4)) == {
        "initial_sparsity": (-1.0, 0.4)
    }
    assert computed.difference(ExperimentConfig(final_sparsity=0.3)) == {
        "final_sparsity": (0.8, 0.3)
    }


@pytest.mark.parametrize(
    "flag",
    [
        "--initial_sparsity=0.2",
        "--final_sparsity=0.8",
        "--begin_step=5",
        "--end_step=9",
        "--pruning_frequency=3",
    ],
)
def test_a_schedule_without_pruning_is_refused(flag, tmp_path):
    file = tmp_path / "a.flags"
    file.write_text(flag + "\n")
    for arguments in ([flag], [f"--flagfile={file}"]):
        with refuses(UserError, flag):
            parse(*arguments)
        assert parse(*arguments, "--prune").pruning_method == "classifier_magnitude"


def test_noprune_runs_the_baseline_of_a_flagfile_that_prunes(tmp_path, caplog):
    file = tmp_path / "a.flags"
    file.write_text("--prune\n--final_sparsity=0.9\n--begin_step=3\n")
    caplog.set_level("INFO", logger="absl")
    assert parse(f"--flagfile={file}", "--noprune").pruning_method == "none"
    assert "--final_sparsity, --begin_step: not used, since nothing is pruned" in caplog.text


def test_every_field_is_a_flag_with_help():
    values = flags.FlagValues()
    command_line.define_flags(values)
    for field in dataclasses.fields(ExperimentConfig):
        assert values[field.name].value == field.default
        assert values[field.name].help.endswith(".")


def test_a_run_can_be_repeated_from_its_json():
    settings = ExperimentConfig(task="mrpc", learning_rate=5e-5, seed=7, data="sample")
    assert ExperimentConfig.from_json(json.loads(json.dumps(settings.to_json()))) == settings


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"tusk": "cola"}, "'tusk'"),
        ({"epochs": "3"}, "epochs='3'"),
        ({"epochs": True}, "epochs=True"),
    ],
)
def test_foreign_json_is_refused(values, named):
    with refuses(UserError, named):
        ExperimentConfig.from_json(values, is_exact=True)


def test_settings_of_a_later_version_are_passed_over_where_they_are_only_read(caplog):
    written = {**ExperimentConfig(seed=7).to_json(), "a_setting_of_later": "large"}
    assert ExperimentConfig.from_json(written) == ExperimentConfig(seed=7)
    assert ExperimentConfig.from_json(written).seed == 7
    (told,) = caplog.records
    assert "a_setting_of_later" in told.getMessage()


def test_a_config_json_of_a_newer_format_is_noted(tmp_path, caplog):
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**ExperimentConfig(seed=7).to_json(), "format": 99}))
    assert config.read_file(file, is_exact=True) == ExperimentConfig(seed=7)
    assert "format 99" in caplog.text
    for wrong in (0, "1", None, True):
        file.write_text(json.dumps({"format": wrong}))
        with refuses(ValueError, "format"):
            config.read_file(file)


def test_each_setting_is_of_one_part():
    settings = ExperimentConfig(epochs=5, final_sparsity=0.3, batch_size=8)
    parts = [part.names() for part in ExperimentConfig.__bases__]
    names = [name for part in parts for name in part]
    assert sorted([*names, "seed", "finetune_epochs", "start"]) == sorted(settings.names())
    assert all(parts)


def test_a_run_needs_the_one_that_it_starts_from():
    assert ExperimentConfig(pruning_method="random").needs == []
    settings = ExperimentConfig(pruning_method="random", epochs=2, finetune_epochs=3)
    (start,) = settings.needs
    assert start == ExperimentConfig(epochs=3)


def test_a_run_that_is_repeated_keeps_its_settings_beside_those_of_its_start(tmp_path):
    labels = np.array([0, 1] * 4)
    run = written_runs.write_run(tmp_path / "run", labels, written_runs.wrong_at(labels, [0]))
    settings = ExperimentConfig(task="mrpc", encoder="tiny", data="tsv", start=str(run), held_out=7)
    file = tmp_path / "config.json"
    file.write_text(settings.to_text())
    assert parse(f"--config={file}").held_out == 7
    # Another start brings its own.
    assert parse(f"--config={file}", f"--start={run}").held_out == 0


def test_a_teacher_that_is_the_start_asks_for_one():
    with refuses(UserError, "--teacher=start", "--finetune_epochs"):
        parse("--teacher=start")
    settings = parse("--teacher=start", "--finetune_epochs=2", "--distill_weight=0.9", "--prune")
    # It is fine-tuned as without a teacher, and so shared with the runs that have none.
    untaught = parse("--finetune_epochs=2", "--prune")
    assert settings.needs == untaught.needs == [ExperimentConfig(epochs=2)]
    assert ExperimentConfig(teacher="runs/x", finetune_epochs=2).needs == untaught.needs


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--distill_weight=1.5", "in [0, 1]"),
        ("--distill_weight=-0.1", "in [0, 1]"),
        ("--distill_weight=90", "0.9"),
        ("--distill_temperature=5e-324", "from 0.01"),  # As a float32 it would be 0.
        ("--distill_temperature=0", "from 0.01"),
        ("--distill_temperature=-2", "from 0.01"),
        ("--distill_temperature=nan", "from 0.01"),
    ],
)
def test_how_to_learn_from_a_teacher_has_limits(flag, named):
    with refuses(UserError, flag.split("=")[0], named):
        parse("--teacher=runs/x", flag)


def test_pairs_of_layers_are_read_and_written_in_one_way():
    settings = parse("--teacher=runs/x", "--distill_layers= 2:4, 06:12")
    assert settings.distill_layers == "2:4,6:12"
    assert settings.layer_pairs == [(2, 4), (6, 12)]
    for wrong in ("even", "2:4,", "0:1", "1:2:3", "4:4,2:8", "2:4,4:4"):
        with refuses(UserError, f"--distill_layers={wrong}", "uniform", "2:4,4:8"):
            parse("--teacher=runs/x", f"--distill_layers={wrong}")


def test_a_pair_of_attentions_is_read_and_written_in_one_way():
    settings = parse("--teacher=runs/x", "--distill_attention= 06:12")
    assert (settings.distill_attention, settings.attention_pair) == ("6:12", (6, 12))
    for wrong in ("first", "6", "0:1", "2:4,4:8"):
        with refuses(UserError, f"--distill_attention={wrong}", "last", "6:10"):
            parse("--teacher=runs/x", f"--distill_attention={wrong}")
    with refuses(UserError, "--distill_attention_weight=3.0", "--distill_attention=last"):
        parse("--teacher=runs/x", "--distill_layers=uniform", "--distill_attention_weight=3.0")
    with refuses(UserError, "--distill_attention_weight=3.0", "--distill_attention=last"):
        config.check_method(ExperimentConfig(teacher="x", distill_attention_weight=3.0))


def test_how_to_learn_from_a_teacher_means_nothing_without_one(caplog):
    with refuses(UserError, "--distill_weight=0.9", "--teacher"):
        parse("--distill_weight=0.9")
    caplog.set_level("INFO", logger="absl")
    # As the run without a teacher of a flagfile that has one.
    assert parse("--distill_weight=0.9", "--teacher=") == parse()
    assert "--distill_weight: not used" in caplog.text
    with refuses(UserError, "--distill_layers=uniform", "--teacher"):
        config.check_method(ExperimentConfig(distill_layers="uniform"))
    assert parse("--distill_weight=0.9", "--teacher=runs/x").distill_weight == 0.9


def test_how_to_learn_from_layers_means_nothing_without_them(caplog):
    """They would give a run of the same numbers another name."""
    for flag in ("--distill_tokens=all", "--distill_layers_weight=3.0"):
        with refuses(UserError, flag, "--distill_layers"):
            parse("--teacher=runs/x", flag)
    with refuses(UserError, "--distill_tokens=all", "--distill_layers"):
        config.check_method(ExperimentConfig(teacher="x", distill_tokens="all"))
    with refuses(UserError, "--distill_tokens=all", "--teacher"):
        parse("--distill_tokens=all")
    caplog.set_level("INFO", logger="absl")
    taught = parse("--teacher=runs/x")
    assert parse("--teacher=runs/x", "--distill_tokens=all", "--distill_layers=") == taught
    assert "--distill_tokens: not used" in caplog.text
    assert parse("--teacher=", "--distill_tokens=all") == parse()
    given = parse("--teacher=runs/x", "--distill_layers=uniform", "--distill_tokens=all")
    assert given.distill_tokens == "all"


def test_a_whole_number_is_good_for_a_float():
    assert ExperimentConfig.from_json({"dropout": 0}).dropout == 0


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "cola-bert_en_uncased_L-12_H-768_A-12-tfds-none-seed1"),
        (
            {"encoder": "minilm_l6", "data": "/d/glue/", "task": "mrpc", "seed": 2},
            "mrpc-minilm_l6-glue-none-seed2",
        ),
        (
            {"encoder": "https://tfhub.dev/tensorflow/small_bert/bert_en_uncased_L-2/2"},
            "cola-bert_en_uncased_L-2_v2-tfds-none-seed1",
        ),
        ({"encoder": "../odd name", "data": "sample"}, "cola-odd_name-sample-none-seed1"),
    ],
)
def test_name_of_the_default_folder(settings, name):
    assert ExperimentConfig(**settings).run_name == name


def test_other_settings_give_the_default_folder_another_name():
    plain = "cola-bert_en_uncased_L-12_H-768_A-12-tfds-none-seed1"
    # As `printf '{"epochs":4,"learning_rate":5e-05}' | sha256sum` begins: the names stay what they
    # are from release to release.
    assert ExperimentConfig(learning_rate=5e-5, epochs=4).run_name == f"{plain}-ea71e1"
    one = {field.name for field in dataclasses.fields(ExperimentConfig)} - set(config.NAMED)
    names = {plain}
    choices = {
        "pruning_options": "rounds=3",
        "pruning_scope": "all",
        "pruning_schedule": "one_shot",
        "ranking": "lamp",
        "region_sparsities": "words=0.25",
        "problem": "regression",
        "truncation": "tail",
        "class_weights": "balanced",
        "keep": "best",
        "mixed_precision": "bfloat16",
        "decay": "plateau",
        "early_stopping_loss": "training",
        "tagging_head": "crf",
        "tagged_pieces": "all",
        "packing": "true",
        "packing_width": 64,
        "distill_layers": "uniform",
        "distill_tokens": "all",
        "distill_attention": "last",
        "quantize_aware": "int8",
        "augmentation": "shift",
    }
    for name in one:
        default = getattr(ExperimentConfig(), name)
        other = choices.get(
            name, {bool: not default, str: "cpu", float: 0.25, int: 7}[type(default)]
        )
        stops = {"early_stopping": 2}
        together = {"keep_after": {"keep": "best"}, "plateau_epochs": {"decay": "plateau"}} | {
            "early_stopping_loss": stops,
            "early_stopping_threshold": stops,
        }
        names.add(ExperimentConfig(**{**together.get(name, {}), name: other}).run_name)
    assert len(names) == len(one) + 1
    # What is given as it would be computed is the same setting.
    assert ExperimentConfig(initial_sparsity=0.5).run_name == plain
    assert (
        ExperimentConfig.from_json({"weight_decay": 1}).run_name
        == ExperimentConfig(weight_decay=1.0).run_name
    )


def test_a_folder_is_the_same_however_it_is_written(tmp_path, monkeypatch):
    (tmp_path / "glue" / "CoLA").mkdir(parents=True)
    (tmp_path / "link").symlink_to("glue")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    whole = os.path.realpath(tmp_path / "glue")
    for written in ("glue", "glue/", "./glue", "~/glue", f"{tmp_path}/link", "glue/CoLA/.."):
        for flag in ("data", "encoder", "preprocessing", "teacher"):
            assert getattr(parse(f"--{flag}={written}"), flag) == whole
        # Earlier records, and configurations made in Python, have it as it was written.
        assert ExperimentConfig(data=written).difference(ExperimentConfig(data=whole)) == {}
    # What is no folder stays, as do the names that a folder of the same name must not take.
    for name in ("tfds", "sample", "minilm_l6", "link.txt", "https://a/b/1", "~nobody_/x", ""):
        if name.isidentifier():
            (tmp_path / name).mkdir()
        assert config.canonical_place(name) == name


def test_a_run_is_repeated_from_its_config_json(tmp_path):
    settings = parse("--task=mrpc", "--prune", "--learning_rate=1e-4", "--nolength_buckets")
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings.to_json()))
    again = parse(f"--config={file}")
    assert again == settings
    # Flags win over it, also where they are given with the default's value.
    changed = parse(f"--config={file}", "--learning_rate=2e-05", "--seed=2")
    assert settings.difference(changed) == {"learning_rate": (1e-4, 2e-5), "seed": (1, 2)}
    assert parse(f"--config={file}", "--noprune").pruning_method == "none"
    assert parse(f"--config={file}", "--prune", "--final_sparsity=0.9").final_sparsity == 0.9


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (None, "No such file"),
        ("{", "property name"),
        ("[]", "no JSON object"),
        ('{"tusk": 1, "epoch": 2}', "'epoch', 'tusk'"),
        ('{"epochs": -1}', "--epochs=-1"),
    ],
)
def test_a_file_of_settings_that_is_none(tmp_path, text, named):
    file = tmp_path / "config.json"
    if text is not None:
        file.write_text(text)
    with refuses(UserError, f"--config={file}", named):
        parse(f"--config={file}")


def test_difference_names_both_values():
    mine, other = ExperimentConfig(seed=1), ExperimentConfig(seed=2, epochs=4)
    assert mine.difference(other) == {"epochs": (3, 4), "seed": (1, 2)}
    assert mine.difference(mine) == {}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "auto"),
        (["--packing"], "true"),
        (["--nopacking"], "false"),
        (["--packing=auto"], "auto"),
        (["--packing=false"], "false"),
    ],
)
def test_packing_is_auto_unless_its_flag_is_given(arguments, expected):
    settings = parse(*arguments)
    assert settings.packing == expected
    assert parse(*arguments, "--seed=2").difference(settings) == {"seed": (2, 1)}


def test_a_packed_row_needs_packing_and_a_width_that_can_be():
    assert parse("--packing_width=64").packing_width == 64
    with refuses(UserError, "--packing_width=64", "--nopacking"):
        parse("--packing_width=64", "--nopacking")
    for width in (4, 513):
        with refuses(UserError, f"--packing_width={width}", "from 8 to 512"):
            parse(f"--packing_width={width}")
    with refuses(UserError, "--packing=maybe", "auto, true, false"):
        parse("--packing=maybe")
