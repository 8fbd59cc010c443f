"""The reader of examples beside an exported file, compared with what the file says."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.arrays import Arrays
from bert_glue_tf.data.modality import Texts
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.serving import exported_file
from bert_glue_tf.serving.exported_file import Metadata


def _tokenizer(path: pathlib.Path, folder: ExportFolder, metadata: Metadata) -> None:
    exported_file.check_vocabulary(path, folder, metadata.vocabulary)


def _shape(path: pathlib.Path, folder: ExportFolder, metadata: Metadata) -> None:
    modality = metadata.task.modality
    assert isinstance(modality, Arrays)
    place = str(folder.preprocessing)
    found = modality.load(place, place, ". Copy the whole folder of the export.").shape
    if found != modality.shape:
        raise UserError(
            f"{path}: takes arrays of the shape {list(modality.shape)}, and {place} says "
            f"{list(found)}. Copy the whole folder of the export."
        )


_CHECKS: Mapping[str, Callable[[pathlib.Path, ExportFolder, Metadata], None]] = MappingProxyType(
    {Texts.name: _tokenizer, Arrays.name: _shape}
)


def check(path: pathlib.Path, folder: ExportFolder, metadata: Metadata) -> None:
    """Check that what stands beside a .tflite file is what it was made with.

    Args:
      path: of the file.
      folder: that it lies in.
      metadata: of the file.

    Raises:
      UserError: it is missing, or another one.
    """
    _CHECKS[metadata.task.modality.name](path, folder, metadata)
