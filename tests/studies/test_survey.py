"""The survey of all methods: on tiny runs, exported and measured, with one that cannot be run."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from typing import ClassVar

import numpy as np
import pytest
import tiny_cnn
from messages import refused, refuses
from of_convolutions import OF_CONVOLUTIONS
from slow_fixtures import slow_to_make
from study_runs import LABELS, TINY, command, right, train, write
from written_runs import write_export

from bert_glue_tf.compression import registry
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import cost, predictions, robustness
from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.evaluation.defaults import TYPOS
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.reports import fitting, plots
from bert_glue_tf.studies import (
    hybrids,
    printed,
    survey,
    survey_claims,
    survey_layout,
    survey_measure,
    survey_rows,
)
from bert_glue_tf.studies.survey import Survey
from bert_glue_tf.studies.survey_measure import Costs, MeasureSettings
from bert_glue_tf.training import task_settings

SETTINGS = MeasureSettings(seq_lengths=(8, 64), threads=1, repetitions=3)


@pytest.fixture(scope="module")
@slow_to_make
def surveyed(tiny_encoder, tiny_glue, tmp_path_factory):
    """Heads of a tiny encoder, and its only layer, which cannot go: the runs that can are done."""
    root = tmp_path_factory.mktemp("survey")
    given = {
        **TINY,
        "task": "sst2",
        "encoder": tiny_encoder,
        "data": str(tiny_glue),
        "epochs": "8",
        "finetune_epochs": "0",
        "final_sparsity": "0.5",
    }
    study = Survey(["attention_head", "layer"], given, "", [5], SETTINGS)
    train(study.cells[:2], root)
    study.run(root)
    output = tmp_path_factory.mktemp("output")
    study.measure(output)
    return study, output, given, root


def test_the_table_says_what_the_records_and_files_say(surveyed):
    study, _, _, _ = surveyed
    unpruned, head, layer = study.table.texts()
    base, pruned = study.costs["unpruned"], study.costs["attention_head"]
    assert head["score"] == f"{pruned.record.metrics['accuracy']:.4f}"
    assert (head["scope"], head["sparsity"]) == ("attention", "50.0 %")
    # Two heads, one is left: width 8 of 16 in queries, keys and values, their biases, the output.
    gone = 3 * (16 * 8 + 8) + 8 * 16
    total = base.record.parameters["total"]
    assert pruned.record.parameters["total"] == total - gone
    assert head["of all weights"] == f"{4 * 16 * 16 / total:.2%}"  # Biases do not count.
    assert head["parameters"] == f"{total - gone:,}"
    assert head["ratio"] == f"{total / pruned.record.parameters['nonzero']:.2f}x"
    for row, one in ((unpruned, base), (head, pruned)):
        for recipe, name in (("float32", "float32"), ("dynamic_int8", "int8")):
            file = study.folder(one.config) / FOLDER / f"{recipe}.tflite"
            size = cost.size_on_disk(file)
            assert row[f"{name} MB"] == f"{size['plain'] / 1e6:.2f}"
            assert row[f"{name} gzip"] == f"{size['gzip'] / 1e6:.2f}"
        # The run was trained at 16: no file is made for more.
        assert list(one.latency) == ["8", "16"]
        assert float(row["ms"]) == float(f"{one.latency['16']['p50']:.3g}")
        peak = one.files["dynamic_int8"].peak_memory_bytes["total"]
        assert row["peak MB"] == f"{peak / 1e6:.0f}"
        int8 = one.files["dynamic_int8"].metrics["accuracy"]
        assert row["int8 score"].startswith(f"{int8:.4f}")
    # All were timed in one run, with one float32 file.
    assert base.latency["16"]["float32_p50"] == pruned.latency["16"]["float32_p50"]
    # The only layer cannot go.
    assert layer["score"] == "failed"
    assert "cannot be reached with 1 layers" in layer["why not"]
    assert layer["ms"] == ""
    assert study.findings() == [f"Not measured: layer: {layer['why not']}"]


def test_robustness_is_that_of_the_trained_model(surveyed):
    study, _, _, _ = surveyed
    for one in study.costs.values():
        found = one.robustness["validation"]
        assert found["clean"]["accuracy"] == pytest.approx(one.record.metrics["accuracy"])
        assert found["typos"]["rate"] == TYPOS
        assert 0 < found["typos"]["words"] < 0.3
        assert found["out_of_domain"] is None  # SST-2 does not tell its sources.


def test_what_was_measured_is_kept_and_measured_anew_for_others(surveyed, monkeypatch):
    study, output, _, _ = surveyed
    measured = study.costs

    def never(*arguments, **options):
        raise AssertionError("measured again")

    monkeypatch.setattr(cost, "interleaved_latency", never)
    monkeypatch.setattr(robustness, "measure", never)
    study.measure(output)
    assert study.costs == measured
    for other in ({"repetitions": 4}, {"rate": 0.5}):
        with monkeypatch.context() as changed:
            changed.setattr(study, "settings", dataclasses.replace(SETTINGS, **other))
            with pytest.raises(AssertionError, match="measured again"):
                study.measure(output)
    kept = output / survey_measure.MEASURED
    text = kept.read_text()
    kept.write_text(text[:-9])
    with refuses(UserError, kept):
        study.measure(output)
    kept.write_text(text)


def test_the_command_reports_a_method_that_cannot_be_run(surveyed):
    study, output, given, root = surveyed
    done = command(
        "survey",
        methods="attention_head,layer",
        seeds="5",
        seq_lengths="8,64",
        threads=1,
        latency_repetitions=3,
        runs_dir=root,
        output=output,
        **given,
    )
    assert done.returncode == 1, done.stderr
    assert (
        "Not measured: layer: --final_sparsity=0.5: cannot be reached with 1 layers" in done.stdout
    )
    assert "attention_head: removes attention heads" in done.stdout
    assert "FAILED: sst2-" in done.stdout
    # Before the tables the sweep tells of each run, in lines that a terminal may wrap.
    tables = done.stdout[done.stdout.index(": what decides") : done.stdout.index("Not measured")]
    assert max(map(len, tables.splitlines())) <= 120
    with (output / "survey.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # What was measured before is not measured again.
    assert rows[:2] == study.table.texts()[:2]
    names = {path.name for path in output.iterdir()}
    figures = {f"survey_{cost}.{kind}" for cost in ("latency", "size") for kind in ("svg", "png")}
    assert names == {"survey.md", "survey.csv", "measured.json", *figures}
    text = (output / "survey.md").read_text()
    first, weights = text.split("## Weights")
    assert "| attention_head | 50.0 % |" in first
    assert "| attention_head | attention |" in weights
    heads = [line for line in text.splitlines() if line.startswith("| method")]
    missing = sum(told not in text for told in (survey_rows.PRINTED, survey_rows.OWN))
    assert len(heads) == 1 + len(survey_layout.PARTS) - missing
    assert all(len(line.split("|")) - 2 <= 9 for line in heads)  # What a laptop shows.


def test_the_figure_has_the_surveys_own_latency(surveyed):
    study, _, _, _ = surveyed
    groups = study.file_groups()
    assert [one.name for one in groups] == ["unpruned", "attention_head"]
    figure = plots.score_against(groups, "latency")
    (axis,) = figure.axes
    front = axis.lines[0].get_xdata()
    assert set(front) <= {one.latency["16"]["p50"] for one in study.costs.values()}
    assert "ms an example at length 16" in axis.get_xlabel()


def test_a_file_whose_record_is_older_than_marks_has_those_of_its_predictions(
    surveyed, monkeypatch
):
    study, _, _, _ = surveyed
    own = study.costs["attention_head"]
    export = ExportFolder(study.folder(own.config) / FOLDER)
    path = export.predictions_file("dynamic_int8", "validation")
    task = tasks.get("sst2")
    kept = path.read_bytes()
    read = predictions.read(path, task, own.record.data["validation"]["examples"])
    predictions.write(path, task, read.labels, np.tile(np.float32([1, 0]), (len(read.labels), 1)))
    older = dataclasses.replace(own.files["dynamic_int8"], collapsed="", at_chance=None)
    files = {**own.files, "dynamic_int8": older}
    changed = {**study.costs, "attention_head": dataclasses.replace(own, files=files)}
    monkeypatch.setattr(study, "costs", changed)
    row = study.table.texts()[1]
    path.write_bytes(kept)
    assert row["int8 score"].endswith(" COLLAPSED")


def test_the_text_shows_the_figures_that_are_made_and_no_others(surveyed, monkeypatch):
    study, _, _, _ = surveyed
    size, latency = "![score against size](survey_size.png)", "](survey_latency.png)"
    assert size in study.text()
    assert latency in study.text()
    untimed = [
        dataclasses.replace(
            one, models=tuple(dataclasses.replace(model, time=None) for model in one.models)
        )
        for one in study.file_groups()
    ]
    monkeypatch.setattr(study, "file_groups", lambda: untimed)
    assert set(study.figures()) == {"survey_size"}
    assert size in study.text()
    assert latency not in study.text()


# --- written records ---

LONG = "attention_head+neuron+magnitude"


def written(root, labels, seeds=(1, 2, 3), right_of=lambda place, seed: 340, **settings):
    """A survey of written runs: so many of 400 answers are right in each row, seed by seed."""
    given = {"encoder": "tiny", "data": "tsv", "task": "mrpc", **settings}
    study = Survey(labels, given, "", seeds)
    for place, one in enumerate(study.cells):
        write(one, root, [right(right_of(place, seed)) for seed in seeds])
    study.run(root)
    files = {}
    for one in study.cells:
        folder = study.folder(one.configs[0])
        for recipe in ("float32", "dynamic_int8"):
            write_export(folder, recipe, LABELS, right(340))
        files[one.label] = ExportFolder(folder / FOLDER).records()
    latency = {"32": {"p50": 2.0, "p90": 3.0, "min": 1.0, "float32_p50": 4.0}}
    study.costs = {
        one.label: Costs(
            one.configs[0],
            study.records[one.configs[0].run_name],
            files[one.label],
            latency,
            {},
            "",
            "one",
        )
        for one in study.cells
    }
    return study


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_shows_what_decides_whole(tmp_path, columns):
    fallen = {1: 340, 2: 200, 3: 339}  # Of 400; 200 is always one answer.
    study = written(
        tmp_path, ["block", "classifier_magnitude", LONG], right_of=lambda p, s: fallen.get(p, 342)
    )
    shown = survey_layout.part(study.table, survey_layout.FIRST)
    lines, left_out = fitting.fitted(shown, columns)
    assert max(map(len, lines)) <= columns
    kept = set(survey_layout.FIRST) - set(left_out)
    assert {"method", "score", "difference", "verdict", "int8 MB", "speed"} <= kept
    assert ("95 % interval" in kept) == (columns == 120)
    assert any(line.startswith("method") for line in lines)  # A table, and no lists of pairs.
    for heads in survey_layout.PARTS.values():
        lines = fitting.lines(survey_layout.part(study.table, heads), columns)
        assert max(map(len, lines)) <= columns


def test_the_parts_have_every_column_of_the_csv_once():
    shown = [
        *survey_layout.FIRST,
        *(head for part in survey_layout.PARTS.values() for head in part),
    ]
    again = {"method", "difference", "ratio", "speed"}  # Beside what the survey prints.
    assert {head for head in shown if shown.count(head) > 1} <= again
    told = {"seeds' range", "why not"}  # The findings say why not.
    assert set(shown) | told == {column.head for column in survey_rows.COLUMNS}


def test_a_row_has_mean_range_and_interval_over_its_seeds(tmp_path):
    study = written(tmp_path, ["block"], right_of=lambda place, seed: 340 - 10 * seed - 20 * place)
    unpruned, block = study.table.texts()
    assert unpruned["score"] == f"{320 / 400:.4f}"
    assert unpruned["range"] == f"{310 / 400:.3f} to {330 / 400:.3f}"
    assert (unpruned["seeds"], block["seeds"]) == ("1, 2, 3", "1, 2, 3")
    assert (unpruned["majority"], block["majority"]) == ("0.5000", "0.5000")
    assert block["difference"] == f"{-20 / 400:+.4f}"
    low, high = map(float, block["score's interval"].split(" to "))
    assert low < 300 / 400 < high


# --- seeds that nobody names ---


def decides(root, seconds):
    """The survey of one method whose unpruned run of seed 1 took so long."""
    study = Survey(["block"], {"task": "mrpc", "encoder": "tiny", "data": "tsv"}, "", ())
    one = study.cells[0]
    write(one, root, [right(340)])
    change_seconds(root / one.configs[0].run_name, seconds)
    return study


def change_seconds(folder, seconds):
    """Let a written run have taken so long."""
    file = folder / "results.jsonl"
    record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, "speed": {"seconds": seconds}}) + "\n")


@pytest.mark.parametrize(("seconds", "seeds"), [(299.0, (1, 2, 3)), (300.0, (1,))])
def test_the_unpruned_run_decides_how_many_seeds_there_are(tmp_path, seconds, seeds):
    study = decides(tmp_path, seconds)
    assert study.seeds == (1,)
    rows = study.planned(tmp_path)
    assert study.seeds == seeds
    assert len(rows) == 2 * len(seeds)
    assert {len(one.configs) for one in study.cells} == {len(seeds)}


@pytest.mark.parametrize(("seconds", "seeds"), [(100.0, (1, 2, 3)), (150.0, (1,)), (None, (1,))])
def test_the_training_that_it_starts_from_counts_as_well(tmp_path, seconds, seeds):
    given = {"task": "mrpc", "encoder": "tiny", "data": "tsv", "finetune_epochs": "3"}
    study = Survey(["block"], given, "", ())
    one = study.cells[0]
    for cell, own in ((one, 150.0), (one.starting_point, seconds)):
        if own is not None:
            write(cell, tmp_path, [right(340)])
            change_seconds(tmp_path / cell.configs[0].run_name, own)
    study.planned(tmp_path)
    assert study.seeds == seeds


def test_seeds_that_are_named_are_not_decided_on(tmp_path):
    decides(tmp_path, 1.0)
    study = Survey(["block"], {"task": "mrpc", "encoder": "tiny", "data": "tsv"}, "", [1])
    study.planned(tmp_path)
    assert study.seeds == (1,)


def test_before_the_first_run_nothing_is_decided(tmp_path):
    study = Survey(["block"], {"task": "mrpc", "encoder": "tiny", "data": "tsv"}, "", ())
    assert len(study.planned(tmp_path)) == 2
    assert study.seeds == survey.SEEDS[:1]


# --- the survey's own values and claims ---


def test_the_survey_prints_something_of_some_methods():
    found = printed.survey_values()
    assert set(found) == {"layer", "filter", "block", "movement", "magnitude"}
    assert found["block"].endswith("1.2 to 1.5 times as fast")
    assert set(found) <= set(registry.names())


@pytest.mark.parametrize(
    ("interval", "gone", "verdict"),
    [
        ((0.06, 0.09), 33, "holds"),
        ((0.001, 0.069), 33, "cannot be told"),  # +0.035 is not nearly 0.07.
        ((-0.05, 0.01), 33, "does not hold"),
        ((0.01, 0.05), 33, "does not hold"),
        ((-0.02, 0.08), 33, "cannot be told"),
        ((0.02, 0.09), 60, None),
    ],
)
def test_filters_claim_is_answered_by_the_interval(interval, gone, verdict):
    class Record:
        parameters: ClassVar = {"pruned": gone, "prunable": 100}

    class Difference:
        is_defined = True
        mean = sum(interval) / 2
        p = 0.5
        by_seed = (mean,)

    Difference.interval = interval

    class Found:
        difference = Difference
        metric = "span_f1"
        base_mark = None
        examples = 150
        encoder = "de_cnn"

    class Of:
        difference = Found
        costs = type("Costs", (), {"record": Record})

    answer = survey_claims.filters(Of)
    assert (answer and answer.verdict.value) == verdict
    Found.base_mark = Mark.AT_CHANCE
    answer = survey_claims.filters(Of)
    assert (answer and answer.verdict.value) == (verdict and "cannot be told")
    Found.metric = "accuracy"
    assert survey_claims.filters(Of) is None


# --- without any run ---

OF_A_BERT = [
    name
    for name in registry.names()[1:]
    if name not in OF_CONVOLUTIONS and not registry.get(name).has_sizes
]


def test_every_method_is_a_row():
    cells = Survey([], {"task": "cola", "final_sparsity": "0.5"}, "", [1, 2]).cells
    assert [one.label for one in cells] == ["unpruned", *OF_A_BERT]
    assert all([c.seed for c in one.configs] == [1, 2] for one in cells)
    assert len({one.configs[0].run_name for one in cells}) == len(cells)


def test_the_combinations_are_those_that_the_survey_prints():
    told = [one.words for one in hybrids.COMBINATIONS]
    assert told == printed.document("survey")["combinations"]


def test_the_hybrids_that_the_survey_names_are_rows_where_there_is_a_model_to_learn_from():
    given = {"task": "cola", "finetune_epochs": "3"}
    study = Survey([], given, "", [1])
    cells = {one.label: one.configs[0] for one in study.cells}
    assert list(cells) == ["unpruned", *OF_A_BERT, *(one.names[0] for one in hybrids.COMBINATIONS)]
    both = cells["attention_head+neuron+magnitude"]
    assert (both.pruning_method, both.teacher) == ("attention_head,neuron,magnitude", "")
    rounded = cells["neuron+dynamic_int8"]
    assert (rounded.pruning_method, rounded.quantize_aware) == ("neuron", "dynamic_int8")
    taught = cells["layer+magnitude+teacher"]
    assert (taught.teacher, taught.distill_layers) == ("start", "uniform")
    everything = cells["magnitude+dynamic_int8+teacher"]
    assert (everything.quantize_aware, everything.teacher) == ("dynamic_int8", "start")
    (told,) = study._told_left_out()
    assert "channel, filter" in told
    assert "a BERT has no convolutions" in told
    assert "elastic, shared: trains several networks" in told
    # Without one, the others are.
    study = Survey([], {"task": "cola"}, "", [1])
    assert [one.label for one in study.cells] == ["unpruned", *OF_A_BERT]
    (told,) = study._told_left_out()
    assert "neuron+dynamic_int8, layer+magnitude+teacher" in told
    assert "without --finetune_epochs" in told


def test_a_cnns_rows_are_what_it_can_carry(tmp_path):
    folder = tiny_cnn.write_folder(tmp_path / "cnn")
    given = {"task": "laptop14_aspects", "encoder": str(folder), "finetune_epochs": "2"}
    study = Survey([], given, "", [1])
    cells = {one.label: one.configs[0] for one in study.cells}
    assert {"filter", "channel", "magnitude", "row"} <= set(cells)
    assert not {"attention_head", "neuron", "layer", "vocabulary"} & set(cells)
    assert [name for name in cells if hybrids.is_one(name)] == [
        "filter+magnitude",
        "filter+int8",
        "magnitude+teacher",
    ]
    # Nothing of it is rounded in training: it is the run of `filter`, with a file of its own.
    assert cells["filter+int8"] == cells["filter"]
    taught = cells["magnitude+teacher"]
    assert (taught.teacher, taught.distill_layers) == ("start", "")
    (told,) = study._told_left_out()
    assert "magnitude+dynamic_int8+teacher: a CNN is quantized after its training only" in told
    assert "layer: a CNN has layers of different shapes" in told
    # What it cannot learn of a teacher's inside it is not asked for, whoever names the row.
    (_, one) = Survey(["row+int4+teacher"], given | {"task": "cola"}, "", [1]).cells
    own = one.configs[0]
    assert (own.teacher, own.distill_layers, own.quantize_aware) == ("start", "", "none")


def test_a_taggers_teacher_gives_its_answers_and_not_its_layers():
    given = {"task": "rest16_e2e", "data": "absa", "finetune_epochs": "2"}
    cells = {one.label: one.configs[0] for one in Survey([], given, "", [1]).cells}
    assert {one.names[0] for one in hybrids.COMBINATIONS} <= set(cells)
    for name in ("layer+magnitude+teacher", "magnitude+dynamic_int8+teacher"):
        assert (cells[name].teacher, cells[name].distill_layers) == ("start", "")
        task_settings.check(cells[name], tasks.get("rest16_e2e"))  # As the training does.


def test_a_hybrid_of_ones_own_is_its_parts_and_takes_their_options():
    given = {"task": "cola", "finetune_epochs": "1"}
    study = Survey(["int8+teacher+irregular", "block"], given, "irregular.final_sparsity=0.3", [1])
    _, hybrid, block = study.cells
    assert hybrid.label == "magnitude+int8+teacher"
    assert hybrid.configs[0].pruning_options == "magnitude.final_sparsity=0.3"
    assert block.configs[0].pruning_options == ""
    told = study._hybrids()
    assert len(told) == 1
    assert hybrids.TEACHER in told[0]


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("magnitude+distil", "'distil'"),
        ("teacher+int8", "magnitude+teacher+int8"),
        ("row+int8+int4", "row+int8"),
        ("magnitude+irregular", "twice"),
        ("row+teacher+teacher", "twice"),
        ("row+none", "'none'"),
        ("row+teacher", "--finetune_epochs=0"),
    ],
)
def test_a_hybrid_that_is_none_is_refused(name, named):
    with refuses(UserError, f"--methods={name}", named):
        Survey([name], {"task": "cola", "finetune_epochs": "0"}, "", [1])


def test_a_methods_option_is_its_own():
    cells = Survey(["block", "attention_head"], {"task": "cola"}, "block.block=4x4", [1]).cells
    assert [one.configs[0].pruning_options for one in cells] == ["", "block.block=4x4", ""]


def test_a_method_by_its_other_name_has_the_row_of_its_name():
    own = "irregular.final_sparsity=0.5"
    cells = Survey(["irregular"], {"task": "cola"}, own, [1]).cells
    assert [one.label for one in cells] == ["unpruned", "magnitude"]
    assert cells[1].configs[0].pruning_options == "magnitude.final_sparsity=0.5"


@pytest.mark.parametrize("options", ["block=4x4", "row.block=4x4"])
def test_an_option_of_no_method_that_is_run_is_refused(options):
    with refuses(UserError, options):
        Survey(["block"], {"task": "cola"}, options, [1])


def test_a_wrong_option_is_refused_before_anything_is_trained(tmp_path):
    given = {"task": "cola", "data": "sample"}
    study = Survey(["movement", "block"], given, "block.block=4x4 movement.rate=1", [1])
    with refuses(UserError, "movement.rate=1"):
        study.run(tmp_path)
    assert not list(tmp_path.iterdir())


MATRICES = ("self_attention/query", "self_attention/attention_output", "intermediate", "output")


@pytest.mark.parametrize(
    ("method", "names", "told"),
    [
        ("none", (), ""),
        ("classifier_magnitude", ("classifier/kernel",), "classifier"),
        ("layer", ("layers",), "layers"),
        ("vocabulary", ("word_embeddings/embeddings",), "words"),
        ("row", [f"transformer/layer_0/{name}/kernel" for name in MATRICES], "encoder"),
        ("row", [f"transformer/layer_0/{name}/kernel" for name in MATRICES[:2]], "attention"),
        ("row", [f"transformer/layer_0/{name}/kernel" for name in MATRICES[2:]], "feed-forward"),
    ],
)
def test_the_scope_is_told_by_the_method_or_by_the_names_of_the_weights(method, names, told):
    class Record:
        config: ClassVar = {"pruning_method": method}
        encoder: ClassVar = {"family": "bert"}
        sparsity: ClassVar = dict.fromkeys(names, 0.5)

    assert survey_rows.scope(Record()) == told


def test_robustness_is_the_mean_over_the_splits_and_empty_where_unknown():
    (cell, *_) = Survey(["attention_head"], {"task": "cola"}, "", [1]).cells
    splits = {
        "a": {"typos": {"matthews": 0.5}, "out_of_domain": None},
        "b": {"typos": {"matthews": 0.25}, "out_of_domain": {"matthews": 0.1}},
    }

    class Record:
        config: ClassVar = {"task": "cola"}
        own_task: ClassVar = {}

    one = Costs(cell.configs[0], Record(), {}, {}, splits, "")
    assert survey_rows.robust_score(one, "typos") == 0.375
    assert survey_rows.robust_score(one, "out_of_domain") is None
    splits["b"]["typos"]["matthews"] = math.nan
    assert math.isnan(survey_rows.robust_score(one, "typos"))


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("--methods=heads", "--pruning_method=heads"),
        ("--methods=none", "--methods=none"),
        ("--seq_lengths=64,1000", "--seq_lengths=64,1000"),
        ("--typos=2", "--typos=2.0"),
        ("--final_sparsity=50", "--final_sparsity=50.0"),
        ("--seq_lengths=a", "--seq_lengths=a"),
    ],
)
def test_mistakes_are_told_before_anything_is_run(tmp_path, argument, named):
    done = command("survey", argument, encoder="minilm_l6", data="sample", runs_dir=tmp_path / "r")
    refused(done, named)
    assert not list(tmp_path.rglob("*"))


def test_measured_values_are_strict_json(surveyed):
    _, output, _, _ = surveyed
    text = (output / survey_measure.MEASURED).read_text()
    assert set(json.loads(text)) > {"latency"}
