"""The plots of the survey in docs/results are those of its records."""

from __future__ import annotations

import importlib.util
import pathlib

import pytest

from bert_glue_tf.reports import formats

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def survey():
    spec = importlib.util.spec_from_file_location("draw_survey", ROOT / "docs" / "draw_survey.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("cost", ["size", "latency"])
def test_a_plot_names_every_model_of_the_records_with_its_mark(survey, cost):
    text = (ROOT / "docs" / "results" / f"survey_cola_{cost}.svg").read_text(encoding="utf-8")
    groups = survey.groups()
    assert len(groups) == 20
    for one in groups:
        assert f"<!-- {formats.with_mark(one.name, one.mark)} -->" in text
