"""The machine and the versions of what computes, for records and for runs that go on."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

import bert_glue_tf

# The same package under the names of its builds, of which one is installed.
_TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tensorflow-tpu")
_PACKAGES = (
    "tf-keras",
    "tensorflow-text",
    "tensorflow-hub",
    "tf-models-official",
    "tensorflow-model-optimization",
    "numpy",
)
# What computes the numbers of the files that are exported.
QUANTIZER = ("ai-edge-quantizer", "ai-edge-litert")


def environment(devices: Sequence[str]) -> dict[str, Any]:
    """Return where a result is measured: devices, processor, versions and commit."""
    return {
        "devices": list(devices),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": packages(),
        "commit": commit(),
    }


def processor() -> str:
    """Return the model of the processor, as the system names it."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # Not Linux.
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def machine() -> dict[str, Any]:
    """Return what a time was measured on: `cpu`, the model of the processor, and `cores`."""
    return {"cpu": processor(), "cores": os.cpu_count()}


def packages() -> dict[str, str | None]:
    """Return package -> version (None: not installed), TensorFlow by its build's name."""
    builds = {name: version for name in _TENSORFLOW if (version := _version(name))}
    return {**(builds or {_TENSORFLOW[0]: None}), **{name: _version(name) for name in _PACKAGES}}


def installed(more: Sequence[str] = ()) -> dict[str, str | None]:
    """Return name -> version of this package, Python, `packages` and further ones."""
    own = {"bert_glue_tf": bert_glue_tf.__version__, "python": platform.python_version()}
    return {**own, **packages(), **of(more)}


def of(names: Sequence[str]) -> dict[str, str | None]:
    """Return name -> version of some packages; None where one is not installed."""
    return {name: _version(name) for name in names}


def note_others(where: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Warn, in one line, of versions that are not those that something was begun with.

    Args:
      where: flag and folder, for the message.
      before: name -> version, as `installed` gave it then; what is missing is not compared.
      now: name -> version.
    """
    changed = [
        f"{name} {before.get(name, 'none')} (now {now.get(name, 'none')})"
        for name in {**before, **now}
        if before and before.get(name) != now.get(name)
    ]
    if changed:
        logging.warning(
            "%s: was begun with other versions: %s. What is added now can differ from what one "
            "version gives; install those versions, or begin anew in another folder, for results "
            "that can be repeated",
            where,
            ", ".join(changed),
        )


def commit() -> str | None:
    """Return the commit of the code that runs, `-dirty` if changed; None outside a checkout."""
    here = pathlib.Path(__file__)

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            cwd=here.parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()

    try:
        # Fails for a copy in site-packages that happens to lie inside another checkout.
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") or None
    except (OSError, subprocess.SubprocessError):
        return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
