"""The files of a cost table while it is made, kept so that a killed measurement goes on.

They lie in the cache beside the table until that is written: all are timed in one session, which
is short beside their making.
"""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator

from absl import logging

from bert_glue_tf.core import locks
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import reason, write_atomically
from bert_glue_tf.search.costs import Key
from bert_glue_tf.search.design import Small

_LOCK = ".lock"


class SmallFiles:
    """The files of one recipe's table; `opened` makes it.

    Args:
      folder: that they lie in.
      refusal: gives the error of a folder that cannot be written.
    """

    def __init__(self, folder: pathlib.Path, refusal: Callable[[OSError], UserError]) -> None:
        self._folder, self._refusal = folder, refusal

    @classmethod
    @contextlib.contextmanager
    def opened(cls, cache: pathlib.Path, key: Key) -> Iterator[SmallFiles]:
        """Yield the files of a table, those of an earlier process among them.

        While another process makes the same table, this one has files of its own, which are gone
        in the end.

        Args:
          cache: folder of the tables.
          key: of the table.

        Raises:
          UserError: the cache cannot be written.
        """
        folder = cache / f"{pathlib.PurePath(key.file_name).stem}.making"
        with contextlib.ExitStack() as stack:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locks.holding(folder / _LOCK))
            except BlockingIOError:
                logging.info("%s: another process is measuring the same; so does this one", folder)
                folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            except OSError as error:
                raise unwritable(cache, error) from None
            yield cls(folder, lambda error: unwritable(cache, error))

    def path(self, network: Small) -> pathlib.Path:
        """Return the path of a network's file, which may not be there yet."""
        digits = hashlib.sha256(repr((network.widths, network.pieces)).encode()).hexdigest()[:16]
        return self._folder / f"{digits}.tflite"

    def has(self, network: Small) -> bool:
        """Tell if a network's file is there; it is whole then."""
        return self.path(network).is_file()

    def write(self, network: Small, content: bytes) -> None:
        """Write a network's file as a whole.

        Raises:
          UserError: it cannot be written.
        """
        try:
            write_atomically(self.path(network), content)
        except OSError as error:
            raise self._refusal(error) from None

    def remove(self) -> None:
        """Delete them: the table has what they have told."""
        shutil.rmtree(self._folder, ignore_errors=True)


def unwritable(cache: pathlib.Path, error: OSError) -> UserError:
    """Return the error of a cache that cannot be written."""
    return UserError(
        f"{cache}: cannot be written ({reason(error)}). Set BERT_GLUE_TF_CACHE to a folder of your "
        "own."
    )
