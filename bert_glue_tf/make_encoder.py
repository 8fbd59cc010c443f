"""Command: word vectors -> the folder of an encoder that nobody has trained, for --encoder.

python -m bert_glue_tf.make_encoder --design=conv4 --vectors=glove.6B.300d.txt --output=my_conv4

The network is a CNN over the vectors, which stay frozen; --design says which (docs/cnn.md). Its
convolutions begin with weights that each run draws by its --seed. de_cnn also reads vectors of the
domain, which are learned from the training texts of --task in --data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from bert_glue_tf.core import cli, layout
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import word_vectors
from bert_glue_tf.models import families

if TYPE_CHECKING:
    import numpy as np

_DESIGNS = {design: name for name in families.names() for design in families.get(name).designs}
_DESIGN = flags.DEFINE_enum("design", None, list(_DESIGNS), "Network over the word vectors.")
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
    if output.exists():
        raise UserError(f"--output={output}: is there already. Give a new folder.")
    from bert_glue_tf.data import splitting

    family, design = families.get(_DESIGNS[_DESIGN.value]), _DESIGN.value
    texts = _texts()
    words, general = _general(set().union(*map(splitting.candidates, texts)))
    tables = {"general": general}
    if texts:
        vocabulary = set(words)
        sentences = [splitting.split(text, vocabulary) for text in texts]
        known = [word for word, row in zip(words, general, strict=True) if row.any()]
        counted = word_vectors.coverage(sentences, known)
        share = counted["known"] / max(counted["all"], 1)
        layout.say(f"{share:.1%} of the words of the training texts have a vector.")
        if "domain" in family.designs[design]:
            tables["domain"] = word_vectors.learned(
                sentences, words, epochs=_DOMAIN_EPOCHS.value, seed=_SEED.value
            )
    about = {"licence": _LICENCE.value, "source": _VECTORS.value.replace("\\", "/").split("/")[-1]}
    family.write_untrained(output, design, words, tables, about)
    layout.say(f"{output}: {design} over {len(words):,} words. This trains it:")
    layout.say(layout.command("train", encoder=output))


def _texts() -> list[str]:
    """Return the domain's training texts; none where no domain is named."""
    if not (_TASK.value or _DATA.value):
        return []
    from bert_glue_tf.data import readers
    from bert_glue_tf.data.settings import DataSettings

    given = {"task": _TASK.value, "data": _DATA.value}
    settings = DataSettings(**{name: value for name, value in given.items() if value})
    task = readers.task_of(settings)
    examples = readers.load_for_training(task, settings.data, 0)["train"]
    return [text for field in examples.texts for text in field]


def _general(wanted: set[str]) -> tuple[list[str], np.ndarray]:
    """Return the words with a general vector, and the vectors; `wanted` are taken for sure."""
    path = cli.path("vectors", _VECTORS.value)
    if path.suffix == ".npz":
        if not _WORDS.value:
            raise UserError(f"--vectors={path}: --words is missing, which names its rows.")
        found = word_vectors.of_array(path, cli.path("words", _WORDS.value), _TABLE.value)
    else:
        found = word_vectors.of_text(path, wanted, _MOST_WORDS.value)
    return word_vectors.without_forms(*found)


def command() -> None:
    """Run the command `bert-glue-make-encoder`."""
    cli.run(main, __doc__)


if __name__ == "__main__":
    command()
