"""The folder of a labelling: the parts with their labels, and what is known of each.

<part>                         a part with its labels, as it is called in the input
.labelling/settings.json       the model, by its digest, and the other settings
.labelling/parts/<part>.json   what was done to a part, or why it could not be done
.labelling/shares/             the parts that one process does, and what it has printed
.labelling/lock                held by the command that is at work here
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, Self

from bert_glue_tf.core import locks, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import is_half_written, reason, write_atomically
from bert_glue_tf.labelling.plan import LabelSettings, Part

_HIDDEN = ".labelling"


@dataclasses.dataclass(frozen=True)
class State:
    """Holds what is known of a part.

    Attributes:
      source: size and time of the source when it was read.
      message: why it could not be labelled; empty where it is.
      size: bytes of the file with its labels.
      rows, empty, seconds, labels: as `labelled.Labelled`.
    """

    source: tuple[int, int]
    message: str = ""
    size: int = 0
    rows: int = 0
    empty: int = 0
    seconds: float = 0.0
    labels: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class LabelFolder:
    """The folder of a labelling, whether it is there or not.

    Attributes:
      path: absolute, of the folder.
    """

    path: pathlib.Path

    @classmethod
    @contextlib.contextmanager
    def claimed(
        cls, path: pathlib.Path, settings: LabelSettings, parts: Sequence[Part]
    ) -> Iterator[Self]:
        """Claim a folder for one labelling and for this block.

        Raises:
          UserError: it cannot be written, another process is at work in it, it holds something
            else or the labels of another model, or it holds a part of the input. Nothing in it is
            touched then.
        """
        folder = cls(pathlib.Path(os.path.abspath(path)))
        if settings.root and folder.path == pathlib.Path(settings.root):
            raise UserError(
                f"--output={path}: the folder of the input, whose files would be overwritten. "
                "Good: another folder."
            )
        with contextlib.ExitStack() as stack:
            try:
                folder._judge(settings)
                folder.shares.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locks.holding(folder.path / _HIDDEN / "lock"))
                folder._judge(settings)  # Before the lock was held, another one may have begun.
                text = json.dumps({**settings.to_json(), "model": settings.model}, indent=2)
                write_atomically(folder._settings, text + "\n")
                folder._remove_halves(parts)
            except BlockingIOError:
                raise UserError(
                    f"--output={path}: another labelling is at work in this folder. Wait until it "
                    "has ended, or give another --output."
                ) from None
            except OSError as error:
                raise UserError(
                    f"--output={path}: cannot be written ({reason(error)}). Give a folder that you "
                    "may write, on a disk with space left."
                ) from error
            yield folder

    @property
    def shares(self) -> pathlib.Path:
        """Return the folder of what each process does."""
        return self.path / _HIDDEN / "shares"

    @property
    def _settings(self) -> pathlib.Path:
        return self.path / _HIDDEN / "settings.json"

    def target(self, part: Part) -> pathlib.Path:
        """Return the file with a part's labels."""
        return self.path / part.name

    def _state_file(self, part: Part) -> pathlib.Path:
        return self.path / _HIDDEN / "parts" / f"{part.name}.json"

    def state(self, part: Part) -> State | None:
        """Return what is known of a part; None where it is still to be labelled.

        One whose file is gone or was cut short is to be labelled again.
        """
        found = self._stored(part)
        if found is None or found.message:
            return found
        try:
            is_whole = self.target(part).stat().st_size == found.size
        except OSError:
            return None
        if not is_whole:
            return None
        if found.source != (part.size, part.changed):
            return State(
                found.source,
                f"{part.source}: was changed after it was labelled. Remove {self.target(part)}, "
                "and the same command labels it anew.",
            )
        return found

    def _stored(self, part: Part) -> State | None:
        """Return what was written of a part; None where nothing was, or it cannot be read."""
        try:
            values = strict_json.loads(self._state_file(part).read_text(encoding="utf-8"))
            return State(**{**values, "source": tuple(values["source"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def keep(self, part: Part, state: State) -> None:
        """Write what is known of a part.

        Raises:
          OSError: it cannot be written.
        """
        write_atomically(self._state_file(part), json.dumps(dataclasses.asdict(state)) + "\n")

    def forget_failures(self, parts: Sequence[Part]) -> None:
        """Remove what is known of parts that could not be labelled: they are tried again."""
        for part in parts:
            found = self._stored(part)
            if found is not None and found.message:
                self._state_file(part).unlink(missing_ok=True)

    def _judge(self, settings: LabelSettings) -> None:
        """Refuse a folder that holds anything but this labelling."""
        if not self.path.exists():
            return
        try:
            text = self._settings.read_text(encoding="utf-8")
        except FileNotFoundError:
            foreign = sorted(name for name in os.listdir(self.path) if name != _HIDDEN)
            if foreign:
                raise UserError(
                    f"--output={self.path}: holds files, but no labelling ({foreign[0]!r} is not "
                    "of one). Give an empty or a new folder."
                ) from None
            return
        earlier = _values(self._settings, text)
        for name, value in settings.to_json().items():
            if earlier.get(name) != value:
                raise UserError(self._other(name, earlier, settings))

    def _other(self, name: str, earlier: dict[str, Any], settings: LabelSettings) -> str:
        """Return the message that the folder holds labels made in another way."""
        if name == "digest":
            what = f"the labels of another model ({earlier.get('model')})"
        elif name == "root":
            what = f"the labels of another input, below {earlier.get('root')}"
        else:
            what = f"labels with {name} {earlier.get(name)!r}, and not {settings.to_json()[name]!r}"
        return f"--output={self.path}: holds {what}. Give another folder; nothing is touched here."

    def _remove_halves(self, parts: Sequence[Part]) -> None:
        """Remove what killed processes have left of parts; the lock has to be held."""
        names = {(target.parent, target.name) for target in map(self.target, parts)}
        for folder in {folder for folder, _ in names}:
            for half in folder.glob(".*"):
                whole = half.name[1:].rpartition(".")[0]
                if (folder, whole) in names and is_half_written(half.name, whole):
                    half.unlink(missing_ok=True)


def _values(path: pathlib.Path, text: str) -> dict[str, Any]:
    try:
        return dict(strict_json.loads(text))
    except (ValueError, TypeError):
        raise UserError(
            f"{path}: not the settings of a labelling. Give another --output."
        ) from None
