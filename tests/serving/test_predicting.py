"""Text in, labels out: readers, streaming, models on disk, and GLUE's submission files."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import logging
import os
import re
import shutil
import tracemalloc

import numpy as np
import pytest
import tiny_runs
from messages import refuses
from scipy import special
from written_runs import write_export, write_run, wrong_at

from bert_glue_tf.core import files
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers, tasks
from bert_glue_tf.data.layouts import Padded
from bert_glue_tf.data.problems import Regression
from bert_glue_tf.evaluation.predictions import read as read_predictions
from bert_glue_tf.export import flatbuffer, litert
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.runs import results
from bert_glue_tf.serving import exported_file, golden_check, parallel, submission, text_input
from bert_glue_tf.serving.answers import CHUNK, check_number, format_prediction, header, stream
from bert_glue_tf.serving.classifier import Classifier, Prediction, _shortened, check_point
from bert_glue_tf.serving.text_input import TextReader

COLA, SST2, MRPC, STSB, MNLI = (tasks.get(n) for n in ("cola", "sst2", "mrpc", "stsb", "mnli"))


def message(call, *args, **options):
    """Return what the call is refused with: one line, which the snapshot holds."""
    with refuses(UserError) as caught:
        call(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- lines ---


class Pieces(io.RawIOBase):
    """A stream that gives out its pieces one at a time, as a pipe does, and tells what it gave."""

    def __init__(self, pieces):
        self._pieces = iter(pieces)
        self.given = 0

    def readable(self):
        return True

    def readinto(self, buffer):
        piece = next(self._pieces, b"")
        assert len(piece) <= len(buffer)
        self.given += bool(piece)
        buffer[: len(piece)] = piece
        return len(piece)


def lines_of(*pieces):
    return list(text_input.lines(io.BufferedReader(Pieces(pieces), 1 << 16)))


@pytest.mark.parametrize(
    ("pieces", "groups"),
    [
        ([], []),
        ([b"one\ntwo\n"], [[b"one", b"two"]]),
        ([b"one\ntwo"], [[b"one"], [b"two"]]),  # The last line has no end.
        ([b"on", b"e\nt", b"wo\n"], [[b"one"], [b"two"]]),
        ([b"\n\n"], [[b"", b""]]),
        ([b"a\n", b"\n"], [[b"a"], [b""]]),
        ([b"a\r", b"\nb\r\n"], [[b"a\r", b"b\r"]]),
        # Only a line feed ends a line.
        (["a\u2028b\x0b\x0c\x85\n".encode()], [["a\u2028b\x0b\x0c\x85".encode()]]),
    ],
)
def test_lines_come_as_they_arrive(pieces, groups):
    assert lines_of(*pieces) == groups


def test_a_line_of_many_blocks_is_one_line():
    blocks = [bytes([97 + i % 26]) * 60_000 for i in range(40)]
    assert lines_of(*blocks, b"\nshort\n") == [[b"".join(blocks), b"short"]]


# --- the reader ---


def read(reader, *lines):
    return list(reader.read(lines))


def test_a_sentence_is_the_whole_line_and_an_empty_one_too():
    assert read(TextReader(SST2, "x"), b"one two", b"", b" three ") == [
        ("one two",),
        ("",),
        (" three ",),
    ]


def test_windows_line_ends_and_a_byte_order_mark_are_no_text():
    reader = TextReader(SST2, "x")
    assert read(reader, b"\xef\xbb\xbfone\r", b"\xef\xbb\xbftwo\r", b"\r") == [
        ("one",),
        ("\ufefftwo",),  # Only the file's first bytes are a mark.
        ("",),
    ]


def test_what_is_not_utf_8_is_replaced_and_counted():
    reader = TextReader(SST2, "x")
    assert read(reader, b"fine", b"caf\xe9 au lait", "caf\u00e9".encode(), b"\xff") == [
        ("fine",),
        ("caf\ufffd au lait",),
        ("caf\u00e9",),
        ("\ufffd",),
    ]
    (told,) = reader.warnings()
    assert told == (
        "x: 2 line(s) are not UTF-8, and what could not be read was replaced; the first is line 2."
    )


def test_lines_without_a_text_are_counted():
    reader = TextReader(MRPC, "x")
    assert read(reader, b"a\tb", b"\t", b"a\t", b" \t \r")[1:] == [("", ""), ("a", ""), (" ", " ")]
    (told,) = reader.warnings()
    assert told.startswith("x: 2 line(s) hold no text, and")
    assert told.endswith("first is line 2.")


@pytest.mark.parametrize(
    ("task", "columns", "header", "row", "texts"),
    [
        (SST2, (), "sentence\tlabel", "good\t1", ["good"]),
        (COLA, (), "index\tsentence", "0\tgood", ["good"]),
        (
            MRPC,
            (),
            "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
            "1\t7\t8\ta\tb",
            ["a", "b"],
        ),
        (MNLI, (), "index\tsentence1\tsentence2\tgold_label", "0\ta\tb\tneutral", ["a", "b"]),
        # TFDS's names, and so those of our own --format=tsv.
        (MNLI, (), "label\tprobability\tpremise\thypothesis", "x\t0.5\ta\tb", ["a", "b"]),
        (SST2, ("review",), "stars\treview", "5\tgood", ["good"]),
        (MRPC, ("b", "a"), "a\tb", "1\t2", ["2", "1"]),
    ],
)
def test_a_header_names_the_columns(task, columns, header, row, texts, caplog):
    reader = TextReader(task, "x", columns)
    # Further down, a line like the header is data.
    with caplog.at_level(logging.INFO, logger="absl"):
        first, second = read(reader, header.encode(), row.encode(), header.encode())
    assert list(first) == texts
    cells = dict(zip(row.split("\t"), header.split("\t"), strict=True))
    assert list(second) == [cells[text] for text in texts]
    (told,) = caplog.messages
    assert told.endswith(f"text from {' and '.join(second)}".replace("\ufeff", ""))


def test_numbered_columns_have_no_header():
    reader = TextReader(MRPC, "x", ["3", "1"])
    assert read(reader, b"a\tb\tc", b"d\te\tf\tg") == [("c", "a"), ("f", "d")]


@pytest.mark.parametrize("label", ["0", "1"])
def test_colas_files_without_a_header_are_known(label, caplog):
    rows = [f"gj04\t{label}\t*\tThe cat sat.".encode(), b"gj04\t0\t\tA dog."]
    with caplog.at_level(logging.INFO, logger="absl"):
        assert read(TextReader(COLA, "x"), *rows) == [("The cat sat.",), ("A dog.",)]
    assert caplog.messages == ["x: columns as in cola's own files, text from sentence"]


def test_tabs_in_a_sentence_are_told_of_and_kept(caplog):
    # Four columns, but no label in the second: not one of CoLA's files.
    line = b"one\ttwo\tthree\tfour"
    assert read(TextReader(COLA, "in.txt"), line, b"a\tb") == [
        ("one\ttwo\tthree\tfour",),
        ("a\tb",),
    ]
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "in.txt:1: 4 columns, and none is named sentence: tabs are read as blanks, and the line "
        "as one text. If it is not, give --text_columns"
    ]


def test_json_and_tabs_further_down_are_counted_and_read_as_text():
    reader = TextReader(SST2, "x")
    lines = ["good", '{"text": "good"}', "[1]", "{", "a\tb", ' {"a": 1}']
    assert read(reader, *map(str.encode, lines)) == [(line,) for line in lines]
    json, tabs = reader.warnings()
    assert json.startswith("x: 2 line(s) are JSON and")
    assert json.endswith("the first is line 2.")
    assert tabs.startswith("x: 1 line(s) hold tabs,")
    assert tabs.endswith("the first is line 5.")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (["1"], "--text_columns=1: "),
        (["1", "2", "3"], "--text_columns=1,2,3: "),
        (["0", "1"], "--text_columns=0,1: "),
    ],
)
def test_wrong_columns_are_refused_before_any_line(columns, told):
    assert message(TextReader, MRPC, "x", columns).startswith(told)


def test_an_unknown_column_is_named_with_those_that_are_there():
    reader = TextReader(MRPC, "in.tsv", ["first", "second"])
    told = message(read, reader, b"id\tfirst\tlabel", b"1\t2\t3")
    assert told.startswith("in.tsv:1: ")
    assert "second" in told
    assert "id, first, label" in told


@pytest.mark.parametrize(
    ("columns", "lines", "told"),
    [
        ((), [b"a\tb", b"alone"], "x:2: 1 column"),
        ((), [b""], "x:1: 1 column"),
        ((), [b"a\tb\tc"], "x:1: 3 column"),
        (("1", "3"), [b"a\tb"], "x:1: 2 column"),
    ],
)
def test_a_pair_needs_its_columns(columns, lines, told):
    reader = TextReader(MRPC, "x", columns)
    good = []

    def run():
        for text in reader.read(lines):
            good.append(text)

    assert message(run).startswith(told)
    assert len(good) == len(lines) - 1


# --- streaming ---


class Counting:
    """A cheap classifier: the label tells the text's length; it counts what it was asked."""

    def __init__(self, task=SST2):
        self.task = task
        self.asked = []

    def predict(self, texts):
        self.asked.append(len(texts))
        return [Prediction(text, str(len("".join(text))), {}, 0.0) for text in texts]


