"""`make web-demo`: the folder that it fills, how it is served, and what it says of a mistake."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
import web_site
from messages import refused, refuses
from web_site import serve

from bert_glue_tf.core.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder of npm with files of the runtime's names."""
    for name in serve.RUNTIME:
        path = tmp_path / "node_modules" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.setattr(serve, "MODULES", tmp_path / "node_modules")


def test_a_folder_has_the_page_the_runtime_and_the_files(installed, tmp_path):
    site = web_site.write(tmp_path, {"a.tflite": b"a", "b.tflite": b"b"})
    assert json.loads((site / "models.json").read_text()) == {
        "vocabulary": "vocab.txt",
        "files": ["a.tflite", "b.tflite"],
    }
    found = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}
    own = {"vocab.txt", "a.tflite", "b.tflite", "models.json"}
    assert found == {*serve.PAGE, *serve.RUNTIME.values(), *own}
    assert (site / "litert" / "index.js").read_text() == "@litertjs/core/dist/index.js"


def test_only_a_page_is_replaced(installed, tmp_path):
    site = web_site.write(tmp_path, {"a.tflite": b"a"})
    vocabulary = tmp_path / "files" / "vocab.txt"
    serve.write(vocabulary, [], site)
    assert json.loads((site / "models.json").read_text())["files"] == []
    own = tmp_path / "own"
    own.mkdir()
    (own / ".git").mkdir()  # As of an empty repository.
    serve.write(vocabulary, [], own)
    for content in (None, "[", "[]", '{"models": []}'):
        folder = tmp_path / "somebodys"
        folder.mkdir(exist_ok=True)
        (folder / "index.html").write_text("somebody's")
        if content is not None:
            (folder / "models.json").write_text(content)
        with refuses(UserError, f"--output={folder}", "models.json", "empty or a new folder"):
            serve.write(vocabulary, [], folder)
        assert (folder / "index.html").read_text() == "somebody's"
        assert not (folder / "page.js").exists()


def test_a_copy_that_was_killed_is_begun_anew(installed, tmp_path, monkeypatch):
    site = web_site.write(tmp_path, {})
    vocabulary = tmp_path / "files" / "vocab.txt"
    shutil.rmtree(site)
    with monkeypatch.context() as patched:
        copied = [shutil.copyfile] * 2
        patched.setattr(shutil, "copyfile", lambda *paths: copied.pop()(*paths))
        with pytest.raises(IndexError):
            serve.write(vocabulary, [], site)
    assert not (site / "vocab.txt").exists()
    serve.write(vocabulary, [], site)
    assert (site / "vocab.txt").exists()


def test_every_file_of_the_page_is_there():
    names = {
        path.name for path in web_site.WEB.iterdir() if path.suffix in (".js", ".css", ".html")
    }
    assert names == set(serve.PAGE)


def test_it_is_served_with_what_threads_need(installed, tmp_path):
    site = web_site.write(tmp_path, {"a.tflite": b"a"})
    with web_site.served(site) as address:
        with urllib.request.urlopen(f"{address}litert/wasm/litert_wasm_internal.wasm") as answer:
            assert answer.headers["Content-Type"] == "application/wasm"
            assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        with urllib.request.urlopen(f"{address}page.js") as answer:
            assert answer.headers["Content-Type"] == "text/javascript"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}../secret")


def test_a_port_that_is_taken_or_none_is_refused(tmp_path):
    port = 49876
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # It is taken already.
            taken.bind((serve.HOST, port))
            taken.listen()
        with refuses(UserError, f"--port={port}", "another program", "--port=0"):
            serve.serving(tmp_path, port)
    with refuses(UserError, "--port=70000"):
        serve.serving(tmp_path, 70000)


def test_what_is_missing_is_named(exported, tmp_path, monkeypatch):
    run, _ = exported
    with refuses(UserError, f"--run={tmp_path}", "make export-tflite"):
        serve.build(tmp_path, [], tmp_path / "site")
    with refuses(UserError, "--recipes=int8", "float32, dynamic_int8", "ARGS=--recipes=int8"):
        serve.build(run.path, ["int8"], tmp_path / "site")
    monkeypatch.setattr(serve, "MODULES", tmp_path / "nothing")
    with refuses(UserError, "make web-demo", "npm ci"):
        serve.build(run.path, [], tmp_path / "site")


def test_a_folder_that_cannot_be_written_is_refused(installed, tmp_path):
    (tmp_path / "file").touch()
    with refuses(UserError, "--output="):
        serve.write(tmp_path / "file", [], tmp_path / "file" / "site")


@pytest.mark.processes
def test_the_program_answers_a_mistake_in_one_message(tmp_path):
    program = [sys.executable, str(web_site.WEB / "serve.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for arguments, named in (((), "--run is missing"), (("--run=x", "--port=-1"), "--port=-1")):
        done = subprocess.run(
            [*program, *arguments], capture_output=True, text=True, env=environment, cwd=tmp_path
        )
        refused(done, named)


@pytest.mark.processes
def test_without_npm_the_target_says_what_to_install(tmp_path):
    (tmp_path / "package-lock.json").touch()
    command = [str(shutil.which("make")), "web-demo", "RUN=x", f"WEB={tmp_path}"]
    done = subprocess.run(
        command, cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "npm is not installed" in done.stderr
    assert "apt-get install nodejs npm" in done.stderr
