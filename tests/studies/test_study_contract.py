"""Contract suite: every study, from written records to tables, findings, figures and a text."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest
from study_runs import LABELS, finished, right, write, write_sizes, write_tagged
from written_runs import write_export, write_run, write_session

from bert_glue_tf import studies
from bert_glue_tf.evaluation import significance
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.reports import fitting
from bert_glue_tf.studies import claims, report_plan, zeros
from bert_glue_tf.studies.local_global import LocalGlobal
from bert_glue_tf.studies.local_global_grids import of_tasks
from bert_glue_tf.studies.report import Report
from bert_glue_tf.studies.shared import Shared
from bert_glue_tf.studies.structured import Structured
from bert_glue_tf.studies.study import Study
from bert_glue_tf.studies.survey import Survey
from bert_glue_tf.studies.survey_measure import Costs
from bert_glue_tf.studies.tagging import Tagging

GIVEN = {"encoder": "tiny", "data": "tsv"}


def report(root):
    plans = report_plan.plans(root, [1], 500)
    values = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), 0.5)
    for place, plan in enumerate(plans):
        answers = right(340 - 10 * place)
        settings = {"task": plan.task, "seed": plan.seed, "pruning_method": plan.method}
        write_run(plan.folder, LABELS, answers, history=[{"epoch": 1, **values}], **settings)
        if plan.exported:
            for recipe in ("float32", "dynamic_int8"):
                write_export(plan.folder, recipe, LABELS, answers)
    study = Report(plans, {**GIVEN, "epochs": "1"})
    study.read(plan.folder for plan in plans)
    return study


def written(study, root):
    for place, cell in enumerate(study.cells):
        write(cell, root, [right(340 - 10 * place)] * len(cell.configs))
    return study


def structured(root):
    given = {**GIVEN, "finetune_epochs": "3"}
    study = written(Structured(["mrpc"], given, [1], block="16x16", sst2_examples=0), root)
    write(study.cells[0].starting_point, root, [right(200)])
    # So that the report's order is another than ours, and pairs are asked for both ways.
    for place, method in enumerate(("magnitude", "row", "column", "block")):
        study._theirs[method]["mrpc"] = float(place)
    return finished(study, root)


def local_global(root):
    return finished(written(LocalGlobal(of_tasks(["mrpc"], GIVEN, [0.5, 0.9], [1, 2])), root), root)


def survey(root):
    given = {**GIVEN, "task": "mrpc"}
    study = finished(written(Survey(["layer", "block"], given, "", [1]), root), root)
    latency = {"32": {"p50": 2.0, "p90": 3.0, "min": 1.0, "float32_p50": 4.0}}
    for place, cell in enumerate(study.cells):
        (config,) = cell.configs
        folder = study.folder(config)
        for recipe in ("float32", "dynamic_int8"):
            write_export(folder, recipe, LABELS, right(340), megabytes=25 - place)
        files = ExportFolder(folder / FOLDER).records()
        record = study.records[config.run_name]
        study.costs[cell.label] = Costs(config, record, files, latency, {}, "", "one")
    folders = [study.folder(cell.configs[0]) for cell in study.cells]
    write_session(*folders, name="one")
    return study


def shared(root):
    given = {**GIVEN, "finetune_epochs": "2"}
    names = ["0.75", "0.5", "0.25"]
    study = Shared(["tiny/mrpc"], given, [1], names)
    unpruned, *trained = study.cells
    write(unpruned, root, [right(340)])
    for place, cell in enumerate(trained):
        write_sizes(cell, root, names, [right(300 - place), right(330), right(335 + place)])
    return finished(study, root)


def tagging(root):
    study = Tagging(["rest14"], ["linear", "crf"], ["2e-5", "2e-4"], GIVEN, [1, 2])
    for place, cell in enumerate(study.cells):
        write_tagged(cell, root, [20 + 4 * place, 22 + 4 * place])
    return finished(study, root)


MADE = {
    Tagging: tagging,
    Report: report,
    Structured: structured,
    Shared: shared,
    LocalGlobal: local_global,
    Survey: survey,
}


def every_study():
    """Every study in the folder, found by its class."""
    found = set()
    for module in pkgutil.iter_modules(studies.__path__, f"{studies.__name__}."):
        for _, value in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(value, Study) and not inspect.isabstract(value):
                found.add(value)
    return sorted(found, key=lambda one: one.name)


@pytest.fixture(params=every_study(), ids=lambda one: one.name)
def study(request, tmp_path, monkeypatch):
    """A finished study of records that say who was right; no model is loaded for its zeros."""
    monkeypatch.setattr(zeros, "sizes", lambda folder: {"classifier/kernel": 32})
    return MADE[request.param](tmp_path / "runs")


def test_it_has_cells_tables_findings_and_a_text(study):
    assert len(study.cells) > 1
    assert len({*study.cells}) == len(study.cells)
    assert all(study.group(cell) is not None for cell in study.cells)
    tables = study.tables()
    assert tables
    for table in tables.values():
        assert table.rows
        assert len({*table.heads}) == len(table.heads)
        assert all(row.values() for row in table.texts())
    text = study.text()
    assert text.startswith("# ")
    assert text.endswith("\n")
    for line in study.findings():
        assert f"- {line}\n" in text


def test_its_tables_fit_a_terminal_of_80_columns(study):
    shown = [section.table.filled() for section in study.sections() if section.table is not None]
    assert shown
    for table in shown:
        assert table.rows
        lines, left_out = fitting.fitted(table, 80)
        assert max(map(len, lines)) <= 80
        assert not {"report", "ours", "score", "published", "local", "global"} & {*left_out}
    heads = {head for table in study.tables().values() for head in table.heads}
    assert any("interval" in head for head in heads)


def test_its_answers_are_to_claims_of_the_documents(study):
    names = {claim.name for claim in claims.CLAIMS if claim.name.startswith(f"{study.name}.")}
    answers = study.answers()
    assert answers
    assert {one.claim for one in answers} <= names
    assert all(one.verdict is not claims.Verdict.NOT_RUN and one.numbers for one in answers)


def test_its_rows_hold_values_and_no_texts_of_numbers(study):
    for table in study.tables().values():
        for row in table.values():
            for head, value in row.items():
                assert not (isinstance(value, str) and value[:1].isdigit()), head


def test_a_bootstrap_is_computed_once_for_each_pair(study, tmp_path, monkeypatch):
    asked = []
    compare = significance.compare

    def counted(problem, metric, labels, first, second, **options):
        pair = sorted([[one.tobytes() for one in first], [one.tobytes() for one in second]])
        asked.append((metric, pair))
        return compare(problem, metric, labels, first, second, **{**options, "resamples": 20})

    monkeypatch.setattr(significance, "compare", counted)
    study.tables()
    study.findings()
    assert asked
    assert all(one not in asked[:place] for place, one in enumerate(asked))
    once = len(asked)
    study.text()
    study.write(tmp_path / "out")
    study.tables()
    study.findings()
    assert len(asked) == once


def test_it_writes_its_files(study, tmp_path):
    output = tmp_path / "out"
    study.write(output)
    names = {path.name for path in output.iterdir()}
    assert f"{study.name}.md" in names
    assert {f"{name}.{ending}" for name in study.figures() for ending in ("svg", "png")} <= names
    again = tmp_path / "again"
    study.write(again)
    for path in output.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name
