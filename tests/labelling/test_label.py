"""The label command as a user gives it: killed, given again, and with a damaged part."""

from __future__ import annotations

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import tiny_files
from messages import refused

from bert_glue_tf.labelling import launch, plan
from bert_glue_tf.sweeps.executors.local import LocalExecutor

pytestmark = [pytest.mark.processes, pytest.mark.slow]


def command(*arguments):
    return [sys.executable, "-m", "bert_glue_tf.label", *map(str, arguments)]


def call(*arguments):
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_files.write(tmp_path_factory.mktemp("model"))


@pytest.fixture
def texts(tmp_path):
    """A folder with six parts, of which one is damaged."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(5):
        rows = [[str(i), f"the film was good {i}"] for i in range(3000)]
        with (folder / f"{number}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["id", "sentence"], *rows])
    (folder / "5.csv").write_text("id,sentence\n1\n")
    return folder


def test_killed_and_given_again_each_part_is_labelled_once(tmp_path, model, texts):
    out = tmp_path / "labelled"
    arguments = (f"--model={model}", f"--input={texts}/*.csv", f"--output={out}")
    first = subprocess.Popen(command(*arguments, "--workers=1"), stderr=subprocess.DEVNULL)
    until = time.monotonic() + 90
    while not list(out.glob("*.csv")):
        assert time.monotonic() < until
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    log = out / ".labelling" / "shares" / "share-0000.log"
    time.sleep(1.0)  # Its process ends with it.
    done = {path: path.stat().st_mtime_ns for path in out.glob("*.csv")}
    known = list((out / ".labelling" / "parts").glob("*.json"))
    size = log.stat().st_size
    time.sleep(0.5)
    assert log.stat().st_size == size

    again = call(*arguments, "--workers=2")
    assert again.returncode == 1
    assert "5.csv: FAILED: " in again.stdout
    assert f"{texts}/5.csv:2: 1 cell(s) instead of 2" in again.stdout.replace("\n", " ")
    assert "15,000 rows in 5 part(s)" in again.stdout
    for number in range(5):
        with (out / f"{number}.csv").open(newline="") as file:
            rows = list(csv.reader(file))
        assert rows[0] == ["id", "sentence", "predicted_label", "probability"]
        assert [row[0] for row in rows[1:]] == [str(i) for i in range(3000)]
        assert {(row[2], row[3]) for row in rows[1:]} == {("negative", "0.500000")}
    for path, changed in done.items():  # What was noted as done was not done again.
        if any(json.loads(state.read_text())["rows"] and state.name == f"{path.name}.json"
               for state in known):  # fmt: skip
            assert path.stat().st_mtime_ns == changed
    assert sorted(os.listdir(out)) == [".labelling", *(f"{number}.csv" for number in range(5))]


def test_a_part_that_kills_its_process_stops_no_other(tmp_path, monkeypatch):
    settings = plan.LabelSettings(str(tmp_path / "model"), "1", root=f"{tmp_path}/texts")
    monkeypatch.setattr(plan.LabelSettings, "of", lambda *_: settings)
    (tmp_path / "texts").mkdir()
    for place, name in enumerate(("1.csv", "2.csv", "die.csv", "3.csv")):
        (tmp_path / "texts" / name).write_text("x" * (9 - place))  # Their order in the share.
    program = pathlib.Path(__file__).parents[1] / "programs" / "labelled_share.py"

    def label():
        executor = LocalExecutor(1, [sys.executable, str(program)])
        pattern, output = f"{tmp_path}/texts/*", tmp_path / "labelled"
        return launch.label("model", pattern, output, executor=executor)

    for _ in range(2):
        outcome = label()
        assert sorted(outcome.states) == ["1.csv", "2.csv", "3.csv"]
        assert "SIGKILL" in outcome.failures["die.csv"]
    assert outcome.earlier == {"1.csv", "2.csv", "3.csv"}


def test_mistakes_are_told_before_a_process_is_started(tmp_path, model, texts):
    out = tmp_path / "out"
    good = {"model": model, "input": f"{texts}/*.csv", "output": out}
    for changed, named in (
        ({"model": ""}, "--model"),
        ({"input": tmp_path / "*.csv"}, "--input"),
        ({"model": tmp_path / "none.tflite"}, "--model"),
        ({"at": "recall"}, "--at=recall"),
        ({"text_columns": "a,b"}, "--text_columns=a,b"),
        ({"cluster": "localhost"}, "--cluster=localhost"),
    ):
        flags = [f"--{name}={value}" for name, value in {**good, **changed}.items()]
        refused(call(*flags), named)
    assert not out.exists()
    assert pathlib.Path(texts).exists()
