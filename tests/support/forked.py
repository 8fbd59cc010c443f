"""Python processes that have TensorFlow from their first moment on.

`start` and `run` take what `python` takes: `-c CODE`, `-m MODULE` or a script, and its arguments.
The process is forked from one that has imported TensorFlow and has not used it, which saves the
four seconds that every import takes. For tests of what such a process does; one of how a command
starts, or of what it imports when, has to start Python itself.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Sequence
from typing import Any, BinaryIO

_LARGEST = 1 << 18  # Bytes of a message.


class Process:
    """A process that was forked, with the methods of `subprocess.Popen`."""

    def __init__(self, server: _Server, pid: int, arguments: Sequence[str]) -> None:
        self._server = server
        self.pid = pid
        self.args = list(arguments)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit status, minus the signal that killed it, or None while it runs."""
        return self._status(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; raises TimeoutExpired."""
        status = self._status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def _status(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.status(self.pid, timeout)
        return self.returncode


def start(
    arguments: Sequence[str],
    *,
    stdout: BinaryIO | int,
    stderr: BinaryIO | int,
    stdin: BinaryIO | int | None = None,
    env: dict[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> Process:
    """Start `python *arguments`; without `stdin` it reads an empty one."""
    with contextlib.ExitStack() as stack:
        if stdin is None:
            stdin = stack.enter_context(open(os.devnull, "rb"))
        files = [f if isinstance(f, int) else f.fileno() for f in (stdin, stdout, stderr)]
        request = {
            "arguments": list(map(str, arguments)),
            "environment": dict(os.environ if env is None else env),
            "folder": os.fspath(cwd or os.getcwd()),
        }
        return _server().start(request, files)


def run(
    arguments: Sequence[str], *, timeout: float = 600, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run `python *arguments` to its end, and return its status and what it wrote as text."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = start(arguments, stdout=out, stderr=err, **options)
        try:
            process.wait(timeout)
        finally:
            process.kill()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(process.args, process.wait(), *texts)


class _Server:
    """The process that is forked from, seen from the tests."""

    def __init__(self) -> None:
        # Each message arrives as one.
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._ended: dict[int, int] = {}
        assert self._read() == {"ready": True}

    def start(self, request: dict[str, Any], files: Sequence[int]) -> Process:
        socket.send_fds(self._socket, [json.dumps(request).encode()], files)
        while "pid" not in (answer := self._read()):
            pass
        return Process(self, answer["pid"], request["arguments"])

    def status(self, pid: int, timeout: float | None) -> int | None:
        end = None if timeout is None else time.monotonic() + timeout
        while pid not in self._ended:
            left = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([self._socket], [], [], left)[0]:
                return None
            self._read()
        return self._ended[pid]

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait(30)

    def _read(self) -> dict[str, Any]:
        message = self._socket.recv(_LARGEST)
        assert message, "the process that others are forked from has ended"
        answer: dict[str, Any] = json.loads(message)
        if "ended" in answer:
            self._ended[answer["ended"]] = answer["status"]
        return answer


@functools.cache
def _server() -> _Server:
    server = _Server()
    atexit.register(server.close)
    return server


# In the process that is forked from.


def _serve(connection: socket.socket) -> dict[str, Any]:
    """Fork a process for each request, and tell how each ended; return a child its request."""
    # What every run and every export imports sooner or later.
    import sklearn.metrics  # noqa: F401

    from bert_glue_tf.export import exporter  # noqa: F401
    from bert_glue_tf.training import experiment  # noqa: F401

    def tell(answer: dict[str, Any]) -> None:
        connection.sendall(json.dumps(answer).encode())

    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wakes)
    # Ctrl-C of the tests is for them and for what they have started.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    running: set[int] = set()
    gc.set_threshold(50_000, 20, 100)  # As in the tests' own process (conftest.py).
    gc.freeze()  # So that a child's collector does not copy what it shares.
    tell({"ready": True})
    while True:
        ready, _, _ = select.select([connection, woken], [], [])
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(woken, 4096)
        for pid in list(running):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                running.remove(pid)
                tell({"ended": pid, "status": os.waitstatus_to_exitcode(status)})
        if connection not in ready:
            continue
        message, files, _, _ = socket.recv_fds(connection, _LARGEST, 3)
        if not message:
            os._exit(0)
        request = json.loads(message)
        pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            connection.close()
            for target, file in enumerate(files):
                os.dup2(file, target)
            os.closerange(3, max([woken, wakes, *files]) + 1)
            return request
        for file in files:
            os.close(file)
        running.add(pid)
        tell({"pid": pid})


def _become(request: dict[str, Any]) -> None:
    """Do what Python does with these arguments, in this environment and folder."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None  # Is found anew, from this environment.
    sys.stdin = open(0, encoding="utf-8")
    sys.stdout = open(1, "w", encoding="utf-8", buffering=1 if os.isatty(1) else -1)
    sys.stderr = open(2, "w", encoding="utf-8", buffering=1, errors="backslashreplace")
    kind, *rest = request["arguments"]
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    first = {"-c": "", "-m": os.getcwd()}.get(kind, os.path.dirname(kind))
    sys.path[:1] = [first, *(folder for folder in path if folder and folder not in sys.path)]
    if kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        code, *arguments = rest
        sys.argv = ["-c", *arguments]
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        exec(compile(code, "<string>", "exec"), vars(main))
    else:
        sys.argv = [kind, *rest]
        runpy.run_path(kind, run_name="__main__")


def _end(request: dict[str, Any]) -> None:
    """Do what is asked for, and end as Python does, but for taking apart every module.

    That would take two seconds, since nothing of TensorFlow's memory could stay shared.
    """
    status: Any = 0
    try:
        _become(request)
    except SystemExit as done:
        status = done.code or 0
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        status = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        # As Python ends where nobody reads any longer what it has written.
        try:
            stream.flush()
        except OSError:
            status = 120
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status & 0xFF)


if __name__ == "__main__":
    _end(_serve(socket.socket(fileno=int(sys.argv[1]))))
