"""Files of arrays: what is read of them, and what is said of those that are wrong."""

from __future__ import annotations

import dataclasses
import gzip
import io
import struct
import tarfile

import numpy as np
import pytest
from messages import refuses
from PIL import Image

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers, tasks
from bert_glue_tf.data.array_files import idx
from bert_glue_tf.data.array_files.tfds_arrays import mfcc
from bert_glue_tf.data.settings import DataSettings

MNIST, HAR, KEYWORDS = (tasks.get(name) for name in ("mnist", "har", "keywords"))


def idx_bytes(values: np.ndarray) -> bytes:
    head = struct.pack(f">BBBB{values.ndim}i", 0, 0, 8, values.ndim, *values.shape)
    return head + values.astype(np.uint8).tobytes()


def write_mnist(folder, count=20):
    """Write idx files of pictures that are all of their own number; return pictures by split."""
    found = {}
    for split, start in (("train", 0), ("t10k", 7)):
        labels = (np.arange(count) + start) % 10
        images = np.broadcast_to(labels[:, None, None], (count, 28, 28))
        for kind, values, rank in (("images", images, 3), ("labels", labels, 1)):
            path = folder / f"{split}-{kind}-idx{rank}-ubyte.gz"
            path.write_bytes(gzip.compress(idx_bytes(np.asarray(values))))
        found[split] = labels
    return found


def picture_bytes(colour, size=(8, 6)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def images(data, **settings):
    """Return the task of pictures in a place."""
    return readers.task_of(DataSettings(task="images", data=str(data), **settings))


# --- idx ---


def test_idx_files_are_read_packed_or_not(tmp_path):
    (tmp_path / "mnist").mkdir()
    written = write_mnist(tmp_path / "mnist")
    for split, file in (("train", "train"), ("test", "t10k")):
        read = readers.load(MNIST, str(tmp_path), split)
        np.testing.assert_array_equal(read.labels, written[file])
        assert read.values.shape == (20, 28, 28, 1)
        np.testing.assert_array_equal(read.values[:, 3, 4, 0], written[file])
        assert (read.provenance["name"], read.provenance["range"]) == ("idx", [0.0, 9.0])
    packed = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
    plain = packed.with_suffix("")
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    again = readers.load(MNIST, str(tmp_path / "mnist"), "train")
    np.testing.assert_array_equal(again.values[:, 0, 0, 0], written["train"])


def test_an_idx_file_that_is_cut_short_is_refused_with_its_sizes(tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(whole[:1000]))
    with refuses(UserError, path, "[20, 28, 28]", "15,696", "1,000"):
        readers.load(MNIST, str(tmp_path), "train")
    path.write_bytes(gzip.compress(whole)[:40])
    with refuses(UserError, path, "40 bytes"):
        readers.load(MNIST, str(tmp_path), "train")
    with refuses(UserError, "x-idx3-ubyte", "cut short", "16 bytes", "has 6"):
        idx.parse("x-idx3-ubyte", whole[:6])
    with refuses(UserError, "x-idx3-ubyte", "50 4b"):
        idx.parse("x-idx3-ubyte", b"PK\x03\x04")


def test_images_without_labels_are_refused(tmp_path):
    write_mnist(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(idx_bytes(np.zeros(19))))
    with refuses(UserError, labels, "[19]", "[20, 28, 28]"):
        readers.load(MNIST, str(tmp_path), "train")
    labels.unlink()
    with refuses(UserError, tmp_path, "labels", "train"):
        readers.load(MNIST, str(tmp_path), "train")


# --- npz ---


def test_an_npz_of_parts_is_read(tmp_path):
    x = np.random.default_rng(0).normal(size=(12, 128, 9)).astype(np.float16)
    y = np.arange(12, dtype=np.int8) % 6 + 1
    np.savez(tmp_path / "har.npz", X_train=x, y_train=y, X_test=x[:6], y_test=y[:6])
    read = readers.load(HAR, str(tmp_path), "train")
    np.testing.assert_array_equal(read.labels, y - 1)
    np.testing.assert_array_equal(read.values, x)
    assert len(readers.load(HAR, str(tmp_path / "har.npz"), "test")) == 6
    readers.check(HAR, str(tmp_path))


def test_pictures_of_one_channel_may_lack_its_axis(tmp_path):
    """As Keras's mnist.npz: small letters, and [n, 28, 28]."""
    x = np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((1, 28, 28), np.uint8)
    y = np.arange(10)
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    read = readers.load(MNIST, str(tmp_path), "test")
    assert read.values.shape == (10, 28, 28, 1)
    np.testing.assert_array_equal(read.values[:, 2, 3, 0], y)


def test_an_npz_with_a_column_of_splits_is_read(tmp_path):
    x = np.arange(9 * 490, dtype=np.float32).reshape(9, 49, 10)
    y = np.arange(9, dtype=np.int8) % 3
    split = np.array(["train"] * 3 + ["val"] * 3 + ["test"] * 3)
    names = np.array(["cat", "happy", "bed"])  # In an order of its own.
    np.savez(tmp_path / "words.npz", X=x, y=y, labels=names, split=split)
    read = readers.load(KEYWORDS, str(tmp_path), "validation")
    np.testing.assert_array_equal(read.values, x[3:6])
    assert [KEYWORDS.problem.labels[one] for one in read.labels] == ["cat", "happy", "bed"]


def test_windows_of_another_shape_are_refused(tmp_path):
    x, y = np.zeros((6, 64, 9), np.float32), np.arange(1, 7)
    np.savez(tmp_path / "har.npz", X_train=x, y_train=y, X_test=x, y_test=y)
    with refuses(UserError, "har.npz", "windows", "[64, 9]", "[128, 9]"):
        readers.load(HAR, str(tmp_path), "train")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"y_test": np.array([1, 2, 3, 4, 5, 5])}, ["test", "laying"]),
        ({"y_test": np.array([1, 2, 3, 4, 5, 7])}, ["'7'", "1, 2, 3, 4, 5, 6"]),
        ({"y_test": np.arange(1, 6)}, ["6 examples", "[5]"]),
        ({"X_test": np.full((6, 128, 9), np.nan)}, ["example 0", "finite"]),
        ({"X_test": np.array(["a"] * 6)}, ["X is <U1"]),
        ({"y_test": np.arange(6) / 2}, ["float64"]),
    ],
)
def test_what_is_wrong_in_an_npz_is_named(tmp_path, changes, named):
    x, y = np.zeros((6, 128, 9), np.float32), np.arange(1, 7)
    np.savez(
        tmp_path / "har.npz", **{"X_train": x, "y_train": y, "X_test": x, "y_test": y} | changes
    )
    with refuses(UserError, "har.npz", *named):
        readers.load(HAR, str(tmp_path), "test")


