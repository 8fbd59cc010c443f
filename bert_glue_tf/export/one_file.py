"""One file of all the networks that a run's weights hold, measured beside their own files."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from bert_glue_tf.core import files, records
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.core.progress import doing
from bert_glue_tf.core.records import Record
from bert_glue_tf.evaluation import cost
from bert_glue_tf.export import merging
from bert_glue_tf.export.defaults import REPETITIONS, THREADS
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.export.litert import LiteModel
from bert_glue_tf.export.record import ExportResult

RECORDS = "one_file.jsonl"  # In the folder of the largest network's files.
_ENDING = "_sizes"  # Of the file's name, behind the recipe's.


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneFile(Record):
    """The record of a file of several networks.

    Attributes:
      recipe: of all of them.
      file: its name.
      sha256: of the file.
      bytes: of the file.
      separate_bytes: name of a network -> bytes of its own file.
      length: in word pieces, of the texts that were timed.
      milliseconds: name of a network -> median time of one text, `own` in its own file and `shared`
        in this one, all in turns.
      fastest: the same of the shortest times, which other processes disturb least.
    """

    what_is_foreign: ClassVar[str] = "no record of a file of several networks"

    recipe: str
    file: str
    sha256: str
    bytes: int
    separate_bytes: Mapping[str, int]
    length: int
    milliseconds: Mapping[str, Mapping[str, float]]
    fastest: Mapping[str, Mapping[str, float]]

    @property
    def separate(self) -> int:
        """The bytes of the networks' own files together."""
        return sum(self.separate_bytes.values())


def write(
    exported: Sequence[tuple[ExportFolder, Sequence[ExportResult]]],
    threads: int = THREADS,
    repetitions: int = REPETITIONS,
) -> list[OneFile]:
    """Write a file of all networks for each recipe, and time it beside their own files.

    Args:
      exported: folders and records of the networks, the largest first, as `launch.launch_sizes`
        returns them.
      threads: of LiteRT.
      repetitions: timed runs of each network.

    Returns:
      The records, which are added to the folder of the largest network.

    Raises:
      UserError: a file cannot be read, or another process is exporting into the folder.
    """
    folder = exported[0][0]
    with folder.locked():
        return _written(folder, exported, threads, repetitions)


def _written(
    folder: ExportFolder,
    exported: Sequence[tuple[ExportFolder, Sequence[ExportResult]]],
    threads: int,
    repetitions: int,
) -> list[OneFile]:
    """Write and time the files in a folder that is locked; arguments as for `write`."""
    found = []
    for recipe in (record.recipe for record in exported[0][1]):
        own = {
            record.size: place.model(recipe)
            for place, some in exported
            for record in some
            if record.recipe == recipe
        }
        with doing(f"{recipe}: one file of {len(own)} sizes"):
            path = folder.model(f"{recipe}{_ENDING}")
            contents = {name: one.read_bytes() for name, one in own.items()}
            write_atomically(path, merging.merge(contents, next(iter(own))))
            del contents
            record = _measured(recipe, path, own, threads, repetitions)
        records.append(folder.path / RECORDS, record)
        found.append(record)
    folder.write_checksums()
    return found


def _measured(
    recipe: str,
    path: pathlib.Path,
    own: Mapping[str, pathlib.Path],
    threads: int,
    repetitions: int,
) -> OneFile:
    """Return the record of a file, whose networks are timed in turns with their own files."""
    content, whole = path.read_bytes(), next(iter(own))
    calls: dict[tuple[str, str], Any] = {}
    length = 0
    for name, file in own.items():
        alone = LiteModel(file.read_bytes(), threads, str(file))
        shared = LiteModel(content, threads, str(path), size="" if name == whole else name)
        length = alone.lengths[-1]
        features = alone.ones(length)
        calls[name, "own"] = functools.partial(alone.predict, features)
        calls[name, "shared"] = functools.partial(shared.predict, features)
    named = {f"{name} {where}": call for (name, where), call in calls.items()}
    timed = cost.interleaved_latency(named, repetitions)

    def times(kind: str) -> dict[str, dict[str, float]]:
        return {
            name: {where: timed[f"{name} {where}"][kind] for where in ("own", "shared")}
            for name in own
        }

    return OneFile(
        recipe=recipe,
        file=path.name,
        sha256=files.sha256(path),
        bytes=len(content),
        separate_bytes={name: file.stat().st_size for name, file in own.items()},
        length=length,
        milliseconds=times("p50"),
        fastest=times("min"),
    )
