"""Staging: folders that are carried to a worker and back through a store, where no disk is shared.

A store is whatever fsspec knows: gs://, s3://, file:// and so on. The command has its folders on
its own disk; a worker has copies of them in a temporary folder, brings what its process writes to
the store while it runs, and the command fetches them when the process has ended. A state of the
training is brought data first, the history next and its index last, as the training writes them, so
that a worker that dies in between leaves the earlier state.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import pathlib
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from bert_glue_tf.core import locks, strict_json
from bert_glue_tf.core.errors import UserError, reason_of

# Files that say that those before them are whole, in their order.
_ORDER = (re.compile(r"history\.csv"), re.compile(r".*\.index"), re.compile(r"results\.jsonl"))
_STATE = re.compile(r"(?:.*/)?step-(\d+)\.index")
_RECORD = "results.jsonl"
_HERE = "bert_glue_tf_run."  # Folders of copies begin with it.
_LOCK = ".lock"
_LEFT = (_LOCK,)  # Files that mean something on one machine alone.


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    """Turn the errors of a store, each of which has its own, into OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(reason_of(error)) from error


@dataclasses.dataclass(frozen=True)
class Store:
    """A place in a store.

    Attributes:
      url: of it, as gs://bucket/runs.
    """

    url: str

    def _system(self, *names: str) -> Any:
        """Return the file system of fsspec in which this place, or one in it, is the root."""
        import fsspec
        from fsspec.implementations.dirfs import DirFileSystem

        system, root = fsspec.core.url_to_fs(self.url)
        # What is left of a root that is the file system's own is a slash.
        return DirFileSystem("/".join([root.rstrip("/"), *names]) or "/", system)

    def check(self) -> None:
        """Check that it can be written and read.

        Raises:
          UserError: it cannot, or what fsspec needs for it is not installed.
        """
        name = f".seen-{uuid.uuid4().hex[:12]}.tmp"
        try:
            system = self._system()
            system.makedirs("", exist_ok=True)
            system.pipe_file(name, b"seen")
            if system.cat_file(name) != b"seen":
                raise OSError("what was written is not what is read")
            system.rm_file(name)
        except Exception as error:  # Each store has errors of its own.
            raise UserError(
                f"--storage={self.url}: cannot be written and read ({reason_of(error)}). Good: a "
                "folder that you may write, as gs://bucket/runs or s3://bucket/runs, with the "
                "package that fsspec needs for it (gcsfs, s3fs) on each machine."
            ) from None

    @_as_os_errors()
    def bring(self, folder: pathlib.Path, known: dict[str, tuple[int, int]]) -> None:
        """Bring the files of a folder that have changed, and remove what is not there any more.

        Args:
          folder: its name is that in the store.
          known: file -> its size and time when it was last brought; it is changed here.

        Raises:
          OSError: of the store.
        """
        system, found = self._system(folder.name), dict(_files(folder))
        changed = [name for name, state in found.items() if known.get(name) != state]
        for name in sorted(changed, key=_place_in_order):
            with contextlib.suppress(FileNotFoundError):  # Removed meanwhile.
                system.makedirs(os.path.dirname(name), exist_ok=True)
                system.put_file(str(folder / name), name)
                known[name] = found[name]
        for name in known.keys() - found.keys():
            with contextlib.suppress(FileNotFoundError):
                system.rm_file(name)
            del known[name]

    @_as_os_errors()
    def differs(self, folder: pathlib.Path, name: str) -> bool:
        """Tell whether the store has another file of JSON of that name than the folder.

        Raises:
          OSError: of the store.
        """
        try:
            there = self._system(folder.name).cat_file(name)
        except FileNotFoundError:
            return False
        here = (folder / name).read_bytes()
        return there != here and strict_json.loads(there) != strict_json.loads(here)

    @_as_os_errors()
    def is_further(self, folder: pathlib.Path) -> bool:
        """Tell whether the store has a later state of a run than the folder, or its record.

        Raises:
          OSError: of the store.
        """
        there = self._system(folder.name).find("")
        return _steps(there) > _steps(name for name, _ in _files(folder))

    @_as_os_errors()
    def bring_file(self, path: pathlib.Path) -> None:
        """Bring one file that lies beside the folders.

        Raises:
          OSError: of the store.
        """
        self._system().put_file(str(path), path.name)

    @_as_os_errors()
    def fetch_file(self, path: pathlib.Path) -> None:
        """Fetch one file that lies beside the folders, if the store has it.

        Raises:
          OSError: of the store.
        """
        with contextlib.suppress(FileNotFoundError):
            self._system().get_file(path.name, str(path))

    @_as_os_errors()
    def fetch(self, folder: pathlib.Path) -> dict[str, tuple[int, int]]:
        """Fetch the files of a folder, and return what `bring` has to know of them.

        A file of the folder that the store has not is left; one that both have is replaced.

        Raises:
          OSError: of the store.
        """
        system = self._system(folder.name)
        for name in system.find(""):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            half = target.with_name(f".{target.name}.fetched")
            system.get_file(name, str(half))
            os.replace(half, target)
        return dict(_files(folder))


