"""The cache of imported encoders: pairs of SavedModels in the user's cache folder, written at once.

A pair (`encoder/`, `preprocessing/`) has the signatures of the published TF-Hub models, so that
imported encoders and TF-Hub handles go through the same code afterwards. A family of encoders
writes the pair; here it is named, found again, and published in one step.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import platformdirs

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError

# Raised when the written form changes, so that an older cache is not read as a newer one.
FORMAT = 2
IMPORT_RECORD = "import.json"


def cache_root() -> Path:
    """Return the folder BERT_GLUE_TF_CACHE, else the user's own: ~/.cache/bert_glue_tf on Linux."""
    if own := os.environ.get("BERT_GLUE_TF_CACHE"):
        return Path(own).expanduser()
    return Path(platformdirs.user_cache_dir("bert_glue_tf", appauthor=False))


def pairs_root() -> Path:
    """Return the folder of the imported pairs."""
    return cache_root() / "encoders"


def model_type(folder: Path) -> str:
    """Return the kind of network that Hugging Face's config.json in a folder names.

    It is empty where the folder has no such file, or none that says so in readable JSON.
    """
    try:
        config = strict_json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(config.get("model_type", "")) if isinstance(config, dict) else ""


def import_pair(
    name: str,
    decides: Mapping[str, Any],
    about: Mapping[str, Any],
    write: Callable[[Path], Mapping[str, Any]],
) -> Path:
    """Import an encoder once; later calls find the finished pair.

    Args:
      name: what the pair is called in the cache (letters, digits, `_`, `-`, `.`).
      decides: everything that the import's result depends on, in JSON types.
      about: what else its record says.
      write: writes `encoder/` and `preprocessing/` into a folder, and returns what the record says
        of them.

    Returns:
      The folder with `encoder/`, `preprocessing/` (SavedModels with the published signatures) and
      `import.json`, which is written last: a folder without it is never taken for a finished
      import.

    Raises:
      UserError: a cache that cannot be written; and what `write` raises.
    """
    decides = {"format": FORMAT, **decides}
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    target = pairs_root() / f"{name}-{digest[:12]}"
    if read_record(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target)
        temporary = target.parent / (
            f".{target.name}.{host()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        )
        try:
            temporary.mkdir()
            record = {"format": FORMAT, "name": name, **about, **write(temporary)}
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


@functools.cache  # Checked before TensorFlow is loaded, and used again by the import.
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def host() -> str:
    """Return the name of this machine, as it stands in the names of unfinished imports."""
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node()) or "localhost"


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
        on, _, rest = path.name.removeprefix(f".{target.name}.").partition(".")
        process = rest.split(".")[0]
        if on == host() and process.isdecimal() and not _alive(int(process)):
            shutil.rmtree(path, ignore_errors=True)


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
