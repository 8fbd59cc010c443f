"""Files for MediaPipe: its tokenizer, its metadata, and what it cannot answer."""

from __future__ import annotations

import dataclasses
import io
import json
import pathlib
import sys
import zipfile

import numpy as np
import pytest
import tiny_tflite
from messages import refuses
from written_runs import write_run, wrong_at

from bert_glue_tf.core import files, records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.data.problems import Classification
from bert_glue_tf.data.switches import Switches
from bert_glue_tf.export import exporter, flatbuffer, launch, litert, signatures
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.export.launch import ForClient
from bert_glue_tf.export.mediapipe import client, packing, refusals, tokenizer
from bert_glue_tf.export.mediapipe.exporter import MediaPipeExport
from bert_glue_tf.export.mediapipe.record import FILE_NAME, ClientResult, require_length
from bert_glue_tf.models.quantization import recipes
from bert_glue_tf.runs.finished import Run

PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##a", "cat", "##s", ".", "é", "京", "ca", "x")
IDS = {piece: place for place, piece in enumerate(PIECES)}


def pieces_of(text, length=40):
    tokens = tokenizer.tokenize(PIECES, [text], length)
    assert tokens.ids[0] == IDS["[CLS]"]
    assert tokens.ids[-1] == IDS["[SEP]"]
    return [PIECES[place] for place in tokens.ids[1:-1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A CAT.", ["a", "cat", "."]),
        ("cats caa", ["cat", "##s", "ca", "##a"]),
        ("dog cat", ["[UNK]", "cat"]),
        # Only ASCII becomes small, and no accent is taken off.
        ("é É", ["é", "[UNK]"]),
        # A no-break space and a vertical tab are no blanks.
        ("a\u00a0a", ["[UNK]"]),
        ("a\x0ba", ["[UNK]"]),
        ("a\t\n\r\fa", ["a", "a"]),
        ("a京a…a", ["a", "京", "a", "[UNK]", "a"]),
        # 100 bytes and 101.
        ("a" * 100, ["a", *["##a"] * 99]),
        ("a" * 101, ["[UNK]"]),
        ("a\x00cat", ["a"]),
        ("", []),
    ],
)
def test_words_are_split_as_mediapipe_does(text, expected):
    assert pieces_of(text, 110) == expected


def test_a_long_text_keeps_its_first_pieces_and_is_counted():
    tokens = tokenizer.tokenize(PIECES, ["a cat a cat", "a cat", "a"], 4)
    assert tokens.cut == 1
    np.testing.assert_array_equal(tokens.lengths, [4, 4, 3])
    np.testing.assert_array_equal(tokens.type_ids, 0)


# --- the file ---


def packed(length=16):
    """A tiny file as MediaPipe reads it, and the same without what MediaPipe reads."""
    model = flatbuffer.read(tiny_tflite.write(8, length))
    signatures.keep_one(model, litert.signature(length, 1))
    signatures.add_probabilities(model, "softmax", packing.OUTPUT)
    plain = flatbuffer.write(model)
    model = flatbuffer.read(plain)
    packing.add_metadata(model, signatures.inputs(model), "cola", "Apache-2.0")
    flatbuffer.add_metadata(model, {"task": "cola"})
    texts = {"vocab.txt": "\n".join(PIECES).encode(), "labels.txt": b"no\nyes\n"}
    return packing.with_texts(flatbuffer.write(model), texts), plain


def test_a_file_runs_and_holds_its_metadata_and_texts():
    content, plain = packed()
    loaded, alone = litert.LiteModel(content), litert.LiteModel(plain)
    assert (loaded.lengths, loaded.output) == ((16,), "probabilities")
    features = {name: np.ones((1, 16), np.int32) for name in packing.INPUTS}
    np.testing.assert_array_equal(loaded.predict(features), alone.predict(features))
    assert flatbuffer.read_metadata(content) == {"task": "cola"}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("labels.txt") == b"no\nyes\n"
        assert archive.read("vocab.txt").decode().split("\n") == list(PIECES)
        # Its reader knows no compression.
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
    model = flatbuffer.read(content)
    assert len(model.subgraphs) == len(model.signatureDefs) == 1
    (entry,) = [one for one in model.metadata if one.name == b"TFLITE_METADATA"]
    written = bytes(model.buffers[entry.buffer].data)
    assert written[4:8] == b"M001"
    for word in (b"ids", b"segment_ids", b"mask", b"probability", b"vocab.txt", b"labels.txt"):
        assert word in written
    (output,) = model.subgraphs[0].outputs
    assert model.subgraphs[0].tensors[output].name == b"probability"
    assert packed()[0] == content  # The same bytes each time.


# --- what it cannot answer ---


@pytest.mark.parametrize(
    ("name", "told"), [("mrpc", "takes 2 texts (sentence1, sentence2)"), ("stsb", "takes 2 texts")]
)
def test_pairs_are_refused_with_the_way_that_works(name, told):
    with refuses(UserError, "--client=mediapipe", name, told, "LiteRT"):
        refusals.require_task(tasks.get(name))


def single(problem):
    return dataclasses.replace(tasks.get("cola"), name="own", problem=problem)


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (tasks.get("stsb").problem, "asks for a number"),
        (Classification(("good", "ba\nd")), "'ba\\nd'"),
        (Classification(("good", " bad")), "' bad'"),
        (Classification(("good", "")), "''"),
        (Classification(("good", "bad", "good")), "two labels of the name 'good'"),
    ],
)
def test_labels_that_lines_cannot_hold_and_numbers_are_refused(problem, told):
    with refuses(UserError, "--client=mediapipe", "own", told):
        refusals.require_task(single(problem))


