"""Tables of the user's own: what is read and guessed from them, and what is said of bad ones."""

from __future__ import annotations

import dataclasses
import gzip
import json
import logging
import types

import numpy as np
import pyarrow as pa
import pytest
from messages import refuses, says
from pyarrow import parquet as pq

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import examples, readers, tasks
from bert_glue_tf.data.own import columns, files, table
from bert_glue_tf.data.problems import Classification, MultiLabel, Regression
from bert_glue_tf.data.settings import DataSettings
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import inputs
from bert_glue_tf.training.launch import Launch

WORDS = [("good film", "pos"), ("bad film", "neg"), ("fine", "pos"), ("dull", "neg")] * 5
CSV = "text,label\n" + "".join(f"{text} {i},{label}\n" for i, (text, label) in enumerate(WORDS))


def settings(data, **others):
    return DataSettings(task="mine", data=str(data), **others)


def task_of(data, **others):
    return readers.task_of(settings(data, **others))


def read(data, **others):
    task = task_of(data, **others)
    return task, readers.load_for_training(task, str(data))


def write(folder, name="train.csv", content=CSV):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_parquet(path, features=None, **values):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = pa.table(values)
    if features:
        described = json.dumps({"info": {"features": features}})
        rows = rows.replace_schema_metadata({"huggingface": described})
    pq.write_table(rows, path)


# --- formats ---


def _as_parquet(tmp_path):
    path = tmp_path / "train.parquet"
    write_parquet(path, text=["a, b", 'say "c"\nd'] * 2, label=["x", "y"] * 2)
    return path.read_bytes()


FORMATS = {
    "train.csv": 'text,label\n"a, b",x\n"say ""c""\nd",y\n' + '"a, b",x\n"say ""c""\nd",y\n',
    "semicolons.csv": 'text;label\na, b;x\n"say ""c""\nd";y\na, b;x\n"say ""c""\nd";y\n',
    "train.tsv": 'text\tlabel\na, b\tx\n"say ""c""\nd"\ty\na, b\tx\n"say ""c""\nd"\ty\n',
    "train.jsonl": '{"text": "a, b", "label": "x"}\n{"text": "say \\"c\\"\\nd", "label": "y"}\n'
    * 2,
    "train.json": json.dumps(
        [{"text": "a, b", "label": "x"}, {"text": 'say "c"\nd', "label": "y"}] * 2
    ),
    "train.parquet": _as_parquet,
}


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_read_packed_or_not(tmp_path, name, packed):
    content = FORMATS[name]
    raw = content(tmp_path) if callable(content) else content.encode()
    path = write(tmp_path / "in", name + packed, gzip.compress(raw) if packed else raw)
    rows = table.read([str(path)])
    assert rows.columns["text"] == ["a, b", 'say "c"\nd'] * 2
    assert rows.columns["label"] == ["x", "y"] * 2
    task, found = read(path)
    assert task.problem == Classification(("x", "y"))
    assert sorted(text for split in found.values() for text in split.texts[0]) == sorted(
        ["a, b", 'say "c"\nd'] * 2
    )


def test_the_line_of_a_row_is_the_one_that_it_begins_on(tmp_path):
    rows = table.read([str(write(tmp_path, content='text,label\n"a\nb",x\n\nc,y\n'))])
    assert [place.rsplit(":")[-1] for place in rows.places] == ["2", "5"]


def test_a_quotation_over_two_rows_of_a_tsv_is_text():
    lines = ['"He said it\tpos', "and more\tneg", 'and left."\tneg', "end\tpos"]
    rows = table.parse("t.tsv", ("text\tlabel\n" + "\n".join(lines) + "\n").encode())
    assert rows.columns["text"] == ['"He said it', "and more", 'and left."', "end"]
    # A cell of two lines, as a spreadsheet writes it, is one.
    two = 'text\tlabel\n"one\ntwo"\tx\n"three"\ty\n'
    assert table.parse("t.tsv", two.encode()).columns["text"] == ["one\ntwo", "three"]


def test_quotes_of_a_tsv_are_text_unless_all_of_them_enclose_cells(tmp_path):
    raw = 'text\tlabel\n"Hello," he said.\tx\n"Whole."\ty\n'
    assert table.parse("t.tsv", raw.encode()).columns["text"] == ['"Hello," he said.', '"Whole."']
    quoted = 'text\tlabel\n"a\tb"\tx\n"say ""c"""\ty\n'
    assert table.parse("t.tsv", quoted.encode()).columns["text"] == ["a\tb", 'say "c"']


def test_a_byte_order_mark_crlf_and_the_index_of_pandas_do_no_harm():
    rows = table.parse("t.csv", b"\xef\xbb\xbf,text,label\r\n0,good,x\r\n1,bad,y\r\n")
    assert dict(rows.columns) == {"text": ["good", "bad"], "label": ["x", "y"]}


# --- files ---


