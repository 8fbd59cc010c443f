"""Writes the files of a comparison: Markdown, CSV, figures, the page."""

from __future__ import annotations

import itertools
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.evaluation.defaults import MARGIN, UNPRUNED
from bert_glue_tf.reports import machine, page, plots, rows, summary, tables
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.verdicts import Comparison

PAGE = "report.html"


def write(
    folder: str | pathlib.Path,
    groups: Sequence[Group],
    differences: Sequence[Comparison],
    margin: float = MARGIN,
    against: str = UNPRUNED,
) -> pathlib.Path:
    """Write all files of a comparison and return the page's path.

    They are made from the records alone, so that an earlier comparison in the same folder is
    replaced and nothing is lost by it.

    Args:
      folder: of the files.
      groups: the models, seeds together.
      differences: of them.
      margin: the loss of score that a smaller model is worth, as in `verdicts.differences`.
      against: what the models are compared with, as there.

    Raises:
      UserError: the folder cannot be written.
    """
    folder = pathlib.Path(folder)
    shown = folder / PAGE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "comparison.md", _markdown(groups, differences, against))
        write_atomically(folder / "comparison.csv", tables.data_csv(machine.models(groups)))
        told = tables.data_csv(machine.differences(differences))
        write_atomically(folder / "differences.csv", told)
        for name, figure in _figures(groups):
            file = folder / f"{name}.png"
            if figure is None:
                file.unlink(missing_ok=True)  # That of an earlier comparison, which had it.
            else:
                plots.save_png(figure, file)
        write_atomically(shown, page.page(groups, differences, margin, against))
    except OSError as error:
        raise UserError(
            f"--output={folder}: cannot be written ({error.strerror}). "
            "Give a folder that you may write, on a disk with space left."
        ) from error
    return shown


def _markdown(groups: Sequence[Group], differences: Sequence[Comparison], against: str) -> str:
    models = [model for one in groups for model in one.models]
    shown = rows.groups(groups)
    return "\n".join(
        [
            "# Models\n",
            *(f"{line}\n" for line in (*shown.notes, *summary.notes(models, against))),
            tables.markdown(shown),
            "# Differences\n",
            *(f"{line}\n" for line in summary.legend(differences)),
            tables.markdown(rows.differences(differences)),
            "# Every number\n",
            tables.markdown(rows.models(models)),
        ]
    )


def _figures(groups: Sequence[Group]) -> Iterator[tuple[str, Any]]:
    """Yield name and figure: curves, size and latency of each subject; None where it has none."""
    by_subject = sorted(groups, key=lambda one: one.subject)
    for subject, some in itertools.groupby(by_subject, key=lambda one: one.subject):
        together = list(some)
        name = re.sub(r"[/\0]", "_", "_".join(subject))
        for kind, figure in (
            ("curves", plots.training_curves(together)),
            ("size", plots.score_against(together, "size")),
            ("latency", plots.score_against(together, "latency")),
        ):
            yield f"{name}_{kind}", figure
