"""A shell whose `python` is forked from a process with TensorFlow; it may be another program."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import forked

PROGRAMS = pathlib.Path(__file__).parents[1] / "programs"


class Shell:
    """Runs lines of bash in a folder; a line that fails ends them."""

    def __init__(self, listener: socket.socket, address: str, program: str | None) -> None:
        self._listener = listener
        self._program = [str(PROGRAMS / program)] if program else []
        self.variables = {"FORKED_PYTHON": address}
        threading.Thread(target=self._serve, daemon=True).start()

    def write_python(self, folder: pathlib.Path) -> None:
        """Write a program `python` into a folder, and `activate`, which makes it the one."""
        folder.mkdir(parents=True)
        program = folder / "python"
        client = PROGRAMS / "forked_python.py"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{client}" "$@"\n')
        program.chmod(0o755)
        (folder / "activate").write_text(f'PATH="{folder}:$PATH"\n')

    def run(
        self, code: str, folder: pathlib.Path, environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run lines of bash; return their status, and output and errors together as text."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code],
            cwd=folder,
            env={**environment, **self.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )

    def _serve(self) -> None:
        """Answer one `python` after another."""
        with contextlib.suppress(OSError):  # The listener has been closed: the tests are over.
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    _, files, _, _ = socket.recv_fds(connection, 1, 3)
                    request = json.loads(connection.makefile("r").readline())
                    status = _status(self._program, request, files)
                    connection.sendall(f"{status}\n".encode())


def _status(program: list[str], request: dict[str, Any], files: list[int]) -> int:
    """Fork a process for a request; return the exit status that a shell would see."""
    process = forked.start(
        [*program, *request["arguments"]],
        stdin=files[0],
        stdout=files[1],
        stderr=files[2],
        env=request["environment"],
        cwd=request["folder"],
    )
    for file in files:
        os.close(file)
    status = process.wait()
    return 128 - status if status < 0 else status


@contextlib.contextmanager
def opened(program: str | None = None) -> Iterator[Shell]:
    """Give a shell, and stop answering its `python` at the end.

    Args:
      program: one of tests/programs, which is given the arguments of `python`; None for Python.
    """
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        address = os.path.join(folder, "python")
        listener.bind(address)
        listener.listen()
        yield Shell(listener, address, program)
