"""The examples that an encoder reads: what a `Backbone` says of them, and how it is fitted to them.

As it stands it is that of an encoder of texts, which comes with its tokenizer.
"""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from bert_glue_tf.data.modality import TEXTS, Modality

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.data.examples import Examples
    from bert_glue_tf.data.tasks import TaskSpec

# The inputs of the signature for servers: a text, or a pair.
TEXT_INPUTS = ("text", "text_pair")


class ReadsExamples:
    """A base of `Backbone`.

    Attributes:
      modality: name of the kind of examples that the family reads.
      begins: whether its networks are begun from nothing but a name (`begin`).
    """

    modality: ClassVar[str] = TEXTS.name
    begins: ClassVar[bool] = False

    preprocessing: Any
    preprocessing_path: str

    @classmethod
    def check_examples(cls, name: str, modality: Modality) -> None:
        """Refuse examples of the family's kind that an encoder cannot read, without TensorFlow.

        Args:
          name: of the encoder.
          modality: of the task.

        Raises:
          UserError: the encoder does not read them.
        """
        del name, modality

    @classmethod
    def begin(cls, name: str, provenance: Mapping[str, Any]) -> Self:
        """Return an untrained network, where the family `begins` some.

        Args:
          name: of the network.
          provenance: as in `Backbone`.
        """
        raise NotImplementedError(f"{cls.__name__} begins no network")

    def fitted(self, examples: Examples) -> Self:
        """Return an encoder that is fitted to the training examples, before it is trained.

        A network that is begun from nothing takes their shape, and reads their numbers from their
        own mean on, in units of their deviation.

        Args:
          examples: of the training split, none held out among them.

        Raises:
          UserError: it cannot read them.
        """
        del examples
        return self

    def tokenizer(self, task: TaskSpec, seq_length: int, truncation: str = "head") -> Any:
        """Return what reads a task's examples (see `Modality.reader`)."""
        return task.modality.reader(self.preprocessing, task, seq_length, truncation)

    def write_preprocessing(self, folder: pathlib.Path) -> None:
        """Write the folder that `Modality.load` reads into a saved classifier."""
        shutil.copytree(self.preprocessing_path, folder)

    def served(
        self, task: TaskSpec, seq_length: int, truncation: str
    ) -> tuple[list[tf.TensorSpec], Callable[..., dict[str, tf.Tensor]]]:
        """Return what servers are asked with, and the function from it to features.

        Args:
          task: of the classifier.
          seq_length, truncation: as for `tokenizer`.

        Returns:
          Specifications of the inputs by name: string [batch], one or two texts; and a function of
          these to padded features.
        """
        import tensorflow as tf

        from bert_glue_tf.data import preprocessing

        reader = self.tokenizer(task, seq_length, truncation)
        names = TEXT_INPUTS[: len(task.text_fields)]
        specs = [tf.TensorSpec([None], tf.string, name) for name in names]
        return specs, lambda *texts: preprocessing.packed(reader, texts)
