"""Checks of an exported file before it is used: its checksum, metadata and tokenizer."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from bert_glue_tf.core import files, records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.data.truncation import HEAD, TRUNCATIONS
from bert_glue_tf.export import flatbuffer, merging
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.export.record import ExportResult


@dataclasses.dataclass(frozen=True)
class Metadata:
    """The metadata of a .tflite file.

    Attributes:
      task: that the model was trained on.
      vocabulary: SHA-256 of the vocabulary that it was trained with.
      data: where its training examples came from.
      truncation: which pieces of longer text it reads.
      thresholds: names of operating points -> the probability that its run chose for them.
      golden: its golden examples, as `export.golden.examples` gives them; of a file that is older
        than they are, none.
      tolerance: by how much an output up to 1 of theirs may differ on another processor.
      made_by: name and version of what wrote the file.
    """

    task: TaskSpec
    vocabulary: str
    data: str
    truncation: str
    thresholds: Mapping[str, float]
    golden: Sequence[Mapping[str, Any]] = ()
    tolerance: float = 0.0
    made_by: str = ""


def sizes(content: bytes) -> tuple[str, ...]:
    """Return the names of the networks of a .tflite file, the whole one first.

    Of a file of one network there are none.
    """
    try:
        found = flatbuffer.read_metadata(content) or {}
        names = dict.fromkeys([found[merging.WHOLE], *found[merging.SIZES]])
    except (ValueError, LookupError, TypeError, AttributeError, struct.error):
        return ()  # One network, or damaged, of which `read_metadata` tells.
    return tuple(map(str, names))


def read_metadata(path: pathlib.Path, content: bytes, size: str = "") -> Metadata:
    """Read the metadata of a .tflite file, or of one of its networks.

    Raises:
      UserError: it has none of this project.
    """
    try:
        metadata = flatbuffer.read_metadata(content) or {}
        metadata = metadata[merging.SIZES][size] if size else metadata
        truncation = str(metadata.get("truncation", HEAD))
        if truncation not in TRUNCATIONS:
            raise ValueError(truncation)
        task = tasks.described(metadata["task"], metadata.get("own_task") or {})
        # A file of arrays has no vocabulary, and must say which shape they have.
        read_by = "vocabulary_sha256" if task.modality.lengths_differ else "shape"
        return Metadata(
            task,
            str(metadata[read_by]),
            str(metadata.get("data")),
            truncation,
            {name: float(value) for name, value in metadata.get("thresholds", {}).items()},
            [dict(one) for one in metadata.get("golden", [])],
            float(metadata.get("tolerance", 0.0)),
            str(metadata.get("made_by", "")),
        )
    except (ValueError, LookupError, TypeError, AttributeError, struct.error, UserError):
        raise UserError(
            f"--model={path}: holds no metadata of this project, so its task is unknown. Give a "
            "file that export_tflite wrote."
        ) from None


def is_listed(path: pathlib.Path, folder: ExportFolder, content: bytes) -> bool:
    """Tell whether SHA256SUMS beside the file names it, with this content.

    Raises:
      UserError: it names the file with another content, or cannot be read.
    """
    if not folder.checksums.is_file():
        return False
    named = {}
    try:
        text = folder.checksums.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{folder.checksums}: cannot be read ({error.strerror}).") from None
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        named[name] = digest
    if named.get(path.name, found := hashlib.sha256(content).hexdigest()) != found:
        raise UserError(
            f"{path}: damaged, or not the file that was exported (SHA-256 {found[:12]}..., "
            f"{folder.checksums.name} has {named[path.name][:12]}...). Copy it again."
        )
    return path.name in named


def collapsed(path: pathlib.Path, folder: ExportFolder, content: bytes) -> str:
    """Return why the record beside a .tflite file calls it COLLAPSED; empty where none does.

    A record of another file of that name counts for nothing, and one that cannot be read is
    warned of.
    """
    if not folder.results_file.exists():
        return ""
    try:
        found = records.load(folder.results_file, ExportResult)
    except UserError as error:
        logging.warning("%s Whether %s has learned is not known.", error, path.name)
        return ""
    digest = hashlib.sha256(content).hexdigest()
    return next((one.collapsed for one in found if one.sha256 == digest), "")


def check_vocabulary(path: pathlib.Path, folder: ExportFolder, digest: str) -> None:
    """Check that the tokenizer beside a .tflite file is the one that it was made with.

    Args:
      path: of the .tflite file.
      folder: that it lies in.
      digest: SHA-256 of the vocabulary that it was made with.

    Raises:
      UserError: a file of the tokenizer is missing, or is another one.
    """
    assets = sorted((folder.preprocessing / "assets").glob("*"))
    tokenizer = assets[0] if len(assets) == 1 else folder.preprocessing / "assets" / "vocab.txt"
    saved_model = folder.preprocessing / "saved_model.pb"
    for file in (folder.vocabulary, tokenizer, saved_model):
        if not file.is_file():
            raise UserError(
                f"{file}: missing. {path.name} needs vocab.txt and preprocessing/ beside it, "
                "as export_tflite wrote them; copy the whole folder."
            )
    for vocabulary in (folder.vocabulary, tokenizer):
        found = files.sha256(vocabulary)
        if found != digest:
            raise UserError(
                f"{vocabulary}: not the vocabulary of {path.name} (SHA-256 {found[:12]}..., "
                f"the file was made with {digest[:12]}...). Copy the one from its own export."
            )
