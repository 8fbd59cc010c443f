"""Rows of .parquet and .arrow files, with the class names that Hugging Face's `datasets` writes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.own.rows import Rows, refuse_twice

if TYPE_CHECKING:
    import pyarrow


def parquet(path: str, raw: bytes) -> Rows:
    """Return the rows of a .parquet file.

    Raises:
      UserError: it is cut short or damaged, or two of its columns have one name.
    """

    def read() -> pyarrow.Table:
        from pyarrow import parquet as pq

        refuse_twice(path, pq.read_schema(io.BytesIO(raw)).names)
        return pq.read_table(io.BytesIO(raw))

    return _rows(path, read)


def arrow(path: str, raw: bytes) -> Rows:
    """Return the rows of an .arrow file, a stream as `datasets` writes it, or a file.

    Raises:
      UserError: it is cut short or damaged, or two of its columns have one name.
    """

    def read() -> pyarrow.Table:
        from pyarrow import ipc

        if raw.startswith(b"ARROW1"):
            return ipc.open_file(raw).read_all()
        return ipc.open_stream(raw).read_all()

    return _rows(path, read)


def _rows(path: str, read: Callable[[], pyarrow.Table]) -> Rows:
    import pyarrow  # Here, since a wrong flag is answered without it.

    try:
        table = read()
        refuse_twice(path, table.column_names)
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:200].rstrip(".")
        raise UserError(
            f"{path}: cut short or damaged ({reason}). Good: the whole file, copied again."
        ) from None
    numbers = range(1, table.num_rows + 1)
    return Rows(path, columns, numbers, False, _class_names(table.schema.metadata or {}))


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """Return the names of classes that the schema of `datasets` gives, by column."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            column: tuple(map(str, names))
            for column, feature in features.items()
            if (names := _names_of(feature))
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}  # Not written by `datasets`, or by a version that writes something else.


def _names_of(feature: Any) -> Any:
    """Return the class names of a feature: of `ClassLabel`, or of a list of it."""
    if isinstance(feature, list):
        return _names_of(feature[0])
    return feature.get("names") or (_names_of(feature["feature"]) if "feature" in feature else None)