def test_a_file_that_is_no_npz_or_lacks_a_split_is_refused(tmp_path):
    path = tmp_path / "har.npz"
    path.write_bytes(b"PK nothing")
    with refuses(UserError, path, "X_train"):
        readers.check(HAR, str(path))
    np.savez(path, X_train=np.zeros((6, 128, 9)), y_train=np.arange(1, 7))
    with refuses(UserError, path, "no test split", "train"):
        readers.check(HAR, str(path))
    np.savez(path, data=np.zeros((6, 128, 9)))
    with refuses(UserError, path, "no array X", "data"):
        readers.check(HAR, str(path))
    np.savez(tmp_path / "other.npz", X=np.zeros(3))
    with refuses(UserError, "2 .npz files", "har.npz", "other.npz"):
        readers.check(HAR, str(tmp_path))


def test_a_place_without_arrays_is_refused(tmp_path):
    for place in (tmp_path, tmp_path / "none"):
        with refuses(UserError, f"--data={place}"):
            readers.check(HAR, str(place))
    (tmp_path / "notes.txt").write_text("")
    with refuses(UserError, "notes.txt", ".npz"):
        readers.check(HAR, str(tmp_path / "notes.txt"))
    for source in ("sample", "tfds"):
        with refuses(UserError, f"--data={source}", "har"):
            readers.check(HAR, source)


# --- pictures ---


