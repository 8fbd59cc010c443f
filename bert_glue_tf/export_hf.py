"""Command: a finished run -> a folder that Hugging Face's transformers loads.

python -m bert_glue_tf.export_hf --run=runs/demo

The folder has the weights (model.safetensors), the tokenizer, config.json and a model card. A run
of which heads or neurons were cut out cannot be said in that form, and is refused.
"""

from __future__ import annotations

from absl import flags

from bert_glue_tf.core import cli, layout
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import hugging_face

_RUN = flags.DEFINE_string("run", "", "Folder of a finished run of the train command.")
_OUTPUT = flags.DEFINE_string(
    "output", "", f"Folder to write; by default {hugging_face.FOLDER}/ in the run."
)


def main() -> None:
    if not _RUN.value:
        raise UserError("--run is missing. Give the folder of a finished run.")
    folder = hugging_face.export(
        cli.path("run", _RUN.value), cli.path("output", _OUTPUT.value) if _OUTPUT.value else None
    )
    layout.say(f"{folder}: config.json, {hugging_face.WEIGHTS}, the tokenizer and README.md.")
    layout.say("With transformers: AutoModelForSequenceClassification.from_pretrained(folder)")


def command() -> None:
    """Run the command `bert-glue-export-hf`."""
    cli.run(main, __doc__)


if __name__ == "__main__":
    command()