def test_the_splits_of_a_folder_are_found_by_their_names(tmp_path):
    for name in ("train.csv", "dev.csv", "test.tsv", "readme.txt", "notes.csv"):
        write(tmp_path, name)
    found = files.find(str(tmp_path))
    assert {split: [path.rsplit("/")[-1] for path in paths] for split, paths in found.items()} == {
        "train": ["train.csv"],
        "validation": ["dev.csv"],
        "test": ["test.tsv"],
    }


@pytest.mark.parametrize(
    "where",
    [
        "{split}-{n:05d}-of-00002.parquet",
        "data/{split}-{n:05d}-of-00002-1a2b.parquet",
        "{split}/data-{n:05d}-of-00002.parquet",
        "{split}/{split}-{n:05d}-of-00002.parquet",
        "{split}/{n:04d}.parquet",
        "default/{split}/{n:04d}.parquet",
    ],
)
def test_shards_of_hugging_faces_exports_are_read_in_their_order(tmp_path, where):
    names = {"label": {"names": ["ham", "spam"], "_type": "ClassLabel"}}
    for split in ("train", "validation"):
        for n in range(2):
            path = tmp_path / where.format(split=split, n=n)
            write_parquet(path, names, text=[f"{split} {n} {i}" for i in range(2)], label=[0, 1])
    task, found = read(tmp_path)
    assert task.problem == Classification(("ham", "spam"))
    assert found["train"].texts == (["train 0 0", "train 0 1", "train 1 0", "train 1 1"],)
    assert found["validation"].labels.tolist() == [0, 1, 0, 1]


def test_the_name_of_a_task_is_that_of_its_file_or_folder(tmp_path):
    film = write(tmp_path / "films", "train.csv")
    assert files.default_name(str(film)) == files.default_name(str(film.parent)) == "films"
    assert files.default_name(str(write(tmp_path, "my films.csv.gz"))) == "my_films"
    assert files.default_name(str(write(tmp_path / "mrpc"))) == "own_mrpc"


def test_texts_that_look_like_a_known_task_are_said_to_be_taken_as_own(tmp_path, caplog):
    cola = CSV.replace("text,label", "sentence,label")
    cases = (
        ("cola", cola, ("--task=cola", "macro_f1", "matthews")),
        ("CoLA", cola, ("--task=cola", "matthews")),
        ("SST-2", cola, ("--task=sst2", "accuracy")),
        ("cola", CSV, ()),  # With another column.
        ("mine", cola, ()),
    )
    for number, (name, content, named) in enumerate(cases):
        path = write(tmp_path / str(number) / name, "train.csv", content)
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="absl"):
            task_of(path.parent)
        assert len(caplog.messages) == 1 + bool(named)
        if named:
            says(caplog.messages[1], path.parent, "texts of your own", *named)
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="absl"):
            task_of(path)  # A file by itself is no folder that the known task could be read from.
        assert len(caplog.messages) == 1


def test_without_task_the_data_say_which_one_it_is(tmp_path):
    assert readers.default_task("tfds", "cola") == readers.default_task("sample", "cola") == "cola"
    assert readers.default_task(str(write(tmp_path / "films")), "cola") == "films"
    assert readers.default_task(str(tmp_path / "films"), "cola") == "films"
    write(tmp_path / "glue" / "CoLA", "train.tsv", "gj04\t1\t\tIt rains.\n")
    assert readers.default_task(str(tmp_path / "glue"), "cola") == "cola"
    assert readers.default_task(str(tmp_path / "glue" / "CoLA"), "cola") == "cola"
    assert readers.default_task(str(tmp_path / "nowhere"), "cola") == "cola"


def test_without_task_a_place_that_has_nothing_is_told_what_would_be_good(tmp_path):
    write(tmp_path / "cats", "1.jpg", "")
    with refuses(UserError, "1 .jpg", "no train file", ".parquet"):
        readers.default_task(str(tmp_path), "cola")
    path = write(tmp_path / "shop", "reviews.csv")
    with refuses(UserError, "no train file", f"Good: --data={path}"):
        readers.default_task(str(path.parent), "cola")
    with refuses(UserError, "train.xlsx", "no format"):
        readers.default_task(str(write(tmp_path / "sheets", "train.xlsx", "PK")), "cola")
    (tmp_path / "glue" / "SST-2").mkdir(parents=True)
    assert readers.default_task(str(tmp_path / "glue"), "cola") == "cola"


# --- columns ---


@pytest.mark.parametrize(
    ("names", "texts", "label"),
    [
        (["idx", "Text", "Category"], ("Text",), "Category"),
        (["premise", "hypothesis", "label"], ("premise", "hypothesis"), "label"),
        (["question", "sentence", "label", "idx"], ("question", "sentence"), "label"),
        (["question1", "question2", "is_duplicate"], ("question1", "question2"), "is_duplicate"),
        (["review", "is_spam"], ("review",), "is_spam"),
        (["words", "label"], ("words",), "label"),
    ],
)
def test_columns_are_guessed_by_their_usual_names(names, texts, label):
    values = {name: [f"several {name} words"] for name in names}
    found = columns.choose("t.csv", values)
    assert (found.texts, found.label, found.is_guessed) == (texts, label, True)


