"""The shares of a labelling: which process does which parts."""

from __future__ import annotations

import dataclasses
import heapq
import json
import pathlib
from collections.abc import Sequence

from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.labelling import share
from bert_glue_tf.labelling.folder import LabelFolder, State
from bert_glue_tf.labelling.plan import LabelSettings, Part
from bert_glue_tf.sweeps.executors.base import Task

# Bytes of text that a process gets at least, if there is so much for all: it takes some seconds to
# load a model, in which a small network labels some hundred kilobytes.
_SHARE = 1 << 24


@dataclasses.dataclass(frozen=True)
class Share(Task):
    """Parts that one process labels.

    Attributes:
      number: of the share.
      folder: of the labelling.
      settings: of the labelling.
      parts: the parts.
      threads: of the model in its process.
      is_again: whether a process with these parts has ended with a fault before.
    """

    number: int
    folder: LabelFolder
    settings: LabelSettings
    parts: tuple[Part, ...]
    threads: int
    is_again: bool = False

    @property
    def name(self) -> str:
        return f"share-{self.number:04d}"

    @property
    def log(self) -> pathlib.Path:
        return self.folder.shares / f"{self.name}.log"

    @property
    def _file(self) -> pathlib.Path:
        return self.folder.shares / f"{self.name}.json"

    @property
    def command(self) -> Sequence[str]:
        return (share.__name__, f"--{share.FLAG}={self._file}")

    @property
    def root(self) -> pathlib.Path:
        return self.folder.path

    @property
    def paths(self) -> Sequence[pathlib.Path]:
        sources = {pathlib.Path(part.source) for part in self.parts}
        return [pathlib.Path(self.settings.model), *sorted(sources)]

    def open(self) -> None:
        values = {
            "folder": str(self.folder.path),
            "settings": dataclasses.asdict(self.settings),
            "parts": [dataclasses.asdict(part) for part in self.parts],
            "threads": self.threads,
        }
        write_atomically(self._file, json.dumps(values) + "\n")

    def record(self) -> dict[str, State] | None:
        states = {part.name: self.folder.state(part) for part in self.parts}
        found = {name: state for name, state in states.items() if state is not None}
        return found if len(found) == len(self.parts) else None


def shared(
    folder: LabelFolder,
    settings: LabelSettings,
    parts: Sequence[Part],
    workers: int,
    threads: int,
) -> list[Share]:
    """Return the shares of some parts, of about the same number of bytes, the largest first.

    There is one for each worker at least, if there are so many parts, and more of them where each
    has bytes enough, so that one that is slow or has died costs little.

    Args:
      folder, settings: of the labelling.
      parts: that are to be labelled.
      workers: processes at a time.
      threads: of the model in each.
    """
    if not parts:
        return []
    total = sum(part.size for part in parts)
    number = min(len(parts), max(workers, total // _SHARE, 1))
    bins: list[tuple[int, int, list[Part]]] = [(0, place, []) for place in range(number)]
    for part in sorted(parts, key=lambda one: -one.size):
        size, place, members = bins[0]
        members.append(part)
        heapq.heapreplace(bins, (size + part.size, place, members))
    bins.sort(reverse=True, key=lambda one: one[0])
    return [
        Share(number, folder, settings, tuple(members), threads)
        for number, (_, _, members) in enumerate(bins)
        if members
    ]
