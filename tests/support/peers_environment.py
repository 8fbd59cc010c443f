"""The environment with PyTorch and transformers, which `make bench-peers` builds."""

from __future__ import annotations

import os
import pathlib

import pytest

_HERE = pathlib.Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"
PYTHON = pathlib.Path(os.environ.get("BERT_GLUE_TF_PEERS_PYTHON", _HERE))

needs_peers = pytest.mark.skipif(
    not PYTHON.is_file(),
    reason="no environment with transformers: .venv-peers (make bench-peers builds it), or a "
    "Python that BERT_GLUE_TF_PEERS_PYTHON names",
)