def test_several_labels_are_refused():
    from bert_glue_tf.data.problems import MultiLabel

    with refuses(UserError, "--client=mediapipe", "any of 2 labels", "LiteRT"):
        refusals.require_task(single(MultiLabel(("red", "ripe"))))


UNCASED = Switches("reference", True, True, 200, None, {})


@pytest.mark.parametrize(
    ("pieces", "switches", "told"),
    [
        (PIECES, dataclasses.replace(UNCASED, kind="words"), "whole words"),
        (PIECES, dataclasses.replace(UNCASED, lower_case=False), "capital letters"),
        (
            (*PIECES, "", "b"),
            UNCASED,
            f"line {len(PIECES) + 1} of the encoder's vocabulary is empty",
        ),
        (("[PAD]", "[CLS]", "a"), UNCASED, "no [UNK], [SEP]"),
    ],
)
def test_a_tokenizer_that_it_cannot_read_is_refused(tmp_path, pieces, switches, told):
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    with refuses(UserError, "--client=mediapipe", told):
        refusals.require_tokenizer(switches, tmp_path)


def test_a_vocabulary_that_it_can_read(tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "vocab.txt").write_text("".join(f"{piece}\n" for piece in PIECES))
    assert refusals.require_tokenizer(UNCASED, tmp_path) == PIECES


def test_values_of_a_client_are_checked_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run.read(write_run(tmp_path / "run", [0, 1], wrong_at([0, 1], []), task="cola"))
    ForClient().require(run)
    assert client.python("") is None
    for values, told in [
        ({"name": "x"}, "--client=x"),
        ({"seq_length": 3}, "--seq_length=3"),
        ({"seq_length": 1000}, "--seq_length=1000"),
        ({"python": str(tmp_path / "none")}, f"--client_python={tmp_path / 'none'}"),
    ]:
        with refuses(UserError, told):
            ForClient(**values).require(run)


def test_a_python_is_asked_for_mediapipe_before_anything_is_made(tmp_path):
    run = Run.read(write_run(tmp_path / "run", [0, 1], wrong_at([0, 1], []), task="cola"))
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')  # Its name is on no machine.
    program.chmod(0o755)
    with refuses(UserError, f"--client_python={program}", "No module named 'mediapipe'"):
        ForClient(python=str(program)).require(run)
    program.write_text('#!/bin/sh\n[ "$2" ] && [ -z "$3" ] && echo \'"9.9"\'\n')  # No file.
    ForClient(python=str(program)).require(run)


def test_a_python_without_mediapipe_is_told_of(tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho 'ModuleNotFoundError: no mediapipe' >&2\nexit 1\n")
    program.chmod(0o755)
    assert client.python(str(program)) == program
    with refuses(UserError, f"--client_python={program}", "no mediapipe"):
        client.ask(program, tmp_path / "x.tflite", ["a"], ["text"])


def test_a_client_that_answers_other_labels_is_told_of(tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\ncat >/dev/null\necho '\"9.9\"'\necho '{\"yes\": 1.0}'\n")
    program.chmod(0o755)
    with refuses(UserError, f"--client_python={program}", "'no'"):
        client.ask(program, tmp_path / "x.tflite", ["no", "yes"], ["a"])


def test_answers_of_a_client_are_put_in_the_labels_order(tmp_path):
    lines = ['"9.9"', json.dumps({"yes": 0.75, "no": 0.25}), json.dumps({"no": 1.0, "yes": 0.0})]
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\ncat >/dev/null\n" + "".join(f"echo '{one}'\n" for one in lines))
    program.chmod(0o755)
    found = client.ask(program, pathlib.Path("x"), ["no", "yes"], ["a", "b"])
    assert found.version == "9.9"
    np.testing.assert_array_equal(found.probabilities, [[0.25, 0.75], [1.0, 0.0]])


def test_a_record_names_a_file_of_its_folder_alone():
    values = dict.fromkeys((field.name for field in dataclasses.fields(ClientResult)), "")
    with pytest.raises(ValueError, match=r"'\.\./x\.tflite'|its seq_length"):
        ClientResult.of({**values, "file": "../x.tflite"})


def test_a_file_of_another_length_is_not_replaced(tmp_path, monkeypatch):
    name, other = "int8_mediapipe.tflite", "float32_mediapipe.tflite"
    require_length(tmp_path, [name], 64)  # Nothing is there.
    file = tmp_path / name
    file.write_bytes(b"a file of 32 word pieces")
    values: dict[str, object] = {
        field.name: {"str": "", "int": 0, "float": 0.0}.get(str(field.type), {})
        for field in dataclasses.fields(ClientResult)
    }
    values |= {"file": name, "sha256": files.sha256(file), "seq_length": 32}
    records.append(tmp_path / FILE_NAME, ClientResult.of(values))
    with refuses(UserError, "--client=mediapipe", name, "32", "64", "--seq_length=32", "--output"):
        require_length(tmp_path, [other, name], 64)
    further = MediaPipeExport.__new__(MediaPipeExport)  # Of no run.
    further._length = 64
    monkeypatch.setattr(ForClient, "of", lambda *_: further)
    monkeypatch.setattr(exporter, "export", None)  # Nothing is exported before.
    with refuses(UserError, "--client=mediapipe", name):
        launch._export(None, None, [recipes.get("int8")], ExportFolder(tmp_path), {}, ForClient())
    require_length(tmp_path, [other, name], 32)
    require_length(tmp_path, [other], 64)
    file.write_bytes(b"killed before its record was written")
    require_length(tmp_path, [name], 64)
    file.unlink()
    require_length(tmp_path, [name], 64)
