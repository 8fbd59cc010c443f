"""Proofs that an encoder of ours computes what its SavedModel does, kept in the user's cache.

A proof takes seconds: the SavedModel is loaded with its graphs, asked, and compared with the
encoder that took it over. It holds for as long as the bytes of the SavedModel, our code and the
libraries are the same. A later process then reads the values of the variables alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from bert_glue_tf.core import files, strict_json
from bert_glue_tf.models import imported
from bert_glue_tf.models.saved_encoders import SavedVariables

if TYPE_CHECKING:
    from bert_glue_tf.models.backbone import Backbone

_LIBRARIES = ("tensorflow", "tf-keras", "tf-models-official", "tensorflow-hub", "numpy")


@dataclasses.dataclass(frozen=True)
class Proof:
    """A proof that an encoder equals its SavedModel, and all that it takes to build it again.

    Attributes:
      family: of the encoder.
      encoder: what `Backbone.describe` says it takes to build it again.
      added: what the family added to the provenance.
      rows: of the word embeddings, as the SavedModel's variables tell; 0 where they do not.
      positions: the longest sequence.
    """

    family: str
    encoder: Mapping[str, Any]
    added: Mapping[str, Any]
    rows: int
    positions: int


def path(encoder: str, record: Mapping[str, Any]) -> Path | None:
    """Return the file for the proof of a SavedModel; None where the SavedModel is not whole.

    Its name is a digest of all that the proof depends on: every byte of the SavedModel and the
    record of its import, the code of `models`, the versions of the libraries and the devices.

    Args:
      encoder: the folder of the SavedModel.
      record: of the import that wrote it; empty where there was none.
    """
    import tensorflow as tf

    folder = Path(encoder)
    try:
        saved = {
            "graphs": files.sha256(folder / "saved_model.pb"),
            "variables": imported.folder_sha256(folder / "variables"),
            "assets": imported.folder_sha256(folder / "assets"),
        }
    except OSError:
        return None  # Loading it says what is wrong.
    decides = {
        "saved_model": saved,
        "record": dict(record),
        "code": _code(),
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "machine": platform.machine(),
        "devices": sorted({one.device_type for one in tf.config.list_physical_devices()}),
    }
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    return imported.cache_root() / "proofs" / f"{digest}.json"


def find(file: Path | None) -> Proof | None:
    """Return the proof that is kept in a file of `path`; None where there is none."""
    if file is None:
        return None
    try:
        return Proof(**strict_json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # It is made anew, and then the file is replaced.


def keep(file: Path | None, backbone: Backbone, encoder: str, proof: Proof) -> None:
    """Keep a proof, if the encoder's weights can be read again to the last bit.

    A cache that cannot be written is no reason to stop: the log says it, and the next process
    makes the proof anew.

    Args:
      file: of `path`.
      backbone: the encoder that was proved.
      encoder: the folder of its SavedModel.
      proof: of it.
    """
    if file is None or not _can_be_read(backbone, encoder):
        return
    try:
        files.write_atomically(file, json.dumps(dataclasses.asdict(proof), indent=1) + "\n")
    except OSError as error:
        logging.info("%s: cannot be written (%s)", file, files.reason(error))


def _can_be_read(backbone: Backbone, encoder: str) -> bool:
    """Return whether the variables in the SavedModel's file are the encoder's weights."""
    import tensorflow as tf

    try:
        read = SavedVariables(encoder).read
        # Each is read from the file first, so that TensorFlow can put the variable's value where it
        # has put the file's: what it allocates it does not give back to the system.
        return all(
            np.array_equal(read(backbone.name_of(variable)), memoryview(variable.value()))
            for variable in backbone.layer.variables
        )
    except (KeyError, tf.errors.OpError):  # The file names its variables in another way.
        return False


def _code() -> str:
    """Return the digest of the sources of `models`, by which an encoder is built and compared."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for source in sorted(here.rglob("*.py")):
        digest.update(f"{source.relative_to(here)}\n".encode() + source.read_bytes())
    return digest.hexdigest()