@pytest.mark.parametrize("texts", ["text", "sentence1,sentence2"])
@pytest.mark.parametrize("name", ["id", "IDX", "Unnamed: 0"])
def test_an_index_is_no_label(tmp_path, name, texts):
    cells = ",".join(["some text"] * len(texts.split(",")))
    rows = "".join(f"{i},{cells}\n" for i in range(300))
    path = write(tmp_path, content=f"{name},{texts}\n{rows}")
    with refuses(UserError, "train.csv", "--label_column", name, *texts.split(",")):
        task_of(path)
    assert isinstance(task_of(path, label_column=name).problem, Regression)


def test_an_only_other_column_is_the_label_unless_it_counts_the_rows(tmp_path, caplog):
    counted = "".join(f"text {i},{i + 7}\n" for i in range(30))
    with refuses(UserError, "train.csv", "number", "--label_column=number"):
        task_of(write(tmp_path / "counted", content=f"text,number\n{counted}"))
    repeated = "".join(f"text {i},{i % 3}\n" for i in range(30))
    path = write(tmp_path / "spam", content=f"text,spam\n{repeated}")
    with caplog.at_level(logging.INFO, logger="absl"):
        assert task_of(path).tsv_label == "spam"
    says(caplog.messages[0], "labels from spam (guessed: the only other column)")


def test_given_columns_are_taken(tmp_path):
    content = "text,other,label,kind\n" + "a,first b,x,1\nc,second d,y,2\n" * 3
    path = write(tmp_path, content=content)
    task = task_of(path, text_columns="text, other", label_column="kind")
    assert (task.tsv_text, task.tsv_label) == (("text", "other"), "kind")
    assert task.problem == Classification(("1", "2"))


# --- problems ---


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["b", "a", "10"], None),
        (["b", "a", "c"], Classification(("a", "b", "c"))),
        (["10", "9", "2"], Classification(("2", "9", "10"))),
        ([True, False, True], Classification(("false", "true"))),
        ([1.0, 2.0, 1.0], Classification(("1", "2"))),
        (["0.5", "2", "1e1"], Regression(0.5, 10.0)),
        ([["b"], [], ["a", "b"]], MultiLabel(("a", "b"))),
    ],
)
def test_the_problem_follows_from_the_labels(tmp_path, values, problem):
    rows = [{"text": f"text {i}", "label": value} for i, value in enumerate(values * 4)]
    path = write(tmp_path, "train.json", json.dumps(rows))
    if problem is None:
        with refuses(UserError, "train.json, row 3", "'10'", "--problem=classification"):
            task_of(path)
        problem = Classification(("10", "a", "b"))
        assert task_of(path, problem="classification").problem == problem
    else:
        assert task_of(path).problem == problem


@pytest.mark.parametrize(
    "cells",
    [
        ("['a', 'b, c']", "[]", "['a']"),  # As pandas writes them.
        ('["a", "b, c"]', "[ ]", '["a"]'),
        ("[0, 12]", "[]", "[0]"),
    ],
)
@pytest.mark.parametrize("name", ["train.csv", "train.tsv"])
def test_a_cell_may_hold_a_list_of_labels(tmp_path, name, cells):
    between = "\t" if name.endswith("tsv") else ","
    rows = [("text", "labels"), *((f"text {i}", cells[i % 3]) for i in range(12))]
    quoted = (['"' + cell.replace('"', '""') + '"' for cell in row] for row in rows)
    path = write(tmp_path, name, "".join(between.join(row) + "\n" for row in quoted))
    write(tmp_path, f"dev{path.suffix}", path.read_text())
    labels = ("0", "12") if "12" in cells[0] else ("a", "b, c")
    assert task_of(tmp_path).problem == MultiLabel(labels)
    found = readers.load(task_of(tmp_path), str(tmp_path), "validation")
    assert found.labels[:3].tolist() == [[1, 1], [0, 0], [1, 0]]


@pytest.mark.parametrize("cell", ["['a' 'b']", "['a', 'b'", "['a', b]"])
def test_a_list_that_cannot_be_read_is_no_class(tmp_path, cell):
    """NumPy writes no commas; a cell that is not closed is a name like any other."""
    rows = "".join(f'text {i},"{cell}"\n' for i in range(8))
    path = write(tmp_path, content=f"text,labels\n{rows}text,b\n")
    if cell.endswith("]"):
        with refuses(UserError, f"{path}:2", "labels", ".jsonl"):
            task_of(path)
    else:
        assert task_of(path).problem == Classification((cell, "b"))


def test_a_class_in_brackets_is_a_class(tmp_path):
    rows = "".join(f"text {i},{'[x]' if i % 2 else '[y]'}\n" for i in range(8))
    path = write(tmp_path, content=f"text,label\n{rows}")
    assert task_of(path).problem == Classification(("[x]", "[y]"))


