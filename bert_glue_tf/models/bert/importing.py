"""Import of an encoder, once: foreign weights -> BERT of ours -> a pair of SavedModels.

The pair (encoder, preprocessing) has the signatures of the published TF-Hub models, so
that imported encoders and TF-Hub handles go through the same code afterwards. It lies
in the user's cache folder, written atomically.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import uuid
from pathlib import Path
from typing import Any

import platformdirs

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.models.bert.architecture import Architecture
from bert_glue_tf.models.bert.foreign_weights import (
    CONFIG,
    TF_CONFIG,
    VOCABULARY,
    WEIGHTS,
    check_huggingface,
    check_tf_checkpoint,
    huggingface_reader,
    lower_case,
    tf_checkpoint_reader,
)
from bert_glue_tf.models.bert.network import build_encoder

# Raised when the written form changes, so that an older cache is not read as a newer one.
FORMAT = 2
IMPORT_RECORD = "import.json"


def cache_root() -> Path:
    """Return the folder BERT_GLUE_TF_CACHE, else the user's own: ~/.cache/bert_glue_tf on Linux."""
    if own := os.environ.get("BERT_GLUE_TF_CACHE"):
        return Path(own).expanduser()
    return Path(platformdirs.user_cache_dir("bert_glue_tf", appauthor=False))


def import_pair(name: str, kind: str, folder: Path, licence: str = "") -> Path:
    """Import a folder of weights once; later calls find the finished pair.

    Args:
        name: what the pair is called in the cache (letters, digits, `_`, `-`, `.`).
        kind: "embedded", "huggingface" or "tf_checkpoint".
        folder: holds the weights, the configuration and vocab.txt.
        licence: of the weights, for the record.

    Returns:
        The folder with `encoder/`, `preprocessing/` (SavedModels with the published
        signatures) and `import.json`, which is written last: a folder without it is
        never taken for a finished import.

    Raises:
        UserError: weights that do not fit, or a cache that cannot be written.
    """
    digests = {path.name: sha256(path) for path in _files(kind, folder)}
    decides = {
        "format": FORMAT,
        "kind": kind,
        "lower_case": lower_case(kind, folder),
        "files": digests,
    }
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    target = cache_root() / "encoders" / f"{name}-{digest[:12]}"
    if read_record(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target)
        temporary = target.parent / (
            f".{target.name}.{_host()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        )
        try:
            temporary.mkdir()
            architecture = _write_pair(temporary, kind, folder)
            record = {
                "format": FORMAT,
                "name": name,
                "kind": kind,
                "source": str(folder),
                "sha256": digests,
                "licence": licence,
                "architecture": dataclasses.asdict(architecture),
            }
            (temporary / IMPORT_RECORD).write_text(json.dumps(record, indent=1) + "\n")
            for path in [*sorted(temporary.rglob("*")), temporary]:
                _sync(path)
            _publish(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"{target}: the imported encoder cannot be written: {error.strerror}; "
            "the environment variable BERT_GLUE_TF_CACHE names another "
            "folder"
        ) from None
    return target


def write_encoder(encoder: Any, folder: Path) -> None:
    """Write an encoder as a SavedModel that is called as the published ones are.

    A dict of int32 [batch, seq] (any sequence length up to the encoder's positions) gives
    a dict of pooled_output, sequence_output, encoder_outputs and default. Variables are
    trainable, and dropout acts with training=True. Its signature `serving_default` gives the same
    but encoder_outputs, under these names.
    """
    import tensorflow as tf

    inputs = {name: tf.TensorSpec([None, None], tf.int32, name) for name in INPUTS}

    # A Keras model would be saved with functions of each of its layers, which takes several times
    # as long; nobody asks for them. This form is https://www.tensorflow.org/hub/reusable_saved_models.
    @tf.function(autograph=False)
    def call(inputs: dict[str, tf.Tensor], training: bool = False) -> dict[str, Any]:
        outputs = dict(encoder(inputs, training=training))
        # The published encoders have this alias, for exchange with other text embeddings.
        outputs["default"] = outputs["pooled_output"]
        return outputs

    @tf.function(input_signature=[inputs], autograph=False)
    def serve(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {name: value for name, value in call(inputs).items() if not isinstance(value, list)}

    for training in (False, True):
        call.get_concrete_function(inputs, training=training)
    saved = tf.train.Checkpoint()
    saved.__call__ = call
    saved.variables = list(encoder.variables)
    saved.trainable_variables = list(encoder.trainable_variables)
    saved.regularization_losses = []
    tf.saved_model.save(saved, str(folder), signatures=serve)


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the import.json of a finished import; None where there is no such thing."""
    try:
        record = strict_json.loads((folder / IMPORT_RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record.get("format") == FORMAT else None


def sha256(path: Path) -> str:
    """Return the hex digest of a file's bytes."""
    stat = path.stat()
    return _sha256(str(path), stat.st_size, stat.st_mtime_ns)


def folder_sha256(folder: Path) -> str:
    """Return the hex digest of all files of a SavedModel's `variables` or `assets`, in order."""
    digest = hashlib.sha256()
    for part in sorted(folder.iterdir()) if folder.is_dir() else ():
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@functools.cache  # checked before TensorFlow loads and used again by the import
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(kind: str, folder: Path) -> list[Path]:
    """Return the files that decide an import's result."""
    if kind == "tf_checkpoint":
        prefix = Path(check_tf_checkpoint(folder)[1])
        return [*sorted(folder.glob(f"{prefix.name}.*")), folder / TF_CONFIG, folder / VOCABULARY]
    return [folder / name for name in (WEIGHTS, CONFIG, VOCABULARY)]


def _write_pair(folder: Path, kind: str, source: Path) -> Architecture:
    import tensorflow as tf

    from bert_glue_tf.data import wordpiece

    if kind == "tf_checkpoint":
        architecture, prefix = check_tf_checkpoint(source)
        read, origin = tf_checkpoint_reader(prefix, architecture), prefix
    else:
        architecture, tensors = check_huggingface(source)
        read, origin = huggingface_reader(source, tensors), str(source / WEIGHTS)
    encoder = build_encoder(architecture, read, origin)
    try:
        write_encoder(encoder, folder / "encoder")
        wordpiece.write_preprocessing(
            source / VOCABULARY, folder / "preprocessing", lower_case(kind, source)
        )
    except tf.errors.OpError as error:  # TensorFlow's own word for a full disk
        raise OSError(0, str(error.message).splitlines()[0]) from error
    return architecture


def _publish(temporary: Path, target: Path) -> None:
    """Rename in one step; where another process was faster, its import is used."""
    try:
        os.rename(temporary, target)
    except OSError:
        if read_record(target):
            return
        shutil.rmtree(target)  # unfinished and not ours to trust: no import.json
        os.rename(temporary, target)
    _sync(target.parent)


def _remove_leftovers(target: Path) -> None:
    """Remove what killed imports of the same pair have left behind.

    A process number says something on its own host alone, and a cache may lie on a file
    system that several share: what other hosts are writing is left to them.
    """
    for path in target.parent.glob(f".{target.name}.*"):
        host, _, rest = path.name.removeprefix(f".{target.name}.").partition(".")
        process = rest.split(".")[0]
        if host == _host() and process.isdecimal() and not _alive(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node()) or "localhost"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
