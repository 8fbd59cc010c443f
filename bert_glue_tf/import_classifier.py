"""Command: a classifier that is fine-tuned already -> a finished run, scored and not trained.

python -m bert_glue_tf.import_classifier --model=FOLDER --task=mnli --data=/folder/with/glue

FOLDER is that of a Hugging Face BertForSequenceClassification, DistilBertForSequenceClassification
or ElectraForSequenceClassification. From there it is exported and compared like any run, and pruned
by `train --start=RUN`.
"""

from __future__ import annotations

from absl import flags

from bert_glue_tf.core import cli, layout
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs import command_line, suggestions
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.training import launch as launches
from bert_glue_tf.training.launch import Launch

_MODEL = flags.DEFINE_string(
    "model",
    "",
    "Folder of a Hugging Face BertForSequenceClassification, or of that of DistilBert or Electra.",
)
_LABELS = flags.DEFINE_list(
    "labels",
    [],
    "The task's labels in the order of the classifier's outputs, separated by commas, where the "
    "folder does not name them (LABEL_0); by default id2label of its config.json.",
)
flags.DEFINE_string("workdir", "", "The run's folder; by default runs/ and a name.")
command_line.define_settings(
    {
        name: value
        for name, value in ExperimentConfig.defaults().items()
        if name in launches.UNTRAINED
    }
)
FLAGS = flags.FLAGS


def main() -> None:
    if not _MODEL.value:
        raise UserError("--model is missing. Give the folder of a Hugging Face classifier.")
    settings = launches.untrained(
        cli.path("model", _MODEL.value), command_line.settings_of(FLAGS, launches.UNTRAINED)
    )
    launch = Launch(settings, command_line.workdir(FLAGS, settings))
    result = launch.finished()
    if result is None:
        head = launch.foreign_head(_LABELS.value)
        with suggestions.suggesting_local_command(settings, launch.source):
            examples = launch.check()
        result = launch.take_over(head, _LABELS.value, examples)

    from bert_glue_tf.reports import finished

    finished.show(result, launch.folder)
    start = launch.folder.path
    layout.say("This prunes it:\n" + layout.command("train", start=start, prune="true"))


def command() -> None:
    """Run the command `bert-glue-import-classifier`."""
    cli.run(main, __doc__)


if __name__ == "__main__":
    command()
