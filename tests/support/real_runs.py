"""A run of the embedded encoder on real texts, exported: what the bars of the files are held to."""

from __future__ import annotations

import fcntl
import os
import pathlib

import pytest
from messages import ROOT

from bert_glue_tf.data import readers
from bert_glue_tf.export import exporter, making
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.mediapipe import client
from bert_glue_tf.export.mediapipe.exporter import MediaPipeExport
from bert_glue_tf.export.settings import ExportSettings, identity
from bert_glue_tf.models.quantization import recipes
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.runs.run_folder import RunFolder

RECIPES = ("dynamic_int8", "int8", "int4")
MEDIAPIPE_LENGTH = 32
# Another environment than that of `make clients`.
CLIENTS_PYTHON = "BERT_GLUE_TF_CLIENTS_PYTHON"


def clients_python() -> pathlib.Path | None:
    """A Python with MediaPipe; None where there is none."""
    given = os.environ.get(CLIENTS_PYTHON) or ROOT / client.USUAL_PYTHON
    return pathlib.Path(given) if pathlib.Path(given).is_file() else None


def made_once(base: pathlib.Path, glue: pathlib.Path) -> Run:
    """The run on CoLA in a folder that the processes of a test run share: the first makes it."""
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cola"
    root.mkdir(exist_ok=True)
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "done").exists():
            make(root / "run", "cola", glue)
            (root / "done").touch()
    return Run.read(root / "run")


def make(path: pathlib.Path, task: str, glue: pathlib.Path) -> Run:
    """Train on a part of the real training split, and export; CoLA for MediaPipe too."""
    from bert_glue_tf.training import experiment

    is_cola = task == "cola"
    config = ExperimentConfig(
        task=task,
        encoder="minilm_l6",
        data=str(glue),
        # So much that it has learned something: of a constant nothing can be lost. Without the
        # encoder's dropout it learns in fewer steps, and each is faster.
        epochs=2,
        encoder_dropout=0.0,
        learning_rate=1e-4,
        train_examples=2400 if is_cola else 1600,
    )
    experiment.train_and_evaluate(config, RunFolder.open(path, config))
    run = Run.read(path)
    examples = readers.load_for_training(run.task, config.data, config.train_examples)
    settings = ExportSettings((32, 64) if is_cola else (128,), 64, latency_repetitions=15)
    folder = ExportFolder.open(path / FOLDER, identity(run, settings))
    with pytest.MonkeyPatch.context() as patch:
        # Of 64, and for each of some fifty operators: most of the time.
        patch.setattr(making, "PROBE_EXAMPLES", 16)
        exporter.export(run, settings, [recipes.get(name) for name in RECIPES], folder, examples)
    if is_cola:
        further = MediaPipeExport(run, examples, MEDIAPIPE_LENGTH, clients_python())
        further.make(folder, settings, [recipes.get("dynamic_int8")])
    return run
