"""A part of much text: its columns are kept, it is whole or not there, and damage is named."""

from __future__ import annotations

import csv
import gzip
import io
import json
import pathlib
import random
import types

import pyarrow
import pytest
from messages import refuses
from pyarrow import parquet

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.labelling import plan, shares
from bert_glue_tf.labelling.folder import LabelFolder, State
from bert_glue_tf.serving.classifier import Prediction
from bert_glue_tf.serving.parts import columnar, formats, labelled, streams

TEXTS = ["a good film", 'he said "no", twice', "zwei\u2028Zeilen", "", "bad"]
NAMES = ("predicted_label", "probability")


def classifier(task="sst2"):
    """Stands in for a model: a text with `good` in it is positive, and its length is its score."""

    def predict(texts):
        assert len(texts) <= formats.PIECE
        return [answer(text) for text in texts]

    return types.SimpleNamespace(task=tasks.get(task), predict=predict)


def answer(text):
    label = "positive" if "good" in text[0] else "negative"
    return Prediction(text, label, {label: 1.0}, len(text[0]) / 100)


def label(source, target, columns=()):
    return labelled.label(classifier(), source, target, columns)


def expected(text):
    one = answer((text,))
    return one.label, f"{one.score:.6f}"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Pieces of two rows, so that a part has several of them."""
    monkeypatch.setattr(formats, "PIECE", 2)


def rows_of(path, **options):
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    return list(csv.reader(io.StringIO(text, newline=""), **options))


@pytest.mark.parametrize("name", ["part.csv", "part.csv.gz"])
def test_a_csv_keeps_its_columns_and_its_quotes(tmp_path, name):
    source, target = tmp_path / name, tmp_path / "out" / name
    rows = [
        [str(i), text.replace("twice", "line\nend").replace("bad", "b\rd"), "x"]
        for i, text in enumerate(TEXTS)
    ]
    with (gzip.open if name.endswith("gz") else open)(source, "wt", newline="") as file:
        csv.writer(file).writerows([["id", "sentence", "predicted_label"], *rows])
    done = label(source, target)
    assert (done.rows, done.empty) == (5, 1)
    assert done.labels == {"positive": 1, "negative": 4}
    found = rows_of(target)
    # A column of that name is the user's, and stays.
    assert found[0] == ["id", "sentence", "predicted_label", "predicted_label_", "probability"]
    assert found[1:] == [[*row, *expected(row[1])] for row in rows]
    before = target.read_bytes()
    label(source, target)
    assert target.read_bytes() == before


def test_a_tsv_has_quotes_where_it_had_some(tmp_path):
    plain, quoted = tmp_path / "plain.tsv", tmp_path / "quoted.tsv"
    plain.write_text('sentence\tid\n"good" he said\t1\na "good" end"\t2\n')
    quoted.write_text('sentence\tid\n"a\ttab"\t1\nno tab\t2\n')
    label(plain, tmp_path / "out" / "plain.tsv")
    label(quoted, tmp_path / "out" / "quoted.tsv")
    first = (tmp_path / "out" / "plain.tsv").read_text().splitlines()
    assert first[1].split("\t") == ['"good" he said', "1", *expected('"good" he said')]
    found = rows_of(tmp_path / "out" / "quoted.tsv", delimiter="\t")
    assert found[1:] == [["a\ttab", "1", *expected("a\ttab")], ["no tab", "2", *expected("no tab")]]


def test_lines_of_json_keep_what_they_hold(tmp_path):
    source, target = tmp_path / "part.jsonl", tmp_path / "out.jsonl"
    rows = [{"text": text, "of": {"deep": [1, None]}} for text in TEXTS]
    rows[3] = {"of": 1.5}  # Without a text.
    source.write_text("".join(json.dumps(row) + "\n" for row in rows) + "\n")
    assert label(source, target).empty == 1
    found = [json.loads(line) for line in target.read_text().strip().split("\n")]
    for row, one in zip(rows, found, strict=True):
        wanted = answer((row.get("text", ""),))
        more = {"predicted_label": wanted.label, "probability": wanted.score}
        assert one == {**row, **more, "probabilities": wanted.probabilities}


@pytest.mark.parametrize("name", ["part.parquet", "part.parquet.gz"])
def test_a_parquet_file_keeps_its_schema(tmp_path, name):
    source, target = tmp_path / name, tmp_path / "out" / name
    table = pyarrow.table({"n": pyarrow.array(range(5), pyarrow.int8()), "text": TEXTS})
    with gzip.open(source, "wb") if name.endswith("gz") else source.open("wb") as file:
        parquet.write_table(table, file)
    assert label(source, target).rows == 5
    with streams.reading(target) as file:
        found = parquet.read_table(pyarrow.BufferReader(file.read()))
    assert found.schema.field("n").type == pyarrow.int8()
    assert found.column_names == ["n", "text", *NAMES]
    assert found.column("n").to_pylist() == list(range(5))
    assert found.column("predicted_label").to_pylist() == [expected(text)[0] for text in TEXTS]


def test_long_rows_of_parquet_are_written_in_small_groups(tmp_path, monkeypatch):
    source, target = tmp_path / "part.parquet", tmp_path / "out.parquet"
    monkeypatch.setattr(formats, "PIECE", 1024)
    texts = [random.Random(row).randbytes(1000).hex() for row in range(3 * formats.PIECE)]
    parquet.write_table(pyarrow.table({"text": texts}), source, use_dictionary=False)
    monkeypatch.setattr(columnar, "_BYTES", 1 << 20)
    assert label(source, target).rows == len(texts)
    assert parquet.ParquetFile(target).num_row_groups == 3
    assert parquet.read_table(target).column("text").to_pylist() == texts


def test_a_parquet_file_with_two_columns_of_one_name_is_refused(tmp_path):
    table = pyarrow.table([pyarrow.array(["a"]), pyarrow.array(["b"])], names=["text", "text"])
    parquet.write_table(table, tmp_path / "twice.parquet")
    with refuses(UserError, "twice.parquet", "'text'"):
        label(tmp_path / "twice.parquet", tmp_path / "out.parquet")


def test_lines_of_text_become_json_and_a_tsv_without_a_header_stays_one(tmp_path):
    source, headless = tmp_path / "part.txt", tmp_path / "part.tsv"
    source.write_text("a good film\nbad\n\n")
    target = tmp_path / labelled.target_name(source)
    assert (label(source, target).rows, target.name) == (3, "part.jsonl")
    first = json.loads(target.read_text().splitlines()[0])
    assert (first["sentence"], first["predicted_label"]) == ("a good film", "positive")
    headless.write_text("7\ta good film\n8\tbad\n")
    label(headless, tmp_path / "out.tsv", ["2"])
    assert (tmp_path / "out.tsv").read_text().splitlines() == [
        "7\ta good film\t" + "\t".join(expected("a good film")),
        "8\tbad\t" + "\t".join(expected("bad")),
    ]


@pytest.mark.parametrize("name", ["part.csv", "part.jsonl", "part.txt"])
def test_a_part_without_rows_is_no_mistake(tmp_path, name):
    source, target = tmp_path / name, tmp_path / "out"
    source.write_text("sentence\n" if name == "part.csv" else "")
    assert label(source, target).rows == 0
    header = ",".join(["sentence", *NAMES]) + "\n"
    assert target.read_text() == (header if name == "part.csv" else "")


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("cut.csv.gz", gzip.compress(b"sentence\n" + b"good\n" * 9)[:-9], "cut.csv.gz"),
        ("none.csv.gz", b"sentence\ngood\n", "none.csv.gz"),
        ("ragged.csv", b"sentence,id\ngood,1\nbad,film,2\n", "ragged.csv:3"),
        ("latin.csv", "sentence\nok\nschön\n".encode("latin-1"), "latin.csv:3"),
        ("array.jsonl", b'{"text": "good"}\n[]\n', "array.jsonl:2"),
        ("half.parquet", b"PAR1 and no more", "half.parquet"),
        ("other.csv", b"id,price\n1,2\n", "--text_columns"),
        ("huge.jsonl", b'{"text": "good", "n": 1e999}\n', "'good'"),
        ("taken.jsonl", b'{"text": "a"}\n{"text": "b"}\n{"text": "c", "probabilities": 1}\n', ":3"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_part_is_named_and_leaves_nothing(tmp_path, name, content, named):
    source, out = tmp_path / name, tmp_path / "out"
    source.write_bytes(content)
    with refuses(UserError, named):
        label(source, out / name)
    assert list(out.iterdir()) == []


def test_a_full_disk_is_not_said_to_be_a_damaged_part(tmp_path, monkeypatch):
    source = tmp_path / "part.csv"
    source.write_text("sentence\ngood\n")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(formats.Delimited, "write", full)
    with pytest.raises(OSError, match="No space left"):
        label(source, tmp_path / "out" / "part.csv")
    assert list((tmp_path / "out").iterdir()) == []


# The plan, and the folder.


def test_parts_keep_their_folders_and_none_goes_into_the_file_of_another(tmp_path):
    for name in ("a/one.csv", "b/one.csv", "b/two.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("sentence\n")
    found = plan.parts(f"{tmp_path}/**/*.*")
    assert [part.name for part in found] == ["a/one.csv", "b/one.csv", "b/two.jsonl"]
    assert [part.name for part in plan.parts(f"{tmp_path}/b/*.csv")] == ["one.csv"]
    (tmp_path / "b" / "two.jsonl").write_text("")
    with refuses(UserError, "--input", "two.txt", "two.jsonl"):
        plan.parts(f"{tmp_path}/b/*")
    with refuses(UserError, f"--input={tmp_path}/c/*"):
        plan.parts(f"{tmp_path}/c/*")
    (tmp_path / "b" / "all.json").write_text("[]")
    with refuses(UserError, "all.json"):
        plan.parts(f"{tmp_path}/b/*.json")


def test_what_lies_in_the_output_is_no_part_of_the_input(tmp_path):
    for name in ("a.csv", "out/a.csv", "outer/b.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("sentence\n")
    found = plan.parts(f"{tmp_path}/**/*.csv", tmp_path / "out")
    assert [part.name for part in found] == ["a.csv", "outer/b.csv"]
    assert (
        plan.root_of(f"{tmp_path}/**/*.csv") == plan.root_of(f"{tmp_path}/a.csv") == str(tmp_path)
    )


def settings(digest="1", **more):
    return plan.LabelSettings("/model", digest, **more)


@pytest.fixture
def parts(tmp_path):
    (tmp_path / "texts").mkdir()
    for number, size in enumerate((5, 1, 9, 3)):
        (tmp_path / "texts" / f"{number}.txt").write_text("x" * size)
    return plan.parts(f"{tmp_path}/texts/*.txt")


def test_a_folder_holds_one_labelling_and_one_at_a_time(tmp_path, parts):
    out = tmp_path / "out"
    with LabelFolder.claimed(out, settings(), parts):
        with refuses(UserError, f"--output={out}"):
            with LabelFolder.claimed(out, settings(), parts):
                pass
    for other in (settings("2"), settings(at="recall"), settings(root="/other")):
        with refuses(UserError, f"--output={out}"):
            with LabelFolder.claimed(out, other, parts):
                pass
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "letter.txt").write_text("")
    for folder in (foreign, foreign / "letter.txt"):
        with refuses(UserError, f"--output={folder}"):
            with LabelFolder.claimed(folder, settings(), parts):
                pass
    with refuses(UserError, f"--output={tmp_path}/in"):
        with LabelFolder.claimed(tmp_path / "in", settings(root=f"{tmp_path}/in"), parts):
            pass
    assert sorted(path.name for path in foreign.iterdir()) == ["letter.txt"]


def test_what_is_known_of_a_part_holds_as_long_as_its_files_are_the_same(tmp_path, parts):
    part = parts[0]
    out = tmp_path / "out"
    with LabelFolder.claimed(out, settings(), parts) as folder:
        assert folder.state(part) is None
        folder.target(part).write_text("labels")
        folder.keep(part, State((part.size, part.changed), size=6, rows=3))
        assert folder.state(part).rows == 3
        (out / f".{part.name}.abcd1234").write_text("half")
    with LabelFolder.claimed(out, settings(), parts) as folder:
        assert sorted(path.name for path in out.iterdir()) == [".labelling", part.name]
        changed = plan.Part(part.source, part.name, part.size + 1, part.changed)
        assert "changed" in folder.state(changed).message
        folder.target(part).write_text("cut")
        assert folder.state(part) is None
        folder.keep(parts[1], State((1, 1), "damaged"))
        folder.target(parts[1]).write_text("of an earlier time")
        assert folder.state(parts[1]).message == "damaged"
        folder.forget_failures(parts)
        assert folder.state(parts[1]) is None


def test_shares_are_of_about_the_same_size(tmp_path, parts, monkeypatch):
    folder = LabelFolder(tmp_path / "out")
    found = shares.shared(folder, settings(), parts, 2, 1)
    assert [sum(part.size for part in share.parts) for share in found] == [9, 9]
    assert sorted(part.name for share in found for part in share.parts) == [
        f"{number}.jsonl" for number in range(4)
    ]
    assert len(shares.shared(folder, settings(), parts, 9, 1)) == 4
    # Where each has enough, there are more shares than workers.
    monkeypatch.setattr(shares, "_SHARE", 6)
    assert len(shares.shared(folder, settings(), parts, 1, 1)) == 3
    assert shares.shared(folder, settings(), [], 2, 1) == []
    assert found[0].paths[0] == pathlib.Path("/model")
