"""Tables as the input of `predict`: what is taken for text, and that their columns are kept."""

from __future__ import annotations

import gzip
import json
import logging

import pytest
from messages import refuses, says

from bert_glue_tf import predict
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.data.problems import Classification
from bert_glue_tf.data.tasks import SplitOff
from bert_glue_tf.serving import tables
from bert_glue_tf.serving.classifier import Prediction
from bert_glue_tf.serving.text_input import TextReader

CARDS = tasks.own(
    "cards",
    text_columns=("utterance text",),
    label_column="intent",
    problem=Classification(("lost", "stolen")),
    split_off=SplitOff(0.1, 1),
    has_test=False,
)
SST2, MRPC, COLA = (tasks.get(name) for name in ("sst2", "mrpc", "cola"))


class Stub:
    """Answers `lost` where a text says so."""

    def __init__(self, task):
        self.task = task

    def load_tokenizer(self):
        """There is none."""

    def predict(self, texts):
        labels = ["lost" if "lost" in " ".join(text) else "stolen" for text in texts]
        return [
            Prediction(text, label, {"lost": 0.75, "stolen": 0.25}, 0.75)
            for text, label in zip(texts, labels, strict=True)
        ]


def answer(content, *, name="in.csv", task=CARDS, columns=(), style="csv", given="auto"):
    rows = tables.read(name, content if isinstance(content, bytes) else content.encode(), given)
    return [line for lines in tables.to_rows(Stub(task), rows, columns, style) for line in lines]


CSV = 'id,utterance text,intent\n7,"I lost it, I think",lost\n8,It is gone,\n'


def test_the_flags_formats_are_those_that_are_read():
    assert predict._INPUT_FORMATS == tables.INPUT_FORMATS


def test_columns_are_kept_and_answers_come_behind_them(caplog):
    with caplog.at_level(logging.INFO, logger="absl"):
        found = answer(CSV)
    assert found == [
        "id,utterance text,intent,predicted_label,probability",
        '7,"I lost it, I think",lost,lost,0.750000',
        "8,It is gone,,stolen,0.750000",
    ]
    says(caplog.messages[0], "in.csv: 2 rows", "text from utterance text")


def test_each_style_of_output():
    assert answer(CSV, style="text") == ["lost 0.7500", "stolen 0.7500"]
    assert answer(CSV, style="tsv")[1].split("\t")[1:4] == ["I lost it, I think", "lost", "lost"]
    first = json.loads(answer(CSV, style="jsonl")[0])
    assert first == {
        "id": "7",
        "utterance text": "I lost it, I think",
        "intent": "lost",
        "predicted_label": "lost",
        "probability": 0.75,
        "probabilities": {"lost": 0.75, "stolen": 0.25},
    }


def test_a_column_that_is_there_already_is_not_covered():
    (header, _) = answer("text,probability\nI lost it,1\n")
    assert header == "text,probability,predicted_label,probability_"


@pytest.mark.parametrize("name", ["in.jsonl", "in.json", "in.jsonl.gz"])
def test_other_formats(name):
    content = b'{"utterance text": "I lost it", "tags": ["a", 1]}\n{"tags": null}\n'
    raw = gzip.compress(content) if name.endswith(".gz") else content
    assert answer(raw, name=name)[1:] == [
        'I lost it,"[""a"", 1]",lost,0.750000',
        ",,stolen,0.750000",
    ]


@pytest.mark.parametrize(
    ("task", "header", "columns", "texts"),
    [
        (CARDS, "id,utterance text", (), ("utterance text",)),
        (CARDS, "id,utterance_text", (), ("utterance_text",)),
        (CARDS, "id,text", (), ("text",)),
        (CARDS, "text,words", ("words",), ("words",)),
        (MRPC, "#1 String,#2 String", (), ("#1 String", "#2 String")),
        (MRPC, "premise,hypothesis,label", (), ("premise", "hypothesis")),
    ],
)
def test_the_columns_of_the_texts(task, header, columns, texts):
    rows = tables.read("in.csv", f"{header}\n{','.join('abc'[: header.count(',') + 1])}\n".encode())
    assert tables.texts_of(task, rows, columns) == texts


@pytest.mark.parametrize(
    ("task", "header", "columns", "named"),
    [
        (CARDS, "a,b", (), ["in.csv", "utterance text", "a, b", "--text_columns"]),
        (CARDS, "I lost it,lost", (), ["in.csv", "I lost it, lost", "first line"]),
        (MRPC, "text,label", (), ["#1 String", "text, label"]),
        (CARDS, "a,b", ("c",), ["--text_columns=c", "in.csv", "a, b"]),
        (CARDS, "a,b", ("a", "b"), ["--text_columns=a,b", "cards", "1"]),
    ],
)
def test_columns_that_cannot_be_told_are_refused(task, header, columns, named):
    rows = tables.read("in.csv", f"{header}\nx,y\n".encode())
    with refuses(UserError, *named):
        tables.texts_of(task, rows, columns)


