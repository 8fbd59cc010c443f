"""Runs of small networks: one that was interrupted within an epoch ends as if it had not been."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_small

from bert_glue_tf.models import saving
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import callbacks, experiment


@pytest.fixture(params=[("lenet5", (12, 12, 1), "flip_shift"), ("okg_net", (10, 6), "none")])
def settings(request, tmp_path):
    """A run whose pictures are moved, and one whose batches are normalized, under a method."""
    encoder, shape, augmentation = request.param
    read = tiny_small.examples(60, shape)
    split = np.array(["train", "val"] * 30)
    np.savez(tmp_path / "rows.npz", X=read.values, y=read.labels, split=split)
    return ExperimentConfig(
        task="images",
        data=str(tmp_path / "rows.npz"),
        encoder=encoder,
        epochs=3,
        batch_size=8,
        learning_rate=3e-3,
        augmentation=augmentation,
        dropout=0.2,
        pruning_method="magnitude",
        final_sparsity=0.5,
    )


@pytest.mark.slow
def test_an_interrupted_epoch_goes_on_with_the_same_pictures(settings, tmp_path, monkeypatch):
    whole = experiment.train_and_evaluate(settings, RunFolder.open(tmp_path / "whole", settings))

    class Stops(callbacks.Checkpoint):
        def on_train_batch_end(self, batch, logs=None):
            self._interruption.came = (self._epoch, batch) == (1, 2)
            super().on_train_batch_end(batch, logs)

    folder = RunFolder.open(tmp_path / "parts", settings)
    with monkeypatch.context() as patched:
        patched.setattr(callbacks, "Checkpoint", Stops)
        with pytest.raises(KeyboardInterrupt):
            experiment.train_and_evaluate(settings, folder)
    parts = experiment.train_and_evaluate(settings, folder)
    assert parts.metrics == whole.metrics
    one, other = (
        saving.load_classifier(tmp_path / name / "model").get_weights()
        for name in ("whole", "parts")
    )
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)