def test_a_line_is_answered_before_the_next_one_is_read():
    source = Pieces([b"one\n", b"three\n", b"s", b"ix\n"])
    classifier = Counting()
    lines = text_input.lines(io.BufferedReader(source, 1 << 16))
    answers = stream(classifier, lines, TextReader(SST2, "x"))
    seen = [([p.label for p in group], source.given) for group in answers]
    assert seen == [(["3"], 1), (["5"], 2), (["3"], 4)]


def test_chunks_are_bounded_and_in_order():
    texts = [b"x" * (i % 50) for i in range(1000)]
    classifier = Counting()
    file = io.BufferedReader(io.BytesIO(b"\n".join(texts) + b"\n"))
    answers = stream(classifier, text_input.lines(file), TextReader(SST2, "x"))
    found = [int(p.label) for group in answers for p in group]
    assert found == [len(text) for text in texts]
    assert max(classifier.asked) <= CHUNK
    assert sum(classifier.asked) == 1000


def test_what_came_before_a_wrong_line_is_answered():
    # All in one chunk.
    lines = [b"a\tb", b"cc\tdd", b"wrong", b"e\tf"]
    answers = stream(Counting(MRPC), [lines], TextReader(MRPC, "x"))
    assert [p.label for p in next(answers)] == ["2", "4"]
    with refuses(UserError, "x:3"):
        next(answers)