def test_many_whole_numbers_are_no_classes_unless_that_is_said(tmp_path):
    rows = "text,label\n" + "".join(f"text {i},{i}\n" for i in range(40))
    path = write(tmp_path, content=rows)
    assert task_of(path).problem == Regression(0.0, 39.0)
    assert task_of(path, problem="classification").problem.width == 40


def test_what_is_read_is_said_in_one_line(tmp_path, caplog):
    path = write(tmp_path, content=CSV)
    with caplog.at_level(logging.INFO, logger="absl"):
        task_of(path)
        task_of(path)
    (line,) = caplog.messages
    says(line, "20 training texts", "text from text", "labels from label", "2 classes", "10%")


def test_a_task_goes_through_a_record_and_back(tmp_path):
    for values in (["a", "b"], [["a"], ["a", "b"]], [0.25, 0.75]):
        rows = [{"text": f"text {i}", "label": value} for i, value in enumerate(values * 2)]
        path = write(tmp_path, "train.json", json.dumps(rows))
        task = task_of(path)
        described = json.loads(json.dumps(tasks.describe(task)))
        assert tasks.described("mine", described) == task
    assert tasks.describe(tasks.get("cola")) == {}
    with refuses(UserError, "'mine'"):
        tasks.described("mine", {"problem": {"kind": "classification"}})


# --- validation ---


def test_validation_is_split_off_of_each_class_alike_and_fixed_by_its_seed(tmp_path):
    rows = "text,label\n" + "".join(
        f"text {i},{'rare' if i % 10 else 'usual'}\n" for i in range(200)
    )
    path = write(tmp_path, content=rows)
    task, found = read(path, validation_fraction=0.25)
    assert np.bincount(found["validation"].labels).tolist() == [45, 5]
    assert np.bincount(found["train"].labels).tolist() == [135, 15]
    assert not set(found["train"].texts[0]) & set(found["validation"].texts[0])
    assert found["train"].texts[0] == sorted(found["train"].texts[0], key=lambda t: int(t[5:]))
    again = readers.load(task, str(path), "validation")
    assert again.texts == found["validation"].texts
    _, other = read(path, validation_fraction=0.25, validation_seed=2)
    assert other["validation"].texts != found["validation"].texts
    facts = found["validation"].provenance
    assert (facts["validation_fraction"], facts["validation_seed"]) == (0.25, 1)
    assert (facts["name"], facts["examples"]) == ("own", 50)
    assert facts["sha256"] != other["validation"].provenance["sha256"]


def test_a_small_class_has_an_example_on_both_sides(tmp_path):
    rows = "text,label\n" + "".join(f"text {i},{'a' if i < 2 else 'b'}\n" for i in range(50))
    _, found = read(write(tmp_path, content=rows))
    assert np.bincount(found["validation"].labels).tolist() == [1, 5]


def test_texts_on_both_sides_are_counted_and_warned_of(tmp_path, caplog):
    write(tmp_path)
    write(tmp_path, "validation.csv", "text,label\ngood film 0,pos\nnever seen,neg\n")
    with caplog.at_level(logging.WARNING, logger="absl"):
        read(tmp_path)
    says(caplog.messages[0], "1 of 2 validation texts", "training")


@pytest.mark.parametrize(
    "test",
    ["text\nwhat\n", "text,label\nwhat,\n", "text,label\nwhat,-1\n", "text,label\nwhat,pos\n"],
)
def test_a_test_file_may_have_no_labels(tmp_path, test):
    write(tmp_path)
    write(tmp_path, "test.csv", test)
    task, found = read(tmp_path)
    is_labelled = test.endswith("pos\n")
    assert ("test" in found) == is_labelled
    assert task.scored_splits == {"": "validation"} | ({"_test": "test"} if is_labelled else {})
    labels = readers.load(task, str(tmp_path), "test").labels
    assert labels.tolist() == [1] if is_labelled else labels is None


def test_rows_without_labels_are_left_out_of_a_test_that_has_labelled_ones(tmp_path, caplog):
    write(tmp_path)
    path = write(tmp_path, "test.csv", "text,label\none,neg\n ,\ntwo,pos\nthree,-1\n")
    with caplog.at_level(logging.WARNING, logger="absl"):
        _, found = read(tmp_path)
    assert found["test"].texts == (["one", "two"],)
    assert found["test"].labels.tolist() == [0, 1]
    facts = found["test"].provenance
    assert [facts[name] for name in ("examples", "split_examples", "dropped_rows")] == [2, 2, 2]
    says(caplog.messages[0], path, "2 of its 4 rows", "'label'")


def test_a_minus_one_among_numbers_below_zero_is_scored(tmp_path):
    write(tmp_path, content=_lines("a,-1", "b,-0.5", "c,1.5", "d,0.5"))
    write(tmp_path, "dev.csv", _lines("e,-1", "f,0.5"))
    write(tmp_path, "test.csv", _lines("g,-1", "h,0.25", "i,"))
    _, found = read(tmp_path)
    assert found["test"].labels.tolist() == [-1.0, 0.25]