def test_pictures_in_folders_of_classes_are_read(tmp_path):
    for split, classes in (("train", "ab"), ("validation", "ab"), ("test", "ab")):
        for number, name in enumerate(classes):
            folder = tmp_path / split / name / "deeper"
            folder.mkdir(parents=True)
            (folder / "1.png").write_bytes(picture_bytes((10 * number, 20, 30)))
    task = images(tmp_path)
    assert task.problem.labels == ("a", "b")
    assert task.modality.shape == (6, 8, 3)
    assert task.scored_splits == {"": "validation", "_test": "test"}
    read = readers.load(task, str(tmp_path), "train")
    np.testing.assert_array_equal(read.labels, [0, 1])
    np.testing.assert_array_equal(read.values[:, 0, 0], [[0, 20, 30], [10, 20, 30]])
    assert tasks.described("images", tasks.describe(task)) == task


def test_of_classes_alone_a_part_of_each_is_kept_for_validation(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(10):
            (tmp_path / name / f"{number}.png").write_bytes(picture_bytes((number, 0, 0)))
    task = images(tmp_path, validation_fraction=0.2)
    train, kept = (readers.load(task, str(tmp_path), one) for one in ("train", "validation"))
    assert (len(train), len(kept)) == (16, 4)
    assert kept.labels.tolist() == [0, 0, 1, 1]
    seen = {
        (int(label), int(v[0, 0, 0])) for label, v in zip(train.labels, train.values, strict=True)
    }
    assert not seen & {
        (int(label), int(v[0, 0, 0])) for label, v in zip(kept.labels, kept.values, strict=True)
    }
    assert kept.provenance["validation_fraction"] == 0.2
    other = images(tmp_path, validation_fraction=0.2, validation_seed=2)
    again = readers.load(other, str(tmp_path), "validation")
    assert again.values[:, 0, 0, 0].tolist() != kept.values[:, 0, 0, 0].tolist()
    assert tasks.described("images", tasks.describe(task)) == task


def test_tiny_imagenets_layout_in_a_tar_is_read(tmp_path):
    path = tmp_path / "tiny.tar"
    with tarfile.open(path, "w") as file:

        def add(name, raw):
            info = tarfile.TarInfo(f"tiny/{name}")
            info.size = len(raw)
            file.addfile(info, io.BytesIO(raw))

        for name, red in (("n01", 1), ("n02", 2)):
            add(f"train/{name}/images/{name}_0.JPEG.png", picture_bytes((red, 0, 0)))
            add(f"train/{name}/{name}_boxes.txt", b"box")
            add(f"val/images/val_{red}.png", picture_bytes((red + 2, 0, 0)))
        add("val/val_annotations.txt", b"val_1.png\tn02\t0\nval_2.png\tn01\t0\n")
        add("words.txt", b"n01\tone")
    task = images(tmp_path)
    assert (task.problem.labels, task.modality.shape) == (("n01", "n02"), (6, 8, 3))
    read = readers.load(task, str(path), "validation")
    assert sorted(zip(read.labels, read.values[:, 0, 0, 0], strict=True)) == [(0, 4), (1, 3)]
    path.write_bytes(path.read_bytes()[:300])
    with refuses(UserError, path, "tar"):
        images(path)


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    for name in "ab":
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "1.png").write_bytes(picture_bytes("red"))
    broken = tmp_path / "train" / "b" / "2.png"
    broken.write_bytes(picture_bytes("red")[:30])
    with refuses(UserError, "train/b/2.png", "picture"):
        readers.load(images(tmp_path), str(tmp_path), "train")
    broken.write_bytes(picture_bytes("red", (4, 4)))
    with refuses(UserError, "train/b/2.png", "4 x 4", "8 x 6"):
        readers.load(images(tmp_path), str(tmp_path), "train")


def test_one_class_is_none(tmp_path):
    (tmp_path / "train" / "a").mkdir(parents=True)
    (tmp_path / "train" / "a" / "1.png").write_bytes(picture_bytes("red"))
    with refuses(UserError, "1 class(es): a"):
        images(tmp_path)


# --- TFDS ---


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Return a function that prepares a tiny data set of a name under TFDS's folder."""
    import tensorflow_datasets as tfds

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))

    def prepare(name, features, splits):
        class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
            VERSION = tfds.core.Version("3.0.1")

            def _info(self):
                described = tfds.features.FeaturesDict(features)
                return tfds.core.DatasetInfo(builder=self, features=described)

            def _split_generators(self, manager):
                return {split: self._generate_examples(rows) for split, rows in splits.items()}

            def _generate_examples(self, rows):
                yield from enumerate(rows)

        Tiny.name = name
        Tiny(data_dir=str(tmp_path)).download_and_prepare()
        return tmp_path / name

    return prepare


