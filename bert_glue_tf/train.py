"""Command: fine-tune BERT on a GLUE task, prune it, and report it.

python -m bert_glue_tf.train --task=cola --prune
"""

from __future__ import annotations

from absl import flags

from bert_glue_tf.core import cli, layout
from bert_glue_tf.runs import command_line, suggestions
from bert_glue_tf.training.launch import Launch

command_line.define_flags()
FLAGS = flags.FLAGS
_launched: list[Launch] = []  # The run of this process.


def main() -> None:
    settings = command_line.read_flags(FLAGS)
    launch = Launch(settings, command_line.workdir(FLAGS, settings))
    _launched.append(launch)
    result = launch.finished()
    if result is None:
        launch.join()
        with suggestions.suggesting_local_command(settings, launch.source):
            examples = launch.check()
        result = launch.train(examples, FLAGS.tpu)

    if launch.workers is not None and not launch.is_chief:
        layout.say(f"This was {launch.workers.title}. The chief's folder has the results.")
        return
    from bert_glue_tf.reports import finished

    finished.show(result, launch.folder)
    if launch.folder.has_others_beside:
        layout.say(
            "This compares it with the runs beside it:\n"
            + layout.command("compare", runs=launch.folder.path.parent / "*")
        )


def _goes_on() -> str:
    begun = any(launch.can_go_on for launch in _launched)
    return "from the last state that was saved" if begun else ""


def command() -> None:
    """Run the command `bert-glue-train`."""
    cli.run(main, __doc__, _goes_on)


if __name__ == "__main__":
    command()
