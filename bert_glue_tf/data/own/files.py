"""The files of the splits: --data is one file, a folder, or what `datasets` has exported."""

from __future__ import annotations

import collections
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.data.own import table
from bert_glue_tf.data.tasks import TaskSpec

NAME = "own"  # Of tables of the user's own, in records and tables.
TRAIN, VALIDATION, TEST = "train", "validation", "test"
_ALIASES = {
    "train": TRAIN,
    "training": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
}
# train, dev_matched; train-00000-of-00002-1a2b3c4d, as `datasets` names its shards.
_NAME = re.compile(
    rf"({'|'.join(_ALIASES)})(_matched|_mismatched)?"
    r"(?:-(\d{5})-of-(\d{5})(?:-[0-9a-f]+)?)?"
)
_SHARD = re.compile(r"[a-z]+-(\d{5})-of-(\d{5})(?:-[0-9a-f]+)?")
_GOOD = f"a file of the format {table.GOOD_SUFFIXES}, or a folder with a train file of one"


def find(data: str) -> dict[str, tuple[str, ...]]:
    """Return split -> the paths of its file or shards, as --data names them.

    A file is the training split. In a folder the splits are found by the names of the files
    (train, validation or valid or val or dev, test), in the folder itself, in its folder `data` or
    `default`, or in a folder for each split, with or without the numbers of shards.

    Args:
      data: value of --data.

    Raises:
      UserError: there is no such file or folder, no training split, several files of one split, or
        a shard is missing.
    """
    try:
        path = pathlib.Path(data).expanduser()
    except (RuntimeError, ValueError):  # The home folder of nobody, or a NUL.
        raise UserError(f"--data={data}: no such file or folder. Good: {_GOOD}.") from None
    if os.path.isfile(path):  # pathlib raises where a name is too long for any file.
        if not table.suffix_of(data):
            raise UserError(f"--data={data}: no format that is read here. Good: {_GOOD}.")
        return {TRAIN: (data,)}
    if not os.path.isdir(path):
        raise UserError(f"--data={data}: no such file or folder. Good: {_GOOD}.")
    found = _splits(data)
    if TRAIN not in found:
        names = [name for name in _listing(data) if table.suffix_of(name)]
        is_test = any(_NAME.fullmatch(table.stem_of(name).lower()) for name in names)
        is_one = len(names) == 1 and not is_test
        good = f"--data={os.path.join(data, names[0])}" if is_one else _GOOD
        raise UserError(f"--data={data}: {_contents(path)}, and no train file. Good: {good}.")
    return found


def names_training_file(data: str) -> bool:
    """Tell whether a folder has a training file of a format that is read here, or data is one."""
    try:
        return TRAIN in find(data)
    except UserError:
        return False


def default_name(data: str) -> str:
    """Return the name of a task by the file or folder that it is read from.

    A file that is named by its split has the name of its folder. A name that a known task has gets
    `own_` before it.
    """
    name = _name(data)
    return f"{NAME}_{name}" if name in tasks.TASKS else name


def known_task(data: str) -> TaskSpec | None:
    """Return the known task that a file or folder is named as, in any case; else None."""
    name = _name(data).lower()
    folders = {task.folder.lower(): task for task in tasks.TASKS.values()}
    return tasks.TASKS.get(name) or folders.get(name)


def _name(data: str) -> str:
    """Return the name of a file or folder, as that of a task can be."""
    path = pathlib.Path(os.path.abspath(os.path.expanduser(data)))
    is_file = path.is_file()
    name = table.stem_of(path.name) if is_file else path.name
    if is_file and _NAME.fullmatch(name.lower()):
        name = path.parent.name
    return re.sub(r"[^\w.-]+|^[^A-Za-z0-9]+", "_", name).strip("_.-")[:60] or NAME


def _splits(data: str) -> dict[str, tuple[str, ...]]:
    """Return split -> paths, from the first of a folder's places that has a training split."""
    for place in (data, os.path.join(data, "data"), os.path.join(data, "default")):
        found = in_folder(place)
        if TRAIN in found:
            return found
    return _saved(data)


