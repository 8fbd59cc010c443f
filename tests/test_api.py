"""The names for Python users: light, complete, and the same for a type checker."""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import subprocess
import sys

import numpy as np
import pytest
from messages import refuses
from written_runs import write_run, wrong_at

from bert_glue_tf import api

ROOT = pathlib.Path(api.__file__).parents[1]
HEAVY = ("tensorflow", "numpy", "pandas", "matplotlib", "scipy", "rich")


def python(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_the_import_is_light():
    code = (
        "import json, sys, time\n"
        "start = time.process_time()\n"
        "from bert_glue_tf import api\n"
        "print(json.dumps([time.process_time() - start, sorted(sys.modules)]))\n"
    )
    found = [json.loads(python(code)) for _ in range(3)]
    assert statistics.median(seconds for seconds, _ in found) < 0.5
    assert not set(found[0][1]) & set(HEAVY)


def test_settings_need_no_tensorflow():
    code = (
        "import sys\n"
        "from bert_glue_tf import api\n"
        "settings = api.ExperimentConfig(task='mrpc', pruning_method='random')\n"
        "assert settings.epochs == 3\n"
        "api.register, api.RunFolder, api.UserError, api.TASKS, api.load_examples\n"
        "print('tensorflow' in sys.modules)\n"
    )
    assert python(code).strip() == "False"


def test_every_name_resolves():
    assert len(set(api.__all__)) == len(api.__all__)
    for name in api.__all__:
        assert getattr(api, name) is not None
        assert name in dir(api)
    with pytest.raises(AttributeError, match="no attribute 'tusk'"):
        api.tusk  # noqa: B018


@pytest.mark.processes
def test_a_type_checker_sees_what_is_imported():
    """The imports under TYPE_CHECKING give the same objects as the names do."""
    code = (
        "import importlib, typing\n"
        "from bert_glue_tf import api\n"
        "given = {name: getattr(api, name) for name in api._HOMES}\n"
        "typing.TYPE_CHECKING = True\n"
        "for name in given:\n"
        "    vars(api).pop(name, None)  # Else what the names gave would stay.\n"
        "importlib.reload(api)\n"
        "for name in given:\n"
        "    assert vars(api)[name] is given[name], name\n"
        "print('same')\n"
    )
    assert python(code).strip() == "same"


def test_a_wrong_setting_is_answered_as_by_the_command(tmp_path):
    settings = api.ExperimentConfig(encoder="minilm_l6", data=str(tmp_path / "nothing"))
    with refuses(api.UserError, f"--data={settings.data}"):
        api.train(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with refuses(api.UserError, tmp_path / "run"):
        api.export(tmp_path / "run")
    with refuses(api.UserError, tmp_path / "run"):
        api.export_hf(str(tmp_path / "run"))
    with refuses(api.UserError, f"--model={tmp_path}/nothing"):
        api.import_classifier(tmp_path / "nothing", task="mnli")
    with refuses(api.UserError, "epochs=2", "nothing is trained"):
        api.import_classifier(tmp_path, epochs=2)


def test_folders_may_be_texts(tmp_path):
    nowhere = str(tmp_path / "nowhere")
    with refuses(api.UserError, f"--runs={nowhere}: no such folder"):
        api.benchmark([nowhere])
    with refuses(api.UserError, f"--model={nowhere}: no such file or folder"):
        api.Classifier.load(nowhere)
    labels = np.arange(8) % 2
    run = str(write_run(tmp_path / "run", labels, wrong_at(labels, [0])))
    (record,) = api.load_results(f"{run}/results.jsonl")
    models = api.read_models([run])
    assert [model.primary for model in models] == [record.metrics["accuracy"]]
    page = api.write_comparison(str(tmp_path / "out"), api.group_models(models), [])
    assert page == tmp_path / "out" / "report.html"
