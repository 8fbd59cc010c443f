"""Whole words as tokens, and the vectors that belong to them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import preprocessing, splitting, vocabulary, whole_words, word_vectors

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "n't", "does", ".", ",", "Screen", "(", "U.S.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("words")
    (path / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    whole_words.write_preprocessing(path / "vocab.txt", path / "preprocessing")
    return path / "preprocessing"


@pytest.fixture(scope="module")
def model(folder):
    return preprocessing.load(str(folder), str(folder))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Screen does n't .", ["the", "Screen", "does", "n't", "."]),  # Tokenized already.
        ("the U.S. Screen.", ["the", "U.S.", "Screen", "."]),  # As people write.
        ("(the,the)", ["(", "the", ",", "the", "[UNK]"]),
        ("doesn't", ["[UNK]", "[UNK]", "[UNK]"]),
        ("screen SCREEN", ["[UNK]", "[UNK]"]),  # No small letters of a word that has none.
        ("the [PAD] Screen", ["the", "[UNK]", "[UNK]", "[UNK]", "Screen"]),
        ("  ", []),
        ("", []),
    ],
)
def test_a_text_is_split_into_the_words_of_the_vocabulary(model, text, expected):
    (found,) = model.tokenize([text]).to_list()
    assert [WORDS[number] for chunk in found for number in chunk] == expected
    # Without TensorFlow, for the vectors of a domain.
    own = splitting.split(text, set(WORDS[4:]))
    assert [word if word in WORDS[4:] else "[UNK]" for word in own] == expected
    assert set(own) <= splitting.candidates(text)


def test_each_chunk_between_blanks_stays_one(model):
    (found,) = model.tokenize(["the Screen, does"]).to_list()
    assert [len(chunk) for chunk in found] == [1, 2, 1]


def test_it_is_packed_as_word_pieces_are(model, folder):
    built = preprocessing.build(model, ("text",), 6)
    tokens = preprocessing.tokenize(built, (["the Screen", "the , the , the"],))
    batch = tokens.batch([0, 1], 6)
    assert batch["input_word_ids"].tolist() == [[2, 4, 9, 3, 0, 0], [2, 4, 8, 4, 8, 3]]
    assert tokens.cut == 1
    assert vocabulary.read(folder) == WORDS
    assert vocabulary.switches_of(folder, model.tokenize).kind == "words"


# --- vectors ---


def write_array(folder, rows, **arrays):
    np.savez(folder / "vectors.npz", **arrays)
    (folder / "words.json").write_text(json.dumps(rows))
    return folder / "vectors.npz", folder / "words.json"


def test_an_arrays_rows_are_those_that_the_words_name(tmp_path):
    table = np.arange(12, dtype=np.float16).reshape(4, 3)
    files = write_array(tmp_path, {"b": 3, "a": 2}, one=table, two=table * 2)
    found, vectors = word_vectors.of_array(*files, "two")
    assert found == ["a", "b"]
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, [[12, 14, 16], [18, 20, 22]])
    with refuses(UserError, "--table=", "one, two"):
        word_vectors.of_array(*files)


def test_vectors_that_do_not_fit_the_words_are_refused(tmp_path):
    files = write_array(tmp_path, {"a": 1, "screen": 4}, one=np.zeros((4, 3)))
    with refuses(UserError, f"--vectors={files[0]}", files[1], '"screen"'):
        word_vectors.of_array(*files)
    files = write_array(tmp_path, ["a"], one=np.zeros((4, 3)))
    with refuses(UserError, f"--words={files[1]}"):
        word_vectors.of_array(*files)
    files[0].write_bytes(b"PK")
    with refuses(UserError, f"--vectors={files[0]}"):
        word_vectors.of_array(*files)


def test_a_text_files_vectors_are_read(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("4 2\nthe 1 2\n. . 3 4\nrare 5 6\nthe 0 0\nwanted 7 8 \n[UNK] 9 9\n")
    found = word_vectors.of_text(path, {"wanted", "[UNK]"}, most=2)
    assert found[0] == ["the", ". .", "wanted", "[UNK]"]
    words_only, vectors = word_vectors.without_forms(*found)
    # A line of a vocabulary is a word without blanks, and the special tokens are its own.
    assert words_only == ["the", "wanted"]
    np.testing.assert_array_equal(vectors, [[1, 2], [7, 8]])
    path.write_text("the 1 2\nof 1\n")
    with refuses(UserError, f"--vectors={path}", "line 2"):
        word_vectors.of_text(path)
    path.write_text("the one two\n")
    with refuses(UserError, f"--vectors={path}"):
        word_vectors.of_text(path)


def test_vectors_of_a_domain_are_learned_the_same_each_time():
    pytest.importorskip("gensim")
    sentences = [["the", "screen", "is", "bright"], ["the", "keyboard", "is", "stiff"]] * 20
    wanted = ["screen", "keyboards"]  # The second stands in no sentence.
    one, again = (
        word_vectors.learned(sentences, wanted, width=8, epochs=2, seed=3) for _ in range(2)
    )
    np.testing.assert_array_equal(one, again)
    assert one.shape == (2, 8)
    assert np.abs(one).max(axis=1).min() > 0
    assert word_vectors.coverage(sentences, ["the", "is"]) == {"all": 160, "known": 80}
    with refuses(UserError, "training sentences"):
        word_vectors.learned([[]], wanted)
