"""history.csv: loss and scores of a run's training and validation, a row an epoch."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Mapping, Sequence

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically

_EPOCHS = 10**6  # More than any run has.


def write_history(path: pathlib.Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write the rows as a whole; those that lack a column of another one have it empty."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue())


def read_history(path: pathlib.Path) -> list[dict[str, str]]:
    """Return the rows of a run's history.csv, an epoch each; empty if there is no such file.

    Raises:
      UserError: it cannot be read, or holds something else than numbers.
    """
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            if not 0 <= int(row["epoch"]) <= _EPOCHS:
                raise ValueError(f"epoch {row['epoch']}")
            for value in row.values():
                float(value or "nan")  # A row that lacks a column of another one.
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: not the history of a run ({error!r}).") from None
    return rows