def _saved(folder: str) -> dict[str, tuple[str, ...]]:
    """Return split -> paths of a folder that `Dataset.save_to_disk` has written of one split.

    Its state.json tells the files, and the split, or that it is none (null): then all of it is the
    training split. Empty where it is no such folder.

    Raises:
      UserError: a file is missing.
    """
    path = os.path.join(folder, "state.json")
    try:
        state = strict_json.loads(pathlib.Path(path).expanduser().read_bytes())
    except (OSError, ValueError):
        return {}
    try:
        split = str(state["_split"] or TRAIN).lower()
        # Other shards in the folder may be those of an earlier save.
        paths = [os.path.join(folder, one["filename"]) for one in state["_data_files"]]
    except (KeyError, TypeError):
        return {}
    if split not in _ALIASES or not paths:
        return {}
    for path in paths:
        if not os.path.isfile(os.path.expanduser(path)):
            raise UserError(
                f"{path}: is missing, a shard of the {split} split by the folder's state.json. "
                f"Good: all {len(paths)} of them in one folder."
            )
    return {_ALIASES[split]: tuple(paths)}


def in_folder(folder: str) -> dict[str, tuple[str, ...]]:
    """Return split -> paths of the files that lie in one folder; empty where it is not there.

    Raises:
      UserError: several files of one split, or a shard is missing.
    """
    files: dict[str, dict[str, dict[int, str]]] = collections.defaultdict(dict)
    counts: dict[str, int] = {}
    for split, path, number, of in _parts(folder):
        kind = os.path.dirname(path) + table.suffix_of(path)
        shards = files[split].setdefault(kind, {})
        if number in shards or (shards and counts[split] != of):
            raise _ambiguous(split, [shards[min(shards)], path])
        shards[number] = path
        counts[split] = of
    for split, kinds in files.items():
        if len(kinds) > 1:
            raise _ambiguous(split, [next(iter(shards.values())) for shards in kinds.values()])
    return {
        split: _whole(split, next(iter(kinds.values())), counts[split])
        for split, kinds in files.items()
    }


def _parts(folder: str) -> Iterator[tuple[str, str, int, int]]:
    """Yield split, path, number of the shard, and of how many, of each file that names a split."""
    for name in _listing(folder):
        path = os.path.join(folder, name)
        if os.path.isdir(os.path.expanduser(path)):
            if name.lower() in _ALIASES:
                for inner, number, of in _shards(path):
                    yield _ALIASES[name.lower()], os.path.join(path, inner), number, of
        elif table.suffix_of(name):
            found = _NAME.fullmatch(table.stem_of(name).lower())
            if found:
                split = _ALIASES[found[1]] + (found[2] or "")
                yield split, path, int(found[3] or 0), int(found[4] or 1)


def _shards(folder: str) -> Iterator[tuple[str, int, int]]:
    """Yield name, number and of how many, of each file in the folder of one split.

    They are those that bear such numbers; where none does, all files, in the order of their names.
    """
    names = [name for name in _listing(folder) if table.suffix_of(name)]
    numbered = [(name, _SHARD.fullmatch(table.stem_of(name).lower())) for name in names]
    if any(shard for _, shard in numbered):
        for name, shard in numbered:
            if shard:
                yield name, int(shard[1]), int(shard[2])
        return
    counts = collections.Counter(map(table.suffix_of, names))
    seen: collections.Counter[str] = collections.Counter()
    for name in names:
        suffix = table.suffix_of(name)
        yield name, seen[suffix], counts[suffix]
        seen[suffix] += 1


def _listing(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(os.path.expanduser(folder)))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"--data={folder}: cannot be read ({error.strerror}).") from None


def _ambiguous(split: str, paths: Sequence[str]) -> UserError:
    return UserError(
        f"--data: several files are the {split} split: {', '.join(paths)}. Good: one of them, or "
        "--data=FILE."
    )


def _whole(split: str, shards: Mapping[int, str], of: int) -> tuple[str, ...]:
    missing = [number for number in range(of) if number not in shards]
    if missing:
        raise UserError(
            f"{next(iter(shards.values()))}: shard {missing[0]:05d} of the {split} split is "
            f"missing. Good: all {of} of them in one folder."
        )
    return tuple(shards[number] for number in range(of))


def _contents(folder: pathlib.Path) -> str:
    """Return what lies in a folder, in words: the numbers of its files by how their names end."""
    suffixes = collections.Counter(
        path.suffix.lower() or "no ending" for path in folder.rglob("*") if path.is_file()
    )
    if not suffixes:
        return "an empty folder"
    listed = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(4))
    return f"a folder with the files {listed}"
