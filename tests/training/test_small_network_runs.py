"""Runs of small networks: one that was interrupted within an epoch ends as if it had not been."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_small

from bert_glue_tf.data.arrays import VALUES
from bert_glue_tf.export import launch, one_file
from bert_glue_tf.models import saving, sizes
from bert_glue_tf.runs import finished
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


@pytest.mark.slow
@pytest.mark.parametrize("training", ["together", "none"])
def test_each_size_has_the_means_and_variances_of_its_own(tmp_path, training):
    read = tiny_small.examples(45, (10, 6))
    split = np.array(["train"] * 30 + ["val"] * 15)
    np.savez(tmp_path / "rows.npz", X=read.values, y=read.labels, split=split)
    settings = ExperimentConfig(
        task="images",
        data=str(tmp_path / "rows.npz"),
        encoder="okg_net",
        epochs=4,
        batch_size=30,  # All examples, so that each step gathers the same.
        learning_rate=3e-3,
        dropout=0.0,
        pruning_method="shared",
        pruning_options=f"sparsities=0.9,0.6,0.3 training={training}",
        **({"pruning_schedule": "one_shot"} if training == "together" else {}),
    )
    experiment.train_and_evaluate(settings, RunFolder.open(tmp_path / "run", settings))
    run = finished.Run.read(tmp_path / "run")
    x = {VALUES: read.values[:30].astype(np.float32)}
    whole = saving.load_classifier(run.folder.model)
    for name in ("0.9", "0.6"):
        size = run.of_size(name)
        own = sizes.own_variables(size.folder.model)
        assert own
        assert all(one.endswith(("/mean", "/variance")) for one in own)
        model = saving.load_classifier(size.folder.model)
        # By its own batch a network is normalized in training, and by what it gathered behind it.
        seen, gathered = (model(x, training=is_seen).numpy() for is_seen in (True, False))
        np.testing.assert_allclose(gathered, seen, atol=1e-3)
        of_whole = [v for v in whole.variables if v.name.split(":")[0].endswith("/mean")]
        of_size = [v for v in model.variables if v.name.split(":")[0].endswith("/mean")]
        assert of_size
        pairs = zip(of_whole, of_size, strict=True)
        assert any(np.abs(a.numpy() - b.numpy()).max() > 1e-3 for a, b in pairs)
    if training == "none":  # The whole one is masked as well, and behind its last step.
        seen, gathered = (whole(x, training=is_seen).numpy() for is_seen in (True, False))
        np.testing.assert_allclose(gathered, seen, atol=1e-3)
        exported = launch.launch_sizes(
            run.path, recipes=["float32"], threads=1, latency_repetitions=2
        )
        # Its networks are timed by arrays, and not by the features of texts.
        (record,) = one_file.write(exported, threads=1, repetitions=2)
        assert list(record.milliseconds) == ["0.3", "0.6", "0.9"]
