"""The files in a run's folder that hold the answers of its teacher.

The logits are float32 [n, width] in the teacher's order. What its encoder has computed lies in a
file for each question that is mapped into memory, of which a batch reads its own rows, as float16,
which takes half of the room.
"""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence

import numpy as np
from absl import logging

from bert_glue_tf.core import quantities
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import reason, write_atomically
from bert_glue_tf.training.questions import Question
from bert_glue_tf.training.token_rows import TokenRows

# The files of the answers. The first one is written when the others are whole, and says of which
# teacher, texts and layers they are; each question has two more.
_ASKED, _LOGITS = "asked.json", "logits.npy"
Kept = tuple[np.ndarray, list[TokenRows]]
_BLOCK = 1 << 20  # Bytes that are written at once.


def find(folder: pathlib.Path, asked: str, questions: Sequence[Question]) -> Kept | None:
    """Return what an earlier process of the run has kept, as `read`.

    None where nothing is kept, it is not what is asked for, or it is damaged, which is logged.

    Args:
      folder: of the answers.
      asked: all that the answers depend on, as text.
      questions: what is asked for besides the logits.
    """
    file = folder / _ASKED
    try:
        if not file.is_file() or file.read_text(encoding="utf-8") != asked:
            return None
        return read(folder, questions)
    except (OSError, ValueError, EOFError) as error:  # EOFError: an empty file.
        logging.warning("%s: cannot be read (%s), so that the teacher is asked anew", folder, error)
        return None


def read(folder: pathlib.Path, questions: Sequence[Question]) -> Kept:
    """Return the kept logits, and the rows of each question.

    Raises:
      OSError: a file is not there, or cannot be read.
      ValueError: a file is damaged.
      EOFError: a file is empty.
    """
    logits = np.load(folder / _LOGITS)
    rows = [
        TokenRows(np.load(_rows(folder, one), mmap_mode="r"), np.load(_splits(folder, one)))
        for one in questions
    ]
    return logits, rows


def _rows(folder: pathlib.Path, question: Question) -> pathlib.Path:
    return folder / f"{question.name}.npy"


def _splits(folder: pathlib.Path, question: Question) -> pathlib.Path:
    return folder / f"{question.name}_splits.npy"


def begin(folder: pathlib.Path) -> None:
    """Make the folder of answers that are given anew, without what earlier ones have left.

    Raises:
      UserError: it cannot be written.
    """
    with _writing(folder):
        folder.mkdir(exist_ok=True)
        # The large ones too, whose room is needed for the new ones.
        for file in (folder / _ASKED, *folder.glob("*.npy")):
            file.unlink(missing_ok=True)


def room(folder: pathlib.Path, question: Question, splits: np.ndarray) -> TokenRows:
    """Return rows that are kept in a file and are to be filled, zeros up to then.

    Args:
      folder: of the answers.
      question: whose answers they are.
      splits: int64 [n + 1], as `TokenRows.row_splits`.

    Raises:
      UserError: there is no room for them, or they cannot be written.
    """
    with _writing(folder):
        np.save(_splits(folder, question), splits)
        return TokenRows(_zeros(folder, question, int(splits[-1])), splits)


def write(folder: pathlib.Path, logits: np.ndarray, rows: Sequence[TokenRows]) -> None:
    """Write the teacher's logits, and what is not written yet of the rows that `room` gave.

    Raises:
      UserError: they cannot be written.
    """
    with _writing(folder):
        content = io.BytesIO()
        np.save(content, logits)
        write_atomically(folder / _LOGITS, content.getvalue())
        for one in rows:
            assert isinstance(one.rows, np.memmap)
            one.rows.flush()


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


def _zeros(folder: pathlib.Path, question: Question, tokens: int) -> np.memmap:
    """Return the file of a question, float16 [tokens, ...] and all zeros.

    Raises:
      OSError: it cannot be written.
      UserError: there is no room for it.
    """
    shape = (tokens, *question.shape)
    size = int(np.prod(shape)) * np.dtype(np.float16).itemsize
    what = f"{question.title} for {tokens:,} tokens, {shape[-1]} numbers of 2 bytes each"
    logging.info("%s, take %s in %s until the run is finished", what, quantities.size(size), folder)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"{question.flag}: {what}, take {quantities.size(size)}, "
            f"and the disk of {folder} has {quantities.size(free)} left. Give {question.remedy}, "
            "fewer --train_examples, or a --workdir on another disk."
        )
    file = _rows(folder, question)
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
