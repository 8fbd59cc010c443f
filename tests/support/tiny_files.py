"""A .tflite file beside its tokenizer, as an export leaves it, made without a training."""

from __future__ import annotations

import hashlib
import pathlib

import tiny_bert
import tiny_tflite

from bert_glue_tf.core import files
from bert_glue_tf.export import flatbuffer


def write(folder: pathlib.Path, task: str = "sst2") -> pathlib.Path:
    """Return the path of the file, whose two logits are equal."""
    tiny_bert.write_preprocessing(folder / "preprocessing")
    vocabulary = tiny_bert.write_vocabulary(folder / "vocab.txt")
    model = flatbuffer.read(tiny_tflite.write(8, 16, 32))
    described = {"task": task, "vocabulary_sha256": files.sha256(vocabulary), "data": "sample"}
    flatbuffer.add_metadata(model, described)
    content = flatbuffer.write(model)
    path = folder / "tiny.tflite"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    (folder / "SHA256SUMS").write_text(f"{digest}  {path.name}\n")
    return path
