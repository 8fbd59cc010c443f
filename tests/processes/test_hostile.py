"""Foreign files are not run and stay in their folder: sources, archives, handles."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import http.server
import io
import json
import os
import pathlib
import tarfile
import threading

import pytest

from bert_glue_tf.core import network
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers, tasks
from bert_glue_tf.models import encoders, loading, tfhub

ROOT = pathlib.Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("bert_glue_tf/**/*.py"), *ROOT.glob("benchmarks/**/*.py")])

# --- what the sources call ---

# Modules that run what they read, or unpack without looking where to.
_FORBIDDEN_MODULES = {
    "pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve",
    "yaml", "tarfile", "zipfile", "runpy", "code", "codeop",
}  # fmt: skip
# By the last part of what is called.
_FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "unpack_archive", "extractall", "load_model",
    "model_from_json", "load_weights", "enable_unsafe_deserialization", "Unpickler",
    # Of pandas.
    "read_pickle", "read_hdf",
}  # fmt: skip
# Calls that read what may be hostile, and where they may stand: file -> functions.
_LOADERS = {
    "resolve": {"tfhub.py": {"fetch"}},  # hub.resolve: of what `encoders.resolve` names.
    # hub.load: a folder that is there.
    "load": {"preprocessing.py": {"load"}, "backbone.py": {"load_layer"}},
    "KerasLayer": {"backbone.py": {"load_layer"}, "preprocessing.py": {"build"}},
}


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or an attribute; what stands before is left out."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def offences(source: str) -> list[str]:
    """Return the imports and calls of a source that could run the content of a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [n.name for n in node.names if n.name.split(".")[0] in _FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom):
            found += (
                [node.module] if (node.module or "").split(".")[0] in _FORBIDDEN_MODULES else []
            )
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            last = name.split(".")[-1]
            # `re.compile`, and the methods `eval` of a PyTorch model and `compile` of a Keras one,
            # that of `super()` included.
            is_name = isinstance(node.func, ast.Name)
            own = is_name and name in ("eval", "exec", "compile", "__import__")
            if own or (last in _FORBIDDEN_CALLS - {"eval", "exec", "compile"}):
                found.append(name)
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            for unsafe, bad in (("allow_pickle", True), ("shell", True), ("weights_only", False)):
                value = keywords.get(unsafe)
                if value is not None and getattr(value, "value", bad) is bad:
                    found.append(f"{name}({unsafe})")
            if name == "torch.load" and "weights_only" not in keywords:
                found.append(name)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_read_is_unpickled_or_evaluated(path):
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from yaml import load",
        "import os, zipfile",
        "eval('1')",
        "exec(text)",
        "__import__(name)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "shutil.unpack_archive(a, b)",
        "tar.extractall(b)",
        "tf_keras.models.load_model(path)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_scan_sees_what_it_is_for(source):
    assert offences(source)


def test_the_scan_lets_pass_what_is_harmless():
    source = "re.compile(x); model.eval(); model.compile(o); np.load(p, allow_pickle=False)"
    assert offences(source) == []


def functions_that_call(path: pathlib.Path, name: str) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and dotted(node.func) == name
    }


@pytest.mark.parametrize("name", list(_LOADERS))
def test_tf_hub_is_asked_in_known_places_only(name):
    found = {
        path.name: functions
        for path in SOURCES
        if (functions := functions_that_call(path, f"hub.{name}"))
    }
    assert found == _LOADERS[name]


def test_an_encoder_is_loaded_for_training_alone():
    """A run's config.json may name any handle; who reads a run never loads its encoder anew."""
    callers = {
        path.name
        for path in ROOT.glob("bert_glue_tf/**/*.py")
        if functions_that_call(path, "loading.load")
    }
    assert callers == {"network.py"}


def test_of_a_pair_nothing_is_fetched_but_what_was_named(monkeypatch):
    asked = []

    def fetch(location):
        asked.append(location)
        raise UserError("asked")

    monkeypatch.setattr(tfhub, "fetch", fetch)
    handles = ("https://a.example/bert_en_uncased_L-2/1", "https://a.example/text/3")
    for preprocessing in (handles[1], ""):
        with pytest.raises(UserError, match="asked"):
            loading.load(encoders.resolve(handles[0], preprocessing))
    assert asked == [handles[0], handles[0]]
    # Where it is not given, it is the one that TensorFlow's own page names for this encoder.
    own = encoders.resolve(handles[0]).preprocessing
    assert own == "https://tfhub.dev/tensorflow/bert_en_uncased_preprocess/3"


# --- what TF-Hub downloads ---


