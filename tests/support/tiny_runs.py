"""Tiny runs for the tests: trained for real and exported, on sentences that can be learned."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from bert_glue_tf.data import readers
from bert_glue_tf.export import exporter
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.settings import ExportSettings, identity
from bert_glue_tf.models.quantization.recipes import get as recipe_called
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.runs.run_folder import RunFolder

_FILLERS = "the a film movie book story man woman it is was very this that he she saw said".split()


def sentences(number: int, seed: int) -> list[tuple[str, int]]:
    """Sentences of 4 to 12 words: `good` or `great` in the positive, `bad` in the others."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(number):
        words = list(random.choice(_FILLERS, random.integers(3, 12)))
        word = ("bad", ("good", "great")[i % 4 // 2])[i % 2]
        words.insert(random.integers(len(words) + 1), word)
        found.append((" ".join(words), i % 2))
    return found


def write_sst2(folder: pathlib.Path) -> pathlib.Path:
    """GLUE's folder SST-2 with train.tsv, dev.tsv and test.tsv; returns `folder`."""
    (folder / "SST-2").mkdir(parents=True)
    for name, number, seed in (("train", 160, 1), ("dev", 60, 2)):
        rows = [f"{text}\t{label}" for text, label in sentences(number, seed)]
        text = "\n".join(["sentence\tlabel", *rows]) + "\n"
        (folder / "SST-2" / f"{name}.tsv").write_text(text)
    rows = [f"{i}\t{text}" for i, (text, _) in enumerate(sentences(30, 3))]
    (folder / "SST-2" / "test.tsv").write_text("\n".join(["index\tsentence", *rows]) + "\n")
    return folder


def train(path: pathlib.Path, encoder: str, source: pathlib.Path, **settings: object) -> Run:
    """A finished run on SST-2's folder below `source`."""
    from bert_glue_tf.training import experiment

    values = {
        "task": "sst2",
        "encoder": encoder,
        "data": str(source),
        # Enough to get every dev sentence right.
        "epochs": 10,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "weight_decay": 0.0,
        "dropout": 0.0,
        "seq_length": 32,
        "seed": 5,
    }
    config = ExperimentConfig(**{**values, **settings})  # type: ignore[arg-type]
    experiment.train_and_evaluate(config, RunFolder.open(path, config))
    return Run.read(path)


def export(
    run: Run, recipes: Sequence[str], lengths: tuple[int, ...] = (8, 16, 32), **more: object
) -> ExportFolder:
    """The run's files, timed a few times only; `more` are further settings."""

    settings = ExportSettings(lengths, 8, 1, 3, **more)  # type: ignore[arg-type]
    folder = ExportFolder.open(run.path / FOLDER, identity(run, settings))
    examples = readers.load_for_training(run.task, run.config.data, run.config.train_examples)
    exporter.export(run, settings, [recipe_called(name) for name in recipes], folder, examples)
    return folder
