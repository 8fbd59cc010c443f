"""Command: a finished run -> what removing or rounding each part of its classifier costs.

python -m bert_glue_tf.sensitivity --run=runs/mrpc-minilm_l6-sample-none-seed1
"""

from __future__ import annotations

from absl import flags

from bert_glue_tf.analysis.defaults import EXAMPLES, RECIPES
from bert_glue_tf.analysis.launch import MARKDOWN, launch
from bert_glue_tf.analysis.record import FILE_NAME
from bert_glue_tf.core import cli, layout
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically

_RUN = flags.DEFINE_string("run", "", "Folder of a finished run of the train command.")
_EXAMPLES = flags.DEFINE_integer(
    "examples",
    EXAMPLES,
    "Texts of the training split that the parts are measured on: those that the run has held out, "
    "where there are some.",
)
_RECIPES = flags.DEFINE_list(
    "recipes",
    list(RECIPES),
    f"Grids of integers that weights are rounded to, separated by commas: {', '.join(RECIPES)}; "
    "empty for none.",
)
_EACH_HEAD = flags.DEFINE_bool(
    "each_head",
    True,
    "Measure each head too; else single heads have their estimates alone, which takes less time.",
)


def main() -> None:
    if not _RUN.value:
        raise UserError("--run is missing. Give the folder of a finished run.")
    path = cli.path("run", _RUN.value)
    found = launch(
        path,
        examples=_EXAMPLES.value,
        recipes=_RECIPES.value,
        each_head=_EACH_HEAD.value,
    )
    from bert_glue_tf.reports import sensitivity, terminal

    terminal.print_rows("Parts", sensitivity.parts(found))
    terminal.print_rows("Heads, removed", sensitivity.heads(found))
    for line in sensitivity.notes(found):
        layout.say(line)
    write_atomically(path / MARKDOWN, sensitivity.markdown(found))
    layout.say(
        f"All parts are in {path / MARKDOWN}, and every number in {path / FILE_NAME}. This draws "
        f"them:\n{layout.command('compare', runs=_RUN.value)}"
    )


def command() -> None:
    """Run the command `bert-glue-sensitivity`."""
    cli.run(main, __doc__, "where it stopped: what was measured is kept")


if __name__ == "__main__":
    command()
