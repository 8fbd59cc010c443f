"""The import of foreign weights by a family of encoders: what it reads, judges, writes, gives back.

Nothing here needs TensorFlow, so that a folder that is wrong is refused at once.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from bert_glue_tf.models.foreign_classifiers import ForeignClassifier
    from bert_glue_tf.models.foreign_heads import ForeignHead


class Importer:
    """A base of `Backbone`; as it stands, that of a family which imports nothing.

    Attributes:
      family: its name.
      imports: kinds of foreign weights (`encoders.EncoderSource.kind`) that it imports.
      designs: name of a network that it can begin over word vectors (`write_untrained`) -> the
        names of the tables of vectors that it reads.
    """

    family: ClassVar[str]
    imports: ClassVar[tuple[str, ...]] = ()
    designs: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})

    @classmethod
    def reads(cls, kind: str, folder: pathlib.Path) -> bool:
        """Tell from a folder's configuration, without TensorFlow, whether it is of the family.

        Families that import the same kind of folder are told apart by it. One that is damaged may
        be anybody's, and `check_weights`, whose arguments are the same, says what is wrong with it.
        """
        del folder
        return kind in cls.imports

    @classmethod
    def check_weights(cls, kind: str, folder: pathlib.Path) -> int:
        """Judge a folder of foreign weights without TensorFlow, and return its positions.

        Args:
          kind: one of `imports`.
          folder: with the weights, their configuration and the vocabulary.

        Raises:
          UserError: a file is missing, damaged, or does not fit; the message names it.
        """
        raise NotImplementedError(f"{cls.family} imports no {kind}")

    @classmethod
    def check_config(cls, kind: str, folder: pathlib.Path) -> None:
        """Refuse a folder by its configuration alone, before anybody prepares its weights.

        Args:
          kind, folder: as in `check_weights`; the weights need not be there.

        Raises:
          UserError: the configuration is of an encoder that the family does not import.
        """
        del kind, folder

    @classmethod
    def import_weights(
        cls, name: str, kind: str, folder: pathlib.Path, licence: str
    ) -> pathlib.Path:
        """Import a folder of foreign weights, and return the folder of the pair of SavedModels.

        Args:
          name: what the pair is called in the cache.
          kind: one of `imports`.
          folder: with the weights, their configuration and the vocabulary.
          licence: of the weights, for the record.

        Raises:
          UserError: weights that do not fit, or a cache that cannot be written.
        """
        raise NotImplementedError(f"{cls.family} imports no {kind}")

    @classmethod
    def why_never(cls, capability: str) -> str:
        """Return why no encoder of the family has a capability; empty where one may have it.

        Args:
          capability: one of `parts.CAPABILITIES`.

        Returns:
          A clause for a message, without a full stop.
        """
        del capability
        return ""

    @classmethod
    def write_untrained(
        cls,
        folder: pathlib.Path,
        design: str,
        words: Sequence[str],
        vectors: Mapping[str, np.ndarray],
        about: Mapping[str, str],
    ) -> None:
        """Write a folder, of a kind that the family imports, of a network that nobody has trained.

        Args:
          folder: to write to; it must not be there yet.
          design: one of `designs`.
          words: n words of its vocabulary, without special tokens.
          vectors: name of a table of word vectors -> float [n, width], in the words' order.
          about: what else is to be known of it (`licence`, `source`).

        Raises:
          UserError: the folder is there already or cannot be written, or the design needs other
            vectors.
        """
        raise NotImplementedError(f"{cls.family} begins no network")

    @classmethod
    def import_head(cls, kind: str, folder: pathlib.Path) -> ForeignHead:
        """Return the classification head in a folder of foreign weights, without TensorFlow.

        Args:
          kind: one of `imports`.
          folder: as in `check_weights`.

        Raises:
          UserError: the folder holds none that can be taken over.
        """
        raise UserError(f"{folder}: no classification head of its kind ({kind}) can be taken over")

    @classmethod
    def to_hugging_face(cls, folder: pathlib.Path, dropout: float) -> ForeignClassifier:
        """Return a saved classifier in the form of Hugging Face's transformers.

        Args:
          folder: of the saved model.
          dropout: rate before the head.

        Raises:
          UserError: the folder holds no model, or that form cannot say how it computes.
        """
        del dropout
        raise UserError(
            f"{folder}: its encoder is of the family {cls.family}, which transformers has no model "
            "for. What works: the folder itself (a TensorFlow SavedModel), and the files of "
            "export_tflite."
        )