def test_a_header_alone_is_no_line():
    classifier = Counting()
    answers = stream(classifier, [[b"sentence\tlabel"]], TextReader(SST2, "x"))
    assert list(answers) == []
    assert classifier.asked == []


def test_memory_does_not_grow_with_the_number_of_lines():
    class Endless(io.RawIOBase):
        """200,000 lines that are made when they are read."""

        left = 200_000

        def readable(self):
            return True

        def readinto(self, buffer):
            number = min(self.left, 800)
            self.left -= number
            content = b"a short sentence of an endless input\n" * number
            buffer[: len(content)] = content
            return len(content)

    classifier = Counting()
    lines = text_input.lines(io.BufferedReader(Endless(), 1 << 16))
    answers = stream(classifier, lines, TextReader(SST2, "x"))
    seen, peaks = 0, []
    tracemalloc.start()
    try:
        for group in answers:
            seen += len(group)
            if seen // 20_000 > len(peaks):
                peaks.append(tracemalloc.get_traced_memory()[1])
                classifier.asked.clear()
                tracemalloc.reset_peak()
    finally:
        tracemalloc.stop()
    assert seen == 200_000
    assert len(peaks) == 10
    # The input has 7.4 MB. All that is held is a block and what is made of a chunk.
    assert max(peaks) < 1_000_000
    assert max(peaks[1:]) < 1.1 * min(peaks[1:])


# --- what is printed ---


def test_formats():
    two = Prediction(("a\tb", "\u00e9\nf\r"), "yes", {"no": 0.25, "yes": 0.75}, 0.75)
    assert format_prediction(two, "text") == "yes 0.7500"
    assert format_prediction(two, "tsv") == "yes\t0.750000\ta b\t\u00e9 f "
    line = format_prediction(two, "jsonl")
    assert "\n" not in line
    assert json.loads(line) == {
        "texts": ["a\tb", "\u00e9\nf\r"],
        "label": "yes",
        "score": 0.75,
        "probabilities": {"no": 0.25, "yes": 0.75},
    }
    score = Prediction(("a", "b"), "3.142", {}, 3.14159)
    assert format_prediction(score, "text") == "3.142"
    assert format_prediction(score, "tsv") == "3.142\t3.141590\ta\tb"


def test_headers_have_the_columns_of_the_lines():
    assert header(SST2, "text") == header(SST2, "jsonl") == []
    assert header(MRPC, "tsv") == ["label\tprobability\tsentence1\tsentence2"]
    assert header(STSB, "tsv") == ["label\tscore\tsentence1\tsentence2"]


