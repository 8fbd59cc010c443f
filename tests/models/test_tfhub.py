"""TF-Hub's downloads stay in its cache, and nothing is fetched but what was named.

Kinds of hostile input: archives that lead out of their folder (parents, links, devices, absolute
names), that unpack to more than any encoder, or that are none; addresses without encryption; a
cache that another user may have filled.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import os
import pathlib
import tarfile
import threading

import pytest
from messages import refuses

from bert_glue_tf.core import network
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models import encoders, loading, tfhub


def test_of_a_pair_nothing_is_fetched_but_what_was_named(monkeypatch):
    asked = []

    def fetch(location):
        asked.append(location)
        raise UserError("asked")

    monkeypatch.setattr(tfhub, "fetch", fetch)
    handles = ("https://a.example/bert_en_uncased_L-2/1", "https://a.example/text/3")
    for preprocessing in (handles[1], ""):
        with pytest.raises(UserError):
            loading.load(encoders.resolve(handles[0], preprocessing))
    assert asked == [handles[0], handles[0]]
    # Where it is not given, it is the one that TensorFlow's own page names for this encoder.
    own = encoders.resolve(handles[0]).preprocessing
    assert own == "https://tfhub.dev/tensorflow/bert_en_uncased_preprocess/3"


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
    with served(content) as handle, refuses(network.UnreachableError, handle, "ValueError"):
        tfhub.fetch(handle)
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
    with served(content) as handle, refuses(UserError, handle, "30,000,000 bytes"):
        tfhub.fetch(handle)
    assert everything(tmp_path) == ["cache"]


def test_what_is_no_archive(cache, tmp_path):
    with served(b"<html>") as handle, refuses(network.UnreachableError, handle):
        tfhub.fetch(handle)
    assert everything(tmp_path) == ["cache"]


@pytest.mark.parametrize("flag", ["encoder", "preprocessing"])
def test_a_handle_without_encryption_is_refused(flag):
    handle = "http://tfhub.dev/tensorflow/bert_en_uncased_L-12_H-768_A-12/4"
    values = {"encoder": encoders.DEFAULT, flag: handle}
    with refuses(UserError, f"--{flag}={handle}", "encrypted"):
        encoders.resolve(**values)


def test_a_cache_that_another_user_may_have_filled(tmp_path, monkeypatch):
    monkeypatch.delenv("TFHUB_CACHE_DIR", raising=False)
    monkeypatch.setattr(tfhub.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "tfhub_modules").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    real = os.stat(tmp_path).st_uid
    if real == 0:  # The system's own user may put there what it likes.
        os.chown(tmp_path / "tfhub_modules", 54321, -1)
        real = 54321
    with refuses(UserError, tmp_path / "tfhub_modules", f"number {real}"):
        tfhub.fetch("https://a.example/bert_en_uncased_L-2/1")
