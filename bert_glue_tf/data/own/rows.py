"""The rows of one file, as the readers of all formats return them."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from bert_glue_tf.core.errors import UserError

# What people's files are in, if not in UTF-8; rare ones would be found in any few bytes.
_ENCODINGS = [
    *("utf_16", "utf_16_le", "utf_16_be", "utf_32"),
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r", "mac_roman"),
    *("gb18030", "big5", "cp932", "euc_jp", "cp949"),
]


# How the bytes of files begin that hold no text, and what they are.
BINARY = (
    (b"PK\x03\x04", "a zip archive or a spreadsheet", "the table in it, saved as .csv or .jsonl"),
    (b"\x1f\x8b", "packed by gzip", "its name with .gz behind, or the file unpacked"),
)


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


def refuse_twice(path: str, names: Sequence[str]) -> None:
    """Raise UserError where two columns of a file have one name."""
    for name, count in collections.Counter(names).items():
        if count > 1:
            raise UserError(
                f"{path}: two columns are named {name!r}. Good: a name of its own for each."
            )


def decode(path: str, raw: bytes) -> str:
    """Return the text of a file in UTF-8, with or without a byte-order mark.

    Raises:
      UserError: it is not UTF-8; the message says where, and which encoding it looks like; or it
        is no text at all.
    """
    for begin, what, good in BINARY:
        if raw.startswith(begin):
            raise UserError(f"{path}: {what}, and no text. Good: {good}.")
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
    """Return a clause that names the encodings that bytes look like; empty if there is none."""
    import charset_normalizer  # Here, since almost no file needs it.

    begin = raw[:100_000]
    found = [
        match.encoding
        for match in charset_normalizer.from_bytes(begin, cp_isolation=_ENCODINGS)
        # Two letters of one byte each are taken for one of two bytes; text in two bytes a letter
        # begins with a byte-order mark, or has zeros for the letters of ASCII.
        if b"\0" in begin or match.bom or not match.encoding.startswith("utf_16")
    ][:1]
    with contextlib.suppress(UnicodeDecodeError):
        # The most usual by far, and it shares most of its letters with its neighbours.
        if not any(name.startswith("utf") for name in found) and begin.decode("cp1252"):
            found = list(dict.fromkeys(["cp1252", *found]))
    names = " or ".join(name.replace("_", "-") for name in found)
    return f"; the file looks like {names}" if names else ""