@contextlib.contextmanager
def served(content: bytes):
    """Address of a server on this machine that answers with the content."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/model"
        server.shutdown()


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


def everything(folder: pathlib.Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_what_is_honest_is_unpacked_into_the_cache(cache):
    content = archive(
        (member("./saved_model.pb"), b"x"),
        (member("variables", tarfile.DIRTYPE), b""),
        (member("variables/a"), b"y"),
    )
    with served(content) as handle:
        folder = pathlib.Path(tfhub.fetch(handle))
    assert folder == cache / hashlib.sha1(handle.encode()).hexdigest()
    assert everything(folder) == ["saved_model.pb", "variables", "variables/a"]


@pytest.mark.parametrize(
    "evil",
    [
        member("../escaped"),
        member("a/../../escaped"),
        member("link", tarfile.SYMTYPE, "/etc"),
        member("link", tarfile.LNKTYPE, "/etc/passwd"),
        member("pipe", tarfile.FIFOTYPE),
        member("device", tarfile.CHRTYPE),
    ],
    ids=["parent", "parent inside", "symbolic link", "hard link", "pipe", "device"],
)
def test_an_archive_that_leads_out_of_its_folder(cache, tmp_path, evil):
    content = archive((member("saved_model.pb"), b"x"), (evil, b""))
    with served(content) as handle, pytest.raises(network.UnreachableError) as error:
        tfhub.fetch(handle)
    assert str(error.value).startswith(f"{handle} cannot be downloaded: ValueError: ")
    # Nothing of it stays, inside of the cache or outside.
    assert everything(tmp_path) == ["cache"]


def test_an_absolute_name_stays_in_the_folder(cache):
    outside = pathlib.Path("/bert_glue_tf_escaped")
    with served(archive((member(str(outside)), b"x"))) as handle:
        folder = pathlib.Path(tfhub.fetch(handle))
    assert not outside.exists()
    assert (folder / outside.name).read_bytes() == b"x"


def test_an_archive_that_unpacks_to_more_than_any_encoder(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(tfhub, "LARGEST_DOWNLOAD", 30_000_000)
    content = archive((member("saved_model.pb"), bytes(60_000_000)))
    assert len(content) < 100_000
    with served(content) as handle, pytest.raises(UserError) as error:
        tfhub.fetch(handle)
    assert str(error.value) == (
        f"{handle}: unpacks to more than 30,000,000 bytes, which no encoder has. "
        "Nothing of it was kept."
    )
    assert everything(tmp_path) == ["cache"]


def test_what_is_no_archive(cache, tmp_path):
    with served(b"<html>") as handle, pytest.raises(network.UnreachableError, match="valid module"):
        tfhub.fetch(handle)
    assert everything(tmp_path) == ["cache"]


@pytest.mark.parametrize("flag", ["encoder", "preprocessing"])
def test_a_handle_without_encryption_is_refused(flag):
    handle = "http://tfhub.dev/tensorflow/bert_en_uncased_L-12_H-768_A-12/4"
    values = {"encoder": encoders.DEFAULT, flag: handle}
    with pytest.raises(UserError) as error:
        encoders.resolve(**values)
    assert str(error.value).startswith(f"--{flag}={handle}: is not encrypted")


def test_a_cache_that_another_user_may_have_filled(tmp_path, monkeypatch):
    monkeypatch.delenv("TFHUB_CACHE_DIR", raising=False)
    monkeypatch.setattr(tfhub.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "tfhub_modules").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    real = os.stat(tmp_path).st_uid
    if real == 0:  # The system's own user may put there what it likes.
        os.chown(tmp_path / "tfhub_modules", 54321, -1)
        real = 54321
    with pytest.raises(UserError) as error:
        tfhub.fetch("https://a.example/bert_en_uncased_L-2/1")
    assert str(error.value).startswith(
        f"{tmp_path}/tfhub_modules: TF-Hub's cache folder belongs to another user (number {real})"
    )


# --- what TFDS reads ---


def test_a_class_named_in_a_prepared_data_set_is_not_imported(tmp_path, monkeypatch):
    prepared = tmp_path / "glue" / "cola" / "2.0.0"
    prepared.mkdir(parents=True)
    (prepared / "dataset_info.json").write_text("{}")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    (tmp_path / "evil_features.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    nested = json.dumps({"type": "evil_features.Text", "content": {}})
    inner = {"pythonClassName": "evil_features.Text"}
    for content in (inner, {"featuresDict": {"features": {"a": inner}}}, {"json": nested}):
        (prepared / "features.json").write_text(json.dumps(content))
        with pytest.raises(UserError, match=r"features.json names 'evil_features.Text'"):
            readers.load(tasks.get("cola"), "tfds", "train")


def test_every_download_of_glue_has_a_known_checksum(monkeypatch, tmp_path):
    """TFDS compares what it has fetched with its list, and is told to take nothing else."""
    import tensorflow_datasets as tfds

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(network, "reachable", lambda url: True)
    given = []

    def prepare(self, download_config=None, **_):
        given.append(download_config)
        raise OSError("no network")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", prepare)
    with pytest.raises(UserError, match="no network"):
        readers.load(tasks.get("cola"), "tfds", "train")
    assert [config.force_checksums_validation for config in given] == [True]
    builder = tfds.builder("glue/cola", data_dir=str(tmp_path))
    # MRPC's three files have addresses of their own.
    urls = [config.data_url for config in builder.BUILDER_CONFIGS if config.data_url]
    assert len(urls) == 11
    assert all(len(builder.url_infos[url].checksum) == 64 for url in urls)
