"""The kind of a model's examples, by the name of their modality."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bert_glue_tf.data.arrays import Arrays
from bert_glue_tf.data.modality import Modality
from bert_glue_tf.data.modality import Texts as TextModality
from bert_glue_tf.serving.kinds.arrays import ArrayFiles
from bert_glue_tf.serving.kinds.base import Kind
from bert_glue_tf.serving.kinds.texts import Texts

_KINDS: Mapping[str, Kind] = MappingProxyType(
    {TextModality.name: Texts(), Arrays.name: ArrayFiles()}
)


def of(modality: Modality) -> Kind:
    """Return the kind of such examples."""
    return _KINDS[modality.name]
