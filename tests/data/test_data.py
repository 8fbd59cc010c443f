"""data.py and network.py: every source, the real files, and every way a .tsv can be bad."""

import hashlib
import http.server
import json
import logging
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from messages import refuses

from bert_glue_tf.core import network
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import file_formats, readers, sample, tasks, tfds
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.problems import Regression

COLA, SST2, MRPC, STSB = (tasks.get(name) for name in ("cola", "sst2", "mrpc", "stsb"))
HEADERS = {
    "SST-2": b"sentence\tlabel\n",
    "MRPC": b"Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n",
    "STS-B": b"index\tgenre\tfilename\tyear\told_index\tsource1\tsource2"
    b"\tsentence1\tsentence2\tscore\n",
    "QQP": b"id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n",
}


@pytest.fixture
def glue_dir():
    if "BERT_GLUE_TF_GLUE_DIR" not in os.environ:
        pytest.skip("BERT_GLUE_TF_GLUE_DIR is not set")
    return pathlib.Path(os.environ["BERT_GLUE_TF_GLUE_DIR"])


@pytest.fixture
def write(tmp_path):
    """write(task, rows, file="train.tsv") -> the folder that holds the task's."""

    def write(task, rows: bytes, file="train.tsv", header=None):
        path = tmp_path / task.folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((HEADERS.get(task.folder, b"") if header is None else header) + rows)
        return str(tmp_path)

    return write


def _refused(call, *args, named) -> None:
    """The call ends with one short message, which names these."""
    with refuses(UserError, *named) as caught:
        call(*args)
    assert 1 <= len(str(caught.value).splitlines()) <= 2


# --- the benchmark's real files ---

