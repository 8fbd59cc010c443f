"""The ModelMetadata that MediaPipe reads of a file, and the texts that are zipped behind it.

The schema is mediapipe/tasks/metadata/metadata_schema.fbs (identifier M001): of its tables only the
fields that are written stand here, by their numbers. MediaPipe's own package writes more, and would
be a dependency of 40 MB.
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_NAME = "TFLITE_METADATA"
_IDENTIFIER = b"M001"
# Of the schema, whose fields are all known to this version of a reader.
_PARSER = "1.1.0"
# Enumerations of the schema.
_LABELS, _VOCABULARY, _BERT_TOKENIZER, _FEATURE = 2, 5, 4, 1
VOCABULARY_FILE, LABELS_FILE = "vocab.txt", "labels.txt"
# MediaPipe's names of the inputs.
INPUTS: Mapping[str, str] = {
    "input_word_ids": "ids",
    "input_mask": "mask",
    "input_type_ids": "segment_ids",
}
OUTPUT = "probability"
# zipfile would write the time, and two exports of one model would differ.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True)
class _Byte:
    """A field of one byte."""

    value: int


# A table: number of a field -> its value. Lists hold texts or tables.
_Table = Mapping[int, "str | _Byte | _Table | Sequence[Any]"]


def add_metadata(model: Any, inputs: Sequence[str], name: str, licence: str) -> None:
    """Put ModelMetadata into a file of one signature.

    Args:
      model: of `flatbuffer.read`.
      inputs: names of the inputs, in the order of the file.
      name: of the model, for whoever shows it.
      licence: of the model.
    """
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(_metadata(inputs, name, licence), np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = _NAME, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]


def with_texts(content: bytes, texts: Mapping[str, bytes]) -> bytes:
    """Return a file with texts zipped behind it: name -> content."""
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), text)
    return buffer.getvalue()


def _metadata(inputs: Sequence[str], name: str, licence: str) -> bytes:
    content = {0: _Byte(_FEATURE), 1: {}}
    vocabulary = {0: VOCABULARY_FILE, 1: "The word pieces, one a line.", 2: _Byte(_VOCABULARY)}
    labels = {0: LABELS_FILE, 1: "The labels, one a line.", 2: _Byte(_LABELS)}
    output = {0: OUTPUT, 1: "The probability of each label.", 3: content, 6: [labels]}
    tokenizer = {0: _Byte(_BERT_TOKENIZER), 1: {0: [vocabulary]}}
    subgraph = {
        2: [{0: INPUTS[one], 3: content} for one in inputs],
        3: [output],
        5: [tokenizer],
    }
    builder = flatbuffers.Builder(1024)
    root = _write(builder, {0: name, 3: [subgraph], 5: licence, 7: _PARSER})
    builder.Finish(root, file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _write(builder: flatbuffers.Builder, table: _Table) -> int:
    """Write a table, what it refers to first, and return its offset."""
    offsets = {slot: _refer(builder, value) for slot, value in table.items()}
    builder.StartObject(max(table, default=-1) + 1)
    for slot, value in table.items():
        if isinstance(value, _Byte):
            builder.PrependUint8Slot(slot, value.value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[slot], 0)
    offset: int = builder.EndObject()
    return offset


def _refer(builder: flatbuffers.Builder, value: Any) -> int:
    """Write what a field refers to, and return its offset; 0 of what stands in the table itself."""
    if isinstance(value, _Byte):
        return 0
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, Mapping):
        return _write(builder, value)
    offsets = [_refer(builder, one) for one in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
