"""Command: result records -> tables, plots and one HTML page; nothing is measured again.

python -m bert_glue_tf.compare --runs='runs/*'
"""

from __future__ import annotations

import glob
import pathlib

from absl import flags

from bert_glue_tf.core import cli, layout
from bert_glue_tf.core.errors import UserError

_RUNS = flags.DEFINE_multi_string(
    "runs", ["runs/*"], "Folders of runs, patterns allowed (in quotes); may be given repeatedly"
)
_MARGIN = flags.DEFINE_float(
    "margin", 0.01, "Scores that differ by less are called equal: 0.01 is one point."
)
_OUTPUT = flags.DEFINE_string("output", "comparison", "Folder of the tables, plots and the page.")


def main() -> None:
    folders = [folder for pattern in _RUNS.value for folder in _folders(pattern)]
    if not folders:
        raise UserError(
            f"--runs={' '.join(_RUNS.value)}: no such folder. Give folders of the train command, "
            "for example --runs='runs/*' (in quotes)."
        )
    margin = _margin()
    from bert_glue_tf.reports import files, groups, reading, rows, summary, terminal, verdicts

    models = reading.read(folders)
    found = groups.group(models)
    differences = verdicts.differences(models, margin)
    terminal.print_rows("Models", rows.groups(found))
    terminal.print_rows("Differences", rows.differences(differences))
    for line in (*summary.tests(differences), *summary.notes(models)):
        layout.say(line)
    page = files.write(cli.path("output", _OUTPUT.value), found, differences)
    layout.say(f"Tables, plots and the page are in {page.parent}; open {page}.")


def _margin() -> float:
    if not 0.0 < _MARGIN.value < 1.0:
        raise UserError(
            f"--margin={_MARGIN.value}: give a difference of scores between 0 and 1, as in 0.01."
        )
    return float(_MARGIN.value)


def _folders(pattern: str) -> list[pathlib.Path]:
    path = cli.path("runs", pattern)
    # A name may hold brackets without being meant as a pattern.
    return [path] if path.exists() else [pathlib.Path(name) for name in glob.glob(str(path))]


def command() -> None:
    """Run the command `bert-glue-compare`."""
    cli.run(main, __doc__)


if __name__ == "__main__":
    command()
