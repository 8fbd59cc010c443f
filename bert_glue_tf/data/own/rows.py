"""The rows of one file, as the readers of all formats return them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from bert_glue_tf.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of one file.

    Attributes:
      path: the file's name in messages.
      columns: name -> n values.
      numbers: of the line that each of the n rows begins on, or of the row itself.
      are_lines: whether `numbers` count lines; else rows, as a parquet file has no lines.
      class_names: column of integers -> the names of its classes.
      sha256: of the file's bytes.
    """

    path: str
    columns: Mapping[str, Sequence[Any]]
    numbers: Sequence[int]
    are_lines: bool = True
    class_names: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    sha256: str = ""

    def __len__(self) -> int:
        return len(self.numbers)

    def place(self, row: int) -> str:
        """Return where a row stands, for messages."""
        number = self.numbers[row]
        return f"{self.path}:{number}" if self.are_lines else f"{self.path}, row {number}"


def decode(path: str, raw: bytes) -> str:
    """Return the text of a file in UTF-8, with or without a byte-order mark.

    Raises:
      UserError: it is not UTF-8; the message says where, and which encoding it looks like.
    """
    try:
        return raw.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError:
        pass
    for number, line in enumerate(raw.split(b"\n"), start=1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            place, byte = f"{path}:{number}", line[error.start]
            raise UserError(
                f"{place}: not UTF-8: byte {error.start + 1} of the line is 0x{byte:02x}"
                f"{_looks_like(raw)}. Good: the file saved as UTF-8."
            ) from None
    raise AssertionError("bytes that are not UTF-8 have no line that is not")


def _looks_like(raw: bytes) -> str:
    """Return a clause that names the encoding that bytes look like; empty if none does."""
    import charset_normalizer  # Here, since almost no file needs it.

    best = charset_normalizer.from_bytes(raw[:100_000]).best()
    return "" if best is None else f"; the file looks like {best.encoding.replace('_', '-')}"
