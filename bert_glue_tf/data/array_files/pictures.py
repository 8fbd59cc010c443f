"""Pictures in a folder for each class, or in a tar of such folders.

train/CLASS/... and validation/CLASS/... (also val, test), at whatever depth below CLASS; a folder
of classes alone is a training split, of which a part is kept for validation. Tiny-ImageNet's layout
is known: val/images with val_annotations.txt beside it, a line for each picture with its class.
"""

from __future__ import annotations

import io
import pathlib
import tarfile
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.array_files.table import ArrayTable, digest, no_split, read_bytes

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy.module("numpy")

_T = TypeVar("_T")
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
_SPLITS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
_ANNOTATIONS = "val_annotations.txt"
_MOST_PIXELS = 1 << 26  # Of one picture: beyond it a small file may unpack to gigabytes.


class Pictures:
    """The pictures of a folder or tar, with the class of each."""

    name = "pictures"

    def __init__(self, path: pathlib.Path) -> None:
        """Take a folder or a .tar, which is looked into when it is asked for something."""
        self.path = str(path)
        self._place = path
        self._found: Mapping[str, list[tuple[str, str]]] | None = None

    @classmethod
    def find(cls, folder: pathlib.Path) -> Pictures | None:
        """Return the pictures of a folder: in its one tar, or below it; None without any.

        Raises:
          UserError: there are several tars.
        """
        tars = sorted(one for one in folder.iterdir() if is_tar(one))
        if len(tars) > 1:
            raise UserError(
                f"--data={folder}: holds {len(tars)} tars ({tars[0].name}, {tars[1].name}, ...). "
                "Good: --data=FILE.tar."
            )
        if tars:
            return cls(tars[0])
        return cls(folder) if any(map(_is_picture, _below(folder))) else None

    def splits(self) -> Collection[str]:
        return self._listed().keys()

    def look(self) -> tuple[tuple[str, ...], tuple[int, ...]]:
        listed = self._listed()
        if "train" not in listed:
            raise no_split(self.path, "train", listed)
        name = listed["train"][0][0]
        ((_, raw),) = self._bytes([name])
        return self._classes(), decode(f"{self.path}: {name}", raw).shape

    def _classes(self) -> tuple[str, ...]:
        return tuple(sorted({label for rows in self._listed().values() for _, label in rows}))

    def read(self, split: str) -> ArrayTable:
        listed = self._listed()
        if split not in listed:
            raise no_split(self.path, split, listed)
        raw = dict(self._bytes([name for name, _ in listed[split]]))
        pictures = [decode(f"{self.path}: {name}", raw[name]) for name, _ in listed[split]]
        shapes = {one.shape for one in pictures}
        if len(shapes) > 1:
            first = pictures[0].shape
            other = next(place for place, one in enumerate(pictures) if one.shape != first)
            raise UserError(
                f"{self.path}: {listed[split][other][0]} has {_told(pictures[other])} pixels, and "
                f"{listed[split][0][0]} {_told(pictures[0])}. Good: pictures of one size."
            )
        return ArrayTable(
            np.stack(pictures),
            [label for _, label in listed[split]],
            self._classes(),
            digest(*(raw[name] for name, _ in listed[split])),
            self.path,
        )

    def _listed(self) -> Mapping[str, list[tuple[str, str]]]:
        """Return split -> name and class of each picture, sorted."""
        if self._found is None:
            names = sorted(self._names())
            labels = self._annotated(names)
            found: dict[str, list[tuple[str, str]]] = {}
            base = _common(names)
            for name in names:
                parts = pathlib.PurePosixPath(name).parts[base:]
                if not _is_picture(name) or len(parts) < 2:
                    continue
                split = _SPLITS.get(parts[0])
                if split is None:
                    found.setdefault("train", []).append((name, parts[0]))
                elif name in labels:
                    found.setdefault(split, []).append((name, labels[name]))
                elif len(parts) > 2:
                    found.setdefault(split, []).append((name, parts[1]))
            if not found:
                raise UserError(
                    f"{self.path}: holds no pictures in folders of classes. Good: "
                    "train/CLASS/NAME.jpg and validation/CLASS/NAME.jpg."
                )
            self._found = found
        return self._found

    def _annotated(self, names: list[str]) -> dict[str, str]:
        """Return picture -> class, as files beside them say it."""
        found = {}
        for place, raw in self._bytes([one for one in names if one.endswith(_ANNOTATIONS)]):
            folder = pathlib.PurePosixPath(place).parent
            for line in raw.decode("utf-8", "replace").splitlines():
                cells = line.split("\t")
                if len(cells) > 1:
                    found[str(folder / "images" / cells[0])] = cells[1]
        return found

    def _names(self) -> Iterator[str]:
        """Yield the names of the files."""
        if not is_tar(self._place):
            yield from (one.relative_to(self._place).as_posix() for one in _below(self._place))
            return
        yield from self._in_tar(lambda file: [one.name for one in file if one.isfile()])

    def _bytes(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield names and bytes of some files, a tar's in its order."""
        if not names:
            return
        if not is_tar(self._place):
            yield from ((name, read_bytes(self._place / name)) for name in names)
            return
        wanted = set(names)

        def read(file: tarfile.TarFile) -> list[tuple[str, bytes]]:
            found = []
            for one in file:
                if one.name in wanted and (content := file.extractfile(one)):
                    found.append((one.name, content.read()))
            return found

        yield from self._in_tar(read)

    def _in_tar(self, use: Callable[[tarfile.TarFile], list[_T]]) -> list[_T]:
        try:
            with tarfile.open(self._place) as file:
                return use(file)
        except (OSError, EOFError, tarfile.TarError) as error:
            reason = str(error).splitlines()[0].rstrip(":")
            raise UserError(
                f"{self.path}: damaged, or no tar ({reason}). Good: the file fetched again."
            ) from None


def is_tar(path: pathlib.Path) -> bool:
    """Tell from its name whether a file is a tar."""
    return path.name.endswith((".tar", ".tar.gz", ".tgz")) and path.is_file()


def decode(name: str, raw: bytes, is_grey: bool = False) -> np.ndarray:
    """Return a picture, uint8 [height, width, 3].

    Args:
      name: of the picture, which begins the message.
      raw: bytes of its file.
      is_grey: returns [height, width, 1] instead.

    Raises:
      UserError: it cannot be read as a picture.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(raw)) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} pixels are too many")
            found = np.asarray(picture.convert("L" if is_grey else "RGB"))
            return found[..., None] if is_grey else found
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(
            f"{name}: cannot be read as a picture ({type(error).__name__}). Good: a whole file "
            f"of the kind {', '.join(ENDINGS)}, or leave it out."
        ) from None


def _is_picture(path: pathlib.Path | str) -> bool:
    return str(path).lower().endswith(ENDINGS)


def _below(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    return (one for one in folder.rglob("*") if one.is_file() and not one.name.startswith("."))


def _common(names: list[str]) -> int:
    """Return how many folders all pictures lie in before a split or the classes begin."""
    parts = [pathlib.PurePosixPath(one).parts[:-1] for one in names if _is_picture(one)]
    found = 0
    while parts and all(len(one) > found for one in parts):
        first = parts[0][found]
        if first in _SPLITS or any(one[found] != first for one in parts):
            break
        found += 1
    return found


def _told(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"
