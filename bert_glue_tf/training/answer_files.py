"""The files in a run's folder that hold the answers of its teacher.

The logits are float32 [n, width] in the teacher's order. The states of layers lie in a file that is
mapped into memory, of which a batch reads its own rows, as float16, which takes half of the room.
"""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import shutil
from collections.abc import Iterator

import numpy as np
from absl import logging

from bert_glue_tf.core import quantities
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import reason, write_atomically
from bert_glue_tf.training.teacher_states import TokenStates

# The files of the answers. The first one is written when the others are whole, and says of which
# teacher, texts and layers they are.
_ASKED, _LOGITS, _STATES, _SPLITS = "asked.json", "logits.npy", "states.npy", "row_splits.npy"
_BLOCK = 1 << 20  # Bytes that are written at once.


def find(
    folder: pathlib.Path, asked: str, has_states: bool
) -> tuple[np.ndarray, TokenStates | None] | None:
    """Return what an earlier process of the run has kept, as `read`.

    None where nothing is kept, it is not what is asked for, or it is damaged, which is logged.

    Args:
      folder: of the answers.
      asked: all that the answers depend on, as text.
      has_states: whether states of layers are asked for.
    """
    file = folder / _ASKED
    try:
        if not file.is_file() or file.read_text(encoding="utf-8") != asked:
            return None
        return read(folder, has_states)
    except (OSError, ValueError, EOFError) as error:  # EOFError: an empty file.
        logging.warning("%s: cannot be read (%s), so that the teacher is asked anew", folder, error)
        return None


def read(folder: pathlib.Path, has_states: bool) -> tuple[np.ndarray, TokenStates | None]:
    """Return the kept logits, and the states where there are some.

    Raises:
      OSError: a file is not there, or cannot be read.
      ValueError: a file is damaged.
      EOFError: a file is empty.
    """
    logits = np.load(folder / _LOGITS)
    if not has_states:
        return logits, None
    return logits, TokenStates(np.load(folder / _STATES, mmap_mode="r"), np.load(folder / _SPLITS))


def begin(folder: pathlib.Path) -> None:
    """Make the folder of answers that are given anew, without what earlier ones have left.

    Raises:
      UserError: it cannot be written.
    """
    with _writing(folder):
        folder.mkdir(exist_ok=True)
        # The states too, whose room is needed for the new ones.
        for name in (_ASKED, _STATES):
            (folder / name).unlink(missing_ok=True)


def room(
    folder: pathlib.Path, layers: str, splits: np.ndarray, shape: tuple[int, int, int]
) -> TokenStates:
    """Return states that are kept in a file and are to be filled, zeros up to then.

    Args:
      folder: of the answers.
      layers: value of --distill_layers, for messages.
      splits: int64 [n + 1], as `TokenStates.row_splits`.
      shape: [tokens, layers, hidden] of all texts together.

    Raises:
      UserError: there is no room for them, or they cannot be written.
    """
    with _writing(folder):
        np.save(folder / _SPLITS, splits)
        return TokenStates(_zeros(folder, layers, shape), splits)


def write(folder: pathlib.Path, logits: np.ndarray, states: TokenStates | None) -> None:
    """Write the teacher's logits, and what is not written yet of the states that `room` gave.

    Raises:
      UserError: they cannot be written.
    """
    with _writing(folder):
        content = io.BytesIO()
        np.save(content, logits)
        write_atomically(folder / _LOGITS, content.getvalue())
        if states is not None:
            assert isinstance(states.rows, np.memmap)
            states.rows.flush()


def finish(folder: pathlib.Path, asked: str) -> None:
    """Write what was asked, with which the answers are whole; for `asked` see `find`.

    Raises:
      UserError: it cannot be written.
    """
    with _writing(folder):
        write_atomically(folder / _ASKED, asked)


@contextlib.contextmanager
def _writing(folder: pathlib.Path) -> Iterator[None]:
    """Turn an error of the file system into a message.

    Raises:
      UserError: something cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder}: the teacher's answers cannot be written ({reason(error)}). Make room, or "
            "give another --workdir."
        ) from error


def _zeros(folder: pathlib.Path, flag_value: str, shape: tuple[int, int, int]) -> np.memmap:
    """Return the file of the states, float16 of a shape [tokens, layers, hidden], all zeros.

    Raises:
      OSError: it cannot be written.
      UserError: there is no room for it.
    """
    size = int(np.prod(shape)) * np.dtype(np.float16).itemsize
    tokens, layers, width = shape
    what = f"the states of {layers} layer(s) for {tokens:,} tokens, {width} numbers of 2 bytes each"
    logging.info("%s, take %s in %s until the run is finished", what, quantities.size(size), folder)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"--distill_layers={flag_value}: {what}, take {quantities.size(size)}, "
            f"and the disk of {folder} has {quantities.size(free)} left. Give fewer layers, "
            "--distill_tokens=first, fewer --train_examples, or a --workdir on another disk."
        )
    file = folder / _STATES
    try:
        made = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
        # Only mapped, a file has holes instead of room, and a full disk would end the process.
        with file.open("r+b") as written:
            written.seek(made.offset)
            for start in range(0, size, _BLOCK):
                written.write(bytes(min(_BLOCK, size - start)))
            written.flush()
            os.fsync(written.fileno())
    except OSError:
        file.unlink(missing_ok=True)  # Else the disk would stay full.
        raise
    return made
