"""Writes a comparison: Markdown, CSV, plots, the page."""

from __future__ import annotations

import itertools
import pathlib
import re
from collections.abc import Sequence

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.reports import comparison, page, plots
from bert_glue_tf.reports.comparison import Comparison, Group

PAGE = "report.html"


def write(
    folder: pathlib.Path, groups: Sequence[Group], differences: Sequence[Comparison]
) -> pathlib.Path:
    """Writes all files of a comparison and returns the page's path.

    They are made from the records alone, so that an earlier comparison in the same folder is
    replaced and nothing is lost by it.

    Raises:
      UserError: the folder cannot be written.
    """
    models = [model for one in groups for model in one.models]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = "\n".join(
            [
                "# Models\n",
                *(f"{line}\n" for line in comparison.notes(models)),
                comparison.markdown(comparison.group_rows(groups)),
                "# Differences\n",
                comparison.markdown(comparison.difference_rows(differences)),
                "# Every number\n",
                comparison.markdown(comparison.model_rows(models)),
            ]
        )
        write_atomically(folder / "comparison.md", text)
        write_atomically(folder / "comparison.csv", comparison.csv_text(models))
        figures = []
        for (task, source, encoder), some in itertools.groupby(
            sorted(groups, key=lambda one: one.subject), key=lambda one: one.subject
        ):
            together = list(some)
            name = re.sub(r"[/\0]", "_", f"{task}_{source}_{encoder}")
            for kind, figure in (
                ("curves", plots.training_curves(together)),
                ("size", plots.score_against(together, "size")),
                ("latency", plots.score_against(together, "latency")),
            ):
                if figure is not None:
                    figures.append(plots.svg(figure))
                    plots.save_png(figure, folder / f"{name}_{kind}.png")
        file = folder / PAGE
        write_atomically(file, page.page(groups, differences, figures))
    except OSError as error:
        raise UserError(
            f"--output={folder}: cannot be written ({error.strerror}). "
            "Give a folder that you may write, on a disk with space left."
        ) from error
    return file
