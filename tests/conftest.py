"""What several test files share."""

from __future__ import annotations

import os
import pathlib

import pytest

import bert_glue_tf  # noqa: F401  (chooses Keras 2 before any test imports TensorFlow)

GLUE_DIR = "BERT_GLUE_TF_GLUE_DIR"


@pytest.fixture(scope="session")
def glue_dir() -> pathlib.Path:
    """The folder of GLUE's own .tsv folders; tests that need it are skipped without it."""
    folder = os.environ.get(GLUE_DIR)
    if not folder:
        pytest.skip(f"{GLUE_DIR} does not name a folder with GLUE's .tsv folders")
    return pathlib.Path(folder)


@pytest.fixture(scope="session", autouse=True)
def encoder_cache(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Imports of encoders go to a folder of the test run, never to the user's cache."""
    folder = tmp_path_factory.mktemp("encoder_cache")
    os.environ["BERT_GLUE_TF_CACHE"] = str(folder)
    return folder