# --- models ---


@pytest.fixture(scope="module")
def dev():
    return tiny_runs.sentences(60, 2)


@pytest.mark.parametrize("recipe", ["float32", "dynamic_int8"])
def test_a_file_answers_as_it_did_when_it_was_scored(exported, dev, recipe):
    _, folder = exported
    classifier = Classifier.load(folder.model(recipe), 2)
    assert classifier.task.name == "sst2"
    assert list(classifier.layout.lengths) == [8, 16, 32]
    texts = [(text,) for text, _ in dev]
    scored = read_predictions(folder.predictions_file(recipe, "validation"), SST2).logits
    np.testing.assert_allclose(classifier.logits(texts), scored, atol=1e-5)
    predictions = classifier.predict(texts)
    right = ["positive" if label else "negative" for _, label in dev]
    assert [p.label for p in predictions] == right  # The tiny run has learned its task.
    expected = special.softmax(scored.astype(np.float64), axis=1)
    for prediction, text, row in zip(predictions, texts, expected, strict=True):
        assert prediction.texts == text
        assert list(prediction.probabilities) == ["negative", "positive"]
        np.testing.assert_allclose(list(prediction.probabilities.values()), row, atol=1e-5)
        assert prediction.score == max(prediction.probabilities.values())


def test_a_run_answers_as_its_file(exported, dev):
    run, folder = exported
    texts = [(text,) for text, _ in dev]
    keras = Classifier.load(run.path, 1).logits(texts)
    lite = Classifier.load(folder.model("float32"), 1).logits(texts)
    np.testing.assert_allclose(keras, lite, atol=1e-3)


def test_each_text_runs_at_the_shortest_length_that_holds_it(exported):
    _, folder = exported
    loaded = Classifier.load(folder.model("float32"), 1)
    seen = []

    def predict_fn(features):
        ids = features["input_word_ids"]
        seen.extend([(ids.shape[1], int(row.sum())) for row in features["input_mask"]])
        return np.stack([np.zeros(len(ids)), ids[:, 1]], axis=1).astype(np.float32)

    classifier = dataclasses.replace(loaded, predict_fn=predict_fn)
    # Every word is one piece, and [CLS] and [SEP] stand around them.
    words = [1, 40, 6, 7, 14, 15, 30, 0, 6]
    logits = classifier.logits([(" ".join(["good"] * n),) for n in words])
    assert sorted(seen) == sorted(
        [(8, 3), (32, 32), (8, 8), (16, 9), (16, 16), (32, 17), (32, 32), (8, 2), (8, 8)]
    )
    # In the order of the texts; the empty one has [SEP] (3) in its second place.
    good = logits[0, 1]
    assert logits[:, 1].tolist() == [good] * 7 + [3.0, good]


def test_threads_share_the_texts_and_keep_their_order(exported, dev, monkeypatch):
    _, folder = exported
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    loaded = []

    class Model(litert.LiteModel):
        def __init__(self, content, threads, name, **more):
            super().__init__(content, threads, name, **more)
            loaded.append(threads)

    monkeypatch.setattr(parallel, "LiteModel", Model)
    content = folder.model("dynamic_int8").read_bytes()
    model = parallel.ParallelModel(content, 64, "x")
    texts = [(text,) for text, _ in dev]
    classifier = Classifier(
        SST2,
        model.predict,
        Padded(lengths=tuple(model.lengths), moves_up=False),
        16,
        folder.preprocessing,
    )
    alone = np.concatenate([classifier.logits([text]) for text in texts])
    assert loaded == [1]  # A copy for a second text is not loaded for a single one.
    np.testing.assert_array_equal(classifier.logits(texts), alone)
    np.testing.assert_array_equal(classifier.logits(texts[::-1]), alone[::-1])
    assert loaded == [1, 1, 1]


def test_hostile_texts_have_an_answer(exported):
    _, folder = exported
    classifier = Classifier.load(folder.model("dynamic_int8"), 2)
    texts = [
        "",
        " \t ",
        "good " * 200_000,  # A megabyte of words,
        "x" * 1_000_000,  # of one word,
        "\u4e2d" * 400_000,  # and of characters that are words each.
        "a\x00b\ufffd",
        "\ud83d",
        "bad\tbad",
    ]
    predictions = classifier.predict([(text,) for text in texts])
    assert [p.texts[0] for p in predictions] == texts
    plain = classifier.predict([("",), ("good " * 30,), ("bad bad",)])
    for hostile, same in ((0, 0), (1, 0), (2, 1), (7, 2)):
        assert predictions[hostile].probabilities == plain[same].probabilities
    assert predictions[2].label == "positive"