def _place_in_order(name: str) -> int:
    """Return the place of a file in the order in which files are brought."""
    base = os.path.basename(name)
    return next((n for n, one in enumerate(_ORDER, start=1) if one.fullmatch(base)), 0)


def _steps(names: Iterable[str]) -> float:
    """Return how far a run is by its files: the steps of its last state; infinite when finished."""
    found = list(names)
    if _RECORD in found:
        return math.inf
    return max((int(match[1]) for one in found if (match := _STATE.fullmatch(one))), default=-1)


def _files(folder: pathlib.Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield each file of a folder, by its path in it, with its size and time."""
    for path in sorted(folder.rglob("*")):
        if path.name not in _LEFT and not path.name.endswith(".fetched"):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    state = path.stat()
                    yield str(path.relative_to(folder)), (state.st_size, state.st_mtime_ns)


@dataclasses.dataclass(frozen=True)
class Staged:
    """The folders of one task in a store.

    Attributes:
      store: where they are.
      root: the folder that holds them on the machine of the command.
      own: name of the folder that the task writes.
      read: names of folders beside it that it reads.
    """

    store: Store
    root: str
    own: str
    read: tuple[str, ...]

    @contextlib.contextmanager
    def here(self) -> Iterator[Stage]:
        """Yield copies of the folders, which are gone when the block has ended.

        Copies that a killed process has left on this machine are removed first.

        Raises:
          OSError: of the store, or of the disk.
        """
        _remove_left()
        folder = pathlib.Path(tempfile.mkdtemp(prefix=_HERE))
        try:
            with locks.holding(folder / f"{_LOCK}.new"):
                # It has its name when it is held: nobody finds it free in between.
                os.rename(folder / f"{_LOCK}.new", folder / _LOCK)
                for name in self.read:
                    self.store.fetch(folder / name)
                yield Stage(self, folder, self.store.fetch(folder / self.own))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_left() -> None:
    """Remove the copies on this machine whose process was killed."""
    for lock in pathlib.Path(tempfile.gettempdir()).glob(f"{_HERE}*/{_LOCK}"):
        if locks.is_free(lock):
            shutil.rmtree(lock.parent, ignore_errors=True)


@dataclasses.dataclass(frozen=True)
class Stage:
    """Copies of a task's folders on this machine.

    Attributes:
      of: what they are copies of.
      folder: that holds them.
      known: what the store has of the task's own folder.
    """

    of: Staged
    folder: pathlib.Path
    known: dict[str, tuple[int, int]]

    def moved(self, text: str) -> str:
        """Return a path, or a flag with one, as it is here."""
        return text.replace(f"{self.of.root}/", f"{self.folder}/")

    def bring(self) -> None:
        """Bring what the task has written to the store.

        Raises:
          OSError: of the store.
        """
        self.of.store.bring(self.folder / self.of.own, self.known)
