"""The page of docs/clients/web with small files, served on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import tiny_bert
import tiny_tflite

from bert_glue_tf.export import flatbuffer

WEB = pathlib.Path(__file__).parents[2] / "docs" / "clients" / "web"
sys.path.append(str(WEB))  # A program's folder, and no package.

import serve  # noqa: E402

# What a file says of itself; see bert_glue_tf/export/metadata.py.
METADATA = {
    "format": 1,
    "made_by": "bert_glue_tf 0",
    "task": "sst2",
    "kind": "classification",
    "labels": ["negative", "positive"],
    "texts": ["sentence"],
    "output": "logits",
    "truncation": "head",
    "recipe": "float32",
    "source_run": "a_run",
    "encoder": "tiny",
    "licence": "Apache-2.0",
    "data": "tsv",
    "tokenizer": {"kind": "reference", "lower_case": True, "strip_accents": True},
    "tolerance": 0.001,
    "golden": [],
    "scale": None,
    "threshold": None,
    "vocabulary_sha256": hashlib.sha256(
        "".join(f"{piece}\n" for piece in tiny_bert.VOCABULARY).encode()
    ).hexdigest(),
}


def lacking() -> str:
    """Return what is not installed of what the page needs; empty where nothing is."""
    if not (serve.MODULES / ".package-lock.json").is_file():
        return "the page's runtime is not installed (make web-demo or make test-clients does that)"
    return ""


def file(logits: int = 2, **changes: Any) -> bytes:
    """Return the content of a small file; `changes` are of its metadata."""
    model = flatbuffer.read(tiny_tflite.write(16, 32, logits=logits))
    flatbuffer.add_metadata(model, {**METADATA, **changes})
    return flatbuffer.write(model)


def write(folder: pathlib.Path, files: Mapping[str, bytes]) -> pathlib.Path:
    """Write a folder with the page, the runtime and these files, and return it."""
    made = folder / "files"
    made.mkdir(parents=True)
    for name, content in files.items():
        (made / name).write_bytes(content)
    vocabulary = tiny_bert.write_vocabulary(made / "vocab.txt")
    serve.write(vocabulary, [made / name for name in files], folder / "site")
    return folder / "site"


@contextlib.contextmanager
def served(folder: pathlib.Path) -> Iterator[str]:
    """Serve a folder, and give its address."""
    with serve.serving(folder, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{serve.HOST}:{server.server_port}/"
        server.shutdown()
