"""Contract suite: every executor of sweeps, with a process that ends at once as the run."""

from __future__ import annotations

import os
import pathlib
import sys
import time

import numpy as np
import pytest
import written_runs
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.sweeps import grid as grids
from bert_glue_tf.sweeps import plan
from bert_glue_tf.sweeps.executors import base
from bert_glue_tf.sweeps.executors.dask_executor import DaskExecutor
from bert_glue_tf.sweeps.executors.local import LocalExecutor

STAND_IN = pathlib.Path(__file__).parents[1] / "programs" / "ended_run.py"
GOOD, BAD, LONG = 1, 2, 3

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A file with the record that every run writes."""
    labels = np.array([0, 1] * 4)
    folder = tmp_path_factory.mktemp("template") / "run"
    return written_runs.write_run(folder, labels, written_runs.wrong_at(labels, [0]), task="sst2")


@pytest.fixture(scope="module")
def cluster(template):
    """The address of a scheduler with two workers on this machine."""
    distributed = pytest.importorskip("distributed")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TEMPLATE", str(template / "results.jsonl"))
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address=None
        ) as made:
            yield made.scheduler_address


@pytest.fixture(params=["local", "dask"])
def executor(request, template, monkeypatch):
    """Each executor, with a program that stands in for a training."""
    program = [sys.executable, str(STAND_IN)]
    monkeypatch.setenv("TEMPLATE", str(template / "results.jsonl"))
    if request.param == "local":
        made = LocalExecutor(2, program)
    else:
        made = DaskExecutor(request.getfixturevalue("cluster"), program)
    yield made
    made.close()


@pytest.fixture
def runs(tmp_path):
    """The good, the bad and the long run, by their seeds."""
    settings = grids.configurations({"task": "sst2"}, grids.parse_grid("seed=1,2,3"))
    return {run.config.seed: run for run in plan.plan(settings, tmp_path / "runs")}


def wait(job):
    until = time.monotonic() + 60
    while not job.is_over():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_run_is_run_and_its_record_is_returned_with_its_seconds(executor, runs):
    executor.check(list(runs.values()))
    job = executor.begin(runs[GOOD])
    assert isinstance(job, base.Job)
    assert job.task is runs[GOOD]
    wait(job)
    ended = executor.collect(job)
    assert isinstance(ended, base.Finished)
    assert ended.record == runs[GOOD].folder.record()
    assert 0 < ended.seconds < 60


def test_a_run_that_fails_says_why(executor, runs):
    executor.check(list(runs.values()))
    job = executor.begin(runs[BAD])
    wait(job)
    ended = executor.collect(job)
    assert isinstance(ended, base.Failed)
    assert "a defect" in ended.message


def test_a_finished_run_is_not_run_again(executor, runs):
    executor.check(list(runs.values()))
    job = executor.begin(runs[GOOD])
    wait(job)
    executor.collect(job)
    again = executor.begin(runs[GOOD])
    assert isinstance(again, base.Finished)
    assert again.seconds is None


def test_a_run_of_somebody_else_is_not_begun_and_free_again_after_a_stop(executor, runs):
    executor.check(list(runs.values()))
    job = executor.begin(runs[LONG])
    begun = runs[LONG].folder.path.parent / "begun"
    until = time.monotonic() + 60
    while not begun.exists():  # On a worker it takes the lock itself.
        assert time.monotonic() < until
        time.sleep(0.02)
    assert executor.begin(runs[LONG]) is None
    began = time.monotonic()
    executor.stop([job])
    assert time.monotonic() - began < 30
    lock = type(runs[LONG].folder).open(runs[LONG].folder.path, runs[LONG].config).hand_over()
    os.close(lock)


def test_a_folder_of_another_run_is_refused(executor, runs):
    executor.check(list(runs.values()))
    folder = runs[GOOD].folder
    type(folder).open(folder.path, runs[BAD].config)
    folder.history_file.write_text("epoch\n")  # A training has begun.
    with refuses(UserError, folder.path, "seed"):
        executor.begin(runs[GOOD])
