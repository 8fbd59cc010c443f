"""Program: put the page, a run's files and LiteRT's runtime into a folder, and serve it here.

make web-demo RUN=runs/demo

The folder can be copied to any web server as it is. Browsers allow threads to pages that come with
the headers of `HEADERS`; without them the runtime has one.
"""

from __future__ import annotations

import errno
import functools
import http.server
import json
import os
import pathlib
import shutil
from collections.abc import Sequence

from absl import flags

from bert_glue_tf.core import cli, layout
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.record import ExportResult

HERE = pathlib.Path(__file__).parent
PAGE = ("index.html", "page.css", "page.js", "classifier.js", "metadata.js", "tokenizer.js")
MODULES = HERE / "node_modules"
# From npm's folder into the page's. The other builds of the runtime are for WebGPU and WebNN.
RUNTIME = {
    "@litertjs/core/dist/index.js": "litert/index.js",
    "@litertjs/wasm-utils/dist/index.js": "litert/wasm-utils.js",
    **{
        f"@litertjs/core/wasm/litert_wasm{build}_internal.{end}": (
            f"litert/wasm/litert_wasm{build}_internal.{end}"
        )
        for build in ("", "_compat", "_threaded")
        for end in ("js", "wasm")
    },
}
# What makes a page "cross-origin isolated", without which it gets no shared memory:
# https://web.dev/articles/coop-coep
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-store",  # A file that is exported anew is the one that is shown.
}
HOST = "127.0.0.1"
_FLOAT32 = "float32"
_LISTED = "models.json"  # Names the vocabulary and the files of the page.

_RUN = flags.DEFINE_string("run", "", "Folder of a run whose files are exported.")
_RECIPES = flags.DEFINE_list(
    "recipes",
    [],
    "Recipes of the files that the page shows beside each other, separated by commas; by default "
    "float32 and the smallest of the others.",
)
_OUTPUT = flags.DEFINE_string("output", "", "Folder of the page; by default web/ in the run.")
_PORT = flags.DEFINE_integer("port", 8000, "Port on this machine; 0 takes any that is free.")
_SERVE = flags.DEFINE_bool("serve", True, "Serve the folder; else only write it.")


def build(run: pathlib.Path, recipes: Sequence[str], output: pathlib.Path) -> list[str]:
    """Write the folder of the page, and return the names of the files that it shows.

    Args:
      run: with exported files.
      recipes: of the files; empty for float32 and the smallest of the others.
      output: the folder; what lies there under other names stays.

    Raises:
      UserError: there is no such file, the runtime is not installed, or the folder holds something
        else or cannot be written.
    """
    exported = ExportFolder(run / FOLDER)
    chosen = _chosen(run, exported.records(), recipes)
    write(exported.vocabulary, [exported.path / record.file for record in chosen], output)
    return [record.file for record in chosen]


def write(vocabulary: pathlib.Path, files: Sequence[pathlib.Path], output: pathlib.Path) -> None:
    """Write the folder of the page for some files of one vocabulary.

    Raises:
      UserError: the runtime is not installed, or the folder holds something else or cannot be
        written.
    """
    lacking = next((name for name in RUNTIME if not (MODULES / name).is_file()), "")
    if lacking:
        raise UserError(
            f"{MODULES / lacking}: LiteRT's runtime for browsers is not installed. Run `make "
            f"web-demo`, or `npm ci` in {HERE}."
        )
    sources = {name: HERE / name for name in PAGE}
    sources |= {name: MODULES / source for source, name in RUNTIME.items()}
    sources |= {"vocab.txt": vocabulary, **{file.name: file for file in files}}
    listed = {"vocabulary": "vocab.txt", "files": [file.name for file in files]}
    try:
        _require_own(output)
        # Before all others: where a copy is killed, the folder is known for this page's.
        write_atomically(output / _LISTED, json.dumps(listed) + "\n")
        for name, source in sources.items():
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, output / name)
    except OSError as error:
        raise UserError(
            f"--output={output}: cannot be written ({error.strerror}). Give a folder that you may "
            "write, on a disk with space left."
        ) from None


def _require_own(output: pathlib.Path) -> None:
    """Refuse a folder with anything but an earlier page.

    Raises:
      OSError: it cannot be read.
      UserError: it holds something else.
    """
    names = os.listdir(output) if output.exists() else []
    if all(name.startswith(".") for name in names):
        return
    try:
        found = json.loads((output / _LISTED).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        found = None
    if not isinstance(found, dict) or set(found) != {"vocabulary", "files"}:
        raise UserError(
            f"--output={output}: holds files, but no page of this program (no {_LISTED} of one). "
            "Give an empty or a new folder."
        )


def _chosen(
    run: pathlib.Path, records: dict[str, ExportResult], recipes: Sequence[str]
) -> list[ExportResult]:
    """Return the records of the files that are shown."""
    if not records:
        raise UserError(
            f"--run={run}: has no exported file. Export it first: make export-tflite RUN={run}"
        )
    if not recipes:
        others = [record for name, record in records.items() if name != _FLOAT32]
        smallest = sorted(others, key=lambda record: record.bytes["plain"])[:1]
        return [*(record for name, record in records.items() if name == _FLOAT32), *smallest]
    unknown = [name for name in recipes if name not in records]
    if unknown:
        raise UserError(
            f"--recipes={','.join(recipes)}: {unknown[0]!r} is not exported in {run / FOLDER}, "
            f"which has {', '.join(records)}. Export it: make export-tflite RUN={run} "
            f"ARGS=--recipes={unknown[0]}"
        )
    return [records[name] for name in dict.fromkeys(recipes)]


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Answers with the files of a folder, and with `HEADERS`."""

    extensions_map = {  # noqa: RUF012  (as the base class has it)
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        # Not those of the machine: a browser runs no module, and compiles no .wasm, of other types.
        ".js": "text/javascript",
        ".wasm": "application/wasm",
        ".json": "application/json",
        ".tflite": "application/octet-stream",
        ".txt": "text/plain; charset=utf-8",
    }

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the page itself says what it cannot load."""


def serving(folder: pathlib.Path, port: int) -> http.server.ThreadingHTTPServer:
    """Return a server of a folder that listens on this machine alone.

    Raises:
      UserError: it cannot listen there.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"--port={port}: no port. Give a number from 1024 to 65535, or 0 for any.")
    try:
        handler = functools.partial(_Handler, directory=str(folder))
        return http.server.ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        reason = "another program listens there"
        if error.errno != errno.EADDRINUSE:
            reason = f"it cannot be listened on ({error.strerror})"
        raise UserError(
            f"--port={port}: {reason}. Give another one, or 0 for any that is free: "
            "make web-demo RUN=... ARGS=--port=0"
        ) from None


def main() -> None:
    """Write the folder and serve it until it is interrupted."""
    if not _RUN.value:
        raise UserError("--run is missing. Give the folder of a run whose files are exported.")
    run = cli.path("run", _RUN.value)
    output = cli.path("output", _OUTPUT.value) if _OUTPUT.value else run / "web"
    server = serving(output, _PORT.value) if _SERVE.value else None
    files = build(run, _RECIPES.value, output)
    layout.say(f"{output}: the page, {', '.join(files)}, and what they need.")
    if server is None:
        return
    with server:
        layout.say(f"http://{HOST}:{server.server_port}/   (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            layout.say("\nStopped.")


if __name__ == "__main__":
    cli.run(main, __doc__)
