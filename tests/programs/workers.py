"""Processes that train together over loopback, as machines do."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
from collections.abc import Sequence

import forked


def free_addresses(count: int) -> list[str]:
    """Ports that nothing listens at now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def start(arguments: Sequence[str], count: int, folder: pathlib.Path) -> list[forked.Process]:
    """`python *arguments` in `count` processes; what worker i prints goes to `folder`/i.log."""
    addresses = free_addresses(count)
    folder.mkdir(parents=True, exist_ok=True)
    processes = []
    for index in range(count):
        task = {"type": "worker", "index": index}
        environment = {
            **os.environ,
            "TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task}),
        }
        with (folder / f"{index}.log").open("wb") as log:
            processes.append(forked.start(arguments, stdout=log, stderr=log, env=environment))
    return processes


def end(processes: Sequence[forked.Process], seconds: float) -> list[int]:
    """Their exit statuses; those that have not ended by themselves then are killed."""
    try:
        for process in processes:
            process.wait(seconds)
    finally:
        for process in processes:
            process.kill()
    return [process.wait() for process in processes]