def test_words_beyond_the_first_million_characters_do_not_count():
    assert _shortened("ab") == "ab"
    assert _shortened("a" * 3_000_000) == "a" * (1 << 20)


def test_a_model_that_has_diverged_is_refused(exported):
    _, folder = exported
    loaded = Classifier.load(folder.model("float32"), 1)
    nan = dataclasses.replace(
        loaded, predict_fn=lambda f: np.full((len(f["input_mask"]), 2), np.nan, np.float32)
    )
    with refuses(UserError, "not numbers"):
        nan.predict([("good",)])


def test_a_score_is_its_own_label(exported):
    _, folder = exported
    classifier = Classifier(
        STSB,
        lambda f: f["input_mask"].sum(axis=1, keepdims=True) / np.float32(4),
        Padded(lengths=(16,)),
        16,
        folder.preprocessing,
    )
    # [CLS] good [SEP] bad bad [SEP]: 6 pieces.
    assert classifier.predict([("good", "bad bad")]) == [
        Prediction(("good", "bad bad"), "1.500", {}, 1.5)
    ]


# --- models that are none ---


@pytest.fixture
def copied(exported, tmp_path):
    """A copy of the export's folder, to be damaged."""
    return ExportFolder(shutil.copytree(exported[1].path, tmp_path / "tflite"))


def load(folder, recipe="dynamic_int8"):
    return message(Classifier.load, folder.model(recipe), 1)


@pytest.mark.parametrize("kept", [0, 0.999])
def test_a_truncated_file(copied, kept):
    path = copied.model("dynamic_int8")
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    assert load(copied).startswith(f"{path}: ")
    copied.checksums.unlink()
    assert load(copied).startswith(f"{path}: ")


def test_a_file_that_is_whole_but_not_what_was_exported(copied):
    path = copied.model("dynamic_int8")
    content = bytearray(path.read_bytes())
    # The last bytes of the largest buffer: weights.
    weights = max(
        (bytes(b.data) for b in flatbuffer.read(bytes(content)).buffers if b.data is not None),
        key=len,
    )
    content[content.index(weights)] ^= 64
    path.write_bytes(content)
    with refuses(UserError, path, files.sha256(path)[:12]):
        Classifier.load(path, 1)
    copied.checksums.unlink()  # Nothing to compare with.
    assert Classifier.load(path, 1).task is SST2


def rewritten(folder, values, signature=None):
    """The file with other metadata (None: without), and another signature's name."""
    path = folder.model("dynamic_int8")
    model = flatbuffer.read(path.read_bytes())
    model.metadata = [m for m in model.metadata if m.name not in (b"bert_glue_tf", "bert_glue_tf")]
    if values is not None:
        flatbuffer.add_metadata(model, values)
    if signature:
        for one in model.signatureDefs:
            one.signatureKey = signature
    path.write_bytes(flatbuffer.write(model))
    folder.checksums.unlink()
    return path


@pytest.mark.parametrize(
    "values", [None, [], {"task": "sst2"}, {"task": "x", "vocabulary_sha256": "y"}]
)
def test_a_file_of_another_project(copied, values):
    path = rewritten(copied, values)
    with refuses(UserError, path, "metadata"):
        Classifier.load(path, 1)


def test_a_file_with_other_signatures(copied):
    path = rewritten(copied, {}, "serving_default")
    with refuses(UserError, path, "serving_default"):
        Classifier.load(path, 1)


def test_a_model_of_the_sample_says_so(copied, caplog):
    metadata = flatbuffer.read_metadata(copied.model("dynamic_int8").read_bytes())
    path = rewritten(copied, {**metadata, "data": "sample"})
    Classifier.load(path, 1)
    assert [record.getMessage() for record in caplog.records] == [
        "dynamic_int8.tflite was trained on the generated sample: what it says of other text "
        "means nothing"
    ]


@pytest.mark.parametrize(
    "missing",
    ["vocab.txt", "preprocessing", "preprocessing/saved_model.pb", "preprocessing/assets"],
)
def test_a_file_whose_tokenizer_is_not_beside_it(copied, missing):
    path = copied.path / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with refuses(UserError, missing, "missing", "dynamic_int8.tflite"):
        Classifier.load(copied.model("dynamic_int8"), 1)


