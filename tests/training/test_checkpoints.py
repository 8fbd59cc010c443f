"""The states of a training on disk, written and damaged by hand."""

from __future__ import annotations

import pytest
import tensorflow as tf
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.training.checkpoints import Checkpoints, newest


def state(value: float) -> tf.train.Checkpoint:
    return tf.train.Checkpoint(weight=tf.Variable(value))


def steps(folder) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.index"))


def test_the_newest_two_are_kept_and_nothing_else(tmp_path):
    states = Checkpoints(tmp_path, 0)
    for step in (10, 20, 30):
        states.save(state(float(step)), step)
    assert steps(tmp_path) == ["step-20", "step-30"]
    assert newest(tmp_path) == "step-30.index"
    restored = state(0.0)
    again = Checkpoints(tmp_path, 3)
    assert again.step == 30
    again.restore(restored)
    assert float(restored.weight) == 30.0


def test_a_damaged_state_does_not_take_the_place_of_a_good_one(tmp_path):
    states = Checkpoints(tmp_path, 0)
    states.save(state(10.0), 10)
    states.save(state(18.0), 18)
    (data,) = tmp_path.glob("step-18.data-*")
    data.write_bytes(data.read_bytes()[:-3])
    (tmp_path / "step-19_temp").mkdir()  # Of a process that was killed while it wrote.
    states = Checkpoints(tmp_path, 1)
    assert states.step == 10
    states.save(state(20.0), 20)
    assert steps(tmp_path) == ["step-10", "step-20"]
    assert not (tmp_path / "step-19_temp").exists()


def test_a_state_of_another_model_is_refused(tmp_path):
    Checkpoints(tmp_path, 0).save(state(10.0), 10)
    other = tf.train.Checkpoint(kernel=tf.Variable(1.0))
    with refuses(UserError, "step-10"):
        Checkpoints(tmp_path, 1).restore(other)


def test_a_save_that_fails_leaves_the_earlier_state(tmp_path, monkeypatch):
    states = Checkpoints(tmp_path, 0)
    states.save(state(10.0), 10)

    def full(self, prefix):
        (tmp_path / "step-20.data-00000-of-00001").write_bytes(b"half")
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.train.Checkpoint, "write", full)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        states.save(state(20.0), 20)
    assert steps(tmp_path) == ["step-10"]
    assert not list(tmp_path.glob("step-20*"))
