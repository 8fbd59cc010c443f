"""Arrays as examples: their batches, their random changes, and the settings that mean nothing."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_small
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import batching, tasks
from bert_glue_tf.data.arrays import VALUES, ArrayReader, Arrays, EncodedArrays
from bert_glue_tf.data.batching import Batching, Split
from bert_glue_tf.data.layouts import Padded
from bert_glue_tf.data.modality import TEXTS
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training import task_settings


def test_a_batch_is_float32_and_has_one_position_an_example():
    values = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    encoded = ArrayReader((2, 3)).read(values)
    assert (encoded.lengths.tolist(), encoded.cut, len(encoded)) == ([1, 1, 1, 1], 0, 4)
    batch = encoded.batch([2, 0], 1)[VALUES]
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(batch, values[[2, 0]])
    np.testing.assert_array_equal(encoded.take([3]).values, values[[3]])
    assert encoded.read_whole(1).all()
    outputs = np.ones((2, 5))
    assert encoded.answers(outputs, [0, 1]) is outputs
    with refuses(ValueError, "words"):
        encoded.spread(outputs, 0.0)


def test_arrays_of_another_shape_are_refused():
    with refuses(UserError, "[2, 4]", "[2, 3]"):
        ArrayReader((2, 3)).read(np.zeros((5, 2, 4)))
    with refuses(UserError, "[28, 28, 1]", "texts"):
        tasks.get("mnist").modality.reader(object(), tasks.get("mnist"), 128, "head")


def test_the_reader_is_written_and_read_again(tmp_path):
    ArrayReader((4, 5)).write(tmp_path / "read")
    modality = Arrays(shape=(4, 5))
    assert modality.load(str(tmp_path / "read"), "x") == ArrayReader((4, 5))
    with refuses(UserError, "the folder", "arrays.json"):
        modality.load(str(tmp_path), "the folder")


def test_a_padded_layout_lays_any_modality():
    layout = Padded(lengths=(1,), modality=Arrays(shape=(2, 3)), parts=2)
    encoded = EncodedArrays(np.ones((5, 2, 3), np.uint8))
    assert layout.inputs == (VALUES,)
    assert [len(one) for one in layout.batches(encoded.lengths, 2)] == [2, 2, 1]
    # Filled up to what two parts can share.
    assert layout.features(encoded, np.array([4]))[VALUES].shape == (2, 2, 3)
    assert layout.signature()[VALUES].shape.as_list() == [None, 2, 3]
    assert not layout.lengths_differ
    assert Padded().lengths_differ


# --- random changes of pictures ---


def test_pictures_are_moved_and_mirrored_by_seed_and_epoch():
    values = np.arange(6 * 16 * 16, dtype=np.float32).reshape(6, 16, 16, 1)
    encoded = EncodedArrays(values)
    assert encoded.in_epoch("none", 1, 0) is encoded
    changed = encoded.in_epoch("flip_shift", 1, 0)
    again, later = encoded.in_epoch("flip_shift", 1, 0), encoded.in_epoch("flip_shift", 1, 1)
    one, other, third = (each.batch(range(6), 1)[VALUES] for each in (changed, again, later))
    np.testing.assert_array_equal(one, other)
    assert (one != third).any()
    assert changed.moves.min() >= -2
    assert changed.moves.max() <= 2
    for number, ((down, right), flipped) in enumerate(
        zip(changed.moves, changed.flips, strict=True)
    ):
        source = values[number][:, ::-1] if flipped else values[number]
        moved = np.pad(source, ((2, 2), (2, 2), (0, 0)), mode="edge")
        expected = moved[2 - down : 18 - down, 2 - right : 18 - right]
        np.testing.assert_array_equal(one[number], expected)
    # A batch has what the whole has, whatever it is drawn with.
    np.testing.assert_array_equal(changed.take([4, 1]).batch([1], 1)[VALUES][0], one[1])
    assert encoded.in_epoch("shift", 1, 0).flips is None


def test_the_training_sees_changed_pictures_and_scoring_does_not():
    read = tiny_small.examples(8)
    split = Split("train", EncodedArrays(read.values), read.labels, augmentation="shift")
    layout = tiny_small.layout()
    epochs = [
        list(batching.training_dataset(split, Batching(8, 5), layout, epochs=range(e, e + 1)))
        for e in (0, 0, 1)
    ]
    first, again, second = (one[0][0][VALUES].numpy() for one in epochs)
    np.testing.assert_array_equal(first, again)
    order = Batching(8, 5).epoch(split, 0)[0]
    seen = split.tokens.in_epoch("shift", 5, 0).batch(order, 1)[VALUES]
    np.testing.assert_array_equal(first, seen)
    assert (second != first).any()


# --- settings ---


@pytest.mark.parametrize(
    ("task", "settings", "flag"),
    [
        ("mnist", {"packing": "true"}, "--packing"),
        ("mnist", {"packing_width": 64}, "--packing_width=64"),
        ("mnist", {"seq_length": 64}, "--seq_length=64"),
        ("mnist", {"truncation": "tail"}, "--truncation=tail"),
        ("mnist", {"tagged_pieces": "all"}, "--tagged_pieces=all"),
        ("har", {"augmentation": "shift", "encoder": "har_net"}, "--augmentation=shift"),
        ("mnist", {"encoder": "minilm_l6"}, "--encoder=minilm_l6"),
        ("mnist", {"encoder": "har_net"}, "--encoder=har_net"),
        ("cola", {"encoder": "lenet5"}, "--encoder=lenet5"),
        ("cola", {"encoder": "minilm_l6", "augmentation": "shift"}, "--augmentation=shift"),
    ],
)
def test_settings_of_other_examples_are_refused(task, settings, flag):
    config = ExperimentConfig(task=task, **{"encoder": "lenet5", **settings})
    with refuses(UserError, flag):
        task_settings.check(config, tasks.get(task))


def test_good_settings_are_taken():
    task = tasks.get("mnist")
    task_settings.check(
        ExperimentConfig(task="mnist", encoder="lenet5", augmentation="flip_shift"), task
    )
    task_settings.check(ExperimentConfig(task="mnist", encoder="sqnxt23"), task)


def test_what_is_for_texts_says_so():
    TEXTS.require_texts("--text")
    with refuses(UserError, "--client=mediapipe", "pictures"):
        tasks.get("mnist").modality.require_texts("--client=mediapipe")
    with refuses(UserError, "--model=x", "Good: a model of texts."):
        tasks.get("mnist").modality.require_texts("--model=x", "a model of texts")