@pytest.mark.parametrize("place", ["vocab.txt", "preprocessing/assets/vocab.txt"])
def test_a_vocabulary_of_another_model(copied, place):
    path = copied.path / place
    path.write_text(path.read_text().replace("good", "best"))
    with refuses(UserError, path, files.sha256(path)[:12], "dynamic_int8.tflite"):
        Classifier.load(copied.model("dynamic_int8"), 1)


def test_a_damaged_tokenizer(copied):
    (copied.preprocessing / "saved_model.pb").write_bytes(b"\x0a\x07damaged")
    classifier = Classifier.load(copied.model("dynamic_int8"), 1)
    told = message(classifier.predict, [("good",)])
    assert told.startswith(f"{copied.preprocessing}: ")


def test_no_such_model(tmp_path):
    with refuses(UserError, f"--model={tmp_path / 'x.tflite'}"):
        Classifier.load(tmp_path / "x.tflite", 1)
    (tmp_path / "notes.md").write_text("# Notes\n")
    with refuses(UserError, f"--model={tmp_path / 'notes.md'}: no .tflite file"):
        Classifier.load(str(tmp_path / "notes.md"))


def test_folders_that_hold_no_run(exported, tmp_path):
    run, folder = exported
    told = message(Classifier.load, folder.path, 1)
    assert told.startswith(f"--model={folder.path}: ")
    assert "(dynamic_int8.tflite, float32.tflite)" in told
    assert message(Classifier.load, tmp_path, 1).startswith(f"--model={tmp_path}: ")

    copy = shutil.copytree(
        run.path, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints", "tflite")
    )
    (copy / "model" / "saved_model.pb").write_bytes(b"damaged")
    assert message(Classifier.load, copy, 1).startswith(f"{copy / 'model'}: ")
    shutil.rmtree(copy / "model")
    assert message(Classifier.load, copy, 1).startswith(f"{copy / 'model'}: ")
    (copy / "results.jsonl").unlink()
    assert message(Classifier.load, copy, 1).startswith(f"--model={copy}: ")


# --- golden examples ---


def check(path):
    return list(golden_check.check(path, 1))


def test_a_file_meets_its_golden_examples(exported):
    _, folder = exported
    for recipe in ("float32", "dynamic_int8"):
        lines = check(folder.model(recipe))
        assert [line.split(":")[0] for line in lines] == [f"golden example {n}" for n in (1, 2, 3)]
        for line in lines:
            (difference,) = re.findall(r"word pieces as written; logits differ by (\S+) ", line)
            assert float(difference) < 1e-6


def golden(folder, change):
    """The file with golden examples that `change` has changed."""
    values = flatbuffer.read_metadata(folder.model("dynamic_int8").read_bytes())
    change(values["golden"][1])
    return rewritten(folder, values)


def another_id(example):
    example["ids"][2] += 1


def one_id_less(example):
    example["ids"].pop()
    example["type_ids"].pop()


def other_logits(example):
    example["logits"][0] += 0.1 * max(1, *map(abs, example["logits"]))


def no_number(example):
    example["logits"][0] = "much"


def another_length(example):
    example["length"] = 9


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (another_id, "id of a word piece 3 is"),
        (one_id_less, "id of a word piece"),
        (other_logits, "its logits by"),
        (no_number, "cannot be read"),
        (another_length, "cannot be read"),
        (dict.clear, "cannot be read"),
    ],
)
def test_a_golden_example_that_is_not_met_is_told_of(copied, change, told):
    path = golden(copied, change)
    with refuses(UserError, f"--check: {path}: ", "golden example 2", told):
        check(path)


def test_a_file_without_golden_examples_is_used_and_not_checked(copied):
    values = flatbuffer.read_metadata(copied.model("dynamic_int8").read_bytes())
    for name in ("golden", "tolerance", "tokenizer", "output", "inputs"):
        values.pop(name)
    path = rewritten(copied, values)
    assert Classifier.load(path, 1).predict([("a good film",)])[0].label == "positive"
    with refuses(UserError, f"--check: {path}: ", "no golden examples", "bert_glue_tf"):
        check(path)


def test_only_a_file_is_checked(exported):
    run, _ = exported
    with refuses(UserError, f"--check: --model={run.path} is a folder"):
        check(run.path)


# --- submissions ---


