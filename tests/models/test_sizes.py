"""The smaller networks of a run as files: read by several at once, and damaged."""

from __future__ import annotations

import json
import shutil
import threading

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models import sizes
from bert_glue_tf.models.sizes import Masks, Parts

FIRST = np.array([[0, 1, 2], [2, 0, 1]], np.uint8)
WHOLE = {
    "one/kernel": np.arange(1, 7, dtype=np.float32).reshape(2, 3),
    "one/mean": np.array([1.0, 2.0], np.float32),
}
OWN = np.array([3.0, 4.0], np.float32)
SMALL = {"one/kernel": np.where(FIRST == 0, WHOLE["one/kernel"], 0), "one/mean": OWN}


def save(folder, values):
    """A checkpoint as that of a SavedModel."""
    variables = {name: tf.Variable(value, name=name) for name, value in values.items()}
    held = {name.replace("/", "_"): variable for name, variable in variables.items()}
    tf.train.Checkpoint(**held).write(str(folder / "variables" / "variables"))


@pytest.fixture
def folder(tmp_path):
    """The detached network of a run, whose mean is its own."""
    save(tmp_path / "model", WHOLE)
    folder = tmp_path / "sizes" / "0.6" / "model"
    save(folder, SMALL)
    masks = Masks(2, {"one/kernel": FIRST})
    masks.write(tmp_path / "sizes" / sizes.MASKS)
    sizes.detach(folder, WHOLE, Parts(0, masks, {}), "0.6")
    assert sizes.own_variables(folder) == ["one/mean"]
    assert sizes.own_weights(folder) == len(OWN)
    return folder


def values(folder):
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    found = reader.get_variable_to_shape_map()
    return {
        name: reader.get_tensor(key)
        for name in SMALL
        for key in found
        if key.startswith(name.replace("/", "_"))
    }


def is_whole(folder):
    found = values(folder)
    assert set(found) == set(SMALL)
    for name, value in SMALL.items():
        np.testing.assert_array_equal(found[name], value)


def test_several_readers_at_once_find_the_weights(folder, monkeypatch):
    readers = 3
    together = threading.Barrier(readers)
    write = sizes._write

    def at_once(*arguments):
        together.wait(timeout=60)
        write(*arguments)

    monkeypatch.setattr(sizes, "_write", at_once)
    failed = []

    def read():
        try:
            sizes.restore(folder)
        except UserError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=read) for _ in range(readers)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failed == []
    is_whole(folder)
    assert [path for path in folder.iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_cannot_be_written_is_told(folder, monkeypatch):
    def fails(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sizes.os, "replace", fails)
    with refuses(UserError, str(folder), "No space left on device"):
        sizes.restore(folder)


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_metadata(path):
    path.write_bytes(safetensors.numpy.save(safetensors.numpy.load(path.read_bytes())))


def without_checksums(path):
    told = json.loads(path.read_text())
    del told["sha256"]
    path.write_text(json.dumps(told))


MASKS, ABOUT = "sizes/masks.safetensors", "sizes/0.6/model/size.json"
KEPT, INDEX = "sizes/0.6/model/own.safetensors", "model/variables/variables.index"
DATA = "model/variables/variables.data-00000-of-00001"


@pytest.mark.parametrize(
    ("file", "damage", "named"),
    [
        (MASKS, lambda path: flip(path, -1), "masks.safetensors has another SHA-256"),
        (KEPT, lambda path: flip(path, -1), "own.safetensors has another SHA-256"),
        (MASKS, lambda path: path.unlink(), "masks.safetensors"),
        (INDEX, cut, "variables"),
        (DATA, cut, "not whole"),
        (DATA, lambda path: flip(path, 3), "variables"),
        (ABOUT, lambda path: path.write_text("[]"), "size.json holds no object"),
        (ABOUT, lambda path: path.write_text("{}"), "'number' is missing"),
        (ABOUT, lambda path: path.write_text('{"number": [], "shapes": 1}'), "number is []"),
        (ABOUT, cut, "not whole"),
    ],
)
def test_a_damaged_copy_is_told_in_one_message(folder, file, damage, named):
    run = folder.parents[2]
    damage(run / file)
    with refuses(UserError, str(folder), "Copy the whole folder of that run", named):
        sizes.restore(folder)
    assert not (folder / "variables").exists()


def test_masks_without_their_shapes_are_told(folder):
    run = folder.parents[2]
    without_checksums(run / ABOUT)  # As an earlier version has written it: read all the same.
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    sizes.restore(copy)
    is_whole(copy)
    without_metadata(run / MASKS)
    with refuses(UserError, "masks.safetensors does not say whose masks it holds"):
        sizes.restore(folder)
