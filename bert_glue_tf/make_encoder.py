"""Command: word vectors -> the folder of an encoder that nobody has trained, for --encoder.

python -m bert_glue_tf.make_encoder --design=conv4 --vectors=glove.6B.300d.txt --output=my_conv4

The network is a CNN over the vectors, which stay frozen; --design says which (docs/cnn.md). Its
convolutions begin with weights that each run draws by its --seed. de_cnn also reads vectors of the
domain, which are learned from the training texts of --task in --data.
"""

from __future__ import annotations

from absl import flags

from bert_glue_tf.core import cli, layout
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import word_vectors
from bert_glue_tf.models import vector_encoders

_DESIGN = flags.DEFINE_enum(
    "design", None, list(vector_encoders.DESIGNS), "Network over the word vectors."
)
_VECTORS = flags.DEFINE_string(
    "vectors",
    "",
    "File of general word vectors: text with a word and its numbers a line (GloVe, fastText), or "
    "an .npz file, whose rows --words names.",
)
_MOST_WORDS = flags.DEFINE_integer(
    "most_words",
    word_vectors.MOST_WORDS,
    "Of a text file: so many words from its beginning, where the frequent ones stand, and those of "
    "the training texts.",
    lower_bound=0,
)
_WORDS = flags.DEFINE_string("words", "", "Of an .npz file: a JSON object, word -> its row.")
_TABLE = flags.DEFINE_string("table", "", "Of an .npz file: which of its arrays.")
_TASK = flags.DEFINE_string("task", "", "Task whose training texts are the domain.")
_DATA = flags.DEFINE_string("data", "", "Where they are, as --data of train.")
_DOMAIN_EPOCHS = flags.DEFINE_integer(
    "domain_epochs",
    word_vectors.DOMAIN_EPOCHS,
    "Passes over the training texts, for domain vectors.",
    lower_bound=1,
)
_SEED = flags.DEFINE_integer("seed", 1, "Seed of the domain vectors.", lower_bound=0)
_LICENCE = flags.DEFINE_string("licence", "", "Licence of the vectors, for the records.")
_OUTPUT = flags.DEFINE_string("output", "", "Folder to write; it must not be there yet.")


def main() -> None:
    for name, flag in (("design", _DESIGN), ("vectors", _VECTORS), ("output", _OUTPUT)):
        if not flag.value:
            raise UserError(f"--{name} is missing. See --help.")
    output = cli.path("output", _OUTPUT.value)
    made = vector_encoders.VectorEncoder(
        design=_DESIGN.value,
        vectors=cli.path("vectors", _VECTORS.value),
        words=cli.path("words", _WORDS.value) if _WORDS.value else None,
        table=_TABLE.value,
        most_words=_MOST_WORDS.value,
        task=_TASK.value,
        data=_DATA.value,
        domain_epochs=_DOMAIN_EPOCHS.value,
        seed=_SEED.value,
        licence=_LICENCE.value,
    )
    for line in made.write(output):
        layout.say(line)
    layout.say("This trains it:")
    layout.say(layout.command("train", encoder=output))


def command() -> None:
    """Run the command `bert-glue-make-encoder`."""
    cli.run(main, __doc__)


if __name__ == "__main__":
    command()