def test_rows_without_text_are_warned_of(caplog):
    answer("text\n ''\n\" \"\nI lost it\n".replace(" ''", '""'))
    says(caplog.messages[-1], "in.csv: 2 row(s)", "no text")


@pytest.mark.parametrize(
    ("task", "name", "first", "given", "columns", "expected"),
    [
        (CARDS, "in.csv", b"", "auto", (), True),
        (CARDS, "in.parquet.gz", b"", "auto", (), True),
        (CARDS, "in.txt", b"", "auto", (), False),
        (CARDS, "standard input", b"", "auto", (), False),
        (CARDS, "standard input", b"", "csv", (), True),
        (CARDS, "in.csv", b"", "lines", (), False),
        (SST2, "in.tsv", b"sentence\tlabel", "auto", (), True),
        (SST2, "in.tsv", b"sentence\tlabel", "auto", ("2",), False),
        (COLA, "dev.tsv", b"gj04\t1\t\tIt rains.", "auto", (), False),
        (COLA, "test.tsv", b"index\tsentence", "auto", (), True),
    ],
)
def test_what_is_a_table(task, name, first, given, columns, expected):
    assert tables.is_table(task, name, first, given, columns) == expected


@pytest.mark.parametrize(
    ("task", "line", "kind"),
    [
        (CARDS, "id,utterance text,intent", "csv"),
        (CARDS, "id;utterance text", "csv"),
        (CARDS, '"text","category"', "csv"),
        (SST2, "idx,sentence,label", "csv"),
        (MRPC, "premise\thypothesis", "tsv"),
        (CARDS, "id,text,source", "csv"),
        (COLA, "text,author", "csv"),
        (COLA, '"text","author"', "csv"),
        (SST2, "tweet_id;airline_sentiment;text", "csv"),
    ],
)
def test_a_header_is_never_taken_for_a_sentence(task, line, kind):
    with refuses(UserError, "standard input:1", f"--input_format={kind}"):
        list(TextReader(task, "standard input").read([line.encode()]))


@pytest.mark.parametrize(
    "line",
    [
        "Text, labels and a class.",
        "label, class",
        "query; what is it?",
        "The sentence, sentence, is odd.",
        "sentence, please",
    ],
)
def test_a_sentence_is_never_taken_for_a_header(line):
    assert list(TextReader(SST2, "standard input").read([line.encode()])) == [(line,)]


def test_words_between_commas_are_read_as_a_text_with_a_warning(caplog):
    with caplog.at_level("WARNING", "absl"):
        found = list(TextReader(SST2, "in").read([b"text, author, source"]))
    assert found == [("text, author, source",)]
    assert "in:1" in caplog.text
    assert "--input_format=csv" in caplog.text


@pytest.mark.parametrize("line", ["text", "Review", '"comment"'])
def test_a_header_of_one_column_is_asked_about(line):
    with refuses(UserError, "standard input:1", "--text_columns=", "--text_columns=1"):
        list(TextReader(SST2, "standard input").read([line.encode()]))
    assert list(TextReader(SST2, "in", ["1"]).read([line.encode()])) == [(line,)]


def test_rows_of_a_csv_without_header_are_warned_of():
    reader = TextReader(SST2, "in.txt")
    assert len(list(reader.read([b"1,hi there,pos", b"2,ho,neg", b"3,hm,pos"]))) == 3
    (warning,) = reader.warnings()
    says(warning, "in.txt", "first 3 lines", "2 commas", "--input_format=csv")
    other = TextReader(SST2, "in.txt")
    assert len(list(other.read([b"Well, yes, no.", b"So, and so.", b"One, two, three."]))) == 3
    assert other.warnings() == []


@pytest.mark.parametrize(
    ("begin", "named"),
    [
        (b"PK\x03\x04\x14rest", ".xlsx"),
        (gzip.compress(b"a text", mtime=0), "gzip"),
        ("\ufeffa text".encode("utf-16"), "UTF-8"),
    ],
)
def test_what_is_no_text_is_never_answered_as_lines(begin, named):
    with refuses(UserError, "new.xlsx", named, ".csv"):
        list(TextReader(SST2, "new.xlsx").read([begin]))
