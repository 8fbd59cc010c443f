"""The interface of a kind of examples, by the name of its modality."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bert_glue_tf.data.arrays import Arrays
from bert_glue_tf.data.modality import Modality, Texts
from bert_glue_tf.export.interfaces.arrays import ArrayInterface
from bert_glue_tf.export.interfaces.base import Interface
from bert_glue_tf.export.interfaces.texts import TextInterface

TEXT_FILES = TextInterface()
_INTERFACES: Mapping[str, Interface] = MappingProxyType(
    {Texts.name: TEXT_FILES, Arrays.name: ArrayInterface()}
)


def of(modality: Modality) -> Interface:
    """Return the interface of the files of such examples."""
    return _INTERFACES[modality.name]