def test_a_class_of_one_example_beside_a_validation_file_is_warned_of(tmp_path, caplog):
    path = write(tmp_path, content=_lines(*GOOD, "c,odd", "d,rare"))
    write(tmp_path, "dev.csv", _lines("never seen,pos", "nor this,neg"))
    with caplog.at_level(logging.WARNING, logger="absl"):
        _, found = read(tmp_path)
        read(tmp_path)
    assert len(found["train"]) == 22
    (line,) = caplog.messages
    says(line, f"{path}:22", "'odd'", "1 other", "more examples")


@pytest.mark.parametrize("label", [-1.0, -1, "-1", "-1.0"])
def test_minus_one_is_no_label_of_whatever_type_it_is(tmp_path, label):
    """Pandas writes a column of -1 as real numbers, and so are the labels of STS-B's export."""
    for name in ("train", "validation"):
        write_parquet(tmp_path / f"{name}.parquet", text=["a", "b", "c d"], label=[0.5, 2.0, 4.5])
    write_parquet(tmp_path / "test.parquet", text=["e", "f"], label=[label, label])
    task, found = read(tmp_path)
    assert isinstance(task.problem, Regression)
    assert "test" not in found
    assert readers.load(task, str(tmp_path), "test").labels is None


NUMBERS = (("bad", -1), ("dull", -0.5), ("ok", 0.77))


def test_minus_one_is_a_number_among_others_below_zero(tmp_path):
    rows = (f"{text} {i},{label}" for i in range(5) for text, label in NUMBERS)
    write(tmp_path, content=_lines(*rows))
    task, _ = read(tmp_path)
    assert task.problem == Regression(-1.0, 0.77)
    # Beside scores from 0 to 5 it is a missing one.
    write(
        tmp_path, content=_lines(*(f"text {i},{label}" for i, label in enumerate([0.5, -1, 4.25])))
    )
    with refuses(UserError, "train.csv:3", "no label", "--problem=regression"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("header", "is_said"), [("fine indeed,pos", True), ("text,pos_neg", False)]
)
def test_a_first_line_that_may_be_an_example_is_warned_of(header, is_said, tmp_path, caplog):
    rows = "".join(f"text {n},{'pos' if n % 2 else 'neg'}\n" for n in range(40))
    path = write(tmp_path, content=f"{header}\n{rows}")
    read(path, label_column=header.split(",")[1])
    told = [line for line in caplog.messages if "where the first line is an example" in line]
    assert len(told) == is_said


def test_minus_one_is_no_class_under_another_spelling(tmp_path):
    path = write(tmp_path, content=_lines("so bad,-1.0", "fine,0", "good,1"))
    with refuses(UserError, f"{path}:2", "-1", "--problem=regression"):
        read(tmp_path)


# --- bad input: one message with file, line, column and what would be good ---


def _lines(*rows):
    return "text,label\n" + "".join(f"{row}\n" for row in rows)