def test_mnist_is_read_from_a_prepared_folder(prepared):
    import tensorflow_datasets as tfds

    rows = [{"image": np.full((28, 28, 1), one, np.uint8), "label": one} for one in range(10)]
    features = {
        "image": tfds.features.Image(shape=(28, 28, 1)),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    prepared("mnist", features, {"train": rows, "test": rows})
    readers.check(MNIST, "tfds")
    read = readers.load(MNIST, "tfds", "test")
    assert sorted(read.labels.tolist()) == list(range(10))
    np.testing.assert_array_equal(read.values[:, 5, 5, 0], read.labels)
    assert (read.provenance["name"], read.provenance["version"]) == ("tfds", "3.0.1")


def test_three_words_of_speech_commands_become_mfccs(prepared):
    import tensorflow as tf
    import tensorflow_datasets as tfds

    names = ["bed", "yes", "cat", "happy"]
    time = np.arange(16_000) / 16_000

    def tone(number):
        return (8000 * np.sin(2 * np.pi * 200 * (number + 1) * time)).astype(np.int16)

    rows = [{"audio": tone(one)[: 16_000 - one], "label": names[one]} for one in range(4)]
    features = {
        "audio": tfds.features.Audio(dtype=np.int16, sample_rate=16_000),
        "label": tfds.features.ClassLabel(names=names),
    }
    prepared("speech_commands", features, {"train": rows, "validation": rows, "test": rows})
    read = readers.load(KEYWORDS, "tfds", "train")
    assert read.values.shape == (3, 49, 10)
    assert sorted(read.labels.tolist()) == [0, 1, 2]
    happy = read.values[read.labels.tolist().index(2)]
    np.testing.assert_allclose(happy, mfcc([tone(3)[:15_997]])[0], atol=1e-4)
    # The first coefficient: twice the sum of the logarithms, by the root of twice their number.
    silence = mfcc([np.zeros(16_000, np.int16)])[0]
    np.testing.assert_allclose(silence[:, 0], 2 * np.log(1e-6) * 40 / np.sqrt(2 * 40), rtol=1e-4)
    np.testing.assert_allclose(silence[:, 1:], 0, atol=1e-3)
    assert tf.is_tensor(tf.zeros(1))  # TensorFlow is needed for TFDS alone.


def test_a_data_set_without_one_of_the_words_is_refused(prepared):
    import tensorflow_datasets as tfds

    features = {
        "audio": tfds.features.Audio(dtype=np.int16, sample_rate=16_000),
        "label": tfds.features.ClassLabel(names=["yes", "bed"]),
    }
    rows = [{"audio": np.zeros(16_000, np.int16), "label": name} for name in ("yes", "bed")]
    prepared("speech_commands", features, {"train": rows})
    with refuses(UserError, "train", "cat, happy"):
        readers.load(KEYWORDS, "tfds", "train")
    with refuses(UserError, "speech_commands", "validation"):
        readers.load(KEYWORDS, "tfds", "validation")


def test_a_limit_takes_the_same_examples_always(tmp_path):
    x = np.arange(60, dtype=np.float32)[:, None, None] * np.ones((1, 128, 9), np.float32)
    y = np.arange(60) % 6 + 1
    np.savez(tmp_path / "har.npz", X_train=x, y_train=y, X_test=x, y_test=y)
    whole = readers.load(HAR, str(tmp_path), "train")
    part, more = (readers.load(HAR, str(tmp_path), "train", limit) for limit in (10, 20))
    assert set(part.values[:, 0, 0]) < set(more.values[:, 0, 0]) < set(whole.values[:, 0, 0])
    np.testing.assert_array_equal(part.labels, part.values[:, 0, 0].astype(int) % 6)
    rest, kept = part.hold_out(3, HAR.problem)
    assert (len(rest), len(kept)) == (7, 3)
    assert dataclasses.replace(kept).provenance["examples"] == 3
