"""A .tflite file of anybody's: an answer, or one message, from a process that it may crash.

Kinds of hostile input: files that are damaged, that are not the exported ones, on which LiteRT
crashes or does not end; a folder to work in that holds modules of common names; and a name of a
folder that is no text.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import hypothesis
import numpy as np
import pytest
import written_runs
from hostile import answered, changed, changes, copied, fuzz
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import flatbuffer, try_out
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.serving.classifier import Classifier


@pytest.fixture(scope="module")
def exported_file(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder as the export leaves it, with a file so small that most bytes of it decide."""
    import tensorflow as tf

    random = np.random.default_rng(1)
    table, kernel = (tf.constant(random.normal(size=n), tf.float32) for n in ((20, 4), (4, 2)))
    module = tf.Module()

    def classify(input_word_ids: Any, input_mask: Any, input_type_ids: Any) -> Any:
        used = tf.cast(input_mask + 0 * input_type_ids, tf.float32)[0, :, None]
        rows = tf.gather(table, input_word_ids[0]) * used
        return {"logits": tf.matmul(tf.reduce_mean(rows, axis=0, keepdims=True), kernel)}

    specs = [
        tf.TensorSpec([1, 8], tf.int32, name=name)
        for name in ("input_word_ids", "input_mask", "input_type_ids")
    ]
    module.classify = tf.function(classify)
    function = module.classify.get_concrete_function(*specs)
    folder = ExportFolder(tmp_path_factory.mktemp("exported_file"))
    saved = tmp_path_factory.mktemp("saved")
    tf.saved_model.save(module, str(saved), signatures={"length_8": function})
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=["length_8"])
    vocabulary = b"[PAD]\n[UNK]\n"
    model = flatbuffer.read(converter.convert())
    digest = hashlib.sha256(vocabulary).hexdigest()
    flatbuffer.add_metadata(model, {"task": "sst2", "vocabulary_sha256": digest})
    (folder.preprocessing / "assets").mkdir(parents=True)
    for path in (folder.vocabulary, folder.preprocessing / "assets" / "vocab.txt"):
        path.write_bytes(vocabulary)
    (folder.preprocessing / "saved_model.pb").touch()
    folder.model("float32").write_bytes(flatbuffer.write(model))
    folder.write_checksums()
    return folder.path


def answer(path: pathlib.Path) -> np.ndarray:
    """Logits of the file for ids of which some are outside of its table."""
    classifier = Classifier.load(path, 1)
    names = ("input_word_ids", "input_mask", "input_type_ids")
    ids = np.arange(16, dtype=np.int32).reshape(2, 8) * 2
    values = (ids, np.ones_like(ids), np.zeros_like(ids))
    return classifier.predict_fn(dict(zip(names, values, strict=True)))


@contextlib.contextmanager
def beside(folder: pathlib.Path, content: bytes, checksums: bool) -> Iterator[pathlib.Path]:
    with copied(folder) as other:
        path = other / "float32.tflite"
        path.write_bytes(content)
        if not checksums:
            (other / "SHA256SUMS").unlink()
        yield path


def test_what_the_tflite_files_are_made_from_is_good(exported_file):
    path = exported_file / "float32.tflite"
    assert len(path.read_bytes()) < 4000
    assert Classifier.load(path, 1).task.name == "sst2"
    with refuses(UserError, path, "LiteRT"):
        answer(path)


def test_a_tflite_file_that_is_not_the_one_of_its_checksum(exported_file):
    raw = (exported_file / "float32.tflite").read_bytes()
    for content in (b"", raw[:-1], raw + b"\0", bytes([raw[0] ^ 1]) + raw[1:]):
        with beside(exported_file, content, checksums=True) as path, refuses(UserError, path):
            answer(path)


@fuzz(12)
@hypothesis.given(how=changes)
def test_a_damaged_tflite_file_that_nobody_knows(exported_file, how):
    content = changed((exported_file / "float32.tflite").read_bytes(), how)
    with beside(exported_file, content, checksums=False) as path, answered():
        assert answer(path).shape == (2, 2)


def without_input(content: bytes) -> bytes:
    """A file whose layout is right, and whose MUL has no second input."""
    model = flatbuffer.read(content)
    place = flatbuffer.operators(model)[0].index("MUL")
    operator = model.subgraphs[0].operators[place]
    operator.inputs = [operator.inputs[0], -1]
    return flatbuffer.write(model)


def test_a_tflite_file_on_which_litert_crashes(exported_file):
    content = without_input((exported_file / "float32.tflite").read_bytes())
    with beside(exported_file, content, checksums=False) as path:
        with refuses(UserError, path, "SIGSEGV"):
            answer(path)
        # A list that names other files does not vouch for this one.
        (path.parent / "SHA256SUMS").write_text(f"{'0' * 64}  other.tflite\n")
        with refuses(UserError, path, "SIGSEGV"):
            answer(path)


def test_a_tflite_file_that_does_not_end(exported_file):
    with refuses(UserError, "x: ", "0.01 seconds"):
        try_out.try_out((exported_file / "float32.tflite").read_bytes(), "x", 0.01)


def test_a_tflite_file_is_tried_out_wherever_the_command_runs(exported_file, tmp_path, monkeypatch):
    content = without_input((exported_file / "float32.tflite").read_bytes())
    # As a notebook that has set sys.path itself, in a folder with a module of a common name.
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (tmp_path / "numpy.py").write_text("raise ImportError('not this one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    with refuses(UserError, "x: ", "SIGSEGV"):
        try_out.try_out(content, "x")


def test_what_cannot_be_tried_out_is_not_taken_as_tried(exported_file, tmp_path, monkeypatch):
    content = (exported_file / "float32.tflite").read_bytes()
    try_out.try_out(content, "x")
    (tmp_path / "sitecustomize.py").write_text("import os\nos._exit(0)")
    with monkeypatch.context() as broken:
        broken.setattr(sys, "path", [str(tmp_path), *sys.path])
        with refuses(UserError, "x: not run", "status 0"):
            try_out.try_out(content, "x")
    with monkeypatch.context() as broken:
        (tmp_path / "sitecustomize.py").unlink()
        (tmp_path / "ai_edge_litert.py").write_text("raise ImportError('not this one')")
        broken.setattr(sys, "path", [str(tmp_path), *sys.path])
        with refuses(UserError, "x: not run", "ImportError: not this one"):
            try_out.try_out(content, "x")
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", str(tmp_path / "python"))
        with refuses(UserError, "x: not run", tmp_path / "python"):
            try_out.try_out(content, "x")


def test_a_folder_whose_name_is_not_utf8(tmp_path):
    """Its name is shown with a replacement, in the tables, on the page and on the terminal."""
    odd = pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff"))
    labels = np.arange(12) % 2
    odd.mkdir()
    written_runs.write_run(odd / "one", labels, written_runs.wrong_at(labels, [1]), task="sst2")
    (odd / "one").rename(odd / os.fsdecode(b"r\xff"))
    done = subprocess.run(
        [sys.executable, "-m", "bert_glue_tf.compare", f"--runs={odd}/*", f"--output={odd}/out"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"a\\udcff/out" in done.stdout.replace(b"\n", b"")
    assert "r\ufffd" in (odd / "out" / "comparison.md").read_text(encoding="utf-8")
