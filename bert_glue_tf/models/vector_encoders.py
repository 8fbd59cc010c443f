"""Encoders over word vectors that nobody has trained: from the files of vectors to a folder."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import word_vectors
from bert_glue_tf.models import families

if TYPE_CHECKING:
    import numpy as np

# Name of a network -> its family.
DESIGNS = {design: name for name in families.names() for design in families.get(name).designs}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorEncoder:
    """The files and choices that such an encoder is made of.

    Attributes:
      design: name of the network, one of `DESIGNS`.
      vectors: file of general word vectors: text, or .npz.
      words: of an .npz file, a JSON object, word -> its row.
      table: of an .npz file, which of its arrays.
      most_words: of a text file so many words, and those of the training texts.
      task: whose training texts are the domain; empty, with `data`, for none.
      data: where they are.
      domain_epochs: passes over the training texts, for domain vectors.
      seed: of the domain vectors.
      licence: of the vectors, for the records.
    """

    design: str
    vectors: pathlib.Path
    words: pathlib.Path | None = None
    table: str = ""
    most_words: int = word_vectors.MOST_WORDS
    task: str = ""
    data: str = ""
    domain_epochs: int = word_vectors.DOMAIN_EPOCHS
    seed: int = 1
    licence: str = ""

    def write(self, output: pathlib.Path) -> list[str]:
        """Write the folder of the encoder, which --encoder takes.

        Args:
          output: the folder, which must not be there yet.

        Returns:
          What a reader wants to know of it, a sentence each.

        Raises:
          UserError: a file cannot be read, or the folder is there already or cannot be written.
        """
        from bert_glue_tf.data import splitting

        if output.exists():
            raise UserError(f"--output={output}: is there already. Give a new folder.")
        family = families.get(DESIGNS[self.design])
        texts, told = self._texts(), []
        words, general = self._general(set().union(*map(splitting.candidates, texts)))
        tables = {"general": general}
        if texts:
            vocabulary = set(words)
            sentences = [splitting.split(text, vocabulary) for text in texts]
            known = [word for word, row in zip(words, general, strict=True) if row.any()]
            counted = word_vectors.coverage(sentences, known)
            share = counted["known"] / max(counted["all"], 1)
            told.append(f"{share:.1%} of the words of the training texts have a vector.")
            if "domain" in family.designs[self.design]:
                tables["domain"] = word_vectors.learned(
                    sentences, words, epochs=self.domain_epochs, seed=self.seed
                )
        about = {"licence": self.licence, "source": self.vectors.name}
        family.write_untrained(output, self.design, words, tables, about)
        return [*told, f"{output}: {self.design} over {len(words):,} words."]

    def _texts(self) -> list[str]:
        """Return the domain's training texts; none where no domain is named."""
        if not (self.task or self.data):
            return []
        from bert_glue_tf.data import readers
        from bert_glue_tf.data.settings import DataSettings

        given: dict[str, Any] = {"task": self.task, "data": self.data}
        settings = DataSettings(**{name: value for name, value in given.items() if value})
        task = readers.task_of(settings)
        examples = readers.load_for_training(task, settings.data, 0)["train"]
        return [text for field in examples.texts for text in field]

    def _general(self, wanted: set[str]) -> tuple[list[str], np.ndarray]:
        """Return the words with a general vector, and these; `wanted` are taken for sure."""
        if self.vectors.suffix == ".npz":
            if self.words is None:
                raise UserError(
                    f"--vectors={self.vectors}: --words is missing, which names its rows."
                )
            found = word_vectors.of_array(self.vectors, self.words, self.table)
        else:
            found = word_vectors.of_text(self.vectors, wanted, self.most_words)
        return word_vectors.without_forms(*found)