GOOD = [f"{text},{label}" for text, label in WORDS]
BAD = {
    # name: (files, settings, what the message names)
    "no such column": (
        {"train.csv": CSV},
        {"label_column": "kind"},
        ["kind", "train.csv", "text, label"],
    ),
    "no such text": (
        {"train.csv": CSV},
        {"text_columns": "txt"},
        ["txt", "train.csv", "text, label"],
    ),
    "one column twice": (
        {"train.csv": CSV},
        {"text_columns": "label", "label_column": "label"},
        ["label"],
    ),
    "two labels": (
        {"train.csv": "text,label,category\na,b,c\n"},
        {},
        ["train.csv", "label, category", "--label_column"],
    ),
    "two texts": (
        {"train.csv": "text,title,label\na,b,c\n"},
        {},
        ["train.csv", "text, title", "--text_columns"],
    ),
    "no label": (
        {"train.csv": "text,x,y\na,b,c\n"},
        {},
        ["train.csv", "--label_column", "'text', 'x', 'y'", "write a header"],
    ),
    "no text": (
        {"train.csv": "x,y,label\na,b,c\n"},
        {},
        ["train.csv", "--text_columns", "x, y, label"],
    ),
    "no header": ({"train.csv": "I love it,pos\nI hate it,neg\n"}, {}, ["train.csv", "first line"]),
    "one name twice": ({"train.csv": "text,label,label\na,b,c\n"}, {}, ["train.csv:1", "'label'"]),
    "a row too long": (
        {"train.csv": _lines("a,x", "b, or c,y")},
        {},
        ["train.csv:3", "3 cell(s)", "text, label"],
    ),
    "a row too short": ({"train.csv": _lines("a,x", "b")}, {}, ["train.csv:3", "1 cell(s)"]),
    "an open quote": ({"train.csv": _lines("a,x", '"b,y')}, {}, ["train.csv:3", "quotes"]),
    "no JSON": ({"train.jsonl": '{"text": "a", "label": "x"}\n{"text": \n'}, {}, ["train.jsonl:2"]),
    "no object": ({"train.jsonl": '["a", "x"]\n'}, {}, ["train.jsonl:1"]),
    "no JSON at all": ({"train.json": '[{"text": "a", ]'}, {}, ["train.json:1"]),
    "no row": ({"train.csv": "text,label\n"}, {}, ["train.csv", "text, label"]),
    "nothing": ({"train.csv": ""}, {}, ["train.csv"]),
    "mixed words": (
        {"train.csv": _lines(*["a,1", "b,2"] * 5, "c,unknown")},
        {},
        ["train.csv:12", "'unknown'", "'label'", "10 of its 11"],
    ),
    "mixed lists": (
        {
            "train.jsonl": '{"text": "a", "label": ["x"]}\n{"text": "b", "label": "x"}\n'
            '{"text": "b", "label": []}\n'
        },
        {},
        ["train.jsonl:2", "'x'", "'label'"],
    ),
    "one class": ({"train.csv": _lines("a,x", "b,x")}, {}, ["train.csv:2", "'x'", "'label'"]),
    "one number": ({"train.csv": _lines("a,0.5", "b,0.5")}, {}, ["train.csv:2", "0.5", "'label'"]),
    "a class of one": (
        {"train.csv": _lines(*GOOD, "c,odd")},
        {},
        ["train.csv:22", "'odd'", "validation"],
    ),
    "many classes": (
        {"train.csv": _lines(*(f"a,x{i}" for i in range(20_000)))},
        {},
        ["train.csv", "20,000", "'label'", "5,000"],
    ),
    "an empty text": ({"train.csv": _lines(*GOOD, " ,pos")}, {}, ["train.csv:22", "'text'"]),
    "no text in a row": (
        {"train.jsonl": '{"text": "a", "label": "x"}\n{"label": "y"}\n'},
        {},
        ["train.jsonl:2", "'text'"],
    ),
    "a number for a text": (
        {"train.jsonl": '{"text": "a", "label": "x"}\n{"text": 7, "label": "y"}\n'},
        {},
        ["train.jsonl:2", "7", "'text'"],
    ),
    "no label in a row": ({"train.csv": _lines(*GOOD, "c,")}, {}, ["train.csv:22", "'label'"]),
    "latin-1": (
        {
            "train.csv": (
                _lines(*GOOD) + "Une fenêtre près de la forêt où l'été\xa0était très agréable,pos\n"
            ).encode("cp1252")
        },
        {},
        ["train.csv:22", "0xea", "looks like cp1252", "UTF-8"],
    ),
    "utf-16": ({"train.csv": CSV.encode("utf-16")}, {}, ["train.csv:1", "utf-16", "UTF-8"]),
    "cut gzip": (
        {"train.csv.gz": gzip.compress(CSV.encode())[:-20]},
        {},
        ["train.csv.gz", "cut short"],
    ),
    "no parquet": ({"train.parquet": b"PAR1 and no more"}, {}, ["train.parquet", "cut short"]),
    "a missing shard": (
        {"train-00001-of-00002.csv": CSV},
        {},
        ["train-00001-of-00002.csv", "00000"],
    ),
    "two files": ({"train.csv": CSV, "train.tsv": CSV}, {}, ["train.csv", "train.tsv"]),
    "images": ({"cats/1.jpg": "", "cats/2.jpg": ""}, {}, ["2 .jpg", "train", ".parquet"]),
    "no train": ({"test.csv": CSV}, {}, ["1 .csv", "train"]),
    "an empty folder": ({}, {}, ["--data=", "train"]),
    "another label": (
        {"train.csv": CSV, "dev.csv": _lines("a,pos", "b,odd")},
        {},
        ["dev.csv:3", "'odd'", "'label'", "neg, pos"],
    ),
    "numbers": (
        {"train.csv": CSV, "dev.csv": _lines("a,0.5")},
        {},
        ["dev.csv:2", "'0.5'", "neg, pos"],
    ),
    "lists": (
        {"train.csv": CSV, "dev.jsonl": '{"text": "a", "label": ["pos"]}'},
        {},
        ["dev.jsonl:1", "['pos']", "neg, pos"],
    ),
    "words for numbers": (
        {"train.csv": _lines("a,0.5", "b,1.5"), "dev.csv": _lines("a,pos")},
        {},
        ["dev.csv:2", "'pos'", "number"],
    ),
    "no label column": ({"train.csv": CSV, "dev.csv": "text\na\n"}, {}, ["dev.csv", "'label'"]),
    "no number": (
        {"train.csv": CSV},
        {"problem": "regression"},
        ["train.csv:2", "'pos'", "number"],
    ),
    "no lists": ({"train.csv": CSV}, {"problem": "multi_label"}, ["train.csv:2", "'pos'", "list"]),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_files_is_one_message(tmp_path, name):
    contents, given, named = BAD[name]
    folder = tmp_path / "mine"
    folder.mkdir()
    for file, content in contents.items():
        write(folder, file, content)
    with refuses(UserError, *named):
        read(folder, **given)


def test_a_parquet_file_that_is_cut_short_is_refused(tmp_path):
    path = tmp_path / "train.parquet"
    write_parquet(path, text=["a", "b"] * 100, label=["x", "y"] * 100)
    path.write_bytes(path.read_bytes()[:-200])
    with refuses(UserError, "train.parquet", "cut short"):
        task_of(path)


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_two_columns_of_one_name_are_no_damage(tmp_path, suffix):
    rows = pa.table([["a b", "c"], ["x", "y"], [1, 2]], names=["text", "label", "label"])
    path = tmp_path / f"train.{suffix}"
    if suffix == "parquet":
        pq.write_table(rows, path)
    else:
        with pa.ipc.new_stream(path, rows.schema) as stream:
            stream.write_table(rows)
    with refuses(UserError, f"{path}: two columns", "'label'"):
        task_of(path)


@pytest.mark.parametrize("split", ["train", None])
def test_one_split_that_datasets_has_saved_is_read(tmp_path, split):
    label = {"names": ["bad", "good"], "_type": "ClassLabel"}
    schema = pa.schema(
        [("text", pa.string()), ("label", pa.int64())],
        {"huggingface": json.dumps({"info": {"features": {"label": label}}})},
    )

    def shard(name, what, ids):
        rows = pa.table([[f"{what} {i}" for i in range(10)], ids], schema=schema)
        with pa.ipc.new_stream(tmp_path / name, rows.schema) as stream:
            stream.write_table(rows)
        return {"filename": name}

    files = [
        shard("data-00000-of-00002.arrow", "some", [0, 1] * 5),
        shard("data-00001-of-00002.arrow", "more", [1, 0] * 5),
    ]
    shard("data-00000-of-00001.arrow", "of an earlier save", [1, 1] * 5)

    def says_split(name):
        state = {"_data_files": files, "_split": name}
        (tmp_path / "state.json").write_text(json.dumps(state))

    (tmp_path / "dataset_info.json").write_text("{}")
    says_split(split)
    task, found = read(tmp_path)
    assert task.problem.labels == ("bad", "good")
    texts = [text for part in ("train", "validation") for text in found[part].texts[0]]
    assert sorted(texts) == sorted(f"{what} {i}" for what in ("some", "more") for i in range(10))
    says_split("test")
    with refuses(UserError, "no train file"):
        read(tmp_path)
    says_split(split)
    (tmp_path / "data-00001-of-00002.arrow").unlink()
    with refuses(UserError, "data-00001-of-00002.arrow: is missing", "train"):
        read(tmp_path)


@pytest.mark.parametrize(
    "value",
    [
        {"text": {"0": "a b", "1": "c d"}, "label": {"0": "x", "1": "y"}},  # pandas' default.
        {"version": 1, "data": [{"text": "a b", "label": "x"}, {"text": "c", "label": "y"}]},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_table_inside_of_an_object_is_told_of(tmp_path, value, indent):
    path = write(tmp_path, "train.json", json.dumps(value, indent=indent))
    with refuses(UserError, f"{path}: one JSON object", *value, "array of objects", "records"):
        task_of(path)


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b"PK\x03\x04" + bytes(range(256)), ["spreadsheet", ".csv"]),
        (gzip.compress(CSV.encode()), ["gzip", ".gz"]),
    ],
)
@pytest.mark.parametrize("name", ["train.csv", "train.jsonl"])
def test_what_is_no_text_is_not_asked_for_in_utf_8(tmp_path, raw, named, name):
    path = write(tmp_path, name, raw)
    with refuses(UserError, f"{path}:", "no text", *named) as caught:
        task_of(path)
    assert "UTF-8" not in str(caught.value)


