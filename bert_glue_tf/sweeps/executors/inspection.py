"""The inspection of workers before they run anything: their versions, and what they see."""

from __future__ import annotations

import contextlib
import pathlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import reason
from bert_glue_tf.sweeps.executors import base, dask_worker
from bert_glue_tf.sweeps.executors.staging import Store

# Asks workers something: a function and its arguments -> worker -> its answer.
Answers = Callable[..., Mapping[str, Any]]


def require_versions(cluster: str, answers: Answers) -> None:
    """Refuse workers with other versions than those of this process.

    Args:
      cluster: value of --cluster, for messages.
      answers: asks the workers.

    Raises:
      UserError: naming each of them.
    """
    own = dask_worker.installed()
    told = []
    for worker, found in answers(dask_worker.installed).items():
        other = [
            f"{name} {found.get(name)} (here {version})"
            for name, version in own.items()
            if found.get(name) != version
        ]
        if other:
            told.append(f"{worker}: {', '.join(other)}")
    if told:
        raise UserError(
            f"--cluster={cluster}: workers with other versions: {'; '.join(told)}. Good: the same "
            "versions on each, as constraints.txt pins them."
        )


def require_store(cluster: str, answers: Answers, tasks: Sequence[base.Task], store: Store) -> None:
    """Refuse a store that this process or a worker cannot use, and tasks that need a disk.

    Args:
      cluster, answers: as of `require_versions`.
      tasks: that are to be run.
      store: that carries their folders.

    Raises:
      UserError: naming the worker, or the path that it does not see.
    """
    if any(task.beside is None for task in tasks):
        raise UserError(
            f"--storage={store.url}: this command's workers have to see its files. Good: no "
            "--storage, and folders that all machines see under one path."
        )
    store.check()
    _require_seen(cluster, answers, _inputs(tasks))
    answers(store.check)


def require_paths(cluster: str, answers: Answers, tasks: Sequence[base.Task]) -> None:
    """Refuse paths that a worker cannot see, or cannot write into.

    Args:
      cluster, answers: as of `require_versions`.
      tasks: that are to be run.

    Raises:
      UserError: naming the worker and the path; or this process cannot write a folder itself.
    """
    inputs = _inputs(tasks)
    for root in sorted({task.root for task in tasks}):
        with _visible(root) as probe:
            _require_seen(cluster, answers, {**inputs, str(probe): str(root)})
        for worker, why in answers(dask_worker.read_only, str(root)).items():
            if why:
                raise UserError(
                    f"--cluster={cluster}: worker {worker} cannot write {root} ({why})."
                )


def _inputs(tasks: Sequence[base.Task]) -> dict[str, str]:
    """Return the paths that tasks read, as `_require_seen` takes them."""
    found = sorted({str(path) for task in tasks for path in task.paths if path.exists()})
    return dict(zip(found, found, strict=True))


def _require_seen(cluster: str, answers: Answers, paths: Mapping[str, str]) -> None:
    """Refuse paths that a worker cannot see; their values are what is said of them.

    Raises:
      UserError: naming the worker and the path.
    """
    for worker, unseen in answers(dask_worker.unseen, list(paths)).items():
        for path in unseen:
            raise UserError(
                f"--cluster={cluster}: worker {worker} does not see {paths[path]} of this machine. "
                "Good: a folder on storage that all machines see under one path."
            )


@contextlib.contextmanager
def _visible(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a file of a folder, which is there for the block: who sees it sees this folder.

    Raises:
      UserError: the folder cannot be written.
    """
    probe = folder / f".seen-{uuid.uuid4().hex[:8]}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({reason(error)}).") from error
    try:
        yield probe
    finally:
        probe.unlink(missing_ok=True)
