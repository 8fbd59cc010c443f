"""The files of DE-CNN: sentences and tags as arrays of numbers."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers, tasks, word_arrays
from bert_glue_tf.data.settings import DataSettings

WORDS = {"the": 2, "screen": 3, "n't": 4, "bright": 5}
TASK = tasks.get("laptop14_aspects")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with three training sentences, of which the last is for validation, and one more."""
    monkeypatch.setattr(word_arrays, "VALIDATION", 1)
    (tmp_path / word_arrays.WORDS).write_text(json.dumps(WORDS))
    write(tmp_path)
    return tmp_path


def write(folder, **changes):
    arrays = {
        "train_X": [[2, 3, 0], [5, 4, 3], [3, 0, 0]],
        "train_y": [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
        "test_X": [[2, 3, 3]],
        "test_y": [[0, 1, 2]],
    }
    file = io.BytesIO()
    np.savez(file, **{name: np.array(v, np.int32) for name, v in (arrays | changes).items()})
    (folder / "laptop.npz").write_bytes(file.getvalue())


def test_each_split_is_its_part_of_the_file(folder):
    found = readers.load_for_training(TASK, str(folder))
    assert {split: one.texts[0] for split, one in found.items()} == {
        "train": ["the screen", "bright n't screen"],
        "validation": ["screen"],
        "test": ["the screen screen"],
    }
    assert TASK.problem.labels == ("O", "B-ASPECT", "I-ASPECT")
    assert found["train"].labels.tolist() == [[0, 1, -1], [0, 0, 1]]
    (span,) = TASK.problem.spans(found["test"].labels[0])
    assert span == (1, 3, "ASPECT")
    readers.check(TASK, str(folder))
    assert readers.task_of(DataSettings(task="rest16_aspects")).file_format == "word_arrays"


def test_a_sequence_that_breaks_bio_is_counted_and_repaired_as_conlleval_does(folder, caplog):
    write(folder, train_y=[[0, 2, 0], [2, 2, 1], [1, 0, 0]])
    with caplog.at_level("WARNING", logger="absl"):
        found = readers.load(TASK, str(folder), "train")
    assert found.labels.tolist() == [[0, 1, -1], [1, 2, 1]]
    (said,) = [one.getMessage() for one in caplog.records if "conlleval" in one.getMessage()]
    assert said.startswith(f"{folder}/laptop.npz: sentence 0 of train_X: the tags")
    assert "(2, 2 tags changed)" in said
    # Nothing is said of a split without one.
    caplog.clear()
    with caplog.at_level("WARNING", logger="absl"):
        readers.load(TASK, str(folder), "test")
    assert not [one for one in caplog.records if "conlleval" in one.getMessage()]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"train_y": [[0, 1], [0, 0], [1, 0]]}, "train_y"),
        ({"train_X": [[2, 9, 0], [5, 4, 3], [3, 0, 0]]}, "the word 9"),
        ({"train_y": [[0, 3, 0], [0, 0, 1], [1, 0, 0]]}, "the tag 3"),
        ({"train_X": [[0, 3, 0], [5, 4, 3], [3, 0, 0]]}, "sentence 0"),
        ({"train_X": [[0, 0, 0], [5, 4, 3], [3, 0, 0]]}, "empty"),
    ],
)
def test_what_is_wrong_is_named(folder, changes, named):
    write(folder, **changes)
    with refuses(UserError, f"{folder}/laptop.npz", named):
        readers.load(TASK, str(folder), "train")


def test_files_that_are_missing_or_damaged_are_named(folder):
    with refuses(UserError, "--data=", "restaurant.npz"):
        readers.check(tasks.get("rest16_aspects"), str(folder))
    with refuses(UserError, "--data=tfds", "de_cnn/laptop.npz"):
        readers.check(TASK, "tfds")
    (folder / word_arrays.WORDS).write_text('{"a b": 2}')
    with refuses(UserError, word_arrays.WORDS, "'a b'"):
        readers.load(TASK, str(folder), "train")
    (folder / word_arrays.WORDS).unlink()
    with refuses(UserError, word_arrays.WORDS):
        readers.load(TASK, str(folder), "train")
    (folder / "laptop.npz").write_bytes(b"nothing")
    with refuses(UserError, f"{folder}/laptop.npz", "train_X"):
        readers.load(TASK, str(folder), "train")
