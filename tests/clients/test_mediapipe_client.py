"""MediaPipe's own client loads the files that are made for it, and answers as `predict` does."""

from __future__ import annotations

import string

import numpy as np
import pytest
import real_runs
import tiny_tflite

from bert_glue_tf.core import records
from bert_glue_tf.export import flatbuffer, litert, signatures
from bert_glue_tf.export.folder import FOLDER
from bert_glue_tf.export.mediapipe import client, packing, tokenizer
from bert_glue_tf.export.mediapipe.record import FILE_NAME, ClientResult
from bert_glue_tf.serving import golden_check

pytestmark = pytest.mark.processes

# What its tokenizer and BERT's split in another way, and what a tokenizer may stumble over.
TEXTS = [
    "The cat sat on the mat.",
    "CAF\u00c9 caf\u00e9 cafe\u0301",
    "a\u00a0b a\u3000b a\u2028b a\x0bb a\x85b",
    "",
    " \t\n",
    "a" * 100,
    "a" * 101,
    "\u00e9" * 51,
    "x\x00y",
    "\x12a a\u200bb a\u00adb \ufeffa",
    "\u00bd a\u2026 \u2014b \u201cc\u201d don't #1! [SEP] [CLS] $x ~`|",
    "\u5317\u4eac \u6771\u4eac tower \u3042 \ud55c\uae00",
    "\U0001f600 a \U00020000b",
    "\u0130stanbul \u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2 stra\u1e9ee",
    "a " * 40,
    "\ufffd a",
]


@pytest.fixture(scope="module")
def program():
    """A Python with MediaPipe."""
    found = real_runs.clients_python()
    if found is None:
        pytest.skip(f"no MediaPipe: 'make clients' builds {client.USUAL_PYTHON} for these tests")
    return found


def test_its_tokenizer_is_the_one_that_texts_are_counted_with(program, tmp_path):
    """Each word piece is heard in the answer: the weights are drawn at random."""
    letters = string.ascii_lowercase
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{c}" for c in letters)]
    vocabulary += ["the", "cat", "sat", "##\u00e9", "\u00e9", ".", "#", "'", "\u00bd", "\u5317"]
    vocabulary += ["[", "]", "\u2026", "$", "\u6771", "\ufffd", "\u0301", "~", "|", "`", "!", "1"]
    model = flatbuffer.read(tiny_tflite.write(32, width=32))
    for place, buffer in enumerate(model.buffers):
        if buffer.data is not None:
            drawn = np.random.default_rng(place).normal(scale=0.05, size=len(buffer.data) // 4)
            buffer.data = np.frombuffer(drawn.astype(np.float32).tobytes(), np.uint8)
    signatures.add_probabilities(model, "softmax", packing.OUTPUT)
    packing.add_metadata(model, signatures.inputs(model), "texts", "none")
    lines = "".join(f"{piece}\n" for piece in vocabulary)
    texts = {packing.VOCABULARY_FILE: lines.encode(), packing.LABELS_FILE: b"no\nyes, ja\n"}
    path = tmp_path / "tiny_mediapipe.tflite"
    path.write_bytes(packing.with_texts(flatbuffer.write(model), texts))
    tokens = tokenizer.tokenize(vocabulary, TEXTS, 32)
    loaded = litert.LiteModel(path.read_bytes())
    expected = loaded.predict(tokens.batch(range(len(TEXTS)), 32))
    assert len(np.unique(expected[:, 0])) > len(TEXTS) / 2
    client.require(program)
    found = client.ask(program, path, ["no", "yes, ja"], TEXTS).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.fixture(scope="module")
def record(program, trained_run):
    """The record of the file for MediaPipe, with the answers of the client too."""
    del program
    (found,) = records.load(trained_run.path / FOLDER / FILE_NAME, ClientResult)
    return found


def test_it_gives_predicts_labels_on_colas_dev_sentences(record):
    assert record.client_version
    assert record.not_asked == ""
    assert record.examples == 1043
    # The bar: 99.5 %.
    assert record.client_flips <= 5
    assert record.flips == record.client_flips
    for name, value in record.client_metrics.items():
        assert value == pytest.approx(record.metrics[name], abs=1e-3)
    assert record.split_otherwise < 20


def test_its_probabilities_are_those_of_the_file_in_litert(record):
    assert record.client_difference < 1e-4


def test_the_file_works_in_predict_and_its_card_tells_what_was_found(record, trained_run):
    folder = trained_run.path / FOLDER
    assert len(list(golden_check.check(folder / record.file, 1))) == 3
    card = (folder / f"{record.stem}.md").read_text()
    for told in (record.client_version, record.sha256, "split in another way", "never by position"):
        assert told in card