@pytest.mark.parametrize("data", ["nowhere.csv", "notes.txt"])
def test_what_is_no_table_is_refused(tmp_path, data):
    write(tmp_path, "notes.txt", "a text")
    with refuses(UserError, f"--data={tmp_path / data}", ".csv"):
        task_of(tmp_path / data)


def test_settings_that_belong_together(tmp_path):
    with refuses(UserError, "--task=mrcp", "mrpc", "--data=FILE_OR_FOLDER"):
        DataSettings(task="mrcp")
    with refuses(UserError, "--task=../up"):
        DataSettings(task="../up", data=str(tmp_path))
    with refuses(UserError, "--label_column=kind", "cola"):
        readers.task_of(DataSettings(task="cola", label_column="kind"))
    with refuses(UserError, "--validation_fraction=1.5"):
        settings(tmp_path, validation_fraction=1.5)
    with refuses(UserError, "--problem=ranking", "classification"):
        settings(tmp_path, problem="ranking")
    assert dataclasses.replace(settings(tmp_path), text_columns="a, b").text_column_names == (
        "a",
        "b",
    )


@pytest.mark.parametrize("data", ["~nobody/train.csv", "a\0b", "9" * 300])
def test_a_place_that_can_be_none_is_refused_and_names_no_task(data):
    with refuses(UserError, "--data", "no such file or folder"):
        files.find(data)
    assert readers.default_task(data, "cola") == "cola"


