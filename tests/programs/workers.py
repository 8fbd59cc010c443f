"""Processes that train together over loopback, as machines do."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).parents[2]
TESTS = (ROOT / "tests" / "support", ROOT / "tests" / "programs")
# With it a program finds the package, and what the tests share.
PYTHONPATH = os.pathsep.join([str(ROOT), *map(str, TESTS), *sys.path])


def free_addresses(count: int) -> list[str]:
    """Ports that nothing listens at now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def start(
    arguments: Sequence[str], count: int, folder: pathlib.Path
) -> list[subprocess.Popen[bytes]]:
    """`python *arguments` in `count` processes; what worker i prints goes to `folder`/i.log."""
    addresses = free_addresses(count)
    folder.mkdir(parents=True, exist_ok=True)
    processes = []
    for index in range(count):
        task = {"type": "worker", "index": index}
        environment = {
            **os.environ,
            "TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task}),
            "PYTHONPATH": os.pathsep.join(
                [
                    str(ROOT),
                    str(ROOT / "tests" / "support"),
                    str(ROOT / "tests" / "programs"),
                    *sys.path,
                ]
            ),
        }
        with (folder / f"{index}.log").open("wb") as log:
            processes.append(
                subprocess.Popen(
                    [sys.executable, *arguments], stdout=log, stderr=log, env=environment
                )
            )
    return processes


def end(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> list[int]:
    """Their exit statuses; those that have not ended by themselves then are killed."""
    try:
        for process in processes:
            process.wait(seconds)
    finally:
        for process in processes:
            process.kill()
    return [process.wait() for process in processes]