COUNTS = {  # train, dev, test, as `wc -l` counts them
    "cola": (8551, 1043, 1063),
    "sst2": (67349, 872, 1821),
    # TFDS and the Hugging Face hub have 3668 in MRPC's train, one positive pair more.
    "mrpc": (3667, 408, 1725),
    "stsb": (5749, 1500, 1379),
    "wnli": (635, 71, 146),
}
FIRST = {
    "cola": (("The sailors rode the breeze clear of the rocks.",), 1),
    "sst2": (("it 's a charming and often affecting journey . ",), 1),
    "mrpc": (
        (
            "He said the foodservice pie business doesn 't fit the company 's long-term growth "
            "strategy .",
            '" The foodservice pie business does not fit our long-term growth strategy .',
        ),
        1,
    ),
    "stsb": (
        ("A man with a hard hat is dancing.", "A man wearing a hard hat is dancing."),
        5.0,
    ),
    "wnli": (
        (
            "The drain is clogged with hair. It has to be cleaned.",
            "The hair has to be cleaned.",
        ),
        0,
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_real_files(glue_dir, name):
    task = tasks.get(name)
    readers.check(task, str(glue_dir), ("train", "validation", "test"))
    for split, count in zip(("train", "validation", "test"), COUNTS[name], strict=True):
        examples = readers.load(task, str(glue_dir), split)
        path = os.path.join(str(glue_dir), task.folder, file_formats.split_file(task, split))
        assert len(examples) == count
        assert [len(field) for field in examples.texts] == [count] * len(task.text_fields)
        assert examples.provenance == {
            "name": "tsv",
            "split": split,
            "version": None,
            "sha256": hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest(),
            "path": path,
            "examples": count,
            "split_examples": count,
            "dropped_rows": 0,
        }
        json.dumps(examples.provenance)
        if split == "test":
            assert examples.labels is None
            continue
        assert examples.labels.shape == (count,)
        if isinstance(task.problem, Regression):
            assert examples.labels.dtype == np.float32
            assert (examples.labels.min(), examples.labels.max()) == (0.0, 5.0)
        else:
            assert examples.labels.dtype == np.int32
            assert set(examples.labels.tolist()) == {0, 1}
    dev = readers.load(task, str(glue_dir), "validation")
    assert (tuple(field[0] for field in dev.texts), dev.labels[0]) == FIRST[name]


def test_the_real_majority_classes(glue_dir):
    # GLUE's published shares of the larger class on the dev sets.
    assert readers.load(MRPC, str(glue_dir), "validation").labels.mean() == pytest.approx(279 / 408)
    assert readers.load(COLA, str(glue_dir), "validation").labels.mean() == pytest.approx(
        721 / 1043
    )
    assert readers.load(SST2, str(glue_dir), "validation").labels.mean() == pytest.approx(444 / 872)


ASPECTS = {  # train, dev, test: negative, neutral and positive aspects
    "laptop14": ((755, 408, 884), (106, 46, 104), (130, 165, 339)),
    "rest14": ((737, 576, 1959), (64, 53, 214), (196, 198, 728)),
    "rest16": ((410, 60, 1119), (36, 9, 122), (119, 32, 471)),
}


@pytest.mark.parametrize("name", ASPECTS)
def test_the_real_aspects(absa_dir, name):
    task = tasks.get(name)
    readers.check(task, str(absa_dir), ("train", "validation", "test"))
    for split, counts in zip(("train", "validation", "test"), ASPECTS[name], strict=True):
        examples = readers.load(task, str(absa_dir), split)
        path = absa_dir / name / file_formats.split_file(task, split)
        assert np.bincount(examples.labels).tolist() == list(counts)
        assert examples.labels.dtype == np.int32
        assert examples.sources is None
        assert examples.provenance == {
            "name": "aspects",
            "split": split,
            "version": None,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "path": str(path),
            "examples": sum(counts),
            "split_examples": sum(counts),
            "dropped_rows": 0,
        }
        # A term that occurs twice in a sentence has the same polarity there, so that the pair
        # of texts always decides the label.
        pairs = list(zip(*examples.texts, strict=True))
        assert len(set(zip(pairs, examples.labels.tolist(), strict=True))) == len(set(pairs))
    assert readers.load(task, str(absa_dir), "train").take(20).labels.shape == (20,)


def test_the_first_real_aspects(absa_dir):
    examples = readers.load(tasks.get("laptop14"), str(absa_dir), "train")
    sentence = (
        "I charge it at night and skip taking the cord with me because of the good battery life."
    )
    assert examples.texts[0][:2] == [sentence, sentence]
    assert examples.texts[1][:2] == ["cord", "battery life"]
    assert examples.labels[:2].tolist() == [1, 2]


def test_the_real_sources_of_cola(glue_dir):
    train, dev, test = (
        readers.load(COLA, str(glue_dir), split) for split in ("train", "validation", "test")
    )
    assert (train.sources[0], train.sources[-1]) == ("gj04", "ad03")
    assert (len(train.sources), len(set(train.sources))) == (8551, 17)
    assert (len(dev.sources), len(set(dev.sources))) == (1043, 23)
    assert test.sources is None  # index and sentence are its columns
    assert readers.load(SST2, str(glue_dir), "validation").sources is None


def test_the_task_folder_itself_is_accepted(glue_dir):
    folder = str(glue_dir / "CoLA")
    readers.check(COLA, folder)
    assert len(readers.load(COLA, folder, "validation")) == 1043


# --- what is accepted ---


def test_text_is_kept_as_it_is(write):
    texts = [
        "a\u2028b\x85c\x1cd\x0be\x0cf",
        'an "open quote',
        "'",
        "nul\0byte",
        "",
        "  sp  ",
        "\ufeff",
    ]
    rows = "".join(f"{text}\t{i % 2}\n" for i, text in enumerate(texts)).encode()
    examples = readers.load(SST2, write(SST2, rows), "train")
    assert examples.texts == (texts,)
    assert examples.labels.tolist() == [0, 1, 0, 1, 0, 1, 0]


def test_a_missing_final_newline_is_fine(write):
    assert readers.load(SST2, write(SST2, b"good\t1\nbad\t0"), "train").texts == (["good", "bad"],)


def test_a_byte_order_mark_is_skipped(write):
    header = b"\xef\xbb\xbf" + HEADERS["MRPC"]
    examples = readers.load(MRPC, write(MRPC, b"1\t7\t8\tone\ttwo\n", header=header), "train")
    assert examples.texts == (["one"], ["two"])
    headerless = write(COLA, b"\xef\xbb\xbfgj04\t1\t\tIt rains.\n")
    assert readers.load(COLA, headerless, "train").texts == (["It rains."],)


def test_crlf_line_ends_are_read_with_one_warning(write, caplog):
    folder = write(SST2, b"good\t1\r\nbad\r\t0\r\n", header=b"sentence\tlabel\r\n")
    with caplog.at_level(logging.WARNING, logger="absl"):
        examples = readers.load(SST2, folder, "train")
    assert examples.texts == (["good", "bad\r"],)
    assert examples.labels.tolist() == [1, 0]
    path = os.path.join(folder, "SST-2", "train.tsv")
    assert [m for m in caplog.messages if "published" not in m] == [
        f"{path}: CRLF line ends: read as plain line ends."
    ]


def test_columns_are_found_by_name(write):
    header = b"extra\tlabel\tsentence\n"
    examples = readers.load(SST2, write(SST2, b"x\t1\tgood\n", header=header), "train")
    assert (examples.texts, examples.labels.tolist()) == ((["good"],), [1])


def test_spelled_labels_become_ids_in_the_order_of_tfds(write):
    rte, mnli = tasks.get("rte"), tasks.get("mnli")
    header = b"index\tsentence1\tsentence2\tlabel\n"
    rows = b"0\ta\tb\tnot_entailment\n1\tc\td\tentailment\n"
    assert readers.load(rte, write(rte, rows, header=header), "train").labels.tolist() == [1, 0]
    header = b"sentence1\tsentence2\tlabel1\tgold_label\n"
    rows = b"a\tb\tneutral\tcontradiction\na\tb\tneutral\tneutral\na\tb\tneutral\tentailment\n"
    folder = write(mnli, rows, "dev_matched.tsv", header)
    assert readers.load(mnli, folder, "validation_matched").labels.tolist() == [2, 1, 0]


def test_a_test_file_has_no_labels_even_where_it_has_the_column(write):
    header = b"index\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    folder = write(MRPC, b"0\t7\t8\tone\ttwo\n", "test.tsv", header)
    assert readers.load(MRPC, folder, "test").labels is None
    folder = write(MRPC, b"?\t7\t8\tone\ttwo\n", "test.tsv")  # Quality, and no good label
    examples = readers.load(MRPC, folder, "test")
    assert (examples.texts, examples.labels) == ((["one"], ["two"]), None)
    folder = write(COLA, b"0\tIt rains.\n", "test.tsv", b"index\tsentence\n")
    assert readers.load(COLA, folder, "test").texts == (["It rains."],)


def test_qqp_drops_and_counts_rows_cut_by_a_line_break(write, caplog):
    qqp = tasks.get("qqp")
    rows = b"0\t1\t2\tWhy?\tWhy not?\t0\n1\t3\t4\tHow do\nI\tHow?\t1\n\n2\t5\t6\tWho?\tWhom?\t1\n"
    folder = write(qqp, rows)
    with caplog.at_level(logging.WARNING, logger="absl"):
        examples = readers.load(qqp, folder, "train")
    assert examples.texts == (["Why?", "Who?"], ["Why not?", "Whom?"])
    assert examples.labels.tolist() == [0, 1]
    assert examples.provenance["dropped_rows"] == 3
    path = os.path.join(folder, "QQP", "train.tsv")
    assert [m for m in caplog.messages if "published" not in m] == [
        f"{path}: 3 rows with too few columns dropped."
    ]
    # A submission has one answer a row, so that a test file loses none.
    write(qqp, b"0\tWhy?\n", "test.tsv", b"id\tquestion1\tquestion2\n")
    _refused(readers.load, qqp, folder, "test", named=["test.tsv:2: 2 columns instead of 3"])


def test_a_home_folder_is_expanded_and_shown_as_given(write, monkeypatch):
    monkeypatch.setenv("HOME", write(SST2, b"good\t1\n"))
    readers.check(SST2, "~", ["train"])
    assert readers.load(SST2, "~", "train").provenance["path"] == "~/SST-2/train.tsv"


# --- aspect files ---

REST16 = tasks.get("rest16")


def test_each_aspect_is_an_example(write):
    lines = (
        "Good food, bad wait staff.####Good=O food=T-POS ,=O bad=O wait=T-NEG staff=T-NEG .=O\n"
        "It rains.####It=O rains=O .=O\n"
        "Pizza = love\u2028####Pizza=T-POS ==T-NEU a=b=T-NEU caf\u00e9=O\n"
    ).encode()
    folder = write(REST16, lines, "test.txt")
    examples = readers.load(REST16, folder, "test")  # its labels are public
    first, last = "Good food, bad wait staff.", "Pizza = love\u2028"
    assert examples.texts == (
        [first, first, last, last],
        # Neighbours of different polarity are two aspects; a token may hold a "=".
        ["food", "wait staff", "Pizza", "= a=b"],
    )
    assert examples.labels.tolist() == [2, 0, 2, 1]
    assert examples.provenance["path"] == f"{folder}/rest16/test.txt"
    # The task's own folder serves as well; so does a mark at the start, and CRLF.
    marked = b"\xef\xbb\xbf" + lines.replace(b"\n", b"\r\n")
    write(REST16, marked, "test.txt")
    again = readers.load(REST16, f"{folder}/rest16", "test")
    assert again.texts == examples.texts


BAD_ASPECTS = {
    "two separators": (b"a####a=O####b=O\n", ":1: '####'"),
    "no separator": (b"a####a=O\nfood=T-POS\n", ":2: '####'"),
    "no tag": (b"a b####a=O b\n", ":1: wrong token 'b'"),
    "another tag": (b"a####a=T-CON\n", ":1: wrong token 'a=T-CON'"),
    "two blanks": (b"a####a=O  b=O\n", ":1: wrong token ''"),
    "not UTF-8": (b"a####a=T-POS\ncaf\xe9####caf\xe9=O\n", ":2: not UTF-8: byte 4"),
    "no aspect": (b"a####a=O\n", ": no aspect"),
}


@pytest.mark.parametrize("case", BAD_ASPECTS)
def test_bad_aspects(write, case):
    lines, where = BAD_ASPECTS[case]
    folder = write(REST16, lines, "train.txt")
    named = [f"{folder}/rest16/train.txt{where}"]
    _refused(readers.load, REST16, folder, "train", named=named)


@pytest.mark.parametrize(
    "call", [readers.check, lambda task, where: readers.load(task, where, "train")]
)
@pytest.mark.parametrize("source", ["tfds", "sample"])
def test_aspects_are_in_files_only(call, source):
    _refused(call, REST16, source, named=[f"--data={source}", "rest16", "--data=FOLDER"])
    assert not tfds.is_prepared(REST16)


def test_folders_without_aspects(write, tmp_path):
    missing = str(tmp_path / "nowhere")
    _refused(readers.check, REST16, missing, named=[f"--data={missing}", "rest16/train.txt"])
    named = [f"--data={tmp_path}", f"{tmp_path}/rest16/train.txt"]
    _refused(readers.check, REST16, str(tmp_path), named=named)
    folder = write(REST16, b"a####a=T-POS\n", "train.txt")
    named = [f"{folder}/rest16/dev.txt", f"{folder}/rest16: train.txt"]
    _refused(readers.check, REST16, folder, named=named)


# --- where examples come from ---


def test_sources_follow_their_examples(write):
    rows = b"".join(b"s%d\t1\t\ttext %d\n" % (i, i) for i in range(50))
    some = readers.load(COLA, write(COLA, rows), "train", limit=9)
    assert [code.removeprefix("s") for code in some.sources] == [
        text.removeprefix("text ") for text in some.texts[0]
    ]
    folder = write(COLA, b"0\tIt rains.\n", "test.tsv", b"index\tsentence\n")
    assert readers.load(COLA, folder, "test").sources is None


def test_a_column_without_a_name_is_no_source(write):
    folder = write(SST2, b"good\t1\tx\n", header=b"sentence\tlabel\t\n")
    assert readers.load(SST2, folder, "train").sources is None


# --- what is refused ---

_SCORED = b"0\tg\tf\ty\to\ts\ts\ta\tb\t"
RTE = tasks.get("rte")
BAD_ROWS = {
    "wrong label": (SST2, b"good\t1\nbad\t2\nworse\t3\n", ":3: wrong label '2'"),
    "no label": (SST2, b"good\t\n", ":2: wrong label ''"),
    "wrong label, spelled": (RTE, b"0\ta\tb\tneutral\n", ":2: wrong label 'neutral'"),
    "score in words": (STSB, _SCORED + b"five\n", ":2: wrong label 'five'"),
    "score too large": (STSB, _SCORED + b"5.000\n" + _SCORED + b"5.2\n", ":3: wrong label '5.2'"),
    "score not finite": (STSB, _SCORED + b"nan\n", ":2: wrong label 'nan'"),
    "stray tab": (SST2, b"good\t1\nnot\tgood\t0\n", ":3: 3 columns instead of 2"),
    "blank line": (SST2, b"good\t1\n\nbad\t0\n", ":3: 1 columns instead of 2"),
    "stray tab without a header": (
        COLA,
        b"gj04\t1\t\tIt rains.\ngj04\t1\t\tIt\trains.\n",
        ":2: 5 columns instead of 4",
    ),
    "wrong label in the first line": (COLA, b"gj04\tyes\t\tIt rains.\n", ":1: wrong label 'yes'"),
    "invalid UTF-8": (SST2, b"good\t1\ncaf\xe9\t0\n", ":3: not UTF-8: byte 4"),
    "the first bad line is the one shown": (
        SST2,
        b"good\t7\ncaf\xe9\t0\n",
        ":2: wrong label '7'",
    ),
    "only a header": (SST2, b"", ": zero rows"),
    "an empty file": (COLA, b"", ": zero rows"),
    "a header without the columns": (
        COLA,
        b"source\tlabel\tstar\ttext\ngj04\t1\t\tIt rains.\n",
        ":1: a header ('source', 'label', 'star', 'text')",
    ),
}
RTE_HEADER = {"RTE": b"index\tsentence1\tsentence2\tlabel\n"}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_rows(write, case):
    task, rows, where = BAD_ROWS[case]
    folder = write(task, rows, header=RTE_HEADER.get(task.folder))
    path = os.path.join(folder, task.folder, "train.tsv")
    _refused(readers.load, task, folder, "train", named=[path + where])


BAD_HEADERS = {
    "missing column": (STSB, b"index\tsentence1\tscore\n0\ta\t1.0\n", ["'sentence2'", "'score'"]),
    "commas": (SST2, b"sentence,label\ngood,1\n", ["'sentence', 'label'", "'sentence,label'"]),
    "no header": (SST2, b"good\t1\nbad\t0\n", ["'sentence', 'label'", "'good', '1'"]),
    "bare CR line ends": (
        SST2,
        b"sentence\tlabel\r" + b"good\t1\r" * 100,
        ["'label\\rgood'", "90 more"],
    ),
    "UTF-16": (SST2, "sentence\tlabel\n".encode("utf-16"), ["byte 1", "UTF-8"]),
}


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_bad_headers(write, case):
    task, content, named = BAD_HEADERS[case]
    folder = write(task, content, header=b"")
    path = os.path.join(folder, task.folder, "train.tsv")
    _refused(readers.load, task, folder, "train", named=[f"{path}:1: ", *named])


def test_an_empty_file_where_a_header_belongs(write):
    folder = write(MRPC, b"", header=b"")
    named = [f"{folder}/MRPC/train.tsv", "#1 String, #2 String, Quality"]
    _refused(readers.load, MRPC, folder, "train", named=named)


def test_a_message_stays_short_whatever_the_file_holds(write):
    folder = write(SST2, b"good\t" + b"1" * 100_000 + b"\n")
    named = [f"{folder}/SST-2/train.tsv:2: ", f"'{'1' * 40}...'"]
    _refused(readers.load, SST2, folder, "train", named=named)


# --- sources that cannot serve the task ---

GOOD = "tfds, sample, or a folder that holds the benchmark's task folders (e.g. CoLA/train.tsv)"


@pytest.mark.parametrize(
    "call", [readers.check, lambda task, where: readers.load(task, where, "train")]
)
def test_an_unknown_source(call, tmp_path):
    for place in ("TFDS", "", str(tmp_path / "nowhere"), __file__):
        _refused(call, COLA, place, named=[f"--data={place}: ", GOOD])
    named = [f"--data={tmp_path}: ", f"{tmp_path}/CoLA/train.tsv"]
    _refused(call, COLA, str(tmp_path), named=named)


@pytest.mark.parametrize(("task", "near"), [(COLA, "cola"), (SST2, "SST2"), (STSB, "stsb")])
def test_a_task_folder_of_another_spelling_is_named(tmp_path, task, near):
    (tmp_path / near).mkdir()
    if (tmp_path / task.folder).exists():
        pytest.skip("the file system ignores case")
    named = [f"--data={tmp_path}: ", task.folder, f"--data={tmp_path}/{near}"]
    _refused(readers.check, task, str(tmp_path), named=named)


def test_a_folder_without_the_files(write):
    folder = write(COLA, b"gj04\t1\t\tIt rains.\n")
    readers.check(COLA, folder, ["train"])
    named = [f"{folder}/CoLA/dev.tsv: ", f"Found in {folder}/CoLA: train.tsv."]
    _refused(readers.check, COLA, folder, named=named)
    _refused(readers.load, COLA, folder, "validation", named=named)
    os.remove(os.path.join(folder, "CoLA", "train.tsv"))
    _refused(readers.check, COLA, folder, named=[f"{folder}/CoLA/train.tsv: ", "no .tsv file"])


def test_a_folder_in_the_place_of_a_file(tmp_path):
    (tmp_path / "CoLA" / "train.tsv").mkdir(parents=True)
    named = [f"{tmp_path}/CoLA/train.tsv: ", "directory"]
    _refused(readers.load, COLA, str(tmp_path), "train", named=named)


def test_what_may_not_be_read(write, monkeypatch):
    folder = write(COLA, b"gj04\t1\t\tIt rains.\n")

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    # Patched, since the tests may run as root, who may read everything.
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", refuse)
        _refused(readers.load, COLA, folder, "train", named=[f"{folder}/CoLA/train.tsv: "])
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refuse)
        _refused(readers.check, SST2, folder, named=[f"{folder}: "])


# --- the sample ---


def test_the_sample(monkeypatch):
    rows = [(("One.", "Uno."), 1), (("Two.", "Three."), 0)]
    monkeypatch.setattr(sample, "examples", lambda task, split: rows)
    readers.check(MRPC, "sample")
    examples = readers.load(MRPC, "sample", "validation")
    assert examples.texts == (["One.", "Two."], ["Uno.", "Three."])
    assert examples.labels.dtype == np.int32
    assert examples.labels.tolist() == [1, 0]
    lines = b'["One.", "Uno.", 1]\n["Two.", "Three.", 0]\n'
    assert examples.provenance == {
        "name": "sample",
        "split": "validation",
        "version": sample.VERSION,
        "sha256": hashlib.sha256(lines).hexdigest(),
        "path": None,
        "examples": 2,
        "split_examples": 2,
        "dropped_rows": 0,
    }


@pytest.mark.parametrize("name", sample.TASKS)
def test_the_real_sample_fits_the_tasks(name):
    task = tasks.get(name)
    for split in ("train", "validation"):
        examples = readers.load(task, "sample", split)
        assert len(examples.texts) == len(task.text_fields)
        assert len(examples) == len(sample.examples(name, split)) == len(examples.labels)
        assert set(examples.labels.tolist()) == set(range(task.problem.width))


def test_what_the_sample_has_not():
    named = ["--data=sample", "stsb", ", ".join(sample.TASKS)]
    _refused(readers.check, STSB, "sample", named=named)
    named = ["--data=sample", "test", "train, validation"]
    _refused(readers.load, COLA, "sample", "test", named=named)


# --- a limited number of examples ---


def _numbered(n):
    texts = [f"text {i}" for i in range(n)]
    provenance = {"name": "tsv", "examples": n, "split_examples": n}
    return Examples((texts, texts[::-1]), np.arange(n, dtype=np.int32), provenance)


def test_take_is_a_fixed_subset_in_the_files_order():
    examples = _numbered(1000)
    some = examples.take(10)
    chosen = some.labels.tolist()
    # RandomState(0).permutation(1000)[:10], sorted: pinned, since records rely on it.
    assert chosen == [27, 231, 298, 306, 553, 672, 706, 859, 971, 993]
    assert some.texts[0] == [f"text {i}" for i in chosen]
    assert some.texts[1] == [f"text {999 - i}" for i in chosen]
    assert len(some) == 10
    assert some.labels.dtype == np.int32
    assert some.provenance == {"name": "tsv", "examples": 10, "split_examples": 1000}
    assert set(chosen) < set(examples.take(100).labels.tolist())


def test_take_all_and_take_too_many():
    examples = _numbered(10)
    assert examples.take(0) is examples.take(10) is examples.take(11) is examples
    with refuses(ValueError, "limit=-1"):
        examples.take(-1)
    unlabelled = Examples((["a", "b", "c"],), None, {}).take(2)
    assert unlabelled.labels is None
    assert unlabelled.sources is None
    assert len(unlabelled) == 2


def test_load_takes_the_limit(write):
    folder = write(SST2, b"".join(b"text %d\t%d\n" % (i, i % 2) for i in range(50)))
    limited = readers.load(SST2, folder, "train", limit=20)
    assert len(limited) == 20
    assert limited.texts == readers.load(SST2, folder, "train").take(20).texts
    assert limited.provenance["examples"] == 20
    assert limited.provenance["split_examples"] == 50


# --- TFDS ---


@pytest.fixture
def tfds_root(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path / "tfds"


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(network, "reachable", refuse)


def _serve(monkeypatch, folder):
    """Lets TFDS's own GLUE builder "download" the .tsv files of `folder`."""
    import tensorflow_datasets as tfds

    monkeypatch.setattr(
        tfds.download.DownloadManager, "download_and_extract", lambda self, url: folder
    )
    monkeypatch.setattr(network, "reachable", lambda url: True)


def test_tfds_is_downloaded_prepared_and_then_read_offline(write, tfds_root, monkeypatch, request):
    rows = [f"gj04\t{i % 2}\t\tSentence \u00e9\u2028 number {i}.\n" for i in range(40)]
    write(COLA, "".join(rows).encode())
    write(COLA, "".join(rows[:7]).encode(), "dev.tsv")
    folder = write(COLA, b"0\tIt rains.\n1\tIt snows.\n", "test.tsv", b"index\tsentence\n")
    _serve(monkeypatch, folder)
    assert not tfds.is_prepared(COLA)
    first = readers.load(COLA, "tfds", "train")
    assert tfds.is_prepared(COLA)
    assert not tfds.is_prepared(SST2)
    request.getfixturevalue("no_network")
    again = readers.load(COLA, "tfds", "train")
    assert first.texts == again.texts
    assert first.provenance == again.provenance
    from_tsv = readers.load(COLA, folder, "train")
    assert sorted(zip(again.texts[0], again.labels, strict=True)) == sorted(
        zip(from_tsv.texts[0], from_tsv.labels, strict=True)
    )
    assert again.labels.dtype == np.int32
    assert again.provenance == {
        "name": "tfds",
        "split": "train",
        "version": "2.0.0",
        "sha256": again.provenance["sha256"],
        "path": None,
        "examples": 40,
        "split_examples": 40,
        "dropped_rows": 0,
    }
    assert len(readers.load(COLA, "tfds", "validation")) == 7
    test = readers.load(COLA, "tfds", "test")
    assert sorted(test.texts[0]) == ["It rains.", "It snows."]
    assert test.labels is None
    named = ["--data=tfds", "glue/cola", "dev", "train, validation, test"]
    _refused(readers.load, COLA, "tfds", "dev", named=named)

    # An older version beside it, and what an interrupted preparation leaves, change nothing.
    prepared = tfds_root / "glue" / "cola" / "2.0.0"
    for name in ("1.0.0", "10.0.0.incompleteABC"):
        (tfds_root / "glue" / "cola" / name).mkdir()
        for file in ("dataset_info.json", "features.json"):
            (tfds_root / "glue" / "cola" / name / file).write_text("{}")
    assert len(readers.load(COLA, "tfds", "train")) == 40
    for name in ("dataset_info.json", "features.json"):
        whole = (prepared / name).read_text()
        for text in ("", "{}", whole[: len(whole) // 2], '{"splits": []}', "\xff"):
            (prepared / name).write_bytes(text.encode("latin-1"))
            _refused(readers.load, COLA, "tfds", "train", named=["--data=tfds", prepared])
        (prepared / name).write_text(whole)
    info = json.loads((prepared / "dataset_info.json").read_text())
    whole = (prepared / "dataset_info.json").read_text()
    (prepared / "dataset_info.json").write_text(json.dumps({**info, "splits": []}))
    _refused(readers.load, COLA, "tfds", "train", named=["dataset_info.json", "split"])
    (prepared / "dataset_info.json").write_text(whole)
    assert len(readers.load(COLA, "tfds", "train")) == 40
    (shard,) = prepared.glob("*train*tfrecord*")
    shard.write_bytes(shard.read_bytes()[:-5])
    named = ["--data=tfds", f"{prepared} cannot be read: DataLossError"]
    _refused(readers.load, COLA, "tfds", "train", named=named)


_KILLED = """
import os, signal, sys
import tensorflow_datasets as tfds
from bert_glue_tf.core import network
from bert_glue_tf.data import readers as data, tasks

def die(*arguments, **more):
    os.kill(os.getpid(), signal.SIGKILL)

tfds.download.DownloadManager.download_and_extract = lambda self, url: sys.argv[1]
network.reachable = lambda url: True
tfds.core.DatasetInfo.write_to_directory = die
data.load(tasks.get("cola"), "tfds", "train")
"""


@pytest.mark.processes
def test_a_preparation_that_is_killed_is_begun_anew(write, tfds_root, monkeypatch):
    rows = "".join(f"gj04\t{i % 2}\t\tSentence number {i}.\n" for i in range(40)).encode()
    write(COLA, rows)
    write(COLA, rows, "dev.tsv")
    folder = write(COLA, b"0\tIt rains.\n", "test.tsv", b"index\tsentence\n")
    # All sentences are written, and what tells that they are is not.
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, folder], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = [path.name for path in tfds_root.rglob("*.tfrecord*")]
    assert len(left) == 3, left
    assert not tfds.is_prepared(COLA)
    _serve(monkeypatch, folder)
    assert len(readers.load(COLA, "tfds", "train")) == 40
    assert len(readers.load(COLA, "tfds", "test")) == 1
    assert tfds.is_prepared(COLA)


def test_tfds_regression_and_mnli(write, tfds_root, monkeypatch):
    row = b"0\tg\tf\ty\to\ts\ts\tone\ttwo\t3.250\n"
    for file in ("train.tsv", "dev.tsv"):
        write(STSB, row, file)
    folder = write(STSB, b"0\tone\ttwo\n", "test.tsv", b"index\tsentence1\tsentence2\n")
    _serve(monkeypatch, folder)
    examples = readers.load(STSB, "tfds", "validation")
    assert examples.texts == (["one"], ["two"])
    assert examples.labels.dtype == np.float32
    assert examples.labels.tolist() == [3.25]
    assert readers.load(STSB, "tfds", "test").labels is None

    mnli = tasks.get("mnli")
    header = b"sentence1\tsentence2\tgold_label\n"
    labels = {"train": b"neutral", "dev_matched": b"contradiction", "dev_mismatched": b"entailment"}
    for name, label in labels.items():
        write(mnli, b"one\ttwo\t%s\n" % label, f"{name}.tsv", header)
    for name in ("test_matched", "test_mismatched"):
        write(mnli, b"one\ttwo\n", f"{name}.tsv", b"sentence1\tsentence2\n")
    found = {
        split: readers.load(mnli, "tfds", split).labels.tolist()
        for split in ("train", *mnli.validation_splits.values())
    }
    assert found == {"train": [1], "validation_matched": [2], "validation_mismatched": [0]}
    assert readers.load(mnli, "tfds", "test_mismatched").labels is None


def test_tfds_test_splits_have_the_order_of_the_benchmarks_files(write, tfds_root, monkeypatch):
    write(COLA, b"gj04\t1\t\tOne.\n")
    write(COLA, b"gj04\t1\t\tOne.\n", "dev.tsv")
    texts = [f"Sentence {i}." for i in range(30)]
    rows = "".join(f"{i}\t{text}\n" for i, text in enumerate(texts)).encode()
    _serve(monkeypatch, write(COLA, rows, "test.tsv", b"index\tsentence\n"))
    # TFDS shuffles what it prepares; line i of a submission answers row i of the file.
    assert readers.load(COLA, "tfds", "test").texts == (texts,)


def test_a_download_that_fails_is_one_message(tfds_root, monkeypatch):
    import tensorflow_datasets as tfds

    def fail(self, urls):
        raise tfds.download.DownloadError("Failed to get url https://x.\nHTTP code: 403.")

    monkeypatch.setattr(tfds.download.DownloadManager, "download", fail)
    monkeypatch.setattr(network, "reachable", lambda url: True)
    named = ["--data=tfds", "glue/mrpc", str(tfds_root), "HTTP code: 403", "--data=FOLDER"]
    _refused(readers.load, MRPC, "tfds", "train", named=named)


def test_tfds_neither_prepared_nor_reachable(tfds_root, monkeypatch):
    asked = []
    monkeypatch.setattr(network, "reachable", lambda url: asked.append(url))
    for call in (readers.check, lambda task, where: readers.load(task, where, "train")):
        named = ["--data=tfds", "https://dl.fbaipublicfiles.com", f"{tfds_root}/glue/cola"]
        with refuses(network.UnreachableError, *named) as caught:
            call(COLA, "tfds")
        assert caught.value.what == "data"
        assert isinstance(caught.value, UserError)
    assert asked == ["https://dl.fbaipublicfiles.com"] * 2


def test_check_imports_no_tensorflow_and_asks_the_network_once(write, tmp_path):
    folder = write(SST2, b"good\t1\n")
    code = f"""
import sys
from bert_glue_tf.core import network
from bert_glue_tf.data import readers as data, tasks
asked = []
sys.addaudithook(lambda event, of: asked.append(of[1]) if event == "socket.connect" else None)
data.check(tasks.get("sst2"), {folder!r}, ["train"])
data.check(tasks.get("sst2"), "sample")
assert asked == []
try:
    data.check(tasks.get("sst2"), "tfds")
except network.UnreachableError as error:
    print(error)
assert asked == [("127.0.0.1", 1)], asked
assert not {{"tensorflow", "tensorflow_datasets", "scipy"}} & set(sys.modules)
"""
    environment = {
        **os.environ,
        "TFDS_DATA_DIR": str(tmp_path / "none"),
        "https_proxy": "http://127.0.0.1:1",  # refuses: no network whatever the machine
        "no_proxy": "",
        "NO_PROXY": "",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert run.stderr.decode() == ""
    assert run.stdout.decode().startswith("--data=tfds: https://dl.fbaipublicfiles.com cannot be")


# --- network.reachable ---


@pytest.fixture
def server(monkeypatch):
    """The address of a web server on this machine that answers 404 to everything."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(404)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_any_status_counts_as_reachable(server):
    assert network.reachable(server + "/nothing/here") is True


def test_the_proxy_of_the_environment_is_used(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server)
    assert network.reachable("http://bert-glue-tf.invalid/") is True
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert network.reachable("http://bert-glue-tf.invalid/") is False


def test_refused_silent_and_nonsense_servers_are_unreachable(server):
    assert network.reachable("http://127.0.0.1:1/") is False
    assert network.reachable("no address at all") is False
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        start = time.perf_counter()
        assert network.reachable(f"http://127.0.0.1:{silent.getsockname()[1]}/", 0.3) is False
        assert time.perf_counter() - start < 10  # Without its limit it would wait for ever.


def test_a_name_server_that_blocks_does_not_hold_us_up(server, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: released.wait(20))
    start = time.perf_counter()
    assert network.reachable("http://bert-glue-tf.invalid/", timeout=0.3) is False
    assert time.perf_counter() - start < 10  # Without its limit it would wait for 20 s.
    released.set()