@pytest.mark.parametrize(
    ("labels", "given", "named"),
    [
        (["a", "b", "c"], {"at_recall": 0.9}, ["--at_recall=0.9", "3 classes"]),
        ([0.5, 1.5], {"at_precision": 0.9}, ["--at_precision=0.9", "a number"]),
        ([["a"], ["a", "b"]], {"class_weights": "balanced"}, ["--class_weights=balanced"]),
    ],
)
def test_what_a_problem_does_not_have_is_refused(tmp_path, labels, given, named):
    rows = [{"text": f"text {i}", "label": value} for i, value in enumerate(labels * 4)]
    path = write(tmp_path, "train.json", json.dumps(rows))
    config = ExperimentConfig(task="mine", data=str(path), encoder="minilm_l6", **given)
    with refuses(UserError, *named):
        Launch(config, tmp_path / "run").check()
    assert not (tmp_path / "run").exists()


def test_wrong_files_touch_nothing_of_an_earlier_run(tmp_path):
    path = write(tmp_path)
    config = ExperimentConfig(task="mine", data=str(path), encoder="minilm_l6")
    earlier = RunFolder.open(tmp_path / "run", config)
    earlier.write_history([{"epoch": "1", "loss": "0.5"}])
    before = {one: one.read_bytes() for one in earlier.path.rglob("*") if one.is_file()}
    write(tmp_path, content="text,label\ncut short")
    with refuses(UserError, "train.csv:2"):
        Launch(config, tmp_path / "run").check()
    assert {one: one.read_bytes() for one in earlier.path.rglob("*") if one.is_file()} == before


def test_a_threshold_holds_a_tenth_of_the_examples_out(tmp_path):
    rows = "".join(f"text {i},{'yes' if i % 3 else 'no'}\n" for i in range(80))
    path = write(tmp_path, content=f"text,label\n{rows}")
    for given, held_out in (
        ({}, 0),
        ({"at_recall": 0.9}, 7),
        ({"held_out": 12, "at_recall": 1.0}, 12),
    ):
        config = ExperimentConfig(task="mine", data=str(path), **given)
        found = inputs.read(types.SimpleNamespace(config=config), None)
        assert len(found.train) == 72 - held_out
        assert len(found.held_out or []) == held_out


def test_an_example_of_each_label_stays_in_the_training(tmp_path):
    labels = ["common"] * 24 + ["rare"] * 3 + ["rarer"] * 2 + ["rarest"]
    task = types.SimpleNamespace(problem=Classification(tuple(sorted(set(labels)))))
    ids = [task.problem.labels.index(label) for label in labels]
    read = examples.make(task.problem, [[f"text {i}" for i in range(30)]], ids)
    before: set[str] = set()
    for count in range(1, 27):
        trained, kept = read.hold_out(count, task.problem)
        assert set(trained.labels) == set(ids)
        assert before < set(kept.texts[0])
        before = set(kept.texts[0])
    assert len(read.hold_out(29, task.problem)[0]) == 1
    several = MultiLabel(("a", "b", "c"))
    marks = np.zeros((30, 3), np.int32)
    marks[:, 0], marks[3:9, 1], marks[7, 2] = 1, 1, 1
    read = examples.make(several, read.texts, marks)
    for count in range(1, 27):
        assert read.hold_out(count, several)[0].labels.any(axis=0).all()
    # Where none is in danger, the choice is that of every earlier version.
    balanced = examples.make(task.problem, read.texts, [i % 4 for i in range(30)])
    _, kept = balanced.hold_out(3, task.problem)
    assert kept.texts[0] == [
        f"text {i}" for i in sorted(np.random.RandomState(1).permutation(30)[:3])
    ]


def test_a_threshold_needs_held_out_examples_of_both_kinds(tmp_path):
    rows = [{"text": f"text {i}", "label": "no" if i else "yes"} for i in range(40)]
    rows[7]["label"] = "yes"
    path = write(tmp_path, "train.json", json.dumps(rows))
    config = ExperimentConfig(task="mine", data=str(path), at_recall=0.9, held_out=1)
    with refuses(UserError, "--held_out=1", "positive"):
        inputs.read(types.SimpleNamespace(config=config), None)


def test_a_slip_in_the_name_of_a_task_is_told_where_its_folder_is(tmp_path):
    (tmp_path / "MRPC").mkdir()
    with refuses(UserError, "mrcp", "mrpc", "MRPC"):
        readers.task_of(DataSettings(task="mrcp", data=str(tmp_path)))
