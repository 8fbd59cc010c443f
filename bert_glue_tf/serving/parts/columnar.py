"""Parts in Parquet: their row groups are read batch by batch, and written with two columns more."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.serving import tables
from bert_glue_tf.serving.classifier import Prediction
from bert_glue_tf.serving.parts import formats, streams
from bert_glue_tf.serving.parts.formats import Format, Piece

# Rows of a group that is written: a group is held in memory until it is whole.
_GROUP = 1 << 16
# Bytes of such rows: a group of long texts is written before it has as many rows.
_BYTES = 1 << 26


class Parquet(Format):
    """A .parquet file; its schema and the kinds of its columns are kept."""

    _writer: Any = None

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._waiting: list[Any] = []  # Batches of the group that is not written yet.

    def pieces(self, file: IO[bytes]) -> Iterator[Piece]:
        import pyarrow
        from pyarrow import parquet

        with tempfile.TemporaryFile() as unpacked:
            if streams.is_packed(self.path):  # Its end is read first.
                shutil.copyfileobj(file, unpacked)
                file = unpacked
            try:
                source = parquet.ParquetFile(file)
                columns = source.schema_arrow.names
                if len(set(columns)) < len(columns):
                    twice = next(name for name in columns if columns.count(name) > 1)
                    raise UserError(
                        f"{self.path}: two columns are named {twice!r}. Good: a name of its own "
                        "for each."
                    )
                names = self.choose(columns)
                self._schema = _extended(source.schema_arrow, self.added)
                for batch in source.iter_batches(formats.PIECE):
                    found = [batch.column(name).to_pylist() for name in names]
                    texts = [tuple(map(tables.text, row)) for row in zip(*found, strict=True)]
                    yield Piece(texts, batch)
            except (pyarrow.ArrowException, OSError, ValueError) as error:
                reason = str(error).splitlines()[0][:200].rstrip(".")
                raise UserError(
                    f"{self.path}: cut short or damaged ({reason}). Good: the whole file, copied "
                    "again."
                ) from None

    def write(self, file: IO[bytes], piece: Piece, labels: Sequence[Prediction]) -> None:
        import pyarrow

        answers = [
            pyarrow.array([one.label for one in labels], pyarrow.string()),
            pyarrow.array([one.score for one in labels], pyarrow.float32()),
        ]
        batch = pyarrow.RecordBatch.from_arrays(
            [*piece.rows.columns, *answers], schema=self._schema
        )
        self._waiting.append(batch)
        rows = sum(one.num_rows for one in self._waiting)
        if rows >= _GROUP or sum(one.nbytes for one in self._waiting) >= _BYTES:
            self._flush(file)

    def end(self, file: IO[bytes]) -> None:
        self._flush(file)
        self._writer.close()

    def _flush(self, file: IO[bytes]) -> None:
        import pyarrow
        from pyarrow import parquet

        if self._writer is None:
            self._writer = parquet.ParquetWriter(file, self._schema)
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._writer.write_table(pyarrow.Table.from_batches(waiting, self._schema))


def _extended(schema: Any, added: Sequence[str]) -> Any:
    """Return a schema with the columns of the labels behind its own."""
    import pyarrow

    label, score = added
    return schema.append(pyarrow.field(label, pyarrow.string())).append(
        pyarrow.field(score, pyarrow.float32())
    )