@dataclasses.dataclass
class Constant:
    """Answers each text with the class that its last character names; 1.5 times as a score."""

    task: tasks.TaskSpec

    def logits(self, texts):
        digits = np.array([int(text[-1][-1]) for text in texts])
        if isinstance(self.task.problem, Regression):
            return (1.5 * digits - 1.5)[:, None].astype(np.float32)
        return np.eye(self.task.problem.width, dtype=np.float32)[digits]


# As the benchmark takes them (its page and its sample submission): file, then the prediction
# for class 0, 1 and, if there is one, 2.
SUBMISSIONS = {
    "cola": {"CoLA.tsv": ["0", "1"]},
    "sst2": {"SST-2.tsv": ["0", "1"]},
    "mrpc": {"MRPC.tsv": ["0", "1"]},
    "qqp": {"QQP.tsv": ["0", "1"]},
    # -1.5, 0, 1.5 and so on, within 0 to 5.
    "stsb": {"STS-B.tsv": ["0.000", "0.000", "1.500", "3.000", "4.500", "5.000"]},
    "mnli": {
        "MNLI-m.tsv": ["entailment", "neutral", "contradiction"],
        "MNLI-mm.tsv": ["entailment", "neutral", "contradiction"],
        "AX.tsv": ["entailment", "neutral", "contradiction"],
    },
    "qnli": {"QNLI.tsv": ["entailment", "not_entailment"]},
    "rte": {"RTE.tsv": ["entailment", "not_entailment"]},
    "wnli": {"WNLI.tsv": ["0", "1"]},
}
# The benchmark's test files below GLUE's folder.
TEST_FILES = {
    "mnli": ("MNLI/test_matched.tsv", "MNLI/test_mismatched.tsv", "diagnostic/diagnostic.tsv"),
    "stsb": ("STS-B/test.tsv",),
}


def write_tests(folder, task):
    """The task's test files: as many rows as there are answers, then the first one again."""
    (answers,) = {tuple(a) for a in SUBMISSIONS[task.name].values()}
    digits = [*range(len(answers)), 0]
    for name in TEST_FILES.get(task.name, (f"{task.folder}/test.tsv",)):
        header = "\t".join(["index", *task.tsv_text])
        rows = [
            "\t".join([str(i), *[f"text {d}"] * len(task.tsv_text)]) for i, d in enumerate(digits)
        ]
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n".join([header, *rows]) + "\n")
    return [answers[digit] for digit in digits]


def test_all_tasks_have_a_submission():
    assert set(SUBMISSIONS) == {name for name, task in tasks.TASKS.items() if task.is_glue}


def test_a_task_that_is_none_of_glue_has_no_submission(tmp_path):
    output = tmp_path / "out"
    with refuses(UserError, f"--glue_submission={output}", "rest16", "cola, sst2"):
        submission.write_submission(Constant(tasks.get("rest16")), str(tmp_path), output)
    assert not output.exists()


@pytest.mark.parametrize("name", list(SUBMISSIONS))
def test_submission_files(tmp_path, name):
    task = tasks.get(name)
    answers = write_tests(tmp_path / "glue", task)
    output = tmp_path / "new" / "submission"
    names = submission.write_submission(Constant(task), str(tmp_path / "glue"), output)
    assert names == list(SUBMISSIONS[name])
    assert sorted(path.name for path in output.iterdir()) == sorted(names)
    expected = "index\tprediction\n" + "".join(f"{i}\t{a}\n" for i, a in enumerate(answers))
    for file in names:
        assert (output / file).read_bytes() == expected.encode()


def test_the_diagnostic_may_lie_in_a_folder_of_its_own(tmp_path):
    write_tests(tmp_path, MNLI)
    (tmp_path / "AX").mkdir()
    shutil.move(tmp_path / "diagnostic" / "diagnostic.tsv", tmp_path / "AX" / "AX.tsv")
    names = submission.write_submission(Constant(MNLI), str(tmp_path), tmp_path / "out")
    assert names == ["MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"]


def test_no_half_of_a_submission(tmp_path):
    write_tests(tmp_path, MNLI)
    (tmp_path / "diagnostic" / "diagnostic.tsv").unlink()
    with refuses(UserError, f"--data={tmp_path}", "AX/AX.tsv, diagnostic/diagnostic.tsv"):
        submission.write_submission(Constant(MNLI), str(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_submission_overwrites_nothing(tmp_path):
    write_tests(tmp_path, MNLI)
    (tmp_path / "out").mkdir()
    earlier = tmp_path / "out" / "AX.tsv"
    earlier.write_text("mine")
    with refuses(UserError, earlier):
        submission.write_submission(Constant(MNLI), str(tmp_path), tmp_path / "out")
    assert earlier.read_text() == "mine"
    assert os.listdir(tmp_path / "out") == ["AX.tsv"]


def test_a_submission_folder_that_cannot_be_written(tmp_path):
    write_tests(tmp_path, SST2)
    (tmp_path / "file").write_text("")
    output = tmp_path / "file" / "out"
    with refuses(UserError, f"--glue_submission={output}"):
        submission.write_submission(Constant(SST2), str(tmp_path), output)


def test_a_submission_has_as_many_rows_as_the_real_test_file(glue_dir, tmp_path):
    @dataclasses.dataclass
    class Chance(Constant):
        def logits(self, texts):
            return np.random.default_rng(len(texts)).random((len(texts), 2), np.float32)

    submission.write_submission(Chance(MRPC), str(glue_dir), tmp_path)
    rows = (tmp_path / "MRPC.tsv").read_text().splitlines()
    assert len(rows) == 1 + len(readers.load(MRPC, str(glue_dir), "test")) == 1726
    assert rows[-1].split("\t")[0] == "1724"


def test_the_compressed_model_answers_the_submission(exported, tiny_glue, tmp_path):
    _, folder = exported
    classifier = Classifier.load(folder.model("dynamic_int8"), 2)
    submission.write_submission(classifier, str(tiny_glue), tmp_path)
    right = [f"{i}\t{label}" for i, (_, label) in enumerate(tiny_runs.sentences(30, 3))]
    assert (tmp_path / "SST-2.tsv").read_text().splitlines() == ["index\tprediction", *right]


def test_a_run_whose_texts_are_too_few_is_refused_before_its_model_is_loaded(tmp_path):
    path = write_run(tmp_path / "pair", [0, 1], wrong_at([0, 1], []), task="mrpc")
    (path / "model" / "saved_model.pb").write_bytes(b"no model")
    with refuses(UserError, "--text given 1 time(s)", "mrpc has 2"):
        Classifier.load(path, 1, lambda task, thresholds: check_number(["one text"], task))
    # With as many as it takes, the model is looked at.
    with pytest.raises(UserError, match="cannot be loaded"):
        Classifier.load(path, 1, lambda task, thresholds: check_number(["one", "two"], task))


def test_a_run_without_a_threshold_is_refused_before_its_model_is_loaded(tmp_path):
    path = write_run(tmp_path / "pair", [0, 1], wrong_at([0, 1], []), task="mrpc")
    (path / "model" / "saved_model.pb").write_bytes(b"no model")
    with refuses(UserError, "--at=recall", "has none", "--at_recall=0.9"):
        Classifier.load(path, 1, functools.partial(check_point, "recall"))


def test_a_collapsed_run_says_so_once(tmp_path, monkeypatch, caplog):
    reason = "every prediction is acceptable"
    path = write_run(tmp_path / "one", [0, 1], wrong_at([0, 1], []), task="cola")
    (path / "model" / "saved_model.pb").write_bytes(b"no model")
    monkeypatch.setattr("bert_glue_tf.models.saving.load_saved", lambda folder: None)
    Classifier.load(path, 1)
    assert "COLLAPSED" not in caplog.text
    (record,) = results.load(path / results.FILE_NAME)
    again = dataclasses.replace(record, collapsed=reason)
    (path / results.FILE_NAME).write_text(again.to_line() + "\n")
    Classifier.load(path, 1)
    told = f"one is COLLAPSED: {reason}. Do not use this model."
    assert caplog.text.count(told) == 1


def test_a_collapsed_file_is_told_by_the_record_beside_it(tmp_path, caplog):
    run = write_run(tmp_path / "run", [0, 1], wrong_at([0, 1], []))
    folder = write_export(run, "int8", [0, 1], wrong_at([0, 1], []), collapsed="all are 1")
    path = folder.model("int8")
    content = path.read_bytes()
    assert exported_file.collapsed(path, folder, content) == "all are 1"
    # The record is of another file, or there is none.
    assert exported_file.collapsed(path, folder, content + b"other") == ""
    folder.results_file.write_text("{}\n")
    assert exported_file.collapsed(path, folder, content) == ""
    assert str(folder.results_file) in caplog.text
    folder.results_file.unlink()
    assert exported_file.collapsed(path, folder, content) == ""
